//! The binding against the double: all three binary forms, and every way a library was seen or is able to misbehave.

use super::double::{Double, Form};
use crate::say::say;
use hpinfer::backend::tensorrt::ffi::{Abi, BuildOptions, Context, Engine, HostBuffer, Library, Progress, Range, Stream};
use hpinfer::backend::tensorrt::memory::{HostMemory, Memory};
use hpinfer::onnx::proto::{
    GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_shape_proto, type_proto,
};
use prost::Message;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// `y = relu(x)` with x and y of [batch, 3].
pub fn relu() -> Vec<u8> {
    let value = |name: &str| {
        let dim = |d: Option<i64>| tensor_shape_proto::Dimension {
            value: d
                .map(tensor_shape_proto::dimension::Value::DimValue)
                .or(Some(tensor_shape_proto::dimension::Value::DimParam("n".into()))),
            ..Default::default()
        };
        let shape = TensorShapeProto { dim: vec![dim(None), dim(Some(3))] };
        let tensor = type_proto::Tensor { elem_type: Some(1), shape: Some(shape) };
        ValueInfoProto {
            name: Some(name.into()),
            r#type: Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }),
            ..Default::default()
        }
    };
    let node = NodeProto { op_type: Some("Relu".into()), input: vec!["x".into()], output: vec!["y".into()], ..Default::default() };
    let graph =
        GraphProto { name: Some("g".into()), node: vec![node], input: vec![value("x")], output: vec![value("y")], ..Default::default() };
    let opset = OperatorSetIdProto { version: Some(13), ..Default::default() };
    ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// Profiles for batches of 1 to 4 and 5 to 16.
pub fn options() -> BuildOptions {
    let range = |min, opt, max| vec![Range { input: "x".into(), min: vec![min, 3], opt: vec![opt, 3], max: vec![max, 3] }];
    BuildOptions { profiles: vec![range(1, 2, 4), range(5, 8, 16)], ..Default::default() }
}

pub fn never_stop(_: Progress<'_>) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// A run that computes relu.
pub fn run_relu(double: &Double) {
    double.on_run(|_, inputs, outputs| {
        let shape = inputs[0].shape().to_vec();
        outputs[0].set_shape(&shape);
        if let (Some(x), Some(y)) = (inputs[0].floats(), outputs[0].floats()) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x.max(0.0));
        }
        Ok(())
    });
}

/// A context of a double, whose runs are over when they have been started.
fn on_host(engine: &Arc<Engine>) -> hpinfer::Result<Context<HostBuffer>> {
    assert!(engine.is_on_host());
    // SAFETY: the double works on host memory, which `HostBuffer` is; what is lent is filled only.
    unsafe { engine.context() }
}

fn context(library: &Arc<Library>) -> Context<HostBuffer> {
    let plan = library.build(&relu(), &options(), &[], &never_stop).unwrap().plan.to_vec();
    let engine = library.load(&plan).unwrap();
    let mut context = on_host(&engine).unwrap();
    context.set_scratch(HostMemory.buffer(engine.scratch_bytes().unwrap()).unwrap());
    context
}

#[test]
fn an_engine_is_built_loaded_and_run_in_every_form() {
    for form in Form::ALL {
        let double = Double::new(form);
        run_relu(&double);
        let library = double.open().unwrap();
        let expected = [("10.16.1.7", Abi::Ten), ("11.4.0.7", Abi::Eleven), ("rtx-1.7.1.7", Abi::Rtx)][form as usize];
        let versions = *library.versions();
        assert_eq!((versions.to_string().as_str(), versions.abi), expected);
        assert!(versions.has_builder && versions.checked && versions.host_memory);

        let steps = Mutex::new(Vec::new());
        let built = library
            .build(&relu(), &options(), b"earlier", &|p| {
                steps.lock().unwrap().push(format!("{p:?}"));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(steps.lock().unwrap().first().map(String::as_str), Some("Start(\"Building\", None, 4)"));
        assert_eq!(steps.lock().unwrap().len(), 6);
        assert_eq!(&*built.timing.expect("a timing cache"), b"earliert");

        let engine = library.load(&built.plan).unwrap();
        let names: Vec<_> = engine.io().iter().map(|io| (io.name.to_str().unwrap(), io.is_input, io.dims.clone())).collect();
        assert_eq!(names, [("x", true, vec![None, Some(3)]), ("y", false, vec![None, Some(3)])]);
        assert_eq!(engine.profiles(), 2);
        assert_eq!(engine.range(c"x", 1).unwrap(), options().profiles[1][0]);
        assert_eq!((engine.range(c"y", 0), engine.range(c"x", 2)), (None, None));

        let mut context = on_host(&engine).unwrap();
        let stream = HostMemory.stream();
        for (profile, batch) in [(0, 4), (1, 9)] {
            context.set_profile(profile, stream).unwrap();
            context.set_shape(0, &[batch, 3]).unwrap();
            context.infer_shapes().unwrap();
            assert_eq!(context.shape(1).unwrap(), [Some(batch), Some(3)]);
            let needed = context.scratch_needed().unwrap();
            assert!(needed <= engine.scratch_bytes().unwrap());
            context.set_scratch(HostMemory.buffer(needed).unwrap());
            for tensor in 0..2 {
                context.bind(tensor, HostMemory.buffer(batch * 12).unwrap()).unwrap();
            }
            let x: Vec<f32> = (0..batch * 3).map(|i| i as f32 - 5.0).collect();
            context.buffer_mut(0).unwrap().host_mut().copy_from_slice(bytemuck::cast_slice(&x));
            context.enqueue(stream).unwrap();
            let y: &[f32] = bytemuck::cast_slice(context.buffer(1).unwrap().host());
            assert!(y.iter().zip(&x).all(|(y, x)| *y == x.max(0.0)), "{form:?}: {y:?}");
        }
    }
}

#[test]
fn nothing_is_left_and_nothing_goes_in_the_wrong_order() {
    for form in Form::ALL {
        let double = Double::new(form);
        run_relu(&double);
        let library = double.open().unwrap();
        let context = context(&library);
        drop(library); // the context keeps engine and library
        let engine = context.engine().clone();
        drop(context);
        assert_eq!(engine.io().len(), 2);
        drop(engine);
        assert_eq!(double.alive(), 0, "{form:?}");
        for knob in ["build_null", "parse_fail", "build_throw", "builder_null"] {
            double.knobs(knob);
            let library = double.open().unwrap();
            assert!(library.build(&relu(), &options(), &[], &never_stop).is_err());
            drop(library);
            assert_eq!(double.alive(), 0, "{form:?} after {knob}");
        }
    }
}

#[test]
fn a_library_that_cannot_be_used_says_why() {
    let refused = |path: &Path, parser: Option<&Path>| Library::open(path, parser).map(|_| ()).unwrap_err().to_string();
    let absent = refused(Path::new("/nowhere/libnvinfer.so.10"), None);
    assert!(absent.contains("cannot open shared object file") && absent.contains("choose onnx_runtime"), "{absent}");
    let other = Path::new("/lib/x86_64-linux-gnu/libm.so.6");
    if other.exists() {
        assert!(refused(other, None).contains("it is not TensorRT"));
        let double = Double::new(Form::Ten);
        assert!(refused(&double.path(), Some(other)).contains("is not TensorRT's ONNX parser"));
    }
    let (ten, eleven) = (Double::new(Form::Ten), Double::new(Form::Eleven));
    assert!(refused(&ten.path(), Some(&eleven.parser())).contains("do not belong together"));
    for (knobs, expected) in [
        // Versions whose tables nobody compared: older and newer majors, and minor versions of TensorRT-RTX.
        ("version=8601", "version number 8601"),
        ("version=120000", "version number 120000"),
        ("version=10400", "version number 10400"),
        ("version=10800", "version number 10800"),
        ("version=0", "version number 0"),
        // Without a driver TensorRT 10 and 11 log an error and return this pointer, which crashes at the next call.
        ("create_bogus", "CUDA initialization failure with error: 35"),
        ("create_bogus_silent", "it made no usable runtime"),
        ("create_null", "it made no usable runtime"),
        ("create_error", "driver version is insufficient"),
        ("create_throw", "the library threw: thrown while a runtime is made"),
        ("parser_other", "has version number 10000"),
    ] {
        for form in Form::ALL {
            let double = Double::new(form);
            double.knobs(knobs);
            let message = refused(&double.path(), Some(&double.parser()));
            assert!(message.contains(expected), "{form:?} {knobs}: {message}");
        }
    }
}

#[test]
fn a_newer_minor_version_is_opened_and_marked() {
    let double = Double::new(Form::Eleven);
    double.knobs("version=110900");
    assert!(!double.open().unwrap().versions().checked);
}

#[test]
fn an_older_version_is_not_asked_for_what_it_lacks() {
    let double = Double::new(Form::Ten);
    double.knobs("version=100203"); // scratch memory of a stated size came with 10.3
    run_relu(&double);
    let library = double.open().unwrap();
    let engine = library.load(&library.build(&relu(), &options(), &[], &never_stop).unwrap().plan).unwrap();
    assert_eq!(engine.scratch_bytes(), None);
    let mut context = on_host(&engine).unwrap();
    assert_eq!(context.scratch_needed(), None);
}

#[test]
fn without_a_driver_the_real_library_is_not_asked_for_a_runtime() {
    if Path::new("/proc/driver/nvidia/version").exists() {
        say("SKIPPED: this machine has an NVIDIA driver");
        return;
    }
    // A double without the mark of one is taken for the real thing.
    for form in [Form::Ten, Form::Eleven] {
        let double = Double::new(form);
        let mut bytes = std::fs::read(double.path()).unwrap();
        let mark = b"trs_host_memory\0";
        while let Some(at) = bytes.windows(mark.len()).position(|w| w == mark) {
            bytes[at] = b'T';
        }
        let path = double.folder.path().join("unmarked.so");
        std::fs::write(&path, bytes).unwrap();
        let message = Library::open(&path, None).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("NVIDIA driver") && message.contains("choose onnx_runtime"), "{message}");
    }
}

#[test]
fn failures_of_a_build_are_told_apart() {
    for form in Form::ALL {
        let double = Double::new(form);
        let library = double.open().unwrap();
        let build =
            |onnx: &[u8], options: &BuildOptions| library.build(onnx, options, &[], &never_stop).map(|_| ()).unwrap_err().to_string();
        let expect = |knobs: &str, expected: &str| {
            double.knobs(knobs);
            let message = build(&relu(), &options());
            assert!(message.contains(expected), "{form:?} {knobs}: {message}");
        };
        expect("parse_fail", "node 3: In node 3 (importNode): UNSUPPORTED_NODE");
        expect("build_null", "no implementation was found");
        expect("build_throw", "the library threw: thrown in the middle of a build");
        expect("build_throw_number", "the library threw something that is no std::exception");
        expect("builder_null", "it made no builder");
        double.knobs("");
        assert!(build(b"not an ONNX file", &options()).contains("the graph is refused"));
        let mut reversed = options();
        reversed.profiles[1][0].min = vec![9, 3];
        assert!(build(&relu(), &reversed).contains("profile 1 is refused"));
        let mut uneven = options();
        uneven.profiles[0][0].max = vec![9];
        assert!(build(&relu(), &uneven).contains("unlike length"));
        let half = BuildOptions { fp16: true, ..options() };
        let other_gpu = BuildOptions { target: Some(75), ..options() };
        let built = |options: &BuildOptions| library.build(&relu(), options, &[], &never_stop).map(|_| ()).map_err(|e| e.to_string());
        match form {
            Form::Ten => assert_eq!(built(&half), Ok(())),
            _ => assert!(built(&half).unwrap_err().contains("no half precision flag")),
        }
        match form {
            Form::Rtx => {
                assert_eq!(built(&other_gpu), Ok(()));
                let hopper = BuildOptions { target: Some(90), ..options() };
                assert!(built(&hopper).unwrap_err().contains("no target of compute capability 9.0"));
            }
            _ => assert!(built(&other_gpu).unwrap_err().contains("builds for another GPU")),
        }
    }
    let lean = Double::lean(Form::Eleven);
    let library = Library::open(&lean.path(), None).unwrap();
    assert!(!library.versions().has_builder);
    let message = library.build(&relu(), &options(), &[], &never_stop).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("it is the lean runtime"), "{message}");
}

#[test]
fn a_build_stops_when_asked_or_when_the_program_panics() {
    for form in Form::ALL {
        let double = Double::new(form);
        let library = double.open().unwrap();
        let steps = AtomicUsize::new(0);
        let stop_at_two = |p: Progress<'_>| match p {
            Progress::Step(..) if steps.fetch_add(1, Ordering::SeqCst) == 1 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let message = library.build(&relu(), &options(), &[], &stop_at_two).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("the build was stopped"), "{message}");
        assert_eq!(steps.load(Ordering::SeqCst), 2, "{form:?}");
        let message = library
            .build(&relu(), &options(), &[], &|_| std::panic::resume_unwind(Box::new("in a callback")))
            .map(|_| ())
            .unwrap_err()
            .to_string();
        assert!(message.contains("the build was stopped"), "{message}");
        assert!(library.build(&relu(), &options(), &[], &never_stop).is_ok());
    }
}

#[test]
fn log_lines_of_any_thread_and_form_arrive() {
    for form in Form::ALL {
        let double = Double::new(form);
        double.knobs("log_from_threads,log_null");
        assert!(double.open().unwrap().build(&relu(), &options(), &[], &never_stop).is_ok());
    }
}

#[test]
fn error_lines_stay_with_the_call_they_belong_to() {
    for form in Form::ALL {
        let (double, other) = (Double::new(form), Double::new(form));
        let library = double.open().unwrap();
        double.knobs("log_errors,build_null");
        let meanwhile = || other.open().unwrap().load(b"garbage").map(|_| ()).unwrap_err().to_string();
        let refused = Mutex::new(String::new());
        let build = library.build(&relu(), &options(), &[], &|progress| {
            if let Progress::Start(..) = progress {
                *refused.lock().unwrap() = std::thread::scope(|scope| scope.spawn(meanwhile).join().unwrap());
            }
            ControlFlow::Continue(())
        });
        let (message, refused) = (build.map(|_| ()).unwrap_err().to_string(), refused.into_inner().unwrap());
        for line in ["the builder's own error", "an error of its worker", "no implementation was found"] {
            assert!(message.contains(line), "{form:?}: {message}");
        }
        assert!(!message.contains("magicTag") && refused.contains("magicTag"), "{form:?}: {message} / {refused}");
        assert!(!refused.contains("error"), "{form:?}: {refused}");
    }
}

/// A logger of the embedding program that is broken.
struct Breaking(AtomicUsize);

impl tracing::Subscriber for Breaking {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        // Calls of the library only: what is logged beside them is the program's own affair.
        if event.metadata().target().contains("tensorrt::ffi") {
            self.0.fetch_add(1, Ordering::SeqCst);
            panic!("the logger broke");
        }
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_logger_that_breaks_loses_its_line_and_nothing_else() {
    // Of a lone subscriber `tracing` believes what the thread that logs first has: with two it asks them.
    let _second = tracing::Dispatch::new(Breaking(AtomicUsize::new(0)));
    for form in Form::ALL {
        let double = Double::new(form);
        let logger = Arc::new(Breaking(AtomicUsize::new(0)));
        tracing::subscriber::with_default(logger.clone(), || {
            let library = double.open().expect("it opens");
            double.knobs("log_null");
            assert!(library.build(&relu(), &options(), &[], &never_stop).is_ok());
            double.knobs("build_null");
            let message = library.build(&relu(), &options(), &[], &never_stop).map(|_| ()).expect_err("no engine").to_string();
            assert!(message.contains("no implementation was found"), "{message}");
            double.knobs("");
            assert!(library.build(&relu(), &options(), &[], &never_stop).is_ok(), "the next build is sound");
        });
        assert!(logger.0.load(Ordering::SeqCst) >= 2, "it was called");
    }
}

#[test]
fn plans_that_are_refused_say_what_the_library_said() {
    for form in Form::ALL {
        let double = Double::new(form);
        let library = double.open().unwrap();
        let plan = library.build(&relu(), &options(), &[], &never_stop).unwrap().plan.to_vec();
        for (plan, expected) in [(&b""[..], "magicTag"), (b"garbage in a plan", "magicTag"), (&plan[..20], "cut off")] {
            let message = library.load(plan).map(|_| ()).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("build the engine again"), "{message}");
        }
        double.knobs("context_null");
        let message = on_host(&library.load(&plan).unwrap()).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("out of memory"), "{message}");
    }
}

#[test]
fn a_run_needs_shapes_and_memory_and_reports_failure() {
    for form in Form::ALL {
        let double = Double::new(form);
        run_relu(&double);
        let library = double.open().unwrap();
        let mut context = context(&library);
        let stream = Stream(std::ptr::null_mut());
        let fault = |r: hpinfer::Result<()>| r.unwrap_err().to_string();
        assert!(fault(context.infer_shapes()).contains("input `x` has no shape"));
        assert!(fault(context.set_shape(0, &[17, 3])).contains("outside the profile"));
        assert!(fault(context.set_shape(0, &[2, 4])).contains("input x of [2, 4]"));
        assert!(fault(context.set_shape(1, &[2, 3])).contains("input y"));
        assert!(fault(context.set_profile(7, stream)).contains("profile 7"));
        context.set_shape(0, &[2, 3]).unwrap();
        context.infer_shapes().unwrap();
        assert!(fault(context.enqueue(stream)).contains("x has no memory"));
        context.bind(0, HostMemory.buffer(24).unwrap()).unwrap();
        context.bind(1, HostMemory.buffer(23).unwrap()).unwrap();
        assert!(fault(context.enqueue(stream)).contains("23 bytes for y, which needs 24"));
        context.bind(1, HostMemory.buffer(24).unwrap()).unwrap();
        context.set_scratch(HostMemory.buffer(8).unwrap());
        assert!(fault(context.enqueue(stream)).contains("8 bytes of scratch memory for shapes that need"));
        double.knobs("scratch_untold"); // then what does for all shapes is asked for
        assert_eq!(context.scratch_needed(), context.engine().scratch_bytes());
        double.knobs("");
        let needed = context.scratch_needed().unwrap();
        context.set_scratch(HostMemory.buffer(needed).unwrap());
        context.enqueue(stream).unwrap();
        double.knobs("enqueue_false");
        assert!(fault(context.enqueue(stream)).contains("illegal memory access"));
        double.knobs("");
        context.enqueue(stream).unwrap();
    }
}

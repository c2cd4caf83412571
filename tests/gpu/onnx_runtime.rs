//! ONNX Runtime on memory of a device, bound where it lies: the device is the emulation, whose memory the library works on by its
//! provider for processors. All else is what runs with CUDA.

use super::ocr::{Networks, compare, picture};
use super::stub::{DEVICES, Loaded};
use crate::double::onnx_runtime;
use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::{Backend, Engine, LoadOptions, Onnx, host};
use hpinfer::device::{Gpu, Stream};
use hpinfer::image::Frame;
use hpinfer::onnx::Cut;
use hpinfer::tensor::Shape;
use hpinfer::tensor::device::DeviceData;
use hpinfer::trace::Transfers;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

/// What binds a lent tensor by the way of `ort` 2.0.0-rc.15 never comes back.
const HANGS_AFTER: Duration = Duration::from_secs(120);

fn library() -> OnnxRuntime {
    let found = onnx_runtime();
    OnnxRuntime::open(&found.path, found.version.as_deref()).expect("it opens")
}

/// The network in `onnx`, on the processor and on the device.
fn both(onnx: &Path, cut: Cut) -> [Arc<dyn Engine>; 2] {
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let options = LoadOptions { onnx: Some(Onnx::File(onnx.to_owned())), cut, ..LoadOptions::new("m") };
    [library(), library().on_emulation(gpu)].map(|library| library.load(&options).expect("it loads"))
}

/// What `engine` makes of pictures, as many as each of `counts` says.
fn run(engine: &Arc<dyn Engine>, counts: &[usize]) -> Vec<(Shape, Vec<f32>)> {
    let mut session = engine.session().expect("a session");
    let one = |&count: &usize| {
        let values: Vec<f32> = (0..count * 3 * 64).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
        host::feed(&mut *session, 0, Shape::new(&[count, 3, 8, 8]), &values, &mut Transfers::default()).expect("fed");
        session.run().expect("a run");
        let Some(session) = session.on_gpu() else {
            let output = session.output(0).expect("an output");
            return (output.shape, output.as_f32().expect("floats").to_vec());
        };
        let output = session.outputs(1).expect("an output")[0];
        let DeviceData::F32(data) = output.data else { panic!("{output:?}") };
        // SAFETY: the memory is that of the host, and the run is done.
        (output.shape, unsafe { std::slice::from_raw_parts(data.address() as *const f32, data.len()) }.to_vec())
    };
    counts.iter().map(one).collect()
}

#[test]
fn networks_run_on_memory_that_is_bound_where_it_lies() {
    let _turn = Loaded::turn();
    let (done, found) = channel();
    let work = std::thread::spawn(move || {
        let onnx = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/miniatures/classify/inference.onnx");
        let [processor, device] = both(Path::new(onnx), Cut::Nothing);
        assert_eq!(device.info().device, "gpu:0");
        let counts = [1, 3, 3, 1, 2];
        let expected = run(&processor, &counts);
        assert_eq!(expected.iter().map(|(shape, _)| shape.dims()[0]).collect::<Vec<_>>(), counts);
        assert_eq!(run(&device, &counts), expected);
        // With little memory left it gives back what it has no use for, after each change of shapes.
        let (stub, gpu) = (Loaded::get(), Gpu::open(None).expect("it is open"));
        let _taken = Stream::new(&gpu).and_then(|stream| stream.alloc::<u8>(64 << 20)).expect("memory");
        let [free, all] = gpu.memory().expect("known");
        stub.words(&format!("{DEVICES} memory={}", all - free + (1 << 20)));
        assert!(gpu.is_scarce());
        let scarce = run(&device, &counts);
        stub.words(DEVICES);
        assert_eq!(scarce, expected);
        let _ = done.send(());
    });
    if found.recv_timeout(HANGS_AFTER).is_err() {
        assert!(work.is_finished(), "it hangs");
        work.join().expect("it works");
    }
}

/// The kernels work on what these networks give, and they on what the kernels prepare.
#[test]
fn a_picture_is_read_by_networks_on_bound_memory() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    let engines = networks.files.clone().map(|(onnx, cut)| both(&onnx, cut)[1].clone());
    let whole = picture("demo/delivery_note.png");
    let part = whole.image.view().pixels().unwrap().part([560, 310, whole.size().width as i32, 520]).expect("pixels").expect("some");
    let frame = [Frame::from_image(part)];
    let read = |ocr: hpinfer::pipeline::Ocr| ocr.predict(&frame).pop().expect("one").expect("a result");
    let found = read(networks.pipeline(engines, 1));
    compare(&found, &read(networks.on_cpu()));
    assert!(found.rec_text.len() >= 4, "{:?}", found.rec_text);
}

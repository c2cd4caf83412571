//! Engines as backends: built by a recipe, cached, run through the common seam, on the double.

use super::double::{Double, Form, compute_sample, onnx_runtime, sample_options};
use super::engines::{logged, warnings};
use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::tensorrt::builder::{Builder, Source};
use hpinfer::backend::tensorrt::cache::{EngineCache, Gpu};
use hpinfer::backend::tensorrt::ffi::{BuildOptions, Library};
use hpinfer::backend::tensorrt::recipe::{self, Arithmetic, Recipe};
use hpinfer::backend::tensorrt::session::TensorRt;
use hpinfer::backend::{Backend, BackendName, Engine, LoadOptions, NetworkKind, Onnx, Precision};
use hpinfer::cache::Cache;
use hpinfer::device::Device;
use hpinfer::onnx::sample;
use hpinfer::tensor::Shape;
use hpinfer::verify::inputs::uniform;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

pub fn backend(double: &Double, home: &Path) -> TensorRt {
    TensorRt::new(builder(double, home), Device::Cpu)
}

fn builder(double: &Double, home: &Path) -> Builder {
    Builder::new(double.open().unwrap(), 0, EngineCache::new(Cache::open(Some(home)).unwrap())).unwrap()
}

#[test]
fn a_model_is_built_run_and_loaded_the_next_time() {
    for form in Form::ALL {
        let double = Double::new(form);
        double.computes_sample();
        let home = tempfile::tempdir().unwrap();
        let count = home.path().join("count");
        double.knobs(&format!("count={}", count.display()));
        for _ in 0..2 {
            let engine = backend(&double, home.path()).load(&sample_options()).unwrap();
            assert_eq!((engine.info().backend, engine.info().device.as_str()), (BackendName::TensorRt, "cpu"));
            assert!(engine.info().version.ends_with(".7"), "{}", engine.info().version);
            let mut session = engine.session().unwrap();
            for rows in [3, 8, 1, 8] {
                let x: Vec<f32> = (0..rows * 4).map(|i| (i as f32).sin()).collect();
                session.input(0, Shape::new(&[rows, 4])).unwrap().copy_from_slice(&x);
                session.run().unwrap();
                let y = session.output(0).unwrap();
                assert_eq!((y.shape, y.as_f32().unwrap()), (Shape::new(&[rows, 3]), sample::expected(&x).as_slice()));
            }
            let message = {
                session.input(0, Shape::new(&[9, 4])).unwrap().fill(0.0);
                session.run().unwrap_err().to_string()
            };
            assert!(message.contains("1x4 to 8x4") && message.contains("[9x4]") && message.contains("choose onnx_runtime"), "{message}");
            session.input(0, Shape::new(&[2, 4])).unwrap().fill(0.0);
            session.run().unwrap(); // a refused shape does no harm
        }
        assert_eq!(std::fs::read_to_string(&count).unwrap(), "built\n", "{form:?}");
    }
}

#[test]
fn sessions_of_one_engine_run_side_by_side() {
    let double = Double::new(Form::Eleven);
    double.computes_sample();
    let home = tempfile::tempdir().unwrap();
    let engine = backend(&double, home.path()).load(&sample_options()).unwrap();
    std::thread::scope(|scope| {
        for seed in 0..4 {
            let engine: &dyn Engine = &*engine;
            scope.spawn(move || {
                let mut session = engine.session().unwrap();
                for round in 0..50 {
                    let rows = 1 + (seed + round) % 8;
                    let x: Vec<f32> = (0..rows * 4).map(|i| (i + seed) as f32 / 7.0 - 1.0).collect();
                    session.input(0, Shape::new(&[rows, 4])).unwrap().copy_from_slice(&x);
                    session.run().unwrap();
                    assert_eq!(session.output(0).unwrap().as_f32().unwrap(), sample::expected(&x));
                }
            });
        }
    });
}

#[test]
fn a_failed_run_is_an_error_and_the_next_one_works() {
    let double = Double::new(Form::Ten);
    double.computes_sample();
    let home = tempfile::tempdir().unwrap();
    let engine = backend(&double, home.path()).load(&sample_options()).unwrap();
    let mut session = engine.session().unwrap();
    session.input(0, Shape::new(&[2, 4])).unwrap().fill(1.0);
    double.knobs("enqueue_false");
    let message = session.run().unwrap_err().to_string();
    assert!(message.contains("illegal memory access"), "{message}");
    double.knobs("");
    session.run().unwrap();
}

/// Keeps the rows that begin with a positive number: how many there are depends on data.
#[test]
fn outputs_whose_size_depends_on_data_get_their_memory_when_it_is_known() {
    for form in Form::ALL {
        let double = Double::new(form);
        let asked = Arc::new(AtomicUsize::new(0));
        let in_run = asked.clone();
        double.on_run(move |_, inputs, outputs| {
            let kept: Vec<f32> = inputs[0].floats().into_iter().flat_map(|x| positive(x)).collect();
            outputs[0].set_shape(&[kept.len() as i64 / 3, 3]);
            if let Some(y) = outputs[0].floats() {
                in_run.fetch_add(1, Ordering::SeqCst);
                y.copy_from_slice(&kept);
            }
            Ok(())
        });
        double.knobs("late=y");
        let home = tempfile::tempdir().unwrap();
        let engine = backend(&double, home.path()).load(&sample_options()).unwrap();
        let mut sessions = [engine.session().unwrap(), engine.session().unwrap()];
        let (rounds, seed) = (40, std::process::id().into());
        println!("seed {seed}");
        for round in 0..rounds {
            let rows = 1 + round % 8;
            let lowered = if round % 7 == 0 { 1.0 } else { 0.5 }; // none are left of some
            let x: Vec<f32> = (0..rows * 4).map(|i| uniform(seed, (round * 32 + i) as u64) - lowered).collect();
            let session = &mut sessions[round % 2];
            session.input(0, Shape::new(&[rows, 4])).unwrap().copy_from_slice(&x);
            session.run().unwrap();
            let (y, expected) = (session.output(0).unwrap(), positive(&x));
            assert_eq!((y.shape, y.as_f32().unwrap()), (Shape::new(&[expected.len() / 3, 3]), expected.as_slice()), "{form:?} {round}");
        }
        assert_eq!(asked.load(Ordering::SeqCst), rounds);
        double.on_run(|_, _, outputs| {
            outputs[0].set_shape(&[i64::MAX / 64, 3]);
            Ok(())
        });
        sessions[0].input(0, Shape::new(&[1, 4])).unwrap().fill(1.0);
        let message = sessions[0].run().unwrap_err().to_string();
        assert!(message.contains("memory"), "{message}");
        drop((sessions, engine));
        assert_eq!(double.alive(), 0);
    }
}

/// The first three numbers of the rows of four that begin with a positive one.
fn positive(x: &[f32]) -> Vec<f32> {
    x.chunks(4).filter(|row| row[0] > 0.0).flat_map(|row| row[..3].to_vec()).collect()
}

#[test]
fn a_recipe_that_does_not_fit_and_a_precision_that_cannot_be_had_are_errors() {
    let double = Double::new(Form::Ten);
    let home = tempfile::tempdir().unwrap();
    let backend = backend(&double, home.path());
    let bfloat = LoadOptions { precision: Precision::Bfloat16, ..sample_options() };
    assert!(backend.load(&bfloat).map(|_| ()).unwrap_err().to_string().contains("bfloat16"));
    let of = |module: &str| LoadOptions { kind: NetworkKind { module: module.into(), ..Default::default() }, ..sample_options() };
    assert!(backend.load(&of("image_classification")).is_ok());
    assert!(backend.load(&of("dancing")).map(|_| ()).unwrap_err().to_string().contains("no recipe for the module `dancing`"));
}

#[test]
fn the_selftest_of_a_lean_runtime_ends_where_a_builder_is_needed() {
    let lean = Double::lean(Form::Eleven);
    let library = Library::open(&lean.path(), None).unwrap();
    let report = hpinfer::backend::tensorrt::selftest::run(&library, &Device::Cpu, || panic!("nothing is compared")).unwrap();
    let [refused, build] = report.steps.as_slice() else { panic!("{report:?}") };
    assert!(!report.passed && !report.has_builder && refused.error.is_none(), "{report:?}");
    assert!(build.error.as_ref().unwrap().contains("lean runtime"), "{report:?}");
}

#[test]
fn the_selftest_passes_on_the_double_and_finds_a_wrong_result() {
    for form in Form::ALL {
        let double = Double::new(form);
        double.computes_sample();
        let test = || {
            let reference = || OnnxRuntime::on_processor(&onnx_runtime());
            hpinfer::backend::tensorrt::selftest::run(&double.open().unwrap(), &Device::Cpu, reference).unwrap()
        };
        let report = test();
        assert!(report.passed && report.greatest_difference.unwrap() < 1e-6, "{report:?}");
        assert_eq!(report.reference.as_deref(), Some("onnx_runtime 1.31.1"));
        let steps = report.steps.iter().map(|s| s.step).collect::<Vec<_>>();
        let of_data = (form != Form::Rtx).then_some("sizes that depend on data");
        let first = ["refuse what is no plan", "build", "load from the cache", "context", "run"].into_iter();
        assert_eq!(steps, first.chain(of_data).chain(["onnx_runtime"]).collect::<Vec<_>>());
        let runs = AtomicUsize::new(0);
        double.on_run(move |onnx, inputs, outputs| {
            compute_sample(onnx, 0.0, &mut inputs[0], &mut outputs[0]);
            if let (Some(_), Some(y)) = (inputs[0].floats(), outputs[0].floats()) {
                y[0] += if runs.fetch_add(1, Ordering::SeqCst) == 1 { f32::NAN } else { 0.0 };
            }
            Ok(())
        });
        let report = test();
        assert!(!report.passed && report.greatest_difference == Some(f32::INFINITY), "{report:?}");
        // A wrong size is found, too.
        double.on_run(|onnx, inputs, outputs| {
            compute_sample(onnx, 1.0, &mut inputs[0], &mut outputs[0]);
            Ok(())
        });
        assert_eq!(test().passed, form == Form::Rtx, "{form:?}");
        double.knobs("build_null");
        let report = test();
        let failed = report.steps.last().unwrap();
        assert!(!report.passed && failed.step == "build" && failed.error.as_ref().unwrap().contains("no implementation was found"));
    }
}

/// Built as `hpinfer engine build` does with its options, and found by a run where its own engine is not there.
#[test]
fn a_run_takes_an_engine_that_was_built_for_other_machines_too() {
    let gpu = |name: &str, capability: &str| Gpu { name: name.into(), capability: capability.into(), driver: "12.4".into() };
    let (plain, [t4, a10, l4]) = (BuildOptions::default(), [("Tesla T4", "7.5"), ("NVIDIA A10", "8.6"), ("NVIDIA L4", "8.9")]);
    let version_compatible = BuildOptions { version_compatible: true, ..plain.clone() };
    for (form, special, built_on, knobs, runs_on, expected) in [
        (Form::Rtx, BuildOptions { target: Some(75), ..plain.clone() }, a10, "", t4, Some("built for compute capability 7.5")),
        (Form::Rtx, BuildOptions { target: Some(75), ..plain.clone() }, a10, "", l4, None),
        (Form::Eleven, BuildOptions { ampere_plus: true, ..plain.clone() }, a10, "", l4, Some("from Ampere on")),
        (Form::Eleven, BuildOptions { ampere_plus: true, ..plain.clone() }, a10, "", t4, None),
        (Form::Ten, version_compatible.clone(), t4, "version=101602,", t4, Some("version-compatible, by TensorRT 10.16.1.7")),
        (Form::Ten, version_compatible, t4, "version=101600,", t4, None),
    ] {
        let (double, home) = (Double::new(form), tempfile::tempdir().unwrap());
        double.computes_sample();
        let count = home.path().join("count");
        double.knobs(&format!("count={}", count.display()));
        let options = sample_options();
        let model = hpinfer::onnx::Model::decode(&sample::bytes(), "sample").unwrap();
        let recipe = Recipe::for_module(Recipe::ANY).unwrap();
        let own = recipe.options_for(&recipe::inputs(&model), options.kind.size, &options.shapes).unwrap();
        let asked =
            BuildOptions { profiles: own.profiles, workspace: own.workspace, optimization_level: own.optimization_level, ..special };
        let source = Source::new(&options.model, options.onnx.clone().unwrap(), options.model_sha256.clone());
        let made = builder(&double, home.path()).as_on(gpu(built_on.0, built_on.1));
        let (_, _, file, _) = made.build_for_target(&source, &asked, &Arithmetic::Float32).unwrap();
        let file = file.unwrap();

        double.knobs(&format!("{knobs}count={}", count.display()));
        let here = TensorRt::new(builder(&double, home.path()).as_on(gpu(runs_on.0, runs_on.1)), Device::Cpu);
        let (engine, lines) = logged(tracing::Level::INFO, || here.load(&options).unwrap());
        let builds = std::fs::read_to_string(&count).unwrap().lines().count();
        let named = file.file_stem().unwrap().to_str().unwrap();
        assert_eq!(builds, if expected.is_some() { 1 } else { 2 }, "{form:?} {asked:?}");
        assert_eq!(engine.info().engines.len(), 1);
        assert_eq!(engine.info().engines[0] == named, expected.is_some(), "{:?}", engine.info());
        let said: Vec<_> = lines.iter().filter(|line| line.contains("is used: ")).collect();
        assert_eq!(said.len(), usize::from(expected.is_some()), "{lines:?}");
        assert!(said.iter().all(|line| line.contains(named) && line.contains(expected.unwrap())), "{lines:?}");
        assert_eq!(here.prepare(&options).unwrap().kept().unwrap().info().engines, engine.info().engines);
        let mut session = engine.session().unwrap();
        session.input(0, Shape::new(&[1, 4])).unwrap().copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
        session.run().unwrap();
        assert_eq!(session.output(0).unwrap().as_f32().unwrap(), sample::expected(&[1.0, 2.0, 3.0, 4.0]).as_slice());
    }
}

/// TensorRT-RTX builds for Ampere and later unless told; Turing runs that to zeros.
#[test]
fn turing_is_named_to_tensorrt_rtx() {
    let source = Source::new("sample", sample_options().onnx.unwrap(), sample_options().model_sha256);
    for form in Form::ALL {
        let (double, home) = (Double::new(form), tempfile::tempdir().unwrap());
        double.computes_sample();
        for (name, capability) in [("Tesla T4", "7.5"), ("NVIDIA A10", "8.6")] {
            let gpu = Gpu { name: name.into(), capability: capability.into(), driver: "12.4".into() };
            let builder = builder(&double, home.path()).as_on(gpu);
            let target = builder.key(&source, &BuildOptions::default(), &Arithmetic::Float32).options.target;
            assert_eq!(target, (form == Form::Rtx && capability == "7.5").then_some(75), "{form:?} on {name}");
        }
    }
}

/// Its engine would be filed under what the file was before.
#[test]
fn a_model_that_was_written_since_it_was_opened_is_not_built() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    double.computes_sample();
    let file = home.path().join("sample.onnx");
    std::fs::write(&file, sample::bytes()).unwrap();
    let options = LoadOptions { onnx: Some(Onnx::File(file.clone())), ..sample_options() };
    let prepared = backend(&double, home.path()).prepare(&options).unwrap();
    std::fs::write(&file, [sample::bytes(), vec![0]].concat()).unwrap();
    let message = prepared.engine().err().unwrap().to_string();
    assert!(message.contains("sample.onnx") && message.contains("was written since it was opened"), "{message}");
    std::fs::write(&file, sample::bytes()).unwrap();
    assert!(backend(&double, home.path()).load(&options).is_ok());
}

#[test]
fn an_engine_for_other_machines_that_is_refused_is_passed_over_with_one_warning() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    double.computes_sample();
    let options = sample_options();
    let own = backend(&double, home.path()).load(&options).unwrap().info().engines[0].clone();
    let cache = EngineCache::new(Cache::open(Some(home.path())).unwrap());
    let mut entry = cache.list(&[]).remove(0);
    let key = &mut entry.description.as_mut().unwrap().key;
    key.options.version_compatible = true;
    cache.load_or_build(key, None, |_| Ok(()), |_| Ok(b"no plan of the double".to_vec())).unwrap();
    cache.remove(&entry.path).unwrap();

    let prepared = backend(&double, home.path()).prepare(&options).unwrap();
    let (kept, lines) = warnings(|| prepared.kept().map(|_| ()).unwrap_err().to_string());
    assert!(kept.contains("its engine is not used") && lines.is_empty(), "{kept} {lines:?}");
    let (engine, lines) = warnings(|| prepared.engine().unwrap());
    assert_eq!(engine.info().engines, [own]);
    assert!(lines.len() == 1 && lines[0].contains("passed over") && lines[0].contains(&key.name()), "{lines:?}");
    let (_, lines) = warnings(|| prepared.engine().unwrap());
    assert!(lines.is_empty(), "{lines:?}");
}

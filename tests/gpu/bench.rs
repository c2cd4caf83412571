//! `hpinfer bench ops` on the stand-in: its times mean nothing, its results are compared with the processor's, and the driver's
//! copies are counted from outside as `benches/gpu.sh` does it.

use super::stub;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What `source`, a file of this repository, is compiled to in `folder`.
fn compiled(folder: &Path, source: &str, flags: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
    let target = folder.join(source.file_stem().expect("a name"));
    let mut compiler = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    let built = compiler.args(["-O1", "-Wall", "-Werror"]).args(flags).arg("-o").args([&target, &source]).arg("-ldl").output();
    let built = built.expect("the C compiler runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    target
}

fn counter(folder: &Path) -> PathBuf {
    compiled(folder, "benches/count_copies.c", &["-shared", "-fPIC"])
}

/// Rows, boxes, arrays, lists and copies to other devices are counted by the bytes that they are told, and passed on as they are.
#[test]
fn copies_of_every_form_are_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = compiled(folder.path(), "tests/gpu/copies.c", &["-rdynamic"]);
    let counts = folder.path().join("counts.json");
    let ran = Command::new(program).env("LD_PRELOAD", counter(folder.path())).env("COPY_COUNTS", &counts).status();
    assert_eq!(ran.expect("it starts").code(), Some(0), "the arguments of this call were changed");
    let counted: Value = serde_json::from_slice(&std::fs::read(&counts).expect("counted")).expect("JSON");
    let kinds = [
        ("to_device", 2, 100 + 21_000),
        ("to_host", 2, 200 + 210),
        ("within_device", 4, 10 + 20 + 40 + 210),
        ("unknown", 2, 3000 + 16 + 64),
    ];
    for (kind, calls, bytes) in kinds {
        assert_eq!(counted[kind], json!({"calls": calls, "bytes": bytes}), "{kind}");
    }
}

#[test]
fn kernels_are_measured_and_compared() {
    let folder = stub::folder(&[]);
    let counter = counter(folder.path());
    std::os::unix::fs::symlink(stub::library("gpu/nvml.cpp", &[]), folder.path().join("libnvidia-ml.so.1")).expect("linked");
    let counts = folder.path().join("counts.json");
    let ops = |flags: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        command
            .env_remove("CUDA_VISIBLE_DEVICES")
            .env("LD_LIBRARY_PATH", folder.path())
            .env("STUB_CUDA", "devices=9.0,9.0 memory=268435456");
        command.env("STUB_KERNELS", crate::library::kernels()).env("LD_PRELOAD", &counter).env("COPY_COUNTS", &counts);
        command.args(["bench", "ops", "--repeat", "1", "--launches", "1"]).args(flags).output().expect("it starts")
    };
    let [csv, html] = ["ops.csv", "ops.html"].map(|name| folder.path().join(name).display().to_string());
    let Output { status, stdout, stderr } = ops(&["--only", "crops-f16,ctc", "--json", "-", "--csv", &csv, "--html", &html]);
    assert!(status.success(), "{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    let report: Value = serde_json::from_slice(&stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("a list");
    assert_eq!(rows.iter().map(|row| row["name"].as_str().expect("a name")).collect::<Vec<_>>(), ["warp_resize_norm", "ctc, all kernels"]);
    let sound = |row: &Value| {
        row["differences"] == 0
            && row["compared"].as_u64() > Some(0)
            && ["gpu_us", "cold_us"].iter().all(|time| row[*time].as_f64() > Some(0.0))
    };
    assert!(rows.iter().all(sound), "{report}");
    assert!(report["copy_gb_per_s"].as_f64() > Some(0.0) && report["device"] == "gpu:0", "{report}");
    let csv = std::fs::read_to_string(csv).expect("written");
    assert!(csv.lines().count() == 3 && csv.contains("\r\n\"ctc, all kernels\",") && csv.contains(",gpu:0,"), "{csv}");
    let page = std::fs::read_to_string(html).expect("written");
    assert!(["gpu:0: Stub 0", "warp_resize_norm", "OF COPY", "<svg"].iter().all(|part| page.contains(part)), "{page}");
    let counted: Value = serde_json::from_slice(&std::fs::read(&counts).expect("counted")).expect("JSON");
    // The page, the scores and their tables; the results; the copy that is measured, with its warm-up.
    let (scores, page) = (32 * 40 * 6625 * 4, 1920 * 1080 * 3);
    let bytes = |kind: &str| counted[kind]["bytes"].as_u64().expect("a number");
    assert!((scores + page..scores + page + 200_000).contains(&bytes("to_device")), "{counted}");
    assert!((32 * 3 * 320 * 48 * 2..4_000_000).contains(&bytes("to_host")), "{counted}");
    assert!(bytes("within_device") > 0 && bytes("unknown") == 0, "{counted}");

    let Output { status, stdout, stderr } = ops(&[
        "--only",
        "masks-640,crops-curved,crops-nv12,whiten-640,difference-640,resize-640-nv12,resize-640-cubic-f16,resize-batch-odd,db-dilated",
        "--json",
        "-",
    ]);
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let report: Value = serde_json::from_slice(&stdout).expect("JSON");
    let rows = report["rows"].as_array().expect("a list");
    assert!(rows.len() == 10 && rows.iter().all(sound), "{report}");
    let comes_back = |row: &Value| row["name"].as_str().is_some_and(|name| name.starts_with("db"));
    assert!(rows.iter().all(|row| comes_back(row) == (row["whole_us"].as_f64() > Some(0.0))), "{report}");

    let Output { stderr, .. } = ops(&["--only", "bogus"]);
    let known = String::from_utf8_lossy(&stderr);
    let at_each_size = ["resize-SIZE-linear-f32", "difference-SIZE", "whiten-SIZE", "masks-SIZE", "classes-SIZE", "db-SIZE"];
    let sizes = ["640", "1080p", "4k"].into_iter().flat_map(|size| at_each_size.map(|name| name.replace("SIZE", size)));
    let batches = ["resize-batch-f32", "crops-f32", "db-batch-640", "nms-batch", "ctc"].map(str::to_owned);
    let missing: Vec<String> = sizes.chain(batches).filter(|name| !known.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}: {known}");

    let Output { stdout, .. } = ops(&["--only", "ctc", "--device", "gpu:1"]);
    let text = String::from_utf8_lossy(&stdout);
    assert!(text.contains("right after operations: clock 1200 of 1980 MHz") && text.contains("held back by heat"), "{text}");

    for (flags, says) in [
        (&["--only", "bogus"][..], "no operation has one of these in its name; known: resize-640-linear-f32, "),
        (&["--device", "cpu"], "these are the kernels of a GPU"),
        (&["--device", "gpu:3"], "there is no GPU 3"),
        (&["--only", "classes-4k"], "CUDA_ERROR_OUT_OF_MEMORY"),
    ] {
        let Output { status, stderr, .. } = ops(flags);
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.code() == Some(2) && said.contains(says), "{flags:?}: {said}");
    }
}

/// Which graphics processors there are and what they do, whatever the networks ran on.
#[test]
fn a_report_has_the_graphics_processors_of_its_machine() {
    let folder = stub::folder(&[]);
    std::os::unix::fs::symlink(stub::library("gpu/nvml.cpp", &[]), folder.path().join("libnvidia-ml.so.1")).expect("linked");
    let [picture, json, html] = ["one.png", "report.json", "report.html"].map(|name| folder.path().join(name));
    image::RgbImage::from_pixel(40, 24, image::Rgb([255, 0, 0])).save(&picture).expect("a picture");
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/miniatures/classify");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env_remove("CUDA_VISIBLE_DEVICES").env("LD_LIBRARY_PATH", folder.path()).env("STUB_CUDA", "devices=9.0,8.6 memory=1073741824");
    command.args(["bench", "--pipeline", "image_classification", "--model", model, "--case", "onnx_runtime"]);
    command.args(["--threads", "1", "--repeat", "1", "--warmup", "0", "--input"]).arg(&picture);
    let Output { status, stdout, stderr } = command.arg("--json").arg(&json).arg("--html").arg(&html).output().expect("it starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let report: Value = serde_json::from_slice(&std::fs::read(&json).expect("a report")).expect("JSON");
    let [first, second] = &report["machine"]["gpus"].as_array().expect("a list")[..] else { panic!("{report}") };
    assert_eq!([&first["device"], &first["name"], &first["driver"]], ["gpu:0", "Stub 0", "535.183.01"]);
    assert!(first["state"].is_null() && first["memory_mib"] == 1024, "{first}");
    assert_eq!([&second["state"]["throttled_by"][0], &second["compute_capability"]], ["heat", "8.6"]);
    let said = "gpu:1: Stub 1, compute capability 8.6, 1024 MiB; driver 535.183.01; clock 1200 of 1980 MHz, memory 2619 of 2619 MHz, 88";
    for text in [String::from_utf8_lossy(&stdout).into_owned(), std::fs::read_to_string(&html).expect("a page")] {
        assert!(text.contains(said), "{text}");
    }
    let watched = &report["cases"][0]["gpus"][0];
    assert_eq!([&watched["device"], &watched["state"]["throttled_by"][0]], ["gpu:1", "heat"], "right after its calls: {report}");
    assert!(!String::from_utf8_lossy(&stdout).contains("THROTTLED"), "no network ran on it");
    let compare = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer")).args(["bench", "compare"]).args([&json, &json]).status();
    assert!(compare.expect("it starts").success(), "it reads its own report");
}

/// Networks by themselves run on the GPU that is named, or not at all.
#[test]
fn networks_beside_published_times_run_on_the_gpu_that_is_named() {
    let folder = stub::folder(&[]);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let official = |device: &str| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        command.env_remove("CUDA_VISIBLE_DEVICES").env_remove("TENSORRT_LIB_PATH").env("LD_LIBRARY_PATH", folder.path());
        command.env("STUB_CUDA", "devices=9.0").env("STUB_KERNELS", crate::library::kernels());
        command.env("HPINFER_HOME", &home).env("ORT_DYLIB_PATH", crate::double::onnx_runtime().path);
        command.args(["bench", "official", "--model", "PP-OCRv4_mobile_det", "--repeat", "1", "--json", "--device", device]);
        command.output().expect("it starts")
    };
    // This ONNX Runtime is for processors.
    let Output { status, stdout, stderr } = official("gpu:0");
    let said = String::from_utf8_lossy(&stderr);
    assert!(status.code() == Some(1) && said.contains("left out: ") && said.contains("no engine runs it: "), "{said}");
    let report: Value = serde_json::from_slice(&stdout).expect("JSON");
    assert_eq!((&report["device"], report["rows"].as_array().map(Vec::len)), (&"gpu:0".into(), Some(0)));
    assert!(report["comparable"].as_str().is_some_and(|said| said.contains("ran on gpu:0")), "{report}");
    let Output { status, stderr, .. } = official("gpu:3");
    assert!(status.code() == Some(2) && String::from_utf8_lossy(&stderr).contains("there is no GPU 3"));
}

//! `hpinfer bench` on the demo picture: a real run of the real engines. Its numbers are checked for being there and
//! fitting together, never for how large they are.

use assert_cmd::Command;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

const STAGES: [&str; 7] = ["crop", "det_infer", "det_post", "det_pre", "rec_infer", "rec_post", "rec_pre"];

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/delivery_note.png")
}

fn bench() -> Command {
    let mut command = Command::cargo_bin("hpinfer").expect("the binary is built");
    command.arg("bench").env_remove("HPINFER_THREADS");
    command
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One measurement that the tests share: two thread counts, one input that is no picture.
fn measured() -> &'static (Value, String) {
    static REPORT: OnceLock<(Value, String)> = OnceLock::new();
    REPORT.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let (broken, json) = (folder.path().join("broken.png"), folder.path().join("report.json"));
        fs::write(&broken, b"no picture").expect("written");
        let mut command = bench();
        command.args(["--pipeline", "OCR", "--repeat", "1", "--warmup", "0", "--threads", "1,2", "--case", "onnx_runtime"]);
        let (csv, html) = (folder.path().join("report.csv"), folder.path().join("report.html"));
        command.arg("--input").arg(demo()).arg(&broken).arg("--json").arg(&json).arg("--csv").arg(&csv).arg("--html").arg(&html);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "one input of two failed: {}", stderr(&output));
        let report = serde_json::from_slice(&fs::read(&json).expect("a report")).expect("JSON");
        check_files(&fs::read_to_string(&csv).expect("a table"), &fs::read_to_string(&html).expect("a page"));
        (report, String::from_utf8(output.stdout).expect("text"))
    })
}

fn check_files(csv: &str, html: &str) {
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 5, "a head, and for each case a line over all and one picture: {csv}");
    assert!(lines.iter().all(|line| line.len() == lines[0].len()), "{csv}");
    let column = |name: &str| lines[0].iter().position(|head| *head == name).expect(name);
    for line in &lines[1..] {
        assert!(line[column("p50_ms")].parse::<f64>().is_ok_and(|ms| ms > 0.0) && line[column("case")] == "onnx_runtime", "{line:?}");
    }
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</html>\n") && html.matches("<svg").count() == 4, "{html}");
    assert!(html.contains("delivery_note.png") && !html.contains("<script") && !html.contains("http"), "{html}");
}

fn number(value: &Value, path: &str) -> f64 {
    value.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path} is no number in {value}"))
}

#[test]
fn a_report_says_where_on_what_and_with_what_it_was_measured() {
    let (report, text) = measured();
    assert_eq!(report["schema_version"], 1);
    assert_eq!(report["hpinfer"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&report["pipeline"], &report["jpeg_decoder"]), (&"OCR".into(), &"turbo".into()));
    assert!(number(report, "/machine/cores") >= 1.0 && report["machine"]["cpu"].is_string());
    let date = report["date"].as_str().expect("a date");
    assert!(date.len() == 20 && date.starts_with("20") && date.ends_with('Z'), "{date}");
    let inputs = &report["inputs"];
    assert_eq!((&inputs["count"], &inputs["names"][0]), (&1.into(), &demo().display().to_string().into()));
    assert_eq!(inputs["sha256"].as_str().map(str::len), Some(64));
    assert!(inputs["failed"][0]["name"].as_str().is_some_and(|n| n.ends_with("broken.png")), "{inputs}");
    assert!(inputs["failed"][0]["reason"].as_str().is_some_and(|r| r.contains("not a picture")), "{inputs}");
    let cases = report["cases"].as_array().expect("cases");
    let names: Vec<_> = cases.iter().map(|c| (c["case"].as_str(), c["threads"].as_u64())).collect();
    assert_eq!(names, [(Some("onnx_runtime"), Some(1)), (Some("onnx_runtime"), Some(2))]);
    for case in cases {
        let backends: Vec<_> = case["models"].as_array().expect("models").iter().map(|m| m["backend"].as_str()).collect();
        assert_eq!(backends, [Some("onnx_runtime"); 2]);
        assert_eq!(case["floor"]["models"], case["models"]);
    }
    for expected in ["onnx_runtime, 1 thread", "onnx_runtime, 2 threads", "IMAGES/s", "REC INFER", "RATIO", "left out"] {
        assert!(text.contains(expected), "{expected} is missing in\n{text}");
    }
}

#[test]
fn numbers_of_a_case_fit_together() {
    let (report, _) = measured();
    for case in report["cases"].as_array().expect("cases") {
        let picture = &case["pictures"][0];
        assert!(number(picture, "/lines") >= 5.0 && number(picture, "/engine_runs") >= 2.0, "{picture}");
        assert!(number(case, "/first_result_ms") > number(case, "/open_ms"));
        assert!(number(case, "/images_per_s") > 0.0 && number(case, "/decode_ms") > 0.0);
        let [p50, p95, p99] = ["/latency/p50_ms", "/latency/p95_ms", "/latency/p99_ms"].map(|p| number(case, p));
        assert!(0.0 < p50 && p50 <= p95 && p95 <= p99);
        let stages = case["stages_ms"].as_object().expect("stages");
        let mut names: Vec<_> = stages.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, STAGES);
        for sum in ["all", "several_lines"] {
            let floor = &case["floor"][sum];
            assert_eq!(floor["pictures"], 1);
            for path in ["/end_to_end/wall_ms", "/engine/wall_ms", "/pre_post_ms"] {
                assert_eq!(number(floor, path), number(picture, &format!("/floor{path}")), "the sum over one picture");
            }
            let time = if floor["engine"]["cpu_ms"].is_number() { "cpu_ms" } else { "wall_ms" };
            let ratio = number(floor, &format!("/end_to_end/{time}")) / number(floor, &format!("/engine/{time}"));
            assert!((number(floor, "/ratio") - ratio).abs() < 1e-9, "{floor}");
        }
        if cfg!(target_os = "linux") {
            assert!(number(case, "/peak_memory_mib") > number(case, "/decoded_mib"));
        }
    }
}

fn two_pictures(folder: &Path) -> [PathBuf; 2] {
    ["one.png", "two.png"].map(|name| {
        let picture = folder.join(name);
        image::RgbImage::from_pixel(40, 24, image::Rgb([255, 0, 0])).save(&picture).expect("a picture");
        picture
    })
}

/// Pipelines with one network, on miniatures: two pictures that share a run where the network takes several.
#[test]
fn a_pipeline_with_one_network_has_its_stages_and_its_floor() {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = two_pictures(folder.path());
    for (pipeline, model, runs) in [
        ("image_classification", "classify", 1.0),
        ("object_detection", "detect_detr", 1.0),
        ("semantic_segmentation", "segment", 1.0),
        ("instance_segmentation", "instances", 1.0),
    ] {
        let (model, json) =
            (Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures").join(model), folder.path().join("report.json"));
        let mut command = bench();
        command.args(["--pipeline", pipeline, "--repeat", "2", "--warmup", "0", "--threads", "1", "--case", "onnx_runtime"]);
        command.args(["--batch-size", "2", "--model"]).arg(model).arg("--json").arg(&json).arg("--input").args(&pictures);
        let output = command.output().expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{pipeline}: {}", stderr(&output));
        let heading = text.lines().find(|line| line.contains("DECODE")).expect("a table of stages");
        assert_eq!(heading.split_whitespace().collect::<Vec<_>>(), ["CASE", "DECODE", "PRE", "INFER", "POST"], "{pipeline}");
        assert!(!text.contains("lines"), "these pipelines read none: {text}");
        let report: Value = serde_json::from_slice(&fs::read(&json).expect("a report")).expect("JSON");
        let case = &report["cases"][0];
        let stages: Vec<&String> = case["stages_ms"].as_object().expect("stages").keys().collect();
        assert_eq!(stages, ["infer", "post", "pre"], "{pipeline}");
        assert_eq!(case["floor"]["all"]["pictures"], 2);
        assert!(number(case, "/floor/all/engine/wall_ms") > 0.0 && number(case, "/images_per_s") > 0.0, "{pipeline}: {case}");
        for picture in case["pictures"].as_array().expect("pictures") {
            assert_eq!(number(picture, "/engine_runs"), runs, "{pipeline}: {picture}");
        }
    }
}

#[test]
fn a_trace_has_a_slice_for_each_time_a_picture_was_measured() {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = two_pictures(folder.path());
    let (trace, model) =
        (folder.path().join("trace.json"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify"));
    fs::write(&trace, "what was there before").expect("written");
    let mut command = bench();
    command.args([
        "--pipeline",
        "image_classification",
        "--repeat",
        "2",
        "--threads",
        "1,2",
        "--case",
        "onnx_runtime",
        "--batch-size",
        "2",
    ]);
    command.args(["--load", "0.01", "--model"]).arg(model).arg("--trace").arg(&trace).arg("--input").args(&pictures);
    let output = command.output().expect("it runs");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let events: Vec<Value> = serde_json::from_slice(&fs::read(&trace).expect("a trace")).expect("JSON");
    let named = |what: &'static str| events.iter().filter(move |e| e["name"] == what);
    let cases: Vec<_> = named("process_name").map(|e| (e["args"]["name"].as_str(), &e["pid"])).collect();
    assert_eq!([cases[0].0, cases[1].0], [Some("onnx_runtime, 1 thread"), Some("onnx_runtime, 2 threads")]);
    for (_, case) in &cases {
        let rows: Vec<_> = named("thread_name").filter(|e| e["pid"] == **case).collect();
        let slices = |part: &str, picture: &Path| {
            let rows: Vec<_> = rows.iter().filter(|e| e["args"]["name"].as_str().is_some_and(|name| name.starts_with(part))).collect();
            let on_rows = events.iter().filter(|e| e["ph"] == "X" && e["pid"] == **case && rows.iter().any(|row| row["tid"] == e["tid"]));
            on_rows.filter(|e| e["name"].as_str() == picture.to_str()).collect::<Vec<_>>()
        };
        for picture in &pictures {
            let [alone, overlapped, load] =
                ["one at a time", "throughput, worker ", "load 25 %, worker "].map(|part| slices(part, picture));
            assert_eq!((alone.len(), overlapped.len()), (2, 2), "as often as --repeat says");
            assert!(!load.is_empty() && number(load[0], "/args/waited_ms") >= 0.0, "{load:?}");
            for slice in alone {
                let stages = ["pre", "infer", "post"].map(|stage| number(slice, &format!("/args/{stage}_ms")));
                assert!(stages[1] > 0.0 && stages.iter().sum::<f64>() <= number(slice, "/dur") / 1e3 + 0.01, "{slice}");
            }
        }
        assert_eq!(rows.iter().filter(|e| e["args"]["name"] == "one at a time").count(), 1);
    }
    let output = bench().args(["--pipeline", "OCR", "--input"]).arg(&pictures[0]).args(["--trace", "absent/trace.json"]).output();
    let output = output.expect("it runs");
    assert!(output.status.code() == Some(2) && stderr(&output).contains("absent/trace.json"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("measuring"), "{}", stderr(&output));
}

/// A report file with `change` made to the measured one.
fn file(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut report = measured().0.clone();
    change(&mut report);
    let path = folder.join(name);
    fs::write(&path, report.to_string()).expect("written");
    path
}

fn compare(before: &Path, after: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let output = bench().arg("compare").args([before, after]).args(more).output().expect("it runs");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned(), stderr(&output))
}

#[test]
fn a_comparison_fails_on_a_regression_beyond_the_threshold() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = file(folder.path(), "a.json", |_| ());
    let slower = file(folder.path(), "b.json", |r| {
        r["cases"][1]["latency"]["p50_ms"] = (number(r, "/cases/1/latency/p50_ms") * 1.2).into();
        r["jpeg_decoder"] = "zune".into();
    });
    let (code, text, _) = compare(&before, &before, &["--threshold", "0"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("latency p50, ms") && !text.contains("WORSE"), "{text}");
    let (code, text, _) = compare(&before, &slower, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("note: JPEG decoder: turbo before, zune after"), "{text}");
    let worse: Vec<_> = text.lines().filter(|l| l.contains("WORSE")).collect();
    assert!(worse.len() == 1 && worse[0].contains("2 threads") && worse[0].contains("+20.0 %"), "{text}");
    assert_eq!(compare(&before, &slower, &["--threshold", "30"]).0, Some(0));
    assert_eq!(compare(&slower, &before, &[]).0, Some(0), "faster is no regression");
}

#[test]
fn the_knee_and_the_latencies_below_it_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let loaded = |name: &str, knee: Value, [below, at]: [f64; 2]| {
        let rate = |part: f64, p99: f64| {
            let latency = json!({ "p50_ms": 2.0, "p95_ms": 3.0, "p99_ms": p99, "min_ms": 1.0, "geomean_ms": 2.0 });
            json!({ "part": part, "offered_per_s": 918.0 * part, "finished_per_s": 918.0 * part, "latency": latency })
        };
        let load = json!({ "rates": [rate(0.005, 4.0), rate(0.25, below), rate(1.0, at)], "knee_per_s": knee });
        file(folder.path(), name, |r| r["cases"][0]["load"] = load)
    };
    let before = loaded("a.json", 918.0.into(), [4.0, 5.0]);
    for (what, knee, p99, expected) in [
        ("the same", 918.0.into(), [4.0, 5.0], &[][..]),
        ("a lower knee", 10.0.into(), [200.0, 250.0], &["knee, images/s  918.000  10.000  -98.9 %"]),
        ("no knee", Value::Null, [200.0, 250.0], &["knee, images/s  918.000  0.000  -100.0 %"]),
        ("later below the knee", 918.0.into(), [200.0, 5.0], &["load 25 %  latency p99, ms  4.000  200.000  +4900.0 %"]),
        ("later at the knee only", 918.0.into(), [4.0, 250.0], &[]),
    ] {
        let (code, text, error) = compare(&before, &loaded("b.json", knee, p99), &[]);
        let words = |line: &str| line.split("  ").map(str::trim).filter(|word| !word.is_empty()).collect::<Vec<_>>().join("  ");
        let worse: Vec<_> = text.lines().filter(|line| line.contains("WORSE")).map(words).collect();
        assert_eq!(code, Some(i32::from(!expected.is_empty())), "{what}: {text}{error}");
        assert!(worse.len() == expected.len() && worse.iter().zip(expected).all(|(line, part)| line.contains(part)), "{what}: {text}");
    }
    let late = file(folder.path(), "c.json", |r| r["cases"][1]["latency"]["p99_ms"] = 1e6.into());
    let (code, text, error) = compare(&file(folder.path(), "d.json", |_| ()), &late, &[]);
    assert!(code == Some(1) && text.lines().any(|line| line.contains("latency p99, ms") && line.contains("WORSE")), "{text}{error}");
}

#[test]
fn unlike_reports_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = file(folder.path(), "a.json", |_| ());
    let unlike = file(folder.path(), "b.json", |r| {
        r["machine"]["cores"] = 512.into();
        r["inputs"]["sha256"] = "00".repeat(32).into();
    });
    let (code, _, error) = compare(&before, &unlike, &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("machine") && error.contains("512 cores") && error.contains("inputs"), "{error}");
    let (code, _, error) = compare(&before, &demo(), &[]);
    assert_eq!(code, Some(2));
    assert!(error.contains("delivery_note.png") && error.contains("no report"), "{error}");
    assert_eq!(compare(&before, Path::new("absent.json"), &[]).0, Some(2));
}

#[test]
fn another_network_in_the_same_place_is_told_from_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let [model, picture, before, after] = ["classify", "one.png", "a.json", "b.json"].map(|name| folder.path().join(name));
    fs::create_dir(&model).expect("a folder");
    for file in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify")).expect("a model") {
        let file = file.expect("a file");
        fs::copy(file.path(), model.join(file.file_name())).expect("copied");
    }
    image::RgbImage::new(40, 24).save(&picture).expect("a picture");
    let measure = |report: &Path| {
        let mut command = bench();
        command.args(["latency", "--pipeline", "image_classification", "--repeat", "1", "--warmup", "0", "--threads", "1"]);
        command.args(["--backend", "onnx_runtime", "--model"]).arg(&model).arg("--input").arg(&picture).arg("--json").arg(report);
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    };
    measure(&before);
    let network = model.join("inference.onnx");
    let described = [&fs::read(&network).expect("a network")[..], &[0x32, 1, b'x']].concat(); // a description, as any exporter may add
    fs::write(&network, described).expect("written");
    measure(&after);
    let (code, _, error) = compare(&before, &after, &["--threshold", "1e9"]);
    assert!(code == Some(2) && error.contains("network of ") && error.contains(" against ") && !error.contains("models of"), "{error}");
}

#[test]
fn damaged_numbers_are_refused_by_file_and_field() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, report: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, report.to_string()).expect("written");
        path
    };
    let good = write("good.json", &measured().0);
    for (field, values) in [
        ("/cases/0/latency/p50_ms", &[json!(-1), json!(0), json!(-0.5), Value::Null, json!("12")][..]),
        ("/cases/1/latency/p99_ms", &[json!(0.0)]),
        ("/cases/0/first_result_ms", &[json!(-3.5), json!([])]),
        ("/cases/1/images_per_s", &[json!(0), Value::Null]),
        ("/cases/0/floor/all/ratio", &[json!(0)]),
        ("/cases/0/peak_memory_mib", &[json!(-300.0)]),
    ] {
        for value in values {
            let mut report = measured().0.clone();
            *report.pointer_mut(field).unwrap_or_else(|| panic!("no {field}")) = value.clone();
            let bad = write("bad.json", &report);
            let place = field.replace("/cases/", ".cases[").replacen('/', "].", 1).replace('/', ".");
            for (before, after) in [(&good, &bad), (&bad, &good)] {
                let (code, text, error) = compare(before, after, &[]);
                let expected = format!("bad.json: is damaged: {place} is {value}");
                assert!(code == Some(2) && text.is_empty() && error.contains(&expected), "{expected}: {text}{error}");
            }
        }
    }
    let infinite = folder.path().join("infinite.json");
    fs::write(&infinite, r#"{"cases": [{"latency": {"p50_ms": 1e999}}]}"#).expect("written");
    let (code, _, error) = compare(&infinite, &good, &[]);
    assert!(code == Some(2) && error.contains("infinite.json") && error.contains("out of range at line 1"), "{error}");
    let run = json!({ "model": "m", "backend": "b", "version": "1", "device": "cpu", "precision": "float32" });
    let cold = |samples: Value| {
        let starts = json!([{ "start": "cached", "first_result_ms": samples, "open_ms": [1.0, 1.0, 1.0], "models": [run] }]);
        let machine = &measured().0["machine"];
        json!({ "hpinfer": "1", "date": "", "machine": machine, "pipeline": "OCR", "input": "a.png", "threads": 1, "starts": starts })
    };
    let (good, bad) = (write("good.json", &cold(json!([4.0, 5.0, 6.0]))), write("bad.json", &cold(json!([4.0, 5.0, -6.0]))));
    assert_eq!(compare(&good, &good, &[]).0, Some(0));
    let (code, _, error) = compare(&good, &bad, &[]);
    assert!(code == Some(2) && error.contains("bad.json: is damaged: .starts[0].first_result_ms[2] is -6.0"), "{error}");
}

/// `networks` of a report, each with another SHA-256.
fn replaced(networks: &Value) -> Value {
    networks.as_object().expect("networks").keys().map(|model| (model.clone(), json!("00".repeat(32)))).collect()
}

/// Reports of the other commands, each beside itself, what is worse, what is unlike, and one of another command.
#[test]
fn streams_starts_and_networks_are_compared_as_well() {
    type Edit = fn(&mut Value);
    struct Kind {
        report: Value,
        number: &'static str,
        worse: Edit,
        unlike: [(&'static str, Edit); 5],
    }
    let folder = tempfile::tempdir().expect("a folder");
    let classify =
        |arguments: &[&str]| serde_json::from_str(&small(&[arguments, &["--backend", "onnx_runtime", "--json"]].concat())).expect("JSON");
    let streams: Value = classify(&["streams", "--fps", "20", "--seconds", "0.1", "--p99", "0.01"]);
    let output = bench().args(["official", "--model", "PP-OCRv4_mobile_det", "--threads", "1", "--repeat", "1", "--json"]).output();
    let official: Value = serde_json::from_slice(&output.expect("it runs").stdout).expect("JSON");
    let kinds = [
        Kind {
            report: streams,
            number: "frames/s",
            worse: |r| r["tried"][0]["finished_per_s"] = 1e-3.into(),
            unlike: [
                ("inputs: 1 file with SHA-256", |r| r["sha256"] = "00".repeat(32).into()),
                ("models: ", |r| r["models"][0]["model"] = "another".into()),
                ("network of ", |r| r["networks"] = replaced(&r["networks"])),
                ("frames of each stream a second: 20 against 25", |r| r["fps"] = 25.0.into()),
                ("topk: the default against 2", |r| r["settings"]["topk"] = "2".into()),
            ],
        },
        Kind {
            report: classify(&["cold", "--repeat", "1"]),
            number: "first result, ms",
            worse: |r| r["starts"][1]["first_result_ms"][0] = 1e6.into(),
            unlike: [
                ("input: a file with SHA-256", |r| r["sha256"] = "00".repeat(32).into()),
                ("models of starts with cached: ", |r| r["starts"][1]["models"][0]["model"] = "another".into()),
                ("network of ", |r| r["networks"] = replaced(&r["networks"])),
                ("starts: downloads and cached against downloads", |r| drop(r["starts"].as_array_mut().map(Vec::pop))),
                ("threads: 1 against 2", |r| r["threads"] = 2.into()),
            ],
        },
        Kind {
            report: official,
            number: "run, ms",
            worse: |r| r["rows"][0]["run_ms"] = 1e6.into(),
            unlike: [
                ("device: cpu against gpu:0", |r| r["device"] = "gpu:0".into()),
                ("networks and their inputs: ", |r| r["rows"][0]["model"] = "another".into()),
                ("network of PP-OCRv4_mobile_det: SHA-256 ", |r| r["rows"][0]["sha256"] = "00".repeat(32).into()),
                ("(1x3x64x64)", |r| r["rows"][0]["inputs"] = "1x3x64x64".into()),
                ("machine: ", |r| r["machine"]["cores"] = 512.into()),
            ],
        },
    ];
    let write = |name: &str, report: &Value| {
        let path = folder.path().join(name);
        fs::write(&path, report.to_string()).expect("written");
        path
    };
    for Kind { report, number, worse, unlike } in &kinds {
        let with = |edit: Edit| {
            let mut report = report.clone();
            edit(&mut report);
            write("b.json", &report)
        };
        let before = write("a.json", report);
        let (code, text, error) = compare(&before, &before, &["--threshold", "0"]);
        assert!(code == Some(0) && text.contains(number) && text.contains("+0.0 %"), "{text}{error}");
        let (code, text, error) = compare(&before, &with(*worse), &[]);
        let line = text.lines().find(|line| line.contains("WORSE"));
        assert!(code == Some(1) && line.is_some_and(|line| line.contains(number)), "{text}{error}");
        for (expected, edit) in unlike {
            let (code, _, error) = compare(&before, &with(*edit), &[]);
            assert!(code == Some(2) && error.contains("not comparable") && error.contains(expected), "{expected}: {error}");
        }
        let early = with(|r| {
            let lacks = |report: &mut Value| {
                report
                    .as_object_mut()
                    .into_iter()
                    .for_each(|r| r.retain(|field, _| !["settings", "sha256", "networks"].contains(&&**field)));
            };
            r.pointer_mut("/rows/0").into_iter().for_each(lacks);
            lacks(r);
        });
        let (code, text, error) = compare(&early, &before, &[]);
        assert_eq!(code, Some(0), "what an early report lacks is passed over: {text}{error}");
        assert!(text.contains("note: a report has no SHA-256 of the networks of "), "{text}");
        let (code, _, error) = compare(&before, &file(folder.path(), "c.json", |_| ()), &[]);
        assert!(code == Some(2) && error.contains(", the other of `bench`"), "{error}");
    }
}

#[test]
fn what_cannot_be_measured_is_refused_before_anything_starts() {
    for (flags, expected) in [
        (&["--input", "x.png"][..], "--pipeline"),
        (&["--pipeline", "OCR"], "--input"),
        (&["--pipeline", "OCR", "--input", "x.png", "--repeat", "0"], "--repeat"),
        (&["--pipeline", "OCR", "--input", "x.png", "--threads", "1,0"], "--threads"),
        (&["--pipeline", "OCR", "--input", "http://localhost/x.png"], "download it first"),
        (&["--pipeline", "nonsense", "--input", "x.png"], "nonsense"),
        (&["--pipeline", "OCR", "--input", "Cargo.toml", "--jpeg-decoder", "nvjpeg"], "give --device gpu:0 as well"),
    ] {
        let output = bench().args(flags).output().expect("it runs");
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {error}");
        assert!(error.contains(expected) && !error.contains("measuring"), "{flags:?}: {error}");
    }
    let output = bench().args(["--pipeline", "OCR", "--input", "absent.png", "--backend", "onnx_runtime"]).output().expect("it runs");
    let error = stderr(&output);
    assert!(output.status.code() == Some(2) && error.contains("absent.png: no such file"), "{error}");
    let output = bench().args(["--pipeline", "OCR", "--max-pixels", "0", "--input"]).arg(demo()).output().expect("it runs");
    assert!(stderr(&output).contains("the limit is 0"), "{}", stderr(&output));
}

/// A file of comma-separated values: its head, and its lines.
fn read_csv(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = fs::read_to_string(path).expect("a table");
    let mut lines = text.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let (head, lines) = (lines.next().expect("a head"), lines.collect::<Vec<_>>());
    assert!(!lines.is_empty() && lines.iter().all(|line| line.len() == head.len()), "{text}");
    (head, lines)
}

/// Whether `text` is this number of a report: numbers in JSON are read to within their last digit.
fn says(text: &str, number: f64) -> bool {
    text.parse().is_ok_and(|said: f64| (said - number).abs() <= 1e-9 * number.abs())
}

/// A page with a table that has these in its text.
fn check_page(path: &Path, expected: &[&str]) {
    let html = fs::read_to_string(path).expect("a page");
    assert!(html.starts_with("<!DOCTYPE html>") && html.ends_with("</body></html>\n") && html.contains("<svg"), "{html}");
    assert!(expected.iter().all(|text| html.contains(text)), "{expected:?}: {html}");
}

#[test]
fn networks_stand_beside_what_was_published_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let [csv, html] = ["report.csv", "report.html"].map(|name| folder.path().join(name).to_str().expect("UTF-8").to_owned());
    let official = |arguments: &[&str]| bench().arg("official").args(arguments).output().expect("it runs");
    let flags = ["--model", "PP-OCRv4_mobile_det", "--device", "cpu", "--threads", "1", "--repeat", "1", "--quiet"];
    let output = official(&[&flags[..], &["--json", "--csv", &csv, "--html", &html]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let row = &report["rows"][0];
    assert!(number(row, "/run_ms") > 0.0 && row["inputs"] == "1x3x640x640" && report["device"] == "cpu", "{row}");
    assert_eq!((number(row, "/published_cpu_ms"), number(row, "/published_gpu_ms")), (120.177, 10.6923), "as PaddleX published them");
    assert!(report["environment"].as_array().is_some_and(|parts| parts.len() == 7) && report["comparable"].is_string(), "{report}");
    assert!(report["gpu_times"].as_str().is_some_and(|said| said.contains("driver R525 and TensorRT 10")), "{report}");
    let (head, lines) = read_csv(Path::new(&csv));
    assert_eq!(head[5..], ["run_ms", "published_cpu_ms", "published_gpu_ms"]);
    assert_eq!(lines[0][0], "PP-OCRv4_mobile_det");
    assert_eq!(lines[0][lines[0].len() - 2..], ["120.177", "10.6923"]);
    assert!(says(&lines[0][lines[0].len() - 3], number(row, "/run_ms")), "{lines:?}: {row}");
    check_page(Path::new(&html), &["PP-OCRv4_mobile_det", "120.2", "driver R525 and TensorRT 10", "NVIDIA Tesla T4"]);
    let file = folder.path().join("report.json");
    let output = official(&[&flags[..], &["--json", file.to_str().expect("UTF-8")]].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("networks on cpu, 1 thread, 1 run each") && text.contains("XEON ms"), "{text}");
    assert!(serde_json::from_slice::<Value>(&fs::read(&file).expect("a report")).is_ok_and(|report| report["rows"].is_array()));
    for (flags, expected) in [(["--model", "nobody_knows"], "hpinfer model list"), (["--device", "gpu:77"], "gpu:77")] {
        let output = official(&flags);
        assert!(output.status.code() == Some(2) && stderr(&output).contains(expected), "{flags:?}: {}", stderr(&output));
    }
}

/// The small network on one picture, with these arguments; what it prints.
fn small(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("one.png");
    image::RgbImage::from_pixel(40, 24, image::Rgb([255, 0, 0])).save(&picture).expect("a picture");
    let output = small_on(arguments, &[&picture]);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", stderr(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// The same on `inputs`, whatever comes of it.
fn small_on(arguments: &[&str], inputs: &[&Path]) -> Output {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify");
    let mut command = bench();
    command.args(arguments).args(["--threads", "1", "--pipeline", "image_classification", "--model"]).arg(model);
    command.arg("--input").args(inputs).output().expect("it runs")
}

#[test]
fn the_variables_of_paddlex_make_a_run_a_measurement() {
    let folder = tempfile::tempdir().expect("a folder");
    let [picture, _] = two_pictures(folder.path());
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify");
    let run_by = |variable: &str, asked: &str, rounds: &str| {
        let mut command = Command::cargo_bin("hpinfer").expect("the binary is built");
        command.env(variable, asked).env("PADDLE_PDX_INFER_BENCHMARK_ITER", rounds);
        command.env("PADDLE_PDX_INFER_BENCHMARK_WARMUP", "0").env("PADDLE_PDX_INFER_BENCHMARK_OUTPUT_DIR", folder.path().join("out"));
        command.args(["--threads", "1", "--pipeline", "image_classification", "--backend", "onnx_runtime", "--model"]).arg(&model);
        command.arg("--input").arg(&picture).output().expect("it runs")
    };
    let run = |asked: &str, rounds: &str| run_by("PADDLE_PDX_INFER_BENCHMARK", asked, rounds);
    let output = run("True", "2");
    let (text, said) = (String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert!(output.status.success() && text.contains("2 rounds after 0 of warm-up"), "{text}{said}");
    assert!(said.contains("hpinfer bench --repeat 2 --warmup 0"), "{said}");
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("out/benchmark.json")).expect("a report")).expect("JSON");
    assert_eq!((&report["repeat"], &report["cases"][0]["threads"]), (&2.into(), &1.into()));
    assert!(folder.path().join("out/benchmark.csv").is_file());
    let refused = run("1", "many");
    assert!(refused.status.code() == Some(2) && stderr(&refused).contains("_ITER: `many` is no number"), "{}", stderr(&refused));
    assert!(String::from_utf8_lossy(&run("False", "2").stdout).contains("class_ids"), "a plain run");
    let of_pipelines = run_by("PADDLE_PDX_PIPELINE_BENCHMARK", "True", "1");
    assert!(String::from_utf8_lossy(&of_pipelines.stdout).contains("1 rounds after 0 of warm-up"), "{}", stderr(&of_pipelines));
}

#[test]
fn the_two_loads_have_names() {
    let text = small(&["latency", "--repeat", "1", "--warmup", "0", "--case", "onnx_runtime"]);
    assert!(text.contains("P50 ms") && !text.contains("OFFERED/s"), "{text}");
    let folder = tempfile::tempdir().expect("a folder");
    let [csv, json] = ["report.csv", "report.json"].map(|name| folder.path().join(name));
    let files = ["--csv", csv.to_str().expect("UTF-8"), "--json", json.to_str().expect("UTF-8"), "--topk", "2"];
    let throughput = ["throughput", "--repeat", "1", "--warmup", "0", "--load", "0.01", "--case", "onnx_runtime"];
    let text = small(&[&throughput[..], &files].concat());
    let (head, lines) = read_csv(&csv);
    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    let rates = report["cases"][0]["load"]["rates"].as_array().expect("rates").len();
    assert!(lines.iter().all(|line| line.len() == head.len()) && head.ends_with(&["offered_per_s".into(), "finished_per_s".into()]));
    assert_eq!((lines.len(), lines.iter().filter(|line| !line[head.len() - 1].is_empty()).count()), (2 + rates, rates));
    let settings = report["settings"].as_object().expect("flags");
    assert!(settings["topk"] == "2" && settings["model"].as_str().is_some_and(|m| m.ends_with("classify")) && settings.len() == 2);
    let last = text.lines().last().expect("a line");
    let knee = last.strip_prefix("onnx_runtime, 1 thread: ").unwrap_or_else(|| panic!("{text}"));
    assert!(text.contains("OFFERED/s") && (knee.starts_with("knee at ") || knee == "no rate was kept up with"), "{text}");
}

#[test]
fn streams_are_tried_until_one_number_is_too_much() {
    let arguments = ["streams", "--fps", "400", "--seconds", "0.2", "--p99", "50", "--backend", "onnx_runtime"];
    let report: Value = serde_json::from_str(&small(&[&arguments[..], &["--json"]].concat())).expect("JSON");
    assert_eq!(report["sizes"], json!(["40x24"]));
    let folder = tempfile::tempdir().expect("a folder");
    let [csv, html] = ["report.csv", "report.html"].map(|name| folder.path().join(name));
    let text = small(&[&arguments[..], &["--csv", csv.to_str().expect("UTF-8"), "--html", html.to_str().expect("UTF-8")]].concat());
    let (head, lines) = read_csv(&csv);
    let column = |name: &str| head.iter().position(|head| head == name).expect(name);
    for line in &lines {
        assert_eq!((&*line[column("pipeline")], &*line[column("fps")]), ("image_classification", "400"));
        assert_eq!(line[column("offered")].parse::<f64>().unwrap(), 80.0 * line[column("streams")].parse::<f64>().unwrap(), "{line:?}");
        assert!(line[column("p50_ms")].parse::<f64>().is_ok() && ["true", "false"].contains(&&*line[column("kept_up")]), "{line:?}");
    }
    assert_eq!(text.lines().filter(|line| line.ends_with("  yes") || line.ends_with("  no")).count(), lines.len(), "{text}");
    check_page(&html, &["FINISHED/s", "of 100", "frames of 40x24"]);
    assert!(text.contains("streams of 1 picture, frames of 40x24, decoded beforehand; 400 frames a second each"), "{text}");
    assert_eq!((&report["pipeline"], &report["models"][0]["backend"]), (&"image_classification".into(), &"onnx_runtime".into()));
    let (most, tried) = (number(&report, "/most"), report["tried"].as_array().expect("numbers of streams"));
    for one in tried {
        let (streams, kept) = (number(one, "/streams"), one["kept_up"] == true);
        assert_eq!(number(one, "/offered"), streams * 80.0, "{one}");
        assert_eq!(kept, streams <= most, "{one}");
        assert_eq!(kept, number(one, "/dropped") == 0.0 && number(one, "/latency/p99_ms") <= 50.0, "{one}");
    }
    assert!(most == 1024.0 || tried.iter().any(|one| one["kept_up"] == false), "{report}");
}

#[test]
fn streams_of_videos_are_decoded_as_they_come() {
    let folder = tempfile::tempdir().expect("a folder");
    let [clip, picture] = ["clip.mp4", "one.png"].map(|name| folder.path().join(name));
    fs::write(&clip, "frame 40 24 0.0\nframe 40 24 0.04\nframe 40 24 0.08\n").expect("what the stand-in for ffmpeg shows");
    image::RgbImage::new(4, 4).save(&picture).expect("a picture");
    let stand_in = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stream/ffmpeg");
    let arguments = ["streams", "--fps", "50", "--seconds", "0.2", "--p99", "0.1", "--backend", "onnx_runtime", "--ffmpeg", stand_in];
    let output = small_on(&[&arguments[..], &["--json"]].concat(), &[&clip]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["decode"], &report["sizes"]), (&"host".into(), &json!(["40x24"])));
    let tried = report["tried"].as_array().expect("numbers of streams");
    assert!(!tried.is_empty() && tried.iter().all(|one| number(one, "/offered") == number(one, "/streams") * 10.0), "{report}");
    let output = small_on(&arguments, &[&clip, &picture]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("one.png is a picture beside videos"), "{}", stderr(&output));
}

#[test]
fn starts_are_timed_with_downloads_only_and_with_all_that_is_cached() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["report.json", "report.csv", "report.html"].map(|name| folder.path().join(name));
    let [json, csv, html] = files.each_ref().map(|path| path.to_str().expect("UTF-8"));
    let text = small(&["cold", "--repeat", "2", "--json", json, "--csv", csv, "--html", html]);
    assert!(text.contains("IN THE CACHE") && text.contains("all that earlier runs made, too"), "{text}");
    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    let (head, lines) = read_csv(Path::new(csv));
    assert_eq!(head, ["pipeline", "threads", "cache", "engines", "start", "first_result_ms", "open_ms"]);
    let starts: Vec<_> = lines.iter().map(|line| (&*line[2], &*line[4])).collect();
    assert_eq!(starts, [("downloads", "1"), ("downloads", "2"), ("cached", "1"), ("cached", "2")]);
    assert!(says(&lines[3][5], number(&report, "/starts/1/first_result_ms/1")), "{lines:?}: {report}");
    check_page(Path::new(html), &["libraries and models", "Median time to the first result"]);
    let starts = report["starts"].as_array().expect("kinds of starts");
    assert_eq!([&starts[0]["start"], &starts[1]["start"]], ["downloads", "cached"]);
    for kind in starts {
        for n in 0..2 {
            let (first, open) = (number(kind, &format!("/first_result_ms/{n}")), number(kind, &format!("/open_ms/{n}")));
            assert!(first > open && open > 0.0, "{kind}");
        }
        assert!(kind["models"][0]["backend"].is_string(), "{kind}");
    }
}

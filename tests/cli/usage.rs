//! Flags, names, pipeline files and what is said when they make no sense.

use crate::{DEMO, error_kind, hpinfer, ocr, run};
use std::fs;
use std::path::Path;

#[test]
fn what_makes_no_sense_is_refused_before_any_work() {
    let input = ["--pipeline", "OCR", "--input", DEMO];
    let with = |more: &[&'static str]| [&input[..], more].concat();
    let cases = [
        (vec!["--serve"], "not in this version"),
        (vec!["--install", "hpi-cpu"], "not in this version"),
        (vec!["--install", "serving", "--platform", "github.com", "--no_deps", "-y", "--use_local_repos"], "not in this version"),
        (vec!["--no_deps"], "--install"),
        (vec!["--pipeline", "OCR"], "--input: no input"),
        (vec!["--input", DEMO], "--pipeline: which one?"),
        (vec!["--pipeline", "ocr", "--input", DEMO], "`ocr` does not exist"),
        (vec!["--pipeline", "./none.yaml", "--input", DEMO], "`./none.yaml` does not exist"),
        (vec!["--get_pipeline_config", "nonsense"], "`nonsense` does not exist"),
        (with(&["--device", "gpu:0"]), "backend gpu:0: "),
        (with(&["--device", "toaster"]), "`toaster` is not a device"),
        (with(&["--backend", "tensorrt"]), "backend tensorrt: "),
        (with(&["--backend", "nonsense"]), "`nonsense` is not a backend"),
        (with(&["--threads", "0"]), "--threads: 0 cores"),
        (with(&["--threads", "many"]), "invalid value 'many'"),
        (with(&["--threads", "-1"]), "invalid value '-1' for '--threads <N>'"),
        (with(&["--text_rec_score_thresh", "-0.5"]), "hpinfer: --text-rec-score-thresh: -0.5 is not within 0 to 1"),
        (with(&["--text_rec_batch_size", "0"]), "--text-rec-batch-size: 0 lines"),
        (with(&["--text_det_model", "nonsense"]), "model nonsense is missing"),
        (with(&["--text_det_model", "PP-OCRv4_mobile_rec"]), "not a text detector"),
        (with(&["--font", "none.ttf"]), "cannot read none.ttf"),
        (with(&["--use_doc_unwarping", "True"]), "--doc-image-unwarp-model NAME"),
        (vec!["--pipeline", "object_detection", "--input", DEMO, "--threshold", "5"], "hpinfer: --threshold: 5 is not within 0 to 1"),
        (with(&["--save_path", "results.xlsx"]), "--save_path: results.xlsx: no such file is written by itself; give a folder"),
        (with(&["--save_path", "/proc"]), "cannot write to /proc: "),
        (with(&["--bogus"]), "unexpected argument '--bogus'"),
        (with(&["doctor"]), ""), // one more input, not a command
        (vec!["--pipeline", "OCR", "doctor"], "--pipeline: it belongs to running a pipeline"),
        (vec!["frobnicate"], "unrecognized subcommand"),
        (vec![], "Usage: hpinfer"),
    ];
    for (args, says) in cases {
        let ran = run(hpinfer().args(&args));
        if says.is_empty() {
            assert_eq!(ran.lines().iter().map(error_kind).collect::<Vec<_>>(), [None, Some("bad_input")], "{args:?}");
            continue;
        }
        assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn the_cache_shows_what_it_holds_and_lets_go_of_it() {
    let home = tempfile::tempdir().expect("a folder");
    let place = |name: &str| home.path().join(name);
    for name in ["compiled/m.onnx", "choices/c.json", "runtime/library/l.so"] {
        fs::create_dir_all(place(name).parent().expect("a folder")).expect("made");
        fs::write(place(name), [0; 1 << 20]).expect("written");
    }
    let cache = |args: &[&str]| run(hpinfer().env("HPINFER_HOME", home.path()).arg("cache").args(args));
    let listed: serde_json::Value = serde_json::from_str(&cache(&["list", "--json"]).stdout).expect("JSON");
    let of = |part: &str| listed.as_array().expect("parts").iter().find(|entry| entry["name"] == part).expect("a part").clone();
    assert_eq!((&of("runtime")["bytes"], &of("runtime")["made_here"]), (&(1 << 20).into(), &false.into()));
    assert_eq!((&of("compiled")["files"], &of("converted")["files"]), (&1.into(), &0.into()));
    assert!(cache(&["list"]).stdout.ends_with(&format!("3.0 MiB in {}\n", home.path().display())));
    let refused = cache(&["clear", "nonsense"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("known: official_models, runtime"), "{}", refused.stderr);
    let said = cache(&["clear"]).stdout;
    assert_eq!(said, "compiled: 1 file, 1.0 MiB removed\nchoices: 1 file, 1.0 MiB removed\n");
    assert_eq!(["compiled/m.onnx", "choices/c.json", "runtime/library/l.so"].map(|name| place(name).exists()), [false, false, true]);
    assert_eq!(cache(&["clear", "--all"]).code, Some(0));
    assert!(!place("runtime/library").exists());
}

#[test]
fn flags_of_the_reference_are_taken_as_typed() {
    let out = tempfile::tempdir().expect("a folder");
    let save_path = out.path().to_str().expect("UTF-8");
    let reference = [
        ["--save_path", "elsewhere", "--save_path", save_path], // the last counts
        ["--use_hpip", "True", "--serial_number", "X"],
        ["--use_doc_unwarping", "False", "--use_textline_orientation", "False"],
    ]
    .concat();
    let reference = [&reference[..], &["--update_license", "--device", "cpu"]].concat();
    for spelt in [|arg: &&str| arg.to_string(), |arg: &&str| if arg.starts_with("--") { arg.replace('_', "-") } else { arg.to_string() }] {
        let ran = run(ocr().args(["--input", DEMO]).args(reference.iter().map(spelt)));
        assert_eq!((ran.code, ran.lines().len()), (Some(0), 1), "{}", ran.stderr);
        fs::remove_file(out.path().join("delivery_note.json")).expect("saved");
    }
    for flags in [["--threads", "1"], ["--threads", "2"], ["--text-rec-batch-size", "3"]] {
        let ran = run(ocr().args(["--input", DEMO]).args(flags));
        assert_eq!(ran.lines()[0]["rec_text"][0], "送货单", "{flags:?}: {}", ran.stderr);
    }
}

#[test]
fn the_shipped_configuration_is_written_and_runs() {
    let out = tempfile::tempdir().expect("a folder");
    let write = || run(hpinfer().args(["--get_pipeline_config", "OCR", "--save_path"]).arg(out.path()));
    assert_eq!(write().code, Some(0));
    let again = write();
    assert!(again.code == Some(2) && again.stderr.contains("was left as it is"), "{}", again.stderr);
    for (place, written) in [("new/mine.yml", "new/mine.yml"), ("MINE.YAML", "MINE.YAML"), ("folder.yaml/", "folder.yaml/OCR.yaml")] {
        let ran = run(hpinfer().args(["--get_pipeline_config", "OCR", "--save_path"]).arg(out.path().join(place)));
        let [named, usual] = [written, "OCR.yaml"].map(|name| fs::read(out.path().join(name)).ok());
        assert!(ran.code == Some(0) && named.is_some() && named == usual, "{place}: {}", ran.stderr);
    }
    let file = out.path().join("new/mine.yml");
    let ran = run(hpinfer().arg("--pipeline").arg(file).args(["--backend", "openvino", "--input", DEMO]));
    assert_eq!(ran.lines()[0]["rec_text"][0], "送货单", "{}", ran.stderr);
}

#[test]
fn pipeline_files_of_both_dialects() {
    let folder = tempfile::tempdir().expect("a folder");
    let beta = "Global:\n  pipeline_name: OCR\nPipeline:\n  text_det_model: PP-OCRv4_mobile_det\n";
    let later = "pipeline_name: OCR\nuse_doc_preprocessor: False\nSubModules:\n  TextDetection:\n    model_name: PP-OCRv4_mobile_det\n    \
                 thresh: 0.3\n  TextRecognition:\n    model_name: PP-OCRv4_mobile_rec\n";
    let nested = |from, to| later.replace(from, to);
    // (text, what the refusal says; empty where it runs)
    let cases = [
        (beta.to_owned(), ""),
        (format!("\u{feff}{later}"), ""),
        (format!("{beta}  colour: red\n"), "colour"),
        (format!("{beta}  text_rec_batch_size: many\n"), "line 5, column"),
        (format!("{beta}  device: gpu:0\n"), "backend gpu:0: "),
        (format!("{beta}  text_det_batch_size: 2\n  device: gpu:0\n"), "text_det_batch_size above 1 has no effect"),
        (format!("{beta}  hpi_config:\n    backend: tensorrt\n"), "backend tensorrt: "),
        (beta.replace("name: OCR", "name: PP-Chat"), "`PP-Chat` does not exist"),
        (format!("{beta}  hpi_config: {{backend: paddle_tensorrt}}\n"), "paddle_tensorrt is tensorrt here"),
        (format!("{beta}  hpi_config: {{backend: openvino, backend_config: {{cpu_num_threads: 1}}}}\n"), ""),
        (
            format!("{beta}  hpi_config: {{backend: openvino, backend_config: {{precision: fp16}}}}\n"),
            "fp16 is to be had from tensorrt only",
        ),
        (format!("{beta}  hpi_config: {{backend: onnx}}\n"), "`onnx` is not a backend"),
        (format!("{beta}  pp_option: {{run_mode: paddle, cpu_threads: 4}}\n"), ""),
        (nested("thresh: 0.3", "thresh: 0.3\n    hpi_config: {backend: onnxruntime}"), ""),
        (nested("use_doc_preprocessor: False", "use_doc_preprocessor: True"), "`use_doc_preprocessor: True` is not in this version"),
        (nested("thresh: 0.3", "thresh: much"), "line 6, column"),
        (nested("thresh: 0.3", "thresh: 0.3\n    thresh: 0.4"), "duplicate mapping key: thresh at line 7"),
        (nested("thresh:", "threshold:"), "threshold"),
        ("- nothing".to_owned(), "p.yaml"),
        (String::new(), "p.yaml"),
        ("Global: [".to_owned(), "p.yaml"),
    ];
    let path = folder.path().join("p.yaml");
    for (text, says) in cases {
        fs::write(&path, &text).expect("written");
        let ran = run(hpinfer().arg("--pipeline").arg(&path).args(["--input", DEMO]));
        let expected = if says.is_empty() { Some(0) } else { Some(2) };
        assert_eq!(ran.code, expected, "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{text}: {}", ran.stderr);
    }
}

#[test]
fn engines_are_chosen_on_the_command_line_then_in_hpi_config() {
    let engines = |flags: &[&str]| {
        let ran = run(hpinfer().args(["--pipeline", "OCR", "--input", DEMO]).args(flags));
        let models = ran.lines().first().map(|line| line["run"].clone()).unwrap_or_default();
        let backends = models.as_array().into_iter().flatten().map(|m| m["backend"].as_str().unwrap_or_default().to_owned());
        (backends.collect::<Vec<_>>(), ran.stderr)
    };
    let config = r#"{"backend": "onnxruntime", "backend_config": {"cpu_num_threads": 1}}"#;
    let (chosen, said) = engines(&["--hpi-config", config]);
    assert_eq!(chosen, ["onnx_runtime"; 2], "{said}");
    let (chosen, said) = engines(&["--hpi_config", config, "--backend", "openvino"]);
    assert_eq!(chosen, ["openvino"; 2], "{said}");
    for (flags, says) in [
        (&["--hpi-config", "{backend: [}"][..], "--hpi-config:1:"),
        (&["--text-det-box-thresh", "2"], "hpinfer: --text-det-box-thresh: 2 is not from 0 to 1"),
        (&["--text_det_limit_side_len", "0"], "hpinfer: --text-det-limit-side-len: 0 is not from 1 to 65536"),
        (&["--text-rec-score-thresh", "5"], "hpinfer: --text-rec-score-thresh: 5 is not within 0 to 1"),
        (&["--hpi-config", r#"{"backend": "onnx"}"#], "`onnx` is not a backend"),
        (&["--backend", "paddle_tensorrt"], "backend tensorrt: "),
    ] {
        let (chosen, said) = engines(flags);
        assert!(chosen.is_empty() && said.contains(says), "{said}");
    }
}

#[test]
fn help_completions_and_manual_come_from_one_definition() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let ran = run(hpinfer().args(["completions", shell]));
        assert!(ran.code == Some(0) && ran.stdout.contains("save-path") && ran.stderr.is_empty(), "{shell}: {}", ran.stderr);
    }
    let manual = run(hpinfer().arg("man"));
    assert!(manual.code == Some(0) && manual.stdout.contains(".TH hpinfer 1"), "{}", manual.stderr);
    let of_streams = run(hpinfer().args(["man", "bench", "streams"]));
    let told =
        [".TH hpinfer-bench-streams 1  \"hpinfer ", "hpinfer bench streams", "p99"].iter().all(|word| of_streams.stdout.contains(word));
    assert!(of_streams.code == Some(0) && told, "{}{}", of_streams.stdout, of_streams.stderr);
    let unknown = run(hpinfer().args(["man", "engine", "bild"]));
    assert!(
        unknown.code == Some(2) && unknown.stderr.contains("hpinfer engine has no command \"bild\"; known: build, "),
        "{}",
        unknown.stderr
    );
    let (short, long) = (run(hpinfer().arg("-h")), run(hpinfer().arg("--help")));
    assert!(long.stdout.contains("--use-hpip") && !short.stdout.contains("--use-hpip"));
}

#[test]
fn global_flags_stand_before_and_after_a_command() {
    for args in [["--offline", "runtime", "list"], ["runtime", "list", "--offline"]] {
        let ran = run(hpinfer().args(args));
        assert!(ran.code == Some(0) && ran.stdout.contains("font"), "{args:?}: {}", ran.stderr);
    }
    let ran = run(hpinfer().args(["--offline", "doctor", "--json"]));
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).expect("one JSON object");
    let topics: Vec<_> = found["findings"].as_array().expect("a list").iter().filter_map(|f| f["topic"].as_str()).collect();
    for topic in ["cpu", "gpu", "library", "model", "font", "cache"] {
        assert!(topics.contains(&topic), "{topics:?}");
    }
}

#[test]
fn an_empty_cache_offline_says_what_to_do() {
    let home = tempfile::tempdir().expect("a folder");
    let ran = run(ocr().args(["--offline", "--input", DEMO]).env("HPINFER_HOME", home.path()));
    assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""));
    assert!(ran.stderr.contains("hpinfer model pull") && ran.stderr.contains("--offline"), "{}", ran.stderr);
}

#[test]
fn a_library_that_is_named_and_cannot_be_used_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let other = folder.path().join("libonnxruntime.so.1.31.1");
    fs::write(&other, b"nothing of the kind").expect("written");
    for named in [Path::new("/no/such/libonnxruntime.so"), &other] {
        let ran = run(hpinfer().args(["--pipeline", "OCR", "--input", DEMO]).env("ORT_DYLIB_PATH", named));
        assert_eq!((ran.code, &ran.stdout[..]), (Some(2), ""), "{}", ran.stderr);
        assert!(ran.stderr.contains(&named.display().to_string()) && !ran.stderr.contains("WARN"), "{}", ran.stderr);
    }
    let ran = run(ocr().args(["--input", DEMO]).env("ORT_DYLIB_PATH", "/no/such/libonnxruntime.so"));
    assert_eq!(ran.code, Some(0), "openvino was asked for: {}", ran.stderr);
}

#[test]
fn a_model_that_is_not_there_is_not_intact() {
    let ran = run(hpinfer().args(["model", "verify", "ResNet50"]));
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stdout.contains("ResNet50: not on this machine") && ran.stderr.contains("model pull ResNet50"), "{}", ran.stderr);
}

#[test]
fn verbose_says_which_backend_and_why() {
    let ran = run(ocr().args(["-v", "--input", DEMO]));
    assert!(ran.stderr.contains("openvino, as asked for"), "{}", ran.stderr);
    let measured = || run(hpinfer().args(["-v", "--pipeline", "OCR", "--input", DEMO])).stderr;
    measured();
    let again = measured();
    assert!(again.contains("was measured as the fastest here"), "{again}");
}

#[test]
fn settings_of_this_program_come_before_general_ones_and_empty_ones_are_none() {
    let said = |variables: &[(&str, &str)]| {
        let ran = run(hpinfer().args(["cache", "list"]).envs(variables.iter().copied()));
        assert_eq!(ran.code, Some(0), "{variables:?}: {}", ran.stderr);
        ran.stderr
    };
    assert!(said(&[("HPINFER_LOG", "a=nonsense")]).contains("HPINFER_LOG is passed over"));
    assert!(said(&[("RUST_LOG", "a=nonsense")]).contains("RUST_LOG is passed over"));
    assert!(!said(&[("HPINFER_LOG", "warn"), ("RUST_LOG", "a=nonsense")]).contains("passed over"));
    assert!(!said(&[("HPINFER_THREADS", ""), ("HPINFER_LOG", ""), ("HPINFER_ENGINE_LIMIT", "")]).contains("passed over"));
}

//! Every kind of network of the pipelines with one network, and those of text, on the real engines: miniatures whose outputs are known
//! by heart (`fixtures/miniatures/make.py`), from a picture file to the results, the JSON file and the drawn picture.

#[path = "miniatures/converted.rs"]
mod converted;
#[path = "miniatures/text.rs"]
mod text;

use hpinfer::onnx::Model;
use hpinfer::onnx::proto::{tensor_shape_proto::dimension, type_proto};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

const BACKENDS: [&str; 2] = ["onnx_runtime", "openvino"];

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures").join(name)
}

/// A picture of one colour, with the left half in another.
fn picture(folder: &Path, name: &str, (width, height): (u32, u32), left: [u8; 3], right: [u8; 3]) -> PathBuf {
    let path = folder.join(name);
    image::RgbImage::from_fn(width, height, |x, _| image::Rgb(if x < width / 2 { left } else { right })).save(&path).expect("a picture");
    path
}

fn hpinfer(pipeline: &str, model: &Path, more: &[&str], inputs: &[&Path]) -> (Option<i32>, Vec<Value>, String) {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env_remove("HPINFER_THREADS").env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
    command.args(["--pipeline", pipeline, "--model"]).arg(model).args(more).arg("--input").args(inputs);
    let ran = command.output().expect("the command starts");
    let lines = String::from_utf8(ran.stdout).expect("text");
    let lines = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    (ran.status.code(), lines, String::from_utf8_lossy(&ran.stderr).into_owned())
}

/// Results of `inputs`, on each backend.
fn on_each_backend(pipeline: &str, name: &str, more: &[&str], inputs: &[&Path], check: impl Fn(&str, &[Value])) {
    for backend in BACKENDS {
        let flags: Vec<&str> = ["--backend", backend].into_iter().chain(more.iter().copied()).collect();
        let (code, lines, said) = hpinfer(pipeline, &model(name), &flags, inputs);
        assert_eq!((code, lines.len()), (Some(0), inputs.len()), "{name} on {backend}: {said}");
        assert_eq!(lines[0]["run"][0]["backend"], backend);
        check(backend, &lines);
    }
}

fn near(found: &Value, expected: &[f64]) {
    let found: Vec<f64> = found.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect();
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 2e-3), "{found:?}, not {expected:?}");
}

#[test]
fn networks_for_regions_that_a_layout_model_does_not_find_are_not_opened() {
    let (home, folder) = (Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"), tempfile::tempdir().expect("a folder"));
    let blank = picture(folder.path(), "blank.png", (64, 64), [255; 3], [255; 3]);
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env("HPINFER_HOME", home).args(["--pipeline", "PP-ChatOCRv3-doc", "--backend", "openvino", "--layout-model"]);
    command.arg(model("detect_nothing")).args(["--table-model", "/nowhere", "--seal-text-det-model", "/nowhere"]);
    command.args(["--text-det-model", "PP-OCRv4_mobile_det", "--text-rec-model", "PP-OCRv4_mobile_rec", "--input"]).arg(blank);
    let ran = command.output().expect("the command starts");
    let line: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
    let models: Vec<&str> = line["run"].as_array().into_iter().flatten().filter_map(|run| run["model"].as_str()).collect();
    assert_eq!(models, ["miniature_detect_nothing", "PP-OCRv4_mobile_det"], "{line}");
}

#[test]
fn classes() {
    let folder = tempfile::tempdir().expect("a folder");
    let red = picture(folder.path(), "red.png", (12, 9), [255, 0, 0], [255, 0, 0]);
    let blue = picture(folder.path(), "blue.png", (9, 12), [0, 0, 255], [0, 0, 255]);
    on_each_backend("image_classification", "classify", &["--batch-size", "2"], &[&red, &blue], |_, lines| {
        // e^8 against three others: 1, 1 and e^-1.
        let sure = 8f64.exp() / (8f64.exp() + 2.0 + (-1f64).exp());
        near(&lines[0]["scores"], &[sure, 1.0 / (8f64.exp() + 2.0 + (-1f64).exp())]);
        assert_eq!((&lines[0]["class_ids"], &lines[0]["label_names"]), (&json!([0, 1]), &json!(["red", "green"])));
        assert_eq!(lines[1]["label_names"][0], "blue");
    });
}

#[test]
fn a_network_for_several_pictures_at_once_is_refused_when_it_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::copy(model("classify").join("inference.yml"), folder.path().join("inference.yml")).expect("copied");
    let mut network = Model::read(&model("classify").join("inference.onnx")).expect("a model");
    let input = &mut network.proto.graph.as_mut().expect("a graph").input[0];
    let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else {
        panic!("a tensor")
    };
    tensor.shape.as_mut().expect("a shape").dim[0].value = Some(dimension::Value::DimValue(4));
    std::fs::write(folder.path().join("inference.onnx"), network.to_bytes()).expect("written");
    let red = picture(folder.path(), "red.png", (12, 9), [255, 0, 0], [255, 0, 0]);
    for flags in [&[][..], &["--backend", "openvino"], &["--batch-size", "4"]] {
        let (code, lines, said) = hpinfer("image_classification", folder.path(), flags, &[&red]);
        assert!(code == Some(2) && lines.is_empty() && said.contains("takes 4 items a run, no fewer"), "{flags:?}: {said}");
    }
}

/// The same network as Paddle saves it: in Paddle's own engine, a child process, and converted. Installs both from PyPI
/// (0.2 GB, some twenty seconds).
#[test]
fn a_program_of_paddles_runs_in_its_own_engine_and_converted() {
    let folder = tempfile::tempdir().expect("a folder");
    let red = picture(folder.path(), "red.png", (12, 9), [255, 0, 0], [255, 0, 0]);
    let blue = picture(folder.path(), "blue.png", (9, 12), [0, 0, 255], [0, 0, 255]);
    for backend in ["paddle_infer", "onnx_runtime"] {
        let flags = ["--backend", backend, "--batch-size", "2"];
        let (code, lines, said) = hpinfer("image_classification", &model("paddle"), &flags, &[&red, &blue]);
        assert_eq!((code, lines.len()), (Some(0), 2), "{backend}: {said}");
        assert_eq!(lines[0]["run"][0]["backend"], backend);
        let sum = 8f64.exp() + 2.0 + (-1f64).exp();
        near(&lines[0]["scores"], &[8f64.exp() / sum, 1.0 / sum]);
        assert_eq!((&lines[0]["label_names"][0], &lines[1]["label_names"][0]), (&json!("red"), &json!("blue")), "{backend}");
    }
}

/// The older form of it: OpenVINO reads that itself, the first time in a child.
#[test]
fn a_pdmodel_is_read_by_openvino_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let red = picture(folder.path(), "red.png", (12, 9), [255, 0, 0], [255, 0, 0]);
    let config = folder.path().join("classes.yaml");
    let text = "Global: {pipeline_name: image_classification}\nPipeline: {model: MODEL, hpi_config: {backend: openvino}}\n";
    std::fs::write(&config, text.replace("MODEL", model("pdmodel").to_str().expect("UTF-8"))).expect("a file");
    let config = config.to_str().expect("UTF-8");
    for (pipeline, flags) in [
        ("image_classification", &["--backend", "openvino"][..]),
        ("image_classification", &["--hpi-config", r#"{"backend": "openvino", "auto_paddle2onnx": false}"#]),
        (config, &[]),
    ] {
        let (code, lines, said) = hpinfer(pipeline, &model("pdmodel"), &[flags, &["-v"]].concat(), &[&red]);
        assert_eq!((code, lines.len()), (Some(0), 1), "{flags:?}: {said}");
        let run = &lines[0]["run"][0];
        assert_eq!((&run["backend"], &run["format"]), (&json!("openvino"), &json!("pdmodel")), "{flags:?}");
        assert!(said.contains("openvino reads") && said.contains("inference.pdmodel itself"), "{said}");
        let sum = 8f64.exp() + 2.0 + (-1f64).exp();
        near(&lines[0]["scores"], &[8f64.exp() / sum, 1.0 / sum]);
        assert_eq!(lines[0]["label_names"][0], "red");
    }
}

#[test]
fn boxes_by_every_convention() {
    let folder = tempfile::tempdir().expect("a folder");
    let red = picture(folder.path(), "red.png", (40, 24), [255, 0, 0], [255, 0, 0]);
    let pale = picture(folder.path(), "pale.png", (32, 48), [153, 0, 0], [153, 0, 0]);
    for name in ["detect_detr", "detect_yolo", "detect_picodet", "detect_cut"] {
        on_each_backend("object_detection", name, &["--batch-size", "2"], &[&red, &pale], |backend, lines| {
            let boxes = lines[0]["boxes"].as_array().expect("boxes");
            let labels: Vec<_> = boxes.iter().map(|b| b["label"].as_str().expect("a label")).collect();
            assert_eq!(labels, ["red", "blue"], "{name} on {backend}: {boxes:?}");
            near(&boxes[0]["coordinate"], &[0.0, 0.0, 20.0, 12.0]);
            near(&boxes[1]["coordinate"], &[20.0, 0.0, 40.0, 24.0]);
            near(&json!([boxes[0]["score"], boxes[1]["score"]]), &[1.0, 0.75]);
            // 0.6 is above the threshold, 0.45 is not.
            let boxes = lines[1]["boxes"].as_array().expect("boxes");
            assert_eq!(boxes.len(), 1, "{name} on {backend}: {boxes:?}");
            near(&boxes[0]["coordinate"], &[0.0, 0.0, 16.0, 24.0]);
        });
    }
    on_each_backend("object_detection", "detect_yolo", &["--threshold", "0.8"], &[&red], |_, lines| {
        assert_eq!(lines[0]["boxes"].as_array().map(Vec::len), Some(1), "{}", lines[0]);
    });
    on_each_backend("object_detection", "detect_nothing", &[], &[&red], |_, lines| assert_eq!(lines[0]["boxes"], json!([])));
}

#[test]
fn instances_and_classes_of_pixels() {
    let folder = tempfile::tempdir().expect("a folder");
    let red = picture(folder.path(), "red.png", (40, 24), [255, 0, 0], [255, 0, 0]);
    on_each_backend("instance_segmentation", "instances", &[], &[&red], |backend, lines| {
        let (boxes, masks) = (&lines[0]["boxes"], &lines[0]["masks"]);
        assert_eq!((boxes.as_array().map(Vec::len), masks.as_array().map(Vec::len)), (Some(2), Some(2)), "{backend}: {}", lines[0]);
    });
    let two = picture(folder.path(), "two.png", (10, 6), [255, 9, 0], [0, 9, 255]);
    for name in ["segment", "segment_int64", "segment_scores"] {
        on_each_backend("semantic_segmentation", name, &[], &[&two], |backend, lines| {
            let pred = &lines[0]["pred"];
            let row: Vec<i64> = [0; 5].into_iter().chain([2; 5]).collect();
            assert_eq!(*pred, json!([vec![row; 6]]), "{name} on {backend}");
        });
    }
}

#[test]
fn files_are_saved_for_every_pipeline() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = picture(folder.path(), "two.png", (60, 40), [255, 0, 0], [255, 0, 0]);
    for (pipeline, name) in [
        ("image_classification", "classify"),
        ("object_detection", "detect_yolo"),
        ("instance_segmentation", "instances"),
        ("semantic_segmentation", "segment"),
    ] {
        let out = folder.path().join(pipeline);
        let flags = ["--backend", "onnx_runtime", "--save-path", out.to_str().expect("UTF-8")];
        let (code, lines, said) = hpinfer(pipeline, &model(name), &flags, &[&input]);
        assert_eq!(code, Some(0), "{said}");
        let files: Vec<PathBuf> = std::fs::read_dir(&out).expect("a folder").map(|f| f.expect("a file").path()).collect();
        let with = |ending: &str| files.iter().find(|f| f.extension().is_some_and(|e| e == ending)).unwrap_or_else(|| panic!("{files:?}"));
        let saved: Value = serde_json::from_slice(&std::fs::read(with("json")).expect("a file")).expect("JSON");
        let key = if pipeline.ends_with("classification") {
            "class_ids"
        } else if name == "segment" {
            "pred"
        } else {
            "boxes"
        };
        assert_eq!(saved[key], lines[0][key], "{pipeline}");
        let drawn = image::open(with("png")).expect("a picture").to_rgb8();
        assert_eq!(drawn.dimensions(), (60, 40), "{pipeline}");
        let original = image::open(&input).expect("a picture").to_rgb8();
        assert_ne!(drawn, original, "{pipeline}: nothing is drawn");
        if name == "segment" {
            assert_eq!(*drawn.get_pixel(3, 3), image::Rgb([128, 0, 0]), "class 0 in the reference's palette");
        }
    }
}

/// A folder called `name` with the network of one miniature and the description of another, `from` in it replaced by `to`.
fn mixed(folder: &Path, name: &str, [network, description]: [&str; 2], [from, to]: [&str; 2]) -> PathBuf {
    let mixed = folder.join(name);
    std::fs::create_dir_all(&mixed).expect("a folder");
    std::fs::copy(model(network).join("inference.onnx"), mixed.join("inference.onnx")).expect("a copy");
    let text = std::fs::read_to_string(model(description).join("inference.yml")).expect("a description");
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(mixed.join("inference.yml"), text.replace(from, to)).expect("written");
    mixed
}

/// The miniature `network` in a folder called `name`, with the last mention of the tensor `from` in its file called `to`: the
/// declaration of an input or of weights, so that the graph lacks them.
fn lacking(folder: &Path, name: &str, network: &str, [from, to]: [&str; 2]) -> PathBuf {
    let lacking = mixed(folder, name, [network; 2], ["Global", "Global"]);
    let mut bytes = std::fs::read(lacking.join("inference.onnx")).expect("a file");
    let last = bytes.windows(from.len()).rposition(|part| part == from.as_bytes()).expect("the tensor");
    bytes[last..last + to.len()].copy_from_slice(to.as_bytes());
    std::fs::write(lacking.join("inference.onnx"), bytes).expect("written");
    lacking
}

#[test]
fn a_folder_that_does_not_fit_its_network_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = picture(folder.path(), "a.png", (20, 20), [255, 0, 0], [255, 0, 0]);
    let same = ["mode", "mode"];
    let of = |name: &str, networks: [&str; 2], change: [&str; 2]| mixed(folder.path(), name, networks, change);
    let half = of("half", ["segment"; 2], ["_op", "_op"]);
    std::fs::remove_file(half.join("inference.onnx")).expect("removed");
    let undescribed = of("undescribed", ["segment"; 2], ["_op", "_op"]);
    std::fs::remove_file(undescribed.join("inference.yml")).expect("removed");
    let torn = of("torn", ["segment_int64"; 2], ["_op", "_op"]);
    let whole = std::fs::read(torn.join("inference.onnx")).expect("a file");
    std::fs::write(torn.join("inference.onnx"), &whole[..whole.len() / 2]).expect("written");
    let bomb = of("bomb", ["segment"; 2], ["_op", "_op"]);
    std::fs::write(bomb.join("inference.yml"), include_str!("fixtures/spec/bomb.yml")).expect("written");
    let no_program = of("no_program", ["segment"; 2], ["_op", "_op"]);
    std::fs::rename(no_program.join("inference.onnx"), no_program.join("inference.pdiparams")).expect("renamed");
    std::fs::write(no_program.join("inference.json"), "{\"a\": 1}").expect("written");
    let (classes, boxes, masks, pixels) = ("image_classification", "object_detection", "instance_segmentation", "semantic_segmentation");
    let (weightless, blind, unscaled) = (
        lacking(folder.path(), "weightless", "classify", ["eight", "e1ght"]),
        lacking(folder.path(), "blind", "detect_yolo", ["image", "imago"]),
        lacking(folder.path(), "unscaled", "detect_yolo", ["scale_factor", "scale_sector"]),
    );
    let cases: [(&str, PathBuf, &[&str]); 19] = [
        // Labels.
        (classes, of("few", ["classify"; 2], [", dark]", "]"]), &["few/inference.yml", "3 names", "4 classes"]),
        (boxes, of("few_boxes", ["detect_cut"; 2], ["green, blue]", "green]"]), &["few_boxes/inference.yml", "2 names", "3 classes"]),
        // Shapes and tensors.
        (boxes, of("size", ["detect_yolo"; 2], ["[16, 16]", "[16, 32]"]), &["size/inference.yml", "16x16 only, not of 32x16"]),
        (masks, of("no_masks", ["detect_detr", "instances"], same), &["no_masks/inference.yml", "has 2 outputs, 3 are expected"]),
        (classes, of("two", ["detect_yolo", "classify"], ["8", "16"]), &["two/inference.yml", "inputs image and scale_factor"]),
        (
            classes,
            of("pixels", ["segment", "classify"], ["mode", "mode"]),
            &["pixels/inference.yml", "output `y` of the network has 3 dim"],
        ),
        (boxes, of("scores", ["classify", "detect_yolo"], ["[16, 16]", "[8, 8]"]), &["scores/inference.yml", "rows of 4 numbers"]),
        (boxes, of("integers", ["segment", "detect_cut"], same), &["integers/inference.yml", "`y` of the network is of I32, F32"]),
        (pixels, of("rows", ["detect_yolo", "segment"], ["_op", "_op"]), &["rows/inference.yml", "inputs image and scale_factor"]),
        (classes, weightless, &["weightless/inference.onnx", "`eight`"]),
        (boxes, blind, &["blind/inference.onnx", "`image`"]),
        (boxes, unscaled, &["unscaled/inference.onnx", "`scale_factor`"]),
        // Not what it says it is.
        (boxes, of("kind", ["classify"; 2], same), &["miniature_classify", "not a detector"]),
        (
            pixels,
            of("named", ["segment"; 2], ["miniature_segment", "ResNet18"]),
            &["named/inference.yml", "ResNet18", "semantic segmentation"],
        ),
        // Files.
        (pixels, half, &["folder", "half", "no such file"]),
        (pixels, undescribed, &["undescribed", "inference.yml"]),
        (pixels, torn, &["torn/inference.onnx"]),
        (pixels, bomb, &["bomb/inference.yml", "more entries, aliases or text"]),
        (pixels, no_program, &["no_program/inference.json", "not a Paddle program"]),
    ];
    for (pipeline, model, says) in &cases {
        let (code, lines, said) = hpinfer(pipeline, model, &["--backend", "onnx_runtime"], &[&input]);
        assert!(code == Some(2) && lines.is_empty(), "{pipeline}: {said}");
        assert!(says.iter().all(|word| said.contains(word)), "{says:?} in {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// A scale that takes every number out of range.
#[test]
fn scores_that_are_no_numbers_are_no_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let red = picture(folder.path(), "red.png", (12, 9), [255, 0, 0], [255, 0, 0]);
    let model = mixed(folder.path(), "endless", ["classify"; 2], ["scale: 0.00392156862745098", "scale: 1.0e+38"]);
    let (code, lines, said) = hpinfer("image_classification", &model, &["--backend", "onnx_runtime"], &[&red]);
    assert_eq!((code, lines.len()), (Some(1), 1), "{said}");
    assert!(lines[0]["error"]["message"].as_str().is_some_and(|error| error.contains("a score that is no number")), "{}", lines[0]);
}

/// What shows only in a run fails the picture, not the run.
#[test]
fn a_size_that_the_network_refuses_fails_its_picture_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = picture(folder.path(), "good.png", (16, 16), [255, 0, 0], [0, 0, 255]);
    let bad = picture(folder.path(), "bad.png", (10, 6), [255, 0, 0], [0, 0, 255]);
    for backend in BACKENDS {
        let (code, lines, said) = hpinfer("semantic_segmentation", &model("segment_sly"), &["--backend", backend], &[&good, &bad, &good]);
        assert_eq!((code, lines.len()), (Some(1), 3), "{backend}: {said}");
        assert!(lines[0]["pred"].is_array() && lines[2]["pred"] == lines[0]["pred"], "{backend}: {lines:?}");
        let (path, error) = (lines[1]["input_path"].as_str(), lines[1]["error"]["message"].as_str().unwrap_or_default());
        assert!(path.is_some_and(|path| path.ends_with("bad.png")), "{backend}: {}", lines[1]);
        assert!(["segment_sly", "1x3x6x10"].iter().all(|word| error.contains(word)), "{backend}: {error}");
    }
}

#[test]
fn a_classifier_of_anything_else_sets_no_page_upright() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("page.bmp");
    std::fs::write(&input, "").expect("written");
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env_remove("HPINFER_THREADS").env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
    command.args(["--pipeline", "seal_recognition", "--layout-model", "none", "--backend", "onnx_runtime", "--doc-image-ori-cls-model"]);
    let ran = command.arg(model("classify")).arg("--input").arg(&input).output().expect("the command starts");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!((ran.status.code(), ran.stdout.len()), (Some(2), 0), "before any input: {said}");
    assert!(said.contains("miniature_classify") && said.contains("is no angle in quarter turns"), "{said}");
}

//! Files as PaddleX ships them and its users write them.

use super::*;
use crate::backend::BackendName;

const NESTED: &str = "\
pipeline_name: OCR
SubModules:
  TextDetection: {model_name: det, model_dir: None, batch_size: 1, use_hpip: True, input_shape: null, box_thresh: 0.5}
  TextRecognition: {model_name: rec, model_dir: '', input_shape: None, return_word_box: False, use_hpip: False}
hpi_config: null
Serving: {extra: {max_num_input_imgs: null}}
";

fn refusal(text: &str) -> String {
    PipelineConfig::parse(text, "p.yaml").expect_err("refused").to_string()
}

fn ocr(text: &str) -> OcrConfig {
    match PipelineConfig::parse(text, "p.yaml").expect("read").0 {
        PipelineConfig::Ocr(config) => config,
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_that_ask_for_nothing_are_taken() {
    let config = ocr(NESTED);
    assert_eq!(
        (&config.text_det_model.name_or_dir[..], &config.text_rec_model.name_or_dir[..]),
        ("det", "rec"),
        "None and '' are no folder"
    );
    assert_eq!(config.detection.box_thresh, Some(0.5));
    assert_eq!(ocr(&format!("{NESTED}device: None\n")).device, None);
    let both = refusal(&format!("{NESTED}use_doc_preprocessor: True\nuse_textline_orientation: True\n"));
    assert!(both.contains("`use_doc_preprocessor: True`") && both.contains("`use_textline_orientation: True`"), "{both}");
    for (text, expected) in [
        (NESTED.replace("input_shape: null", "input_shape: [3, 48, 320]"), "line 3, column 97: `input_shape` is not in this version"),
        (NESTED.replace("return_word_box: False", "return_word_box: True"), "`return_word_box: True` is not in this version"),
        (NESTED.replace("box_thresh: 0.5", "box_thresh: 1.5"), "box_thresh: 1.5 is not from 0 to 1"),
        (NESTED.replace("box_thresh: 0.5", "unclip_ratio: 1e300"), "unclip_ratio: 1"),
        (NESTED.replace("box_thresh: 0.5", "unclip_ratio: 0"), "unclip_ratio: 0 is not above 0 to 100"),
        (NESTED.replace("box_thresh: 0.5", "limit_side_len: 0"), "limit_side_len: 0 is not from 1 to 65536"),
    ] {
        let message = refusal(&text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn the_engine_of_a_module_wins_over_that_of_the_file() {
    let engines = |general: &str, own: &str| {
        let file = NESTED.replace("hpi_config: null", general).replace("box_thresh: 0.5", own);
        let config = ocr(&file);
        [config.text_det_model, config.text_rec_model].map(|choice| choice.hpi.backend)
    };
    let (open_vino, onnx_runtime) = (Some(BackendName::OpenVino), Some(BackendName::OnnxRuntime));
    let (general, own) = ("hpi_config: {backend: openvino}", "hpi_config: {backend: onnxruntime}");
    assert_eq!(engines(general, own), [onnx_runtime, open_vino]);
    assert_eq!(engines(general, "thresh: 0.3"), [open_vino; 2]);
    assert_eq!(engines("hpi_config: null", own), [onnx_runtime, None]);
}

#[test]
fn the_dialect_is_told_from_keys_however_they_are_written() {
    let dialect = |text: &str| PipelineConfig::parse(text, "p.yaml").expect("read").1;
    assert_eq!(dialect(NESTED), Dialect::V3);
    assert_eq!(dialect(&NESTED.replace("SubModules:", "\"SubModules\":").replace("pipeline_name:", "'pipeline_name':")), Dialect::V3);
    assert_eq!(
        dialect(
            r#"{"pipeline_name": "OCR", "SubModules": {"TextDetection": {"model_name": "d"}, "TextRecognition": {"model_name": "r"}}}"#
        ),
        Dialect::V3
    );
    assert_eq!(dialect("Global: {pipeline_name: OCR, input: [a.png, b.png]}\nPipeline:\n"), Dialect::V3Beta1);
    for (text, expected) in [
        (" \n", "the file is empty"),
        ("PreProcess: {transform_ops: []}\nGlobal: {model_name: X}\n", "this describes a model"),
        ("a: 1\n", "neither `Global` nor `pipeline_name`"),
        ("Global: {pipeline_name: ocr}\n", "does not exist, you may mean OCR;"),
    ] {
        let message = refusal(text);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn settings_of_picture_pipelines_may_be_unset() {
    let file = "pipeline_name: semantic_segmentation\nSubModules:\n  SemanticSegmentation: {model_name: PP-LiteSeg-T, target_size: None}\n";
    PipelineConfig::parse(file, "p.yaml").expect("read");
    let message = refusal(&file.replace("None", "[512, 512]"));
    assert!(message.contains("line 3, column") && message.contains("`target_size` is not in this version"), "{message}");
    let file =
        "pipeline_name: object_detection\nSubModules:\n  ObjectDetection: {model_name: PicoDet-S, img_size: null, threshold: None}\n";
    PipelineConfig::parse(file, "p.yaml").expect("read");
    match PipelineConfig::parse(&file.replace("None", "{0: 0.45, 2: 0.48}"), "p.yaml").expect("read").0 {
        PipelineConfig::Picture(PictureConfig { threshold: None, rules: Some(rules), .. }) => {
            assert_eq!(rules.thresholds, Some([(0, 0.45), (2, 0.48)].into()));
        }
        other => panic!("{other:?}"),
    }
    let classes =
        "pipeline_name: image_classification\nSubModules:\n  ImageClassification: {model_name: ResNet18, batch_size: 3, topk: 4}\n";
    match PipelineConfig::parse(classes, "p.yaml").expect("read").0 {
        PipelineConfig::Picture(PictureConfig { model, batch_size: 3, topk: Some(4), .. }) => assert_eq!(model.name_or_dir, "ResNet18"),
        other => panic!("{other:?}"),
    }
    let instances = file.replace("object_detection", "instance_segmentation").replace("ObjectDetection", "InstanceSegmentation");
    let message = refusal(&instances.replace("None", "{0: 0.45}").replace("img_size: null, ", ""));
    assert!(message.contains("line 3, column") && message.contains("`threshold` by class is of object_detection only"), "{message}");
}

#[test]
fn models_are_placed_in_their_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.yaml");
    std::fs::write(&path, NESTED.replace("model_name: rec,", "\n    model_name: rec\n    ,")).expect("written");
    let placed = PipelineConfig::placed(Error::config("rec", "this is another model"), &path).to_string();
    assert!(placed.contains("p.yaml, line 5: `model_name`"), "{placed}");
    let other = PipelineConfig::placed(Error::config("", "nothing"), &path).to_string();
    assert!(!other.contains("p.yaml"), "{other}");
}

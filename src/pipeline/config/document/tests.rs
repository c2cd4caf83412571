use super::*;
use crate::extract::{ApiType, Secret};
use crate::model::LimitType;
use crate::modules::text_detect::DetectionOverrides;
use crate::ops::layout::regions::{Merge, MergeMode, Unclip};
use crate::pipeline::PipelineConfig;
use std::collections::BTreeMap;

const PREPROCESSOR: &str = "\
DocPreprocessor:
  pipeline_name: doc_preprocessor
  use_doc_orientation_classify: True
  use_doc_unwarping: False
  SubModules:
    DocOrientationClassify: {module_name: doc_text_orientation, model_name: upright, model_dir: null}
    DocUnwarping: {model_name: flat}
";
const SEAL_OCR: &str = "\
SealOCR:
  pipeline_name: OCR
  text_type: seal
  use_doc_preprocessor: False
  use_textline_orientation: False
  SubModules:
    TextDetection: {model_name: seal_det, limit_side_len: 736, limit_type: min, thresh: 0.2, box_thresh: 0.7, unclip_ratio: 0.5}
    TextRecognition: {model_name: rec, model_dir: null, batch_size: 1, score_thresh: 0.25}
";
const GENERAL_OCR: &str = "\
GeneralOCR:
  pipeline_name: OCR
  text_type: general
  use_doc_preprocessor: False
  use_textline_orientation: False
  SubModules:
    TextDetection: {model_name: det, model_dir: null, limit_side_len: 960, limit_type: max, max_side_limit: 4000, unclip_ratio: 1.5}
    TextRecognition: {model_name: rec, batch_size: 6, score_thresh: 0.25}
";
const LAYOUT: &str = "LayoutDetection: {module_name: layout_detection, model_name: lay, model_dir: null}\n";

fn indented(text: &str, spaces: usize) -> String {
    text.lines().map(|line| format!("{}{line}\n", " ".repeat(spaces))).collect()
}

fn seals() -> String {
    let (layout, ocr) = (indented(LAYOUT, 2), indented(SEAL_OCR, 2));
    format!(
        "pipeline_name: seal_recognition\nuse_doc_preprocessor: False\nuse_layout_detection: True\nSubModules:\n{layout}SubPipelines:\n{}{ocr}",
        indented(PREPROCESSOR, 2)
    )
}

fn tables() -> String {
    let (layout, ocr) = (indented(LAYOUT, 2), indented(GENERAL_OCR, 2));
    format!(
        "pipeline_name: table_recognition\nuse_doc_preprocessor: False\nuse_layout_detection: True\nuse_ocr_model: True\nSubModules:\n{layout}  TableStructureRecognition: {{model_name: cells, model_dir: demo}}\nSubPipelines:\n{ocr}device: cpu\nhpi_config: {{backend: openvino}}\n"
    )
}

fn pages() -> String {
    let seals = indented(SEAL_OCR, 8);
    let parser = format!(
        "LayoutParser:
  pipeline_name: layout_parsing
  use_doc_preprocessor: True
  use_general_ocr: True
  use_seal_recognition: True
  use_table_recognition: True
  use_formula_recognition: False
  SubModules:
    {LAYOUT}  SubPipelines:
{}{}    TableRecognition:
      pipeline_name: table_recognition
      use_layout_detection: False
      use_doc_preprocessor: False
      use_ocr_model: False
      SubModules:
        TableStructureRecognition: {{model_name: cells}}
    SealRecognition:
      pipeline_name: seal_recognition
      use_layout_detection: False
      use_doc_preprocessor: False
      SubPipelines:
{seals}",
        indented(PREPROCESSOR, 4),
        indented(GENERAL_OCR, 4)
    );
    format!(
        "pipeline_name: PP-ChatOCRv3-doc
use_layout_parser: True
SubModules:
  LLM_Chat: {{module_name: chat_bot, model_name: ernie-3.5-8k, base_url: \"https://qianfan.baidubce.com/v2\", api_type: openai, api_key: api_key}}
  LLM_Retriever: {{module_name: retriever, model_name: embedding-v1, base_url: \"https://qianfan.baidubce.com/v2\", api_type: qianfan, api_key: api_key}}
  PromptEngneering:
    KIE_CommonText: {{task_type: text_kie_prompt_v1, task_description: T., rules_str: R., output_format: F., few_shot_demo_text_content: , few_shot_demo_key_value_list: S.}}
    KIE_Table: {{task_type: table_kie_prompt_v1, task_description: H., output_format: J.}}
SubPipelines:
{}",
        indented(&parser, 2)
    )
}

fn read(text: &str) -> Result<DocumentConfig> {
    match PipelineConfig::parse(text, "p.yaml")? {
        (PipelineConfig::Document(config), Dialect::V3) => Ok(config),
        other => panic!("{other:?}"),
    }
}

fn names(config: &DocumentConfig) -> Vec<String> {
    config.clone().models().into_iter().map(|model| model.name_or_dir).collect()
}

#[test]
fn seals_of_later_releases() {
    let config = read(&seals()).unwrap();
    assert_eq!(names(&config), ["lay", "seal_det", "rec"]);
    let found = config.text.detection;
    assert_eq!((found.limit_side_len, found.thresh, found.box_thresh, found.unclip_ratio), (Some(736), Some(0.2), Some(0.7), Some(0.5)));
    assert_eq!((config.text.score_thresh, config.layout_threshold, found.max_side), (0.25, None, Some(4000)));
    let limited = read(&seals().replacen("limit_type: min", "limit_type: min, max_side_len: 1000", 1)).unwrap();
    assert_eq!(limited.text.detection.max_side, Some(1000));
    let without = read(&seals().replace("use_layout_detection: True", "use_layout_detection: False")).unwrap();
    assert_eq!(without.layout_model, None);
    let same = "model_dir: null, threshold: 0.4, layout_nms: False, layout_unclip_ratio: [1.0, 1.0], layout_merge_bboxes_mode: union}";
    assert_eq!(read(&seals().replacen("model_dir: null}", same, 1)).unwrap().layout_threshold, Some(0.4));
    for text in [seals(), tables()] {
        let prepared = text.replacen("use_doc_preprocessor: False", "use_doc_preprocessor: True", 1);
        if text.contains("DocPreprocessor:") {
            assert_eq!(names(&read(&prepared).unwrap()), ["lay", "upright", "seal_det", "rec"]);
        } else {
            let there = prepared.replacen("SubPipelines:\n", &format!("SubPipelines:\n{}", indented(PREPROCESSOR, 2)), 1);
            assert_eq!(names(&read(&there).unwrap()), ["lay", "demo", "upright", "det", "rec"]);
            assert!(read(&prepared).unwrap_err().to_string().contains("needs the section `DocPreprocessor`"));
        }
    }
}

#[test]
fn options_on_regions_of_later_releases() {
    let rules = |options: &str| {
        let text = seals().replacen("model_name: lay", &format!("model_name: lay, {options}"), 1);
        read(&text).unwrap().layout_rules.map(|rules| *rules)
    };
    for nothing in [
        "threshold: 0.5, layout_nms: False, layout_merge_bboxes_mode: union",
        "threshold: None, layout_nms: None, layout_unclip_ratio: None, layout_merge_bboxes_mode: None",
    ] {
        assert_eq!(rules(nothing), Some(RegionRules::default()), "{nothing}");
    }
    let all = "threshold: {0: 0.3, 2: 1}, layout_nms: True, layout_unclip_ratio: [1.1, 2], layout_merge_bboxes_mode: large";
    let wanted = RegionRules {
        thresholds: Some(BTreeMap::from([(0, 0.3), (2, 1.0)])),
        suppress: true,
        merge: Merge::All(MergeMode::Large),
        unclip: Unclip::All([1.1, 2.0]),
    };
    assert_eq!(rules(all), Some(wanted));
    let by_class = "layout_unclip_ratio: {1: [1.0, 1.5], 3: 2.0}, layout_merge_bboxes_mode: {0: union, 1: small, 2: large}";
    let wanted = RegionRules {
        merge: Merge::Classes(BTreeMap::from([(0, MergeMode::Union), (1, MergeMode::Small), (2, MergeMode::Large)])),
        unclip: Unclip::Classes(BTreeMap::from([(1, [1.0, 1.5]), (3, [2.0, 2.0])])),
        ..RegionRules::default()
    };
    assert_eq!(rules(by_class), Some(wanted));
    assert_eq!(rules("layout_unclip_ratio: 1.0").map(|rules| rules.unclip), Some(Unclip::All([1.0, 1.0])));
}

/// Where the reference's pipelines have numbers of their own; an empty line means those of the model.
#[test]
fn detectors_of_later_releases_get_the_numbers_of_the_pipeline() {
    let numbers = |text: &str| {
        let config = read(text).unwrap();
        let DetectionOverrides { limit_side_len, limit_type, thresh, box_thresh, unclip_ratio, .. } = config.text.detection;
        (limit_side_len, limit_type, thresh, box_thresh, unclip_ratio)
    };
    let seal = seals().replacen(", limit_side_len: 736, limit_type: min, thresh: 0.2, box_thresh: 0.7, unclip_ratio: 0.5", "", 1);
    assert_eq!(numbers(&seal), (Some(736), Some(LimitType::Min), Some(0.2), Some(0.6), Some(0.5)));
    let general = tables().replacen(", limit_side_len: 960, limit_type: max, max_side_limit: 4000, unclip_ratio: 1.5", "", 1);
    assert_eq!(numbers(&general), (Some(960), Some(LimitType::Max), Some(0.3), Some(0.6), Some(2.0)));
    let own = tables().replacen("unclip_ratio: 1.5", "unclip_ratio: null, thresh: ", 1);
    assert_eq!(numbers(&own), (Some(960), Some(LimitType::Max), None, Some(0.6), None));
}

#[test]
fn a_folder_holds_the_model_that_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = tables().replacen("model_dir: demo", &format!("model_dir: {:?}", folder.path().display().to_string()), 1);
    assert!(names(&read(&text).unwrap()).contains(&folder.path().display().to_string()), "nothing is said of it");
    std::fs::write(folder.path().join("inference.yml"), "Global: {model_name: SLANet_plus}\n").expect("written");
    let check = |text: &str| read(text).unwrap().table_model.unwrap().check();
    let message = check(&text).unwrap_err().to_string();
    assert!(message.contains("line 7, column") && message.contains("holds SLANet_plus, and model_name is cells"), "{message}");
    assert!(check(&text.replace("model_name: cells", "model_name: SLANet_plus")).is_ok());
    let elsewhere = tables().replacen("model_dir: demo", "model_dir: SLANet", 1);
    let message = check(&elsewhere).unwrap_err().to_string();
    assert!(message.contains("line 7, column") && message.contains("model_dir `SLANet` is no folder"), "{message}");
    let mut config = read(&elsewhere).unwrap();
    config.set_model("table_model", Some("SLANet_plus"), "--table-model").unwrap();
    config.table_model.unwrap().check().unwrap();
    assert_eq!(read(&elsewhere.replace("device: cpu", "device: None")).unwrap().text.device, None);
}

#[test]
fn tables_of_later_releases() {
    let config = read(&tables()).unwrap();
    assert_eq!(names(&config), ["lay", "demo", "det", "rec"]);
    assert_eq!((config.text.detection.unclip_ratio, config.text.device.as_deref()), (Some(1.5), Some("cpu")));
    let limited = read(&tables().replacen("max_side_limit: 4000", "max_side_limit: 2000", 1)).unwrap();
    assert_eq!((config.text.detection.max_side, limited.text.detection.max_side), (Some(4000), Some(2000)));
    for choice in config.models() {
        assert!(choice.hpi.backend.is_some(), "{}", choice.name_or_dir);
    }
}

#[test]
fn pages_of_later_releases() {
    let config = read(&pages()).unwrap();
    assert_eq!(names(&config), ["lay", "cells", "upright", "seal_det", "det", "rec"]);
    assert_eq!((config.text.detection.unclip_ratio, config.seal_detection.unclip_ratio), (Some(1.5), Some(0.5)));
    assert_eq!((config.seal_detection.thresh, config.text.detection.thresh, config.doc_image_unwarp_model), (Some(0.2), Some(0.3), None));
    assert!(config.seal_detection.is_from_top && !config.text.detection.is_from_top);
    let Questions { llm, words, .. } = *config.questions;
    assert_eq!((llm.llm_name.as_str(), llm.params.embedding_model.as_deref()), ("ernie-3.5-8k", Some("embedding-v1")));
    assert_eq!((llm.params.api_type, llm.params.api_key), (Some(ApiType::Qianfan), None), "what ships instead of a key is none");
    assert!(words.is_some());
    for (off, left) in [
        ("use_seal_recognition", vec!["lay", "cells", "upright", "det", "rec"]),
        ("use_table_recognition", vec!["lay", "upright", "seal_det", "det", "rec"]),
        ("use_doc_orientation_classify", vec!["lay", "cells", "seal_det", "det", "rec"]),
    ] {
        assert_eq!(names(&read(&pages().replace(&format!("{off}: True"), &format!("{off}: False"))).unwrap()), left);
    }
    let no_parser_switch = pages().replacen("    use_doc_preprocessor: True\n", "", 1);
    assert_eq!(names(&read(&no_parser_switch).unwrap()), names(&read(&pages()).unwrap()), "a section that is there is used");
}

#[test]
fn a_missing_model_is_named_by_key_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("p.yaml");
    std::fs::write(&path, "Pipeline:\n  model_name: other\n    model_name: \"lay\" # large\n").expect("written");
    let missing = |what: &str| Error::missing(what, "unknown", "name another");
    let message = PipelineConfig::placed(missing("model lay"), &path).to_string();
    assert!(message.contains("line 3: `model_name`") && message.ends_with("name another"), "{message}");
    for error in [missing("model layout"), missing("lay"), Error::config("layout", "unknown")] {
        let before = error.to_string();
        assert_eq!(PipelineConfig::placed(error, &path).to_string(), before);
    }
}

#[test]
fn keys_of_language_models_are_taken_and_not_shown() {
    let with = |chat: &str, retriever: &str| {
        let text = pages().replacen("api_key: api_key", &format!("api_key: {chat}"), 1);
        read(&text.replacen("api_key: api_key", &format!("api_key: {retriever}"), 1))
    };
    let config = with("hidden-1", "hidden-1").unwrap();
    assert_eq!(config.questions.llm.params.api_key, Some(Secret::new("hidden-1", "test").unwrap()));
    assert!(!format!("{config:?}").contains("hidden"));
    let message = with("hidden-1", "hidden-2").unwrap_err().to_string();
    assert!(message.contains("LLM_Retriever") && message.contains("line 5,") && !message.contains("hidden"), "{message}");
    let message = with("[hidden-1]", "hidden-2").unwrap_err().to_string();
    assert!(message.contains("p.yaml") && !message.contains("hidden"), "{message}");
    let elsewhere = pages().replacen("https://qianfan.baidubce.com/v2", "http://127.0.0.1:1/v1", 1);
    let params = read(&elsewhere).unwrap().questions.llm.params;
    assert_eq!(params.embedding_model.as_deref(), Some("none"), "the retriever that is shipped has no key");
    let keyless = elsewhere.replace("api_type: qianfan, api_key: api_key", "api_type: qianfan");
    assert!(read(&keyless).unwrap_err().to_string().contains("model_name: none"));
    let config = read(&elsewhere.replace("embedding-v1", "none")).unwrap();
    assert_eq!(config.questions.llm.params.base_url.as_deref(), Some("http://127.0.0.1:1/v1"));
}

#[test]
fn what_is_not_in_this_version_is_refused_by_key_and_line() {
    let (seals, tables, pages) = (seals(), tables(), pages());
    let lay = "model_name: lay, ";
    for (text, from, to, says) in [
        (&tables, "use_doc_preprocessor: False", "use_doc_preprocessor: True", "line 2, column 23: `use_doc_preprocessor: True` needs"),
        (&seals, "  use_doc_preprocessor: False", "  use_doc_preprocessor: True", "column 27: `use_doc_preprocessor: True`"),
        (&pages, "        use_doc_preprocessor: False", "        use_doc_preprocessor: True", "`use_doc_preprocessor: True` is not"),
        (&seals, "text_type: seal", "text_type: general", "text_type `general`"),
        (&seals, lay, "model_name: lay, layout_nms: maybe, ", "line 5, column 81: `layout_nms` is True or False"),
        (&seals, lay, "model_name: lay, layout_unclip_ratio: 0, ", "line 5, column"),
        (&seals, lay, "model_name: lay, layout_unclip_ratio: [1, 2, 3], ", "`layout_unclip_ratio` is a number above 0"),
        (&seals, lay, "model_name: lay, layout_unclip_ratio: {seal: 2}, ", "`layout_unclip_ratio` is a number above 0"),
        (&seals, lay, "model_name: lay, layout_merge_bboxes_mode: largest, ", "`layout_merge_bboxes_mode` is union, large or small"),
        (&seals, lay, "model_name: lay, layout_merge_bboxes_mode: {0: all}, ", "`layout_merge_bboxes_mode` is union, large or small"),
        (&seals, lay, "model_name: lay, threshold: {0: 3}, ", "`threshold` is a number from 0 to 1"),
        (&seals, lay, "model_name: lay, threshold: 7, ", "`threshold` is a number from 0 to 1"),
        (&seals, lay, "model_name: lay, colour: red, ", "colour"),
        (&seals, "  text_type: seal", "  device: cpu", "`device: cpu` of a sub-pipeline"),
        (&tables, "model_dir: demo}", "model_dir: demo, batch_size: 0}", "integer `0`, expected 1 or more at line 7"),
        (&tables, "max_side_limit: 4000", "max_side_limit: 0", "`max_side_limit` is 0 pixels"),
        (&tables, "use_layout_detection: True", "use_layout_detection: False", "line 3, column 23: `use_layout_detection: False`"),
        (&tables, "use_ocr_model: True", "use_ocr_model: False", "`use_ocr_model: False`"),
        (&tables, "  TableStructureRecognition", "  TableCells", "TableCells"),
        (&tables, "  LayoutDetection: {", "  # LayoutDetection: {", "needs the section `LayoutDetection`"),
        (&pages, "use_layout_parser: True", "use_layout_parser: False", "`use_layout_parser: False`"),
        (&pages, "use_general_ocr: True", "use_general_ocr: False", "`use_general_ocr: False`"),
        (&pages, "use_formula_recognition: False", "use_formula_recognition: True", "`use_formula_recognition: True`"),
        (&pages, "use_ocr_model: False", "use_ocr_model: True", "`use_ocr_model: True`"),
        (&pages, "{model_name: rec, batch_size: 6", "{model_name: rec2, batch_size: 6", "another model than"),
        (&pages, "6, score_thresh: 0.25", "6, score_thresh: 0.5", "another score_thresh than"),
        (&pages, "text_kie_prompt_v1", "text_kie_prompt_v2", "text_kie_prompt_v1"),
        (&pages, "api_type: openai", "api_type: openai, end_point: completion", "chat_completion"),
    ] {
        let changed = text.replacen(from, to, 1);
        assert_ne!(&changed, text, "{from}");
        let message = read(&changed).expect_err(to).to_string();
        assert!(message.contains("p.yaml") && message.contains(says), "{to}: {message}");
    }
}

#[test]
fn no_name_is_not_the_default() {
    let file = |pipeline: &str, models: &str| format!("Global:\n  pipeline_name: {pipeline}\nPipeline:\n  text_det_model: a\n{models}");
    let parse = |text: &str| match PipelineConfig::parse(text, "p.yaml").unwrap().0 {
        PipelineConfig::Document(config) => config,
        other => panic!("{other:?}"),
    };
    let given = parse(&file("seal_recognition", ""));
    assert!(given.layout_model.is_some());
    for none in ["null", "~", "", "None", "''"] {
        assert_eq!(parse(&file("seal_recognition", &format!("  layout_model: {none}\n"))).layout_model, None, "{none}");
        let pages = parse(&file("PP-ChatOCRv3-doc", &format!("  seal_text_det_model: {none}\n")));
        assert!(pages.seal_text_det_model.is_none() && pages.layout_model.is_some(), "{none}");
    }
    assert!(parse(&file("seal_recognition", "  table_model: null\n")).table_model.is_none(), "nothing is what it has");
    let message = PipelineConfig::parse(&file("table_recognition", "  table_model: null\n"), "p.yaml").unwrap_err().to_string();
    assert!(message.contains("needs a `table_model`"), "{message}");
}

#[test]
fn regions_are_read_on_their_page_unless_the_file_says_otherwise() {
    for (section, expected) in [("{}", true), ("{recovery: True}", true), ("{recovery: False}", false)] {
        let file = format!("Global: {{pipeline_name: PP-ChatOCRv3-doc}}\nPipeline: {section}\n");
        let Ok((PipelineConfig::Document(config), _)) = PipelineConfig::parse(&file, "p.yaml") else { panic!("refused") };
        assert_eq!(config.recovery, expected, "{section}");
    }
}

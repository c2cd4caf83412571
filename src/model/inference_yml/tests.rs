use super::*;
use crate::image::Size;
use crate::model::spec::*;
use crate::ops::db::DbParams;
use crate::ops::resize_norm::Interpolation;

const CLAS: &str = include_str!("../../../tests/fixtures/spec/paddleclas.yml");
const CLAS_TRAIN: &str = include_str!("../../../tests/fixtures/spec/paddleclas_train.yml");
const CLAS_DEPLOY: &str = include_str!("../../../tests/fixtures/spec/paddleclas_deploy.yml");
const DETECTION: &str = include_str!("../../../tests/fixtures/spec/paddledetection.yml");
const INFER_CFG: &str = include_str!("../../../tests/fixtures/spec/paddledetection_infer_cfg.yml");
const MASK: &str = include_str!("../../../tests/fixtures/spec/paddledetection_mask.yml");
const SEG: &str = include_str!("../../../tests/fixtures/spec/paddleseg.yml");
const SEG_DEPLOY: &str = include_str!("../../../tests/fixtures/spec/paddleseg_deploy.yaml");
const SEAL: &str = include_str!("../../../tests/fixtures/spec/paddleocr_seal.yml");
const TABLE: &str = include_str!("../../../tests/fixtures/spec/paddleocr_table.yml");
const UNWARP: &str = include_str!("../../../tests/fixtures/spec/unwarping.yml");
const BOMB: &str = include_str!("../../../tests/fixtures/spec/bomb.yml");
const DET: &str = include_str!("../../../tests/fixtures/install/det.yml");
const REC: &str = include_str!("../../../tests/fixtures/install/rec.yml");
const ALL: [&str; 13] = [CLAS, CLAS_TRAIN, CLAS_DEPLOY, DETECTION, INFER_CFG, MASK, SEG, SEG_DEPLOY, SEAL, TABLE, UNWARP, DET, REC];

/// The specification in `text`; labels that it leaves out are the name of what is asked for.
fn read(text: &str) -> Result<ModelSpec> {
    let file = InferenceYml::read(text, "m/inference.yml")?;
    let name = file.model_name().unwrap_or("m").to_owned();
    file.spec(&name, "m/inference.yml", &|wanted| {
        Ok(match wanted {
            Labels::Classes(file) => file.map(|file| vec![file.to_owned()]),
            Labels::Dictionary => Some(vec!["from metadata".to_owned()]),
        })
    })
}

fn classification(text: &str) -> ClassificationSpec {
    match read(text).unwrap() {
        ModelSpec::Classification(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn detection(text: &str) -> DetectionSpec {
    match read(text).unwrap() {
        ModelSpec::Detection(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn segmentation(text: &str) -> SegmentationSpec {
    match read(text).unwrap() {
        ModelSpec::Segmentation(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn text_detection(text: &str) -> TextDetectionSpec {
    match read(text).unwrap() {
        ModelSpec::TextDetection(spec) => spec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn classifiers_of_every_exporter() {
    let expected = ClassificationSpec {
        resize: ClassResize::Short(219),
        interpolation: Interpolation::Linear, // whatever the file asks for
        crop: Some(Size::new(192, 192)),
        normalize: Normalize::IMAGENET,
        topk: 2,
        labels: ["tench, Tinca tinca", "90", "yes", "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias"]
            .map(str::to_owned)
            .into(),
    };
    assert_eq!(classification(CLAS), expected);

    let train = classification(CLAS_TRAIN);
    assert_eq!((train.resize, train.crop, train.topk), (ClassResize::Fixed(Size::new(224, 128)), None, 5));
    assert_eq!(train.labels, ["ppcls/utils/my_labels.txt"]);

    let deploy = classification(CLAS_DEPLOY);
    assert_eq!((deploy.resize, deploy.crop, deploy.topk), (ClassResize::Short(256), Some(Size::new(224, 160)), 1));
    assert_eq!(deploy.normalize.scale, Scale::Times(0.003_921_57));
    assert_eq!(deploy.labels, ["../ppcls/utils/my_labels.txt"]);

    let hpi = InferenceYml::read(CLAS, "m").unwrap().hpi().clone();
    assert_eq!(hpi.dynamic_shapes().unwrap()["x"].opt, [1, 3, 192, 192]);
}

#[test]
fn detectors_of_every_exporter() {
    let expected = DetectionSpec {
        target: Size::new(416, 320),
        keep_ratio: false,
        interpolation: Interpolation::Cubic,
        normalize: Some(Normalize::IMAGENET),
        canvas: Canvas::Stride(32),
        draw_threshold: 0.4,
        labels: vec!["person".into(), "bicycle".into()],
        masks: false,
        head: DetectorHead::PicoDet,
    };
    assert_eq!(detection(DETECTION), expected);
    let yolox = detection(INFER_CFG);
    assert_eq!((yolox.target, yolox.keep_ratio, yolox.interpolation), (Size::new(416, 416), true, Interpolation::Linear));
    assert_eq!((yolox.normalize, yolox.canvas), (None, Canvas::Fixed { size: Size::new(416, 416), fill: 114.0 }));
    let masks = detection(MASK);
    assert_eq!((masks.masks, masks.normalize.unwrap().mean, masks.normalize.unwrap().std), (true, [0.0; 3], [1.0; 3]));
}

#[test]
fn steps_of_a_detector() {
    let normalize = |step: &str| {
        detection(&MASK.replace("{mean: [0.0, 0.0, 0.0], norm_type: none, std: [1.0, 1.0, 1.0], type: NormalizeImage}", step)).normalize
    };
    let scaled = |scale, mean, std| Some(Normalize { scale: Scale::Times(scale), mean, std });
    assert_eq!(normalize("{type: NormalizeImage}"), Some(Normalize::IMAGENET));
    assert_eq!(normalize("{type: NormalizeImage, norm_type: none}"), scaled(1.0 / 255.0, [0.0; 3], [1.0; 3]));
    assert_eq!(
        normalize("{type: NormalizeImage, is_scale: false, mean: [1, 2, 3], std: [4, 5, 6]}"),
        scaled(1.0, [1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    );
    assert_eq!(normalize("{type: Permute}"), None);
    // What is free is normalised when the padding comes first.
    let padded = INFER_CFG.replace("- type: Permute", "- {type: NormalizeImage, mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25]}");
    assert_eq!(detection(&padded).canvas, Canvas::Fixed { size: Size::new(416, 416), fill: (114.0 * (1.0 / 255.0) - 0.5) / 0.25 });
    assert_eq!(detection(&INFER_CFG.replace("interp: 1", "interp: CUBIC")).interpolation, Interpolation::Cubic);
    assert_eq!(detection(&INFER_CFG.replace("interp: 1", "interp: null")).interpolation, Interpolation::Cubic);
    assert_eq!(detection(&INFER_CFG.replace("draw_threshold: 0.5\n", "")).draw_threshold, 0.5);
}

#[test]
fn segmenters_of_every_exporter() {
    let half = Normalize { scale: Scale::Times(1.0 / 255.0), mean: [0.5; 3], std: [0.5; 3] };
    assert_eq!(segmentation(SEG), SegmentationSpec { resize: None, normalize: half });
    let deploy = segmentation(SEG_DEPLOY);
    let resize = SegResize { rule: SegSize::Within(Size::new(1024, 512)), size_divisor: Some(32), interpolation: Interpolation::Linear };
    assert_eq!(deploy, SegmentationSpec { resize: Some(resize), normalize: Normalize::IMAGENET });
    for (step, rule) in [
        ("type: Resize\n    target_size: 512", SegSize::Fixed(Size::new(512, 512))),
        ("type: ResizeByLong\n    long_size: 800", SegSize::Long(800)),
        ("type: ResizeByShort\n    short_size: 300", SegSize::Short(300)),
    ] {
        let text = SEG.replace("  - type: Normalize", &format!("  - {step}\n  - type: Normalize\n    mean: 0.5\n    std: [0.5]"));
        assert_eq!(segmentation(&text).resize.unwrap().rule, rule);
        assert_eq!(segmentation(&text).normalize, half);
    }
}

#[test]
fn curved_text_tables_and_unwarping() {
    let seal = text_detection(SEAL);
    assert_eq!((seal.resize, seal.boxes), (DetResize::Long { side_len: 736 }, BoxType::Poly));
    assert_eq!((seal.db.thresh, seal.db.unclip_ratio), (0.2, 0.5));

    let ModelSpec::Table(table) = read(TABLE).unwrap() else { panic!() };
    assert_eq!((table.max_len, table.canvas, table.cells), (488, Size::new(488, 488), CellScale::Canvas));
    assert_eq!(table.tokens, ["sos", "<thead>", "<tr>", "<td", ">", "</td>", " colspan=\"2\"", "<td></td>", "eos"]);
    let ModelSpec::Table(slanet) = read(&TABLE.replace("my_table", "SLANet")).unwrap() else { panic!() };
    assert_eq!(slanet.cells, CellScale::Picture);
    let ModelSpec::Table(apart) = read(&TABLE.replace("merge_no_span_structure: true\n  name", "name")).unwrap() else { panic!() };
    assert!(apart.tokens.contains(&"<td>".to_owned()) && apart.tokens.len() == 9);

    let ModelSpec::Unwarping(unwarp) = read(UNWARP).unwrap() else { panic!() };
    assert_eq!(unwarp.normalize, Normalize { scale: Scale::Times(1.0 / 255.0), mean: [0.0; 3], std: [1.0; 3] });
}

#[test]
fn a_text_detector_is_read() {
    let spec = text_detection(DET);
    assert_eq!(spec.resize, DetResize::Limit { side_len: 960, limit_type: LimitType::Max });
    assert_eq!((spec.normalize, spec.boxes), (Normalize::IMAGENET, BoxType::Quad));
    assert_eq!(spec.db, DbParams::default());
    assert_eq!(
        text_detection(
            &DET.replace("name: DB", "name: DistillationDB")
                .replace("PostProcess:\n", "PostProcess:\n  model_name: [Student]\n  key: head_out\n")
        ),
        spec
    );
}

#[test]
fn a_recogniser_is_read() {
    let expected = |characters: &[&str]| {
        let characters = characters.iter().map(|&c| c.to_owned()).collect();
        ModelSpec::TextRecognition(TextRecognitionSpec { image_shape: [3, 48, 320], characters })
    };
    // Plain YAML scalars that look like numbers, booleans or null stay the characters they are.
    let characters = ["blank", "'", "疗", "2", "0", "y", "~", "\u{3000}", "-", "1.5", " "];
    assert_eq!(read(REC).unwrap(), expected(&characters));
    let (without, _) = REC.split_once("  character_dict:").unwrap();
    assert_eq!(read(without).unwrap(), expected(&["blank", "from metadata", " "]));
}

#[test]
fn resize_rules_of_text_detection_are_those_of_the_reference() {
    let limit = |side_len, limit_type| DetResize::Limit { side_len, limit_type };
    let fixed = |keep_ratio| DetResize::Fixed { size: Size::new(320, 640), keep_ratio };
    let cases = [
        ("{resize_long: 736}", DetResize::Long { side_len: 736 }),
        ("{limit_side_len: 64, limit_type: max}", limit(64, LimitType::Max)),
        ("{limit_side_len: 64, resize_long: 9}", limit(64, LimitType::Min)),
        ("{limit_side_len: 64, limit_type: resize_long}", limit(64, LimitType::ResizeLong)),
        ("{image_shape: [640, 320]}", fixed(false)),
        ("{image_shape: [640, 320], keep_ratio: true, limit_side_len: 5}", fixed(true)),
        ("null", limit(736, LimitType::Min)),
    ];
    for (rule, expected) in cases {
        let other = DET.replace("PP-OCRv4_mobile_det", "my_det").replace("\n      resize_long: 960", &format!(" {rule}"));
        assert_eq!(text_detection(&other).resize, expected, "{rule}");
        let named = DET.replace("\n      resize_long: 960", &format!(" {rule}"));
        assert!(matches!(text_detection(&named).resize, DetResize::Limit { limit_type: LimitType::Max, .. }), "{rule}");
    }
}

#[test]
fn what_is_left_out_gets_the_reference_defaults() {
    let (text, _) = DET.split_once("  thresh:").unwrap();
    assert_eq!(text_detection(text).db, DbParams { thresh: 0.3, box_thresh: 0.7, unclip_ratio: 2.0, ..DbParams::default() });
}

#[test]
fn keys_nobody_knows_are_named() {
    let unknown = |text: &str| InferenceYml::read(text, "m").unwrap().unknown().cloned().collect::<Vec<_>>();
    assert_eq!(unknown(CLAS_TRAIN), ["Arch", "checkpoints", "image_shape", "pretrained_model", "save_inference_dir"]);
    for text in [CLAS, DETECTION, INFER_CFG, MASK, SEG, SEG_DEPLOY, SEAL, TABLE, UNWARP, DET, REC] {
        assert!(unknown(text).is_empty(), "{:?}", unknown(text));
    }
    assert_eq!(unknown(&DETECTION.replace("  type: Resize", "  type: Resize\n  random: 1")), ["random"]);
    assert_eq!(unknown(&SEG.replace("- type: Normalize", "- {type: Normalize, extra: 1}")), ["extra"]);
}

#[test]
fn errors_say_where_and_why() {
    let cases = [
        (DET.replace("thresh: 0.3", "thresh: 3"), "m/inference.yml:36:11: a threshold is within 0 to 1"),
        (DET.replace("thresh: 0.3", "thresh: high"), "m/inference.yml:36:11"),
        (DET.replace("img_mode: BGR", "img_mode: RGB"), "m/inference.yml:14:5: pictures of text are BGR"),
        (DET.replace("img_mode: BGR", "img_mode: HSV"), "m/inference.yml:16:17"),
        (DET.replace("- ToCHWImage: null", "- ToHWCImage: null"), "unknown step `ToHWCImage`; known: DecodeImage"),
        (DET.replace("- ToCHWImage: null", "  ToCHWImage: null"), "`ToCHWImage` needs a list entry of its own"),
        (DET.replace("1./255.", "1./0."), "not a number or a quotient"),
        (DET.replace("1./255.", "__import__('os')"), "not a number or a quotient"),
        (DET.replace("- 0.229", "- 0.0"), "a standard deviation is not zero"),
        (DET.replace("- 0.229", "- .nan"), "a number is expected for each channel"),
        (DET.replace("resize_long: 960", "resize_long: 0"), "a side length is 1 to 65536 pixels"),
        (DET.replace("resize_long: 960", "image_shape: [640, 0]"), "a side length is 1 to 65536 pixels"),
        (DET.replace("unclip_ratio: 1.5", "unclip_ratio: .inf"), "an unclip ratio is above 0, and 100 at most"),
        (DET.replace("channel_first: false", "channel_first: true"), "channel_first must be false"),
        (DET.replace("name: DBPostProcess", "name: Other"), "m/inference.yml:35:9"),
        (DET.replace("  unclip_ratio", "  box_type: round\n  unclip_ratio"), "quad"),
        (
            DET.replace("- DetResizeForTest:\n      resize_long: 960", "- DetLabelEncode: null"),
            "m/inference.yml:34:9: PreProcess.transform_ops has no DetResizeForTest",
        ),
        (REC.replace("- 48", "- 0"), "image_shape is [3, 0, 320]"),
        (REC.replace("- 48", ""), "m/inference.yml:"),
        (CLAS.replace("resize_short: 219", "resize_long: 219"), "m/inference.yml:37:5: ResizeImage needs resize_short or size"),
        (CLAS.replace("channel_num: 3", "channel_num: 4"), "m/inference.yml:44:20: 4 channels are not in this version"),
        (CLAS.replace("topk: 2", "topk: -2"), "m/inference.yml:58:11"),
        (
            CLAS.replace("  - CropImage:\n      size: 192\n", "").replace("  - ToCHWImage: null", "  - CropImage: {size: 192}"),
            "CropImage stands behind NormalizeImage",
        ),
        (
            CLAS.replace("  - CropImage:\n      size: 192\n", "  - CropImage: {size: 192}\n  - CropImage: {size: 96}\n"),
            "m/inference.yml:42:5: CropImage stands there twice",
        ),
        (CLAS.replace("topk: 2", "topk: 0"), "topk of PostProcess is 0"),
        (CLAS.replace("CropImage:\n      size: 192", "DetResizeForTest: {}"), "DetResizeForTest is no step of a classifier"),
        (CLAS.replace("Topk:", "MultiLabelThreshOutput:"), "neither a known name nor a Topk"),
        (CLAS_TRAIN.replace("to_rgb: True", "to_rgb: False"), "a classifier's pictures are RGB"),
        (DETECTION.replace("interp: 2", "interp: 4"), "interpolation `4` is not in this version; known: 1 (LINEAR), 2 (CUBIC)"),
        (DETECTION.replace("type: PadStride", "type: WarpAffine"), "m/inference.yml:29:9: unknown variant `WarpAffine`"),
        (DETECTION.replace("- person", "- {a: b}"), "m/inference.yml:31:3"),
        (DETECTION.replace("  target_size:\n  - 320\n  - 416\n", ""), "Resize needs target_size"),
        (DETECTION.replace("label_list:\n- person\n- bicycle\n", ""), "there is no label_list"),
        (INFER_CFG.replace("  size:\n  - 416\n  - 416", "  size: 400"), "Pad.size is less than Resize.target_size"),
        (INFER_CFG.replace("- 114.0\n  - 114.0\n  - 114.0", "- 1\n  - 2\n  - 3"), "unlike channels"),
        (INFER_CFG.replace("- type: Permute", "- type: NormalizeImage"), "Pad before NormalizeImage"),
        (SEG.replace("type: Normalize", "type: ResizeByLong"), "m/inference.yml:13:5: ResizeByLong needs"),
        (SEG.replace("output_op: argmax", "output_op: sigmoid"), "unknown variant `sigmoid`"),
        (TABLE.replace("max_len: 488", "max_len: 500"), "PaddingTableImage.size 488 is less than ResizeTableImage.max_len 500"),
        (UNWARP.replace("UVDoc", "other"), "there is no PreProcess, no Preprocess and no Deploy section"),
        (format!("{SEG}PreProcess: {{transform_ops: []}}\n"), "more than one of the sections"),
        (BOMB.to_owned(), "m/inference.yml:7:12: more entries, aliases or text than such a document has"),
        (format!("label_list: {}", "[".repeat(100_000)), "m/inference.yml"),
        ("Global: [".to_owned(), "m/inference.yml:1:9: expected mapping start"),
        (String::new(), "m/inference.yml"),
    ];
    for (text, expected) in &cases {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains(expected), "expected {expected}\nfound    {message}");
        assert!(!message.contains('\n') && !message.contains(" at line "), "{message}");
    }
}

proptest::proptest! {
    /// Whatever a file holds: a specification or an error.
    #[test]
    fn no_text_makes_it_panic(
        which in 0..ALL.len(),
        at: proptest::sample::Index,
        cut in 0..40usize,
        patch in "[-:{}\\[\\]a-z0-9.'\"#&*!|> \n\t~]{0,12}",
    ) {
        let text: Vec<char> = ALL[which].chars().collect();
        let at = at.index(text.len());
        let text: String = text[..at].iter().copied().chain(patch.chars()).chain(text[(at + cut).min(text.len())..].iter().copied()).collect();
        if let Ok(ModelSpec::TextDetection(spec)) = read(&text) {
            let size = spec.resize.target(Size::new(640, 48), None);
            proptest::prop_assert!(size.width > 0 && size.height > 0);
        }
    }
}

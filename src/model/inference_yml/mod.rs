//! `inference.yml` of an exported model, in the dialect of the OCR family, and the [`ModelSpec`] it means.
//!
//! What changes results is read strictly: an unknown transform, post-processing or value is an error at
//! `file:line:column`. A key this reader does not know is named in one warning per file.
//! Reference: PaddleX 3.0-beta1, `DetResizeForTest`, `NormalizeImage`, `DBPostProcess`, `CTCLabelDecode`.

mod schema;

use super::hpi::HpiHints;
use super::spec::{DetResize, LimitType, ModelSpec, TextDetectionSpec, TextRecognitionSpec};
use super::yaml::{self, Unknown};
use crate::error::{Error, Result};
use crate::image::Size;
use crate::ops::db::DbParams;
use crate::ops::resize_norm::{Normalize, Scale};
use schema::{DetResizeForTest, Global, NormalizeImage, PostProcess, PostProcessName, PreProcess, SIDES, Transform};
use serde::Deserialize;

/// Detectors for which the reference has its own resize rule: only the number under `resize_long` counts.
const LIMITED_BY_NAME: [&str; 2] = ["PP-OCRv4_mobile_det", "PP-OCRv4_server_det"];

/// A whole `inference.yml`.
#[derive(Debug, Deserialize)]
pub(super) struct InferenceYml {
    #[serde(rename = "Global")]
    global: Global,
    #[serde(default, rename = "Hpi")]
    hpi: HpiHints,
    #[serde(rename = "PreProcess")]
    pre: PreProcess,
    #[serde(rename = "PostProcess")]
    post: PostProcess,
    #[serde(flatten)]
    unknown: Unknown,
}

/// The two sections that make a [`ModelSpec`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Processing {
    #[serde(rename = "PreProcess")]
    pre: PreProcess,
    #[serde(rename = "PostProcess")]
    post: PostProcess,
}

impl InferenceYml {
    /// Reads `text`, found at `place`, and warns of keys it does not know.
    pub fn read(text: &str, place: &str) -> Result<Self> {
        let file: Self = yaml::parse(text, place)?;
        let unknown: Vec<_> =
            [&file.unknown, &file.global.unknown].into_iter().flat_map(|u| u.keys()).chain(unknown(&file.pre, &file.post)).collect();
        if !unknown.is_empty() {
            tracing::warn!("{place}: ignoring unknown keys: {}", unknown.iter().map(|k| k.as_str()).collect::<Vec<_>>().join(", "));
        }
        Ok(file)
    }

    /// What the file says of engines.
    pub fn hpi(&self) -> &HpiHints {
        &self.hpi
    }

    /// `Global.model_name` and what the file means; `dictionary` is asked when a recogniser's file has none.
    pub fn into_spec(self, place: &str, dictionary: impl FnOnce() -> Result<Vec<String>>) -> Result<(String, ModelSpec)> {
        let name = self.global.model_name;
        let spec = Processing { pre: self.pre, post: self.post }.spec(&name, place, dictionary)?;
        Ok((name, spec))
    }
}

impl Processing {
    /// The keys that mean nothing to the reader.
    pub fn unknown(&self) -> impl Iterator<Item = &String> {
        unknown(&self.pre, &self.post)
    }

    /// What the sections mean for the model called `name`.
    pub fn spec(&self, name: &str, place: &str, dictionary: impl FnOnce() -> Result<Vec<String>>) -> Result<ModelSpec> {
        let lacks = |what: &str| Error::config(place, format!("PreProcess.transform_ops has no {what}, which PostProcess needs"));
        let ops = || self.pre.transform_ops.iter();
        if ops().any(|op| matches!(op, Transform::DecodeImage(decode) if decode.channel_first)) {
            return Err(Error::config(place, "DecodeImage.channel_first must be false"));
        }
        match self.post.name {
            PostProcessName::Db => {
                let resize = ops().find_map(|op| if let Transform::DetResize(resize) = op { Some(resize) } else { None });
                let normalize = ops().find_map(|op| if let Transform::Normalize(normalize) = op { Some(normalize) } else { None });
                Ok(ModelSpec::TextDetection(TextDetectionSpec {
                    resize: resize.ok_or_else(|| lacks("DetResizeForTest"))?.rule(name),
                    normalize: normalize.ok_or_else(|| lacks("NormalizeImage"))?.typed(place)?,
                    db: self.post.db(),
                    boxes: self.post.box_type.unwrap_or_default(),
                }))
            }
            PostProcessName::Ctc => {
                let resize = ops().find_map(|op| if let Transform::RecResize(resize) = op { Some(resize) } else { None });
                let image_shape = resize.ok_or_else(|| lacks("RecResizeImg"))?.image_shape;
                if image_shape[0] != 3 || !image_shape.iter().all(|side| SIDES.contains(side)) {
                    return Err(Error::config(place, format!("RecResizeImg.image_shape is {image_shape:?}; expected [3, height, width]")));
                }
                let dictionary = match &self.post.character_dict {
                    Some(dictionary) => dictionary.clone(),
                    None => dictionary()?,
                };
                Ok(ModelSpec::TextRecognition(TextRecognitionSpec { image_shape, characters: TextRecognitionSpec::classes(dictionary) }))
            }
        }
    }
}

fn unknown<'a>(pre: &'a PreProcess, post: &'a PostProcess) -> impl Iterator<Item = &'a String> {
    let ops = pre.transform_ops.iter().filter_map(|op| match op {
        Transform::DecodeImage(op) => Some(&op.unknown),
        Transform::DetResize(op) => Some(&op.unknown),
        Transform::Normalize(op) => Some(&op.unknown),
        Transform::RecResize(op) => Some(&op.unknown),
        Transform::Implied => None,
    });
    ops.chain([&pre.unknown, &post.unknown]).flat_map(|unknown| unknown.keys())
}

impl DetResizeForTest {
    fn rule(&self, name: &str) -> DetResize {
        if LIMITED_BY_NAME.contains(&name) {
            return DetResize::Limit { side_len: self.resize_long.unwrap_or(960), limit_type: LimitType::Max };
        }
        match (self.image_shape, self.limit_side_len, self.resize_long) {
            (Some([height, width]), _, _) => DetResize::Fixed { size: Size::new(width, height), keep_ratio: self.keep_ratio },
            (None, Some(side_len), _) => DetResize::Limit { side_len, limit_type: self.limit_type.unwrap_or(LimitType::Min) },
            (None, None, Some(side_len)) => DetResize::Long { side_len },
            (None, None, None) => DetResize::Limit { side_len: 736, limit_type: LimitType::Min },
        }
    }
}

impl NormalizeImage {
    fn typed(&self, place: &str) -> Result<Normalize> {
        let std = self.std.unwrap_or([0.229, 0.224, 0.225]);
        if std.contains(&0.0) {
            return Err(Error::config(place, "NormalizeImage.std holds a zero"));
        }
        Ok(Normalize { scale: Scale::Times(self.scale.unwrap_or(1.0 / 255.0)), mean: self.mean.unwrap_or([0.485, 0.456, 0.406]), std })
    }
}

impl PostProcess {
    /// With the reference's defaults for what a file leaves out, which are not those of the shipped models.
    fn db(&self) -> DbParams {
        DbParams {
            thresh: self.thresh.unwrap_or(0.3),
            box_thresh: self.box_thresh.unwrap_or(0.7),
            unclip_ratio: self.unclip_ratio.unwrap_or(2.0),
            max_candidates: self.max_candidates.unwrap_or(1000),
            use_dilation: self.use_dilation.unwrap_or(false),
            score_mode: self.score_mode.unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DET: &str = include_str!("../../../tests/fixtures/install/det.yml");
    const REC: &str = include_str!("../../../tests/fixtures/install/rec.yml");

    fn read(text: &str) -> Result<(String, ModelSpec)> {
        InferenceYml::read(text, "m/inference.yml")?.into_spec("m/inference.yml", || Ok(vec!["from metadata".into()]))
    }

    fn detection(text: &str) -> TextDetectionSpec {
        match read(text).unwrap().1 {
            ModelSpec::TextDetection(spec) => spec,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_detector_is_read() {
        let (name, _) = read(DET).unwrap();
        assert_eq!(name, "PP-OCRv4_mobile_det");
        let spec = detection(DET);
        assert_eq!(spec.resize, DetResize::Limit { side_len: 960, limit_type: LimitType::Max });
        assert_eq!(spec.normalize, Normalize::IMAGENET);
        assert_eq!(spec.db, DbParams::default());
    }

    #[test]
    fn a_recogniser_is_read() {
        let expected = |characters: &[&str]| {
            let characters = characters.iter().map(|&c| c.to_owned()).collect();
            ModelSpec::TextRecognition(TextRecognitionSpec { image_shape: [3, 48, 320], characters })
        };
        // Plain YAML scalars that look like numbers, booleans or null stay the characters they are.
        let characters = ["blank", "'", "疗", "2", "0", "y", "~", "\u{3000}", "-", "1.5", " "];
        assert_eq!(read(REC).unwrap(), ("PP-OCRv4_mobile_rec".into(), expected(&characters)));
        let (without, _) = REC.split_once("  character_dict:").unwrap();
        assert_eq!(read(without).unwrap().1, expected(&["blank", "from metadata", " "]));
    }

    #[test]
    fn resize_rules_are_those_of_the_reference() {
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
            assert_eq!(detection(&other).resize, expected, "{rule}");
            let named = DET.replace("\n      resize_long: 960", &format!(" {rule}"));
            assert!(matches!(detection(&named).resize, DetResize::Limit { limit_type: LimitType::Max, .. }), "{rule}");
        }
    }

    #[test]
    fn what_is_left_out_gets_the_reference_defaults() {
        let (text, _) = DET.split_once("  thresh:").unwrap();
        let spec = detection(text);
        assert_eq!(spec.db, DbParams { thresh: 0.3, box_thresh: 0.7, unclip_ratio: 2.0, ..DbParams::default() });
    }

    #[test]
    fn errors_say_where_and_why() {
        let cases = [
            (DET.replace("thresh: 0.3", "thresh: 3"), "m/inference.yml:36:11: a threshold is within 0 to 1"),
            (DET.replace("thresh: 0.3", "thresh: high"), "m/inference.yml:36:11"),
            (DET.replace("img_mode: BGR", "img_mode: RGB"), "m/inference.yml:16:17"),
            (DET.replace("- ToCHWImage: null", "- ToHWCImage: null"), "unknown step `ToHWCImage`; known: DecodeImage"),
            (DET.replace("- ToCHWImage: null", "  ToCHWImage: null"), "`ToCHWImage` needs a list entry of its own"),
            (DET.replace("1./255.", "1./0."), "not a number or a quotient"),
            (DET.replace("1./255.", "__import__('os')"), "not a number or a quotient"),
            (DET.replace("- 0.229", "- 0.0"), "std holds a zero"),
            (DET.replace("resize_long: 960", "resize_long: 0"), "a side length is 1 to 65536 pixels"),
            (DET.replace("resize_long: 960", "image_shape: [640, 0]"), "a side length is 1 to 65536 pixels"),
            (DET.replace("unclip_ratio: 1.5", "unclip_ratio: .inf"), "must be a positive number"),
            (DET.replace("channel_first: false", "channel_first: true"), "channel_first must be false"),
            (DET.replace("name: DBPostProcess", "name: Other"), "m/inference.yml:35:9"),
            (DET.replace("  unclip_ratio", "  box_type: round\n  unclip_ratio"), "quad"),
            (DET.replace("- DetResizeForTest:\n      resize_long: 960", "- DetLabelEncode: null"), "has no DetResizeForTest"),
            (REC.replace("- 48", "- 0"), "image_shape is [3, 0, 320]"),
            (REC.replace("- 48", ""), "m/inference.yml:"),
            ("Global: [".to_owned(), "m/inference.yml:1:9: expected mapping start"),
            (String::new(), "m/inference.yml"),
        ];
        for (text, expected) in cases {
            let message = read(&text).unwrap_err().to_string();
            assert!(message.contains(expected), "expected {expected}\nfound    {message}");
            assert!(!message.contains('\n') && !message.contains(" at line "), "{message}");
        }
    }
    proptest::proptest! {
        /// Whatever a file holds: a specification or an error.
        #[test]
        fn no_text_makes_it_panic(rec: bool, at: proptest::sample::Index, cut in 0..40usize, patch in "[-:{}\\[\\]a-z0-9.'\"#&*!|> \n\t~]{0,12}") {
            let text: Vec<char> = if rec { REC } else { DET }.chars().collect();
            let at = at.index(text.len());
            let text: String = text[..at].iter().copied().chain(patch.chars()).chain(text[(at + cut).min(text.len())..].iter().copied()).collect();
            if let Ok((_, ModelSpec::TextDetection(spec))) = read(&text) {
                let size = spec.resize.target(Size::new(640, 48));
                proptest::prop_assert!(size.width > 0 && size.height > 0);
            }
        }
    }
}

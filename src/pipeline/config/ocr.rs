//! Configuration of OCR.

use super::{Beta1, Dialect, HpiParams, Line, PpOption, device, line, one_by_one, or_default, read_yaml};
use crate::error::{Error, Result};
use crate::model::{HpiConfig, LimitType};
use crate::modules::batch::{BatchLimits, Padding};
use crate::modules::loader::ModelChoice;
use crate::modules::text_detect::DetectionOverrides;
use crate::ops::db::ScoreMode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::num::NonZeroUsize;

/// Width of a line that batch sizes are thought for, in pixels: that of the reference's own input.
const LINE_WIDTH: usize = 320;

/// Configuration of the OCR pipeline.
#[derive(Clone, Debug, PartialEq)]
pub struct OcrConfig {
    /// Text detector.
    pub text_det_model: ModelChoice,
    /// Text recogniser.
    pub text_rec_model: ModelChoice,
    /// Settings in place of the detector's own.
    pub detection: DetectionOverrides,
    /// Least recognition score of a result; 0 keeps all, as the reference does.
    pub score_thresh: f32,
    /// Limits of a recognition batch; `None` leaves them to the device.
    pub batch: Option<BatchLimits>,
    /// How lines of unlike width share a recognition batch: not at all, or as in PaddleX 3.x.
    pub padding: Padding,
    /// Device, where the file names one. A pipeline runs where its loader does: [`Device::open`](crate::device::Device::open) it for that.
    pub device: Option<String>,
}

impl Default for OcrConfig {
    fn default() -> Self {
        Self {
            text_det_model: ModelChoice::named("PP-OCRv4_mobile_det"),
            text_rec_model: ModelChoice::named("PP-OCRv4_mobile_rec"),
            detection: DetectionOverrides::default(),
            score_thresh: 0.0,
            batch: None,
            padding: Padding::Own,
            device: None,
        }
    }
}

impl OcrConfig {
    /// Parses the text of a pipeline file; `place` names it in errors.
    pub(super) fn parse(text: &str, dialect: Dialect, place: &str) -> Result<Self> {
        match dialect {
            Dialect::V3 => read_yaml::<v3::File>(text, place)?.into_config(&HpiConfig::default(), "general", place),
            Dialect::V3Beta1 => read_yaml::<Beta1<beta1::Pipeline>>(text, place)?.pipeline.into_config(place),
        }
    }
}

mod beta1 {
    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Pipeline {
        text_det_model: Option<String>,
        text_rec_model: Option<String>,
        text_rec_batch_size: Option<usize>,
        text_det_batch_size: Option<NonZeroUsize>,
        #[serde(default, deserialize_with = "device")]
        device: Option<String>,
        #[serde(default, deserialize_with = "or_default")]
        hpi_config: HpiConfig,
        // Compatibility switches without an effect here: this program is the plugin, and needs no licence.
        #[serde(rename = "use_hpip")]
        _use_hpip: Option<bool>,
        #[serde(rename = "hpi_params")]
        _hpi_params: Option<HpiParams>,
        #[serde(rename = "pp_option")]
        _pp_option: Option<PpOption>,
    }

    impl Pipeline {
        pub fn into_config(self, place: &str) -> Result<OcrConfig> {
            let mut config = OcrConfig::default();
            for (choice, name) in [(&mut config.text_det_model, self.text_det_model), (&mut config.text_rec_model, self.text_rec_model)] {
                choice.hpi = self.hpi_config.clone().into();
                if let Some(name) = name {
                    choice.rename(name);
                }
            }
            config.set_batch_size(self.text_rec_batch_size, place)?;
            one_by_one("text_det_batch_size", self.text_det_batch_size, place);
            config.device = self.device;
            Ok(config)
        }
    }
}

pub(super) mod v3 {
    use super::super::nested::{Foreign, Switch, all_off, choice, must_be_unset, refused, step};
    use super::*;
    use serde_saphyr::Spanned;

    /// Limit of the longer side of a detector's input, in files that give none.
    const MAX_SIDE_LIMIT: u32 = 4000;

    /// A file, or the sub-pipeline of another.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct File {
        #[serde(rename = "pipeline_name")]
        _pipeline_name: String,
        text_type: Option<Spanned<String>>,
        use_doc_preprocessor: Switch,
        use_textline_orientation: Switch,
        #[serde(rename = "SubModules")]
        modules: SubModules,
        #[serde(rename = "SubPipelines")]
        pipelines: Option<SubPipelines>,
        #[serde(default, deserialize_with = "device")]
        device: Option<String>,
        #[serde(default, deserialize_with = "or_default")]
        hpi_config: HpiConfig,
        #[serde(rename = "use_hpip")]
        _use_hpip: Option<bool>,
        #[serde(rename = "batch_size")]
        _batch_size: Option<NonZeroUsize>,
        #[serde(rename = "Serving")]
        _serving: Option<IgnoredAny>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SubPipelines {
        #[serde(rename = "DocPreprocessor")]
        preprocessor: Option<IgnoredAny>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SubModules {
        #[serde(rename = "TextDetection")]
        detection: Detection,
        #[serde(rename = "TextRecognition")]
        recognition: Recognition,
        #[serde(rename = "TextLineOrientation")]
        orientation: Option<IgnoredAny>,
    }

    /// What a file of a type of text means where it has no line for a setting. An empty line means the model's own.
    struct Defaults {
        limit_side_len: u32,
        limit_type: LimitType,
        thresh: f32,
        box_thresh: f64,
        unclip_ratio: f64,
        is_from_top: bool,
    }

    const GENERAL: Defaults =
        Defaults { limit_side_len: 960, limit_type: LimitType::Max, thresh: 0.3, box_thresh: 0.6, unclip_ratio: 2.0, is_from_top: false };
    const SEAL: Defaults =
        Defaults { limit_side_len: 736, limit_type: LimitType::Min, thresh: 0.2, box_thresh: 0.6, unclip_ratio: 0.5, is_from_top: true };

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Detection {
        #[serde(rename = "module_name")]
        _module_name: Option<String>,
        model_name: String,
        model_dir: Option<Spanned<String>>,
        #[serde(default, deserialize_with = "line")]
        limit_side_len: Line<u32>,
        #[serde(default, deserialize_with = "line")]
        limit_type: Line<LimitType>,
        // Files of seals ship with the second word, which PaddleX passes over for the default; it ships with the same number.
        #[serde(alias = "max_side_len")]
        max_side_limit: Option<Spanned<u32>>,
        #[serde(default, deserialize_with = "line")]
        thresh: Line<f32>,
        #[serde(default, deserialize_with = "line")]
        box_thresh: Line<f64>,
        #[serde(default, deserialize_with = "line")]
        unclip_ratio: Line<f64>,
        score_mode: Option<ScoreMode>,
        input_shape: Foreign,
        // Detection runs picture by picture.
        #[serde(rename = "batch_size")]
        _batch_size: Option<NonZeroUsize>,
        #[serde(rename = "use_hpip")]
        _use_hpip: Option<bool>,
        #[serde(default, deserialize_with = "or_default")]
        hpi_config: HpiConfig,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Recognition {
        #[serde(rename = "module_name")]
        _module_name: Option<String>,
        model_name: String,
        model_dir: Option<Spanned<String>>,
        batch_size: Option<usize>,
        score_thresh: Option<f32>,
        input_shape: Foreign,
        return_word_box: Switch,
        #[serde(rename = "use_hpip")]
        _use_hpip: Option<bool>,
        #[serde(default, deserialize_with = "or_default")]
        hpi_config: HpiConfig,
    }

    impl File {
        /// The configuration of a file, or of a sub-pipeline, for text of type `text_type`; `general` stands where it says nothing
        /// of engines.
        pub fn into_config(self, general: &HpiConfig, text_type: &str, place: &str) -> Result<OcrConfig> {
            let preprocessor = self.pipelines.is_some_and(|pipelines| pipelines.preprocessor.is_some());
            let lines = self.modules.orientation.is_some();
            all_off(
                &[
                    step("use_doc_preprocessor", &self.use_doc_preprocessor, "DocPreprocessor", preprocessor),
                    step("use_textline_orientation", &self.use_textline_orientation, "TextLineOrientation", lines),
                ],
                place,
            )?;
            let defaults = if text_type == "seal" { SEAL } else { GENERAL };
            if let Some(other) = self.text_type.filter(|given| given.value != text_type) {
                let reason = format!("text_type `{}` is not in this version here; known: {text_type}", other.value);
                return Err(refused(place, &other, reason));
            }
            let (d, r) = (self.modules.detection, self.modules.recognition);
            for input_shape in [&d.input_shape, &r.input_shape] {
                must_be_unset("input_shape", input_shape, place, "inputs have the sizes that the model's inference.yml says")?;
            }
            step("return_word_box", &r.return_word_box, "", false).must_be_off(place)?;
            let general = self.hpi_config.over(general);
            let max_side = match d.max_side_limit {
                Some(given) if given.value == 0 => return Err(refused(place, &given, "`max_side_limit` is 0 pixels; give 1 or more")),
                given => given.map_or(MAX_SIDE_LIMIT, |given| given.value),
            };
            let mut config = OcrConfig {
                text_det_model: choice(d.model_name, d.model_dir, &d.hpi_config, &general, place),
                text_rec_model: choice(r.model_name, r.model_dir, &r.hpi_config, &general, place),
                detection: DetectionOverrides {
                    limit_side_len: d.limit_side_len.unwrap_or(Some(defaults.limit_side_len)),
                    limit_type: d.limit_type.unwrap_or(Some(defaults.limit_type)),
                    max_side: Some(max_side),
                    thresh: d.thresh.unwrap_or(Some(defaults.thresh)),
                    box_thresh: d.box_thresh.unwrap_or(Some(defaults.box_thresh)),
                    unclip_ratio: d.unclip_ratio.unwrap_or(Some(defaults.unclip_ratio)),
                    score_mode: d.score_mode,
                    is_from_top: defaults.is_from_top,
                },
                score_thresh: r.score_thresh.unwrap_or(0.0),
                device: self.device,
                ..OcrConfig::default()
            };
            config.set_batch_size(r.batch_size, place)?;
            config.check(place)?;
            Ok(config)
        }
    }
}

impl OcrConfig {
    /// A batch size of 1 is the files' default and the reference's only working one; results do not depend on it,
    /// so only a greater one replaces our own limits.
    pub(super) fn set_batch_size(&mut self, size: Option<usize>, place: &str) -> Result<()> {
        match size {
            Some(0) => return Err(Error::config(place, "text_rec_batch_size: 0 lines a run; give 1 or more")),
            Some(items) if items > 1 => self.batch = Some(BatchLimits { items, cost: items.saturating_mul(LINE_WIDTH) }),
            _ => {}
        }
        Ok(())
    }

    /// Refuses numbers that make no sense; `place` names where they stand.
    pub fn check(&self, place: &str) -> Result<()> {
        if !(0.0..=1.0).contains(&self.score_thresh) {
            return Err(Error::config(place, format!("score_thresh: {} is not within 0 to 1", self.score_thresh)));
        }
        self.detection.check(place)
    }
}

//! Configuration of the pipelines with one network.

use super::{Beta1, Dialect, HpiParams, PpOption, device, or_default, read_yaml};
use crate::error::{Error, Result};
use crate::model::HpiConfig;
use crate::modules::loader::ModelChoice;
use crate::ops::layout::regions::RegionRules;
use crate::pipeline::Task;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Most pictures that share a run.
const MAX_BATCH: usize = 4096;

/// Configuration of a pipeline with one network.
#[derive(Clone, Debug, PartialEq)]
pub struct PictureConfig {
    /// Which pipeline.
    pub task: Task,
    /// The network.
    pub model: ModelChoice,
    /// Most pictures that share a run. Results do not depend on it.
    pub batch_size: usize,
    /// Classes that a classification names, in place of the model's own number.
    pub topk: Option<usize>,
    /// Score that an object needs to exceed, in place of the model's own.
    pub threshold: Option<f32>,
    /// Which objects of `object_detection` are used, in files of PaddleX 3.x.
    pub rules: Option<Box<RegionRules>>,
    /// Device, where the file names one. A pipeline runs where its loader does: [`Device::open`](crate::device::Device::open) it for that.
    pub device: Option<String>,
}

impl PictureConfig {
    /// The defaults of `task`.
    pub fn new(task: Task) -> Self {
        let model = ModelChoice::named(task.default_model());
        Self { task, model, batch_size: 1, topk: None, threshold: None, rules: None, device: None }
    }

    /// Parses the text of a pipeline file; `place` names it in errors.
    pub(super) fn parse(text: &str, task: Task, dialect: Dialect, place: &str) -> Result<Self> {
        let config = match dialect {
            Dialect::V3Beta1 => read_yaml::<Beta1<beta1::Pipeline>>(text, place)?.pipeline.into_config(task),
            Dialect::V3 => read_yaml::<v3::File>(text, place)?.into_config(task, place)?,
        };
        config.check(place)?;
        Ok(config)
    }

    /// Refuses numbers that make no sense; `place` names where they stand.
    pub fn check(&self, place: &str) -> Result<()> {
        let refuse = |reason: String| Err(Error::config(place, reason));
        if !(1..=MAX_BATCH).contains(&self.batch_size) {
            return refuse(format!("batch_size: {} pictures a run; give 1 to {MAX_BATCH}", self.batch_size));
        }
        if self.topk == Some(0) {
            return refuse("topk: 0 classes; give 1 or more".into());
        }
        if self.topk.is_some() && !self.task.has_classes() {
            return refuse(format!("topk: {} names no classes of whole pictures", self.task));
        }
        match self.threshold {
            Some(_) if !self.task.has_scores() => refuse(format!("threshold: {} has no scores to compare with it", self.task)),
            Some(threshold) if !(0.0..=1.0).contains(&threshold) => refuse(format!("threshold: {threshold} is not within 0 to 1")),
            _ => Ok(()),
        }
    }
}

mod beta1 {
    use super::*;

    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct Pipeline {
        model: Option<String>,
        batch_size: Option<usize>,
        topk: Option<usize>,
        threshold: Option<f32>,
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
        pub fn into_config(self, task: Task) -> PictureConfig {
            let defaults = PictureConfig::new(task);
            PictureConfig {
                task,
                model: ModelChoice { hpi: self.hpi_config.into(), ..self.model.map_or(defaults.model, ModelChoice::named) },
                batch_size: self.batch_size.unwrap_or(defaults.batch_size),
                topk: self.topk,
                threshold: self.threshold,
                rules: None,
                device: self.device,
            }
        }
    }
}

mod v3 {
    use super::super::nested::{Foreign, Threshold, choice, must_be_unset, refused, threshold};
    use super::*;
    use serde_saphyr::Spanned;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub struct File {
        #[serde(rename = "pipeline_name")]
        _pipeline_name: String,
        #[serde(rename = "SubModules")]
        modules: SubModules,
        #[serde(default, deserialize_with = "device")]
        device: Option<String>,
        #[serde(default, deserialize_with = "or_default")]
        hpi_config: HpiConfig,
        #[serde(rename = "use_hpip")]
        _use_hpip: Option<bool>,
        #[serde(rename = "Serving")]
        _serving: Option<IgnoredAny>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct SubModules {
        #[serde(rename = "ImageClassification")]
        classification: Option<Module>,
        #[serde(rename = "ObjectDetection")]
        detection: Option<Module>,
        #[serde(rename = "SemanticSegmentation")]
        segmentation: Option<Module>,
        #[serde(rename = "InstanceSegmentation")]
        instances: Option<Module>,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Module {
        #[serde(rename = "module_name")]
        _module_name: Option<String>,
        model_name: String,
        model_dir: Option<Spanned<String>>,
        batch_size: Option<usize>,
        topk: Option<usize>,
        threshold: Option<Spanned<Threshold>>,
        img_size: Foreign,
        target_size: Foreign,
        #[serde(rename = "use_hpip")]
        _use_hpip: Option<bool>,
        #[serde(default, deserialize_with = "or_default")]
        hpi_config: HpiConfig,
    }

    impl File {
        pub fn into_config(self, task: Task, place: &str) -> Result<PictureConfig> {
            let (key, module) = match task {
                Task::ImageClassification => ("ImageClassification", self.modules.classification),
                Task::ObjectDetection => ("ObjectDetection", self.modules.detection),
                Task::SemanticSegmentation => ("SemanticSegmentation", self.modules.segmentation),
                Task::InstanceSegmentation => ("InstanceSegmentation", self.modules.instances),
            };
            let module = module.ok_or_else(|| Error::config(place, format!("SubModules has no `{key}`")))?;
            for (key, value) in [("img_size", &module.img_size), ("target_size", &module.target_size)] {
                must_be_unset(key, value, place, "pictures are resized as the model's inference.yml says")?;
            }
            let (threshold, by_class) = threshold(&module.threshold, place)?;
            if let (Some(given), Some(_), true) = (&module.threshold, &by_class, task != Task::ObjectDetection) {
                return Err(refused(place, given, "`threshold` by class is of object_detection only"));
            }
            let rules = (task == Task::ObjectDetection).then(|| RegionRules { thresholds: by_class, ..RegionRules::default() }.into());
            let defaults = PictureConfig::new(task);
            Ok(PictureConfig {
                task,
                model: choice(module.model_name, module.model_dir, &module.hpi_config, &self.hpi_config, place),
                batch_size: module.batch_size.unwrap_or(defaults.batch_size),
                topk: module.topk,
                threshold,
                rules,
                device: self.device,
            })
        }
    }
}

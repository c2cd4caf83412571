//! The sub-pipeline `doc_preprocessor` of a PaddleX 3.x file: it sets pages upright and makes them flat.

use crate::error::Result;
use crate::model::HpiConfig;
use crate::modules::loader::ModelChoice;
use crate::pipeline::config::nested::{Module, Switch, step};
use crate::pipeline::config::or_default;
use serde::Deserialize;
use std::num::NonZeroUsize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Preprocessor {
    #[serde(rename = "pipeline_name")]
    _pipeline_name: String,
    use_doc_orientation_classify: Switch,
    use_doc_unwarping: Switch,
    #[serde(rename = "SubModules", default)]
    modules: PreprocessorModules,
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreprocessorModules {
    #[serde(rename = "DocOrientationClassify")]
    orientation: Option<Module>,
    #[serde(rename = "DocUnwarping")]
    unwarping: Option<Module>,
}

impl Preprocessor {
    /// What sets pages upright, and what makes them flat.
    pub fn models(self, general: &HpiConfig, place: &str) -> Result<(Option<ModelChoice>, Option<ModelChoice>)> {
        let general = self.hpi_config.over(general);
        let PreprocessorModules { orientation, unwarping } = self.modules;
        let model = |key, switch, section, module: Option<Module>| {
            let is_taken = step(key, switch, section, module.is_some()).is_taken(place)?;
            Ok(module.filter(|_| is_taken).map(|module| module.choice(&general, place)))
        };
        Ok((
            model("use_doc_orientation_classify", &self.use_doc_orientation_classify, "DocOrientationClassify", orientation)?,
            model("use_doc_unwarping", &self.use_doc_unwarping, "DocUnwarping", unwarping)?,
        ))
    }
}

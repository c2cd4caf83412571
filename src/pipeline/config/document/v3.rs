//! Files of PaddleX 3.x for documents: pipelines that hold others. Where the reference gives each sub-pipeline its own
//! recogniser, this version has one, and refuses files that name several.

use super::layout::Layout;
use super::preprocessor::Preprocessor;
use super::questions::Sections;
use super::{DocumentConfig, OcrConfig};
use crate::error::{Error, Result};
use crate::model::HpiConfig;
use crate::pipeline::DocumentTask;
use crate::pipeline::config::nested::{Module, Switch, step};
use crate::pipeline::config::{device, or_default};
use crate::pipeline::config::{ocr, read_yaml};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::num::NonZeroUsize;

pub(super) fn parse(text: &str, task: DocumentTask, place: &str) -> Result<DocumentConfig> {
    let mut config = DocumentConfig::new(task);
    let general = HpiConfig::default();
    match task {
        DocumentTask::Seals => read_yaml::<Seals>(text, place)?.put_into(&mut config, &general, place)?,
        DocumentTask::Tables => read_yaml::<Tables>(text, place)?.put_into(&mut config, &general, place)?,
        DocumentTask::Pages => read_yaml::<Pages>(text, place)?.put_into(&mut config, place)?,
    }
    Ok(config)
}

/// A file of `seal_recognition`, or that sub-pipeline of another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Seals {
    #[serde(rename = "pipeline_name")]
    _pipeline_name: String,
    use_doc_preprocessor: Switch,
    use_layout_detection: Switch,
    #[serde(rename = "SubModules", default)]
    modules: LayoutOnly,
    #[serde(rename = "SubPipelines")]
    pipelines: SealPipelines,
    #[serde(default, deserialize_with = "device")]
    device: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(rename = "Serving")]
    _serving: Option<IgnoredAny>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SealPipelines {
    #[serde(rename = "DocPreprocessor")]
    preprocessor: Option<Preprocessor>,
    #[serde(rename = "SealOCR")]
    ocr: ocr::v3::File,
}

/// A file of `table_recognition`, or that sub-pipeline of another.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tables {
    #[serde(rename = "pipeline_name")]
    _pipeline_name: String,
    use_doc_preprocessor: Switch,
    use_layout_detection: Switch,
    use_ocr_model: Switch,
    #[serde(rename = "SubModules")]
    modules: TableModules,
    #[serde(rename = "SubPipelines", default)]
    pipelines: TablePipelines,
    #[serde(default, deserialize_with = "device")]
    device: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(rename = "Serving")]
    _serving: Option<IgnoredAny>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableModules {
    #[serde(rename = "LayoutDetection")]
    layout: Option<Layout>,
    #[serde(rename = "TableStructureRecognition")]
    structure: Module,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TablePipelines {
    #[serde(rename = "DocPreprocessor")]
    preprocessor: Option<Preprocessor>,
    #[serde(rename = "GeneralOCR")]
    ocr: Option<ocr::v3::File>,
}

/// A file of `PP-ChatOCRv3-doc`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    #[serde(rename = "pipeline_name")]
    _pipeline_name: String,
    use_layout_parser: Switch,
    #[serde(rename = "SubModules", default)]
    questions: Sections,
    #[serde(rename = "SubPipelines", default)]
    pipelines: PagePipelines,
    #[serde(default, deserialize_with = "device")]
    device: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(rename = "Serving")]
    _serving: Option<IgnoredAny>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct PagePipelines {
    #[serde(rename = "LayoutParser")]
    parser: Option<Parser>,
}

/// The sub-pipeline `layout_parsing`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parser {
    #[serde(rename = "pipeline_name")]
    _pipeline_name: String,
    use_doc_preprocessor: Switch,
    use_general_ocr: Switch,
    use_seal_recognition: Switch,
    use_table_recognition: Switch,
    use_formula_recognition: Switch,
    #[serde(rename = "SubModules", default)]
    modules: LayoutOnly,
    #[serde(rename = "SubPipelines")]
    pipelines: ParserPipelines,
    #[serde(default, deserialize_with = "or_default")]
    hpi_config: HpiConfig,
    #[serde(rename = "use_hpip")]
    _use_hpip: Option<bool>,
    #[serde(rename = "batch_size")]
    _batch_size: Option<NonZeroUsize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParserPipelines {
    #[serde(rename = "DocPreprocessor")]
    preprocessor: Option<Preprocessor>,
    #[serde(rename = "GeneralOCR")]
    ocr: Option<ocr::v3::File>,
    #[serde(rename = "TableRecognition")]
    tables: Option<Tables>,
    #[serde(rename = "SealRecognition")]
    seals: Option<Seals>,
    #[serde(rename = "FormulaRecognition")]
    formulas: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutOnly {
    #[serde(rename = "LayoutDetection")]
    layout: Option<Layout>,
}

impl Seals {
    fn put_into(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        let general = self.hpi_config.over(general);
        prepare(&self.use_doc_preprocessor, self.pipelines.preprocessor, config, &general, place)?;
        let layout = self.modules.layout;
        let found = step("use_layout_detection", &self.use_layout_detection, "LayoutDetection", layout.is_some());
        let is_taken = found.is_taken(place)?;
        config.layout_model = None;
        if let Some(layout) = layout.filter(|_| is_taken) {
            layout.put_into(config, &general, place)?;
        }
        config.text = sub_ocr(self.pipelines.ocr, &general, "seal", place)?;
        config.text.device = self.device;
        Ok(())
    }

    /// As a part of pages, whose text `config` has already.
    fn put_into_pages(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        let mut own = DocumentConfig::new(DocumentTask::Seals);
        let preprocessor = self.pipelines.preprocessor.is_some();
        step("use_doc_preprocessor", &self.use_doc_preprocessor, "DocPreprocessor", preprocessor).must_be_off(place)?;
        step("use_layout_detection", &self.use_layout_detection, "LayoutDetection", self.modules.layout.is_some()).must_be_off(place)?;
        top_level_device(self.device.as_deref(), place)?;
        self.put_into(&mut own, general, place)?;
        let (seals, text) = (own.text, &config.text);
        for (what, differ) in [
            ("model", seals.text_rec_model != text.text_rec_model),
            ("score_thresh", seals.score_thresh.to_bits() != text.score_thresh.to_bits()),
        ] {
            if differ {
                let reason = format!(
                    "TextRecognition of SealOCR has another {what} than that of GeneralOCR, one reads both in this version; give both the same"
                );
                return Err(Error::config(place, reason));
            }
        }
        (config.seal_text_det_model, *config.seal_detection) = (Some(seals.text_det_model), seals.detection);
        Ok(())
    }
}

impl Tables {
    fn put_into(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        let general = self.hpi_config.over(general);
        let TableModules { layout, structure } = self.modules;
        let TablePipelines { preprocessor, ocr } = self.pipelines;
        prepare(&self.use_doc_preprocessor, preprocessor, config, &general, place)?;
        step("use_layout_detection", &self.use_layout_detection, "LayoutDetection", layout.is_some())
            .must_be_on(place, "which finds the tables")?;
        step("use_ocr_model", &self.use_ocr_model, "GeneralOCR", ocr.is_some()).must_be_on(place, "which reads the cells")?;
        if let Some(layout) = layout {
            layout.put_into(config, &general, place)?;
        }
        config.table_model = Some(structure.choice(&general, place));
        if let Some(ocr) = ocr {
            config.text = sub_ocr(ocr, &general, "general", place)?;
        }
        config.text.device = self.device;
        Ok(())
    }

    /// As a part of pages, which find the tables and read the cells.
    fn put_into_pages(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        let TablePipelines { preprocessor, ocr } = self.pipelines;
        for (key, switch, section, is_there) in [
            ("use_doc_preprocessor", &self.use_doc_preprocessor, "DocPreprocessor", preprocessor.is_some()),
            ("use_layout_detection", &self.use_layout_detection, "LayoutDetection", self.modules.layout.is_some()),
            ("use_ocr_model", &self.use_ocr_model, "GeneralOCR", ocr.is_some()),
        ] {
            step(key, switch, section, is_there).must_be_off(place)?;
        }
        top_level_device(self.device.as_deref(), place)?;
        config.table_model = Some(self.modules.structure.choice(&self.hpi_config.over(general), place));
        Ok(())
    }
}

impl Pages {
    fn put_into(self, config: &mut DocumentConfig, place: &str) -> Result<()> {
        let parser = self.pipelines.parser;
        step("use_layout_parser", &self.use_layout_parser, "LayoutParser", parser.is_some()).must_be_on(place, "which reads the pages")?;
        if let Some(parser) = parser {
            parser.put_into(config, &self.hpi_config, place)?;
        }
        *config.questions = self.questions.into_questions(place)?;
        config.text.device = self.device;
        Ok(())
    }
}

impl Parser {
    fn put_into(self, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
        let general = self.hpi_config.over(general);
        let ParserPipelines { preprocessor, ocr, tables, seals, formulas } = self.pipelines;
        step("use_formula_recognition", &self.use_formula_recognition, "FormulaRecognition", formulas.is_some()).must_be_off(place)?;
        step("use_general_ocr", &self.use_general_ocr, "GeneralOCR", ocr.is_some()).must_be_on(place, "which reads the text")?;
        let layout = self.modules.layout.ok_or_else(|| Error::config(place, "LayoutParser has no section `LayoutDetection`; add it"))?;
        layout.put_into(config, &general, place)?;
        if let Some(ocr) = ocr {
            config.text = sub_ocr(ocr, &general, "general", place)?;
        }
        prepare(&self.use_doc_preprocessor, preprocessor, config, &general, place)?;
        (config.table_model, config.seal_text_det_model) = (None, None);
        if step("use_table_recognition", &self.use_table_recognition, "TableRecognition", tables.is_some()).is_taken(place)?
            && let Some(tables) = tables
        {
            tables.put_into_pages(config, &general, place)?;
        }
        if step("use_seal_recognition", &self.use_seal_recognition, "SealRecognition", seals.is_some()).is_taken(place)?
            && let Some(seals) = seals
        {
            seals.put_into_pages(config, &general, place)?;
        }
        Ok(())
    }
}

/// Puts what prepares pages into `config`, if that is asked for.
fn prepare(switch: &Switch, section: Option<Preprocessor>, config: &mut DocumentConfig, general: &HpiConfig, place: &str) -> Result<()> {
    let is_taken = step("use_doc_preprocessor", switch, "DocPreprocessor", section.is_some()).is_taken(place)?;
    if let Some(section) = section.filter(|_| is_taken) {
        (config.doc_image_ori_cls_model, config.doc_image_unwarp_model) = section.models(general, place)?;
    }
    Ok(())
}

fn sub_ocr(file: ocr::v3::File, general: &HpiConfig, text_type: &str, place: &str) -> Result<OcrConfig> {
    let config = file.into_config(general, text_type, place)?;
    top_level_device(config.device.as_deref(), place)?;
    Ok(config)
}

fn top_level_device(device: Option<&str>, place: &str) -> Result<()> {
    let Some(device) = device else { return Ok(()) };
    Err(Error::config(place, format!("`device: {device}` of a sub-pipeline is not in this version; put it at the top of the file")))
}

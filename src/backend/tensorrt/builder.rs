//! From an ONNX model to a loaded engine: the graph is changed where the library needs it, built with the recipe's options,
//! kept in the cache, and loaded. The next time it is only loaded.

use super::cache::{Description, EngineCache, EngineKey, Gpu, Origin, SHIM_VERSION};
use super::ffi::{Abi, BuildOptions, Engine, Library, Progress as Step, device_info};
use super::half;
use super::parts::{self, CutLoop};
use super::recipe::Arithmetic;
use super::watch::Watch;
use crate::backend::onnxruntime::OnnxRuntime;
use crate::backend::reference::outputs_by_shape;
use crate::backend::{Onnx, OpenReference};
use crate::cache::sha256;
use crate::error::{Error, Result};
use crate::onnx::half::HALF_VERSION;
use crate::onnx::proto::ModelProto;
use crate::onnx::surgery::{self, Surgery};
use crate::onnx::{Model, REWRITE_VERSION};
use crate::runtime;
use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use super::source::Source;

/// An engine and where it came from.
pub struct Made {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Loaded or built.
    pub origin: Origin,
    /// Its file; `None` when none could be written.
    pub file: Option<PathBuf>,
    /// What it was filed under.
    pub key: EngineKey,
}

impl Made {
    /// What its file is called.
    pub fn name(&self) -> String {
        let stem = self.file.as_ref().and_then(|file| file.file_stem());
        stem.map_or_else(|| self.key.name(), |stem| stem.to_string_lossy().into_owned())
    }
}

/// Builds and loads engines with one library on one GPU.
pub struct Builder {
    library: Arc<Library>,
    gpu: Gpu,
    cache: EngineCache,
    cancelled: Arc<AtomicBool>,
    reference: OpenReference,
}

impl Builder {
    /// A builder for GPU number `device`.
    ///
    /// # Errors
    /// [`Error::Backend`] when there is no such GPU.
    pub fn new(library: Arc<Library>, device: u32, cache: EngineCache) -> Result<Self> {
        let gpu = this_gpu(&library, device)?;
        let home = cache.home().clone();
        let reference = Arc::new(move || OnnxRuntime::on_processor(&runtime::ensure(runtime::Library::OnnxRuntime, &home, None)?));
        Ok(Self { library, gpu, cache, cancelled: Arc::default(), reference })
    }

    /// Lets `reference` open ONNX Runtime: a process can have only one.
    #[must_use]
    pub fn comparing_with(self, reference: OpenReference) -> Self {
        Self { reference, ..self }
    }

    /// Takes its GPU for `gpu`; for test doubles of the library, which have none.
    #[must_use]
    pub fn as_on(self, gpu: Gpu) -> Self {
        Self { gpu, ..self }
    }

    /// The same builder, which is stopped by itself.
    #[must_use]
    pub fn apart(&self) -> Self {
        let (library, gpu, cache) = (self.library.clone(), self.gpu.clone(), self.cache.clone());
        Self { library, gpu, cache, cancelled: Arc::default(), reference: self.reference.clone() }
    }

    /// The GPU engines are built for.
    pub fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// The library.
    pub fn library(&self) -> &Arc<Library> {
        &self.library
    }

    /// Set to stop a build at its next step.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// What an engine is filed under.
    pub fn key(&self, source: &Source, options: &BuildOptions, arithmetic: &Arithmetic) -> EngineKey {
        let gpu = match options.target {
            Some(sm) => Gpu { name: "any".into(), capability: format!("{}.{}", sm / 10, sm % 10), driver: "any".into() },
            None => self.gpu.clone(),
        };
        EngineKey {
            model: source.model.clone(),
            model_sha256: source.sha256.clone(),
            precision: arithmetic.precision().to_string(),
            half: match arithmetic {
                Arithmetic::Float32 => None,
                Arithmetic::Float16(rules) => Some((rules.clone(), HALF_VERSION)),
            },
            surgery: self.surgery(options).to_vec(),
            options: self.told(options, arithmetic),
            library: self.library.versions().to_string(),
            gpu,
            versions: (SHIM_VERSION, REWRITE_VERSION),
        }
    }

    /// What the engine of `source`, or one that stands for it, is filed under, if there is one.
    pub fn filed(&self, source: &Source, options: &BuildOptions, arithmetic: &Arithmetic) -> Option<String> {
        let (key, folder) = (self.key(source, options, arithmetic), model_folder(&source.onnx));
        if self.cache.has(&key, folder) {
            return Some(key.digest());
        }
        self.cache.standing_for(&key, folder).first().map(|(_, key, _)| key.digest())
    }

    /// An engine that stands for that of `key`, of which there is no file, and what is wrong with others.
    fn standing(&self, key: &EngineKey, source: &Source) -> (Option<Made>, Vec<String>) {
        let (found, unfit) = self.cache.find_standing(key, model_folder(&source.onnx), |plan: &[u8]| self.library.load(plan));
        let made = |(engine, key, file)| Made { engine, origin: Origin::Loaded, file: Some(file), key };
        (found.map(made), unfit)
    }

    /// The engine of `source`, or one that stands for it, if it was built before.
    ///
    /// # Errors
    /// [`Error::Backend`] when it was not, or why it is not used.
    pub fn kept(&self, source: &Source, options: &BuildOptions, arithmetic: &Arithmetic) -> Result<Made> {
        let key = self.key(source, options, arithmetic);
        let found = self.cache.find(&key, model_folder(&source.onnx), |plan: &[u8]| self.library.load(plan));
        let (engine, file) = match found {
            Ok(found) => found,
            Err(unfit) if unfit.is_empty() => {
                let (made, unfit) = self.standing(&key, source);
                return made.ok_or_else(|| none(&key, source, &unfit));
            }
            Err(unfit) => return Err(none(&key, source, &unfit)),
        };
        Ok(Made { engine, origin: Origin::Loaded, file: Some(file), key })
    }

    /// The engine of `source` for a run: its own, else one that stands for it, else its own, built now.
    ///
    /// # Errors
    /// [`Error::Backend`] with what the library said.
    pub fn usable(&self, source: &Source, options: &BuildOptions, arithmetic: &Arithmetic) -> Result<Made> {
        let key = self.key(source, options, arithmetic);
        if !self.cache.has(&key, model_folder(&source.onnx)) {
            let (made, unfit) = self.standing(&key, source);
            if !unfit.is_empty() {
                tracing::warn!("{}: passed over: {}", source.model, unfit.join("; "));
            }
            if let Some(made) = made {
                return Ok(made);
            }
        }
        self.engine(source, options, arithmetic)
    }

    /// The engine of `source` with these options and no others, loaded or built now.
    ///
    /// # Errors
    /// [`Error::Backend`] with what the library said.
    pub fn engine(&self, source: &Source, options: &BuildOptions, arithmetic: &Arithmetic) -> Result<Made> {
        let key = self.key(source, options, arithmetic);
        let load = |plan: &[u8]| self.library.load(plan);
        let build = |description: &mut Description| self.build(source, arithmetic, description);
        let (engine, origin, file) = self.cache.load_or_build(&key, model_folder(&source.onnx), load, build)?;
        Ok(Made { engine, origin, file, key })
    }

    /// Builds the plan of `source` for another GPU and keeps it; it cannot be loaded here.
    pub fn build_for_target(
        &self,
        source: &Source,
        options: &BuildOptions,
        arithmetic: &Arithmetic,
    ) -> Result<(EngineKey, Origin, Option<PathBuf>, usize)> {
        let key = self.key(source, options, arithmetic);
        let bytes = std::cell::Cell::new(0);
        let take = |plan: &[u8]| {
            bytes.set(plan.len());
            Ok(())
        };
        let build = |description: &mut Description| self.build(source, arithmetic, description);
        let ((), origin, file) = self.cache.load_or_build(&key, model_folder(&source.onnx), take, build)?;
        Ok((key, origin, file, bytes.get()))
    }

    /// What has to be changed in graphs: TensorRT lacks the operators on sequences, and where the number of boxes depends on their values
    /// the host has to wait for it. TensorRT-RTX lacks more, by the GPU that engines are for.
    fn surgery(&self, options: &BuildOptions) -> &'static [Surgery] {
        if self.library.versions().abi != Abi::Rtx {
            return &surgery::FOR_TENSORRT;
        }
        let here = self.gpu.capability.replace('.', "").parse().ok();
        options.target.or(here).map_or(&[], Surgery::for_tensorrt_rtx)
    }

    /// Whether matrix products of `model` are in float16 whatever is asked for.
    pub fn has_half_products(&self, model: &Model, options: &BuildOptions) -> bool {
        let changes: Vec<_> = self.surgery(options).iter().copied().filter(|change| change.is_of_products()).collect();
        !changes.is_empty()
            && surgery::apply(&mut model.proto.clone(), &changes, &surgery::no_run)
                .is_ok_and(|done| done.iter().any(|(change, _)| *change == Surgery::GemmInHalf))
    }

    /// Removes an engine that is of no use.
    pub fn forget(&self, file: &Path) {
        if let Err(e) = self.cache.remove(file) {
            tracing::warn!("{e}");
        }
    }

    /// `options` with what TensorRT 10 is told of the arithmetic; later ones take it from the graph. The limit that TensorRT sets to the
    /// scratch memory of a kernel holds for all values between layers in TensorRT-RTX, which makes no plan of a graph that needs more.
    fn told(&self, options: &BuildOptions, arithmetic: &Arithmetic) -> BuildOptions {
        let abi = self.library.versions().abi;
        let by_flag = abi == Abi::Ten && matches!(arithmetic, Arithmetic::Float16(_));
        let workspace = options.workspace.filter(|_| abi != Abi::Rtx);
        // TensorRT-RTX builds for Ampere and later unless told; Turing would run that to zeros.
        let target = options.target.or((abi == Abi::Rtx && self.gpu.capability == TURING).then_some(75));
        BuildOptions { fp16: by_flag, workspace, target, ..options.clone() }
    }

    /// The graph to build from: the original, or what the library needs changed in it, in the arithmetic that is wanted.
    fn graph<'a>(
        &self,
        source: &Source,
        bytes: Cow<'a, [u8]>,
        arithmetic: &Arithmetic,
        Description { key, float16, half_products, .. }: &mut Description,
    ) -> Result<Cow<'a, [u8]>> {
        if key.surgery.is_empty() && *arithmetic == Arithmetic::Float32 {
            return Ok(bytes);
        }
        let mut model = Model::decode(&bytes, &source.model)?;
        let run = |graph: &ModelProto| outputs_by_shape(&source.model, graph, &key.options, &*(self.reference)()?);
        let changes = surgery::apply(&mut model.proto, &key.surgery, &run)?;
        for (change, count) in &changes {
            tracing::info!("{}: {change:?} in {count} places", source.model);
            if *change == Surgery::GemmInHalf {
                *half_products = *count;
                tracing::warn!(
                    "{}: {count} matrix products are in float16, as TensorRT-RTX has none in float32 for this GPU",
                    source.model
                );
            }
        }
        let Arithmetic::Float16(rules) = arithmetic else {
            return Ok(if changes.is_empty() { bytes } else { Cow::Owned(model.to_bytes()) });
        };
        let half = half::convert_checked(&source.model, &model, rules, &key.options, &*(self.reference)()?)?;
        *float16 = Some(half.check);
        match (key.options.fp16, half.check.kept) {
            (false, _) => Ok(Cow::Owned(half.model.to_bytes())),
            // The library chooses what is float16, and asks nobody whether the numbers fit.
            (true, 0) => Ok(if changes.is_empty() { bytes } else { Cow::Owned(model.to_bytes()) }),
            (true, kept) => {
                let reason = format!("model {}: {kept} of its tensors hold numbers too large for float16", source.model);
                Err(Error::config(
                    "precision fp16",
                    format!("{reason}; TensorRT 11 can leave them in float32, 10 cannot: leave it in fp32"),
                ))
            }
        }
    }

    /// The two parts of a network that decodes in a Loop whose values grow from step to step; `None` for any other. TensorRT-RTX takes
    /// no such Loop, and by its documentation TensorRT does not either.
    ///
    /// # Errors
    /// [`Error::Backend`] where the parts give something else than the whole.
    pub fn cut(&self, source: &Source, model: &Model, options: &BuildOptions) -> Result<Option<CutLoop>> {
        let key = serde_json::to_vec(&(&source.sha256, options, SHIM_VERSION, REWRITE_VERSION)).unwrap_or_default(); // plain data
        let name = format!("cut-{}", &sha256(&key)[..16]);
        let known = self.cache.note(&name).and_then(|profiles| serde_json::from_slice(&profiles).ok());
        let is_known = known.is_some();
        let cut = parts::cut(source, model, options, known, &*self.reference)?;
        if let Some(CutLoop { parts: [_, step], .. }) = cut.as_ref().filter(|_| !is_known) {
            self.cache.keep_note(&name, &serde_json::to_vec(&step.options.profiles).unwrap_or_default());
        }
        Ok(cut)
    }

    fn build(&self, source: &Source, arithmetic: &Arithmetic, description: &mut Description) -> Result<super::ffi::Blob> {
        let graph = self.graph(source, source.bytes()?, arithmetic, description)?;
        let key = &description.key;
        let library = self.library.versions().to_string();
        let timing = self.cache.timing(&library, &self.gpu);
        let watch = Watch::new(&source.model);
        let tell = |step: Step<'_>| {
            watch.tell(step);
            if self.cancelled.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let built = self.library.build(&graph, &key.options, &timing, &tell).map_err(|e| match e {
            Error::Backend { backend, reason, next_step } => {
                Error::Backend { backend, reason: format!("model {}: {reason}", source.model), next_step }
            }
            other => other,
        })?;
        if let Some(timing) = &built.timing {
            self.cache.keep_timing(&library, &self.gpu, timing);
        }
        Ok(built.plan)
    }
}

/// Compute capability of the oldest GPUs that are served.
const TURING: &str = "7.5";

/// The GPU as the driver names it. A double of the library works on the host and needs none.
fn this_gpu(library: &Library, device: u32) -> Result<Gpu> {
    let versions = library.versions();
    if versions.host_memory {
        return Ok(Gpu { name: "host".into(), capability: "0.0".into(), driver: "none".into() });
    }
    match device_info(device) {
        Ok((name, [major, minor], driver)) => {
            Ok(Gpu { name, capability: format!("{major}.{minor}"), driver: format!("{}.{}", driver / 1000, driver % 1000 / 10) })
        }
        // TensorRT-RTX builds for other GPUs where there is none.
        Err(_) if versions.abi == Abi::Rtx => Ok(Gpu { name: "none".into(), ..Gpu::default() }),
        Err(e) => Err(e),
    }
}

fn model_folder(onnx: &Onnx) -> Option<&Path> {
    match onnx {
        Onnx::File(path) => path.parent(),
        Onnx::Bytes(_) => None,
    }
}

/// That there is no engine of `source` that can be used, and what is wrong with those that lie there.
fn none(key: &EngineKey, source: &Source, unfit: &[String]) -> Error {
    let reason = match unfit {
        [] => format!("model {}: there is no engine of it for {} and TensorRT {}", source.model, key.gpu, key.library),
        unfit => format!("model {}: its engine is not used: {}", source.model, unfit.join("; ")),
    };
    let folder = model_folder(&source.onnx).filter(|folder| folder.join("inference.yml").is_file());
    let named = folder.map_or(source.model.clone(), |folder| folder.display().to_string());
    let precision = if key.half.is_some() { " --precision fp16" } else { "" };
    let step = format!("build it with `hpinfer engine build --model {named}{precision}`, or --pipeline where a file states its shapes");
    Error::backend("tensorrt", reason, step)
}

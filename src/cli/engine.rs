//! `hpinfer engine build | list | inspect | clear | export | import | selftest`.

use super::listing::printable;
use super::model::onnx_of;
use super::plan::pipeline_config;
use super::table::{write_json, write_table, write_text};
use crate::backend::onnxruntime::OnnxRuntime;
use crate::backend::paddle::convert::Converted;
use crate::backend::tensorrt::builder::{Builder, Source};
use crate::backend::tensorrt::cache::{EngineCache, Entry, Origin};
use crate::backend::tensorrt::ffi::Library;
use crate::backend::tensorrt::outside::Outside;
use crate::backend::tensorrt::parts::Part;
use crate::backend::tensorrt::profile::describe;
use crate::backend::tensorrt::recipe::{self, Arithmetic, Recipe};
use crate::backend::tensorrt::{find, selftest};
use crate::backend::{BackendName, LoadOptions, Onnx, Precision};
use crate::cache::Cache;
use crate::cache::rooms::CONVERTED;
use crate::device::{self, Device, DeviceSpec, GpuId, Unavailable};
use crate::error::{Error, Result};
use crate::model::{HpiConfig, ResolvedModel, Store};
use crate::modules::loader::ModelChoice;
use crate::modules::{self, CoreLimits};
use crate::onnx::Model;
use crate::pipeline::PipelineConfig;
use crate::result::RunRecord;
use crate::runtime;
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

/// What to do with TensorRT engines.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum EngineCommand {
    /// Build the engines of models now, so that no run has to; those that are there stay
    Build(BuildArgs),
    /// List the engines on this machine
    List {
        /// Folders of models whose engines lie beside them
        #[arg(long, value_name = "DIR")]
        model_dir: Vec<PathBuf>,
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show what made an engine
    Inspect {
        /// File, or the start of its name
        engine: String,
    },
    /// Remove engines
    #[command(group = clap::ArgGroup::new("which").required(true).multiple(true))]
    Clear {
        /// Files, or starts of their names; or --all
        #[arg(group = "which")]
        engines: Vec<String>,
        /// Remove every engine of the user's cache
        #[arg(long, group = "which")]
        all: bool,
    },
    /// Copy an engine to a file, for another machine that it runs on: the same GPU and TensorRT, or what it was built for besides
    Export {
        /// File, or the start of its name
        engine: String,
        /// File to write
        to: PathBuf,
    },
    /// Take an exported engine in; it must be from a trusted place, for an engine is code
    Import {
        /// The exported file
        file: PathBuf,
        /// Do not ask the TensorRT of this machine whether it fits
        #[arg(long)]
        unchecked: bool,
        /// The GPU that it is to run on
        #[arg(long, value_name = "gpu:N", default_value = "gpu:0")]
        device: DeviceSpec,
    },
    /// Build, load and run a tiny network on the TensorRT of this machine and compare with ONNX Runtime, which is fetched where it is not
    /// there; prints JSON
    Selftest {
        /// TensorRT's library, or its folder [default: $TENSORRT_LIB_PATH, else the system's]
        #[arg(long, value_name = "PATH")]
        library: Option<PathBuf>,
        /// The GPU
        #[arg(long, value_name = "gpu:N", default_value = "gpu:0")]
        device: DeviceSpec,
    },
}

/// `hpinfer engine build`.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("models").required(true).multiple(true))]
pub struct BuildArgs {
    /// Models: names, or folders with inference.onnx and inference.yml
    #[arg(long, value_name = "MODEL", group = "models")]
    model: Vec<String>,
    /// All models of a pipeline: its name, or a pipeline file, whose shapes and precision count
    #[arg(long, value_name = "NAME|FILE", group = "models")]
    pipeline: Option<String>,
    /// Number of the GPU
    #[arg(long, value_name = "gpu:N", default_value = "gpu:0")]
    device: DeviceSpec,
    /// Build for another GPU than this one's, by compute capability: sm75, sm86; TensorRT-RTX only. Runs find it on GPUs of that capability
    #[arg(long, value_name = "smNN", value_parser = target)]
    target: Option<i32>,
    /// fp32, or fp16: half precision where the model's kind allows it, if it changes the outputs little enough [default: what the
    /// pipeline file says, else fp32]
    #[arg(long, value_name = "PRECISION", value_parser = precision)]
    precision: Option<Precision>,
    /// The engine also runs on later versions of TensorRT up to the next major one, and on its lean runtime. Runs that have no engine of their own find it
    #[arg(long)]
    version_compatible: bool,
    /// The engine also runs on other GPUs from Ampere on. Runs that have no engine of their own find it
    #[arg(long)]
    ampere_plus: bool,
    /// TensorRT's library, or its folder [default: $TENSORRT_LIB_PATH, else the system's]
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
}

fn target(text: &str) -> Result<i32, String> {
    let number = text.strip_prefix("sm").and_then(|n| n.parse().ok()).filter(|n| (50..200).contains(n));
    number.ok_or_else(|| format!("`{text}` is not of the form sm75"))
}

fn precision(text: &str) -> Result<Precision, String> {
    match text {
        "fp32" => Ok(Precision::Float32),
        "fp16" => Ok(Precision::Float16),
        _ => Err(format!("`{text}` is neither fp32 nor fp16")),
    }
}

impl EngineCommand {
    /// Runs the command on the engines of `cache` and writes what it found to `out`.
    ///
    /// # Errors
    /// What the library, the models or the file system report.
    pub fn run(&self, cache: &Cache, out: &mut impl Write) -> Result<()> {
        let engines = EngineCache::new(cache.clone());
        match self {
            Self::Build(args) => args.run(cache, engines, out),
            Self::List { model_dir, json } => {
                let mut folders = known_folders(cache)?;
                folders.extend(model_dir.iter().cloned());
                let entries = engines.list(&folders);
                match json {
                    true => write_json(out, &entries.iter().map(entry).collect::<Vec<_>>()),
                    false => write_table(out, HEADINGS, &entries.iter().map(row).collect::<Vec<_>>()),
                }
            }
            Self::Inspect { engine } => write_json(out, &entry(&one(cache, &engines, engine)?)),
            Self::Clear { engines: names, all } => {
                let mut gone = if *all { engines.list(&[]) } else { Vec::new() };
                for name in names {
                    gone.push(one(cache, &engines, name)?);
                }
                for entry in gone {
                    engines.remove(&entry.path)?;
                    write_text(out, &format!("removed {}\n", entry.path.display()))?;
                }
                Ok(())
            }
            Self::Export { engine, to } => {
                let from = one(cache, &engines, engine)?.path;
                let description = engines.export(&from, to)?;
                write_text(
                    out,
                    &format!("{}: runs with TensorRT {} on {}\n", to.display(), description.key.libraries(), description.key.gpus()),
                )
            }
            Self::Import { file, unchecked, device } => {
                let checking = |host: Host| Builder::new(host.library, host.number, engines.clone());
                let builder = if *unchecked { None } else { Some(checking(Host::open(None, device, true)?)?) };
                let here = builder.as_ref().map(|b| (b.library().versions().to_string(), b.gpu()));
                let (description, path) = engines.import(file, here.as_ref().map(|(version, gpu)| (version.as_str(), *gpu)))?;
                write_text(out, &format!("{}: engine of {}\n", path.display(), description.key.model))
            }
            Self::Selftest { library, device } => {
                let Host { library, device, .. } = Host::open(library.as_deref(), device, false)?;
                let reference = || OnnxRuntime::on_processor(&runtime::ensure(runtime::Library::OnnxRuntime, cache, None)?);
                let report = selftest::run(&library, &device, reference)?;
                write_json(out, &report)?;
                if !report.passed {
                    return Err(Error::backend("tensorrt", "the self-test did not pass", "see `steps` in its report for what went wrong"));
                }
                Ok(())
            }
        }
    }
}

impl BuildArgs {
    fn run(&self, cache: &Cache, engines: EngineCache, out: &mut impl Write) -> Result<()> {
        let Host { library, number, .. } = Host::open(self.library.as_deref(), &self.device, self.target.is_some())?;
        let builder = Builder::new(library, number, engines)?;
        let store = Store::new(cache);
        let named = self.model.iter().map(ModelChoice::named);
        let of_pipeline = self.pipeline.as_deref().map(pipeline_config).transpose()?.map(models_of);
        for choice in named.chain(of_pipeline.into_iter().flatten()) {
            choice.check()?;
            let line = self.build(cache, &builder, &store.resolve(&choice.name_or_dir)?, &choice.hpi)?;
            write_text(out, &line)?;
        }
        Ok(())
    }

    fn build(&self, cache: &Cache, builder: &Builder, model: &ResolvedModel, hpi: &HpiConfig) -> Result<String> {
        let Converted { onnx, key: sha256 } = onnx_of(cache, model)?;
        let network = Model::read(&onnx)?;
        // As a run asks for it.
        let wanted = modules::wanted(model, Some(BackendName::TensorRt), hpi, CoreLimits::default(), true)?;
        let told = wanted.adjusted(BackendName::TensorRt, &LoadOptions::new(&model.name));
        let recipe = Recipe::for_module(model.module.as_str())?;
        let arithmetic = recipe.arithmetic(self.precision.unwrap_or(told.precision))?;
        let mut options = recipe.options_for(&recipe::inputs(&network), model.kind().size, &told.shapes)?;
        options.target = self.target;
        options.version_compatible |= self.version_compatible;
        options.ampere_plus |= self.ampere_plus;
        let source = Source::new(&model.name, Onnx::File(onnx), sha256);
        let parts = match builder.cut(&source, &network, &options)? {
            Some(cut) => Vec::from(cut.parts),
            None => vec![Part { source, options }],
        };
        drop(network); // it may be large, and is read again
        parts.iter().map(|part| self.build_part(builder, part, &arithmetic)).collect()
    }

    fn build_part(&self, builder: &Builder, Part { source, options }: &Part, arithmetic: &Arithmetic) -> Result<String> {
        let start = Instant::now();
        let (origin, file) = match self.target {
            Some(_) => {
                let (_, origin, file, _) = builder.build_for_target(source, options, arithmetic)?;
                (origin, file)
            }
            None => {
                let made = builder.engine(source, options, arithmetic)?;
                (made.origin, made.file)
            }
        };
        let what = match origin {
            Origin::Built => "built",
            Origin::Loaded => "was there",
        };
        let file = file.map_or("kept nowhere: no folder can be written".into(), |f| f.display().to_string());
        Ok(format!("{}: {what} in {:.1} s, {file}\n", source.model, start.elapsed().as_secs_f64()))
    }
}

/// TensorRT, and the GPU that its engines are for.
struct Host {
    library: Arc<Library>,
    /// The processor where there is no GPU, as for a test double of the library.
    device: Device,
    number: u32,
}

impl Host {
    /// Opens the GPU first, since a library works on the one that is current, or starts another. `may_lack` allows that this machine has
    /// none: TensorRT-RTX builds for GPUs of other machines.
    fn open(library: Option<&Path>, spec: &DeviceSpec, may_lack: bool) -> Result<Self> {
        let (spec, number) = match spec {
            DeviceSpec::Cpu => return Err(Error::config("--device", "TensorRT engines are for GPUs; give gpu:0")),
            DeviceSpec::Auto => (&DeviceSpec::Gpu(Vec::new()), 0),
            DeviceSpec::Gpu(ids) => (spec, if let [GpuId::Number(number)] = ids[..] { number } else { 0 }),
        };
        let gpu = match Device::open_one(spec) {
            Err(e @ Error::Config { .. }) => return Err(e),
            opened => opened.and_then(|device| device.gpu().map_or(Ok(()), |gpu| gpu.make_current()).map(|()| device)),
        };
        let is_named = matches!(spec, DeviceSpec::Gpu(ids) if ids.iter().any(|id| matches!(id, GpuId::Uuid(_))));
        let is_none = matches!(device::probe(), Err(Unavailable::NoDriver { .. } | Unavailable::NoDevice { .. }));
        let library = find::open(library)?;
        let device = match gpu {
            _ if library.versions().host_memory => Device::Cpu,
            Err(_) if may_lack && is_none && !is_named => Device::Cpu,
            gpu => gpu?,
        };
        let number = device.gpu().map_or(number, |gpu| gpu.info().number);
        Ok(Self { library, device, number })
    }
}

/// The models of a pipeline, by name or folder.
pub(super) fn models_of(pipeline: PipelineConfig) -> Vec<ModelChoice> {
    match pipeline {
        PipelineConfig::Ocr(config) => vec![config.text_det_model, config.text_rec_model],
        PipelineConfig::Picture(config) => vec![config.model],
        PipelineConfig::Document(config) => config.models(),
    }
}

/// Folders of installed and of converted models.
fn known_folders(cache: &Cache) -> Result<Vec<PathBuf>> {
    let mut folders: Vec<_> = Store::new(cache).list()?.iter().filter_map(|m| m.folder.clone()).collect();
    folders.push(cache.root().join(CONVERTED));
    folders.sort();
    folders.dedup();
    Ok(folders)
}

/// The files of the engines that ran the models of `pipeline`.
pub(super) fn files_of(cache: &Cache, pipeline: PipelineConfig, models: &[RunRecord]) -> Result<Vec<PathBuf>> {
    let names: Vec<&String> = models.iter().flat_map(|run| &run.engines).collect();
    let store = Store::new(cache);
    let names_of_models = models_of(pipeline).into_iter().map(|model| model.name_or_dir);
    let onnx = names_of_models.filter_map(|name| Some(onnx_of(cache, &store.resolve(&name).ok()?).ok()?.onnx));
    let folders: Vec<_> = onnx.filter_map(|file| Some(file.parent()?.to_owned())).collect();
    let entries = EngineCache::new(cache.clone()).list(&folders);
    Ok(entries.into_iter().filter(|entry| names.contains(&&entry.name())).map(|entry| entry.path).collect())
}

/// The engine that is meant by a path or by the start of a file name.
fn one(cache: &Cache, engines: &EngineCache, name: &str) -> Result<Entry> {
    let path = Path::new(name);
    let mut known = engines.list(&known_folders(cache)?);
    let mut found = match path.is_file() {
        true => {
            let entry = Entry::read(path).ok_or_else(|| Error::input(name, "it cannot be read"))?;
            // What is damaged may still be asked about and removed where engines are kept, and nowhere else.
            match &entry.description {
                Err(reason) if !known.iter().any(|known| is_same(&known.path, path)) => {
                    return Err(Error::input(name, format!("no engine of this program: {reason}")));
                }
                _ => vec![entry],
            }
        }
        false => {
            known.retain(|entry| !name.is_empty() && entry.name().starts_with(name));
            known
        }
    };
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(Error::config("engine", format!("there is no engine `{name}`; see `hpinfer engine list`"))),
        n => Err(Error::config("engine", format!("{n} engines begin with `{name}`; give more of the name"))),
    }
}

/// Whether both paths lead to one file.
fn is_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().is_ok_and(|a| b.canonicalize().is_ok_and(|b| a == b))
}

const HEADINGS: [&str; 8] = ["ENGINE", "SIZE", "PRECISION", "PROFILES", "OUTSIDE", "TENSORRT", "GPU", "FOLDER"];

fn row(entry: &Entry) -> [String; 8] {
    let [precision, profiles, outside, library, gpu] = match &entry.description {
        Ok(d) => {
            let outside = Outside::read(&entry.path).runs.to_string();
            [d.precision(), printable(&describe(&d.key.options.profiles)), outside, d.key.libraries(), d.key.gpus()]
        }
        Err(reason) => [reason.clone(), String::new(), String::new(), String::new(), String::new()],
    };
    let folder = entry.path.parent().unwrap_or(Path::new("")).to_string_lossy();
    let size = format!("{:.1} MB", entry.bytes as f64 / 1e6);
    [printable(&entry.name()), size, precision, profiles, outside, library, gpu, printable(&folder)]
}

fn entry(entry: &Entry) -> Value {
    let used = entry.used.duration_since(std::time::SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    match &entry.description {
        Ok(d) => {
            let mut shown = json!({"file": entry.path, "bytes": entry.bytes, "used_at": used, "made_for": d});
            let outside = Outside::read(&entry.path);
            if outside.runs > 0 {
                let wider = outside.suggestion(&d.key.options.profiles);
                shown["outside"] = json!({"runs": outside.runs, "inputs": outside.inputs, "dynamic_shapes": wider});
            }
            shown
        }
        Err(reason) => json!({"file": entry.path, "bytes": entry.bytes, "used_at": used, "error": reason}),
    }
}

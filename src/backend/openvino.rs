//! OpenVINO on the CPU, opened at run time through the `openvino` crate. The graph gets only the few rewrites that the
//! library's own fusions do not make, and none of the operators that it lacks (see [`crate::onnx`]); the library compiles it and keeps
//! the compiled form in the cache folder.
//! A model without ONNX it reads as `.pdmodel`, unchanged, after a trial in another process (`paddle/trial.rs`).

use super::paddle::trial::Trials;
use super::reference::outputs_by_batch;
use super::rewrite::{self, Graph, Loops};
use super::{
    Backend, BackendName, Engine, EngineSpec, Format, IoSpec, LoadOptions, Onnx, OpenReference, PaddleProgram, Precision, RunInfo, Session,
    TensorSpec,
};
use crate::cache::{Cache, warn_not_kept};
use crate::device::{loader_says, without_path};
use crate::error::{Error, Result};
use crate::onnx::proto::ModelProto;
use crate::onnx::{Model, OutputKind, Target};
use crate::runtime::Found;
use crate::tensor::{DType, Data, Shape, TensorRef};
use libloading::Library;
use openvino::{CompiledModel, Core, DeviceType, ElementType, InferRequest, Node, RwPropertyKey, Tensor};
use std::fmt;
use std::fs::{Metadata, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

const NEXT_STEP: &str = "run `hpinfer doctor`, or choose --backend onnx_runtime";

/// Prepared kernels the library keeps, about a hundred per network and input shape. Its own limit lets the memory of a recogniser
/// grow past a gigabyte. In float32 one shape is enough: to keep more saved no time that could be measured, not even over one picture
/// again and again (benches/results/2026-11-28-memory-cpu.md). In bfloat16, where lines share few widths, five shapes save 2.5 % and
/// take 40 MiB (benches/results/2026-11-30-ocr-cpu-avx512-bf16.md).
fn prepared_kernels(precision: Precision) -> &'static str {
    if precision == Precision::Bfloat16 { "500" } else { "100" }
}

/// Milliseconds that no run takes, eleven days.
const LONG: i64 = 1_000_000_000;

/// The library's name of a precision.
pub(super) fn hint(precision: Precision) -> Result<&'static str, String> {
    match precision {
        Precision::Float32 => Ok("f32"),
        Precision::Bfloat16 => Ok("bf16"),
        Precision::Float16 | Precision::HalfProducts => Err("float16 is not offered for the processor; leave the precision out".into()),
    }
}

/// What the library reads.
enum Network {
    Onnx(Graph),
    /// A program of Paddle's that came through its trial, and its weights.
    Pdmodel {
        program: PathBuf,
        params: PathBuf,
    },
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Onnx(graph) => graph.onnx.fmt(f),
            Self::Pdmodel { program, .. } => program.display().fmt(f),
        }
    }
}

/// Longest wait for another process that compiles the same network.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The library of this process: its functions are found once.
static OPENED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The library at `path`: of another one, functions would be missed in the middle of a call.
fn c_library(path: &Path) -> Result<Library, String> {
    // SAFETY: what it does when it is loaded is trusted, as of the one that is used.
    let library = unsafe { Library::new(path) }.map_err(|e| without_path(&loader_says(&e), path))?;
    // SAFETY: the function is not called.
    let is_one = unsafe { library.get::<*const ()>(b"ov_get_openvino_version") }.is_ok();
    is_one.then_some(library).ok_or_else(|| "it is not OpenVINO's C library (libopenvino_c.so): ov_get_openvino_version is missing".into())
}

/// The opened library.
pub struct OpenVino {
    core: Arc<Mutex<Core>>,
    version: String,
    cache: Cache,
    trials: Trials,
    /// ONNX Runtime, for the values of what this library has no operators for.
    reference: OpenReference,
}

impl OpenVino {
    /// Opens `libopenvino_c.so*`; what trials find goes into `cache`. `reference` is opened where a graph needs it.
    pub fn open(Found { path, version, .. }: Found, cache: &Cache, reference: OpenReference) -> Result<Self> {
        let unusable = |reason: String| Error::backend("openvino", format!("{}: {reason}", path.display()), NEXT_STEP);
        let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(first) = opened.as_ref().filter(|first| **first != path) {
            return Err(unusable(format!("this process runs {} already", first.display())));
        }
        let _library = c_library(&path).map_err(unusable)?; // held until it is opened again
        openvino_sys::library::load_from(path.clone()).map_err(unusable)?;
        *opened = Some(path.clone());
        let core = Core::new().map_err(|e| unusable(e.to_string()))?;
        let version = version.unwrap_or_else(|| "unknown".into());
        let trials = Trials::new(cache.clone(), path, version.clone());
        Ok(Self { core: Arc::new(Mutex::new(core)), version, cache: cache.clone(), trials, reference })
    }

    fn engine(&self, options: &LoadOptions, network: Network) -> Result<Arc<dyn Engine>> {
        let (core, cache) = (self.core.clone(), self.cache.clone());
        let recipe = Recipe { core, cache, version: self.version.clone(), options: options.clone(), network };
        let (model, io, ports) = recipe.compile()?;
        io.require_float_inputs(BackendName::OpenVino, &options.model)?;
        let format = match recipe.network {
            Network::Onnx(_) => Format::Onnx,
            Network::Pdmodel { .. } => Format::Pdmodel,
        };
        let info = RunInfo::new(&options.model, BackendName::OpenVino, &self.version, "cpu");
        let info = RunInfo { precision: options.precision, format, ..info };
        let (io, output) = match &recipe.network {
            Network::Onnx(graph) => (graph.io(io), graph.output.clone()),
            Network::Pdmodel { .. } => (io, OutputKind::Original),
        };
        let compiled = Arc::new(Compiled {
            recipe,
            model: Mutex::new(Some(model)),
            ports: Mutex::new(ports),
            generation: AtomicU64::new(0),
            refused: Mutex::default(),
            turn: RwLock::default(),
        });
        Ok(Arc::new(OvEngine { compiled, spec: EngineSpec { io, info, output } }))
    }
}

/// What a network is compiled of.
struct Recipe {
    core: Arc<Mutex<Core>>,
    cache: Cache,
    version: String,
    options: LoadOptions,
    network: Network,
}

impl Recipe {
    fn compile(&self) -> Result<(CompiledModel, IoSpec, Vec<Port>)> {
        let Self { options, network, .. } = self;
        let refused =
            |reason: String, next_step| Error::backend("openvino", format!("model {} ({network}): {reason}", options.model), next_step);
        let say = |e: openvino::InferenceError| refused(e.to_string(), NEXT_STEP);
        let utf8 = |path: &Path| {
            path.to_str().map(str::to_owned).ok_or_else(|| refused("the path is not UTF-8, which OpenVINO needs".into(), NEXT_STEP))
        };
        let p = options.parallelism;
        let precision = hint(options.precision).map_err(|reason| refused(reason, NEXT_STEP))?;
        // The library files compiled forms by model and version only: one folder per precision keeps a float32 form
        // from being run with bfloat16 settings, which gives no text at all.
        let form = format!("openvino-{}-{precision}-{}x{}", self.version, p.streams, p.threads_per_stream);
        let is_file = !matches!(network, Network::Onnx(Graph { onnx: Onnx::Bytes(_), .. }));
        let cache_dir = options.cache_dir.as_ref().filter(|_| is_file).and_then(|dir| created(dir, &form));
        let mut cache_dir = cache_dir.as_deref().map(utf8).transpose()?.unwrap_or_default();
        // The library writes what it keeps in place: no other process is to read that meanwhile. A cache without locks takes nothing.
        let key = format!("{form}-{}", options.model_sha256.get(..16).unwrap_or_default());
        let _alone = match (!cache_dir.is_empty()).then(|| self.cache.lock_within(&key, LONGEST_WAIT)) {
            Some(Ok(None)) => {
                tracing::info!("{}: another process compiles it for long; it is compiled here too and not kept", options.model);
                cache_dir.clear();
                None
            }
            lock => lock.and_then(|lock| lock.inspect_err(|e| tracing::debug!("{e}")).ok()),
        };
        let streams = p.streams.to_string();
        let threads = (p.streams * p.threads_per_stream).to_string();
        let properties = [
            (RwPropertyKey::HintInferencePrecision, precision),
            (RwPropertyKey::NumStreams, streams.as_str()),
            (RwPropertyKey::InferenceNumThreads, threads.as_str()),
            // Pinned streams fight with the other work of a pipeline for the same cores.
            (RwPropertyKey::HintEnableCpuPinning, "NO"),
            (RwPropertyKey::CacheDir, cache_dir.as_str()),
            (RwPropertyKey::Other("CPU_RUNTIME_CACHE_CAPACITY".into()), prepared_kernels(options.precision)),
        ];
        // Properties belong to the core: the lock keeps another load from changing them in between.
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        core.set_properties(&DeviceType::CPU, properties).map_err(say)?;
        // What it has mapped another process may replace; old versions map nothing and do not know the word.
        let _ = core.set_property(&DeviceType::CPU, &RwPropertyKey::Other("ENABLE_MMAP".into()), "NO");
        let model = match network {
            // From memory it takes a Loop whose body calls values as the graph around it does (SLANet), from a file it does not.
            Network::Onnx(Graph { onnx: Onnx::File(path), .. }) => core.read_model_from_file(&utf8(path)?, "").or_else(|refused| {
                let from_memory = whole(path).and_then(|bytes| core.read_model_from_buffer(&bytes, None).ok());
                from_memory.inspect(|_| tracing::debug!("{}: read from memory", path.display())).ok_or(refused)
            }),
            Network::Onnx(Graph { onnx: Onnx::Bytes(bytes), .. }) => core.read_model_from_buffer(bytes, None),
            Network::Pdmodel { program, params } => core.read_model_from_file(&utf8(program)?, &utf8(params)?),
        };
        let model = model.map_err(say)?;
        let mut ports = Vec::new();
        let mut spec = |node: Node| {
            ports.push(Port(node));
            spec_of(&ports[ports.len() - 1].0).map_err(say)?.map_err(|reason| refused(reason, super::TYPES))
        };
        let inputs = (0..model.get_inputs_len().map_err(say)?).map(|i| spec(model.get_input_by_index(i).map_err(say)?));
        let inputs = inputs.collect::<Result<_>>()?;
        let outputs = (0..model.get_outputs_len().map_err(say)?).map(|i| spec(model.get_output_by_index(i).map_err(say)?));
        let outputs = outputs.collect::<Result<_>>()?;
        let compiled = core.compile_model(&model, DeviceType::CPU).map_err(say)?;
        share(Path::new(&cache_dir));
        Ok((compiled, IoSpec { inputs, outputs }, ports))
    }
}

impl Backend for OpenVino {
    fn name(&self) -> BackendName {
        BackendName::OpenVino
    }

    fn load(&self, options: &LoadOptions) -> Result<Arc<dyn Engine>> {
        if let (None, Some(PaddleProgram { files, .. })) = (&options.onnx, &options.paddle) {
            let program = self.trials.require(options, files)?;
            tracing::info!("{}: openvino reads {} itself", options.model, program.display());
            let network = Network::Pdmodel { program: program.to_owned(), params: files.params.clone() };
            return self.engine(options, network);
        }
        let run = |graph: &ModelProto| outputs_by_batch(&options.model, graph, &*(self.reference)()?);
        // The parts are compared with the whole, by what float32 rounds.
        let loops = if options.precision == Precision::Float32 { Loops::InSteps } else { Loops::Whole };
        rewrite::load(options, Target::OpenVino, loops, &run, |graph| graph.engine(|part| self.engine(options, Network::Onnx(part))))
    }
}

/// A model without weights in other files, which from memory would be looked for in the folder this process stands in.
fn whole(path: &Path) -> Option<Vec<u8>> {
    let bytes = std::fs::read(path).ok()?;
    Model::decode(&bytes, path).ok()?.refuse_external_weights().ok()?;
    Some(bytes)
}

/// Lets those read what the library has kept in `folder` who may read that; it makes files for its own user only.
fn share(folder: &Path) {
    let mode = |file: &Metadata| file.permissions().mode() & 0o777;
    let readers = folder.metadata().map_or(0, |folder| mode(&folder) & 0o044);
    for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kept) = file.metadata() else { continue };
        if kept.is_file() && mode(&kept) & readers != readers {
            let _ = std::fs::set_permissions(file.path(), Permissions::from_mode(mode(&kept) | readers)); // another user's stays as it is
        }
    }
}

/// The folder `name` of `dir`: the library refuses a model when it cannot make that, and not when it cannot write in it.
fn created(dir: &Path, name: &str) -> Option<PathBuf> {
    let folder = dir.join(name);
    std::fs::create_dir_all(&folder).inspect_err(|e| warn_not_kept(dir, format!("cannot create {}: {e}", folder.display()))).ok()?;
    Some(folder)
}

/// A port of a network, which is given back: the crate does not, and each holds the whole network.
struct Port(Node);

// SAFETY: it is a reference to what nobody changes, counted by the library as several threads may; it is only given back.
unsafe impl Send for Port {}

const _: () = assert!(size_of::<Node>() == size_of::<*mut openvino_sys::ov_output_const_port_t>());

impl Drop for Port {
    fn drop(&mut self) {
        // SAFETY: a node is the address of its port, and nothing else; this is the only one that has it, and it is not used any more.
        unsafe { openvino_sys::ov_output_const_port_free((&raw const self.0).cast::<*mut openvino_sys::ov_output_const_port_t>().read()) };
    }
}

/// What the library says of a tensor; of one of a type that sessions do not have, the reason why it cannot be taken.
fn spec_of(node: &Node) -> Result<Result<TensorSpec, String>, openvino::InferenceError> {
    let name = node.get_name()?;
    let dtype = match node.get_element_type()? {
        ElementType::F32 => DType::F32,
        ElementType::I32 => DType::I32,
        ElementType::I64 => DType::I64,
        other => return Ok(Err(format!("`{name}` is of type {other}"))),
    };
    let shape = node.get_partial_shape()?;
    let dims = shape.get_dimensions().iter().map(|d| (!d.is_dynamic()).then(|| d.get_max() as usize)).collect();
    Ok(Ok(TensorSpec { name, dtype, dims }))
}

/// A compiled network. A run that fails spoils it: what runs on it next fails too, or gives what an earlier run gave. It is
/// compiled anew then, and inputs of such shapes run alone from then on: of two runs that fail at one time one may be given an answer.
struct Compiled {
    recipe: Recipe,
    /// `None` while it is spoilt.
    model: Mutex<Option<CompiledModel>>,
    /// Those of all networks that were compiled, which live as long as anything runs that was: the library fails in runs of others when
    /// the network of a run that failed goes.
    ports: Mutex<Vec<Port>>,
    /// How often it was spoilt.
    generation: AtomicU64,
    /// Shapes of inputs of runs that failed.
    refused: Mutex<Vec<Vec<Shape>>>,
    /// Shared by runs, taken by those that run alone.
    turn: RwLock<()>,
}

/// Most shapes that are remembered for having failed.
const MOST_REFUSED: usize = 64;

impl Compiled {
    /// A request, and the generation it is of.
    fn request(&self) -> Result<(InferRequest, u64)> {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let model = match &mut *model {
            Some(model) => model,
            none => {
                let (model, _, ports) = self.recipe.compile()?;
                self.ports.lock().unwrap_or_else(PoisonError::into_inner).extend(ports);
                none.insert(model)
            }
        };
        let request = model.create_infer_request().map_err(|e| self.fault(e))?;
        Ok((request, self.generation.load(Ordering::SeqCst)))
    }

    /// Whether inputs of the shapes of `inputs` have failed before.
    fn has_refused(&self, inputs: &[Tensor]) -> bool {
        let is_like =
            |refused: &Vec<Shape>| refused.iter().zip(inputs).all(|(shape, input)| shape_of(input).is_ok_and(|own| own == *shape));
        let is_sound = self.generation.load(Ordering::SeqCst) == 0;
        !is_sound && self.refused.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_like)
    }

    /// After a run of a request of `generation` on inputs of `shapes` has failed.
    fn spoil(&self, generation: u64, shapes: Vec<Shape>) {
        tracing::debug!("{}: inputs of {shapes:?} failed and run alone from now on", self.recipe.options.model);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if !refused.contains(&shapes) {
            refused.truncate(MOST_REFUSED - 1);
            refused.insert(0, shapes);
        }
        drop(refused);
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        if self.generation.compare_exchange(generation, generation + 1, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            *model = None;
        }
    }

    fn fault(&self, e: openvino::InferenceError) -> Error {
        Error::device("cpu (openvino)", format!("model {}", self.recipe.options.model), e.to_string())
    }
}

struct OvEngine {
    compiled: Arc<Compiled>,
    spec: EngineSpec,
}

impl Engine for OvEngine {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let io = &self.spec.io;
        let (request, generation) = self.compiled.request()?;
        let input_names: Vec<_> = io.inputs.iter().map(|spec| spec.name.clone()).collect();
        let inputs = inputs_of(&request, &input_names).map_err(|e| self.compiled.fault(e))?;
        let compiled = self.compiled.clone();
        Ok(Box::new(OvWorker { request, compiled, generation, inputs, input_names, outputs: Vec::new(), output_count: io.outputs.len() }))
    }
}

/// The tensors of a request that it reads.
fn inputs_of(request: &InferRequest, names: &[String]) -> Result<Vec<Tensor>, openvino::InferenceError> {
    names.iter().map(|name| request.get_tensor(name)).collect()
}

struct OvWorker {
    request: InferRequest,
    /// Of the request.
    generation: u64,
    /// The request's own input tensors: filling them in place saves a copy.
    inputs: Vec<Tensor>,
    input_names: Vec<String>,
    outputs: Vec<Tensor>,
    output_count: usize,
    /// What the request is of goes after it.
    compiled: Arc<Compiled>,
}

impl OvWorker {
    fn fault(&self, reason: impl std::fmt::Display) -> Error {
        let shapes: Vec<String> = self.inputs.iter().map(|t| shape_of(t).map_or("?".into(), |s| s.to_string())).collect();
        let model = &self.compiled.recipe.options.model;
        Error::device("cpu (openvino)", format!("model {model} on {}", shapes.join(", ")), reason.to_string())
    }

    /// Takes a request of what was compiled anew, where this one is of what another worker has spoilt, with a copy of the inputs: tensors of
    /// one request that are given to another are written by runs of others.
    fn renew(&mut self) -> Result<()> {
        if !self.is_spoilt() {
            return Ok(());
        }
        let (request, generation) = self.compiled.request()?;
        let given = std::mem::replace(&mut self.inputs, inputs_of(&request, &self.input_names).map_err(|e| self.compiled.fault(e))?);
        (self.request, self.generation) = (request, generation);
        for (index, tensor) in given.iter().enumerate() {
            let shape = shape_of(tensor)?;
            if shape.elements() > 0 {
                let values = tensor.get_data::<f32>().map_err(|e| self.fault(e))?;
                Session::input(self, index, shape)?.copy_from_slice(values);
            }
        }
        Ok(())
    }

    /// Whether a run of another worker has failed on what this one's request is of.
    fn is_spoilt(&self) -> bool {
        self.compiled.generation.load(Ordering::SeqCst) != self.generation
    }

    fn infer(&mut self) -> Result<(), openvino::InferenceError> {
        let parallelism = self.compiled.recipe.options.parallelism;
        if parallelism.streams * parallelism.threads_per_stream > 1 {
            return self.request.infer();
        }
        // One stream of one thread works in the thread of the caller, where the library forgets its errors.
        self.request.infer_async()?;
        self.request.wait(LONG)
    }
}

fn shape_of(tensor: &Tensor) -> Result<Shape> {
    let shape = tensor.get_shape().map_err(|e| Error::internal("openvino tensor shape", e.to_string()))?;
    let dims: Vec<usize> = shape.get_dimensions().iter().map(|&d| d as usize).collect();
    Shape::try_from_slice(&dims)
}

impl Session for OvWorker {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        if index >= self.inputs.len() {
            return Err(Error::internal("openvino input", format!("input {index} of {}", self.inputs.len())));
        }
        if shape_of(&self.inputs[index])? != shape {
            let dims: Vec<i64> = shape.dims().iter().map(|&d| d as i64).collect();
            let dims = openvino::Shape::new(&dims).map_err(|e| self.fault(e))?;
            let alias = self.inputs[index].set_shape(&dims).map_err(|e| self.fault(e))?;
            std::mem::forget(alias); // a second owner of the same native tensor: dropping it would free ours
        }
        let model = &self.compiled.recipe.options.model;
        let data = self.inputs[index].get_data_mut::<f32>();
        data.map_err(|e| Error::device("cpu (openvino)", format!("model {model}, input {index} of {shape}"), e.to_string()))
    }

    fn run(&mut self) -> Result<()> {
        let compiled = self.compiled.clone();
        let (_shared, _alone) = match compiled.has_refused(&self.inputs) {
            false => (Some(compiled.turn.read().unwrap_or_else(PoisonError::into_inner)), None),
            true => (None, Some(compiled.turn.write().unwrap_or_else(PoisonError::into_inner))),
        };
        loop {
            self.renew()?;
            let ran = self.infer();
            if self.is_spoilt() {
                continue; // by another worker meanwhile: neither an answer nor a fault counts
            }
            match ran {
                Ok(()) => break,
                Err(e) => {
                    compiled.spoil(self.generation, self.inputs.iter().map(shape_of).collect::<Result<_>>()?);
                    return Err(self.fault(e));
                }
            }
        }
        let outputs = (0..self.output_count).map(|i| self.request.get_output_tensor_by_index(i));
        self.outputs = outputs.collect::<Result<_, _>>().map_err(|e| self.fault(e))?;
        Ok(())
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let tensor = self.outputs.get(index).ok_or_else(|| self.fault(format!("output {index} of {}", self.outputs.len())))?;
        let say = |e: openvino::InferenceError| self.fault(e);
        let shape = shape_of(tensor)?;
        let empty = shape.elements() == 0; // the library has no address for it, and a slice needs one
        let data = match tensor.get_element_type().map_err(say)? {
            ElementType::F32 => Data::F32(if empty { &[] } else { tensor.get_data().map_err(say)? }),
            ElementType::I32 => Data::I32(if empty { &[] } else { tensor.get_data().map_err(say)? }),
            ElementType::I64 => Data::I64(if empty { &[] } else { tensor.get_data().map_err(say)? }),
            other => return Err(self.fault(format!("output {index} is of type {other}"))),
        };
        Ok(TensorRef { shape, data })
    }
}

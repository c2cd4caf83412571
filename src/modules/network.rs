//! A loaded network with its idle sessions, shared by workers: one engine that uses all cores for a lone picture,
//! and at first need another that leaves the other cores to other pictures.

use crate::backend::{Engine, GpuSession, IoSpec, Pool, RunInfo, Session, host};
use crate::error::{Error, Result};
use crate::image::{Resident, Size};
use crate::tensor::{DType, Shape};
use crate::trace::{EngineSet, Stage, StageTimes, plural};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How much of the machine one run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    /// All cores: nothing else is under way, and the answer is waited for.
    Whole,
    /// One core: other pictures keep the rest busy, which wastes less.
    OneCore,
}

/// Loads an engine at first use.
pub type LoadEngine = Box<dyn Fn() -> Result<Arc<dyn Engine>> + Send + Sync>;

/// The engines of one network.
pub struct Engines {
    /// Uses all cores.
    pub whole: Arc<dyn Engine>,
    /// Loads one for [`Share::OneCore`], of the same backend; `None` leaves all work to the first.
    pub one_core: Option<LoadEngine>,
}

impl From<Arc<dyn Engine>> for Engines {
    fn from(whole: Arc<dyn Engine>) -> Self {
        Self { whole, one_core: None }
    }
}

impl<E: Engine + 'static> From<Arc<E>> for Engines {
    fn from(whole: Arc<E>) -> Self {
        Self { whole, one_core: None }
    }
}

/// Has a session on a GPU keep memory for what is usual.
type Reserve = Box<dyn Fn(&mut dyn GpuSession) -> Result<()> + Send + Sync>;

/// The number of the next network.
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A network; `S` is what a worker needs besides a session.
pub struct Network<S> {
    engine: Arc<dyn Engine>,
    info: RunInfo,
    whole: Pool<Worker<S>>,
    one_core: Option<Pool<Worker<S>>>,
    reserve: Arc<OnceLock<Reserve>>,
}

/// Exclusive use of a session, with buffers.
pub struct Worker<S> {
    /// The session.
    pub session: Box<dyn Session>,
    /// Buffers kept between calls.
    pub scratch: S,
    /// Pictures on the GPU that the work of this call reads. Their memory is for others once it is done, not before.
    pub held: Vec<Arc<Resident>>,
    /// What the network is given in this call, once that is known, for errors to say it.
    pub fed: Option<Shape>,
    network: EngineSet,
}

impl<S: Default> Worker<S> {
    fn new(engine: &dyn Engine, network: EngineSet) -> Result<Self> {
        Ok(Self { session: engine.session()?, scratch: S::default(), held: Vec::new(), fed: None, network })
    }
}

impl<S> Worker<S> {
    /// Runs the network on the inputs lent last, and books that under `stage`.
    pub fn run(&mut self, stage: Stage, times: &mut StageTimes) -> Result<()> {
        times.measure(stage, || self.session.run())?;
        self.book(times);
        Ok(())
    }

    /// Books that the network ran, and which engine.
    pub fn book(&self, times: &mut StageTimes) {
        times.ran.insert(self.session.ran());
        times.networks.insert(self.network);
    }
}

impl<S: Default> Network<S> {
    /// A network with no session yet.
    pub fn new(engines: impl Into<Engines>) -> Self {
        let Engines { whole, one_core } = engines.into();
        let engine = whole.clone();
        let network = EngineSet::one(NUMBER.fetch_add(1, Ordering::Relaxed));
        let most = whole.most_sessions();
        let one_core = one_core.map(|load| {
            let loaded = Mutex::new(None);
            Pool::with_most(most, move || {
                let mut loaded = loaded.lock().unwrap_or_else(PoisonError::into_inner);
                let engine: &Arc<dyn Engine> = match &mut *loaded {
                    Some(engine) => engine,
                    none => none.insert(load()?),
                };
                Worker::new(&**engine, network)
            })
        });
        let info = RunInfo { network, ..engine.info().clone() };
        let reserve: Arc<OnceLock<Reserve>> = Arc::default();
        let usual = reserve.clone();
        let whole = Pool::with_most(most, move || {
            let mut worker = Worker::new(&*whole, network)?;
            if let (Some(usual), Some(session)) = (usual.get(), worker.session.on_gpu()) {
                // A frame that does not find its memory either says so.
                let _ = usual(session).inspect_err(|e| tracing::debug!("{}: memory comes with the first run: {e}", whole.info().model));
            }
            Ok(worker)
        });
        Self { engine, info, whole, one_core, reserve }
    }

    /// Has each session on a GPU begin with the memory that `usual` asks it and its stream for. The first is made now.
    pub fn reserve(&self, usual: impl Fn(&mut dyn GpuSession) -> Result<()> + Send + Sync + 'static) {
        let _ = self.reserve.set(Box::new(usual)); // by whoever made the network, once
        let _ = self.whole.with(|_| Ok(())); // a run that gets no session either says why
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        &self.info
    }

    /// Inputs and outputs.
    pub fn io(&self) -> &IoSpec {
        self.engine.io()
    }

    /// Most items that can share a run.
    pub fn max_batch(&self) -> usize {
        self.io().most_items()
    }

    /// Whether an input of `shape` runs on this network's own engine.
    pub fn runs_itself(&self, shape: Shape) -> bool {
        self.engine.runs_itself(&[shape])
    }

    /// Why input `index` (`[N, 3, H, W]`) does not take pictures of `size`; `None` when it does.
    pub fn wrong_size(&self, index: usize, size: Size) -> Option<String> {
        let [height, width] = self.io().picture_sides(index);
        let fits = |fixed: Option<usize>, side: u32| fixed.is_none_or(|fixed| fixed == side as usize);
        if fits(height, size.height) && fits(width, size.width) {
            return None;
        }
        let text = |fixed: Option<usize>| fixed.map_or_else(|| "any".into(), |fixed| fixed.to_string());
        Some(format!("this form of the network takes pictures of {}x{} only, not of {size}", text(width), text(height)))
    }

    /// Why this network does not take a picture and nothing else; `None` when it does.
    pub fn other_inputs(&self) -> Option<String> {
        let names: Vec<&str> = self.io().inputs.iter().map(|input| input.name.as_str()).collect();
        (names.len() != 1)
            .then(|| format!("the network has the inputs {}, one is expected: it is that of another model", names.join(" and ")))
    }

    /// Why this network does not give outputs of so many dimensions, `ranks` for each in order (empty: any number); `None`
    /// when it does. What a network does not say of itself beforehand shows in a run.
    pub fn other_outputs(&self, ranks: &[&[usize]]) -> Option<String> {
        let outputs = &self.io().outputs;
        if outputs.len() < ranks.len() {
            let found = plural(outputs.len(), "output");
            return Some(format!("the network has {found}, {} are expected: it is that of another model", ranks.len()));
        }
        let fits = |rank: usize, ranks: &[usize]| rank == 0 || ranks.is_empty() || ranks.contains(&rank);
        let (odd, ranks) = outputs.iter().zip(ranks).find(|(output, ranks)| !fits(output.dims.len(), ranks))?;
        let expected: Vec<String> = ranks.iter().map(usize::to_string).collect();
        let (found, expected) = (plural(odd.dims.len(), "dimension"), expected.join(" or "));
        Some(format!("output `{}` of the network has {found}, {expected} are expected: it is that of another model", odd.name))
    }

    /// Why output `index`, where there is one, holds no numbers with fractions; `None` when it does.
    pub fn no_floats(&self, index: usize) -> Option<String> {
        let odd = self.io().outputs.get(index).filter(|output| output.dtype != DType::F32)?;
        Some(format!("output `{}` of the network is of {:?}, F32 is expected: it is that of another model", odd.name, odd.dtype))
    }

    /// Lends an idle session to `work`, which waits for the results. After an error nothing is under way any more that reads what `work` gave it.
    pub fn with<R>(&self, share: Share, work: impl FnOnce(&mut Worker<S>) -> Result<R>) -> Result<R> {
        let work = |worker: &mut Worker<S>| {
            worker.fed = None;
            let done = work(worker).inspect_err(|_| {
                let _ = host::settle(&mut *worker.session);
            });
            worker.held.clear();
            worker.session.rest();
            done.map_err(|error| {
                let model = format!("model {}", self.info().model);
                match worker.fed {
                    _ if error.to_string().contains(&model) => error,
                    Some(shape) => error.during(|| format!("{model}, {shape}")),
                    None => error.during(|| model),
                }
            })
        };
        match (share, &self.one_core) {
            (Share::OneCore, Some(workers)) => workers.with(work),
            _ => self.whole.with(work),
        }
    }

    /// A network that does what its specification does not allow for.
    pub fn fault(&self, found: impl Into<String>) -> Error {
        Error::device(self.info().device.clone(), format!("model {}", self.info().model), found)
    }
}

//! An engine that is being built, and the one that stands in for it until it is there. Every session changes over by itself, between
//! two runs and never within one. A build that fails leaves the stand-in where it is, which is said once.

use super::{Engine, GpuSession, IoSpec, RunInfo, Session, StandIn};
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::tensor::{Shape, TensorRef};
use crate::trace::EngineSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How much lower than that of requests the priority of a build is: requests get nine tenths of a core that both want.
const NICE: i32 = 10;

/// How long the end of a program waits for a build that was told to stop. One that waits for another process stops with the program.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Gives every changeover numbers of its own.
#[derive(Debug, Default)]
pub(super) struct Numbers(AtomicU32);

/// Builds an engine.
pub(super) type Build = Box<dyn FnOnce() -> Result<Arc<dyn Engine>> + Send>;

/// See the module's description.
pub(super) struct Changeover {
    shared: Arc<Shared>,
    io: IoSpec,
    info: RunInfo,
    most_sessions: usize,
    _building: Building,
}

struct Shared {
    model: String,
    marks: [EngineSet; 2],
    /// Gone when the engine is there: sessions that have not changed over yet hold what they need.
    stand_in: Mutex<Option<Arc<dyn Engine>>>,
    built: OnceLock<Arc<dyn Engine>>,
    refused: AtomicBool,
}

impl Changeover {
    /// Starts `build`, which makes the engine that `wanted` describes and stops when `stop` is set, and runs `stand_in` meanwhile.
    pub fn start(
        wanted: RunInfo,
        stand_in: Arc<dyn Engine>,
        most_sessions: usize,
        numbers: &Numbers,
        stop: Arc<AtomicBool>,
        build: Build,
    ) -> Result<Self> {
        let first = 2 * numbers.0.fetch_add(1, Ordering::Relaxed);
        let marks = [EngineSet::one(first), EngineSet::one(first + 1)];
        let (io, info) = (stand_in.io().clone(), stand_in.info().clone());
        let most_sessions = most_sessions.min(stand_in.most_sessions());
        let model = wanted.model.clone();
        tracing::info!("{model}: {} {} until the engine of {} is built", info.backend, info.version, wanted.backend);
        let place = info.backend;
        let (stand_in, built) = (Mutex::new(Some(stand_in)), OnceLock::new());
        let shared = Arc::new(Shared { model, marks, stand_in, built, refused: AtomicBool::default() });
        let work = {
            let (shared, io, stop) = (shared.clone(), io.clone(), stop.clone());
            move || {
                let _ = rustix::process::nice(NICE); // Linux has it by thread; without it the build takes its share
                match build().and_then(|engine| fitting(engine, &io)) {
                    Ok(engine) => shared.change_to(engine),
                    Err(_) if stop.load(Ordering::Relaxed) => {}
                    Err(e) => tracing::warn!("{e}; {} stays on {place}", shared.model),
                }
            }
        };
        let thread = thread::Builder::new().name("engine-build".into()).spawn(work);
        let thread = Some(thread.map_err(|e| Error::internal("engine build", e.to_string()))?);
        let [own, built] = marks;
        let info = RunInfo { stand_in: Some(Box::new(StandIn { info, own, built })), ..wanted };
        Ok(Self { shared, io, info, most_sessions, _building: Building { stop, thread } })
    }
}

/// `engine`, if it can go on where one with the tensors `io` has been running.
fn fitting(engine: Arc<dyn Engine>, io: &IoSpec) -> Result<Arc<dyn Engine>> {
    let names = |io: &IoSpec| [&io.inputs, &io.outputs].map(|specs| specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>());
    let (found, expected) = (names(engine.io()), names(io));
    if found == expected && *engine.output_kind() == OutputKind::Original {
        return Ok(engine);
    }
    let reason = format!("model {}: the engine has the tensors {found:?}, the graph {expected:?}", engine.info().model);
    Err(Error::backend(engine.info().backend.as_str(), reason, "choose onnx_runtime for this model"))
}

impl Shared {
    fn change_to(&self, engine: Arc<dyn Engine>) {
        let info = engine.info();
        tracing::info!("{}: {} {} from here on", self.model, info.backend, info.version);
        if self.built.set(engine).is_ok() {
            self.stand_in.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }

    /// A session of what is there now, and whether that is the engine.
    fn session(&self) -> Result<(Box<dyn Session>, bool)> {
        let stand_in = self.stand_in.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match (self.built.get(), stand_in) {
            (Some(engine), _) => Ok((engine.session()?, true)),
            (None, Some(engine)) => Ok((engine.session()?, false)),
            (None, None) => Err(Error::internal("engine build", "neither the engine nor its stand-in is there")),
        }
    }
}

impl Engine for Changeover {
    fn io(&self) -> &IoSpec {
        &self.io
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn output_kind(&self) -> &OutputKind {
        &OutputKind::Original
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let (session, is_built) = self.shared.session()?;
        Ok(Box::new(Changing { shared: self.shared.clone(), session, is_built, lends: false }))
    }

    fn most_sessions(&self) -> usize {
        self.most_sessions
    }
}

struct Changing {
    shared: Arc<Shared>,
    session: Box<dyn Session>,
    is_built: bool,
    /// Whether inputs were lent for a run that has not begun.
    lends: bool,
}

impl Changing {
    /// Before the first input of a run: goes over to the engine when it is there.
    fn change_over(&mut self) {
        if self.is_built || self.lends {
            return;
        }
        let Some(engine) = self.shared.built.get() else { return };
        match engine.session() {
            Ok(session) => (self.session, self.is_built) = (session, true),
            Err(e) if !self.shared.refused.swap(true, Ordering::Relaxed) => {
                tracing::warn!("{e}; {} stays in part on what stood in for the engine", self.shared.model);
            }
            Err(_) => {}
        }
    }
}

impl Session for Changing {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        self.change_over();
        self.lends = true;
        self.session.input(index, shape)
    }

    fn run(&mut self) -> Result<()> {
        self.lends = false;
        self.session.run()
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        self.session.output(index)
    }

    /// Whoever works on a GPU asks for this before each run, not within one.
    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        self.change_over();
        self.session.on_gpu()
    }

    fn ran(&self) -> EngineSet {
        self.shared.marks[usize::from(self.is_built)]
    }
}

/// A build under way, which stops when nobody wants the engine any more.
struct Building {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Building {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + STOP_WITHIN;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if thread.is_finished() {
            let _ = thread.join(); // a panic was printed when it happened
        }
    }
}

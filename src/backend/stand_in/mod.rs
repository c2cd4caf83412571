//! An engine and the one that stands in for it: while it is built, and for inputs of shapes that it does not take. Every
//! session goes over to the engine by itself when that is there, between two runs and never within one. A build that fails leaves
//! the stand-in where it is, which is said once.

mod session;

use super::{Engine, EngineSpec, IoSpec, PROFILES, RunInfo, Session, StandIn};
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::tensor::Shape;
use crate::trace::EngineSet;
use session::Changing;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How much lower than that of requests the priority of a build is: requests get nine tenths of a core that both want.
const NICE: i32 = 10;

/// How long the end of a program waits for a build that was told to stop. One that waits for another process stops with the program.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Gives every pair of engines, and the profiles of the second, numbers of their own.
#[derive(Debug, Default)]
pub struct Numbers(AtomicU32);

/// Builds an engine.
pub type Build = Box<dyn FnOnce() -> Result<Arc<dyn Engine>> + Send>;

/// Opens the engine that stands in.
pub type Open = Box<dyn Fn() -> Result<Arc<dyn Engine>> + Send + Sync>;

/// See the module's description.
pub struct WithStandIn {
    shared: Arc<Shared>,
    spec: EngineSpec,
    most_sessions: usize,
    _building: Option<Building>,
}

struct Shared {
    model: String,
    marks: [EngineSet; 2],
    profiles: [EngineSet; PROFILES],
    open: Open,
    /// Gone when the engine is there, until a shape needs it: sessions that have not changed over yet hold what they need.
    stand_in: Mutex<Option<Arc<dyn Engine>>>,
    stand_in_info: Arc<OnceLock<RunInfo>>,
    built: OnceLock<Arc<dyn Engine>>,
    /// Whether a session that cannot be had was spoken of.
    refused: AtomicBool,
    /// Whether a shape that the engine does not take was spoken of.
    passed_on: AtomicBool,
}

impl WithStandIn {
    /// `engine`, and what `open` opens for shapes that it does not take.
    pub fn built(engine: Arc<dyn Engine>, open: Open, numbers: &Numbers) -> Self {
        let shared = Shared::new(&engine.info().model, open, numbers);
        let (spec, most_sessions) = (shared.described(engine.io(), engine.info().clone()), engine.most_sessions());
        let _ = shared.built.set(engine); // it is new
        Self { shared: Arc::new(shared), spec, most_sessions, _building: None }
    }

    /// Starts `build`, which makes the engine that `wanted` describes and stops when `stop` is set, and runs `stand_in` meanwhile, which
    /// `open` opens again for shapes that the engine does not take.
    ///
    /// # Errors
    /// [`Error::Internal`] where no thread can be had.
    pub fn building(
        wanted: RunInfo,
        (stand_in, open): (Arc<dyn Engine>, Open),
        most_sessions: usize,
        numbers: &Numbers,
        stop: Arc<AtomicBool>,
        build: Build,
    ) -> Result<Self> {
        let mut shared = Shared::new(&wanted.model, open, numbers);
        let _ = shared.stand_in_info.set(stand_in.info().clone()); // it is new
        shared.stand_in = Mutex::new(Some(stand_in.clone()));
        let shared = Arc::new(shared);
        let (place, spec) = (stand_in.info().backend, shared.described(stand_in.io(), wanted.clone()));
        let most_sessions = most_sessions.min(stand_in.most_sessions());
        tracing::info!("{}: {place} {} until the engine of {} is built", wanted.model, stand_in.info().version, wanted.backend);
        drop(stand_in);
        let work = {
            let (shared, stop) = (shared.clone(), stop.clone());
            move || {
                let _ = rustix::process::nice(NICE); // Linux has it by thread; without it the build takes its share
                match build().and_then(|engine| shared.change_to(engine)) {
                    Err(e) if !stop.load(Ordering::Relaxed) => tracing::warn!("{e}; {} stays on {place}", shared.model),
                    _ => {}
                }
            }
        };
        let thread = thread::Builder::new().name("engine-build".into()).spawn(work);
        let thread = Some(thread.map_err(|e| Error::internal("engine build", e.to_string()))?);
        Ok(Self { shared, spec, most_sessions, _building: Some(Building { stop, thread }) })
    }
}

/// Refuses an engine that cannot go on where one with the tensors `io` has been running.
fn check_fit(engine: &dyn Engine, io: &IoSpec) -> Result<()> {
    let names = |io: &IoSpec| [&io.inputs, &io.outputs].map(|specs| specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>());
    let (found, expected) = (names(engine.io()), names(io));
    if found == expected && *engine.output_kind() == OutputKind::Original {
        return Ok(());
    }
    let reason = format!("model {}: its engine has the tensors {found:?} here, {expected:?} in another engine", engine.info().model);
    Err(Error::backend(engine.info().backend.as_str(), reason, "choose onnx_runtime for this model"))
}

impl Shared {
    fn new(model: &str, open: Open, numbers: &Numbers) -> Self {
        let first = numbers.0.fetch_add(2 + PROFILES as u32, Ordering::Relaxed);
        let marks = [EngineSet::one(first), EngineSet::one(first + 1)];
        let profiles = std::array::from_fn(|profile| EngineSet::one(first + 2 + profile as u32));
        let (stand_in, stand_in_info, built, refused, passed_on) = Default::default();
        Self { model: model.to_owned(), marks, profiles, open, stand_in, stand_in_info, built, refused, passed_on }
    }

    /// The engine of `info`, with what may run in its place.
    fn described(&self, io: &IoSpec, info: RunInfo) -> EngineSpec {
        let [own, built] = self.marks;
        let stand_in = StandIn { info: self.stand_in_info.clone(), own, built, profiles: self.profiles };
        let info = RunInfo { stand_in: Some(Box::new(stand_in)), ..info };
        EngineSpec { io: io.clone(), info, output: OutputKind::Original }
    }

    /// What stands in, opened where it is not there.
    fn stand_in(&self) -> Result<Arc<dyn Engine>> {
        let mut known = self.stand_in.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = &*known {
            return Ok(engine.clone());
        }
        let engine = (self.open)()?;
        if let Some(built) = self.built.get() {
            check_fit(&*engine, built.io())?;
        }
        let _ = self.stand_in_info.set(engine.info().clone()); // the same as the time before
        Ok(known.insert(engine).clone())
    }

    fn change_to(&self, engine: Arc<dyn Engine>) -> Result<()> {
        let stand_in = self.stand_in()?;
        check_fit(&*engine, stand_in.io())?;
        tracing::info!("{}: {} {} from here on", self.model, engine.info().backend, engine.info().version);
        let _ = self.built.set(engine); // there is one build
        self.stand_in.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(())
    }

    /// A session of what is there now, and whether that is the engine.
    fn session(&self) -> Result<(Box<dyn Session>, bool)> {
        match self.built.get() {
            Some(engine) => Ok((engine.session()?, true)),
            None => Ok((self.stand_in()?.session()?, false)),
        }
    }

    /// Whether the engine refuses `shapes`.
    fn refuses(&self, shapes: &[Shape]) -> bool {
        let Some(engine) = self.built.get() else { return false };
        let Some(reason) = engine.refuses(shapes) else { return false };
        if !self.passed_on.swap(true, Ordering::Relaxed) {
            let next_step = "`hpinfer engine list` counts such runs, `hpinfer engine inspect` states shapes that cover them";
            tracing::warn!("{}: {reason}; another engine runs these; {next_step}", self.model);
        }
        true
    }

    /// What a run of the engine on these shapes is told by.
    fn mark(&self, shapes: &[Shape]) -> EngineSet {
        let mut mark = self.marks[1];
        let profile = self.built.get().and_then(|engine| engine.profile_of(shapes));
        if let Some(profile) = profile.and_then(|profile| self.profiles.get(profile)) {
            mark.insert(*profile);
        }
        mark
    }

    fn passed_on(&self, shapes: &[Shape]) {
        if let Some(engine) = self.built.get() {
            engine.passed_on(shapes);
        }
    }
}

impl Engine for WithStandIn {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let (session, is_built) = self.shared.session()?;
        Ok(Box::new(Changing::new(self.shared.clone(), session, is_built, self.spec.io.inputs.len())))
    }

    fn most_sessions(&self) -> usize {
        self.most_sessions
    }

    fn runs_itself(&self, shapes: &[Shape]) -> bool {
        self.shared.built.get().is_none_or(|engine| engine.runs_itself(shapes))
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

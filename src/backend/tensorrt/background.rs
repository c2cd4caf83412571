//! When the engine of a model is built: before the first request, in the background, or not at all.

use super::session::Prepared;
use crate::backend::changeover::{Changeover, Numbers};
use crate::backend::{Engine, EngineBuild};
use crate::error::{Error, Result};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// The builds of one device.
#[derive(Default)]
pub struct Builds {
    when: EngineBuild,
    numbers: Numbers,
    /// Held while an engine is built in the background: two would measure each other.
    one_at_a_time: Arc<Mutex<()>>,
}

impl Builds {
    /// Builds when `when` says.
    pub fn new(when: EngineBuild) -> Self {
        Self { when, ..Self::default() }
    }

    /// The engine of a model, or one that becomes it: until it is built what `stand_in` opens runs.
    ///
    /// # Errors
    /// What the library says; that the engine is not there, where it is not to be built.
    pub fn load(&self, prepared: Prepared, stand_in: impl FnOnce() -> Result<Arc<dyn Engine>>) -> Result<Arc<dyn Engine>> {
        if self.when == EngineBuild::Blocking {
            return prepared.engine();
        }
        match (prepared.kept(), self.when) {
            (Ok(engine), _) => return Ok(engine),
            (Err(e), EngineBuild::Never) => return Err(e),
            (Err(_), _) => {} // what is wrong with an engine is said when it is built again
        }
        let info = prepared.info();
        let stand_in = match stand_in() {
            Ok(engine) => engine,
            Err(e) => {
                tracing::warn!("{e}; nothing runs {} before its engine is built", info.model);
                return prepared.engine();
            }
        };
        let (most_sessions, stop, one_at_a_time) = (prepared.most_sessions(), prepared.stop(), self.one_at_a_time.clone());
        let stopped = stop.clone();
        let build = move || {
            let _turn = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
            match stopped.load(Ordering::Relaxed) {
                true => Err(Error::backend("tensorrt", "the build was stopped before it began", "start it again")),
                false => prepared.engine(),
            }
        };
        Ok(Arc::new(Changeover::start(info, stand_in, most_sessions, &self.numbers, stop, Box::new(build))?))
    }
}

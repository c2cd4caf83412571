//! When the engine of a model is built: before the first request, in the background, or not at all.

use super::session::Prepared;
use crate::backend::stand_in::{Numbers, Open, WithStandIn};
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

    /// The engine of a model, or one that becomes it: until it is built, and for shapes that it does not take, what `stand_in` opens
    /// runs.
    ///
    /// # Errors
    /// What the library says; that the engine is not there, where it is not to be built.
    pub(in crate::backend) fn load(&self, prepared: Arc<Prepared>, stand_in: Open) -> Result<Arc<dyn Engine>> {
        let found = match self.when {
            EngineBuild::Blocking => Some(prepared.tried(&*stand_in)?),
            EngineBuild::Never => Some(prepared.kept()?),
            EngineBuild::Background => prepared.kept().ok(), // what is wrong with an engine is said when it is built again
        };
        if let Some(engine) = found {
            return Ok(Arc::new(WithStandIn::built(engine, stand_in, &self.numbers)));
        }
        let info = prepared.info();
        let first = match stand_in() {
            Ok(engine) => engine,
            Err(e) => {
                tracing::warn!("{e}; nothing runs {} before its engine is built", info.model);
                return prepared.engine(); // with nothing to compare it with
            }
        };
        let (most_sessions, stop, one_at_a_time) = (prepared.most_sessions(), prepared.stop(), self.one_at_a_time.clone());
        let (stopped, beside) = (stop.clone(), first.clone());
        let build = move || {
            let _turn = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
            match stopped.load(Ordering::Relaxed) {
                true => Err(Error::backend("tensorrt", "the build was stopped before it began", "start it again")),
                false => prepared.tried(&|| Ok(beside.clone())),
            }
        };
        Ok(Arc::new(WithStandIn::building(info, (first, stand_in), most_sessions, &self.numbers, stop, Box::new(build))?))
    }
}

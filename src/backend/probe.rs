//! Runs that measure an engine.

use super::tensorrt::reference::Feed;
use super::{Engine, Parallelism, Session, TensorSpec, host, sample};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Shape;
use crate::trace::Transfers;
use rustix::time::{ClockId, clock_gettime};

/// What one run of a measurement feeds: inputs by name, all elements of one value.
#[derive(Clone, Debug)]
pub struct Probe(Vec<(&'static str, Shape, f32)>);

impl Probe {
    /// One input, whatever its name.
    pub fn only(shape: Shape) -> Self {
        Self(vec![("", shape, 0.5)])
    }

    /// Inputs by name, the first that fits counts: an empty name fits all. Those that a network does not have are left out.
    pub fn named(inputs: Vec<(&'static str, Shape, f32)>) -> Self {
        Self(inputs)
    }

    /// Shape and value of input `index`.
    fn of(&self, engine: &dyn Engine, index: usize) -> Result<(Shape, f32)> {
        let name = &engine.io().inputs[index].name;
        let known = self.0.iter().find(|(known, ..)| known.is_empty() || known == name);
        let &(_, shape, value) = known.ok_or_else(|| {
            let reason = format!("no value for input `{name}` of model {}", engine.info().model);
            Error::internal("measuring backends", reason)
        })?;
        Ok((shape, value))
    }

    fn feed(&self, engine: &dyn Engine, session: &mut dyn Session) -> Result<()> {
        for index in 0..engine.io().inputs.len() {
            let (shape, value) = self.of(engine, index)?;
            host::feed(session, index, shape, &vec![value; shape.elements()], &mut Transfers::default())?;
        }
        host::settle(session)
    }

    /// The same with print and noise for pictures.
    pub(super) fn print(&self, engine: &dyn Engine) -> Result<Feed> {
        let mut next = sample::noise();
        let one = |(index, spec): (usize, &TensorSpec)| {
            let (shape, value) = self.of(engine, index)?;
            let values = match *shape.dims() {
                [_, _, height, width] => {
                    (0..shape.elements()).map(|at| sample::stroke(at / width % height, at % width) + 0.25 * next()).collect()
                }
                _ => vec![value; shape.elements()],
            };
            Ok((spec.name.clone(), shape, values))
        };
        engine.io().inputs.iter().enumerate().map(one).collect()
    }
}

/// Milliseconds for one run on each of `probe` but the first, which warms up. Every shape is met for the first time, as
/// pictures bring them: an engine that compiles for each new shape pays for it here too.
///
/// With one thread a run the processor's time counts, where it does the work: other programs make it hardly longer, and the choice is kept for good.
pub(super) fn run_time_ms(engine: &dyn Engine, probe: &[Probe], parallelism: Parallelism, device: &Device) -> Result<f64> {
    let mut session = engine.session()?;
    let clock = Clock { processor: parallelism.threads_per_stream == 1 && device.gpu().is_none() };
    let mut total = 0.0;
    for (index, probe) in probe.iter().enumerate() {
        probe.feed(engine, session.as_mut())?;
        let start = clock.now();
        session.run()?;
        host::settle(&mut *session)?;
        if index > 0 {
            total += (clock.now() - start) * 1e3;
        }
    }
    Ok(total)
}

/// Seconds of processor time of this process, or of the wall.
struct Clock {
    processor: bool,
}

impl Clock {
    fn now(&self) -> f64 {
        let id = if self.processor { ClockId::ProcessCPUTime } else { ClockId::Monotonic };
        let time = clock_gettime(id);
        time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
    }
}

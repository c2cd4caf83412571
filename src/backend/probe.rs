//! Runs that measure an engine.

use super::tensorrt::reference::{self, Feed, Output, difference};
use super::{BackendName, Engine, Parallelism, Precision, Session, TensorSpec, host, sample};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::tensor::{Data, Shape, TensorRef};
use crate::trace::Transfers;
use rustix::time::{ClockId, clock_gettime};
use std::mem::{Discriminant, discriminant};

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

/// Greatest difference of outputs between libraries that both calculate in float32, as a part of the greatest; and where one rounds to
/// bfloat16.
const FLOAT32_ERROR: f32 = 1e-3;
const BFLOAT16_ERROR: f32 = 0.1;

/// What an engine made of a probe.
pub(super) struct Answer {
    backend: BackendName,
    precision: Precision,
    kind: Discriminant<OutputKind>,
    outputs: Vec<Output>,
}

/// Greatest scores of a detector that are compared: which of nearly equal rows comes first differs between engines.
const SCORES: usize = 50;

/// What an engine makes of the first of `probe`, to be compared with what another makes of it: its outputs; of a detector's rows the
/// greatest scores.
fn answer(engine: &dyn Engine, probe: &Probe) -> Result<Vec<Output>> {
    let read = |_: &str, tensor: TensorRef<'_>| match (tensor.shape.dims(), tensor.data) {
        ([_, 6], Data::F32(rows)) => {
            let mut scores: Vec<f32> = rows.iter().skip(1).step_by(6).copied().collect();
            scores.sort_by(|a, b| b.total_cmp(a));
            scores.resize(SCORES, 0.0);
            (true, (false, scores))
        }
        _ => (false, reference::elements(tensor)),
    };
    let outputs = reference::outputs(engine, &[probe.print(engine)?], read)?.remove(0);
    let of_detector = outputs.iter().any(|(are_rows, _)| *are_rows);
    Ok(outputs.into_iter().filter(|(are_rows, _)| *are_rows == of_detector).map(|(_, output)| output).collect())
}

/// Refuses an engine that answers otherwise than the `first` of the candidates, which is noted where there is none.
pub(super) fn check_alike(first: &mut Option<Answer>, engine: &dyn Engine, probe: &Probe) -> Result<()> {
    let info = engine.info();
    let found = Answer {
        backend: info.backend,
        precision: info.precision,
        kind: discriminant(engine.output_kind()),
        outputs: answer(engine, probe)?,
    };
    let Some(first) = first else {
        *first = Some(found);
        return Ok(());
    };
    let allowed = if found.precision == first.precision { FLOAT32_ERROR } else { BFLOAT16_ERROR };
    let error = difference(std::slice::from_ref(&first.outputs), &[found.outputs]);
    // What was cut off one of them only cannot be compared.
    if error <= allowed || found.kind != first.kind {
        return Ok(());
    }
    let reason = format!("model {}: its outputs differ from those of {} by {error:.1e} of the greatest", info.model, first.backend);
    Err(Error::backend(info.backend.as_str(), reason, "`hpinfer verify --model` shows where; --backend takes it all the same"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::{self, FakeEngine};

    #[test]
    fn engines_that_answer_otherwise_are_told_from_those_that_round_otherwise() {
        let scaled = |by: f32| {
            FakeEngine::new("m", move |inputs| {
                let (shape, values) = &inputs[0];
                Ok((*shape, values.iter().map(|v| by * v).collect()))
            })
        };
        let (probe, mut first) = (Probe::only(Shape::new(&[1, 3, 48, 64])), None);
        check_alike(&mut first, &scaled(1.0), &probe).unwrap();
        check_alike(&mut first, &scaled(1.0005), &probe).unwrap();
        let message = check_alike(&mut first, &scaled(1.01), &probe).unwrap_err().to_string();
        assert!(message.contains("model m: its outputs differ from those of fake by 1.0e-2 of the greatest"), "{message}");
    }

    /// Rows come in another order where scores are nearly equal.
    #[test]
    fn of_detectors_the_greatest_scores_are_compared() {
        let rows = |scores: &[f32]| {
            let rows: Vec<f32> = scores.iter().flat_map(|score| [0.0, *score, 1.0, 2.0, 3.0, 4.0 * score]).collect();
            let count = scores.len();
            FakeEngine::with_io("m", &[("x", &[None; 4])], 2, move |_| {
                Ok(vec![fake::Output::f32(&[count, 6], rows.clone()), fake::Output::i32(&[1], vec![count as i32])])
            })
        };
        let (probe, mut first) = (Probe::only(Shape::new(&[1, 3, 8, 8])), None);
        check_alike(&mut first, &rows(&[0.9, 0.8, 0.8001]), &probe).unwrap();
        check_alike(&mut first, &rows(&[0.8, 0.9, 0.8001, 0.0001]), &probe).unwrap();
        check_alike(&mut first, &rows(&[]), &probe).unwrap_err();
        check_alike(&mut first, &rows(&[0.9, 0.8, 0.7]), &probe).unwrap_err();
    }
}

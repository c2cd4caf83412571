//! Runs that measure an engine.

use super::reference::{self, Feed, Output, difference};
use super::{Engine, Parallelism, RunInfo, Session, TensorSpec, host, sample};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::tensor::Shape;
use crate::trace::Transfers;
use rustix::time::{ClockId, clock_gettime};
use std::mem::{Discriminant, discriminant};

/// Most elements of an item of an input: those of a picture of 64 megapixels.
const MOST_ELEMENTS: usize = 3 * (1 << 26);

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

    /// Shape and value of input `index`. What the network fixes of its shape counts: whether that suits the model is for its module to
    /// say, which can name the cause.
    fn of(&self, engine: &dyn Engine, index: usize) -> Result<(Shape, f32)> {
        let TensorSpec { name, dims, .. } = &engine.io().inputs[index];
        let known = self.0.iter().find(|(known, ..)| known.is_empty() || known == name);
        let &(_, shape, value) = known.ok_or_else(|| {
            let reason = format!("no value for input `{name}` of model {}", engine.info().model);
            Error::internal("measuring backends", reason)
        })?;
        if dims.is_empty() {
            return Ok((shape, value));
        }
        let own = |axis: usize| if shape.dims().len() == dims.len() { shape.dims()[axis] } else { 1 };
        let dims: Vec<usize> = dims.iter().enumerate().map(|(axis, fixed)| fixed.unwrap_or_else(|| own(axis))).collect();
        let product = |dims: &[usize]| dims.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
        let is_within = |dims, most| product(dims).is_some_and(|elements| elements <= most);
        if !is_within(&dims[1..], MOST_ELEMENTS) || !is_within(&dims, 8 * MOST_ELEMENTS) {
            let info = engine.info();
            let reason = format!("model {}: input `{name}` of {dims:?} is larger than any picture may be", info.model);
            return Err(Error::backend(info.backend.as_str(), reason, "export it for pictures of another size"));
        }
        Ok((Shape::try_from_slice(&dims)?, value))
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
                [_, _, height, width] => (0..shape.elements()).map(|at| sample::print(at, height, width) + 0.25 * next()).collect(),
                _ => vec![value; shape.elements()],
            };
            Ok((spec.name.clone(), shape, values))
        };
        engine.io().inputs.iter().enumerate().map(one).collect()
    }
}

/// Difference of outputs, as a part of the greatest, above which one of two libraries is wrong. Below it they round otherwise: outputs of
/// UVDoc are 0.017 apart, those of other networks far less, and bfloat16 may be allowed.
const WRONG: f32 = 0.1;

/// What an engine makes of a probe.
pub(super) struct Answer {
    info: RunInfo,
    kind: Discriminant<OutputKind>,
    outputs: Vec<Vec<Output>>,
}

impl Answer {
    /// Runs `engine` on print.
    pub fn of(engine: &dyn Engine, probe: &Probe) -> Result<Self> {
        let outputs = reference::answers(engine, &[probe.print(engine)?])?;
        Ok(Self { info: engine.info().clone(), kind: discriminant(engine.output_kind()), outputs })
    }

    /// Refuses an engine that answers otherwise than `reference`.
    pub fn check(&self, reference: &Self) -> Result<()> {
        let error = difference(&reference.outputs, &self.outputs);
        // What was cut off one of them only cannot be compared.
        if error <= WRONG || self.kind != reference.kind {
            return Ok(());
        }
        let (info, other) = (&self.info, reference.info.backend);
        let reason = format!("model {}: its outputs differ from those of {other} by {error:.1e} of the greatest", info.model);
        Err(Error::backend(info.backend.as_str(), reason, "`hpinfer verify --model` shows where; --backend takes it all the same"))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::{self, FakeEngine};

    /// Shapes that no model of this kind brings show nothing of how fast it is, and make it fail.
    #[test]
    fn a_network_is_measured_with_the_sizes_that_it_takes() {
        let inputs: [(&str, &[Option<usize>]); 2] = [("image", &[Some(1), Some(3), Some(256), None]), ("im_shape", &[None, Some(2)])];
        let engine = FakeEngine::with_io("m", &inputs, 1, |inputs| {
            let shapes: Vec<_> = inputs.iter().map(|(shape, _)| shape.to_string()).collect();
            assert_eq!(shapes, ["[1x3x256x512]", "[1x2]"]);
            Ok(vec![fake::Output::f32(&[1], vec![0.0])])
        });
        let probe = [Probe::only(Shape::new(&[2, 3, 512, 512]))];
        run_time_ms(&engine, &probe, Parallelism { streams: 1, threads_per_stream: 1 }, &Device::Cpu).unwrap();
    }

    #[test]
    fn a_network_for_pictures_larger_than_any_is_refused_before_they_are_made() {
        for (items, side) in [(1, 1 << 20), (1, 1 << 31), (1, usize::MAX), (1_000_000, 224), (1 << 50, 224)] {
            let engine = FakeEngine::with_io("m", &[("x", &[Some(items), Some(3), Some(side), Some(side)])], 1, |_| Ok(Vec::new()));
            let parallelism = Parallelism { streams: 1, threads_per_stream: 1 };
            let message =
                run_time_ms(&engine, &[Probe::only(Shape::new(&[1, 3, 8, 8]))], parallelism, &Device::Cpu).unwrap_err().to_string();
            assert!(message.contains(&format!("input `x` of [{items}, 3, ")), "{message}");
        }
    }

    #[test]
    fn engines_that_answer_otherwise_are_told_from_those_that_round_otherwise() {
        let scaled = |by: f32| {
            FakeEngine::new("m", move |inputs| {
                let (shape, values) = &inputs[0];
                Ok((*shape, values.iter().map(|v| by * v).collect()))
            })
        };
        let answer = |by| Answer::of(&scaled(by), &Probe::only(Shape::new(&[1, 3, 48, 64]))).unwrap();
        answer(1.02).check(&answer(1.0)).unwrap();
        let message = answer(1.2).check(&answer(1.0)).unwrap_err().to_string();
        assert!(message.contains("model m: its outputs differ from those of fake by 2.0e-1 of the greatest"), "{message}");
    }

    /// Rows come in another order where scores are nearly equal.
    #[test]
    fn of_detectors_the_greatest_scores_are_compared() {
        let rows = |scores: &[f32]| {
            let rows: Vec<f32> = scores.iter().flat_map(|score| [0.0, *score, 1.0, 2.0, 3.0, 4.0 * score]).collect();
            let count = scores.len();
            let engine = FakeEngine::with_io("m", &[("x", &[None; 4])], 2, move |_| {
                let found = if count == 0 { fake::Output::f32(&[1], vec![-1.0]) } else { fake::Output::f32(&[count, 6], rows.clone()) };
                Ok(vec![found, fake::Output::i32(&[1], vec![count as i32])])
            });
            Answer::of(&engine, &Probe::only(Shape::new(&[1, 3, 8, 8]))).unwrap()
        };
        let reference = rows(&[0.9, 0.8, 0.8001]);
        rows(&[0.8, 0.9, 0.8001, 0.0001]).check(&reference).unwrap();
        rows(&[]).check(&reference).unwrap_err();
        rows(&[0.9, 0.8, 0.5]).check(&reference).unwrap_err();
        rows(&[]).check(&rows(&[])).unwrap();
    }
}

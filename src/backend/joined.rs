//! The two engines of a network that decodes step by step (see [`crate::onnx::surgery::decoder`]), as one engine: the encoder runs once, the
//! step until every sequence has ended. On a GPU inputs and outputs are in host memory all the same: what a step gives decides on the host
//! whether there is another.

use super::reference::{self, Feed};
use super::{Engine, EngineSpec, IoSpec, RunInfo, Session, TensorSpec, host};
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::onnx::surgery::decoder::Rules;
use crate::tensor::{DType, Data, Shape, TensorRef};
use crate::trace::Transfers;
use std::sync::Arc;

/// Greatest difference between the two parts and the whole in float32, relative to the greatest output: steps add up.
const SAME: f32 = 1e-4;

/// See the module's description.
pub struct Joined {
    encoder: Arc<dyn Engine>,
    step: Arc<dyn Engine>,
    rules: Arc<Rules>,
    spec: EngineSpec,
}

impl Joined {
    /// One engine of the two, which says of itself what `info` does.
    ///
    /// # Errors
    /// [`Error::Internal`] for two that do not go together by `rules`.
    pub fn new(encoder: Arc<dyn Engine>, step: Arc<dyn Engine>, rules: &Rules, info: RunInfo) -> Result<Self> {
        let (given, read, made) = (encoder.io().outputs.len(), step.io().inputs.len(), step.io().outputs.len());
        let expected = rules.outputs.len() + 1 + read.saturating_sub(rules.features);
        if given != read || made != expected {
            let what = format!("model {}: {given} values for the {read} of a step, which makes {made} of {expected}", info.model);
            return Err(Error::internal("step by step", what));
        }
        let output = |(name, made): (&(String, bool), &TensorSpec)| {
            let width = made.dims.last().copied().flatten();
            TensorSpec { name: name.0.clone(), dtype: DType::F32, dims: vec![None, None, width] }
        };
        let outputs = rules.outputs.iter().zip(&step.io().outputs).map(output).collect();
        let io = IoSpec { inputs: encoder.io().inputs.clone(), outputs };
        Ok(Self { encoder, step, rules: Arc::new(rules.clone()), spec: EngineSpec { io, info, output: OutputKind::Original } })
    }

    /// In words, how far what it makes of `feed` is from what the `whole` makes, where that is too far.
    ///
    /// # Errors
    /// What the libraries say.
    pub fn differs_from(&self, whole: &dyn Engine, feed: &Feed) -> Result<Option<String>> {
        let run = |engine: &dyn Engine| reference::outputs(engine, std::slice::from_ref(feed), |_, output| reference::elements(output));
        let difference = reference::difference(&run(whole)?, &run(self)?);
        Ok((difference > SAME).then(|| format!("cut at its Loop, its outputs differ by {difference:.1e} of the greatest of them")))
    }
}

impl Engine for Joined {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let (encoder, step, rules) = (self.encoder.session()?, self.step.session()?, self.rules.clone());
        let inputs = self.io().inputs.iter().map(|_| (Shape::new(&[0]), Vec::new())).collect();
        Ok(Box::new(Steps { encoder, step, rules, inputs, read: self.step.io().inputs.len(), outputs: Vec::new() }))
    }

    fn most_sessions(&self) -> usize {
        self.encoder.most_sessions().min(self.step.most_sessions())
    }

    fn refuses(&self, shapes: &[Shape]) -> Option<String> {
        self.encoder.refuses(shapes)
    }

    fn passed_on(&self, shapes: &[Shape]) {
        self.encoder.passed_on(shapes);
    }
}

/// Shape and elements.
type Tensor = (Shape, Vec<f32>);

/// What each step gives for an output: a row of every picture.
type Rows = Vec<Tensor>;

struct Steps {
    encoder: Box<dyn Session>,
    step: Box<dyn Session>,
    rules: Arc<Rules>,
    /// Inputs of an encoder on a GPU.
    inputs: Vec<Tensor>,
    /// Inputs of a step.
    read: usize,
    outputs: Vec<Tensor>,
}

impl Steps {
    /// The results of all steps, by output.
    fn rows(&mut self) -> Result<Vec<Rows>> {
        let Self { encoder, step, rules, read, .. } = self;
        let feed = |step: &mut dyn Session, index, (shape, elements): (Shape, &[f32])| {
            host::feed(step, index, shape, elements, &mut Transfers::default())
        };
        for (index, value) in host::outputs(&mut **encoder, *read, &mut Transfers::default())?.iter().enumerate() {
            feed(&mut **step, index, floats(value)?)?;
        }
        let mut rows: Vec<Rows> = vec![Vec::new(); rules.outputs.len()];
        let mut ended: Vec<bool> = Vec::new();
        for done in 1..=rules.most {
            step.run()?;
            // Results, the token, what the next step reads; the features stay where they are.
            let count = rules.outputs.len() + 1 + *read - rules.features;
            let found = host::outputs(&mut **step, count, &mut Transfers::default())?;
            let mut made = found.iter().map(floats);
            for (rows, row) in rows.iter_mut().zip(&mut made) {
                rows.push(owned(row?));
            }
            let Some((_, tokens)) = made.next().transpose()? else { return Err(Error::internal("step by step", "a step gives no token")) };
            ended.resize(tokens.len(), false);
            let seen_before = ended.iter().all(|ended| *ended);
            ended.iter_mut().zip(tokens).for_each(|(ended, token)| *ended |= *token as i64 == rules.end);
            if done == rules.most || if rules.late { seen_before } else { ended.iter().all(|ended| *ended) } {
                break;
            }
            let state = made.map(|value| value.map(owned)).collect::<Result<Vec<Tensor>>>()?;
            drop(found);
            for (index, (shape, elements)) in state.iter().enumerate() {
                feed(&mut **step, rules.features + index, (*shape, elements))?;
            }
        }
        Ok(rows)
    }
}

impl Session for Steps {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        if self.encoder.on_gpu().is_none() {
            return self.encoder.input(index, shape);
        }
        let count = self.inputs.len();
        let known = self.inputs.get_mut(index).ok_or_else(|| Error::internal("step by step", format!("input {index} of {count}")))?;
        known.0 = shape;
        known.1.resize(shape.elements(), 0.0);
        Ok(&mut known.1)
    }

    fn run(&mut self) -> Result<()> {
        if self.encoder.on_gpu().is_some() {
            for (index, (shape, values)) in self.inputs.iter().enumerate() {
                host::feed(&mut *self.encoder, index, *shape, values, &mut Transfers::default())?;
            }
        }
        self.encoder.run()?;
        let rows = self.rows()?;
        let of = |rows: &Rows, name: &str, softmax: bool| {
            let &[batch, width] = rows[0].0.dims() else {
                return Err(Error::internal("step by step", format!("output `{name}` is made of {}", rows[0].0)));
            };
            let count = (rows.len() + self.rules.more_rows).min(self.rules.most);
            let mut values = vec![0.0; batch * count * width];
            for (at, (_, row)) in rows.iter().enumerate() {
                for (item, row) in row.chunks_exact(width).enumerate() {
                    values[(item * count + at) * width..][..width].copy_from_slice(row);
                }
            }
            if softmax {
                values.chunks_exact_mut(width).for_each(normalise);
            }
            Ok((Shape::new(&[batch, count, width]), values))
        };
        self.outputs =
            rows.iter().zip(&self.rules.outputs).map(|(rows, (name, softmax))| of(rows, name, *softmax)).collect::<Result<_>>()?;
        Ok(())
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let (shape, values) =
            self.outputs.get(index).ok_or_else(|| Error::internal("step by step", format!("there is no output {index}")))?;
        TensorRef::f32(*shape, values)
    }
}

/// An output of a part, which is floats.
fn floats<'a>(output: &'a host::Output<'_>) -> Result<(Shape, &'a [f32])> {
    match output.tensor()? {
        TensorRef { shape, data: Data::F32(values) } => Ok((shape, values)),
        _ => Err(Error::internal("step by step", "an output of a part is no float")),
    }
}

fn owned((shape, values): (Shape, &[f32])) -> Tensor {
    (shape, values.to_vec())
}

/// Softmax.
fn normalise(row: &mut [f32]) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|v| *v = (*v - most).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|v| *v /= sum);
}

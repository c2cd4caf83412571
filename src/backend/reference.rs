//! Graphs in ONNX Runtime: what other engines are made of and compared with.

use super::tensorrt::ffi::{BuildOptions, Range};
use super::tensorrt::recipe;
use super::{Backend, Engine, LoadOptions, Onnx, Parallelism, host, sample};
use crate::error::{Error, Result};
use crate::onnx::Model;
use crate::onnx::proto::{ModelProto, TensorProto, tensor_proto::DataType};
use crate::tensor::{Data, Shape, TensorRef};
use crate::trace::Transfers;
use std::sync::Arc;

/// Elements of every input of a run.
pub type Feed = Vec<(String, Shape, Vec<f32>)>;

/// The ends of a range: least, usual, greatest.
pub const ENDS: [fn(&Range) -> &Vec<i64>; 3] = [|range| &range.min, |range| &range.opt, |range| &range.max];

/// What `read` makes of each output (name, tensor) of `model`, by run.
///
/// # Errors
/// What the library says.
pub fn run<T>(
    name: &str,
    model: &Model,
    reference: &dyn Backend,
    feeds: &[Feed],
    read: impl Fn(&str, TensorRef<'_>) -> T,
) -> Result<Vec<Vec<T>>> {
    outputs(&*load(name, model, reference)?, feeds, read)
}

/// `model` as it is.
///
/// # Errors
/// What the library says.
pub fn load(name: &str, model: &Model, reference: &dyn Backend) -> Result<Arc<dyn Engine>> {
    reference.load(&LoadOptions {
        onnx: Some(Onnx::Bytes(model.to_bytes().into())),
        rewrite: false,
        parallelism: Parallelism { streams: 1, threads_per_stream: crate::device::available_threads() },
        ..LoadOptions::new(name)
    })
}

/// What `read` makes of each output (name, tensor) of `engine`, by run.
///
/// # Errors
/// What the library says.
pub fn outputs<T>(engine: &dyn Engine, feeds: &[Feed], read: impl Fn(&str, TensorRef<'_>) -> T) -> Result<Vec<Vec<T>>> {
    let io = engine.io();
    let of = |feed: &Feed| {
        let mut session = engine.session()?;
        for (index, spec) in io.inputs.iter().enumerate() {
            let known = feed.iter().find(|(name, ..)| *name == spec.name);
            let (_, shape, values) = known.ok_or_else(|| Error::internal("reference", format!("no values for input `{}`", spec.name)))?;
            host::feed(&mut *session, index, *shape, values, &mut Transfers::default())?;
        }
        session.run()?;
        let found = host::outputs(&mut *session, io.outputs.len(), &mut Transfers::default())?;
        io.outputs.iter().zip(&found).map(|(spec, output)| Ok(read(&spec.name, output.tensor()?))).collect()
    };
    feeds.iter().map(of).collect()
}

/// An output: of whole numbers or not, and its elements.
pub type Output = (bool, Vec<f32>);

/// The elements of an output.
pub fn elements(tensor: TensorRef<'_>) -> Output {
    match tensor.data {
        Data::F32(values) => (false, values.to_vec()),
        Data::I32(values) => (true, values.iter().map(|v| *v as f32).collect()),
        Data::I64(values) => (true, values.iter().map(|v| *v as f32).collect()),
    }
}

/// Greatest scores of a detector that are compared: which of nearly equal rows comes first differs between engines.
const SCORES: usize = 50;

/// Whether `rows` are those of a detector: the number of them stands behind them, or they look like it.
fn of_detector(dims: &[usize], rows: &[f32], others: &[(Shape, Output)]) -> bool {
    let is_counted = matches!(others, [(_, (true, _)), ..]);
    match dims {
        [_, 6] => is_counted || are_boxes(rows),
        _ => is_counted && rows.len() == 1,
    }
}

/// Whether rows of six numbers can be class, score and sides in pixels, and not probabilities.
pub fn are_boxes(rows: &[f32]) -> bool {
    let rows = rows.as_chunks::<6>().0;
    let is_box = |[class, _, x1, y1, x2, y2]: &[f32; 6]| class.fract() == 0.0 && x1 <= x2 && y1 <= y2;
    rows.iter().all(is_box) && rows.iter().any(|row| row[2..].iter().any(|side| *side > 1.0))
}

/// What `engine` makes of each of `feeds`, to be compared with what another makes of them: its outputs; of a detector's rows the
/// greatest scores.
///
/// # Errors
/// What the library says.
pub fn answers(engine: &dyn Engine, feeds: &[Feed]) -> Result<Vec<Vec<Output>>> {
    let read = |_: &str, tensor: TensorRef<'_>| (tensor.shape, elements(tensor));
    let mut answers = Vec::with_capacity(feeds.len());
    for outputs in outputs(engine, feeds, read)? {
        let scores = match &outputs[..] {
            // Where nothing is found some graphs answer with a single number.
            [(shape, (false, rows)), others @ ..] if of_detector(shape.dims(), rows, others) => {
                let mut scores: Vec<f32> = rows.iter().skip(1).step_by(6).copied().collect();
                scores.sort_by(|a, b| b.total_cmp(a));
                scores.resize(SCORES, 0.0);
                Some(vec![(false, scores)])
            }
            _ => None,
        };
        answers.push(scores.unwrap_or_else(|| outputs.into_iter().map(|(_, output)| output).collect()));
    }
    Ok(answers)
}

/// How far `found` is from `expected`, over all runs: the greatest difference of an output, as a part of its greatest absolute value; of
/// whole numbers the part that differs.
pub fn difference(expected: &[Vec<Output>], found: &[Vec<Output>]) -> f32 {
    let outputs = expected.first().map_or(0, Vec::len);
    if expected.iter().chain(found).any(|run| run.len() != outputs) {
        return f32::INFINITY;
    }
    let of_output = |index: usize| {
        let (mut worst, mut greatest, mut unlike, mut count) = (0.0_f32, f32::MIN_POSITIVE, 0, 0);
        for (a, b) in expected.iter().zip(found) {
            let (a, b) = (&a[index].1, &b[index].1);
            if a.len() != b.len() || b.iter().any(|v| !v.is_finite()) {
                return f32::INFINITY;
            }
            worst = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(worst, f32::max);
            greatest = a.iter().map(|v| v.abs()).fold(greatest, f32::max);
            unlike += a.iter().zip(b).filter(|(a, b)| a != b).count();
            count += a.len();
        }
        if expected[0][index].0 { unlike as f32 / count.max(1) as f32 } else { worst / greatest }
    };
    (0..outputs).map(of_output).fold(0.0, f32::max)
}

/// Numbers of items for which a value has to be the same to count as one that does not depend on it.
const ITEMS: [i64; 5] = [1, 2, 3, 8, 33];

/// Every output of `model` for each of some numbers of items, as constants, by run; no runs of a graph that is free in more than
/// the number of items.
///
/// # Errors
/// What the library says.
pub fn outputs_by_batch(name: &str, model: &ModelProto, reference: &dyn Backend) -> Result<Vec<Vec<TensorProto>>> {
    let model = Model::from_proto(model.clone(), name);
    let inputs = recipe::inputs(&model);
    if inputs.iter().flat_map(|input| input.dims.iter().skip(1)).any(Option::is_none) {
        return Ok(Vec::new());
    }
    let mut feeds: Vec<Feed> = Vec::new();
    for items in ITEMS {
        let feed = zeros_of(&inputs, |input| input.dims.iter().map(|d| d.unwrap_or(items).max(1) as usize).collect())?;
        if !feeds.contains(&feed) {
            feeds.push(feed);
        }
    }
    run(name, &model, reference, &feeds, constant)
}

/// Every output of `model` at the least, usual and greatest shapes of each profile of `options`, as constants, by run.
///
/// # Errors
/// What the library says.
pub fn outputs_by_shape(name: &str, model: &ModelProto, options: &BuildOptions, reference: &dyn Backend) -> Result<Vec<Vec<TensorProto>>> {
    let model = Model::from_proto(model.clone(), name);
    let mut feeds: Vec<Feed> = Vec::new();
    for profile in 0..options.profiles.len().max(1) {
        for end in ENDS {
            let feed = zeros(&model, options, profile, end)?;
            if !feeds.contains(&feed) {
                feeds.push(feed);
            }
        }
    }
    run(name, &model, reference, &feeds, constant)
}

/// Zeros for every input at one end of its range in a profile.
///
/// # Errors
/// [`Error::Config`] for shapes of more dimensions than tensors have here.
pub fn zeros(model: &Model, options: &BuildOptions, profile: usize, end: impl Fn(&Range) -> &Vec<i64>) -> Result<Feed> {
    zeros_of(&recipe::inputs(model), |input| dims(input, options, profile, &end))
}

fn zeros_of(inputs: &[recipe::Input], dims: impl Fn(&recipe::Input) -> Vec<usize>) -> Result<Feed> {
    let one = |input: &recipe::Input| {
        let shape = Shape::try_from_slice(&dims(input))?;
        Ok((input.name.clone(), shape, vec![0.0; shape.elements()]))
    };
    inputs.iter().map(one).collect()
}

/// What an input shows.
#[derive(Clone, Copy, PartialEq)]
enum Show {
    Noise,
    /// Nothing but the greatest value of pictures.
    White,
    /// Print on it, see [`sample::print`].
    Strokes,
}

/// Inputs of each kind, of the usual shapes of `options`. Pairs of numbers are the sizes and scales of detectors.
///
/// # Errors
/// [`Error::Config`] for shapes of more dimensions than tensors have here.
pub fn feeds(inputs: &[recipe::Input], options: &BuildOptions) -> Result<Vec<Feed>> {
    let usual = |input: &recipe::Input| dims(input, options, 0, |range| &range.opt);
    let picture = inputs.iter().map(usual).find(|dims| dims.len() == 4);
    let one = |show: Show| {
        let mut next = sample::noise();
        let fill = |input: &recipe::Input| {
            let shape = Shape::try_from_slice(&usual(input))?;
            let values = match (shape.dims(), &picture) {
                ([_, 2], Some(picture)) if input.name.contains("im_shape") => {
                    [picture[2] as f32, picture[3] as f32].repeat(shape.dims()[0])
                }
                ([_, 2], Some(_)) => vec![1.0; shape.elements()],
                _ if show == Show::Noise => (0..shape.elements()).map(|_| next()).collect(),
                (&[_, _, height, width], _) if show == Show::Strokes => {
                    (0..shape.elements()).map(|at| sample::print(at, height, width)).collect()
                }
                _ => vec![1.0; shape.elements()],
            };
            Ok((input.name.clone(), shape, values))
        };
        inputs.iter().map(fill).collect::<Result<Vec<_>>>()
    };
    [Show::Noise, Show::White, Show::Strokes].into_iter().map(one).collect()
}

/// Dimensions of an input at one end of its range in a profile; those that the graph fixes where there is no range.
pub fn dims(input: &recipe::Input, options: &BuildOptions, profile: usize, end: impl Fn(&Range) -> &Vec<i64>) -> Vec<usize> {
    let range = options.profiles.get(profile).and_then(|profile| profile.iter().find(|range| range.input == input.name));
    let fixed = || input.dims.iter().map(|d| d.unwrap_or(1)).collect();
    range.map_or_else(fixed, |range| end(range).clone()).into_iter().map(|d| d.max(1) as usize).collect()
}

fn constant(name: &str, tensor: TensorRef<'_>) -> TensorProto {
    let (dtype, raw): (DataType, Vec<u8>) = match tensor.data {
        Data::F32(values) => (DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::I32(values) => (DataType::Int32, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        Data::I64(values) => (DataType::Int64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
    };
    TensorProto {
        name: Some(name.to_owned()),
        dims: tensor.shape.dims().iter().map(|d| *d as i64).collect(),
        data_type: Some(dtype as i32),
        raw_data: Some(raw),
        ..Default::default()
    }
}

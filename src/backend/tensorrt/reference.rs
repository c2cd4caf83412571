//! Graphs in ONNX Runtime on the processor, before an engine is built of them.

use super::ffi::{BuildOptions, Range};
use super::recipe;
use crate::backend::{Backend, LoadOptions, NetworkKind, Onnx, Parallelism, Precision};
use crate::error::{Error, Result};
use crate::onnx::proto::{ModelProto, TensorProto, tensor_proto::DataType};
use crate::onnx::{Cut, Model};
use crate::tensor::{Data, Shape, TensorRef};

/// Elements of every input of a run.
pub type Feed = Vec<(String, Shape, Vec<f32>)>;

/// What `read` makes of each output (name, tensor), by run.
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
    let options = LoadOptions {
        model: name.to_owned(),
        kind: NetworkKind::default(),
        onnx: Some(Onnx::Bytes(model.to_bytes().into())),
        paddle: None,
        model_sha256: String::new(),
        rewrite: false,
        precision: Precision::Float32,
        parallelism: Parallelism { streams: 1, threads_per_stream: crate::device::available_threads() },
        cut: Cut::Nothing,
        shapes: Default::default(),
        cache_dir: None,
    };
    let engine = reference.load(&options)?;
    let io = engine.io();
    let outputs = |feed: &Feed| {
        let mut session = engine.session()?;
        for (index, spec) in io.inputs.iter().enumerate() {
            let known = feed.iter().find(|(name, ..)| *name == spec.name);
            let (_, shape, values) = known.ok_or_else(|| Error::internal("reference", format!("no values for input `{}`", spec.name)))?;
            session.input(index, *shape)?.copy_from_slice(values);
        }
        session.run()?;
        io.outputs.iter().enumerate().map(|(index, spec)| Ok(read(&spec.name, session.output(index)?))).collect()
    };
    feeds.iter().map(outputs).collect()
}

/// Every output of `model` at the least, usual and greatest shapes of each profile of `options`, as constants, by run.
///
/// # Errors
/// What the library says.
pub fn outputs_by_shape(name: &str, model: &ModelProto, options: &BuildOptions, reference: &dyn Backend) -> Result<Vec<Vec<TensorProto>>> {
    let model = Model::from_proto(model.clone(), name);
    let inputs = recipe::inputs(&model);
    let ends: [fn(&Range) -> &Vec<i64>; 3] = [|range| &range.min, |range| &range.opt, |range| &range.max];
    let mut feeds: Vec<Feed> = Vec::new();
    for profile in 0..options.profiles.len().max(1) {
        for end in ends {
            let feed = |input: &recipe::Input| {
                let shape = Shape::try_from_slice(&dims(input, options, profile, end))?;
                Ok((input.name.clone(), shape, vec![0.0; shape.elements()]))
            };
            let feed = inputs.iter().map(feed).collect::<Result<Feed>>()?;
            if !feeds.contains(&feed) {
                feeds.push(feed);
            }
        }
    }
    run(name, &model, reference, &feeds, constant)
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

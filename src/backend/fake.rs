//! Test double: an engine whose network is a function. It exists so that modules and pipelines can be
//! tested without a library, with outputs known in advance.

use super::{BackendName, Engine, EngineSpec, IoSpec, RunInfo, Session, TensorSpec};
use crate::error::{Error, Result};
use crate::onnx::OutputKind;
use crate::tensor::{DType, Data, Shape, TensorRef};
use std::sync::Arc;

/// Shape and elements of one input of a run.
pub type Input = (Shape, Vec<f32>);

/// One output of a run.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its dimensions.
    pub shape: Shape,
    /// Its elements.
    pub data: Values,
}

/// Owned elements of an output.
#[derive(Clone, Debug)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 32-bit integers.
    I32(Vec<i32>),
    /// 64-bit integers.
    I64(Vec<i64>),
}

impl Output {
    /// A float output.
    pub fn f32(dims: &[usize], data: Vec<f32>) -> Self {
        Self { shape: Shape::new(dims), data: Values::F32(data) }
    }

    /// An output of 32-bit integers.
    pub fn i32(dims: &[usize], data: Vec<i32>) -> Self {
        Self { shape: Shape::new(dims), data: Values::I32(data) }
    }

    /// An output of 64-bit integers.
    pub fn i64(dims: &[usize], data: Vec<i64>) -> Self {
        Self { shape: Shape::new(dims), data: Values::I64(data) }
    }
}

/// Outputs for the inputs of a run, in graph order.
pub type Network = dyn Fn(&[Input]) -> Result<Vec<Output>> + Send + Sync;

/// An engine that calls `network`.
pub struct FakeEngine {
    network: Arc<Network>,
    spec: EngineSpec,
}

impl FakeEngine {
    /// An engine for `model` with one float input and one float output of any four dimensions.
    pub fn new(model: &str, network: impl Fn(&[Input]) -> Result<(Shape, Vec<f32>)> + Send + Sync + 'static) -> Self {
        let one = move |inputs: &[Input]| network(inputs).map(|(shape, data)| vec![Output { shape, data: Values::F32(data) }]);
        Self::with_io(model, &[("x", &[None; 4])], 1, one)
    }

    /// An engine for `model` with these inputs and so many outputs, of whose shapes nothing is known beforehand.
    pub fn with_io(
        model: &str,
        inputs: &[(&str, &[Option<usize>])],
        outputs: usize,
        network: impl Fn(&[Input]) -> Result<Vec<Output>> + Send + Sync + 'static,
    ) -> Self {
        let spec = |(name, dims): &(&str, &[Option<usize>])| TensorSpec { name: (*name).into(), dtype: DType::F32, dims: dims.to_vec() };
        let info = RunInfo::new(model, BackendName::Fake, "0", "cpu");
        let output = |index: usize| TensorSpec { name: format!("y{index}"), dtype: DType::F32, dims: Vec::new() };
        let io = IoSpec { inputs: inputs.iter().map(spec).collect(), outputs: (0..outputs).map(output).collect() };
        Self { network: Arc::new(network), spec: EngineSpec { io, info, output: OutputKind::Original } }
    }
}

impl FakeEngine {
    /// Says of output `index` what its dimensions are before a run.
    pub fn declare_output(&mut self, index: usize, dims: &[Option<usize>]) {
        self.spec.io.outputs[index].dims = dims.to_vec();
    }
}

impl Engine for FakeEngine {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let empty = self.spec.io.inputs.iter().map(|_| (Shape::new(&[0]), Vec::new())).collect();
        Ok(Box::new(FakeSession { network: self.network.clone(), inputs: empty, outputs: Vec::new() }))
    }
}

struct FakeSession {
    network: Arc<Network>,
    inputs: Vec<Input>,
    outputs: Vec<Output>,
}

impl Session for FakeSession {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        let count = self.inputs.len();
        let input = self.inputs.get_mut(index).ok_or_else(|| Error::internal("fake input", format!("input {index} of {count}")))?;
        *input = (shape, vec![f32::NAN; shape.elements()]); // what is not written shows
        Ok(&mut input.1)
    }

    fn run(&mut self) -> Result<()> {
        self.outputs = (self.network)(&self.inputs)?;
        Ok(())
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        let count = self.outputs.len();
        let output = self.outputs.get(index).ok_or_else(|| Error::internal("fake output", format!("output {index} of {count}")))?;
        let data = match &output.data {
            Values::F32(data) => Data::F32(data),
            Values::I32(data) => Data::I32(data),
            Values::I64(data) => Data::I64(data),
        };
        Ok(TensorRef { shape: output.shape, data })
    }
}

//! Test double: an engine whose network is a function. It exists so that modules and pipelines can be
//! tested without a library, with outputs known in advance.

use super::{BackendName, Engine, IoSpec, Precision, RunInfo, Session, TensorSpec};
use crate::error::{Error, Result};
use crate::tensor::{DType, Data, Shape, TensorRef};
use std::sync::Arc;

/// Output shape and elements for the inputs of a run.
pub type Network = dyn Fn(&[(Shape, Vec<f32>)]) -> Result<(Shape, Vec<f32>)> + Send + Sync;

/// An engine with one float input and one float output that calls `network`.
pub struct FakeEngine {
    network: Arc<Network>,
    io: IoSpec,
    info: RunInfo,
}

impl FakeEngine {
    /// An engine for `model` that computes `network`.
    pub fn new(model: &str, network: impl Fn(&[(Shape, Vec<f32>)]) -> Result<(Shape, Vec<f32>)> + Send + Sync + 'static) -> Self {
        let spec = |name: &str| TensorSpec { name: name.into(), dtype: DType::F32, dims: vec![None; 4] };
        let info = RunInfo {
            model: model.into(),
            backend: BackendName::Fake,
            version: "0".into(),
            device: "cpu".into(),
            precision: Precision::Float32,
        };
        Self { network: Arc::new(network), io: IoSpec { inputs: vec![spec("x")], outputs: vec![spec("y")] }, info }
    }
}

impl Engine for FakeEngine {
    fn io(&self) -> &IoSpec {
        &self.io
    }

    fn info(&self) -> &RunInfo {
        &self.info
    }

    fn logits(&self) -> bool {
        false
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let empty = (Shape::new(&[0]), Vec::new());
        Ok(Box::new(FakeSession { network: self.network.clone(), inputs: vec![empty.clone()], output: empty }))
    }
}

struct FakeSession {
    network: Arc<Network>,
    inputs: Vec<(Shape, Vec<f32>)>,
    output: (Shape, Vec<f32>),
}

impl Session for FakeSession {
    fn input(&mut self, index: usize, shape: Shape) -> Result<&mut [f32]> {
        let input = self.inputs.get_mut(index).ok_or_else(|| Error::internal("fake input", format!("input {index} of 1")))?;
        *input = (shape, vec![f32::NAN; shape.elements()]); // what is not written shows
        Ok(&mut input.1)
    }

    fn run(&mut self) -> Result<()> {
        self.output = (self.network)(&self.inputs)?;
        Ok(())
    }

    fn output(&self, index: usize) -> Result<TensorRef<'_>> {
        match index {
            0 => Ok(TensorRef { shape: self.output.0, data: Data::F32(&self.output.1) }),
            _ => Err(Error::internal("fake output", format!("output {index} of 1"))),
        }
    }
}

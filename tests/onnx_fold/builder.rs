//! Graphs under construction, and what ONNX Runtime makes of them.

use crate::random::Random;
use hpinfer::cache::Cache;
use hpinfer::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use hpinfer::onnx::{Counts, Model, Target, fold::fold};
use hpinfer::runtime::{self, Library};
use ort::environment::Environment;
use ort::session::{Session, builder::GraphOptimizationLevel};
use ort::value::Tensor;
use std::path::Path;
use std::sync::OnceLock;

/// Greatest difference allowed, relative to the greatest reference value: float32 sums in another order.
const TOLERANCE: f32 = 1e-5;

/// A graph under construction with one float input `x` and one output `y`.
pub struct Builder {
    pub graph: GraphProto,
    random: Random,
    input: Vec<i64>,
    pub opset: i64,
}

pub fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |d: &i64| Dimension { value: Some(dimension::Value::DimValue(*d)), ..Default::default() };
    let free = |i: usize| Dimension { value: Some(dimension::Value::DimParam(format!("{name}_{i}"))), ..Default::default() };
    let dim = dims.iter().enumerate().map(|(i, d)| if *d < 0 { free(i) } else { dim(d) }).collect();
    let shape = Some(TensorShapeProto { dim });
    let tensor = type_proto::Tensor { elem_type: Some(DataType::Float as i32), shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() });
    ValueInfoProto { name: Some(name.into()), r#type, ..Default::default() }
}

impl Builder {
    /// `input`: dimensions of `x`; `output_rank`: of `y`, all free.
    pub fn new(test: &str, input: &[i64], output_rank: usize) -> Self {
        let outputs = vec![value("y", &vec![-1; output_rank])];
        let graph = GraphProto { name: Some(test.into()), input: vec![value("x", input)], output: outputs, ..Default::default() };
        Self { graph, random: Random::fresh(test), input: input.to_vec(), opset: 13 }
    }

    pub fn weight(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        let values = (0..dims.iter().product::<i64>()).map(|_| self.random.uniform(-1.0, 1.0)).collect();
        self.tensor(name, dims, values)
    }

    pub fn positive(&mut self, name: &str, dims: &[i64]) -> &mut Self {
        let values = (0..dims.iter().product::<i64>()).map(|_| self.random.uniform(0.5, 2.0)).collect();
        self.tensor(name, dims, values)
    }

    pub fn tensor(&mut self, name: &str, dims: &[i64], values: Vec<f32>) -> &mut Self {
        self.graph.initializer.push(TensorProto {
            name: Some(name.into()),
            dims: dims.to_vec(),
            data_type: Some(DataType::Float as i32),
            float_data: values,
            ..Default::default()
        });
        self
    }

    pub fn integers(&mut self, name: &str, values: &[i64]) -> &mut Self {
        let (dims, data_type) = (vec![values.len() as i64], Some(DataType::Int64 as i32));
        let tensor = TensorProto { name: Some(name.into()), dims, data_type, int64_data: values.to_vec(), ..Default::default() };
        self.graph.initializer.push(tensor);
        self
    }

    /// A node given as `"Op a,b"`, its output, and integer attributes; one number makes an `INT`, `[n]` is an `INTS` of one.
    pub fn node(&mut self, call: &str, output: &str, attributes: &[(&str, &[i64])]) -> &mut Self {
        let (kind, inputs) = call.split_once(' ').expect("an operator and its inputs");
        let attribute = attributes.iter().map(|(name, values)| {
            let single = matches!(*name, "group" | "axis" | "keepdims");
            let kind = if single { AttributeType::Int } else { AttributeType::Ints };
            AttributeProto {
                name: Some((*name).into()),
                r#type: Some(kind as i32),
                i: single.then(|| values[0]),
                ints: if single { Vec::new() } else { values.to_vec() },
                ..Default::default()
            }
        });
        self.graph.node.push(NodeProto {
            op_type: Some(kind.into()),
            input: inputs.split(',').map(str::to_owned).collect(),
            output: vec![output.into()],
            attribute: attribute.collect(),
            ..Default::default()
        });
        self
    }

    pub fn model(&self) -> ModelProto {
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(self.opset) }],
            graph: Some(self.graph.clone()),
            ..Default::default()
        }
    }

    /// Folds, compares the counts and the operators left with what is expected, and the results with the original's.
    pub fn expect(&mut self, counts: Counts, operators: &str) {
        let original = self.model();
        let mut folded = original.clone();
        assert_eq!(fold(&mut folded, Target::OnnxRuntime), counts);
        assert_eq!(operators_of(&folded), operators);
        let (reference, result) = (self.run(&original, true), self.run(&folded, false));
        let scale = reference.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        let worst = reference.iter().zip(&result).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(scale > 0.0 && reference.len() == result.len());
        assert!(worst <= TOLERANCE * scale, "differs by {worst} of {scale}");
    }

    pub fn run(&mut self, model: &ModelProto, plain: bool) -> Vec<f32> {
        self.try_run(model, plain).expect("a run")
    }

    pub fn try_run(&mut self, model: &ModelProto, plain: bool) -> ort::Result<Vec<f32>> {
        let environment = onnxruntime();
        let dims: Vec<i64> = self.input.iter().map(|d| if *d < 0 { 7 } else { *d }).collect();
        let mut random = Random::new(1);
        let x: Vec<f32> = (0..dims.iter().product::<i64>()).map(|_| random.uniform(-4.0, 4.0)).collect();
        let level = if plain { GraphOptimizationLevel::Disable } else { GraphOptimizationLevel::All };
        let bytes = Model::from_proto(model.clone(), "test").to_bytes();
        let builder = Session::builder(environment).expect("session options").with_optimization_level(level).expect("level");
        let mut session = builder.with_intra_threads(1).expect("threads").commit_from_memory(&bytes)?;
        let outputs = session.run(ort::inputs!["x" => Tensor::from_array((dims, x)).expect("tensor")])?;
        Ok(outputs[0].try_extract_tensor::<f32>().expect("floats").1.to_vec())
    }
}

/// Operators in graph order.
pub fn operators_of(model: &ModelProto) -> String {
    let nodes = &model.graph.as_ref().expect("a graph").node;
    nodes.iter().map(|n| n.op_type()).collect::<Vec<_>>().join(" ")
}

/// The ONNX Runtime this program runs on, installed into the tests' cache when this machine has none.
fn onnxruntime() -> &'static Environment {
    static OPENED: OnceLock<Environment> = OnceLock::new();
    OPENED.get_or_init(|| {
        let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
        let found = runtime::ensure(Library::OnnxRuntime, &cache, None).expect("an ONNX Runtime");
        ort::init_from(found.path).expect("a loadable ONNX Runtime").build().expect("an environment")
    })
}

pub const SAME: (&str, &[i64]) = ("pads", &[1, 1, 1, 1]);

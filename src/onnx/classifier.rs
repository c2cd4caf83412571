//! The dense layer that ends a recogniser, taken out of its graph: thousands of classes for every step make it the largest
//! tensor of the network, of which the decoder wants one number in a thousand. Outside of the engine, the scores of a few
//! steps at a time stay in the processor's cache until they are looked through.

use super::Model;
use super::graph::{is_standard, new_node};
use super::proto::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto, tensor_shape_proto, type_proto};
use super::softmax_tail::end_with;
use super::surgery::output;
use super::tensor::{float_tensor, floats};
use crate::error::{Error, Result};
use std::fmt;
use std::path::Path;

/// `logits = features x weights + bias`.
#[derive(Clone, PartialEq)]
pub struct Classifier {
    /// `features` rows of `classes` values.
    pub weights: Vec<f32>,
    /// One value per class.
    pub bias: Vec<f32>,
}

impl fmt::Debug for Classifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Classifier({} features, {} classes)", self.features(), self.classes())
    }
}

impl Classifier {
    /// Values per step that go in.
    pub fn features(&self) -> usize {
        self.weights.len() / self.classes().max(1)
    }

    /// Values per step that come out.
    pub fn classes(&self) -> usize {
        self.bias.len()
    }

    /// The layer as an ONNX model of its own, to be kept beside the graph it was cut from.
    pub fn to_bytes(&self) -> Vec<u8> {
        let node = |op: &str, inputs: [&str; 2], output: &str| new_node(op, &inputs, output, Vec::new());
        let graph = GraphProto {
            name: Some("classifier".into()),
            node: vec![node("MatMul", ["features", "weights"], "product"), node("Add", ["product", "bias"], "logits")],
            initializer: vec![
                float_tensor("weights", &[self.features() as i64, self.classes() as i64], &self.weights),
                float_tensor("bias", &[self.classes() as i64], &self.bias),
            ],
            output: vec![output("logits")],
            ..GraphProto::default()
        };
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(13) };
        let proto = ModelProto { ir_version: Some(8), opset_import: vec![opset], graph: Some(graph), ..ModelProto::default() };
        Model::from_proto(proto, "classifier").to_bytes()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Input`] when it holds something else.
    pub fn read(path: &Path) -> Result<Self> {
        let found = Model::read(path)?.proto.graph.as_ref().and_then(Ending::find).map(|ending| ending.classifier);
        found.ok_or_else(|| Error::input(path.display().to_string(), "not a classifier; remove the file and it is made anew"))
    }
}

/// A classifier where it stands in a graph.
struct Ending {
    classifier: Classifier,
    features: String,
    product: usize,
    sum: usize,
}

impl Ending {
    /// The classifier whose sum is the only output of `graph`.
    fn find(graph: &GraphProto) -> Option<Self> {
        let [output] = graph.output.as_slice() else { return None };
        // One that is an input too may be given another value.
        let given = |name: &str| graph.input.iter().any(|input| input.name() == name);
        let constant = |name: &String| graph.initializer.iter().find(|t| t.name() == name && !given(name));
        let with_constant = |value: &str, op: &str| {
            let at = graph.node.iter().position(|n| n.output.iter().any(|o| o == value))?;
            let node = graph.node.get(at).filter(|n| n.op_type() == op && is_standard(n.domain()))?;
            let [a, b] = node.input.as_slice() else { return None };
            match (constant(a), constant(b)) {
                (None, Some(t)) => Some((at, a, t)),
                (Some(t), None) if op == "Add" => Some((at, b, t)),
                _ => None,
            }
        };
        let (sum, product, bias) = with_constant(output.name(), "Add")?;
        let (product, features, weights) = with_constant(product, "MatMul").filter(|_| readers(graph, product) == 1)?;
        let matrix = |t: &TensorProto| <[i64; 2]>::try_from(t.dims.as_slice()).ok();
        let [_, classes] = matrix(weights)?;
        let classifier = Classifier { weights: floats(weights)?, bias: floats(bias)? };
        (bias.dims == [classes]).then(|| Self { classifier, features: features.clone(), product, sum })
    }
}

fn readers(graph: &GraphProto, value: &str) -> usize {
    graph.node.iter().flat_map(|n| &n.input).filter(|i| *i == value).count()
}

/// Cuts the classifier off that makes the only output of the graph, if there is one; the output keeps its name and type
/// and holds the features afterwards.
pub fn cut(model: &mut ModelProto) -> Option<Classifier> {
    let graph = model.graph.as_mut()?;
    let Ending { classifier, features, product, sum } = Ending::find(graph)?;
    let name = graph.output.first()?.name().to_owned();
    end_with(graph, sum, &features, &name)?;
    graph.node.remove(product - usize::from(sum < product));
    let output = graph.output.first_mut()?;
    if let Some(type_proto::Value::TensorType(t)) = output.r#type.as_mut().and_then(|t| t.value.as_mut())
        && let Some(last) = t.shape.as_mut().and_then(|shape| shape.dim.last_mut())
    {
        last.value = Some(tensor_shape_proto::dimension::Value::DimValue(classifier.features() as i64));
    }
    let (nodes, inputs) = (&graph.node, &graph.input);
    // An input without a value would have to be given one.
    let is_input = |t: &TensorProto| inputs.iter().any(|input| input.name() == t.name());
    let in_use = |t: &TensorProto| nodes.iter().any(|n| n.input.iter().any(|i| i == t.name()));
    graph.initializer.retain(|t| in_use(t) || is_input(t));
    Some(classifier)
}

//! ONNX graphs: reading, checking, rewriting. A rewrite changes the form of a graph, never what it computes
//! (beyond float32 rounding); it is chosen by what stands in the graph, never by the name of a node or a model.
//!
//! [`Model::prepare`] gives the form that an engine runs fastest, and may drop the last Softmax of a recogniser, whose decoder
//! needs it at a few steps only. It is a pure function of the file: cache the product by the file's content hash,
//! [`REWRITE_VERSION`] and the arguments.

pub mod classifier;
mod complete;
pub mod fold;
mod graph;
pub mod half;
pub mod mend;
pub mod proto;
mod rewrite;
pub mod sample;
pub mod softmax_tail;
pub mod surgery;
mod tensor;

pub use classifier::Classifier;
pub use fold::{Counts, Target};
pub(crate) use tensor::stated_dims;

use crate::error::{Error, Result};
use prost::Message;
use proto::ModelProto;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Part of every cache key of a rewritten graph: grows whenever a rewrite gives another graph than before.
pub const REWRITE_VERSION: u32 = 11;

/// How much of the end of a graph may be left to what follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Nothing: outputs are those of the original graph.
    #[default]
    Nothing,
    /// A last Softmax.
    Softmax,
    /// That, and the dense layer before it.
    Classifier,
    /// The suppression of overlapping boxes, and the resize of masks: see [`Surgery::NmsTail`](surgery::Surgery::NmsTail) and
    /// [`Surgery::MaskResize`](surgery::Surgery::MaskResize).
    Detections,
}

/// What the only output of a rewritten classifier holds along its last axis.
#[derive(Clone, Debug, PartialEq)]
pub enum OutputKind {
    /// What the original graph gives, such as probabilities.
    Original,
    /// The arguments of the Softmax that was taken away: a softmax over the last axis restores the original.
    Logits,
    /// The input of the dense layer that was taken away: this gives the logits.
    Features(Arc<Classifier>),
}

/// What was done to a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// How often each rewrite applied.
    pub counts: Counts,
    /// What the output holds now.
    pub output: OutputKind,
}

/// An ONNX model in memory, with the path it came from for messages.
#[derive(Clone, Debug)]
pub struct Model {
    /// The decoded file. Fields unknown to [`proto`] were dropped while reading.
    pub proto: ModelProto,
    origin: PathBuf,
}

impl Model {
    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Input`] when it is not an ONNX model.
    pub fn read(path: &Path) -> Result<Self> {
        Self::decode(&std::fs::read(path).map_err(Error::io("read", path))?, path)
    }

    /// Reads the bytes of a model file; `origin` names it in messages.
    ///
    /// # Errors
    /// [`Error::Input`] when they are not an ONNX model.
    pub fn decode(bytes: &[u8], origin: impl Into<PathBuf>) -> Result<Self> {
        let origin = origin.into();
        let refuse = |reason: String| Error::input(origin.display().to_string(), reason);
        let proto = ModelProto::decode(bytes).map_err(|e| refuse(format!("not an ONNX model: {e}")))?;
        if proto.graph.is_none() || proto.opset_import.is_empty() {
            return Err(refuse("not an ONNX model: it has no graph or names no operator set".into()));
        }
        Ok(Self { proto, origin })
    }

    /// A model built in memory; `origin` names it in messages.
    pub fn from_proto(proto: ModelProto, origin: impl Into<PathBuf>) -> Self {
        Self { proto, origin: origin.into() }
    }

    /// The value of a metadata entry, such as PaddleOCR's `character`.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.proto.metadata_props.iter().find(|p| p.key() == key).map(|p| p.value())
    }

    /// Names of the inputs, without weights, and of the outputs.
    pub fn io(&self) -> (Vec<String>, Vec<String>) {
        let Some(graph) = &self.proto.graph else { return Default::default() };
        let weights: std::collections::HashSet<&str> = graph.initializer.iter().map(|t| t.name()).collect();
        let inputs = graph.input.iter().map(|v| v.name()).filter(|name| !weights.contains(name));
        (inputs.map(str::to_owned).collect(), graph.output.iter().map(|v| v.name().to_owned()).collect())
    }

    /// The model in file form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.proto.encode_to_vec()
    }

    /// Refuses a graph in which something reads a tensor that is not there.
    ///
    /// # Errors
    /// [`Error::Input`] that names the file, the tensor and what reads it.
    pub fn require_tensors(&self) -> Result<()> {
        let Some((tensor, node)) = self.proto.graph.as_ref().and_then(complete::lacking) else { return Ok(()) };
        let reader = node.map_or_else(|| "is an output".into(), |node| format!("node `{}` ({}) reads", node.name(), node.op_type()));
        let reason = format!("the graph has no tensor `{tensor}`, which {reader}; export the model again, or copy the whole file");
        Err(Error::input(self.origin.display().to_string(), reason))
    }

    /// Refuses weights in separate files: their paths are relative to the original, and they cannot be folded.
    ///
    /// # Errors
    /// [`Error::Input`] with the first of them.
    pub(crate) fn refuse_external_weights(&self) -> Result<()> {
        match self.proto.graph.as_ref().and_then(external_weight) {
            Some(t) => Err(Error::input(
                self.origin.display().to_string(),
                format!("weight `{}` is in a separate file; only models that are one file can be rewritten", t.name()),
            )),
            None => Ok(()),
        }
    }

    /// Whether some of its numbers are rounded by the range of all numbers of a run: INT8 as it comes of quantisation without calibration.
    pub(crate) fn is_quantised_by_run(&self) -> bool {
        fn quantised(nodes: &[proto::NodeProto]) -> bool {
            let is = |node: &proto::NodeProto| node.op_type().starts_with("DynamicQuantize");
            nodes.iter().any(|node| is(node) || graph::bodies(node).any(|body| quantised(&body.node)))
        }
        let functions = self.proto.functions.iter().map(|function| &function.node);
        self.proto.graph.iter().map(|graph| &graph.node).chain(functions).any(|nodes| quantised(nodes))
    }

    /// The graph in the form that `target` runs fastest, see [`fold`](mod@fold), and without the faults of a converter, see [`mend`]: file
    /// bytes and what was done. The form for
    /// one library is slow in the other. What `cut` allows is left out at the end, see [`softmax_tail`] and [`classifier`].
    ///
    /// # Errors
    /// [`Error::Input`] for a model that keeps weights in separate files: use it as it is.
    pub fn prepare(mut self, target: Target, cut: Cut) -> Result<(Vec<u8>, Report)> {
        self.refuse_external_weights()?;
        mend::apply(&mut self.proto);
        let mut output = OutputKind::Original;
        match cut {
            Cut::Nothing => {}
            Cut::Softmax | Cut::Classifier => {
                softmax_tail::remove_copies(&mut self.proto);
                output = softmax_tail::remove(&mut self.proto);
            }
            // Neither change asks for values.
            Cut::Detections => drop(surgery::apply(&mut self.proto, &surgery::DETECTIONS, &surgery::no_run)?),
        }
        let counts = fold::fold(&mut self.proto, target);
        if cut == Cut::Classifier && output == OutputKind::Logits {
            softmax_tail::remove_copies(&mut self.proto);
            output = classifier::cut(&mut self.proto).map_or(output, |classifier| OutputKind::Features(Arc::new(classifier)));
        }
        Ok((self.to_bytes(), Report { counts, output }))
    }
}

/// A tensor of `graph`, of its nodes or of their bodies whose elements are in another file.
fn external_weight(graph: &proto::GraphProto) -> Option<&proto::TensorProto> {
    let attributes = graph.node.iter().flat_map(|node| &node.attribute);
    let mut tensors = graph.initializer.iter().chain(attributes.flat_map(|a| a.t.iter().chain(&a.tensors)));
    let external = tensors.find(|t| t.data_location() == proto::tensor_proto::DataLocation::External);
    external.or_else(|| graph.node.iter().flat_map(graph::bodies).find_map(external_weight))
}

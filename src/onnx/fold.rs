//! Folds a graph into the form that costs an engine least: what is a constant times or plus a value moves into the weights
//! next to it, activations take the form that the engine fuses into a convolution, passes over large tensors go.
//! Numbers are combined in 64-bit floats and rounded once.
//!
//! Results change by float32 rounding, which a steep head amplifies: for PP-OCRv4 mobile detection on three pictures,
//! the greatest distance of a probability from a 64-bit run is 3e-4 folded, and 5e-4 for the original graph at ONNX Runtime's
//! full optimisation (1e-4 without optimisation).

use super::graph::Graph;
use super::proto::{GraphProto, ModelProto, tensor_shape_proto::dimension::Value, type_proto};
use super::rewrite;

/// How often each rewrite applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Constant nodes, and reshaped constants, made initializers.
    pub constants: usize,
    /// Identity nodes gone.
    pub identities: usize,
    /// `clip(x + 3, 0, 6) / 6` made HardSigmoid.
    pub hard_sigmoid: usize,
    /// `x * clip(x + 3, 0, 6) / 6` made `x * HardSigmoid(x)`.
    pub hard_swish: usize,
    /// Scales and shifts taken into the convolution before them.
    pub affine_after_conv: usize,
    /// Scales and shifts taken into the convolution after them.
    pub affine_before_conv: usize,
    /// Scales and shifts that no convolution takes in made a convolution of one channel each.
    pub channel_affine: usize,
    /// `x + x * gate` made `x * (1 + gate)`.
    pub gated_residual: usize,
    /// Means of a 1x1 convolution made the 1x1 convolution of the means.
    pub pooled_conv: usize,
    /// ConvTransposes of one square per position made 1x1 convolutions before a DepthToSpace.
    pub patch_conv: usize,
    /// Convolutions over joined maps, some of them enlarged by repeating pixels, that read these as they were before.
    pub enlarged_joined: usize,
    /// The same of sums of an enlarged map and a gated 1x1 convolution, in a graph that gets one picture a run from now on.
    pub enlarged_sum: usize,
    /// Sums of which one side is enlarged, which is done last.
    pub enlarged_last: usize,
}

/// The engine that is to run the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// ONNX Runtime on the processor: everything.
    OnnxRuntime,
    /// ONNX Runtime on a GPU: what needs no measurement there, and leaves pictures together in a run.
    Cuda,
    /// OpenVINO fuses scales, shifts and the long form of HardSwish itself, and loses that in other forms. It gets
    /// what spares its passes over large tensors: with free dimensions it runs chains of elementwise steps one by one.
    ///
    /// Of PP-OCRv4 mobile, detection takes 14 to 18 % less time so than as the original graph, recognition as long
    /// (`benches/results/2026-11-30-ocr-cpu-avx512-bf16.md`); outputs differ by 1e-5 of the greatest at most.
    OpenVino,
}

/// Rewrites `model` in place. Models older than IR version 4, whose initializers must be inputs too, stay as they are.
pub fn fold(model: &mut ModelProto, target: Target) -> Counts {
    let mut counts = Counts::default();
    let ir_version = model.ir_version();
    let Some(proto) = model.graph.as_mut().filter(|_| ir_version >= 4) else { return counts };
    let may_read_one = pictures(proto).is_some();
    let mut graph = Graph::open(proto);
    counts.constants = rewrite::constant::constants(&mut graph);
    counts.identities = rewrite::constant::identities(&mut graph);
    if target != Target::OpenVino {
        counts.hard_sigmoid = rewrite::hard_activation::hard_sigmoid(&mut graph);
        counts.hard_swish = rewrite::hard_activation::hard_swish(&mut graph);
    }
    counts.affine_after_conv = rewrite::affine_after_conv::apply(&mut graph);
    if target != Target::OpenVino {
        counts.affine_before_conv = rewrite::affine_before_conv::apply(&mut graph);
        counts.channel_affine = rewrite::channel_affine::apply(&mut graph);
    }
    counts.gated_residual = rewrite::gate::residual(&mut graph);
    counts.pooled_conv = rewrite::gate::pooled_conv(&mut graph);
    counts.patch_conv = rewrite::patch_conv::apply(&mut graph);
    if target != Target::Cuda {
        counts.enlarged_joined = rewrite::enlarged_conv::of_joined(&mut graph);
        if may_read_one {
            counts.enlarged_sum = rewrite::enlarged_conv::of_gated_sum(&mut graph);
        }
    }
    if target != Target::OpenVino {
        counts.enlarged_last = rewrite::enlarged_last::apply(&mut graph);
    }
    graph.close(proto);
    if let Some(pictures) = pictures(proto).filter(|_| counts.enlarged_sum > 0) {
        *pictures = Some(Value::DimValue(1));
    }
    counts
}

/// The number of pictures a run, where the graph reads nothing else and takes one or any number.
fn pictures(graph: &mut GraphProto) -> Option<&mut Option<Value>> {
    let GraphProto { input, initializer, .. } = graph;
    let mut read = input.iter_mut().filter(|input| initializer.iter().all(|tensor| tensor.name != input.name));
    let (Some(only), None) = (read.next(), read.next()) else { return None };
    let Some(type_proto::Value::TensorType(tensor)) = only.r#type.as_mut()?.value.as_mut() else { return None };
    match tensor.shape.as_mut()?.dim.as_mut_slice() {
        [pictures, _, _, _] => Some(&mut pictures.value).filter(|value| !matches!(value, Some(Value::DimValue(n)) if *n > 1)),
        _ => None,
    }
}

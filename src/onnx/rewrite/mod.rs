//! One file per rewrite. Each looks at the whole graph, applies wherever its pattern stands, and returns how often it did.

pub(super) mod affine;
pub(super) mod affine_after_conv;
pub(super) mod affine_before_conv;
pub(super) mod channel_affine;
pub(super) mod constant;
pub(super) mod conv;
pub(super) mod enlarged_conv;
pub(super) mod enlarged_last;
pub(super) mod gate;
pub(super) mod hard_activation;
pub(super) mod patch_conv;

/// Operators that map each element by itself.
const ACTIVATIONS: [&str; 6] = ["Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"];

//! TensorRT without a GPU: the binding against a double of the library in each of its binary forms, against NVIDIA's headers,
//! and, where they can be had, against the real builder of TensorRT-RTX.

#[path = "inputs/random.rs"]
mod random;
#[path = "inputs/say.rs"]
mod say;
#[path = "inputs/tensorrt_rtx.rs"]
mod tensorrt_rtx;

mod tensorrt {
    pub mod allocations;
    pub mod background;
    pub mod binding;
    pub mod cli;
    pub mod decoder;
    pub mod double;
    pub mod engines;
    pub mod half;
    pub mod headers;
    pub mod real;
    pub mod session;
    pub mod support;
    pub mod surgery;
    pub mod surgery_samples;
    pub mod surgery_sequences;
}

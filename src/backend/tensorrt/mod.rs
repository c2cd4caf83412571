//! TensorRT, opened at run time: versions 10 and 11 and TensorRT-RTX by one program, without NVIDIA's headers. `sys` holds the
//! C interface over the library's classes, [`ffi`] makes it safe.

pub mod ffi;
pub mod memory;
mod sys;

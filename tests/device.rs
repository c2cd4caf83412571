//! The CUDA code without a graphics processor: every kernel of `kernels/` is compiled for the host with the emulation in
//! `tests/device/emulation.h` and compared with the CPU form of its operation, whole outputs on fixtures and fresh
//! random inputs. The launches are those of `ops/*/cuda.rs`; only the queue is another.

#[path = "inputs/random.rs"]
mod random;

mod device {
    mod ctc;
    mod db;
    mod difference;
    mod emulator;
    mod library;
    mod mask;
    mod nms;
    mod resize_norm;
    mod warp;
    mod whiten;
}

//! The CUDA code without a graphics processor: every kernel of `kernels/` is compiled for the host with the emulation in
//! `tests/device/emulation.h` and compared with the CPU form of its operation, whole outputs on fixtures and fresh
//! random inputs. The launches are those of `ops/*/cuda.rs`; only the queue is another.
//!
//! On a GPU the same tests run on the device, in the root of the repository:
//!
//! ```sh
//! HPINFER_TEST_DEVICE=gpu:0 cargo test --release --test device
//! ```

#[path = "device/library.rs"]
mod library;
#[path = "inputs/random.rs"]
mod random;

#[path = "gpu/stub.rs"]
#[allow(dead_code, reason = "the tests of the driver use all of it")]
mod stub;

mod device {
    mod ctc;
    mod db;
    mod difference;
    mod emulator;
    mod mask;
    mod nms;
    mod queue;
    mod resize_norm;
    mod warp;
    mod whiten;
}

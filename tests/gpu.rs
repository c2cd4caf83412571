//! Graphics processors without one: stand-ins for the driver's libraries, built from `tests/gpu`. A process opens the driver
//! once and for all, so that every broken one is met by a process of its own. Where it works, its device is the emulation of
//! `tests/device`, and streams put their work off as long as they may.

#[path = "device/library.rs"]
mod library;
#[path = "inputs/random.rs"]
mod random;
#[path = "inputs/say.rs"]
mod say;

#[path = "tensorrt/double.rs"]
#[allow(dead_code, reason = "the tests of TensorRT use all of it")]
mod double;

mod gpu {
    mod bench;
    mod documents;
    mod emulated;
    mod graphs;
    mod memory;
    mod nvdec;
    mod nvjpeg;
    mod nvjpeg_cli;
    mod nvjpeg_header;
    #[cfg(feature = "nvtx")]
    mod nvtx;
    mod ocr;
    mod onnx_runtime;
    mod pictures;
    mod probe;
    mod run;
    mod stand_in;
    mod steps;
    mod stub;
    mod tensorrt;
    mod transfers;
}

//! Pipelines on a GPU that is there, with an ONNX Runtime that has no use for it: an error, never a run on the processor.

use super::stub;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn what_cannot_run_on_the_gpu_is_refused() {
    let folder = stub::folder(&[]);
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    // ONNX Runtime for the processor, with something beside it that calls itself the provider.
    let cache = hpinfer::cache::Cache::open(Some(&home)).expect("a cache");
    let real = hpinfer::runtime::ensure(hpinfer::runtime::Library::OnnxRuntime, &cache, None).expect("installed").path;
    let library = folder.path().join("libonnxruntime.so.1.31.1");
    std::os::unix::fs::symlink(&real, &library).expect("linked");
    let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/delivery_note.png");
    let run = |flags: &[&str]| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        command
            .env_remove("CUDA_VISIBLE_DEVICES")
            .env_remove("TENSORRT_LIB_PATH")
            .env("LD_LIBRARY_PATH", folder.path())
            .env("STUB_CUDA", "devices=9.0,8.6");
        command.env("STUB_KERNELS", crate::library::kernels()).env("HPINFER_HOME", &home).env("ORT_DYLIB_PATH", &library);
        let output = command.args(["--offline", "--input", demo]).args(flags).stdin(Stdio::null()).output().expect("it starts");
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let ocr = |flags: &[&str]| run(&[&["--pipeline", "OCR"], flags].concat());
    let said = ocr(&["--device", "gpu:0"]);
    assert!(said.contains("ORT_DYLIB_PATH") && said.contains("has no libonnxruntime_providers_cuda.so beside it"), "{said}");
    std::fs::write(folder.path().join("libonnxruntime_providers_cuda.so"), "").expect("written");
    let said = ocr(&["--device", "gpu:1"]);
    assert!(
        said.contains("backend onnx_runtime: model PP-OCRv4_mobile_")
            && said.contains(" on gpu:1: ")
            && said.contains("runtime install gpu"),
        "{said}"
    );
    let said = ocr(&["--device", "auto", "-v"]);
    assert!(said.contains("--device auto is gpu:0 (Stub 0, ") && said.contains(" on gpu:0: "), "{said}");
    for (flags, says) in [
        (&["--device", "gpu:0", "--backend", "openvino"][..], "backend openvino: it runs on the CPU only here, not on gpu:0"),
        (&["--device", "gpu:0", "--backend", "paddle_infer"], "backend paddle_infer: it runs on the CPU only here"),
        (&["--device", "gpu:0", "--backend", "tensorrt"], "libnvinfer.so.11 and libnvinfer.so.10 are not on this machine"),
        (&["--device", "gpu:1,2"], "there is no GPU 2"),
    ] {
        let said = ocr(flags);
        assert!(said.contains(says), "{flags:?}: {said}");
    }
    // Any other pipeline likewise.
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/miniatures/classify");
    let said = run(&["--pipeline", "image_classification", "--model", model, "--device", "gpu"]);
    assert!(said.contains("backend onnx_runtime: model miniature_classify on gpu:0: "), "{said}");
}

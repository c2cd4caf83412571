//! What the program says of every driver it may meet.

use super::stub;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub fn hpinfer(folder: &Path, stub: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.env_remove("CUDA_VISIBLE_DEVICES").env("LD_LIBRARY_PATH", folder).env("STUB_CUDA", stub);
    command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).arg("--offline").stdin(Stdio::null());
    command
}

/// The lines about graphics processors: name, whether all is well, what was found with what to do.
pub fn doctor(command: &mut Command) -> Vec<(String, bool, String)> {
    let Output { status, stdout, stderr } = command.output().expect("it starts");
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    let found: Value = serde_json::from_slice(&stdout).expect("JSON");
    let all = found["findings"].as_array().expect("a list").iter().filter(|f| f["topic"] == "gpu");
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    all.map(|f| (text(&f["name"]), f["ok"] == true, format!("{} -> {}", text(&f["found"]), text(&f["next_step"])))).collect()
}

#[test]
fn every_broken_driver_is_told_apart() {
    let empty = tempfile::tempdir().expect("a folder");
    let (whole, lacking) = (stub::folder(&[]), stub::folder(&["-DSTUB_LACKS_A_FUNCTION"]));
    let text = tempfile::tempdir().expect("a folder");
    std::fs::write(text.path().join("libcuda.so"), "no library").expect("written");
    let real = Path::new("/proc/driver/nvidia/version").exists();
    for (folder, stub, reason, next_step) in [
        (empty.path(), "", "there is no NVIDIA driver on this machine", "install the driver"),
        (text.path(), "", "there is no NVIDIA driver on this machine", "install the driver"),
        (lacking.path(), "", "no complete CUDA driver: it lacks cuGraphExecDestroy", "LD_LIBRARY_PATH"),
        (lacking.path(), "version=11040", "too old: it serves CUDA 11.4, and 12.0 is the oldest", "R525 or later"),
        (whole.path(), "init=34", "the stand-in for linking", "`stubs` folder"),
        (whole.path(), "init=803", "kernel module are of different versions", "load the kernel module anew"),
        (whole.path(), "init=802", "not ready yet", "fabric manager"),
        (whole.path(), "init=804", "compatibility library", "out of LD_LIBRARY_PATH"),
        (whole.path(), "init=999", "does not start (CUDA_ERROR_UNKNOWN, error 999)", "nvidia-smi"),
        (whole.path(), "init=12345", "does not start (CUDA error 12345)", "nvidia-smi"),
        (whole.path(), "init=100", "the NVIDIA driver has no device", "nvidia-smi -L"),
        (whole.path(), "devices=none", "the NVIDIA driver has no device", "nvidia-smi -L"),
        (whole.path(), "fail=cuDeviceGetName code=999", "GPU 0 does not answer: cuDeviceGetName failed (CUDA_ERROR_UNKNOWN", "reset"),
        (whole.path(), "devices=7.0", "Stub 0 has compute capability 7.0, and 7.5 (Turing) is the oldest", "use --device cpu"),
    ] {
        if real && stub.is_empty() && folder != lacking.path() {
            continue; // the loader finds the machine's own
        }
        let found = doctor(hpinfer(folder, stub).args(["doctor", "--json", "--device", "gpu"]));
        let (_, ok, said) = found.last().expect("a line");
        assert!(!ok && said.contains(reason) && said.contains(next_step), "{stub}: {found:?}");
        let run = hpinfer(folder, stub).args(["--pipeline", "OCR", "--device", "gpu", "--input", "none.png"]).output().expect("it starts");
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(
            run.status.code() == Some(2) && said.contains("backend gpu: ") && said.contains(reason) && said.contains(next_step),
            "{stub}: {said}"
        );
    }
    // Nothing is wrong where the choice is left to the program, and it is told.
    for (stub, becomes) in [("init=999", "cpu"), ("devices=7.0", "cpu"), ("devices=7.0,9.0", "gpu:1 (Stub 1, compute capability 9.0)")] {
        let mut command = hpinfer(whole.path(), stub);
        command.env("STUB_KERNELS", crate::library::kernels());
        let found = doctor(command.args(["doctor", "--json", "--device", "auto"]));
        let (name, ok, said) = found.last().expect("a line");
        assert!(name == "auto" && *ok && said.starts_with(becomes), "{stub}: {found:?}");
    }
    // Nothing is wrong where nobody asked for one.
    let found = doctor(hpinfer(whole.path(), "init=999").args(["doctor", "--json"]));
    assert!(matches!(&found[..], [(_, true, said)] if said.ends_with("-> ")), "{found:?}");
}

#[test]
fn devices_are_named_with_what_they_are() {
    let folder = stub::folder(&[]);
    let nvml = stub::library("gpu/nvml.cpp", &[]);
    let ask = |device: &str, visible: Option<&str>| {
        let mut command = hpinfer(folder.path(), "version=12020 devices=7.0,9.0,12.0 memory=8589934592");
        command.envs(visible.map(|v| ("CUDA_VISIBLE_DEVICES", v)));
        doctor(command.args(["doctor", "--json", "--device", device]))
    };
    let found = ask("gpu:1", None);
    let [
        (cuda, true, driver),
        (zero, false, old),
        (one, true, hopper),
        (runs, true, provider),
        (_, true, newer),
        _,
        (_, true, videos),
        (_, true, jpeg),
    ] = &found[..]
    else {
        panic!("{found:?}")
    };
    assert!(runs == "gpu:1 backend" && provider.starts_with("onnx_runtime with its CUDA provider ("), "{found:?}");
    assert!(jpeg.contains("libnvjpeg.so.12: cannot open shared object file") && jpeg.contains("runtime install gpu"), "{jpeg}");
    assert!(videos.contains("libnvcuvid.so.1: cannot open shared object file") && videos.contains("--decode host"), "{videos}");
    assert!(cuda == "cuda" && driver.contains("for CUDA 12.2 and older"), "{driver}");
    assert!(zero == "gpu:0" && old.contains("Stub 0, compute capability 7.0, 8.0 GiB, GPU-a0000000-0000-"), "{old}");
    assert!(one == "gpu:1" && hopper.contains("machine code; its state is unknown: "), "{hopper}");
    assert!(newer.contains("compiled by the driver"), "{newer}");

    std::os::unix::fs::symlink(&nvml, folder.path().join("libnvidia-ml.so.1")).expect("linked");
    let found = ask("gpu:GPU-a1", None);
    assert!(found[0].2.contains("driver 535.183.01, for CUDA 12.2"), "{found:?}");
    assert!(found[2].2.contains("clock 1200 of 1980 MHz, memory 2619 of 2619 MHz, 88 °C, held back by heat"), "{found:?}");

    let library = folder.path().join("libonnxruntime.so");
    std::fs::copy(&nvml, &library).expect("copied"); // a shared library
    let provider = |is_named: bool| {
        let mut command = hpinfer(folder.path(), "devices=9.0");
        command.env("HPINFER_HOME", folder.path().join("empty")).envs(is_named.then_some(("ORT_DYLIB_PATH", &library)));
        doctor(command.args(["doctor", "--json", "--device", "gpu:0"])).swap_remove(2)
    };
    let (name, ok, said) = provider(false);
    assert!(name == "gpu:0 backend" && ok && said.contains("not in the cache") && said.contains("`hpinfer runtime install gpu`"), "{said}");
    let (_, ok, said) = provider(true);
    assert!(!ok && said.contains("has no libonnxruntime_providers_cuda.so beside it"), "{said}");
    std::fs::write(folder.path().join("libonnxruntime_providers_cuda.so"), "").expect("written");
    let (_, ok, said) = provider(true);
    assert!(ok && said.contains(&format!(", {})", library.display())), "{said}");

    // Numbers count what is visible; the state of the device follows it.
    let found = ask("gpu:0", Some("1"));
    assert!(found.len() == 5 && found[1].0 == "gpu:0" && found[1].2.contains("Stub 1") && found[1].2.contains("88 °C"), "{found:?}");
    for (device, visible, says) in [
        ("gpu:1", "1", "there is no GPU 1; there is 0 Stub 1 (GPU-a1000000"),
        ("gpu:1", "1", "CUDA_VISIBLE_DEVICES is `1`"),
        ("gpu:GPU-a0", "1,2", "there is no GPU GPU-a0"),
        ("gpu:0", "", "shows no device, and CUDA_VISIBLE_DEVICES is ``"),
        ("gpu:0", "7", "shows no device, and CUDA_VISIBLE_DEVICES is `7`"),
        ("gpu", "0", "compute capability 7.0"),
        ("gpu:2,1,GPU-a1", "0,1,2", "GPU 1 is named twice"),
    ] {
        let found = ask(device, Some(visible));
        let (_, ok, said) = found.last().expect("a line");
        assert!(!ok && said.contains(says), "{device}, {visible}: {found:?}");
    }
}

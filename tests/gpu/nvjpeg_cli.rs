//! Who decodes, as users of the command choose and see it: the stand-ins of the driver and of nvJPEG in processes of their own, and
//! the double of TensorRT for networks, whose runs fail there.

use super::nvjpeg::{file, known};
use super::stub;
use crate::double::{Double, Form, onnx_runtime};
use crate::random::Random;
use hpinfer::image::Size;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A machine with a GPU.
pub struct Host {
    /// Of the loader.
    libraries: tempfile::TempDir,
    pub files: tempfile::TempDir,
    double: Double,
}

impl Host {
    pub fn new() -> Self {
        Self { libraries: stub::folder(&[]), files: tempfile::tempdir().expect("a folder"), double: Double::new(Form::Ten) }
    }

    fn nvjpeg() -> PathBuf {
        stub::library("gpu/nvjpeg.cpp", &["-Wl,-soname,libnvjpeg.so.12"])
    }

    fn with_nvjpeg(self) -> Self {
        std::os::unix::fs::symlink(Self::nvjpeg(), self.libraries.path().join("libnvjpeg.so.12")).expect("linked");
        self
    }

    /// Two JPEG files, of which the stand-in has one, and a PNG file.
    fn pictures(&self) -> String {
        let (folder, mut random) = (self.files.path().join("pictures"), Random::fresh("nvjpeg"));
        std::fs::create_dir(&folder).expect("a folder");
        for (name, is_known) in [("a.jpg", true), ("b.jpg", false)] {
            let bytes = file(&mut random, Size::new(70, 50));
            std::fs::write(folder.join(name), &bytes).expect("written");
            if is_known {
                known(self.files.path(), &bytes);
            }
        }
        std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/decode/pictures/png_rgb8.png"), folder.join("c.png"))
            .expect("copied");
        folder.display().to_string()
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        command.env_remove("CUDA_VISIBLE_DEVICES").env("LD_LIBRARY_PATH", self.libraries.path());
        command.env("STUB_CUDA", "devices=9.0").env("STUB_KERNELS", crate::library::kernels());
        command.env("STUB_NVJPEG", format!("pixels={}", self.files.path().display()));
        command.env("TENSORRT_LIB_PATH", self.double.folder.path()).env("HPINFER_ENGINE_DIR", self.files.path().join("engines"));
        command.env("ORT_DYLIB_PATH", onnx_runtime().path).env("HPINFER_HOME", self.files.path().join("home"));
        command.arg("--offline").args(arguments).stdin(Stdio::null());
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("it starts")
    }

    /// Exit code, lines, standard error.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
        let Output { status, stdout, stderr } = self.output(arguments);
        let lines = String::from_utf8(stdout).expect("UTF-8");
        let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
        (status.code(), lines, String::from_utf8(stderr).expect("UTF-8"))
    }

    pub fn model() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/classify")
    }
}

pub const ON_GPU: [&str; 4] = ["--device", "gpu:0", "--backend", "tensorrt"];

#[test]
fn without_the_library_or_a_gpu_the_next_step_is_named() {
    let host = Host::new();
    let (pictures, model) = (host.pictures(), Host::model().display().to_string());
    let model = ["--pipeline", "image_classification", "--model", &model, "--input", &pictures];
    let picture = |flags: &[&str]| host.run(&[&model[..], flags].concat());
    let stream = |flags: &[&str]| host.run(&[&["stream"], &model[..], flags].concat());
    for ((code, lines, stderr), says) in [
        (picture(&["--jpeg-decoder", "nvjpeg", "--device", "gpu:0"]), "libnvjpeg.so.12 is missing: "),
        (picture(&["--jpeg-decoder", "nvjpeg", "--device", "gpu:0"]), "run `hpinfer runtime install gpu`"),
        (picture(&["--jpeg-decoder", "nvjpeg"]), "give --device gpu:0 as well"),
        (stream(&["--decode", "gpu", "--device", "gpu:0"]), "run `hpinfer runtime install gpu`"),
    ] {
        assert!(code == Some(2) && lines.is_empty() && stderr.contains(says), "{code:?}: {stderr}");
    }
    // Where the choice is left to the program the host decodes, and that is told.
    let (code, lines, stderr) = stream(&ON_GPU);
    assert!(code == Some(1) && stderr.contains("decode: host: libnvjpeg.so.12 is missing"), "{code:?}: {stderr}");
    assert!(lines.len() == 3 && lines.iter().all(|line| line["decode"] == "host"), "{lines:?}");
}

#[test]
fn lines_say_where_a_picture_was_decoded() {
    let host = Host::new().with_nvjpeg();
    let (pictures, model) = (host.pictures(), Host::model().display().to_string());
    let model = ["--pipeline", "image_classification", "--model", &model, "--input", &pictures];
    for flags in [&["--decode", "gpu"][..], &[]] {
        let (code, lines, stderr) = host.run(&[&["stream"], &model[..], &ON_GPU, flags].concat());
        let told: Vec<_> = lines.iter().map(|line| line["decode"].as_str().unwrap_or_default()).collect();
        assert_eq!((code, told), (Some(1), vec!["gpu", "host", "host"]), "{stderr}");
    }
    let (_, lines, stderr) = host.run(&[&["stream", "--decode", "host"], &model[..], &ON_GPU].concat());
    assert!(lines.len() == 3 && lines.iter().all(|line| line["decode"] == "host"), "{lines:?} {stderr}");
    let (code, lines, stderr) = host.run(&[&model[..], &ON_GPU, &["--jpeg-decoder", "nvjpeg", "-v"]].concat());
    assert_eq!((code, lines.len()), (Some(1), 3), "{stderr}");
}

#[test]
fn motion_jpeg_needs_no_library_for_other_videos() {
    let host = Host::new().with_nvjpeg();
    let mut random = Random::fresh("nvjpeg");
    let bytes = file(&mut random, Size::new(96, 64));
    known(host.files.path(), &bytes);
    let place = |name: &str, content: &[u8]| {
        let path = host.files.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    };
    let picture = place("1.jpg", &bytes);
    let [jpeg, h264] = [format!("stream mjpeg\nfile {picture} 0\n"), "stream h264\n".to_owned()];
    let (jpeg, h264) = (place("a.mp4", jpeg.as_bytes()), place("b.mp4", h264.as_bytes()));
    let (model, ffmpeg) = (Host::model().display().to_string(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stream/ffmpeg"));
    let fixed = ["stream", "--decode", "gpu", "--pipeline", "image_classification", "--model", &model, "--ffmpeg", ffmpeg, "--input"];
    let (code, lines, stderr) = host.run(&[&fixed[..], &[&jpeg, "--input", &h264], &ON_GPU].concat());
    let of = |stream: u64| lines.iter().filter(|line| line["stream"] == stream).collect::<Vec<_>>();
    assert!(code == Some(1) && of(0).iter().all(|line| line["decode"] == "gpu") && !of(0).is_empty(), "{lines:?} {stderr}");
    let message = of(1)[0]["error"]["message"].as_str().expect("a message");
    assert!(message.contains("libnvcuvid.so.1") && message.contains("--decode host"), "{message}");
}

/// A library that was installed is found where the system has none.
#[test]
fn the_installed_library_is_found() {
    let host = Host::new();
    let folder = host.files.path().join("home/runtime/nvidia-nvjpeg-cu12-12.4.0.76/nvidia/nvjpeg/lib");
    std::fs::create_dir_all(&folder).expect("a folder");
    let said = || {
        let found: Value = serde_json::from_slice(&host.output(&["doctor", "--json", "--device", "gpu:0"]).stdout).expect("JSON");
        let findings = found["findings"].as_array().expect("a list");
        let jpeg = findings.iter().find(|finding| finding["name"] == "JPEG decoder").expect("a finding");
        jpeg["found"].as_str().expect("a text").to_owned()
    };
    assert!(said().contains("libnvjpeg.so.12 is missing"), "{}", said());
    std::fs::copy(Host::nvjpeg(), folder.join("libnvjpeg.so.12")).expect("copied");
    assert!(said().starts_with("nvJPEG, for JPEG files"), "{}", said());
}

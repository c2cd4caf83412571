//! The versions that are installed: wheel, checksum and the members worth unpacking, with their licences.

use super::Library;
use crate::cache::rooms::RUNTIME;
use crate::cache::{Cache, Folder, Member, Wheel};
use std::path::PathBuf;

/// A wheel, what is wanted of it (files with their length, folders with their largest size), and the libraries to load before others, in
/// order.
pub(super) struct Pin {
    pub wheel: Wheel<'static>,
    pub members: &'static [(&'static str, u64)],
    pub libraries: &'static [&'static str],
}

impl Pin {
    /// The folder of the cache it lies in; members keep their places in the wheel, which the libraries rely on.
    pub fn folder(&self) -> Folder<'static> {
        let members = self.members.iter().map(|&(name, bytes)| Member { from: name, to: name, bytes, sha256: None });
        Folder { path: PathBuf::from(format!("{RUNTIME}/{}-{}", self.wheel.project, self.wheel.version)), members: members.collect() }
    }

    /// Where its first member lies once it is installed.
    pub fn first(&self, cache: &Cache) -> PathBuf {
        cache.root().join(self.folder().path).join(self.members[0].0)
    }
}

pub(super) const fn wheel(
    project: &'static str,
    version: &'static str,
    file: &'static str,
    sha256: &'static str,
    bytes: u64,
) -> Wheel<'static> {
    Wheel { project, version, file, sha256, bytes }
}

const ONNX_RUNTIME: Pin = Pin {
    wheel: wheel(
        "onnxruntime",
        "1.31.1",
        "onnxruntime-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
        23_760_988,
    ),
    members: &[
        ("onnxruntime/capi/libonnxruntime.so.1.31.1", 29_352_200),
        ("onnxruntime/LICENSE", 1_073),
        ("onnxruntime/ThirdPartyNotices.txt", 338_088),
    ],
    libraries: &[],
};

/// The CPU plugin and the readers of ONNX, Paddle and compiled models; GPU and NPU plugins stay in the wheel.
const OPENVINO: Pin = Pin {
    wheel: wheel(
        "openvino",
        "2026.4.1",
        "openvino-2026.4.1-22982-cp312-cp312-manylinux_2_28_x86_64.whl",
        "6b4375c17ddcac83a5180349e2e2bb811185c261066e2a920659892d58ef0e3b",
        59_144_434,
    ),
    members: &[
        ("openvino/libs/libopenvino_c.so.2641", 377_505),
        ("openvino/libs/libopenvino.so.2641", 20_526_937),
        ("openvino/libs/libopenvino_intel_cpu_plugin.so", 63_691_929),
        ("openvino/libs/libopenvino_ir_frontend.so.2641", 640_313),
        ("openvino/libs/libopenvino_onnx_frontend.so.2641", 6_827_321),
        ("openvino/libs/libopenvino_paddle_frontend.so.2641", 1_905_353),
        ("openvino/libs/libtbb.so.12", 369_313),
        ("openvino/libs/libtbbbind_2_5.so.3", 33_025),
        ("openvino/libs/libtbbmalloc.so.2", 159_729),
        ("openvino/libs/libtbbmalloc_proxy.so.2", 28_377),
        ("openvino/libs/libhwloc.so.15", 473_321),
        ("openvino-2026.4.1.dist-info/licenses/LICENSE", 11_357),
        ("openvino-2026.4.1.dist-info/licenses/licensing/onednn_third-party-programs.txt", 28_475),
        ("openvino-2026.4.1.dist-info/licenses/licensing/onetbb_third-party-programs.txt", 46_979),
        ("openvino-2026.4.1.dist-info/licenses/licensing/runtime-third-party-programs.txt", 120_451),
    ],
    libraries: &[],
};

impl Library {
    pub(super) const fn pin(self) -> &'static Pin {
        match self {
            Self::OnnxRuntime => &ONNX_RUNTIME,
            Self::OpenVino => &OPENVINO,
        }
    }
}

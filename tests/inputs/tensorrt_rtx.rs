//! The real builder of TensorRT-RTX, which works without a GPU: out of the wheel `onnxruntime-ep-nv-tensorrt-rtx-cu13`, fetched by
//! SHA-256 with pip. Without the network a test says that it was skipped, unless HPINFER_REQUIRE_TENSORRT is set.

use crate::say::say;
use hpinfer::cache::{Cache, Folder, Member, Package, Wheel};
use std::path::{Path, PathBuf};

const FOLDER: &str = "tensorrt-rtx-1.7.1";
const MEMBERS: [(&str, u64); 2] = [
    ("onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_rtx.so.1.7.1", 234_013_248),
    ("onnxruntime_ep_nv_tensorrt_rtx/libtensorrt_onnxparser_rtx.so.1.7.1", 4_097_984),
];

/// The library and its parser, or `None` after a line that says why not.
pub fn libraries() -> Option<[PathBuf; 2]> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let members = MEMBERS.map(|(from, bytes)| Member { from, to: from, bytes, sha256: None }).to_vec();
    let package = Package {
        what: "TensorRT-RTX 1.7.1".into(),
        next_step: "run the test with the package index in reach".into(),
        wheel: Wheel {
            project: "onnxruntime-ep-nv-tensorrt-rtx-cu13",
            version: "0.5.0",
            file: "onnxruntime_ep_nv_tensorrt_rtx_cu13-0.5.0-py3-none-manylinux_2_28_x86_64.whl",
            sha256: "32f575c633d171b4edf4b53d3bb22b72a6c9c0a850d2982ce9a788a5d40d3298",
            bytes: 146_476_965,
        },
        folders: vec![Folder { path: PathBuf::from(FOLDER), members }],
    };
    if let Err(e) = Cache::open(Some(&home)).unwrap().install(&package) {
        assert!(std::env::var_os("HPINFER_REQUIRE_TENSORRT").is_none(), "{e}");
        say(&format!("SKIPPED: {e}"));
        return None;
    }
    Some(MEMBERS.map(|(member, _)| home.join(FOLDER).join(member)))
}

//! Stages as NVTX ranges, which profilers such as Nsight Systems show beside the work of a GPU. Without NVIDIA's library there
//! are none.

use cudarc::nvtx::{result, sys};
use std::sync::LazyLock;

/// Whether the library is there, with the functions used here: the bindings panic where it is not.
static AVAILABLE: LazyLock<bool> = LazyLock::new(|| {
    // SAFETY: opening NVIDIA's library has no other requirements, and `culib` is called where that has worked. No function is called.
    unsafe {
        let has = |name: &str| sys::culib().get::<unsafe extern "C" fn()>(name.as_bytes()).is_ok();
        sys::is_culib_present() && ["nvtxRangePushA", "nvtxRangePop"].into_iter().all(has)
    }
});

/// A range of this thread, up to its drop.
pub(super) struct Range {
    pushed: bool,
}

impl Range {
    pub fn new(name: &str) -> Self {
        if *AVAILABLE {
            result::range_push(name);
        }
        Self { pushed: *AVAILABLE }
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        if self.pushed {
            result::range_pop();
        }
    }
}

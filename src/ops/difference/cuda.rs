//! The CUDA form, `kernels/difference.cu`: results are equal to those of [`super::cpu`] on the same pictures in BGR.

use super::TILE;
use crate::device::{DeviceSliceMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use crate::image::Surface;
use crate::image::surface::SurfaceRow;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;
/// The most blocks of a grid in y.
const MAX_GRID: u32 = 65_535;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    a: SurfaceRow,
    b: SurfaceRow,
    out: u64,
    padding: u64,
}

const _: () = assert!(size_of::<Args>() == 144);

/// The mean absolute difference of each tile of `a` and `b`, of one size and format, into `out`, row by row.
///
/// # Errors
/// [`Error::Internal`] when the sizes differ or are too large, or the output is not one value; those of the queue.
pub fn run(queue: &dyn Queue, a: &Surface<'_>, b: &Surface<'_>, out: &mut DeviceSliceMut<f32>) -> Result<()> {
    let [across, down] = [a.size().width, a.size().height].map(|side| tiles(side, TILE as u32));
    if a.size() != b.size() || down > MAX_GRID || out.len() != across as usize * down as usize {
        let reason = format!("{} against {} into {} values", a.size(), b.size(), out.len());
        return Err(Error::internal("difference", reason));
    }
    let args = Args { a: a.row(), b: b.row(), out: out.address(), padding: 0 };
    let grid = [across, down, 1];
    let launch = Launch { kernel: Kernel::DifferenceTiles, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: `Args` is the kernel's structure, checked for size on both sides; both surfaces have their rows, and are of one size.
    unsafe { queue.launch(launch) }
}

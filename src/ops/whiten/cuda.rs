//! The CUDA form, `kernels/whiten.cu`: samples are equal to those of [`super::cpu`]. A page in RGB stays so; grey ones become three equal samples, NV12 BGR.

use super::White;
use crate::device::{DeviceSlice, DeviceSliceMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use crate::image::Surface;
use crate::image::surface::SurfaceRow;
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;
/// Pixels of a thread.
const PIXELS: u32 = 4;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    page: SurfaceRow,
    regions: u64,
    out: u64,
    count: u32,
    inside: u32,
}

const _: () = assert!(size_of::<Args>() == 88);

/// `page` with white where `white` says into `out`, `[height, width, 3]`.
///
/// # Errors
/// [`Error::Internal`] when the output has another size, or the page too many pixels; those of the queue.
pub fn run(
    queue: &dyn Queue,
    page: &Surface<'_>,
    regions: DeviceSlice<[i32; 4]>,
    white: White,
    out: &mut DeviceSliceMut<u8>,
) -> Result<()> {
    let pixels = page.size().area();
    let (Ok(count), Ok(blocks)) = (u32::try_from(regions.len()), u32::try_from(pixels)) else {
        return Err(Error::internal("whiten", format!("{} regions of a page of {}", regions.len(), page.size())));
    };
    if out.len() as u64 != pixels * 3 {
        return Err(Error::internal("whiten", format!("{} bytes of output for a page of {}", out.len(), page.size())));
    }
    let args = Args { page: page.row(), regions: regions.address(), out: out.address(), count, inside: u32::from(white == White::Inside) };
    let grid = [tiles(blocks, THREADS * PIXELS), 1, 1];
    let launch = Launch { kernel: Kernel::WhitenRegions, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: `Args` is the kernel's structure, checked for size on both sides; the surface has its rows, the regions their number,
    // and the output three bytes for every pixel.
    unsafe { queue.launch(launch) }
}

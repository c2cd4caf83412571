//! How much two pictures of one size differ where they differ most: what decides whether a frame of a video needs to be
//! looked at again. The frame is cut into tiles of 32 x 32 pixels (smaller at the right and lower edges); the measure is
//! the largest mean absolute difference of a tile, in levels (0 to 255) over all its samples. A mean over the whole
//! picture would not see a letter change.

pub mod cpu;
pub mod cuda;

use crate::error::Result;
use crate::image::{Picture, PictureRef, Resident};
use crate::tensor::storage::download;
use crate::trace::Transfers;

/// Side of a tile in pixels.
pub const TILE: usize = 32;

/// The largest mean absolute difference of a tile, found where the pictures lie; `None` when they lie apart, or differ in size or
/// format. On a GPU one number comes to the host, which is waited for.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device).
pub fn largest_of_tiles(a: &Picture, b: &Picture, transfers: &mut Transfers) -> Result<Option<f32>> {
    let (a, b) = match (a, b) {
        (Picture::Host(a), Picture::Host(b)) => return Ok(cpu::largest_tile_difference(a.view(), b.view())),
        (Picture::Gpu(a), Picture::Gpu(b)) if a.is_like(b) => (a, b),
        _ => return Ok(None),
    };
    let stream = a.gpu().pictures()?;
    for picture in [a, b] {
        Resident::bring(PictureRef::Gpu(picture), picture.size(), stream, transfers)?;
    }
    let mut out = stream.alloc(1)?;
    cuda::run(stream, &a.surface()?, &b.surface()?, &mut out.slice_mut())?;
    let found = download::<u32>(out.slice(), stream, transfers)?;
    Ok(found.on_host()?.first().map(|bits| f32::from_bits(*bits)))
}

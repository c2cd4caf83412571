//! How much two pictures of one size differ where they differ most: what decides whether a frame of a video needs to be
//! looked at again, and where. The frame is cut into tiles of 32 x 32 pixels (smaller at the right and lower edges); the measure is
//! the mean absolute difference of a tile, in levels (0 to 255) over all its samples. A mean over the whole picture would not see
//! a letter change.

pub mod cpu;
pub mod cuda;

use crate::error::Result;
use crate::image::{Picture, PictureRef, PointI, Resident, Size};
use crate::tensor::storage::download;
use crate::trace::Transfers;

/// Side of a tile in pixels.
pub const TILE: usize = 32;

/// How much each tile of two pictures differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Tiles {
    /// Of the pictures.
    size: Size,
    /// Row by row.
    means: Vec<f32>,
}

impl Tiles {
    /// The largest difference.
    pub fn largest(&self) -> f32 {
        self.means.iter().copied().fold(0.0, f32::max)
    }

    /// The largest difference of the tiles that the rectangle around `points` reaches into; of none outside of the picture.
    pub fn largest_around(&self, points: &[PointI]) -> f32 {
        let across = (self.size.width as usize).div_ceil(TILE);
        let tiles = |of: fn(&PointI) -> i32, side: u32| {
            let (least, most) = points.iter().map(of).fold((i32::MAX, i32::MIN), |(least, most), v| (least.min(v), most.max(v)));
            let tile = |v: i32| (v.clamp(0, side.max(1) as i32 - 1) as usize) / TILE;
            if least > most { 0..0 } else { tile(least)..tile(most) + 1 }
        };
        let (columns, rows) = (tiles(|p| p.x, self.size.width), tiles(|p| p.y, self.size.height));
        let of_row = |row: usize| self.means.get(row * across + columns.start..row * across + columns.end).unwrap_or_default();
        rows.flat_map(of_row).copied().fold(0.0, f32::max)
    }
}

/// How much each tile differs, found where the pictures lie; `None` when they lie apart, or differ in size or format. From a GPU a number
/// a tile comes to the host, which is waited for.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device).
pub fn tiles(a: &Picture, b: &Picture, transfers: &mut Transfers) -> Result<Option<Tiles>> {
    let size = a.size();
    let (a, b) = match (a, b) {
        (Picture::Host(a), Picture::Host(b)) => {
            return Ok(cpu::tile_differences(a.view(), b.view()).map(|means| Tiles { size, means }));
        }
        (Picture::Gpu(a), Picture::Gpu(b)) if a.is_like(b) => (a, b),
        _ => return Ok(None),
    };
    let stream = a.gpu().pictures()?;
    for picture in [a, b] {
        Resident::bring(PictureRef::Gpu(picture), picture.size(), stream, transfers)?;
    }
    let mut out = stream.alloc([size.width, size.height].map(|side| (side as usize).div_ceil(TILE)).iter().product())?;
    cuda::run(stream, &a.surface()?, &b.surface()?, &mut out.slice_mut())?;
    let found = download::<f32>(out.slice(), stream, transfers)?;
    Ok(Some(Tiles { size, means: found.on_host()?.to_vec() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_apart_by_the_tiles_they_reach_into() {
        let tiles = Tiles { size: Size::new(70, 40), means: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        let around = |points: &[(i32, i32)]| tiles.largest_around(&points.iter().map(|&(x, y)| PointI::new(x, y)).collect::<Vec<_>>());
        assert_eq!((tiles.largest(), around(&[])), (6.0, 0.0));
        for (points, expected) in [
            (&[(0, 0), (31, 31)][..], 1.0),
            (&[(0, 0), (32, 31)], 2.0),
            (&[(0, 0), (0, 32)], 4.0),
            (&[(33, 0), (60, 39)], 5.0),
            (&[(-9, -9), (500, 500)], 6.0),
            (&[(69, 3)], 3.0),
        ] {
            assert_eq!(around(points), expected, "{points:?}");
        }
    }
}

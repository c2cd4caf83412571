//! The definition.

use super::TILE;
use crate::image::ImageView;

/// The mean absolute difference of each tile, row by row; `None` when size or format differ.
pub fn tile_differences(a: ImageView<'_>, b: ImageView<'_>) -> Option<Vec<f32>> {
    if (a.size, a.format) != (b.size, b.format) || a.data.len() != b.data.len() {
        return None;
    }
    let row = a.size.width as usize * a.format.bytes();
    let tile = TILE * a.format.bytes();
    let mut means = Vec::new();
    // Bands of rows; the last is what is left. A row of zero bytes has no tiles.
    for (a, b) in a.data.chunks(TILE * row.max(1)).zip(b.data.chunks(TILE * row.max(1))) {
        let mut sums = vec![0u32; row.div_ceil(tile)]; // 32 * 32 * 3 * 255 fits
        for (a, b) in a.chunks_exact(row).zip(b.chunks_exact(row)) {
            for ((a, b), sum) in a.chunks(tile).zip(b.chunks(tile)).zip(&mut sums) {
                *sum += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            }
        }
        let rows = a.len() / row;
        means.extend(sums.into_iter().enumerate().map(|(index, sum)| sum as f32 / (rows * tile.min(row - index * tile)) as f32));
    }
    Some(means)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageBuf, PixelFormat, Size};

    fn picture(width: u32, height: u32, paint: impl Fn(u32, u32) -> u8) -> ImageBuf {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).flat_map(|(x, y)| [paint(x, y); 3]).collect();
        ImageBuf::new(pixels, Size::new(width, height), PixelFormat::Bgr).expect("a picture")
    }

    #[test]
    fn one_changed_tile_counts_in_full_wherever_it_is() {
        let plain = picture(70, 40, |_, _| 100);
        // Corner tiles are 32 x 32 and 6 x 8; the change fills half of either.
        for (left, top, right, bottom) in [(0, 0, 32, 16), (64, 32, 67, 40)] {
            let changed = picture(70, 40, |x, y| if (left..right).contains(&x) && (top..bottom).contains(&y) { 110 } else { 100 });
            let means = tile_differences(plain.view(), changed.view()).expect("of one size");
            let place = left as usize / TILE + top as usize / TILE * 3;
            assert_eq!(means.iter().enumerate().map(|(i, mean)| if i == place { mean - 5.0 } else { *mean }).collect::<Vec<_>>(), [0.0; 6]);
        }
        assert_eq!(tile_differences(plain.view(), picture(40, 70, |_, _| 100).view()), None);
    }
}

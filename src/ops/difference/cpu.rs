//! The definition.

use super::TILE;
use crate::image::ImageView;

/// The largest mean absolute difference of a tile; `None` when size or format differ.
pub fn largest_tile_difference(a: ImageView<'_>, b: ImageView<'_>) -> Option<f32> {
    if (a.size, a.format) != (b.size, b.format) || a.data.len() != b.data.len() {
        return None;
    }
    let row = a.size.width as usize * a.format.bytes();
    let tile = TILE * a.format.bytes();
    let mut largest = 0f32;
    // Bands of rows; the last is what is left. A row of zero bytes has no tiles.
    for (a, b) in a.data.chunks(TILE * row.max(1)).zip(b.data.chunks(TILE * row.max(1))) {
        let mut sums = vec![0u32; row.div_ceil(tile)]; // 32 * 32 * 3 * 255 fits
        for (a, b) in a.chunks_exact(row).zip(b.chunks_exact(row)) {
            for ((a, b), sum) in a.chunks(tile).zip(b.chunks(tile)).zip(&mut sums) {
                *sum += a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(*b))).sum::<u32>();
            }
        }
        let rows = a.len() / row;
        for (index, sum) in sums.into_iter().enumerate() {
            let samples = rows * tile.min(row - index * tile);
            largest = largest.max(sum as f32 / samples as f32);
        }
    }
    Some(largest)
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
            assert_eq!(largest_tile_difference(plain.view(), changed.view()), Some(5.0));
        }
        assert_eq!(largest_tile_difference(plain.view(), plain.view()), Some(0.0));
        assert_eq!(largest_tile_difference(plain.view(), picture(40, 70, |_, _| 100).view()), None);
    }
}

//! Sampling of one target row with two by two neighbours; what lies outside of the picture is black.

use super::cpu::Row;
use crate::image::ImageView;

/// Fills `out`, three bytes per position of `row`, as OpenCV's `warpPerspective` does with `INTER_LINEAR` and
/// `BORDER_CONSTANT`: weights in 15 bits, which are exact for steps of 1/32 pixel.
pub(super) fn sample_row(src: ImageView, row: &Row, out: &mut [u8]) {
    let (width, height) = (src.size.width as i32, src.size.height as i32);
    let at = |x: i32, y: i32, channel: usize| {
        let inside = (0..width).contains(&x) && (0..height).contains(&y);
        if inside { i32::from(src.data[(y as usize * width as usize + x as usize) * 3 + channel]) } else { 0 }
    };
    for ((&x, &y), out) in row.xs.iter().zip(&row.ys).zip(out.chunks_exact_mut(3)) {
        let (left, top, right_part, low_part) = (x >> 5, y >> 5, x & 31, y & 31);
        for (channel, out) in out.iter_mut().enumerate() {
            let line = |y: i32| at(left, y, channel) * (32 - right_part) + at(left + 1, y, channel) * right_part;
            let sum = line(top) * (32 - low_part) + line(top + 1) * low_part;
            *out = ((sum * 32 + (1 << 14)) >> 15) as u8;
        }
    }
}

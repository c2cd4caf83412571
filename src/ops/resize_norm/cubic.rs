//! Bicubic resize as a separable float32 filter (a = -0.75), rounded to nearest (halves to even) and saturated, indices clamped.
//! OpenCV's x86 wheels filter in floating point through IPP; this differs by one level in some samples of a million (of pictures with a side below 4 pixels, which OpenCV filters in fixed point, in more). The vertical pass comes
//! first: it runs along whole source rows, and where a picture shrinks it leaves the horizontal pass fewer of them.

use super::Window;
use crate::image::{ImageView, Size};
use crate::ops::sampling::{cubic_position, cubic_weights};
use crate::ops::simd::Isa;

/// Source indices, clamped to the axis, and weights of one target index.
type Taps = ([usize; 4], [f32; 4]);

/// Added and taken away again, it leaves of a number of any sample's size the nearest whole one, of two the even one.
const NEAREST: f32 = 1.5 * (1 << 23) as f32;

/// Lanes that a pixel is loaded as: its channels and what follows them.
const LANES: usize = 4;

/// Buffers of one resize, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Cubic {
    columns: Vec<Taps>,
    filtered: Vec<f32>,
}

fn taps(d: usize, src: usize, dst: usize) -> Taps {
    let (i, t) = cubic_position(d, src, dst);
    ([-1, 0, 1, 2].map(|k| (i + k).clamp(0, src as i64 - 1) as usize), cubic_weights(t))
}

impl Cubic {
    /// Calls `emit(y, row)` for every row of `window` from its top, `row` planar u8.
    pub fn rows<const C: usize>(
        &mut self,
        isa: Isa,
        src: ImageView,
        dst: Size,
        window: Window,
        line: &mut Vec<u8>,
        mut emit: impl FnMut(usize, &[u8]),
    ) {
        let (sw, sh) = (src.size.width as usize, src.size.height as usize);
        let (dw, dh) = (dst.width as usize, dst.height as usize);
        let (left, top) = (window.x as usize, window.y as usize);
        let (width, height) = (window.size.width as usize, window.size.height as usize);
        self.columns.clear();
        self.columns.extend((left..left + width).map(|d| taps(d, sw, dw)).map(|(i, w)| (i.map(|i| i * C), w)));
        // The last pixel is read with as many lanes as the others.
        self.filtered.resize(sw * C + LANES - C, 0.0);
        line.resize(width * C, 0);
        for y in 0..height {
            let (rows, weights) = taps(top + y, sh, dh);
            let rows = rows.map(|r| &src.data[r * sw * C..][..sw * C]);
            let (columns, filtered) = (&self.columns, &mut self.filtered);
            isa.run(|| {
                vertical(rows, weights, filtered);
                horizontal::<C>(filtered, columns, line);
            });
            emit(y, line);
        }
    }
}

#[inline(always)]
fn vertical([r0, r1, r2, r3]: [&[u8]; 4], w: [f32; 4], out: &mut [f32]) {
    for ((((o, a), b), c), d) in out.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
        *o = f32::from(*a) * w[0] + f32::from(*b) * w[1] + f32::from(*c) * w[2] + f32::from(*d) * w[3];
    }
}

#[inline(always)]
fn horizontal<const C: usize>(src: &[f32], columns: &[Taps], out: &mut [u8]) {
    let width = columns.len();
    for (x, (taps, weights)) in columns.iter().enumerate() {
        let mut sum = [0.0; LANES];
        for (&tap, &weight) in taps.iter().zip(weights) {
            let Some(pixel) = src[tap..].first_chunk::<LANES>() else { continue };
            for (s, p) in sum.iter_mut().zip(pixel) {
                *s += p * weight;
            }
        }
        for (c, &s) in sum.iter().take(C).enumerate() {
            out[c * width + x] = (s + NEAREST - NEAREST) as u8; // saturates to 0..=255
        }
    }
}

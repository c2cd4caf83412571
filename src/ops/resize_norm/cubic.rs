//! Bicubic resize as a separable float32 filter (a = -0.75), rounded to nearest and saturated, indices clamped.
//! OpenCV's x86 wheels filter in floating point through IPP; this agrees within one level.

use super::ring::RowRing;
use crate::image::{ImageView, Size};
use crate::ops::sampling::{cubic_weights, resize_position};
use crate::ops::simd::Isa;

/// Source indices, clamped to the axis, and weights of one target index.
type Taps = ([usize; 4], [f32; 4]);

/// Buffers of one resize, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Cubic {
    columns: Vec<Taps>,
    ring: RowRing<f32, 4>,
}

fn taps(d: usize, src: usize, dst: usize) -> Taps {
    let (i, t) = resize_position(d, src, dst);
    ([-1, 0, 1, 2].map(|k| (i + k).clamp(0, src as i64 - 1) as usize), cubic_weights(t))
}

impl Cubic {
    /// Calls `emit(y, row)` for every target row from the top, `row` planar u8.
    pub fn rows<const C: usize>(&mut self, isa: Isa, src: ImageView, dst: Size, line: &mut Vec<u8>, mut emit: impl FnMut(usize, &[u8])) {
        let (sw, sh) = (src.size.width as usize, src.size.height as usize);
        let (dw, dh) = (dst.width as usize, dst.height as usize);
        self.columns.clear();
        self.columns.extend((0..dw).map(|d| taps(d, sw, dw)).map(|(i, w)| (i.map(|i| i * C), w)));
        self.ring.start(dw * C);
        line.resize(dw * C, 0);
        for y in 0..dh {
            let (rows, weights) = taps(y, sh, dh);
            for r in rows {
                let row = &src.data[r * sw * C..][..sw * C];
                self.ring.ensure(r, |out| horizontal::<C>(row, &self.columns, out));
            }
            let rows = rows.map(|r| self.ring.row(r));
            isa.run(|| vertical(rows, weights, line));
            emit(y, line);
        }
    }
}

fn horizontal<const C: usize>(src: &[u8], columns: &[Taps], out: &mut [f32]) {
    for (x, (taps, weights)) in columns.iter().enumerate() {
        for c in 0..C {
            let sum = taps.iter().zip(weights).map(|(&i, w)| f32::from(src[i + c]) * w).sum::<f32>();
            out[c * columns.len() + x] = sum;
        }
    }
}

#[inline(always)]
fn vertical([r0, r1, r2, r3]: [&[f32]; 4], w: [f32; 4], out: &mut [u8]) {
    for ((((o, a), b), c), d) in out.iter_mut().zip(r0).zip(r1).zip(r2).zip(r3) {
        // The cast saturates to 0..=255.
        *o = (a * w[0] + b * w[1] + c * w[2] + d * w[3] + 0.5) as u8;
    }
}

//! Bilinear resize in 11-bit fixed point, OpenCV's order of operations: an exact horizontal pass cut by 4 bits,
//! then the vertical pass `((b0*S0 >> 16) + (b1*S1 >> 16) + 2) >> 2`. Rows are planar: all of channel 0 first.
//! Where both axes are halved exactly, OpenCV takes the mean of 2 x 2 pixels; this arithmetic comes to the same.

use super::Window;
use super::ring::RowRing;
use super::simd;
use crate::image::{ImageView, Size};
use crate::ops::sampling::{linear_weights, resize_position};
use crate::ops::simd::Isa;
use std::ops::Range;

/// Left tap and weights of every target column.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// Sample offset of the left neighbour in its row; never decreases.
    pub first: Vec<u32>,
    /// Samples from the left to the right neighbour: 0 when the source is one pixel wide.
    pub step: usize,
    /// 11-bit weights of the left and the right neighbour.
    pub weights: Vec<[i16; 2]>,
}

impl Columns {
    /// Takes the target columns `part` of `dst`. Outside the picture the border pixel counts fully, so both neighbours always exist.
    #[inline(always)]
    fn prepare(&mut self, src: usize, dst: usize, part: Range<usize>, channels: usize) {
        self.first.clear();
        self.weights.clear();
        self.step = if src > 1 { channels } else { 0 };
        for d in part {
            let (i, t) = resize_position(d, src, dst);
            let (i, weights) = if i < 0 || src == 1 {
                (0, [2048, 0])
            } else if i as usize >= src - 1 {
                (src - 2, [0, 2048])
            } else {
                (i as usize, linear_weights(t))
            };
            self.first.push((i * channels) as u32);
            self.weights.push(weights);
        }
    }
}

/// Buffers of one resize, kept between calls.
#[derive(Debug, Default)]
pub(super) struct Linear {
    columns: Columns,
    ring: RowRing,
}

impl Linear {
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
        isa.run(|| self.columns.prepare(sw, dw, left..left + width, C));
        self.ring.start(width * C);
        line.resize(width * C, 0);
        for y in 0..height {
            let (i, t) = resize_position(top + y, sh, dh);
            // Unlike columns, rows keep their fraction at the border; only the indices are clamped.
            let [r0, r1] = [i, i + 1].map(|r| r.clamp(0, sh as i64 - 1) as usize);
            for r in [r0, r1] {
                self.ring.ensure(r, |out| simd::linear_row::<C>(isa, &src.data[r * sw * C..], &self.columns, out));
            }
            let (a, b) = (self.ring.row(r0), self.ring.row(r1));
            isa.run(|| vertical(a, b, linear_weights(t), line));
            emit(y, line);
        }
    }
}

/// Horizontal pass over the target columns from `from` on. `src` starts at the row; `out` is planar.
pub(super) fn horizontal<const C: usize>(src: &[u8], columns: &Columns, from: usize, out: &mut [i16]) {
    let width = columns.first.len();
    for x in from..width {
        let left = columns.first[x] as usize;
        let right = left + columns.step;
        let [w0, w1] = columns.weights[x].map(i32::from);
        for c in 0..C {
            let sum = i32::from(src[left + c]) * w0 + i32::from(src[right + c]) * w1;
            out[c * width + x] = (sum >> 4) as i16;
        }
    }
}

#[inline(always)]
fn vertical(a: &[i16], b: &[i16], weights: [i16; 2], out: &mut [u8]) {
    let high = |s: i16, w: i16| ((i32::from(s) * i32::from(w)) >> 16) as i16;
    for ((o, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *o = ((high(a, weights[0]) + high(b, weights[1]) + 2) >> 2) as u8;
    }
}

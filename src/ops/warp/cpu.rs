//! The definition on the CPU: positions of a row in 1/32 pixel, then sixteen taps per pixel in 15-bit fixed point.

use super::plan::{CropPlan, block};
use super::simd;
use super::table::WEIGHTS;
use crate::error::{Error, Result};
use crate::image::{ImageView, Size, turn};
use crate::ops::simd::Isa;

/// Buffers and the instruction set of the warps of one thread; reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) isa: Isa,
    pub(super) row: Row,
    pub(super) upright: Vec<u8>,
}

impl Scratch {
    /// Scratch that uses the given instructions; `Scratch::default()` uses the best found.
    pub fn with_isa(isa: Isa) -> Self {
        Self { isa, ..Self::default() }
    }
}

/// Source positions of one target row in 1/32 pixel.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub xs: Vec<i32>,
    pub ys: Vec<i32>,
}

/// Fills `out` with the crop of `plan`: `plan.size().area() * 3` bytes, interleaved, channel order of `src`.
///
/// # Errors
/// [`Error::Input`] when `src` has no pixels or not three channels.
pub fn warp(src: ImageView, plan: &CropPlan, out: &mut Vec<u8>, scratch: &mut Scratch) -> Result<()> {
    check(src)?;
    if plan.is_empty() {
        out.clear();
        return Ok(());
    }
    let upright = if plan.turn { &mut scratch.upright } else { &mut *out };
    upright.resize(plan.warped.area() as usize * 3, 0);
    match plan.whole_shift().and_then(|shift| inside(src, shift, plan.warped)) {
        Some(window) => copy(src, window, plan.warped, upright),
        None => sample_all(src, plan, scratch.isa, &mut scratch.row, upright),
    }
    if plan.turn {
        turn::turn_into(&scratch.upright, plan.warped, 3, 1, out);
    }
    Ok(())
}

/// Refuses pictures without pixels or with other than three channels.
pub(super) fn check(src: ImageView) -> Result<()> {
    let bytes = src.size.area() * 3;
    if src.format.bytes() == 3 && src.data.len() as u64 == bytes && bytes > 0 {
        return Ok(());
    }
    let reason = format!("{} bytes for a {} {:?} picture; three channels are needed", src.data.len(), src.size, src.format);
    Err(Error::input("crop", reason))
}

/// The first sample of the window of `size` at `shift`, when it lies inside the picture.
pub(super) fn inside(src: ImageView, (x, y): (i32, i32), size: Size) -> Option<usize> {
    let (x, y) = (u32::try_from(x).ok()?, u32::try_from(y).ok()?);
    let fits = x + size.width <= src.size.width && y + size.height <= src.size.height;
    fits.then_some((y as usize * src.size.width as usize + x as usize) * 3)
}

pub(super) fn copy(src: ImageView, first: usize, size: Size, out: &mut [u8]) {
    let (from, to) = (src.size.width as usize * 3, size.width as usize * 3);
    for (out, row) in out.chunks_exact_mut(to).zip(src.data[first..].chunks(from)) {
        out.copy_from_slice(&row[..to]);
    }
}

fn sample_all(src: ImageView, plan: &CropPlan, isa: Isa, row: &mut Row, out: &mut [u8]) {
    for (y, out) in out.chunks_exact_mut(plan.warped.width as usize * 3).enumerate() {
        row_positions(isa, &plan.inverse, plan.warped, y, row);
        simd::sample_row(isa, src, row, out);
    }
}

/// Source positions of row `y` of a target of this size.
pub(super) fn row_positions(isa: Isa, inverse: &[f64; 9], size: Size, y: usize, row: &mut Row) {
    let (width, block) = (size.width as usize, block(size) as usize);
    row.xs.resize(width, 0);
    row.ys.resize(width, 0);
    for (k, (xs, ys)) in row.xs.chunks_mut(block).zip(row.ys.chunks_mut(block)).enumerate() {
        isa.run(|| positions(inverse, k * block, y, xs, ys));
    }
}

#[inline(always)]
fn positions(m: &[f64; 9], x: usize, y: usize, xs: &mut [i32], ys: &mut [i32]) {
    // Adding 1.5 * 2^52 leaves no bits for a fraction: the sum is rounded half to even, its low bits are the integer.
    // Unlike a cast it becomes vector code.
    let round = |v: f64| (v.clamp(f64::from(i32::MIN), f64::from(i32::MAX)) + 6_755_399_441_055_744.0).to_bits() as i32;
    let (x, y) = (x as f64, y as f64);
    let x0 = m[0] * x + m[1] * y + m[2];
    let y0 = m[3] * x + m[4] * y + m[5];
    let z0 = m[6] * x + m[7] * y + m[8];
    for (n, (fx, fy)) in xs.iter_mut().zip(ys).enumerate() {
        let n = n as f64;
        let z = z0 + m[6] * n;
        let k = if z == 0.0 { 0.0 } else { 32.0 / z };
        *fx = round((x0 + m[0] * n) * k);
        *fy = round((y0 + m[3] * n) * k);
    }
}

/// The pixel at (x, y) in 1/32 pixel, neighbours outside the picture replaced by the nearest inside.
pub(super) fn sample(src: ImageView, x: i32, y: i32) -> [u8; 3] {
    let (right, bottom) = (src.size.width as i32 - 1, src.size.height as i32 - 1);
    let weights = &WEIGHTS[((y & 31) * 32 + (x & 31)) as usize];
    let columns = [-1, 0, 1, 2].map(|k| ((x >> 5) + k).clamp(0, right) as usize * 3);
    let mut sum = [1 << 14; 3];
    for (k, weights) in (-1..).zip(weights) {
        let row = ((y >> 5) + k).clamp(0, bottom) as usize * src.size.width as usize * 3;
        for (column, &w) in columns.iter().zip(weights) {
            for (sum, &v) in sum.iter_mut().zip(&src.data[row + column..][..3]) {
                *sum += i32::from(v) * i32::from(w);
            }
        }
    }
    sum.map(|s| (s >> 15).clamp(0, 255) as u8)
}

//! Geometry of a crop: corners to matrix and size, in OpenCV's precision and order of operations.

use crate::error::{Error, Result};
use crate::image::polygon::{min_area_rect, order_corners};
use crate::image::{PointF, PointI, Size};

/// Longest side of a crop, OpenCV's own limit of a warp.
pub(super) const MAX_SIDE: u32 = i16::MAX as u32;

/// Where the pixels of a crop come from and how large it becomes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CropPlan {
    /// Target to source, row-major 3 x 3.
    pub(super) inverse: [f64; 9],
    /// Size before the turn.
    pub(super) warped: Size,
    /// Turn 90 degrees counter-clockwise afterwards.
    pub(super) turn: bool,
}

impl CropPlan {
    /// The crop of the minimum-area rectangle of `quad`, vertical text turned.
    ///
    /// # Errors
    /// [`Error::Input`] for a side of more than 32767 pixels.
    pub fn from_quad(quad: &[PointI; 4]) -> Result<Self> {
        let points = quad.map(PointI::to_f);
        Self::from_corners(&order_corners(min_area_rect(&points).corners))
    }

    /// The crop of the region with these corners: top-left, top-right, bottom-right, bottom-left. Its sides are the
    /// longer of each two opposite ones, truncated; a region less than one pixel wide or high gives an empty plan.
    ///
    /// # Errors
    /// [`Error::Input`] for a side of more than 32767 pixels, or corners that are no numbers.
    pub fn from_corners(corners: &[PointF; 4]) -> Result<Self> {
        let [p0, p1, p2, p3] = *corners;
        let side = |a: f32, b: f32| {
            let longer = a.max(b);
            if longer < (MAX_SIDE + 1) as f32 { Ok(longer as u32) } else { Err(too_long(longer)) }
        };
        let width = side(p0.distance(p1), p2.distance(p3))?;
        let height = side(p0.distance(p3), p1.distance(p2))?;
        let warped = Size::new(width, height);
        let inverse = if warped.area() == 0 { [0.0; 9] } else { invert(&perspective(corners, width as f32, height as f32)) };
        Ok(Self { inverse, warped, turn: f64::from(height) / f64::from(width) >= 1.5 })
    }

    /// Width and height of the finished crop.
    pub fn size(&self) -> Size {
        let Size { width, height } = self.warped;
        if self.turn { Size::new(height, width) } else { self.warped }
    }

    /// True when the region has no pixels: there is nothing to warp, and no text.
    pub fn is_empty(&self) -> bool {
        self.warped.area() == 0
    }

    /// The source pixel of the crop's top-left corner, when the crop is nothing but a shifted copy: when each
    /// position is so near to a whole pixel that it certainly rounds to it in steps of 1/32.
    pub(super) fn whole_shift(&self) -> Option<(i32, i32)> {
        let [a, b, c, d, e, f, g, h, i] = self.inverse;
        let (tx, ty) = (c.round_ties_even(), f.round_ties_even());
        let (w, h_px) = (f64::from(self.warped.width), f64::from(self.warped.height));
        let z_error = g.abs() * w + h.abs() * h_px + (i - 1.0).abs();
        let x_error = (a - 1.0).abs() * w + b.abs() * h_px + (c - tx).abs() + (w + tx.abs()) * z_error;
        let y_error = d.abs() * w + (e - 1.0).abs() * h_px + (f - ty).abs() + (h_px + ty.abs()) * z_error;
        // A 64th of a pixel is where rounding starts to go elsewhere; the rest is for the division by z.
        let near = x_error < 0.015 && y_error < 0.015 && z_error < 1e-3 && tx.abs() < 1e6 && ty.abs() < 1e6;
        near.then_some((tx as i32, ty as i32))
    }
}

/// Columns of a target of this size whose positions are counted from one that is rounded: OpenCV works in blocks of at most
/// 1024 pixels.
pub(super) fn block(size: Size) -> u32 {
    (1024 / size.height.min(16)).min(size.width)
}

fn too_long(side: f32) -> Error {
    Error::input("crop", format!("a side of {side} pixels; at most {MAX_SIDE} are possible"))
}

/// `getPerspectiveTransform` from `corners` to those of a rectangle of `w` x `h` at the origin: Gauss elimination with partial pivoting in f64.
/// A singular system gives zeros, as there.
pub(super) fn perspective(corners: &[PointF; 4], w: f32, h: f32) -> [f64; 9] {
    let targets = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)];
    let mut rows = [[0.0f64; 9]; 8];
    for (k, (p, (u, v))) in corners.iter().zip(targets).enumerate() {
        let (x, y) = (f64::from(p.x), f64::from(p.y));
        // The products are rounded to f32 first, as in OpenCV.
        rows[k] = [x, y, 1.0, 0.0, 0.0, 0.0, f64::from(-p.x * u), f64::from(-p.y * u), f64::from(u)];
        rows[k + 4] = [0.0, 0.0, 0.0, x, y, 1.0, f64::from(-p.x * v), f64::from(-p.y * v), f64::from(v)];
    }
    let mut m = [0.0; 9];
    if eliminate(&mut rows) {
        for i in (0..8).rev() {
            let known = (i + 1..8).fold(rows[i][8], |s, k| s - rows[i][k] * m[k]);
            m[i] = known / rows[i][i];
        }
    }
    m[8] = 1.0;
    m
}

/// Brings the augmented system to triangular form; false when it is singular.
fn eliminate(rows: &mut [[f64; 9]; 8]) -> bool {
    for i in 0..8 {
        // The first of equal pivots counts.
        let pivot = (i + 1..8).fold(i, |best, j| if rows[j][i].abs() > rows[best][i].abs() { j } else { best });
        if rows[pivot][i].abs() < f64::EPSILON * 100.0 {
            return false;
        }
        rows.swap(i, pivot);
        let head = rows[i];
        let negative = -1.0 / head[i];
        for row in &mut rows[i + 1..] {
            let alpha = row[i] * negative;
            for k in i + 1..9 {
                row[k] += alpha * head[k];
            }
        }
    }
    true
}

/// OpenCV's `invert` of a 3 x 3 matrix; zeros when it is singular.
pub(super) fn invert(m: &[f64; 9]) -> [f64; 9] {
    let at = |r: usize, c: usize| m[r * 3 + c];
    let minor = |a: (usize, usize), b: (usize, usize), c: (usize, usize), d: (usize, usize)| {
        at(a.0, a.1) * at(b.0, b.1) - at(c.0, c.1) * at(d.0, d.1)
    };
    let det = at(0, 0) * minor((1, 1), (2, 2), (1, 2), (2, 1)) - at(0, 1) * minor((1, 0), (2, 2), (1, 2), (2, 0))
        + at(0, 2) * minor((1, 0), (2, 1), (1, 1), (2, 0));
    if det == 0.0 {
        return [0.0; 9];
    }
    let d = 1.0 / det;
    [
        minor((1, 1), (2, 2), (1, 2), (2, 1)) * d,
        minor((0, 2), (2, 1), (0, 1), (2, 2)) * d,
        minor((0, 1), (1, 2), (0, 2), (1, 1)) * d,
        minor((1, 2), (2, 0), (1, 0), (2, 2)) * d,
        minor((0, 0), (2, 2), (0, 2), (2, 0)) * d,
        minor((0, 2), (1, 0), (0, 0), (1, 2)) * d,
        minor((1, 0), (2, 1), (1, 1), (2, 0)) * d,
        minor((0, 1), (2, 0), (0, 0), (2, 1)) * d,
        minor((0, 0), (1, 1), (0, 1), (1, 0)) * d,
    ]
}

//! A band between an upper and a lower line, cut across into strips that are rectified one by one and set side by side.

use super::super::cpu::{Scratch, row_positions};
use super::super::linear;
use super::super::plan::{MAX_SIDE, invert, perspective};
use crate::image::{ImageView, PointF, Size, turn};

/// Height, in widths of the bounding box, from which on text runs downwards.
const VERTICAL: f64 = 1.5;

/// The strips of one text region, from its head to its tail.
#[derive(Clone, Debug, PartialEq)]
pub struct Strips {
    strips: Vec<Strip>,
    /// Side by side, before the turn.
    size: Size,
    /// Turn 90 degrees clockwise afterwards.
    turn: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Strip {
    /// Target to source, row-major 3 x 3.
    inverse: [f64; 9],
    size: Size,
}

impl Strips {
    /// The strips between the two halves of `outline`, whose second half runs back under the first. `None` when it
    /// cannot be cut so: too few points, no width, a strip of less than a pixel or beyond OpenCV's limits.
    pub(super) fn along(outline: &[PointF], picture: Size) -> Option<Self> {
        let count = outline.len();
        if count < 10 || !count.is_multiple_of(2) {
            return None;
        }
        let turn = is_vertical(outline)?;
        let mut points = outline.to_vec();
        if turn {
            points.rotate_left(1);
        }
        let (widths, height) = sizes(&points, turn, picture);
        let mut strips = Vec::with_capacity(widths.len());
        for (i, width) in widths.into_iter().enumerate() {
            let strip = Size::new(width as u32, height as u32);
            if strip.area() == 0 || strip.width > MAX_SIDE || strip.height > MAX_SIDE {
                return None;
            }
            let corners = [points[i], points[i + 1], points[count - 2 - i], points[count - 1 - i]];
            strips.push(Strip { inverse: invert(&perspective(&corners, width, height)), size: strip });
        }
        let width = strips.iter().map(|strip| strip.size.width).sum();
        Some(Self { strips, size: Size::new(width, height as u32), turn })
    }

    /// Width and height of the finished crop.
    pub fn size(&self) -> Size {
        if self.turn { Size::new(self.size.height, self.size.width) } else { self.size }
    }

    /// Size before the turn, and whether there is one.
    pub(in crate::ops::warp) fn before_turn(&self) -> (Size, bool) {
        (self.size, self.turn)
    }

    /// Of each strip, from the head on, the matrix from its pixels to those of the picture, and its size.
    pub(in crate::ops::warp) fn each(&self) -> impl ExactSizeIterator<Item = (&[f64; 9], Size)> {
        self.strips.iter().map(|strip| (&strip.inverse, strip.size))
    }

    /// Fills `out` with the crop, taken from three-channel `src`; what lies outside of it is black.
    pub(super) fn warp(&self, src: ImageView, out: &mut Vec<u8>, scratch: &mut Scratch) {
        let row_bytes = self.size.width as usize * 3;
        let upright = if self.turn { &mut scratch.upright } else { &mut *out };
        upright.clear();
        upright.resize(self.size.area() as usize * 3, 0);
        let mut left = 0;
        for strip in &self.strips {
            let bytes = strip.size.width as usize * 3;
            for (y, row) in upright.chunks_exact_mut(row_bytes).enumerate() {
                row_positions(scratch.isa, &strip.inverse, strip.size, y, &mut scratch.row);
                linear::sample_row(src, &scratch.row, &mut row[left..left + bytes]);
            }
            left += bytes;
        }
        if self.turn {
            turn::turn_into(&scratch.upright, self.size, 3, 3, out);
        }
    }
}

/// Whether the text runs downwards; `None` for an outline without width.
fn is_vertical(outline: &[PointF]) -> Option<bool> {
    let extent = |axis: fn(&PointF) -> f32| {
        let (least, most) = outline.iter().map(axis).fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(v), b.max(v)));
        f64::from(most as i32) - f64::from(least as i32)
    };
    let (width, height) = (extent(|p| p.x), extent(|p| p.y));
    (width > 0.0).then_some(height / width > VERTICAL)
}

/// Width of each strip, the mean of its two edges, and the height of all, the mean distance of the lines.
///
/// Vertical text is measured as if the picture were turned, in coordinates rounded to f32.
fn sizes(points: &[PointF], turn: bool, picture: Size) -> (Vec<f32>, f32) {
    let half = points.len() / 2;
    let turned = |p: &PointF| PointF::new(p.y, (f64::from(picture.height) - f64::from(p.x) - 1.0) as f32);
    let points: Vec<PointF> = if turn { points.iter().map(turned).collect() } else { points.to_vec() };
    let distance = |p: PointF, q: PointF| {
        let difference = |a: f32, b: f32| if turn { f64::from(a - b) } else { f64::from(a) - f64::from(b) };
        let (dx, dy) = (difference(p.x, q.x), difference(p.y, q.y));
        (dx * dx + dy * dy).sqrt()
    };
    let edges: Vec<f64> = points.windows(2).map(|edge| distance(edge[1], edge[0])).collect();
    let across: Vec<f64> = (0..half).map(|i| distance(points[i], points[points.len() - 1 - i])).collect();
    let height = (pairwise_sum(&across) / half as f64).round_ties_even();
    let mut ends = vec![0.0];
    for i in 0..half - 1 {
        ends.push(ends[i] + (edges[i] + edges[edges.len() - 1 - i]) / 2.0);
    }
    // Positions are taken from the middle and rounded to f32 before they are compared.
    let middle = ends[half - 1] / 2.0;
    let rounded: Vec<f32> = ends.iter().map(|x| (x - middle) as f32).collect();
    let widths = rounded.windows(2).map(|ends| (ends[1] - ends[0]).abs()).collect();
    (widths, ((height - height / 2.0) as f32 - (-height / 2.0) as f32).abs())
}

/// A sum in the order in which NumPy adds fewer than 128 values.
fn pairwise_sum(values: &[f64]) -> f64 {
    let blocks = values.chunks_exact(8);
    let rest = blocks.remainder();
    let mut lanes = [0.0; 8];
    if values.len() < 8 {
        return values.iter().sum();
    }
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, v)| *lane += v);
    }
    let [a, b, c, d, e, f, g, h] = lanes;
    rest.iter().fold(((a + b) + (c + d)) + ((e + f) + (g + h)), |sum, v| sum + v)
}

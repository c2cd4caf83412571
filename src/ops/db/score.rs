//! Mean probability inside a polygon, over exactly the pixels that OpenCV's `fillPoly` (4.5.5) sets:
//! the scan lines between edges in 16-bit fixed point, and the 8-connected line of every edge.

use crate::image::{PointF, Size};

/// Fractional bits of edge positions.
const FRACTION: u32 = 16;
/// Added to horizontal positions in sort keys, to keep them positive.
const BIAS: i64 = 1 << 38;
/// Bits of a sort key below the row.
const ROW_SHIFT: u32 = 40;

/// Buffers of [`mean_inside`].
#[derive(Debug, Default)]
pub(super) struct FillScratch {
    vertices: Vec<(i64, i64)>,
    /// Row and fixed-point x where an edge meets a scan line.
    crossings: Vec<u64>,
    /// Row, first and last x of pixels that are inside; they may overlap.
    runs: Vec<(u32, u32, u32)>,
}

/// Mean of `map` inside `polygon`, corners cut to integers. The polygon is drawn into its own bounding window,
/// clipped to the map; what lies outside the window is clipped as OpenCV clips lines. Pixels that are no number
/// count as 0.
pub(super) fn mean_inside(map: &[f32], size: Size, polygon: &[PointF], scratch: &mut FillScratch) -> f64 {
    let (width, height) = (size.width as usize, size.height as usize);
    let bounds = |axis: fn(&PointF) -> f32, limit: usize| {
        let (least, most) = polygon.iter().map(axis).fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(v), b.max(v)));
        let clip = |v: f32| v.clamp(0.0, (limit - 1) as f32) as usize;
        (clip(least.floor()), clip(most.ceil()))
    };
    let (x0, x1) = bounds(|p| p.x, width);
    let (y0, y1) = bounds(|p| p.y, height);
    let FillScratch { vertices, crossings, runs } = scratch;
    vertices.clear();
    vertices.extend(polygon.iter().map(|p| ((p.x - x0 as f32) as i64, (p.y - y0 as f32) as i64)));
    let window = Window { right: (x1 - x0) as i64, bottom: (y1 - y0) as i64 };
    fill(vertices, window, crossings, runs);

    let (mut sum, mut count) = (0.0, 0u64);
    let (mut row, mut covered) = (u32::MAX, 0);
    for &(y, first, last) in &*runs {
        if y != row {
            (row, covered) = (y, 0);
        }
        let first = first.max(covered);
        if first > last {
            continue;
        }
        covered = last + 1;
        let start = (y0 + y as usize) * width + x0;
        sum += sum_of(&map[start + first as usize..start + covered as usize]);
        count += u64::from(covered - first);
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// Sum in f64; what is no number counts as 0.
fn sum_of(values: &[f32]) -> f64 {
    let mut lanes = [0.0; 8];
    let mut blocks = values.chunks_exact(8);
    for block in &mut blocks {
        for (lane, &v) in lanes.iter_mut().zip(block) {
            *lane += f64::from(v);
        }
    }
    let sum = lanes.iter().sum::<f64>() + blocks.remainder().iter().map(|&v| f64::from(v)).sum::<f64>();
    if sum.is_nan() { values.iter().filter(|v| !v.is_nan()).map(|&v| f64::from(v)).sum() } else { sum }
}

/// Largest coordinates of the mask that is drawn into; the least are 0.
#[derive(Clone, Copy)]
struct Window {
    right: i64,
    bottom: i64,
}

impl Window {
    fn contains(self, (x, y): (i64, i64)) -> bool {
        (0..=self.right).contains(&x) && (0..=self.bottom).contains(&y)
    }
}

/// Leaves the pixels of the polygon in `runs`, sorted.
fn fill(vertices: &[(i64, i64)], window: Window, crossings: &mut Vec<u64>, runs: &mut Vec<(u32, u32, u32)>) {
    crossings.clear();
    runs.clear();
    let Some(&last) = vertices.last() else { return };
    let mut from = last;
    for &to in vertices {
        let (mut p, mut q) = (from, to);
        let inside = window.contains(p) && window.contains(q) || clip_line(window, &mut p, &mut q);
        if inside {
            line(p, q, runs);
        }
        edge(from, to, window, crossings);
        from = to;
    }
    crossings.sort_unstable();
    for pair in crossings.chunks_exact(2) {
        let x = |key: u64| (key & ((1 << ROW_SHIFT) - 1)) as i64 - BIAS;
        let first = (x(pair[0]) + (1 << FRACTION) - 1) >> FRACTION;
        let last = x(pair[1]) >> FRACTION;
        if first <= window.right && last >= 0 && first <= last {
            runs.push(((pair[0] >> ROW_SHIFT) as u32, first.max(0) as u32, last.min(window.right) as u32));
        }
    }
    runs.sort_unstable();
}

/// Adds where an edge meets the rows of the window; its lower end belongs to the next edge.
fn edge(from: (i64, i64), to: (i64, i64), window: Window, crossings: &mut Vec<u64>) {
    let ((x, top), (end, bottom)) = if from.1 < to.1 { (from, to) } else { (to, from) };
    if top == bottom {
        return;
    }
    let slope = ((end - x) << FRACTION) / (bottom - top);
    for y in top.max(0)..bottom.min(window.bottom + 1) {
        crossings.push((y as u64) << ROW_SHIFT | ((x << FRACTION) + (y - top) * slope + BIAS) as u64);
    }
}

/// Cuts the line to the window and says whether any of it lies inside. As OpenCV does it, the ends are
/// moved one after the other and each move is cut to whole pixels.
fn clip_line(window: Window, p: &mut (i64, i64), q: &mut (i64, i64)) -> bool {
    let beside = |v: i64, most: i64| u8::from(v < 0) | u8::from(v > most) << 1;
    let moved = |by: i64, run: i64, rise: i64| (by as f64 * run as f64 / rise as f64) as i64;
    let (mut p_x, p_y) = (beside(p.0, window.right), beside(p.1, window.bottom));
    let (mut q_x, q_y) = (beside(q.0, window.right), beside(q.1, window.bottom));
    if p_x & q_x != 0 || p_y & q_y != 0 {
        return false;
    }
    for (end_y, end_is_p) in [(p_y, true), (q_y, false)] {
        if end_y != 0 {
            let to = if end_y == 1 { 0 } else { window.bottom };
            let (run, rise) = (q.0 - p.0, q.1 - p.1);
            let (end, side) = if end_is_p { (&mut *p, &mut p_x) } else { (&mut *q, &mut q_x) };
            end.0 += moved(to - end.1, run, rise);
            end.1 = to;
            *side = beside(end.0, window.right);
        }
    }
    if p_x & q_x != 0 {
        return false;
    }
    for (end_x, end_is_p) in [(p_x, true), (q_x, false)] {
        if end_x != 0 {
            let to = if end_x == 1 { 0 } else { window.right };
            let (run, rise) = (q.0 - p.0, q.1 - p.1);
            let end = if end_is_p { &mut *p } else { &mut *q };
            end.1 += moved(to - end.0, rise, run);
            end.0 = to;
        }
    }
    true
}

/// Adds the pixels of an 8-connected line inside the window, drawn left to right.
fn line(p: (i64, i64), q: (i64, i64), runs: &mut Vec<(u32, u32, u32)>) {
    let (p, q) = if q.0 < p.0 { (q, p) } else { (p, q) };
    let (dx, dy) = (q.0 - p.0, (q.1 - p.1).abs());
    let down = if q.1 < p.1 { -1 } else { 1 };
    let (long, short) = (dx.max(dy), dx.min(dy));
    let steep = dy > dx;
    let (mut x, mut y) = p;
    let mut error = long - 2 * short;
    let mut run_start = x;
    for left in (0..=long).rev() {
        let sideways = error < 0;
        error += if sideways { 2 * (long - short) } else { -2 * short };
        let next = match (steep, sideways) {
            (true, true) => (x + 1, y + down),
            (true, false) => (x, y + down),
            (false, true) => (x + 1, y + down),
            (false, false) => (x + 1, y),
        };
        if next.1 != y || left == 0 {
            runs.push((y as u32, run_start as u32, x as u32));
            run_start = next.0;
        }
        (x, y) = next;
    }
}

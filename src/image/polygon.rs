//! Convex hull, minimum-area rectangle, corner order, area and perimeter, as OpenCV 4.5 to 4.10 compute them.
//!
//! Everything downstream of text detection hangs on which rectangle is found, and two rectangles of nearly
//! equal area may lie far apart. So not only the geometry is OpenCV's but also what decides between ties:
//! the vertex at which the hull starts, the order in which edges are tried, and the rounding of every step to f32.

use super::geometry::PointF;
use std::f64::consts::PI;

/// A rectangle at any angle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RotatedRect {
    /// Corners in the order of OpenCV's `boxPoints`; see [`order_corners`] for a stable one.
    pub corners: [PointF; 4],
    /// Side along the hull edge the rectangle rests on, in pixels.
    pub width: f32,
    /// The other side, in pixels.
    pub height: f32,
}

impl RotatedRect {
    /// The shorter of the two sides.
    pub fn short_side(&self) -> f32 {
        self.width.min(self.height)
    }
}

/// Buffers of the hull and the rectangle, kept between calls.
#[derive(Debug, Default)]
pub struct HullScratch {
    /// Points as (x, y) sort key and index, ascending.
    sorted: Vec<(u64, u32)>,
    chain: Vec<u32>,
    hull: Vec<u32>,
    vertices: Vec<PointF>,
    edges: Vec<Edge>,
}

/// Rectangle of least area around `points`, in any order; OpenCV's `minAreaRect` followed by `boxPoints`.
/// One point gives a rectangle without extent, two a rectangle without height, none the default.
pub fn min_area_rect(points: &[PointF]) -> RotatedRect {
    min_area_rect_with(points, &mut HullScratch::default())
}

/// [`min_area_rect`] that allocates nothing once `scratch` has grown.
pub fn min_area_rect_with(points: &[PointF], scratch: &mut HullScratch) -> RotatedRect {
    hull_into(points, scratch);
    match *scratch.vertices.as_slice() {
        [] => RotatedRect::default(),
        [p] => RotatedRect { corners: [p; 4], width: 0.0, height: 0.0 },
        [p, q] => {
            let (dx, dy) = ((q.x - p.x) as f64, (q.y - p.y) as f64);
            let centre = PointF::new((p.x + q.x) * 0.5, (p.y + q.y) * 0.5);
            box_points(centre, (dx * dx + dy * dy).sqrt() as f32, 0.0, dy.atan2(dx) as f32)
        }
        _ => rotating_calipers(&scratch.vertices, &mut scratch.edges),
    }
}

/// Top-left, top-right, bottom-right, bottom-left: the two leftmost corners by x (ties keep their order),
/// of each pair the one with the smaller y first. On equal y the later one counts as the upper.
pub fn order_corners(mut corners: [PointF; 4]) -> [PointF; 4] {
    corners.sort_by(|a, b| a.x.total_cmp(&b.x));
    let [a, b, c, d] = corners;
    let (top_left, bottom_left) = if b.y > a.y { (a, b) } else { (b, a) };
    let (top_right, bottom_right) = if d.y > c.y { (c, d) } else { (d, c) };
    [top_left, top_right, bottom_right, bottom_left]
}

/// Area enclosed by the ring in square pixels, never negative; OpenCV's `contourArea`.
pub fn area(ring: &[PointF]) -> f64 {
    let doubled: f64 = closed_edges(ring).map(|(p, q)| p.x as f64 * q.y as f64 - p.y as f64 * q.x as f64).sum();
    (doubled * 0.5).abs()
}

/// Length of the closed ring in pixels; OpenCV's `arcLength(ring, true)`.
pub fn perimeter(ring: &[PointF]) -> f64 {
    closed_edges(ring).map(|(p, q)| p.distance(q) as f64).sum()
}

/// Every edge of a ring, the closing one first.
fn closed_edges(ring: &[PointF]) -> impl Iterator<Item = (PointF, PointF)> + '_ {
    let before = ring.last().into_iter().chain(ring);
    before.copied().zip(ring.iter().copied())
}

/// Maps floats to integers of the same order (zero has one form).
fn sort_key(v: f32) -> u64 {
    let bits = (v + 0.0).to_bits();
    u64::from(if bits >> 31 == 1 { !bits } else { bits | 1 << 31 })
}

/// Leaves the strictly convex hull of `points` (no three vertices on a line) in `scratch.vertices`, counter-clockwise with y pointing up.
/// The first vertex is the one OpenCV's `convexHull(points, clockwise=false)` starts with.
/// One point gives one vertex, points on one line give two, no points give none.
fn hull_into(points: &[PointF], scratch: &mut HullScratch) {
    let HullScratch { sorted, chain, hull, vertices, .. } = scratch;
    hull.clear();
    vertices.clear();
    if points.is_empty() {
        return;
    }
    sorted.clear();
    sorted.extend(points.iter().zip(0..).map(|(p, i)| (sort_key(p.x) << 32 | sort_key(p.y), i)));
    sorted.sort_unstable();
    let last = sorted.len() - 1;
    if sorted[0].0 == sorted[last].0 {
        vertices.push(points[0]);
        return;
    }
    let y_key = |at: usize| sorted[at].0 as u32;
    let (mut low, mut high) = (0, 0);
    for at in 1..sorted.len() {
        if y_key(at) < y_key(low) {
            low = at;
        }
        if y_key(at) > y_key(high) {
            high = at;
        }
    }
    // From the rightmost point over the one of greatest y to the leftmost, then over the one of least y back.
    let at = |i: usize| sorted[i].1;
    quarter(points, (high..=last).rev().map(at), 1.0, -1.0, chain);
    hull.extend(&chain[..chain.len() - 1]);
    quarter(points, (0..=high).map(at), 1.0, 1.0, chain);
    hull.extend(chain[1..].iter().rev());
    quarter(points, (0..=low).map(at), -1.0, -1.0, chain);
    hull.extend(&chain[..chain.len() - 1]);
    quarter(points, (low..=last).rev().map(at), -1.0, 1.0, chain);
    hull.extend(chain[1..].iter().rev());
    start_as_given(hull, chain);
    vertices.extend(hull.iter().map(|&i| points[i as usize]));
}

/// Hull vertices on the way from the first point of `walk` to its last, which is extreme in y.
/// `towards` is the sign of that y direction, `turn` the sign of a cross product at a hull vertex.
/// Of equal points on the way the last counts.
fn quarter(points: &[PointF], walk: impl Iterator<Item = u32>, towards: f32, turn: f64, chain: &mut Vec<u32>) {
    chain.clear();
    for index in walk {
        let next = points[index as usize];
        if let Some(&last) = chain.last() {
            let current = points[last as usize];
            if next == current && chain.len() > 1 {
                chain.pop();
                chain.push(index);
            }
            if (next.y - current.y) * towards < 0.0 || next == current {
                continue;
            }
        }
        while let [.., a, b] = chain[..] {
            let (a, b) = (points[a as usize], points[b as usize]);
            let cross = (b.y - a.y) as f64 * (next.x - b.x) as f64 - (b.x - a.x) as f64 * (next.y - b.y) as f64;
            if cross * turn > 0.0 {
                break;
            }
            chain.pop();
        }
        chain.push(index);
    }
}

/// When the vertices, read around the ring, ascend or descend in the order their points were given
/// (as those of a contour do), starts the ring at the first or last of them: OpenCV does, and it decides ties.
fn start_as_given(hull: &mut [u32], buffer: &mut Vec<u32>) {
    let n = hull.len();
    if n < 3 {
        return;
    }
    let lowest = (0..n).min_by_key(|&i| hull[i]).unwrap_or(0);
    let highest = (0..n).max_by_key(|&i| hull[i]).unwrap_or(0);
    let steps_hold = |start: usize, ascending: bool| (0..n - 1).all(|i| (hull[(start + i) % n] < hull[(start + i + 1) % n]) == ascending);
    let start = match (steps_hold(lowest, true), steps_hold(highest, false)) {
        (true, _) => lowest,
        (_, true) => highest,
        _ => return,
    };
    buffer.clear();
    buffer.extend_from_slice(hull);
    buffer.rotate_left(start);
    hull.copy_from_slice(buffer);
}

/// From one hull vertex to the next.
#[derive(Clone, Copy, Debug)]
struct Edge {
    x: f32,
    y: f32,
    inverse_length: f32,
}

/// The rectangle of least area around a hull of at least three vertices in the order of [`hull_into`].
///
/// Four supporting lines start parallel to the axes and turn to the next hull edge, once for each vertex.
/// Of equal areas the last counts. Arithmetic is f32 wherever OpenCV's is.
fn rotating_calipers(hull: &[PointF], edges: &mut Vec<Edge>) -> RotatedRect {
    let n = hull.len();
    edges.clear();
    edges.extend((0..n).map(|i| {
        let (p, q) = (hull[i], hull[(i + 1) % n]);
        let (x, y) = (q.x - p.x, q.y - p.y);
        let (dx, dy) = (f64::from(x), f64::from(y));
        Edge { x, y, inverse_length: (1.0 / (dx * dx + dy * dy).sqrt()) as f32 }
    }));
    // Supporting vertices of the sides at least y, greatest x, greatest y, least x; the first of equals.
    let mut support = [0; 4];
    for (i, p) in hull.iter().enumerate() {
        let [low, right, high, left] = support.map(|s| hull[s]);
        for (side, beyond) in [p.y < low.y, p.x > right.x, p.y > high.y, p.x < left.x].into_iter().enumerate() {
            if beyond {
                support[side] = i;
            }
        }
    }
    let mut best = Candidate { area: f32::MAX, ..Candidate::default() };
    for _ in 0..n {
        // Each side's next edge, turned so that all four compare against the direction of the first side.
        let turned = |side: usize| {
            let e = edges[support[side]];
            match side {
                0 => (e.x, e.y),
                1 => (e.y, -e.x),
                2 => (-e.x, -e.y),
                _ => (-e.y, e.x),
            }
        };
        let mut leading = 0;
        for side in 1..4 {
            let ((x, y), (lead_x, lead_y)) = (turned(side), turned(leading));
            if y * lead_x - x * lead_y < 0.0 {
                leading = side;
            }
        }
        let inverse_length = edges[support[leading]].inverse_length;
        let (a, b) = (turned(leading).0 * inverse_length, turned(leading).1 * inverse_length);
        support[leading] = (support[leading] + 1) % n;

        let [bottom, right, top, left] = support.map(|i| hull[i]);
        let width = (right.x - left.x) * a + (right.y - left.y) * b;
        let height = (top.y - bottom.y) * a - (top.x - bottom.x) * b;
        let area = width * height;
        if area <= best.area {
            best = Candidate { area, a, b, width, height, left, bottom };
        }
    }
    let Candidate { a, b, width, height, left, bottom, .. } = best;
    // The corner is where the line through `left` and the line through `bottom` meet.
    let along = a * left.x + left.y * b;
    let across = -b * bottom.x + bottom.y * a;
    let inverse_det = 1.0 / (a * a + b * b);
    let corner = PointF::new((along * a - across * b) * inverse_det, (a * across + b * along) * inverse_det);
    let (side, other) = ((a * width, b * width), (-b * height, a * height));
    let centre = PointF::new(corner.x + (side.0 + other.0) * 0.5, corner.y + (side.1 + other.1) * 0.5);
    let length = |(x, y): (f32, f32)| (f64::from(x) * f64::from(x) + f64::from(y) * f64::from(y)).sqrt() as f32;
    box_points(centre, length(side), length(other), f64::from(side.1).atan2(f64::from(side.0)) as f32)
}

/// One position of the calipers: direction (a, b) of the first side, sizes, and two supporting vertices.
#[derive(Clone, Copy, Default)]
struct Candidate {
    area: f32,
    a: f32,
    b: f32,
    width: f32,
    height: f32,
    left: PointF,
    bottom: PointF,
}

/// Corners of a rectangle from its centre, sides and angle in radians. OpenCV hands the angle on in f32 degrees;
/// the error of that (up to 0.001 px on a side of 10^4) is part of the result.
fn box_points(centre: PointF, width: f32, height: f32, angle: f32) -> RotatedRect {
    let degrees = (f64::from(angle * 180.0) / PI) as f32;
    let radians = f64::from(degrees) * PI / 180.0;
    let (b, a) = (radians.cos() as f32 * 0.5, radians.sin() as f32 * 0.5);
    let p = PointF::new(centre.x - a * height - b * width, centre.y + b * height - a * width);
    let q = PointF::new(centre.x + a * height - b * width, centre.y - b * height - a * width);
    let opposite = |r: PointF| PointF::new(2.0 * centre.x - r.x, 2.0 * centre.y - r.y);
    RotatedRect { corners: [p, q, opposite(p), opposite(q)], width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(xy: &[(f32, f32)]) -> Vec<PointF> {
        xy.iter().map(|&(x, y)| PointF::new(x, y)).collect()
    }

    fn hull(points: &[PointF]) -> Vec<PointF> {
        let mut scratch = HullScratch::default();
        hull_into(points, &mut scratch);
        scratch.vertices
    }

    #[test]
    fn hull_leaves_out_inner_collinear_and_repeated_points() {
        let cloud = points(&[(0., 0.), (4., 0.), (4., 0.), (2., 0.), (4., 4.), (2., 2.), (0., 4.), (0., 1.)]);
        let mut vertices = hull(&cloud);
        vertices.sort_by(|a, b| (a.x, a.y).partial_cmp(&(b.x, b.y)).unwrap());
        assert_eq!(vertices, points(&[(0., 0.), (0., 4.), (4., 0.), (4., 4.)]));
        assert_eq!(hull(&points(&[(1., 1.), (3., 3.), (2., 2.)])).len(), 2);
        assert_eq!(hull(&points(&[(1., 1.), (1., 1.)])).len(), 1);
        assert!(hull(&[]).is_empty());
    }

    #[test]
    fn corners_start_top_left_and_run_clockwise() {
        let ordered = points(&[(1., 2.), (9., 0.), (10., 5.), (2., 7.)]);
        for turn in 0..4 {
            let mut corners = ordered.clone();
            corners.rotate_left(turn);
            assert_eq!(order_corners(corners.try_into().unwrap())[..], ordered[..]);
        }
        // Level pairs: the later one in x order is the upper.
        let level = order_corners([PointF::new(0., 1.), PointF::new(1., 1.), PointF::new(5., 3.), PointF::new(6., 3.)]);
        assert_eq!(level[..], points(&[(1., 1.), (6., 3.), (5., 3.), (0., 1.)]));
    }

    #[test]
    fn values_that_are_no_numbers_do_no_harm() {
        for bad in [f32::NAN, f32::INFINITY, -f32::INFINITY] {
            min_area_rect(&points(&[(0., 0.), (bad, 3.), (5., bad), (5., 5.), (bad, bad)]));
        }
    }
}

//! Where a curved text begins and ends: the two edges of its outline that are its head and its tail. Between
//! them lie the two lines along the text.

use crate::image::PointI;
use std::f64::consts::PI;

/// Length, in units of the other pair, from which on the longer pair of edges of a quadrangle is the text's length.
const LONG_SIDES: f64 = 2.0;
/// Keeps divisions by a length defined; part of the rule.
const EPSILON: f64 = 1e-8;

/// The lines from head to tail and from tail to head of a ring; `None` for fewer than four points.
pub(super) fn side_lines(ring: &[PointI]) -> Option<[Vec<PointI>; 2]> {
    let count = ring.len();
    let (head_end, tail_end) = match count {
        0..4 => return None,
        4 => ends_of_quadrangle(ring),
        _ => ends_of_polygon(ring),
    };
    let tail_end = if tail_end < 1 { count } else { tail_end };
    let points = |range: std::ops::Range<usize>| range.map(|i| ring[i % count]).collect();
    Some([points(head_end..tail_end), points(tail_end..head_end + count)])
}

/// Index of the point at which the head edge ends, and the same of the tail edge.
fn ends_of_quadrangle(ring: &[PointI]) -> (usize, usize) {
    let edge = |i: usize| vector(ring[i], ring[(i + 1) % 4]);
    let slope = |i: usize| (edge(i).1 / (edge(i).0 + EPSILON)).abs();
    let length = |i: usize| norm(edge(i));
    // Edges 0 and 2 against edges 1 and 3.
    let first_pair_is_level = slope(0) + slope(2) < slope(1) + slope(3);
    let (level, upright) = if first_pair_is_level { ([0, 2], [3, 1]) } else { ([3, 1], [0, 2]) };
    let is_tall = length(upright[0]) + length(upright[1]) > (length(level[0]) + length(level[1])) * LONG_SIDES;
    let [head, tail] = if is_tall { level } else { upright };
    ((head + 1) % 4, (tail + 1) % 4)
}

/// As [`ends_of_quadrangle`]: an end is an edge at which the outline turns back, far from the middle, and the
/// two ends have about as many edges between them on either side.
fn ends_of_polygon(ring: &[PointI]) -> (usize, usize) {
    let count = ring.len();
    let scores = edge_scores(ring);
    let spread: Vec<f64> = (0..count - 3).map(|k| k as f64 / (count - 4) as f64).map(bell).collect();
    let peak = spread.iter().copied().fold(f64::MIN, f64::max);
    // Where all points are one no score is a number, and the first pair counts, as in NumPy.
    let (mut best, mut head, mut tail) = (f64::MIN, 0, 2);
    for i in 0..count {
        for (k, spread) in spread.iter().enumerate() {
            let other = (i + 2 + k) % count;
            let score = scores[i] + scores[other] * (spread / peak) * 0.3;
            if score > best {
                (best, head, tail) = (score, i, other);
            }
        }
    }
    let (head_end, tail_end) = ((head + 1) % count, (tail + 1) % count);
    (head_end.min(tail_end), head_end.max(tail_end))
}

/// How likely each edge, from point i to the next, is an end of the text.
fn edge_scores(ring: &[PointI]) -> Vec<f64> {
    let count = ring.len();
    let edges: Vec<_> = (0..count).map(|i| vector(ring[i], ring[(i + 1) % count])).collect();
    let mean = |axis: fn(&PointI) -> i32| ring.iter().map(|p| f64::from(axis(p))).sum::<f64>() / count as f64;
    let centre = (mean(|p| p.x), mean(|p| p.y));
    let from_centre: Vec<f64> = ring.iter().map(|p| norm((f64::from(p.x) - centre.0, f64::from(p.y) - centre.1))).collect();
    let reach: Vec<f64> = (0..count).map(|i| from_centre[(i + 1) % count].max(from_centre[i])).collect();
    let farthest = reach.iter().copied().fold(f64::MIN, f64::max);
    (0..count)
        .map(|i| {
            let (before, after) = (edges[(i + count - 1) % count], edges[(i + 1) % count]);
            let turns = (angle(edges[i], before) + angle(edges[i], after)) / PI;
            let turned_back = angle(before, after) / PI;
            let opposite = count.is_multiple_of(2) && (i == count / 2 - 1 || i == count - 1);
            let score = 0.5 * turns + 0.15 * turned_back + 0.35 * (reach[i] / farthest);
            score + 0.1 * f64::from(u8::from(opposite))
        })
        .collect()
}

/// A normal distribution around the middle of 0..1.
fn bell(x: f64) -> f64 {
    let off = (x - 0.5) / 0.5;
    1.0 / ((2.0 * PI).sqrt() * 0.5) * (-(off * off) / 2.0).exp()
}

/// Between two directions, in radians.
fn angle(a: (f64, f64), b: (f64, f64)) -> f64 {
    let (length_a, length_b) = (norm(a) + EPSILON, norm(b) + EPSILON);
    let cosine = (a.0 / length_a) * (b.0 / length_b) + (a.1 / length_a) * (b.1 / length_b);
    cosine.clamp(-1.0, 1.0).acos()
}

fn vector(from: PointI, to: PointI) -> (f64, f64) {
    (f64::from(to.x) - f64::from(from.x), f64::from(to.y) - f64::from(from.y))
}

fn norm((x, y): (f64, f64)) -> f64 {
    (x * x + y * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(xy: &[(i32, i32)]) -> [Vec<(i32, i32)>; 2] {
        let ring: Vec<_> = xy.iter().map(|&(x, y)| PointI::new(x, y)).collect();
        side_lines(&ring).unwrap().map(|side| side.iter().map(|p| (p.x, p.y)).collect())
    }

    #[test]
    fn a_quadrangle_is_split_along_its_length() {
        assert_eq!(lines(&[(0, 0), (90, 0), (90, 20), (0, 20)]), [vec![(0, 0), (90, 0)], vec![(90, 20), (0, 20)]]);
        assert_eq!(lines(&[(0, 0), (20, 0), (20, 90), (0, 90)]), [vec![(20, 0), (20, 90)], vec![(0, 90), (0, 0)]]);
    }

    #[test]
    fn a_bent_band_is_split_at_its_narrow_ends() {
        // Along the top from the left, down the short right end, and back.
        let band = [(0, 40), (20, 12), (50, 0), (80, 12), (100, 40), (85, 50), (70, 30), (50, 22), (30, 30), (15, 50)];
        let [a, b] = lines(&band);
        let (upper, lower) = if a.contains(&(50, 0)) { (a, b) } else { (b, a) };
        assert_eq!(upper, band[..5]);
        assert_eq!(lower, band[5..]);
    }

    #[test]
    fn too_few_points_have_no_sides() {
        assert!(side_lines(&[PointI::new(0, 0); 3]).is_none());
        assert!(side_lines(&[PointI::new(7, 7); 6]).is_some());
    }
}

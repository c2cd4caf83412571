//! Fewer points for a closed outline, after Ramer, Douglas and Peucker: OpenCV's `approxPolyDP`, whose choice of the first two
//! points and whose last look for almost straight corners decide which points are left.

use crate::image::PointF;

/// Points of `ring` that keep it within `epsilon` of itself, in its order. Coordinates must be whole numbers.
pub(super) fn simplify(ring: &[PointF], epsilon: f64, kept: &mut Vec<PointF>) {
    kept.clear();
    let count = ring.len();
    if count == 0 {
        return;
    }
    let tolerance = epsilon * epsilon;
    // The point farthest from the first, the one farthest from that, and once more.
    let (mut start, mut far, mut reach) = (0, 0, 0.0);
    for _ in 0..3 {
        start = (start + far) % count;
        (far, reach) = (0, 0.0);
        for step in 1..count {
            let distance = squared(ring[start], ring[(start + step) % count]);
            if distance > reach {
                (far, reach) = (step, distance);
            }
        }
    }
    if reach <= tolerance {
        kept.push(ring[start]);
    } else {
        let middle = (start + far) % count;
        let mut pieces = vec![(middle, start), (start, middle)];
        while let Some((from, to)) = pieces.pop() {
            match farthest_from_chord(ring, from, to, tolerance) {
                None => kept.push(ring[from]),
                Some(at) => pieces.extend([(at, to), (from, at)]),
            }
        }
    }
    straighten(kept, tolerance);
}

/// The point between `from` and `to` that lies farthest from their chord, if farther than the tolerance.
fn farthest_from_chord(ring: &[PointF], from: usize, to: usize, tolerance: f64) -> Option<usize> {
    let (a, b) = (ring[from], ring[to]);
    let (dx, dy) = difference(b, a);
    let chord = dx * dx + dy * dy;
    let (mut at, mut reach) = (from, 0.0);
    let mut next = (from + 1) % ring.len();
    while next != to {
        let (x, y) = difference(ring[next], a);
        // Where an outline comes back to the point it left, the distance from that point counts. OpenCV gives up there.
        let distance = if chord == 0.0 { (x * x + y * y).sqrt() } else { (y * dx - x * dy).abs() };
        if distance > reach {
            (at, reach) = (next, distance);
        }
        next = (next + 1) % ring.len();
    }
    let scale = if chord == 0.0 { 1.0 } else { chord };
    (reach * reach > tolerance * scale).then_some(at)
}

/// Leaves out corners that are almost straight: one after another, each judged against what is left before it.
fn straighten(points: &mut Vec<PointF>, tolerance: f64) {
    let count = points.len();
    let mut left = count;
    let mut read = count.saturating_sub(1);
    let mut next = |points: &[PointF]| {
        let point = points[read];
        read = (read + 1) % count;
        point
    };
    if count < 3 {
        return;
    }
    let mut write = count - 1;
    let mut before = next(points);
    write = (write + 1) % count;
    let mut corner = next(points);
    let mut seen = 0;
    while seen < count && left > 2 {
        let after = next(points);
        let (dx, dy) = difference(after, before);
        let (x, y) = difference(corner, before);
        let (ahead_x, ahead_y) = difference(after, corner);
        let distance = (x * dy - y * dx).abs();
        let goes_on = x * ahead_x + y * ahead_y >= 0.0;
        let straight = distance * distance <= 0.5 * tolerance * (dx * dx + dy * dy) && dx != 0.0 && dy != 0.0 && goes_on;
        if straight {
            left -= 1;
            before = after;
            points[write] = before;
            corner = next(points);
            seen += 1;
        } else {
            before = corner;
            points[write] = before;
            corner = after;
        }
        write = (write + 1) % count;
        seen += 1;
    }
    points.truncate(left);
}

fn difference(a: PointF, b: PointF) -> (f64, f64) {
    (f64::from(a.x) - f64::from(b.x), f64::from(a.y) - f64::from(b.y))
}

pub(super) fn squared(a: PointF, b: PointF) -> f64 {
    let (dx, dy) = difference(a, b);
    dx * dx + dy * dy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simplified(xy: &[(f32, f32)], epsilon: f64) -> Vec<(f32, f32)> {
        let ring: Vec<_> = xy.iter().map(|&(x, y)| PointF::new(x, y)).collect();
        let mut kept = Vec::new();
        simplify(&ring, epsilon, &mut kept);
        kept.iter().map(|p| (p.x, p.y)).collect()
    }

    #[test]
    fn small_dents_go_and_corners_stay() {
        let dented = [(0., 0.), (5., 1.), (10., 0.), (10., 10.), (0., 10.)];
        assert_eq!(simplified(&dented, 2.0).len(), 4);
        assert_eq!(simplified(&dented, 0.5).len(), 5);
    }

    #[test]
    fn odd_outlines_are_answered() {
        assert!(simplified(&[], 1.0).is_empty());
        assert_eq!(simplified(&[(3., 3.)], 1.0), [(3., 3.)]);
        assert_eq!(simplified(&[(3., 3.), (3., 3.), (3., 3.)], 0.0), [(3., 3.)]);
        assert_eq!(simplified(&[(0., 0.), (9., 0.)], 1.0).len(), 2);
        // A line there and back, which meets itself.
        let there_and_back = [(0., 0.), (4., 0.), (8., 3.), (4., 0.), (0., 0.), (4., 6.)];
        assert!(simplified(&there_and_back, 0.5).len() >= 3);
    }
}

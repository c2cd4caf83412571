//! Growing a polygon outwards with round corners, as Clipper 6 offsets a closed ring.

use crate::image::PointF;
use crate::image::polygon::{area, perimeter};
use std::f64::consts::PI;

/// Largest distance between a round corner and its polygon, in pixels; the default of Clipper 6.
const ARC_TOLERANCE: f64 = 0.25;

/// Offsets `quad` outwards by area x `ratio` / perimeter into `ring`, as [`offset`] does.
///
/// The ring ends at its topmost point, of several the rightmost, where Clipper's ends too: the order of points
/// decides between rectangles of equal area. Points that Clipper's final clean-up would drop for lying on
/// a line or in a dent of rounding are still there, as they cannot be corners of the convex hull.
pub(super) fn unclip(quad: &[PointF; 4], ratio: f64, ring: &mut Vec<PointF>) {
    offset(quad, area(quad) * ratio / perimeter(quad), ring);
    end_at_top(ring);
}

/// Turns the ring so that it ends at its topmost point, of several the rightmost.
fn end_at_top(ring: &mut [PointF]) {
    let higher =
        |&i: &usize, &j: &usize| (ring[i].y, -ring[i].x).partial_cmp(&(ring[j].y, -ring[j].x)).unwrap_or(std::cmp::Ordering::Equal);
    if let Some(end) = (0..ring.len()).min_by(higher) {
        let first = (end + 1) % ring.len();
        ring.rotate_left(first);
    }
}

/// Moves every edge of `polygon` outwards by `distance` and joins them with arcs, into `ring`: integer coordinates,
/// clockwise on the screen. The corners are cut to integers first. `ring` stays empty when fewer than three distinct ones
/// are left. Around a concave polygon the ring may cross itself.
pub(super) fn offset(polygon: &[PointF], distance: f64, ring: &mut Vec<PointF>) {
    ring.clear();
    let mut corners: Vec<(f64, f64)> = polygon.iter().map(|p| (f64::from(p.x.trunc()), f64::from(p.y.trunc()))).collect();
    corners.dedup();
    while corners.len() > 1 && corners.first() == corners.last() {
        corners.pop();
    }
    let count = corners.len();
    if count < 3 || !distance.is_finite() || distance <= 0.0 {
        return;
    }
    let doubled_area: f64 = (0..count).map(|i| (corners[i], corners[(i + 1) % count])).map(|(p, q)| p.0 * q.1 - p.1 * q.0).sum();
    if doubled_area < 0.0 {
        corners.reverse();
    }
    let normals: Vec<(f64, f64)> = (0..count)
        .map(|i| {
            let (p, q) = (corners[i], corners[(i + 1) % count]);
            let (dx, dy) = (q.0 - p.0, q.1 - p.1);
            let inverse = 1.0 / (dx * dx + dy * dy).sqrt();
            (dy * inverse, -dx * inverse)
        })
        .collect();

    let tolerance = ARC_TOLERANCE.min(distance * ARC_TOLERANCE);
    let steps = (PI / (1.0 - tolerance / distance).acos()).min(distance * PI);
    let (turn_sin, turn_cos) = (2.0 * PI / steps).sin_cos();
    let steps_per_radian = steps / (2.0 * PI);
    let mut emit = |p: (f64, f64), n: (f64, f64)| {
        // f64::round rounds half away from zero, as Clipper does.
        let point = PointF::new((p.0 + n.0 * distance).round() as f32, (p.1 + n.1 * distance).round() as f32);
        if ring.last() != Some(&point) {
            ring.push(point);
        }
    };
    let mut before = normals[count - 1];
    for (&p, &after) in corners.iter().zip(&normals) {
        let sin = before.0 * after.1 - after.0 * before.1;
        let cos = before.0 * after.0 + before.1 * after.1;
        if (sin * distance).abs() < 1.0 && cos > 0.0 {
            emit(p, before);
            // Clipper keeps the old normal for the next corner here; it shows at distances below 1.
            continue;
        }
        if sin * distance < 0.0 {
            emit(p, before);
            emit(p, (0.0, 0.0));
            emit(p, after);
        } else {
            let mut n = before;
            for _ in 0..(steps_per_radian * sin.min(1.0).atan2(cos).abs()).round().max(1.0) as u32 {
                emit(p, n);
                n = (n.0 * turn_cos - turn_sin * n.1, n.0 * turn_sin + n.1 * turn_cos);
            }
            emit(p, after);
        }
        before = after;
    }
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
}

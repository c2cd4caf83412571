//! Fewer or evenly spaced points on a line.

use crate::image::PointI;

/// An edge shorter than this part of the mean joins its two ends.
const SHORT_EDGE: f64 = 0.9;
/// Keeps divisions by a count or length defined; part of the rule, as it moves points by a hair.
const EPSILON: f64 = 1e-8;

/// Replaces points of a ring that lie near each other by their mean, cut to whole pixels.
pub(super) fn merge_near(ring: &[PointI]) -> Vec<PointI> {
    if ring.is_empty() {
        return Vec::new();
    }
    let lengths = edge_lengths(ring);
    let mean = lengths.iter().sum::<f64>() / (lengths.len() as f64 + EPSILON);
    let mut groups: Vec<Vec<PointI>> = vec![vec![ring[0]]];
    for (&point, &length) in ring[1..].iter().zip(&lengths) {
        match groups.last_mut() {
            Some(group) if length < SHORT_EDGE * mean => group.push(point),
            _ => groups.push(vec![point]),
        }
    }
    if distance(ring[0], ring[ring.len() - 1]) < SHORT_EDGE * mean
        && let Some(last) = groups.pop()
        && let Some(first) = groups.first_mut()
    {
        first.extend(last);
    }
    groups.iter().map(|group| mean_of(group)).collect()
}

fn mean_of(group: &[PointI]) -> PointI {
    let mean = |axis: fn(&PointI) -> i32| (group.iter().map(|p| f64::from(axis(p))).sum::<f64>() / group.len() as f64) as i32;
    PointI::new(mean(|p| p.x), mean(|p| p.y))
}

/// `count` points at equal distances along an open line of at least two points; fewer when it has no length.
pub(super) fn resample(line: &[PointI], count: usize) -> Vec<(f64, f64)> {
    let lengths = edge_lengths(line);
    let mut ends = vec![0.0];
    for length in &lengths {
        ends.push(ends[ends.len() - 1] + length);
    }
    let float = |p: PointI| (f64::from(p.x), f64::from(p.y));
    let step = lengths.iter().sum::<f64>() / ((count - 1) as f64 + EPSILON);
    let mut points = vec![float(line[0])];
    let mut edge = 0;
    for i in 1..count - 1 {
        let along = i as f64 * step;
        while edge + 1 < ends.len() && along >= ends[edge + 1] {
            edge += 1;
        }
        let Some(length) = lengths.get(edge) else { break };
        let part = (along - ends[edge]) / length;
        let (from, to) = (float(line[edge]), float(line[edge + 1]));
        points.push((from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part));
    }
    points.push(float(line[line.len() - 1]));
    points
}

fn edge_lengths(line: &[PointI]) -> Vec<f64> {
    line.windows(2).map(|edge| distance(edge[0], edge[1])).collect()
}

fn distance(a: PointI, b: PointI) -> f64 {
    let (dx, dy) = (f64::from(a.x) - f64::from(b.x), f64::from(a.y) - f64::from(b.y));
    (dx * dx + dy * dy).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(xy: &[(i32, i32)]) -> Vec<PointI> {
        xy.iter().map(|&(x, y)| PointI::new(x, y)).collect()
    }

    #[test]
    fn near_points_are_merged_also_over_the_start() {
        let ring = points(&[(0, 0), (40, 0), (42, 1), (44, 2), (44, 40), (0, 40), (0, 3)]);
        assert_eq!(merge_near(&ring), points(&[(0, 1), (42, 1), (44, 40), (0, 40)]));
        assert_eq!(merge_near(&points(&[(1, 1), (1, 1)])).len(), 2, "no edge is shorter than the mean of none");
        assert!(merge_near(&[]).is_empty());
    }

    #[test]
    fn points_are_spaced_evenly_along_the_line() {
        let even = resample(&points(&[(0, 0), (6, 0), (6, 9)]), 6);
        for (found, expected) in even.iter().zip([(0., 0.), (3., 0.), (6., 0.), (6., 3.), (6., 6.), (6., 9.)]) {
            assert!((found.0 - expected.0).abs() < 1e-6 && (found.1 - expected.1).abs() < 1e-6, "{even:?}");
        }
        assert_eq!(resample(&points(&[(2, 2), (2, 2)]), 6), [(2., 2.), (2., 2.)]);
    }
}

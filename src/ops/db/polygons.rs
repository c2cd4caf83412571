//! Text of any shape: the outlines themselves, simplified and grown, instead of rectangles around them.

use super::approx::{simplify, squared};
use super::clipper;
use super::cpu::DbScratch;
use super::score::mean_inside;
use super::unclip::offset;
use super::{DbParams, ProbabilityMap, TextPolygon};
use crate::error::Result;
use crate::image::polygon::{area, min_area_rect_with, perimeter};
use crate::image::{PointF, PointI, Size};

/// How far simplification may move an outline, as a part of its length.
const SIMPLIFICATION: f64 = 0.002;
/// Least short side of the rectangle around a grown polygon, in map pixels.
const MIN_SIDE: f32 = 5.0;

/// Text regions of one probability map as polygons of at least three points, in the order in which OpenCV lists their outlines
/// (the lowest first). `params.score_mode` does not matter: the score is the mean inside the simplified outline.
/// A region that grows into itself, around a hole or in pieces, is left out.
///
/// # Errors
/// When the number of values does not fit the size of the map.
pub fn polygons(map: ProbabilityMap, params: &DbParams, scratch: &mut DbScratch) -> Result<Vec<TextPolygon>> {
    let ProbabilityMap { data, size, original } = map;
    scratch.outline(map, params)?;
    let DbScratch { contours, hull, fill, ring, .. } = scratch;
    let (mut outline, mut found) = (Vec::new(), Vec::new());
    for index in 0..contours.len().min(params.max_candidates) {
        let contour = contours.get(index);
        simplify(contour, SIMPLIFICATION * perimeter(contour), &mut outline);
        if outline.len() < 4 {
            continue;
        }
        let score = mean_inside(data, size, &outline, fill);
        if score.is_nan() || score < params.box_thresh {
            continue;
        }
        offset(&outline, area(&outline) * params.unclip_ratio / length(&outline), ring);
        if !make_simple(ring) || min_area_rect_with(ring, hull).short_side() < MIN_SIDE {
            continue;
        }
        let points = ring.iter().map(|&p| to_original(p, size, original)).collect();
        found.push(TextPolygon { points, score: score as f32 });
    }
    Ok(found)
}

/// Length of a closed ring, in f64 throughout as GEOS has it.
fn length(ring: &[PointF]) -> f64 {
    let to = ring.iter().cycle().skip(1);
    ring.iter().zip(to).map(|(p, q)| squared(*p, *q).sqrt()).sum()
}

/// Replaces a ring that may cross itself by the outline of what it winds around. False when that is not one outline.
fn make_simple(ring: &mut Vec<PointF>) -> bool {
    let outlines = clipper::union(ring.iter().map(|p| [p.x as i64, p.y as i64]).collect());
    let [outline] = outlines.as_slice() else { return false };
    ring.clear();
    ring.extend(outline.iter().map(|&[x, y]| PointF::new(x as f32, y as f32)));
    ring.len() > 2
}

/// Map pixels to original pixels: scaled in f64, rounded half to even, clipped to the picture.
fn to_original(p: PointF, map: Size, original: Size) -> PointI {
    let scale = |v: f32, from: u32, to: u32| {
        let scaled = f64::from(v) / f64::from(from) * f64::from(to);
        scaled.round_ties_even().clamp(0.0, f64::from(to)) as i32
    };
    PointI::new(scale(p.x, map.width, original.width), scale(p.y, map.height, original.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(data: &[f32], width: u32, height: u32) -> Vec<TextPolygon> {
        let size = Size::new(width, height);
        let params = DbParams { thresh: 0.2, unclip_ratio: 0.5, ..DbParams::default() };
        polygons(ProbabilityMap { data, size, original: size }, &params, &mut DbScratch::default()).unwrap()
    }

    /// 1 where `inside`, over 80 x 60 pixels.
    fn map(inside: impl Fn(f32, f32) -> bool) -> Vec<f32> {
        (0..80 * 60).map(|i| if inside((i % 80) as f32, (i / 80) as f32) { 0.9 } else { 0.0 }).collect()
    }

    #[test]
    fn an_arc_keeps_its_shape() {
        let distance = |x: f32, y: f32| ((x - 40.0).powi(2) + (y - 55.0).powi(2)).sqrt();
        let found = run(&map(|x, y| (30.0..44.0).contains(&distance(x, y)) && y < 50.0), 80, 60);
        assert_eq!(found.len(), 1);
        assert!((found[0].score - 0.9).abs() < 0.02);
        let ring: Vec<_> = found[0].points.iter().map(|p| p.to_f()).collect();
        // Two thirds of a half ring of 14 pixels, grown by about 3 pixels each way; its rectangle has twice the area.
        assert!((1300.0..2100.0).contains(&area(&ring)), "{}", area(&ring));
        assert!(ring.len() > 12);
    }

    #[test]
    fn what_grows_into_a_ring_is_left_out() {
        let distance = |x: f32, y: f32| ((x - 40.0).powi(2) + (y - 30.0).powi(2)).sqrt();
        let open = |x: f32, y: f32, gap: f32| (14.0..26.0).contains(&distance(x, y)) && !(x > 40.0 && (y - 30.0).abs() < gap);
        assert_eq!(run(&map(|x, y| open(x, y, 12.0)), 80, 60).len(), 1);
        assert_eq!(run(&map(|x, y| open(x, y, 1.0)), 80, 60).len(), 0, "the gap of 2 pixels closes");
    }

    #[test]
    fn small_faint_and_empty_maps_give_nothing() {
        assert!(run(&[], 0, 0).is_empty());
        assert!(run(&map(|_, _| false), 80, 60).is_empty());
        assert!(run(&map(|x, y| x < 3.0 && y < 3.0), 80, 60).is_empty());
        let faint: Vec<f32> = map(|x, y| x < 40.0 && y < 30.0).iter().map(|v| v * 0.5).collect();
        assert!(run(&faint, 80, 60).is_empty());
    }
}

//! The definition on the CPU.

use super::bitmap::Bitmap;
use super::contours::Contours;
use super::score::{FillScratch, mean_inside};
use super::unclip::unclip;
use super::{DbParams, ProbabilityMap, ScoreMode, TextBox};
use crate::error::{Error, Result};
use crate::image::polygon::{HullScratch, min_area_rect_with, order_corners};
use crate::image::{PointF, PointI, Size};

/// Least short side of a contour's rectangle, in map pixels.
const MIN_SIDE: f32 = 3.0;
/// Least short side of the rectangle that becomes a box, in map pixels.
const MIN_BOX_SIDE: f32 = MIN_SIDE + 2.0;

/// Buffers of [`boxes`] and [`polygons`](super::polygons()), kept from map to map.
#[derive(Debug, Default)]
pub struct DbScratch {
    bitmap: Bitmap,
    pub(super) contours: Contours,
    pub(super) hull: HullScratch,
    pub(super) fill: FillScratch,
    pub(super) ring: Vec<PointF>,
}

impl DbScratch {
    /// Leaves the outlines of the text in `map` in `contours`; none for an empty map.
    pub(super) fn outline(&mut self, map: ProbabilityMap, params: &DbParams) -> Result<()> {
        let ProbabilityMap { data, size, .. } = map;
        if data.len() as u64 != size.area() {
            return Err(Error::internal("text detection", format!("{} probabilities for a map of {size}", data.len())));
        }
        let size = if data.is_empty() { Size::new(0, 0) } else { size };
        if data.is_empty() {
            self.bitmap.reset(0, 0);
        } else {
            self.bitmap.threshold(data, size, params.thresh);
        }
        if params.use_dilation {
            self.bitmap.dilate();
        }
        self.contours.find(&self.bitmap, size);
        Ok(())
    }
}

/// Text boxes of one probability map, in the order in which OpenCV lists their contours (the lowest first).
/// Use [`super::order::reading_order`] for the order of reading.
///
/// # Errors
/// When the number of values does not fit the size of the map.
pub fn boxes(map: ProbabilityMap, params: &DbParams, scratch: &mut DbScratch) -> Result<Vec<TextBox>> {
    let ProbabilityMap { data, size, original } = map;
    scratch.outline(map, params)?;
    let DbScratch { contours, hull, fill, ring, .. } = scratch;
    let mut found = Vec::new();
    for index in 0..contours.len().min(params.max_candidates) {
        let contour = contours.get(index);
        let rect = min_area_rect_with(contour, hull);
        if rect.short_side() < MIN_SIDE {
            continue;
        }
        let quad = order_corners(rect.corners);
        let score = match params.score_mode {
            ScoreMode::Fast => mean_inside(data, size, &quad, fill),
            ScoreMode::Slow => mean_inside(data, size, contour, fill),
        };
        if score.is_nan() || score < params.box_thresh {
            continue;
        }
        unclip(&quad, params.unclip_ratio, ring);
        let rect = min_area_rect_with(ring, hull);
        if rect.short_side() < MIN_BOX_SIDE {
            continue;
        }
        let quad = order_corners(rect.corners).map(|corner| to_original(corner, size, original));
        found.push(TextBox { quad, score: score as f32 });
    }
    Ok(found)
}

/// Map pixels to original pixels in f32 as NumPy computes it: scaled, rounded half to even, clipped to the picture.
fn to_original(p: PointF, map: Size, original: Size) -> PointI {
    let scale = |v: f32, from: u32, to: u32| (v / from as f32 * to as f32).round_ties_even().clamp(0.0, to as f32) as i32;
    PointI::new(scale(p.x, map.width, original.width), scale(p.y, map.height, original.height))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(data: &[f32], width: u32, height: u32, params: &DbParams) -> Result<Vec<TextBox>> {
        let size = Size::new(width, height);
        boxes(ProbabilityMap { data, size, original: size }, params, &mut DbScratch::default())
    }

    fn bar(value: f32) -> Vec<f32> {
        (0..40 * 30).map(|i| if (5..35).contains(&(i % 40)) && (10..20).contains(&(i / 40)) { value } else { 0.0 }).collect()
    }

    #[test]
    fn a_bar_becomes_a_larger_box_with_its_mean() {
        let found = run(&bar(0.75), 40, 30, &DbParams::default()).unwrap();
        // 29 x 9 between pixel centres grows by 29 * 9 * 1.5 / 76 = 5.15.
        let quad = [(0, 5), (39, 5), (39, 24), (0, 24)].map(|(x, y)| PointI::new(x, y));
        assert_eq!(found, [TextBox { quad, score: 0.75 }]);
    }

    #[test]
    fn what_is_no_number_is_no_text() {
        assert!(run(&[f32::NAN; 1200], 40, 30, &DbParams::default()).unwrap().is_empty());
        let mut map = bar(0.75);
        map[15 * 40 + 20] = f32::NAN;
        let found = run(&map, 40, 30, &DbParams::default()).unwrap();
        assert_eq!(found.len(), 1, "the hole is too small for a box");
        assert!((found[0].score - 0.75 * 299.0 / 300.0).abs() < 1e-6);
        map.fill(f32::INFINITY);
        map[7] = f32::NEG_INFINITY;
        run(&map, 40, 30, &DbParams { box_thresh: 0.0, ..DbParams::default() }).unwrap();
    }

    #[test]
    fn blank_tiny_and_misfit_maps_are_answered() {
        assert!(run(&[], 0, 0, &DbParams::default()).unwrap().is_empty());
        assert!(run(&[0.9], 1, 1, &DbParams::default()).unwrap().is_empty());
        assert!(run(&[0.0; 1200], 40, 30, &DbParams::default()).unwrap().is_empty());
        let error = run(&[0.0; 7], 4, 2, &DbParams::default()).unwrap_err().to_string();
        assert!(error.contains("7 probabilities for a map of 4x2"), "{error}");
    }

    #[test]
    fn candidates_are_bounded_and_buffers_keep_nothing() {
        let dots: Vec<f32> = (0..64 * 64).map(|i| if i % 64 % 8 < 5 && i / 64 % 8 < 5 { 0.9 } else { 0.0 }).collect();
        let all = run(&dots, 64, 64, &DbParams::default()).unwrap();
        let few = run(&dots, 64, 64, &DbParams { max_candidates: 7, ..DbParams::default() }).unwrap();
        assert_eq!((all.len(), few.as_slice()), (64, &all[..7]));
        let mut scratch = DbScratch::default();
        for map in [&dots, &vec![0.0; 64 * 64], &dots] {
            let size = Size::new(64, 64);
            let found = boxes(ProbabilityMap { data: map, size, original: size }, &DbParams::default(), &mut scratch).unwrap();
            assert!(found.is_empty() || found == all);
        }
    }
}

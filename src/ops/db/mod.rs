//! Differentiable-binarisation post-processing: text probability map → quadrilaterals with scores.
//!
//! Threshold, contours (outer and hole), minimum-area rectangle, mean probability inside, growth with round corners,
//! rectangle again, back to original pixels. Reference: PaddleX 3.0-beta1 on OpenCV 4.5.5 and Clipper 6; number, order
//! and corners of the boxes are equal, scores within 1e-4. [`order::reading_order`] sorts them afterwards.
//! [`polygons()`] is the other form of the method, for curved text: outlines instead of rectangles.

mod approx;
mod bitmap;
mod clipper;
mod contours;
pub mod cpu;
pub mod cuda;
pub mod order;
mod polygons;
mod score;
mod unclip;

pub use polygons::polygons;

use crate::image::{PointI, Size};
use serde::Deserialize;

/// Which mean decides a box's score; PaddleX's `score_mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreMode {
    /// Mean over the fitted rectangle and every pixel its outline touches. Around a thin tilted line these are many
    /// pixels without text: lines about 10 map pixels high at 30 degrees score 0.58 to 0.7 instead of 0.98, and
    /// those below 0.6 are lost.
    #[default]
    Fast,
    /// Mean over the contour itself, whatever its angle.
    Slow,
}

/// Thresholds of the method; the defaults are those of PP-OCRv4 text detection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DbParams {
    /// A map value above this is text.
    pub thresh: f32,
    /// Least mean probability of a kept box.
    pub box_thresh: f64,
    /// How far boxes grow: distance = area * ratio / perimeter. In f64, as 1.6 in f32 rounds some corners the other way.
    pub unclip_ratio: f64,
    /// At most this many contours are looked at, in OpenCV's order.
    pub max_candidates: usize,
    /// Dilate the bitmap by a 2x2 kernel first.
    pub use_dilation: bool,
    /// Mean that decides the score.
    pub score_mode: ScoreMode,
}

impl Default for DbParams {
    fn default() -> Self {
        Self { thresh: 0.3, box_thresh: 0.6, unclip_ratio: 1.5, max_candidates: 1000, use_dilation: false, score_mode: ScoreMode::Fast }
    }
}

/// A quadrilateral text region in original-image pixels, clockwise from the top-left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextBox {
    /// Corners: top-left, top-right, bottom-right, bottom-left; within `[0, width] x [0, height]`.
    pub quad: [PointI; 4],
    /// Mean text probability inside, 0..1.
    pub score: f32,
}

/// A text region of any shape in original-image pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct TextPolygon {
    /// Points of the closed outline, clockwise; within `[0, width] x [0, height]`.
    pub points: Vec<PointI>,
    /// Mean text probability inside, 0..1.
    pub score: f32,
}

/// Most that boxes grow: beyond it every box is the picture.
pub const MAX_UNCLIP: f64 = 100.0;

/// A probability map and the picture it belongs to.
#[derive(Clone, Copy, Debug)]
pub struct ProbabilityMap<'a> {
    /// `size.height` rows of `size.width` probabilities 0..1.
    pub data: &'a [f32],
    /// Width and height of the map.
    pub size: Size,
    /// Width and height of the original picture; boxes come out in its pixels.
    pub original: Size,
}

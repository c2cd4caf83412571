//! Results: plain data in pixels of the input picture. No tensor, no engine.
//! `json` writes the reference's keys, `render` draws the reference's pictures.

pub mod json;
pub mod render;

use crate::image::PointI;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What an OCR pipeline found in one picture or page. All lists have one length and one order: reading order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OcrResult {
    /// The input as named by the user; `None` for pixels handed in by a caller.
    pub input_path: Option<String>,
    /// Zero-based page, for inputs with pages.
    pub page_index: Option<u32>,
    /// Text regions, clockwise from the top-left corner.
    pub dt_polys: Vec<Vec<PointI>>,
    /// Detection score of each region, 0..1.
    pub dt_scores: Vec<f32>,
    /// Text of each region.
    pub rec_text: Vec<String>,
    /// Recognition score of each region, 0..1.
    pub rec_score: Vec<f32>,
    /// What ran, one entry per model.
    pub run: Vec<RunRecord>,
    /// Milliseconds per stage, when asked for.
    pub timings_ms: Option<BTreeMap<&'static str, f64>>,
}

/// Which engine ran a model: part of every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Model name.
    pub model: String,
    /// Backend, by PaddleX's name.
    pub backend: String,
    /// Version of the engine's library.
    pub version: String,
    /// Device, as in `--device`.
    pub device: String,
    /// Arithmetic: `float32`, `bfloat16`.
    pub precision: String,
}

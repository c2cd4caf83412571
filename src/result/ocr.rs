//! What OCR finds.

use super::Header;
use crate::image::PointI;
use serde::Serialize;

/// What an OCR pipeline found in one picture or page. Lists have one length and one order, reading order, but for those that are said
/// to be empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OcrResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// Text regions, clockwise from the top-left corner.
    pub dt_polys: Vec<Vec<PointI>>,
    /// Detection score of each region, 0..1; empty for pages and tables, as in the reference.
    pub dt_scores: Vec<f32>,
    /// Text of each region.
    pub rec_text: Vec<String>,
    /// Recognition score of each region, 0..1.
    pub rec_score: Vec<f32>,
    /// Where each text is from; empty where all are from the picture, because nothing else was to be used.
    pub rec_source: Vec<TextSource>,
}

impl OcrResult {
    /// Takes the regions of `more` behind its own.
    pub(crate) fn extend(&mut self, more: Self) {
        self.dt_polys.extend(more.dt_polys);
        self.dt_scores.extend(more.dt_scores);
        self.rec_text.extend(more.rec_text);
        self.rec_score.extend(more.rec_score);
        self.rec_source.extend(more.rec_source);
    }
}

/// Where a text is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TextSource {
    /// The picture: it was recognised.
    Ocr,
    /// The text layer of the document.
    Pdf,
    /// An earlier frame of the stream, in which nothing was different there.
    Earlier,
}

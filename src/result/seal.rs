//! What seal recognition finds.

use super::page::PreparedPage;
use super::{DetectedBox, Header, OcrResult};

/// The seals of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SealResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// The picture as it was read, where it was prepared for that; all places are in its pixels then.
    pub prepared: Option<PreparedPage>,
    /// All regions of the picture; none when it was taken for one seal.
    pub layout: Vec<DetectedBox>,
    /// The seals among them, in the order of the layout.
    pub seals: Vec<Seal>,
}

/// A seal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seal {
    /// Left, top, right, bottom in whole pixels of the picture.
    pub bbox: [i32; 4],
    /// Its text; outlines are in pixels of the seal.
    pub text: OcrResult,
}

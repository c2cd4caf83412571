//! What a semantic segmenter finds.

use super::Header;
use crate::error::{Error, Result};
use crate::image::Size;

/// The class of every pixel of a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// The classes; of the picture's size.
    pub pred: LabelMap,
}

/// A class for every pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMap {
    size: Size,
    labels: Vec<u8>,
}

impl LabelMap {
    /// A map of `labels`, `size.area()` numbers of classes, row by row.
    pub fn new(size: Size, labels: Vec<u8>) -> Result<Self> {
        if labels.len() as u64 != size.area() {
            return Err(Error::internal("label map", format!("{} values for {size}", labels.len())));
        }
        Ok(Self { size, labels })
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Number of the class of every pixel, row by row.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }
}

//! What detectors find: boxes, and with instance segmentation a mask for each.

use super::Header;
use crate::error::{Error, Result};
use crate::image::Size;
use serde::Serialize;

/// An object, or a region of a page. Serialises as the reference writes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DetectedBox {
    /// Number of its class.
    pub cls_id: u32,
    /// Name of its class.
    pub label: String,
    /// Score, 0..1.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the picture, within it.
    pub coordinate: [f32; 4],
}

/// The objects of a picture, in the order in which the network returned them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DetectionResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// What was found; may be empty.
    pub boxes: Vec<DetectedBox>,
}

/// The objects of a picture and their shapes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// What was found; may be empty.
    pub boxes: Vec<DetectedBox>,
    /// The shape of each, within its box.
    pub masks: Vec<Mask>,
}

impl DetectedBox {
    /// The whole pixels of the box that its mask is about: left, top, right, bottom, each rounded half to even; right and
    /// bottom are the first pixels outside.
    pub fn pixels(&self) -> [i32; 4] {
        self.coordinate.map(|v| v.round_ties_even() as i32)
    }
}

/// Which pixels of a box belong to its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    size: Size,
    inside: Vec<u8>,
}

impl Mask {
    /// A mask of `inside`, `size.area()` values, 0 or 1, row by row; either side may be zero.
    pub fn new(size: Size, inside: Vec<u8>) -> Result<Self> {
        if inside.len() as u64 != size.area() || inside.iter().any(|&v| v > 1) {
            return Err(Error::internal("mask", format!("{} values for {size}; as many of 0 or 1 are expected", inside.len())));
        }
        Ok(Self { size, inside })
    }

    /// Width and height: those of the box in whole pixels.
    pub fn size(&self) -> Size {
        self.size
    }

    /// 0 or 1 for every pixel, row by row.
    pub fn inside(&self) -> &[u8] {
        &self.inside
    }
}

//! What a classifier finds.

use super::Header;

/// The classes of a picture, most likely first. The lists have one length; `label_names` is empty when the model names no classes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassificationResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// Numbers of the classes.
    pub class_ids: Vec<u32>,
    /// Probability of each, 0..1, rounded to 5 decimals.
    pub scores: Vec<f32>,
    /// Name of each.
    pub label_names: Vec<String>,
}

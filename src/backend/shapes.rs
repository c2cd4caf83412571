//! Shapes that an engine is built for, as a model or a user states them.

use serde::Serialize;
use std::collections::BTreeMap;

/// Shapes of one input: the least, the usual, the greatest. Written as `[min, opt, max]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShapeRange {
    /// No dimension is smaller.
    pub min: Vec<usize>,
    /// What an engine is tuned for.
    pub opt: Vec<usize>,
    /// No dimension is greater.
    pub max: Vec<usize>,
}

/// Shapes by name of the input.
pub type DynamicShapes = BTreeMap<String, ShapeRange>;

impl ShapeRange {
    /// `None` for three empty shapes, an exporter's way to say that it knows no size.
    ///
    /// # Errors
    /// What is wrong with the three, in words.
    pub fn new([min, opt, max]: [Vec<usize>; 3]) -> Result<Option<Self>, String> {
        if min.is_empty() && opt.is_empty() && max.is_empty() {
            return Ok(None);
        }
        let ordered = min.len() == opt.len()
            && opt.len() == max.len()
            && min.iter().zip(&opt).zip(&max).all(|((min, opt), max)| 0 < *min && min <= opt && opt <= max);
        match ordered {
            true => Ok(Some(Self { min, opt, max })),
            false => Err(format!("{min:?}, {opt:?}, {max:?} are not the least, usual and greatest of one shape")),
        }
    }
}

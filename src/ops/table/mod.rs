//! Tables from what networks say about them: structure tokens and cell corners are decoded, recognised texts put into cells.
//!
//! The rules are PaddleX 3.0-beta1's, for the networks SLANet and SLANet_plus.

mod decode;
mod fill;

pub use decode::{Scale, Structure, decode};
pub use fill::{cell_texts, nearest_cells};

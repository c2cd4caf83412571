//! Perspective crop of a quadrilateral, upright, as the reference cuts text lines out of a page; [`curve`] does the same for
//! regions of any shape.
//!
//! The quad's minimum-area rectangle is ordered (top-left, top-right, bottom-right, bottom-left) and mapped to an
//! upright `width x height` picture with bicubic sampling in 1/32 pixel steps and replicated borders; crops at least
//! 1.5 times as high as wide are turned 90 degrees counter-clockwise. [`CropPlan`] is the geometry alone, so that
//! crops can be sorted by width before a pixel is touched; [`cpu::warp`] does the pixels.
//! Bit-exact with OpenCV 4.10 `getPerspectiveTransform` + `warpPerspective`; the steps are PaddleX 3.0-beta1's.

pub mod cpu;
pub mod cuda;
pub mod curve;
mod linear;
mod plan;
mod simd;
mod table;

pub use plan::CropPlan;

//! Pictures of results, one file per kind of result. `text` lays one line out in its box, `label` puts it on a filled one,
//! `palette` has the reference's colours, `canvas` holds the pixels, [`font`] finds the glyphs, [`encode`] and [`save`] bring
//! pictures and JSON into files.

mod canvas;
mod classification;
pub mod encode;
pub mod font;
mod label;
mod ocr;
mod palette;
pub mod save;
mod text;

pub use classification::draw_classification;
pub use ocr::draw_ocr;

use super::PipelineResult;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, ImageView};
use font::Fonts;

/// The picture of `result`, drawn over `image`, the picture it was made from. RGB pixels.
pub fn draw(image: ImageView<'_>, result: &PipelineResult, fonts: &Fonts) -> Result<ImageBuf> {
    match result {
        PipelineResult::Ocr(result) => draw_ocr(image, result, fonts),
        PipelineResult::Classification(result) => draw_classification(image, result, fonts),
        _ => Err(Error::internal("drawing", "no picture for this result")),
    }
}

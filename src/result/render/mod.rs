//! Pictures of results, one file per kind of result. `text` lays one line out in its box, `label` puts it on a filled one,
//! `palette` has the reference's colours, `canvas` holds the pixels, [`font`] finds the glyphs, [`encode`] and [`save`] bring
//! pictures and JSON into files, [`video`] pictures into a video.

mod canvas;
mod classification;
mod detection;
mod document;
pub mod encode;
pub mod font;
pub mod html;
mod label;
pub mod markdown;
mod ocr;
mod palette;
pub mod save;
mod text;
pub mod video;
pub mod xlsx;

pub use classification::draw_classification;
pub use detection::{draw_detection, draw_instances};
pub use document::{Part, PartContent, page_files, seal_files, table_files};
pub use ocr::draw_ocr;

use super::{LabelMap, PipelineResult};
use crate::error::{Error, Result};
use crate::image::{
    ImageBuf, ImageView, PixelFormat,
    palette::{CLASSES, palette as class_colours},
};
use font::Fonts;

/// The picture of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Drawing<'a> {
    /// RGB pixels, for a file of any format.
    Pixels(ImageBuf),
    /// Classes, each in its colour of the palette: for a PNG with that palette, whatever the suffix of its name.
    Classes(&'a LabelMap),
    /// Several files.
    Parts(Vec<Part>),
}

/// The picture of `result`; most are drawn over `image`, the picture it was made from.
pub fn draw<'a>(image: ImageView<'_>, result: &'a PipelineResult, fonts: &Fonts) -> Result<Drawing<'a>> {
    Ok(Drawing::Pixels(match result {
        PipelineResult::Ocr(result) => draw_ocr(image, result, fonts)?,
        PipelineResult::Classification(result) => draw_classification(image, result, fonts)?,
        PipelineResult::Detection(result) => draw_detection(image, result, fonts)?,
        PipelineResult::Instances(result) => draw_instances(image, result, fonts)?,
        PipelineResult::Segmentation(result) => return Ok(Drawing::Classes(&result.pred)),
        PipelineResult::Seals(result) => return seal_files(image, result, fonts).map(Drawing::Parts),
        PipelineResult::Page(result) => return page_files(result, fonts).map(Drawing::Parts),
        PipelineResult::Tables(result) => return table_files(image, result, fonts).map(Drawing::Parts),
    }))
}

/// `result` as one RGB picture, such as a frame of a video: of results that are shown in several files the regions over the page.
pub fn draw_one(image: ImageView<'_>, result: &PipelineResult, fonts: &Fonts) -> Result<ImageBuf> {
    const PALETTE: [[u8; 3]; CLASSES] = class_colours();
    match result {
        PipelineResult::Seals(result) => return document::regions(image, result.prepared.as_ref(), &result.layout, fonts),
        PipelineResult::Tables(result) => return document::regions(image, result.prepared.as_ref(), &result.layout, fonts),
        PipelineResult::Page(result) => return document::regions(result.page.view(), None, &result.layout, fonts),
        _ => {}
    }
    match draw(image, result, fonts)? {
        Drawing::Pixels(picture) => Ok(picture),
        Drawing::Classes(map) => {
            let pixels = map.labels().iter().flat_map(|&class| PALETTE[usize::from(class)]).collect();
            ImageBuf::new(pixels, map.size(), PixelFormat::Rgb)
        }
        Drawing::Parts(_) => Err(Error::internal("drawing", "a result in several files")),
    }
}

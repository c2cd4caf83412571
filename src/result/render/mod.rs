//! Pictures of results: `ocr` draws the two-panel picture, `text` lays one line out in its box, `canvas`
//! holds the pixels, [`font`] finds the glyphs, [`encode`] and [`save`] bring pictures and JSON into files.

mod canvas;
pub mod encode;
pub mod font;
mod ocr;
pub mod save;
mod text;

pub use ocr::draw_ocr;

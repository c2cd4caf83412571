//! The picture of a classification: the input with its best label and score in the corner.

use super::canvas::Canvas;
use super::font::Fonts;
use super::label::{LEGIBLE_HEIGHT_PX, Label, caption};
use super::palette;
use crate::error::Result;
use crate::image::{ImageBuf, ImageView};
use crate::result::ClassificationResult;

/// Distance of the label from the corner, pixels, where that leaves it legible.
const MARGIN: f32 = 3.0;
/// Em size as a share of the picture's width: the largest at which the label fits.
const LARGEST: f32 = 0.05;
const SMALLEST: f32 = 0.02;

/// Draws the best label of `result` over `image`, the picture it was made from. Returns RGB pixels of the same size.
pub fn draw_classification(image: ImageView<'_>, result: &ClassificationResult, fonts: &Fonts) -> Result<ImageBuf> {
    let mut canvas = Canvas::new(image)?;
    let name = result.label_names.first().cloned().or_else(|| result.class_ids.first().map(u32::to_string));
    let Some((name, score)) = name.zip(result.scores.first()) else { return canvas.finish() };
    let stack = fonts.stack_for([caption(&name, *score).as_str()]);
    let ((background, _), (_, ink)) = (palette::colour(0), palette::colour(3));
    let (width, height) = (image.size.width as f32, image.size.height as f32);
    let ems = [SMALLEST, LARGEST].map(|share| (width * share).trunc());
    let margin = ((height - LEGIBLE_HEIGHT_PX) / 2.0).floor().clamp(0.0, MARGIN);
    let label = Label::fitting(&name, *score, ems, (width - 2.0 * margin, height - 2.0 * margin), &stack);
    label.draw(&mut canvas, margin, margin, (background, ink), &stack);
    canvas.finish()
}

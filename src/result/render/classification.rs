//! The picture of a classification: the input with its best label and score in the corner.

use super::canvas::Canvas;
use super::font::Fonts;
use super::label::Label;
use super::palette;
use crate::error::Result;
use crate::image::{ImageBuf, ImageView};
use crate::result::ClassificationResult;

/// Distance of the label from the corner, pixels.
const MARGIN: f32 = 3.0;
/// Em size as a share of the picture's width: the largest at which the text fits.
const LARGEST: f32 = 0.05;
const SMALLEST: f32 = 0.02;
/// Smaller letters cannot be read; below this the text is squeezed instead.
const LEGIBLE_PX: f32 = 10.0;

/// Draws the best label of `result` over `image`, the picture it was made from. Returns RGB pixels of the same size.
pub fn draw_classification(image: ImageView<'_>, result: &ClassificationResult, fonts: &Fonts) -> Result<ImageBuf> {
    let mut canvas = Canvas::new(image)?;
    let name = result.label_names.first().cloned().or_else(|| result.class_ids.first().map(u32::to_string));
    let Some((name, score)) = name.zip(result.scores.first()) else { return canvas.finish() };
    let text = format!("{name} {score:.2}");
    let stack = fonts.stack_for([text.as_str()]);
    let ((background, _), (_, ink)) = (palette::colour(0), palette::colour(3));
    let width = image.size.width as f32;
    let room = width - 2.0 * MARGIN;
    let (largest, smallest) = ((width * LARGEST).trunc().max(LEGIBLE_PX), (width * SMALLEST).trunc().max(LEGIBLE_PX));
    let mut label = Label { text: &text, em: largest, background, ink };
    while label.em > smallest && label.size(f32::MAX, &stack).0 > room {
        label.em -= 1.0;
    }
    let size = label.size(room, &stack);
    label.draw(&mut canvas, MARGIN, MARGIN, size, &stack);
    canvas.finish()
}

//! A line of text on a filled box.

use super::canvas::{Canvas, Colour, Panel, Stencil};
use super::font::FontStack;
use super::text;
use crate::image::PointF;
use tiny_skia::{PathBuilder, Rect};

/// Smaller letters are hard to read: an em that a picture's size would make smaller is this one, where it fits.
const LEGIBLE_PX: f32 = 10.0;
/// Height of its box.
pub(super) const LEGIBLE_HEIGHT_PX: f32 = LEGIBLE_PX / text::EM_SHARE;
/// Smaller letters cannot be read: below this a text loses its last ones instead.
const SMALLEST_PX: f32 = 7.0;

/// Share of a picture's height that a label takes where it can be read so.
const MOST_OF_HEIGHT: f32 = 1.0 / 3.0;

/// A class with its score.
pub(super) struct Label {
    text: String,
    em: f32,
    /// Width and height of its box, in whole pixels.
    pub size: (f32, f32),
}

/// What the label of a class says.
pub(super) fn caption(name: &str, score: f32) -> String {
    format!("{name} {score:.2}")
}

impl Label {
    /// The label in a picture with `room` pixels across, `height` down, and an em of `largest` pixels where that fits. A text that is too
    /// wide gets smaller, down to `smallest`, then it is squeezed, at last cut.
    pub fn fitting(name: &str, score: f32, [smallest, largest]: [f32; 2], (room, height): (f32, f32), fonts: &FontStack) -> Self {
        let (room, height) = (room.max(1.0), height.max(1.0));
        let tallest = (height * MOST_OF_HEIGHT).max(LEGIBLE_HEIGHT_PX).min(height) * text::EM_SHARE;
        let [smallest, largest] = [smallest, largest].map(|em| em.max(LEGIBLE_PX).min(tallest));
        let mut label = Self { text: caption(name, score), em: largest, size: (0.0, 0.0) };
        let width = |label: &Self| ((text::length(&label.text, fonts) + 0.3) * label.em).ceil();
        while label.em > smallest && width(&label) > room {
            label.em = (label.em - 1.0).max(smallest);
        }
        let mut name = name.to_owned();
        while text::length(&label.text, fonts) * SMALLEST_PX > room && name.pop().is_some() {
            let cut = if name.is_empty() { "" } else { ".." };
            label.text = caption(&format!("{}{cut}", name.trim_end()), score).trim_start().to_owned();
        }
        label.size = (width(&label).min(room), (label.em / text::EM_SHARE).ceil().min(height));
        label
    }

    /// Draws it onto the picture with its box at (`left`, `top`). Without a font there is only the box.
    pub fn draw(&self, canvas: &mut Canvas, left: f32, top: f32, (background, ink): (Colour, Colour), fonts: &FontStack) {
        let (right, bottom) = (left + self.size.0, top + self.size.1);
        fill(canvas, left, top, right, bottom, background);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| PointF::new(x, y));
        let panel = canvas.size();
        if let Some(letters) = text::outline(&self.text, &corners, panel, fonts).and_then(|path| Stencil::fill(path, panel)) {
            canvas.paint(Panel::Picture, &letters, ink);
        }
    }
}

/// Fills a rectangle of the picture.
pub(super) fn fill(canvas: &mut Canvas, left: f32, top: f32, right: f32, bottom: f32, colour: Colour) {
    let area = Rect::from_ltrb(left, top, right, bottom).map(PathBuilder::from_rect);
    if let Some(area) = area.and_then(|area| Stencil::fill(area, canvas.size())) {
        canvas.paint(Panel::Picture, &area, colour);
    }
}

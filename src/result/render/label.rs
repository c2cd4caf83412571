//! A line of text on a filled box.

use super::canvas::{Canvas, Colour, Panel, Stencil};
use super::font::FontStack;
use super::text;
use crate::image::PointF;
use tiny_skia::{PathBuilder, Rect};

/// Text, its em size in pixels, and the colours of box and text.
pub(super) struct Label<'a> {
    pub text: &'a str,
    pub em: f32,
    pub background: Colour,
    pub ink: Colour,
}

impl Label<'_> {
    /// Width and height of the box, in whole pixels; a text wider than `room` is squeezed.
    pub fn size(&self, room: f32, fonts: &FontStack) -> (f32, f32) {
        let margin = 0.3 * self.em;
        ((text::length(self.text, fonts) * self.em + margin).ceil().min(room.max(1.0)), (self.em / text::EM_SHARE).ceil())
    }

    /// Draws it onto the picture with its box of `size` at (`left`, `top`). Without a font there is only the box.
    pub fn draw(&self, canvas: &mut Canvas, left: f32, top: f32, (width, height): (f32, f32), fonts: &FontStack) {
        fill(canvas, left, top, left + width, top + height, self.background);
        let (right, bottom) = (left + width, top + height);
        let corners = [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| PointF::new(x, y));
        let panel = canvas.size();
        if let Some(ink) = text::outline(self.text, &corners, panel, fonts).and_then(|path| Stencil::fill(path, panel)) {
            canvas.paint(Panel::Picture, &ink, self.ink);
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

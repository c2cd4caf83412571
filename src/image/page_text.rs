//! Text that a document states for a page, beside the pixels of the page.

use super::geometry::{PointF, Size};
use serde::{Deserialize, Serialize};

/// Stands for a glyph whose characters a document does not tell.
pub const UNKNOWN: char = char::REPLACEMENT_CHARACTER;

/// One glyph as it was placed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Glyph {
    /// The characters it stands for: one as a rule, more for a ligature, [`UNKNOWN`] where the document does not tell.
    pub text: String,
    /// Corners of its em box in pixels of the page, clockwise from its own top left.
    pub quad: [PointF; 4],
    /// Where the next glyph of its line stands; any length.
    pub along: PointF,
}

impl Glyph {
    /// The middle of its box.
    pub fn middle(&self) -> PointF {
        let [a, b, c, d] = self.quad;
        PointF::new((a.x + b.x + c.x + d.x) / 4.0, (a.y + b.y + c.y + d.y) / 4.0)
    }

    /// Whether its middle lies in the rectangle left, top, right, bottom.
    fn is_in(&self, [left, top, right, bottom]: [i32; 4]) -> bool {
        let PointF { x, y } = self.middle();
        x >= left as f32 && x < right as f32 && y >= top as f32 && y < bottom as f32
    }
}

/// What a page's text is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextUse {
    /// It stands in for reading the picture.
    Lines,
    /// Lines are found in the picture; it stands in for recognising those that it covers.
    Check,
}

/// The text of a page, or of a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct PageText {
    /// The glyphs, in no particular order.
    pub glyphs: Vec<Glyph>,
    /// What they are good for.
    pub usage: TextUse,
}

impl PageText {
    /// The text inside a rectangle (left, top, right, bottom), in pixels of that part of the page.
    pub fn part(&self, bbox: [i32; 4]) -> Self {
        let (left, top) = (bbox[0].max(0) as f32, bbox[1].max(0) as f32);
        let mut part = self.only(bbox);
        part.glyphs.iter_mut().flat_map(|glyph| &mut glyph.quad).for_each(|p| *p = PointF::new(p.x - left, p.y - top));
        part
    }

    /// The text inside a rectangle, where it is.
    pub fn only(&self, bbox: [i32; 4]) -> Self {
        self.kept(|glyph| glyph.is_in(bbox))
    }

    /// The text outside of all these rectangles, where it is.
    pub fn without(&self, boxes: &[[i32; 4]]) -> Self {
        self.kept(|glyph| !boxes.iter().any(|bbox| glyph.is_in(*bbox)))
    }

    /// The text of the page, which is of `size`, turned counter-clockwise by `quarters` quarter turns with it.
    pub fn turned(&self, quarters: u32, size: Size) -> Self {
        let (right, bottom) = (size.width as f32 - 1.0, size.height as f32 - 1.0);
        let direction = |d: PointF| match quarters % 4 {
            0 => d,
            1 => PointF::new(d.y, -d.x),
            2 => PointF::new(-d.x, -d.y),
            _ => PointF::new(-d.y, d.x),
        };
        let place = |p: PointF| {
            let PointF { x, y } = direction(p);
            match quarters % 4 {
                0 => p,
                1 => PointF::new(x, y + right),
                2 => PointF::new(x + right, y + bottom),
                _ => PointF::new(x + bottom, y),
            }
        };
        let turn = |glyph: &Glyph| Glyph { text: glyph.text.clone(), quad: glyph.quad.map(place), along: direction(glyph.along) };
        Self { glyphs: self.glyphs.iter().map(turn).collect(), usage: self.usage }
    }

    fn kept(&self, keep: impl Fn(&Glyph) -> bool) -> Self {
        Self { glyphs: self.glyphs.iter().filter(|glyph| keep(glyph)).cloned().collect(), usage: self.usage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_turns_with_its_page() {
        // A glyph at the top left of a page of 4x3, which reads to the right.
        let quad = [(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)].map(|(x, y)| PointF::new(x, y));
        let glyph = Glyph { text: "a".into(), quad, along: PointF::new(1.0, 0.0) };
        let text = PageText { glyphs: vec![glyph], usage: TextUse::Lines };
        let size = Size::new(4, 3);
        let turned = |quarters| text.turned(quarters, size).glyphs.remove(0);
        // Counter-clockwise it stands at the bottom left and reads upwards, then at the bottom right, then at the top right.
        for (quarters, corner, along) in [(1, (0.0, 3.0), (0.0, -1.0)), (2, (3.0, 2.0), (-1.0, 0.0)), (3, (2.0, 0.0), (0.0, 1.0))] {
            let glyph = turned(quarters);
            assert_eq!((glyph.quad[0].x, glyph.quad[0].y), corner, "{quarters}");
            assert_eq!((glyph.along.x, glyph.along.y), along, "{quarters}");
        }
        // A part that begins beyond the edge begins at it.
        assert_eq!(text.part([-5, -5, 3, 3]), text);
        assert_eq!(text.part([0, 0, 0, 3]).glyphs, []);
        let once_more = |text: &PageText, size| text.turned(1, size);
        let wide = Size::new(3, 4);
        assert_eq!(once_more(&once_more(&once_more(&once_more(&text, size), wide), size), wide), text);
    }
}

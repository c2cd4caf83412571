//! The text layer of a page: a device that notes glyphs where the renderer would draw them.

use super::text::{Layer, MAX_GLYPHS};
use crate::image::page_text::{Glyph, UNKNOWN};
use crate::image::{PointF, Size};
use hayro::hayro_interpret::font::{self, GlyphRun};
use hayro::hayro_interpret::hayro_cmap::{BfString, WritingMode};
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache, InterpreterSettings, SoftMask,
    interpret_page,
};
use hayro::hayro_syntax::page::Page;
use hayro::kurbo::{Affine, BezPath, Point, Rect};

/// The em box below the line on which glyphs stand, and above it. Glyphs are measured in thousandths of an em.
const DESCENT: f64 = 200.0;
const ASCENT: f64 = 800.0;
/// Width of a glyph whose font does not tell one.
const WIDTH: f32 = 500.0;

/// The text layer of `page`, which is drawn with `transform` on `size` pixels.
pub(super) fn layer<'a>(page: &'a Page<'a>, settings: &InterpreterSettings, transform: Affine, size: Size) -> Layer {
    let cache = InterpreterCache::new();
    let area = Rect::new(0.0, 0.0, f64::from(size.width), f64::from(size.height));
    let mut context = Context::new(transform, area, &cache, page.xref(), settings.clone());
    let mut noted = Noted { area, layer: Layer::default() };
    interpret_page(page, &mut context, &mut noted);
    noted.layer
}

struct Noted {
    area: Rect,
    layer: Layer,
}

impl Noted {
    fn note(&mut self, glyph: &font::Glyph<'_>, transform: Affine, mode: WritingMode, is_printed: bool) {
        let width = match glyph {
            font::Glyph::Outline(glyph) => glyph.advance_width(),
            font::Glyph::Type3(glyph) => glyph.advance_width(),
        };
        let width = f64::from(width.unwrap_or(WIDTH));
        let corners = [(0.0, ASCENT), (width, ASCENT), (width, -DESCENT), (0.0, -DESCENT)];
        // Pixels are counted from the middle of the first.
        let place = |(x, y): (f64, f64)| {
            let p = transform * Point::new(x, y);
            PointF::new((p.x - 0.5) as f32, (p.y - 0.5) as f32)
        };
        let quad = corners.map(place);
        let ends = if mode == WritingMode::Vertical { (quad[0], quad[3]) } else { (quad[3], quad[2]) };
        let along = PointF::new(ends.1.x - ends.0.x, ends.1.y - ends.0.y);
        let text = match glyph.as_unicode() {
            // Ligatures that Unicode has as characters.
            Some(BfString::Char(c @ 'ﬀ'..='ﬆ')) => ["ff", "fi", "fl", "ffi", "ffl", "st", "st"][c as usize - 'ﬀ' as usize].into(),
            Some(BfString::Char(c)) => c.to_string(),
            Some(BfString::String(text)) => text,
            None => UNKNOWN.to_string(),
        };
        let glyph = Glyph { text, quad, along };
        let middle = glyph.middle();
        // What is not on the page is not of it; this also leaves out positions that are no numbers.
        if !self.area.contains(Point::new(f64::from(middle.x), f64::from(middle.y))) || quad.iter().any(|p| !(p.x + p.y).is_finite()) {
            return;
        }
        if self.layer.glyphs.len() == MAX_GLYPHS {
            self.layer.is_full = true;
            return;
        }
        self.layer.glyphs.push((glyph, is_printed));
    }
}

impl<'a> Device<'a> for Noted {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, draw_mode: &DrawMode) {
        let is_printed = !matches!(draw_mode, DrawMode::Invisible);
        run.glyphs().iter().for_each(|glyph| self.note(glyph, props.transform * glyph.transform(), run.writing_mode(), is_printed));
    }

    fn draw_image(&mut self, image: Image<'a, '_>, props: ImageDrawProps<'a>) {
        let corners = Rect::new(0.0, 0.0, f64::from(image.width()), f64::from(image.height()));
        let shown = props.transform.transform_rect_bbox(corners).intersect(self.area).area();
        self.layer.pictures += (shown / self.area.area()) as f32;
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {}
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}

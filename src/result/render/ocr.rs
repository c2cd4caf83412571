//! The two-panel picture of an OCR result: on the left the picture with its text regions tinted,
//! on the right a white page with each text in its region.

use super::canvas::{Canvas, Colour, Panel, Stencil};
use super::font::Fonts;
use super::text;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, ImageView, PointF, PointI, Size};
use crate::result::OcrResult;
use tiny_skia::{LineJoin, Path, PathBuilder, Stroke};

/// Regions whose text is less sure than this are not drawn.
const MIN_SCORE: f32 = 0.5;
const INK: Colour = [0, 0, 0];

/// Draws `result` over `image`, the picture it was made from. Returns RGB pixels of twice the width. Regions with a
/// recognition score below 0.5 are left out. Colours depend on a region's place in the list alone. Text that runs
/// downwards is drawn so when its box is taller than twice its width and than 30 px; text of regions with other than
/// four corners stands in their bounding rectangle. An error when the lists of the result differ in length or the pixels do
/// not fit their size; odd regions (without area, outside of the picture) are drawn as far as they can be seen.
pub fn draw_ocr(image: ImageView<'_>, result: &OcrResult, fonts: &Fonts) -> Result<ImageBuf> {
    let count = result.dt_polys.len();
    if result.rec_text.len() != count || result.rec_score.len() != count {
        let reason = format!("{count} regions, {} texts, {} scores", result.rec_text.len(), result.rec_score.len());
        return Err(Error::internal("drawing", reason));
    }
    let regions = || {
        let pairs = result.dt_polys.iter().zip(&result.rec_text).zip(&result.rec_score).enumerate();
        pairs.filter(|(_, (_, score))| **score >= MIN_SCORE).map(|(index, ((polygon, text), _))| (index, polygon, text))
    };
    let stack = fonts.stack_for(regions().map(|(_, _, text)| text.as_str()));
    let mut canvas = Canvas::with_page(image)?;
    let panel = image.size;
    // One pixel, as the reference has it, vanishes when a scan is looked at as a whole.
    let stroke =
        Stroke { width: (panel.width.max(panel.height) as f32 / 1500.0).max(1.0), line_join: LineJoin::Round, ..Stroke::default() };
    for (index, polygon, text) in regions() {
        let Some(outline) = closed(polygon, panel) else { continue };
        if let Some(border) = outline.stroke(&stroke, 1.0).and_then(|path| Stencil::fill(path, panel)) {
            canvas.paint(Panel::Page, &border, colour(index));
        }
        let corners = text_box(polygon);
        if let Some(ink) = text::outline(text, &corners.map(centre), panel, &stack).and_then(|path| Stencil::fill(path, panel))
            && let Some(frame) = closed(&corners, panel)
        {
            canvas.paint(Panel::Page, &ink.cut(&frame), INK);
        }
        if let Some(area) = Stencil::fill(outline, panel) {
            canvas.tint(&area, colour(index));
        }
    }
    canvas.finish()
}

/// Through the centres of the pixels that `points` name. What lies far outside of the panel is cut off first, at a
/// distance where the cut is not seen: the rasteriser cannot take large coordinates.
pub(super) fn closed(points: &[PointI], panel: Size) -> Option<Path> {
    const MARGIN: f64 = 64.0;
    let mut points: Vec<_> = points.iter().map(|p| [f64::from(p.x) + 0.5, f64::from(p.y) + 0.5]).collect();
    for (axis, side) in [(0, panel.width), (1, panel.height)] {
        points = cut_off(&points, axis, |v| v + MARGIN);
        points = cut_off(&points, axis, |v| f64::from(side) + MARGIN - v);
    }
    let mut path = PathBuilder::new();
    for (index, [x, y]) in points.into_iter().enumerate() {
        if index == 0 { path.move_to(x as f32, y as f32) } else { path.line_to(x as f32, y as f32) }
    }
    path.close();
    path.finish()
}

/// The part of a closed polygon where `inside` of coordinate `axis` is not negative; `inside` is linear of slope 1 or -1.
fn cut_off(points: &[[f64; 2]], axis: usize, inside: impl Fn(f64) -> f64) -> Vec<[f64; 2]> {
    let mut kept = Vec::with_capacity(points.len() + 2);
    for (i, &to) in points.iter().enumerate() {
        let from = points[(i + points.len() - 1) % points.len()];
        let (a, b) = (inside(from[axis]), inside(to[axis]));
        if (a < 0.0) != (b < 0.0) {
            let t = a / (a - b);
            kept.push([from[0] + (to[0] - from[0]) * t, from[1] + (to[1] - from[1]) * t]);
        }
        if b >= 0.0 {
            kept.push(to);
        }
    }
    kept
}

fn centre(p: PointI) -> PointF {
    PointF::new(p.x as f32 + 0.5, p.y as f32 + 0.5)
}

/// The corners themselves, or those of the bounding rectangle.
fn text_box(points: &[PointI]) -> [PointI; 4] {
    if let Ok(quad) = points.try_into() {
        return quad;
    }
    let start = PointI::new(i32::MAX, i32::MAX);
    let low = points.iter().fold(start, |low, p| PointI::new(low.x.min(p.x), low.y.min(p.y)));
    let high = points.iter().fold(low, |high, p| PointI::new(high.x.max(p.x), high.y.max(p.y)));
    [low, PointI::new(high.x, low.y), high, PointI::new(low.x, high.y)]
}

/// A fixed sequence of bright colours: neighbours in the list are far apart in hue.
fn colour(index: usize) -> Colour {
    let hue = (index as f64 * 0.618_033_988_75).fract() * 6.0;
    let channel = |shift: f64| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (30.0 + 190.0 * distance.clamp(0.0, 1.0)).round() as u8
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

//! One line of text as an outline in its box: laid out in a rectangle of the box's size, then mapped by the
//! projective transform from that rectangle to the box. Curves are mapped by their control points, which is exact for
//! parallelograms and off by far less than a pixel for the boxes of text lines.

use super::font::{Face, FontStack, has_ink};
use crate::image::{PointF, Size};
use ab_glyph::{GlyphId, OutlineCurve};
use tiny_skia::{Path, PathBuilder};

/// Em size as a share of the box's height. Boxes are detected with a margin around the text; at this size a
/// Chinese character leaves some 7 % of the height free above and below, and a Latin descender just fits.
pub(super) const EM_SHARE: f32 = 0.85;
/// Position of the baseline from the top of the em square; Chinese fonts have it at 0.88, a little higher frees Latin descenders.
const BASELINE: f32 = 0.86;
/// Smaller text is no text: nothing is drawn.
const MIN_EM_PX: f32 = 2.0;
/// Width of a space in em, where no font has one.
const SPACE: f32 = 0.25;

/// The glyphs of `text` inside the corner points `quad` (clockwise from the top-left one as the text is read, in
/// coordinates of a panel of size `panel`). `None` when there is nothing to draw: no glyphs, a box without an inside,
/// or text too small to be seen.
pub(super) fn outline(text: &str, quad: &[PointF; 4], panel: Size, fonts: &FontStack) -> Option<Path> {
    if !text.chars().any(|c| has_ink(c) && fonts.glyph(c).is_some()) {
        return None;
    }
    let (width, height) = (quad[0].distance(quad[1]), quad[0].distance(quad[3]));
    // Taller than wide: the line runs downwards, its head to the right.
    let downwards = height > 2.0 * width && height > 30.0;
    let (corners, room, line) = if downwards { ([quad[1], quad[2], quad[3], quad[0]], height, width) } else { (*quad, width, height) };
    let to_box = Projective::from_rectangle(room, line, &corners)?;

    let glyphs: Vec<_> = text.chars().filter_map(|c| Some((c, shape(c, fonts)?))).collect();
    let length: f32 = glyphs.iter().map(|(_, (_, advance))| advance).sum();
    let em = (line * EM_SHARE).min(room * 0.98 / length);
    if em.is_nan() || em < MIN_EM_PX {
        return None;
    }
    let mut pen = ((room - length * em) / 2.0).min(line * 0.1);
    let baseline = (line - em) / 2.0 + BASELINE * em;
    let mut out = PathBuilder::new();
    for (_, (glyph, advance)) in glyphs {
        if let Some((face, glyph)) = glyph {
            let corner = |x: f32, y: f32| to_box.map(pen + x * em, baseline + y * em);
            // A glyph reaches at most about one em beyond its own square.
            let near = [corner(-1.0, -2.0), corner(advance + 1.0, -2.0), corner(advance + 1.0, 1.0), corner(-1.0, 1.0)];
            if in_sight(&near, panel) {
                append(&mut out, face, glyph, |x, y| to_box.map(pen + x * em, baseline - y * em));
            }
        }
        pen += advance * em;
    }
    out.finish()
}

/// Length of `text` in em, in one line.
pub(super) fn length(text: &str, fonts: &FontStack) -> f32 {
    text.chars().filter_map(|c| shape(c, fonts)).map(|(_, advance)| advance).sum()
}

/// Glyph (none for a gap) and advance in em of `c`; `None` for a character that takes no room.
fn shape(c: char, fonts: &FontStack) -> Option<(Option<(&Face, GlyphId)>, f32)> {
    if !has_ink(c) {
        return c.is_whitespace().then(|| (None, fonts.gap(c).unwrap_or(SPACE)));
    }
    let (face, glyph) = fonts.glyph(c).or_else(|| fonts.placeholder())?;
    Some((Some((face, glyph)), face.advance(glyph)))
}

fn append(out: &mut PathBuilder, face: &Face, glyph: GlyphId, map: impl Fn(f32, f32) -> PointF) {
    let Some((outline, unit)) = face.outline(glyph) else { return };
    let at = |p: ab_glyph::Point| map(p.x * unit, p.y * unit);
    let mut end = None;
    for curve in outline.curves {
        let (from, to) = match curve {
            OutlineCurve::Line(a, b) | OutlineCurve::Quad(a, _, b) | OutlineCurve::Cubic(a, _, _, b) => (a, b),
        };
        if end != Some(from) {
            if end.is_some() {
                out.close();
            }
            let p = at(from);
            out.move_to(p.x, p.y);
        }
        let p = at(to);
        match curve {
            OutlineCurve::Line(..) => out.line_to(p.x, p.y),
            OutlineCurve::Quad(_, c, _) => {
                let c = at(c);
                out.quad_to(c.x, c.y, p.x, p.y);
            }
            OutlineCurve::Cubic(_, c, d, _) => {
                let (c, d) = (at(c), at(d));
                out.cubic_to(c.x, c.y, d.x, d.y, p.x, p.y);
            }
        }
        end = Some(to);
    }
    if end.is_some() {
        out.close();
    }
}

/// Whether the bounding box of `points` meets the panel. What is many times larger than the panel shows no letter, and
/// its coordinates are too large for the rasteriser: not in sight either.
fn in_sight(points: &[PointF; 4], panel: Size) -> bool {
    let (mut x, mut y) = ((f32::MAX, f32::MIN), (f32::MAX, f32::MIN));
    for p in points {
        x = (x.0.min(p.x), x.1.max(p.x));
        y = (y.0.min(p.y), y.1.max(p.y));
    }
    let (width, height) = (panel.width as f32, panel.height as f32);
    let limit = 8.0 * width.max(height);
    x.1 > 0.0 && y.1 > 0.0 && x.0 < width && y.0 < height && x.1 - x.0 < limit && y.1 - y.0 < limit
}

/// `(x, y) -> ((ax + by + c) / (gx + hy + 1), (dx + ey + f) / (gx + hy + 1))`.
struct Projective([f64; 8]);

impl Projective {
    /// The map of the rectangle `width` x `height` onto four corners (Heckbert 1989, square to quadrilateral).
    /// `None` for corners that span no convex area.
    fn from_rectangle(width: f32, height: f32, corners: &[PointF; 4]) -> Option<Self> {
        let [p0, p1, p2, p3] = corners.map(|p| (f64::from(p.x), f64::from(p.y)));
        let (dx1, dy1, dx2, dy2) = (p1.0 - p2.0, p1.1 - p2.1, p3.0 - p2.0, p3.1 - p2.1);
        let (sx, sy) = (p0.0 - p1.0 + p2.0 - p3.0, p0.1 - p1.1 + p2.1 - p3.1);
        let area = dx1 * dy2 - dx2 * dy1;
        let (g, h) = ((sx * dy2 - dx2 * sy) / area, (dx1 * sy - sx * dy1) / area);
        // The denominator at the four corners; it is linear, so it is positive inside too.
        let convex = area.abs() > 0.5 && 1.0 + g > 1e-3 && 1.0 + h > 1e-3 && 1.0 + g + h > 1e-3;
        if !convex || width < 1.0 || height < 1.0 {
            return None;
        }
        let (w, v) = (f64::from(width), f64::from(height));
        Some(Self([
            (p1.0 - p0.0 + g * p1.0) / w,
            (p3.0 - p0.0 + h * p3.0) / v,
            p0.0,
            (p1.1 - p0.1 + g * p1.1) / w,
            (p3.1 - p0.1 + h * p3.1) / v,
            p0.1,
            g / w,
            h / v,
        ]))
    }

    fn map(&self, x: f32, y: f32) -> PointF {
        let [a, b, c, d, e, f, g, h] = self.0;
        let (x, y) = (f64::from(x), f64::from(y));
        let z = g * x + h * y + 1.0;
        PointF::new(((a * x + b * y + c) / z) as f32, ((d * x + e * y + f) / z) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rectangle_corners_land_on_the_box() {
        let corners = [(10.0, 20.0), (110.0, 5.0), (120.0, 60.0), (3.0, 71.0)].map(|(x, y)| PointF::new(x, y));
        let map = Projective::from_rectangle(100.0, 50.0, &corners).expect("convex");
        for ((x, y), corner) in [(0.0, 0.0), (100.0, 0.0), (100.0, 50.0), (0.0, 50.0)].into_iter().zip(corners) {
            assert!(map.map(x, y).distance(corner) < 1e-3);
        }
        // Where the diagonals of the rectangle cross, those of the box cross.
        let (c, line) = (map.map(50.0, 25.0), |a: PointF, b: PointF, p: PointF| (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x));
        assert!(line(corners[0], corners[2], c).abs() < 0.05 && line(corners[1], corners[3], c).abs() < 0.05);
    }

    #[test]
    fn boxes_without_an_inside_have_no_map() {
        let quads = [
            [(0.0, 0.0); 4],
            [(0.0, 0.0), (10.0, 0.0), (20.0, 0.0), (30.0, 0.0)],
            [(0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0)],
            [(0.0, 0.0), (100.0, 0.0), (10.0, 10.0), (0.0, 100.0)],
        ];
        for quad in quads {
            let corners = quad.map(|(x, y)| PointF::new(x, y));
            assert!(Projective::from_rectangle(10.0, 10.0, &corners).is_none(), "{quad:?}");
        }
    }
}

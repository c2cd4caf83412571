//! Lines of text from the glyphs that a document places on a page. Documents place glyphs, or words, in any order and mark
//! spaces by gaps as often as by characters; what belongs together is told from places alone. Lengths are in em, the height of
//! a glyph's box. Text runs from left to right in its own direction; turned and vertical lines are found as well.

use super::db::order::reading_order;
use crate::image::page_text::{Glyph, UNKNOWN};
use crate::image::{PointF, PointI};

/// Lines whose directions differ by less are of one direction, in degrees.
const SAME_DIRECTION: f32 = 3.0;
/// Glyphs whose middles differ by less across the line stand in one row.
const SAME_ROW: f32 = 0.35;
/// Glyphs of one row are at most so many times as high as each other: figures above the line are, initials beside it are not.
const SAME_HEIGHT: f32 = 2.0;
/// Rows that a glyph may belong to: those whose middles lie highest and are still near.
const NEAR_ROWS: usize = 8;
/// A wider gap starts another line in the same row: the next column, or the next cell.
const COLUMN_GAP: f32 = 1.2;
/// A wider gap stands for a space, between letters and between characters that are written without spaces.
const SPACE_GAP: (f32, f32) = (0.15, 0.5);
/// A glyph that starts closer to an equal one, in parts of its own width, is its shadow.
const SHADOW: f32 = 0.25;
/// Most of the characters of a line that may be unknown, private or control characters.
const MAX_UNREADABLE: f64 = 0.05;
/// An outline around a line is longer than its glyphs by at most this, in its own heights: detectors leave a margin.
const MARGIN: f32 = 1.0;
/// Least part of a letter at an end that an outline covers where it is of the line.
const COVERED: f32 = 0.25;
/// An outline around a line is at most this high.
const MAX_HEIGHT: f32 = 3.0;

/// Whether the standard keeps `c` from ever being a character; HTML may not hold it.
fn is_no_character(c: char) -> bool {
    matches!(c as u32 & 0xffff, 0xfffe | 0xffff) || matches!(c, '\u{fdd0}'..='\u{fdef}')
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub struct TextLine {
    /// Its characters.
    pub text: String,
    /// Corners of its box, clockwise from its own top left.
    pub quad: [PointI; 4],
}

/// The lines that `glyphs` make, in the order of [`reading_order`].
pub fn lines(glyphs: &[Glyph]) -> Vec<TextLine> {
    let mut lines: Vec<TextLine> =
        rows(glyphs.iter().collect()).iter().flat_map(|row| row.split().filter_map(Row::line).collect::<Vec<_>>()).collect();
    reading_order(&mut lines, |line| line.quad[0]);
    lines
}

/// The text inside `outline`, when that is one line, readable, as long as the outline, and cut within no word: what a detector
/// of text found there is then this text and nothing else. A letter at an end of a word that the outline covers in part is of it.
pub fn within(glyphs: &[Glyph], outline: &[PointI]) -> Option<String> {
    let shown = glyphs.iter().filter(|glyph| !is_blank(&glyph.text));
    let (inside, outside): (Vec<&Glyph>, Vec<&Glyph>) = shown.partition(|glyph| contains(outline, glyph.middle()));
    let [row] = &mut rows(inside)[..] else { return None };
    let corners = outline.iter().map(|p| row.axes.place(p.to_f()));
    let (along, across) = corners.fold((Span::NONE, Span::NONE), |(along, across), p| (along.with(p.x), across.with(p.y)));
    let (glyphs, height) = (row.extent(), across.length().min(along.length()));
    let span = glyphs.0;
    let is_of_it = |glyph: &Glyph, placed: &Placed| {
        let is_at_end = placed.along.middle() < span.from || placed.along.middle() > span.to;
        let covered = along.shared(placed.along) >= COVERED * placed.along.length();
        is_at_end && covered && span.goes_on_with(placed) && row.axes.is_along(glyph)
    };
    let next = outside.into_iter().map(|glyph| (glyph, row.axes.placed(glyph))).filter(|(_, placed)| row.takes(placed));
    let (of_it, beyond): (Vec<_>, Vec<_>) = next.partition(|(glyph, placed)| is_of_it(glyph, placed));
    of_it.into_iter().for_each(|(_, placed)| row.add(placed));
    row.sort();
    let span = row.extent().0;
    if beyond.iter().any(|(_, placed)| span.goes_on_with(placed)) {
        return None;
    }
    let fits = glyphs.0.length() + MARGIN * height >= along.length() && across.length() <= MAX_HEIGHT * glyphs.1.length();
    let raw: String = row.glyphs.iter().map(|glyph| glyph.text).collect();
    (fits && is_readable(&raw)).then(|| row.text())
}

/// Whether nearly all characters of `text` are such as people read.
pub fn is_readable(text: &str) -> bool {
    let unreadable = |c: &char| matches!(*c, UNKNOWN | '\u{E000}'..='\u{F8FF}') || c.is_control();
    let count = text.chars().count();
    count > 0 && text.chars().filter(unreadable).count() as f64 <= count as f64 * MAX_UNREADABLE
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// Whether `point` lies in `outline`, by the even-odd rule.
fn contains(outline: &[PointI], point: PointF) -> bool {
    let edges = outline.iter().zip(outline.iter().cycle().skip(1)).map(|(a, b)| (a.to_f(), b.to_f()));
    let crossed = edges.filter(|(a, b)| (a.y > point.y) != (b.y > point.y) && point.x < (b.x - a.x) * (point.y - a.y) / (b.y - a.y) + a.x);
    crossed.count() % 2 == 1
}

/// Coordinates along a direction of writing, and across it.
#[derive(Clone, Copy)]
struct Axes {
    cos: f32,
    sin: f32,
}

impl Axes {
    fn place(self, p: PointF) -> PointF {
        PointF::new(p.x * self.cos + p.y * self.sin, p.y * self.cos - p.x * self.sin)
    }

    /// Whether `glyph` is written in this direction.
    fn is_along(self, glyph: &Glyph) -> bool {
        let direction = self.place(glyph.along);
        direction.x > 0.0 && direction.y.abs() < direction.x * SAME_DIRECTION.to_radians().tan()
    }

    fn placed(self, glyph: &Glyph) -> Placed<'_> {
        let corners = glyph.quad.iter().map(|p| self.place(*p));
        let (along, across) = corners.fold((Span::NONE, Span::NONE), |(along, across), p| (along.with(p.x), across.with(p.y)));
        Placed { text: &glyph.text, along, across }
    }

    fn pixel(self, along: f32, across: f32) -> PointI {
        let (x, y) = (along * self.cos - across * self.sin, along * self.sin + across * self.cos);
        PointI::new(x.round() as i32, y.round() as i32)
    }
}

#[derive(Clone, Copy)]
struct Span {
    from: f32,
    to: f32,
}

impl Span {
    const NONE: Self = Self { from: f32::MAX, to: f32::MIN };

    fn with(self, v: f32) -> Self {
        Self { from: self.from.min(v), to: self.to.max(v) }
    }

    fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    fn length(self) -> f32 {
        (self.to - self.from).max(0.0)
    }

    fn middle(self) -> f32 {
        (self.from + self.to) / 2.0
    }

    fn shared(self, other: Self) -> f32 {
        self.to.min(other.to) - self.from.max(other.from)
    }

    /// Whether `glyph` of the same row, which is none of those that cover this, belongs to the first or last word of them.
    fn goes_on_with(self, glyph: &Placed) -> bool {
        let gap = (glyph.along.from - self.to).max(self.from - glyph.along.to);
        gap < SPACE_GAP.0 * glyph.across.length()
    }
}

/// A glyph in the coordinates of its row.
#[derive(Clone, Copy)]
struct Placed<'a> {
    text: &'a str,
    along: Span,
    across: Span,
}

/// Glyphs that stand in one row, in their order.
struct Row<'a> {
    axes: Axes,
    /// Mean of the middles of its glyphs, across.
    middle: f32,
    glyphs: Vec<Placed<'a>>,
}

fn rows(glyphs: Vec<&Glyph>) -> Vec<Row<'_>> {
    let angle = |glyph: &Glyph| glyph.along.y.atan2(glyph.along.x).to_degrees();
    let apart = |a: f32, b: f32| ((a - b + 540.0).rem_euclid(360.0) - 180.0).abs();
    // First the directions there are, each known by its first glyph, then what is nearest to which: equal but for noise are
    // torn apart only where they lie halfway between two others.
    let mut directions: Vec<(f32, Vec<&Glyph>)> = Vec::new();
    for angle in glyphs.iter().copied().map(angle) {
        if directions.iter().all(|known| apart(known.0, angle) >= SAME_DIRECTION) {
            directions.push((angle, Vec::new()));
        }
    }
    for glyph in glyphs {
        let nearest = directions.iter_mut().min_by(|a, b| apart(a.0, angle(glyph)).total_cmp(&apart(b.0, angle(glyph))));
        if let Some((_, near)) = nearest {
            near.push(glyph);
        }
    }
    directions.into_iter().flat_map(|(_, glyphs)| rows_of_direction(glyphs)).collect()
}

fn rows_of_direction(glyphs: Vec<&Glyph>) -> Vec<Row<'_>> {
    let PointF { x, y } = glyphs.iter().fold(PointF::default(), |sum, g| {
        let length = g.along.x.hypot(g.along.y).max(f32::MIN_POSITIVE);
        PointF::new(sum.x + g.along.x / length, sum.y + g.along.y / length)
    });
    let length = x.hypot(y).max(f32::MIN_POSITIVE);
    let axes = Axes { cos: x / length, sin: y / length };
    let mut placed: Vec<Placed> = glyphs.into_iter().map(|glyph| axes.placed(glyph)).collect();
    placed.sort_by(|a, b| a.across.middle().total_cmp(&b.across.middle()));
    let mut rows: Vec<Row> = Vec::new();
    for glyph in placed {
        match rows.iter_mut().rev().take(NEAR_ROWS).find(|row| row.takes(&glyph)) {
            Some(row) => row.add(glyph),
            None => rows.push(Row { axes, middle: glyph.across.middle(), glyphs: vec![glyph] }),
        }
    }
    rows.iter_mut().for_each(Row::sort);
    rows
}

impl<'a> Row<'a> {
    /// Whether `glyph` stands in it; its first glyph stands for the others.
    fn takes(&self, glyph: &Placed) -> bool {
        let heights = (glyph.across.length(), self.glyphs.first().map_or(0.0, |first| first.across.length()));
        let (low, high) = (heights.0.min(heights.1), heights.0.max(heights.1));
        high <= SAME_HEIGHT * low && (glyph.across.middle() - self.middle).abs() <= SAME_ROW * high
    }

    /// Puts its glyphs into their order, without shadows.
    fn sort(&mut self) {
        self.glyphs.sort_by(|a, b| a.along.from.total_cmp(&b.along.from));
        self.glyphs.dedup_by(|next, first| next.text == first.text && next.along.from - first.along.from < SHADOW * first.along.length());
    }

    fn add(&mut self, glyph: Placed<'a>) {
        self.glyphs.push(glyph);
        self.middle += (glyph.across.middle() - self.middle) / self.glyphs.len() as f32;
    }

    /// Its lines: what stands between gaps that are wider than spaces. Blank glyphs bridge no gap.
    fn split(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let mut lines: Vec<Row> = Vec::new();
        let mut end = f32::MIN;
        for glyph in &self.glyphs {
            let is_first = !is_blank(glyph.text) && glyph.along.from - end > COLUMN_GAP * glyph.across.length();
            match lines.last_mut() {
                Some(line) if !is_first => line.glyphs.push(*glyph),
                _ => lines.push(Row { glyphs: vec![*glyph], axes: self.axes, middle: self.middle }),
            }
            if !is_blank(glyph.text) {
                end = end.max(glyph.along.to);
            }
        }
        lines.into_iter()
    }

    /// What its glyphs cover, along and across; blank ones cover nothing.
    fn extent(&self) -> (Span, Span) {
        let shown = self.glyphs.iter().filter(|glyph| !is_blank(glyph.text));
        shown.fold((Span::NONE, Span::NONE), |(along, across), glyph| (along.and(glyph.along), across.and(glyph.across)))
    }

    fn text(&self) -> String {
        let mut text = String::new();
        let mut end: Option<f32> = None;
        for glyph in &self.glyphs {
            let (last, next) = (text.chars().next_back(), glyph.text.chars().next());
            if let (Some(last), Some(next), Some(end)) = (last, next, end) {
                let gap = if is_unspaced(last) && is_unspaced(next) { SPACE_GAP.1 } else { SPACE_GAP.0 };
                let is_space = next.is_whitespace() || glyph.along.from - end > gap * glyph.across.length();
                if is_space && !last.is_whitespace() {
                    text.push(' ');
                }
            }
            if !is_blank(glyph.text) {
                // What stands for one glyph may be anything; a line has no ends of lines in it.
                for c in glyph.text.chars() {
                    match c.is_whitespace() || c.is_control() || is_no_character(c) {
                        false => text.push(c),
                        true if text.ends_with(' ') => {}
                        true => text.push(' '),
                    }
                }
                end = Some(end.map_or(glyph.along.to, |end| end.max(glyph.along.to)));
            }
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn line(self) -> Option<TextLine> {
        let text = self.text();
        let (along, across) = self.extent();
        let corner = |u, v| self.axes.pixel(u, v);
        let quad =
            [corner(along.from, across.from), corner(along.to, across.from), corner(along.to, across.to), corner(along.from, across.to)];
        (!text.is_empty()).then_some(TextLine { text, quad })
    }
}

/// Whether `c` belongs to a script that puts no spaces between words.
fn is_unspaced(c: char) -> bool {
    matches!(c, '\u{2E80}'..='\u{9FFF}' | '\u{F900}'..='\u{FAFF}' | '\u{FE30}'..='\u{FE4F}' | '\u{FF00}'..='\u{FFEF}' | '\u{20000}'..='\u{3FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text` along a line of this direction, one glyph a letter, each turned a little further by noise.
    fn written(text: &str, degrees: f32) -> Vec<Glyph> {
        let glyph = |(i, c): (usize, char)| {
            let noise = [0.0, 1e-4, -1e-4][i % 3];
            let (sin, cos) = (degrees + noise).to_radians().sin_cos();
            let at = |u: f32, v: f32| PointF::new(500.0 + u * cos - v * sin, 500.0 + u * sin + v * cos);
            let u = i as f32 * 10.0;
            Glyph {
                text: c.to_string(),
                quad: [at(u, 0.0), at(u + 9.5, 0.0), at(u + 9.5, 20.0), at(u, 20.0)],
                along: PointF::new(cos, sin),
            }
        };
        text.chars().enumerate().map(glyph).collect()
    }

    #[test]
    fn letters_of_a_line_stay_together_whatever_its_direction() {
        for degrees in [-178.5, -90.0, -1.5, 0.0, 1.5, 3.0, 4.5, 22.5, 45.0, 90.0, 180.0] {
            let found = lines(&written("quick", degrees));
            assert_eq!(found.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), ["quick"], "{degrees}");
        }
        let both = [written("level", 0.0), written("steep", 40.0)].concat();
        assert_eq!(lines(&both).len(), 2);
    }

    #[test]
    fn gaps_between_letters_that_need_no_spaces_are_wider() {
        for (text, expected) in [("ab", "a b"), ("中文", "中文"), ("中b", "中 b")] {
            let mut glyphs = written(text, 0.0);
            glyphs[1].quad.iter_mut().for_each(|p| p.x += 5.0); // a quarter of the height apart
            assert_eq!(lines(&glyphs)[0].text, expected);
        }
    }

    #[test]
    fn small_text_in_a_tall_outline_is_not_what_is_seen_there() {
        for (height, expected) in [(60, Some("abc")), (62, None)] {
            let outline = [(500, 500), (560, 500), (560, 500 + height), (500, 500 + height)].map(|(x, y)| PointI::new(x, y));
            let mut glyphs = written("abc", 0.0);
            glyphs.iter_mut().flat_map(|glyph| &mut glyph.quad).for_each(|p| p.y += 20.0);
            assert_eq!(within(&glyphs, &outline).as_deref(), expected, "{height}");
        }
    }

    #[test]
    fn a_line_holds_no_ends_of_lines() {
        let mut glyphs = written("abc", 0.0);
        glyphs[1].text = "\n\n\u{1b}\u{fffe}[".into();
        assert_eq!(lines(&glyphs)[0].text, "a [c");
        let outline = [(500, 500), (530, 500), (530, 520), (500, 520)].map(|(x, y)| PointI::new(x, y));
        assert_eq!(within(&written("abc", 0.0), &outline).as_deref(), Some("abc"));
        assert_eq!(within(&glyphs, &outline), None, "control characters are no text that people read");
        assert_eq!(within(&written("abcd", 0.0), &outline), None, "the found line ends within a word");
        let wider = [(500, 500), (533, 500), (533, 520), (500, 520)].map(|(x, y)| PointI::new(x, y));
        assert_eq!(within(&written("abcd", 0.0), &wider).as_deref(), Some("abcd"), "it covers a part of the last letter");
        assert_eq!(within(&written("abcde", 0.0), &wider), None, "and there is another behind it");
        let mut across = written("abcd", 0.0);
        across[3].along = PointF::new(0.0, 1.0);
        assert_eq!(within(&across, &wider), None, "what is written in another direction is not of it");
        assert_eq!(within(&written("abc de", 0.0), &outline).as_deref(), Some("abc"), "the next word may be another line");
    }
}

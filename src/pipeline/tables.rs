//! Tables of pages: the structure of each cut-out table, its texts, and which text belongs to which cell.

use super::crew::Turn;
use super::layout::Part;
use crate::error::Result;
use crate::image::{PointF, PointI};
use crate::modules::TableStructure;
use crate::ops::table::{Structure, cell_texts, nearest_cells};
use crate::result::OcrResult;
use crate::result::table::Table;
use crate::trace::StageTimes;

/// A table in pixels of its page.
pub(super) struct Found {
    pub table: Table,
    /// Its texts, as lines of the page.
    pub text: OcrResult,
    pub times: StageTimes,
}

/// The structures of the tables that fill `parts`, in their order.
pub(super) fn structures(turn: Turn, structure: &TableStructure, parts: &[Part]) -> Vec<Result<(Structure, StageTimes)>> {
    turn.each(parts, |part, share| {
        let mut times = StageTimes::default();
        structure.recognise(part.picture.image.view(), share, &mut times).map(|found| (found, times))
    })
}

/// A table of its structure and the text of its part.
pub(super) fn table(part: &Part, structure: Result<(Structure, StageTimes)>, text: Result<(OcrResult, StageTimes)>) -> Result<Found> {
    Ok(filled(part, structure?, text?))
}

fn filled(part: &Part, (structure, mut times): (Structure, StageTimes), (mut text, spent): (OcrResult, StageTimes)) -> Found {
    times.add_share(&spent, 1.0);
    let places = nearest_cells(&structure.cells, &text.dt_polys);
    let count = structure.tokens.iter().filter(|token| token.contains("</td>")).count();
    let texts = cell_texts(&text.rec_text, &places, count);
    let [left, top, ..] = part.bbox;
    let moved = |p: PointI| PointI::new(p.x.saturating_add(left), p.y.saturating_add(top));
    text.dt_polys.iter_mut().flatten().for_each(|p| *p = moved(*p));
    let cell = |corners: [PointI; 4]| corners.map(|p| moved(p).to_f());
    let cells: Vec<[PointF; 4]> = structure.cells.into_iter().map(cell).collect();
    Found { table: Table { layout_bbox: part.bbox, cells, structure: structure.tokens, texts }, text, times }
}

/// Whether the rectangle around `outline` has pixels in common with `bbox`.
pub(super) fn overlaps(outline: &[PointI], bbox: [i32; 4]) -> bool {
    let start = [i32::MAX, i32::MAX, i32::MIN, i32::MIN];
    let [x0, y0, x1, y1] = outline.iter().fold(start, |[a, b, c, d], p| [a.min(p.x), b.min(p.y), c.max(p.x), d.max(p.y)]);
    x0.max(bbox[0]) < x1.min(bbox[2]) && y0.max(bbox[1]) < y1.min(bbox[3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_a_table_shares_no_pixel_with_it() {
        let line = [(0, 0), (10, 0), (10, 5), (0, 5)].map(|(x, y)| PointI::new(x, y));
        for (table, expected) in [([9, 4, 20, 9], true), ([10, 0, 20, 5], false), ([0, 5, 10, 9], false), ([-9, -9, 0, 9], false)] {
            assert_eq!(overlaps(&line, table), expected, "{table:?}");
        }
    }
}

//! Recognised texts into the cells they belong to.

use crate::image::PointI;

/// Left, top, right, bottom.
type Rect = [f32; 4];

/// For each text region the index of its cell: the one with the greatest overlap (intersection over union), among
/// those the nearest corners, of equals the first. Every region has a cell, even one that touches none; no cells, no answers.
pub fn nearest_cells(cells: &[[PointI; 4]], regions: &[Vec<PointI>]) -> Vec<usize> {
    let cells: Vec<Rect> = cells.iter().map(|corners| rect(corners)).collect();
    let nearest = |region: Rect| {
        let ranked = cells.iter().map(|&cell| (1.0 - f64::from(overlap(cell, region)), f64::from(distance(cell, region))));
        let better = |best: (usize, (f64, f64)), next: (usize, (f64, f64))| if next.1 < best.1 { next } else { best };
        ranked.enumerate().reduce(better).map(|(cell, _)| cell)
    };
    regions.iter().filter_map(|region| nearest(rect(region))).collect()
}

/// Contents of `count` cells: the texts of each, in their order, with spaces between them. `places` holds the cell of
/// each text; a place beyond the cells loses its text, as the reference has it.
pub fn cell_texts(texts: &[String], places: &[usize], count: usize) -> Vec<String> {
    let mut cells: Vec<Vec<&str>> = vec![Vec::new(); count];
    for (text, &place) in texts.iter().zip(places) {
        if let Some(cell) = cells.get_mut(place) {
            cell.push(text);
        }
    }
    cells.iter().map(|texts| joined(texts)).collect()
}

/// One text as it is; several with spaces between them, marks for bold print taken off each and put around all.
fn joined(texts: &[&str]) -> String {
    if let [only] = texts {
        return (*only).to_owned();
    }
    let is_bold = texts.first().is_some_and(|text| text.contains("<b>"));
    let mut out = String::from(if is_bold { "<b>" } else { "" });
    for (i, &text) in texts.iter().enumerate() {
        let mut text = text.strip_prefix(' ').unwrap_or(text);
        if text.contains("<b>") {
            text = without_first(text, 3);
        }
        if text.contains("</b>") {
            text = without_last(text, 4);
        }
        out += text;
        if !text.is_empty() && i + 1 < texts.len() && !text.ends_with(' ') {
            out.push(' ');
        }
    }
    out + if is_bold { "</b>" } else { "" }
}

fn without_first(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or("", |(at, _)| &text[at..])
}

fn without_last(text: &str, count: usize) -> &str {
    text.char_indices().rev().nth(count - 1).map_or("", |(at, _)| &text[..at])
}

fn rect(points: &[PointI]) -> Rect {
    let start = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    points.iter().map(|p| p.to_f()).fold(start, |[x0, y0, x1, y1], p| [x0.min(p.x), y0.min(p.y), x1.max(p.x), y1.max(p.y)])
}

/// Intersection over union, in f32 as NumPy computes it.
fn overlap(a: Rect, b: Rect) -> f32 {
    let area = |r: Rect| (r[2] - r[0]) * (r[3] - r[1]);
    let (left, right) = (a[0].max(b[0]), a[2].min(b[2]));
    let (top, bottom) = (a[1].max(b[1]), a[3].min(b[3]));
    if left >= right || top >= bottom {
        return 0.0;
    }
    let common = (right - left) * (bottom - top);
    common / (area(a) + area(b) - common)
}

/// Distances of the corners along the axes, the nearer corner counted twice.
fn distance(a: Rect, b: Rect) -> f32 {
    let [x0, y0, x1, y1]: Rect = std::array::from_fn(|i| (b[i] - a[i]).abs());
    x0 + y0 + x1 + y1 + (x0 + y0).min(x1 + y1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quad(x0: i32, y0: i32, x1: i32, y1: i32) -> [PointI; 4] {
        [(x0, y0), (x1, y0), (x1, y1), (x0, y1)].map(|(x, y)| PointI::new(x, y))
    }

    #[test]
    fn overlap_decides_then_distance_then_order() {
        let cells = [quad(0, 0, 50, 20), quad(50, 0, 100, 20), quad(50, 0, 100, 20)];
        let regions = [quad(40, 2, 90, 18), quad(200, 200, 210, 205), quad(3, 2, 9, 12)].map(|q| q.to_vec());
        assert_eq!(nearest_cells(&cells, &regions), [1, 1, 0]);
        assert!(nearest_cells(&[], &regions).is_empty());
    }

    #[test]
    fn texts_are_joined_as_the_reference_joins_them() {
        let texts = ["a", " b ", "<b>c</b>", "", "d", "e"].map(String::from);
        assert_eq!(cell_texts(&texts, &[0, 1, 1, 1, 1, 7], 3), ["a", "b c d", ""]);
        let bold = ["<b>x</b>", "<b>y"].map(String::from);
        assert_eq!(cell_texts(&bold, &[0, 0], 1), ["<b>x y</b>"]);
        assert_eq!(joined(&["<b", "字</b>"]), "<b 字");
        assert_eq!(joined(&[" ", "<b>", "</b>"]), "");
    }
}

//! A result for people, on a terminal.

use crate::result::render::markdown;
use crate::result::{ClassificationResult, DetectedBox, Header, LabelMap, OcrResult, PipelineResult, SealResult, Table};

/// A picture's name, what ran, and what was found.
pub(super) fn listing(name: &str, result: &PipelineResult) -> String {
    let Header { run, timings_ms, transfers, .. } = result.header();
    let mut out = format!("{}\n", printable(name));
    for run in run {
        let widths = run.widths.iter().map(|widths| format!(", {widths} widths"));
        let more: String = run.format.iter().map(|format| format!(", from {format}")).chain(widths).collect();
        out += &format!("  {} on {} ({} {}, {}{more})\n", printable(&run.model), run.device, run.backend, run.version, run.precision);
    }
    out += &match result {
        PipelineResult::Ocr(result) => texts(result),
        PipelineResult::Classification(result) => classes(result),
        PipelineResult::Detection(result) => boxes(&result.boxes, |_| String::new()),
        PipelineResult::Segmentation(result) => shares(&result.pred),
        PipelineResult::Seals(result) if result.layout.is_empty() && !result.seals.is_empty() => seals(result), // the whole page is one
        PipelineResult::Seals(result) => boxes(&result.layout, |_| String::new()) + &seals(result),
        PipelineResult::Page(result) => markdown::page(&result.blocks).lines().map(|line| format!("  {}\n", printable(line))).collect(),
        PipelineResult::Tables(result) => boxes(&result.layout, |_| String::new()) + &texts(&result.ocr) + &tables(&result.tables),
        PipelineResult::Instances(result) => boxes(&result.boxes, |index| {
            let pixels = result.masks.get(index).map_or(0, |mask| mask.inside().iter().filter(|&&v| v == 1).count());
            format!(", {pixels} pixels")
        }),
    };
    if let Some(timings) = timings_ms {
        let parts: Vec<String> = timings.iter().map(|(stage, ms)| format!("{stage} {ms:.1}")).collect();
        out += &format!("  ms: {}\n", parts.join(", "));
    }
    if let Some(transfers) = transfers {
        let parts = transfers.entries().map(|(what, count)| format!("{what} {count:.1}"));
        out += &format!("  transfers: {}\n", parts.join(", "));
    }
    out
}

/// Lines with scores and places.
fn texts(result: &OcrResult) -> String {
    if result.rec_text.is_empty() {
        return "  no text found\n".into();
    }
    let lines = result.rec_text.iter().zip(&result.rec_score).zip(&result.dt_polys).map(|((text, score), quad)| {
        let corner = quad.first().map_or(String::new(), |p| format!("({}, {})", p.x, p.y));
        format!("  {score:.2}  {corner:>12}  {}\n", printable(text))
    });
    lines.collect()
}

/// The text of each seal.
fn seals(result: &SealResult) -> String {
    let one = |(index, seal): (usize, &crate::result::Seal)| format!("  seal {index}\n{}", texts(&seal.text));
    result.seals.iter().enumerate().map(one).collect()
}

/// Sizes and rows of tables.
fn tables(tables: &[Table]) -> String {
    let one = |(index, table): (usize, &Table)| {
        let grid = table.grid();
        let mut out = format!("  table {index}: {} rows, {} columns\n", grid.rows, grid.columns);
        for row in 0..grid.rows {
            let cells: Vec<String> = grid.cells.iter().filter(|c| c.row == row).map(|c| printable(&c.text)).collect();
            out += &format!("    {}\n", cells.join(" | "));
        }
        out
    };
    tables.iter().enumerate().map(one).collect()
}

/// Classes with scores.
fn classes(result: &ClassificationResult) -> String {
    let names = |index: usize| result.label_names.get(index).map_or("", String::as_str);
    let lines = result.class_ids.iter().zip(&result.scores).enumerate();
    lines.map(|(index, (id, score))| format!("  {score:.5}  {id:>5}  {}\n", printable(names(index)))).collect()
}

/// Objects with scores and places; `more` adds to the line of each.
fn boxes(boxes: &[DetectedBox], more: impl Fn(usize) -> String) -> String {
    if boxes.is_empty() {
        return "  nothing found\n".into();
    }
    let line = |(index, found): (usize, &DetectedBox)| {
        let [x1, y1, x2, y2] = found.coordinate;
        format!("  {:.2}  {}  ({x1:.1}, {y1:.1}) to ({x2:.1}, {y2:.1}){}\n", found.score, printable(&found.label), more(index))
    };
    boxes.iter().enumerate().map(line).collect()
}

/// The classes of a map with the share of the picture each takes, the largest first.
fn shares(map: &LabelMap) -> String {
    let mut pixels = [0u64; 1 << u8::BITS];
    map.labels().iter().for_each(|&label| pixels[usize::from(label)] += 1);
    let mut found: Vec<(usize, u64)> = pixels.into_iter().enumerate().filter(|(_, pixels)| *pixels > 0).collect();
    found.sort_by_key(|&(class, pixels)| (std::cmp::Reverse(pixels), class));
    let lines = found.into_iter().map(|(class, pixels)| {
        let percent = 100.0 * pixels as f64 / map.size().area() as f64;
        format!("  {percent:5.1} %  class {class}\n")
    });
    std::iter::once(format!("  {} pixels\n", map.size())).chain(lines).collect()
}

/// Names are the user's, and may hold what a terminal takes for commands.
pub(super) fn printable(text: &str) -> String {
    crate::trace::printable(text, &[])
}

//! Tables and pages as Markdown (CommonMark with GitHub's tables). Whatever is in a picture stays text.

use super::html;
use crate::result::page::{Block, BlockContent};
use crate::result::table::{Grid, Table};
use std::fmt::Write;

/// Region classes that are headings, and their level.
const HEADINGS: [(&str, &str); 3] = [("doc_title", "# "), ("title", "## "), ("paragraph_title", "## ")];

/// A page: its blocks one below the other, in the order given.
pub fn page(blocks: &[Block]) -> String {
    let parts: Vec<String> = blocks.iter().map(|block| part(&block.content)).filter(|part| !part.is_empty()).collect();
    parts.join("\n\n") + if parts.is_empty() { "" } else { "\n" }
}

fn part(content: &BlockContent) -> String {
    match content {
        BlockContent::Region { label, lines } => {
            let heading = HEADINGS.iter().find(|(name, _)| name == label).map(|(_, mark)| *mark);
            let lines = lines.iter().map(|line| escaped(line)).filter(|line| !line.is_empty()).collect::<Vec<_>>();
            match heading {
                Some(mark) if !lines.is_empty() => format!("{mark}{}", lines.join(" ")),
                _ => lines.join("\n"),
            }
        }
        BlockContent::Table(content) => table(content),
        BlockContent::Seal(text) | BlockContent::Line(text) => escaped(text),
    }
}

/// A table. Markdown knows no merged cells: a table that has some is written as HTML, which Markdown may hold.
pub fn table(table: &Table) -> String {
    let grid = table.grid();
    if grid.cells.is_empty() {
        return String::new();
    }
    if grid.cells.iter().any(|cell| cell.row_span > 1 || cell.column_span > 1) {
        return html::element(table);
    }
    plain(&grid)
}

/// The first row is the head, as every table of Markdown has one.
fn plain(grid: &Grid) -> String {
    let mut rows = vec![vec![String::new(); grid.columns]; grid.rows];
    for cell in &grid.cells {
        rows[cell.row][cell.column] = escaped(&cell.text);
    }
    let mut out = String::new();
    for (i, row) in rows.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} |", row.join(" | "));
        if i == 0 {
            let _ = writeln!(out, "|{}", " --- |".repeat(grid.columns));
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// `text` on one line, with every character that means something in Markdown or HTML made harmless.
pub fn escaped(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::with_capacity(text.len() + 8);
    // Marks that count at the start of a line only: of lists, headings underlined, thematic breaks.
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    for (at, c) in text.char_indices() {
        let next = text[at + c.len_utf8()..].chars().next();
        let starts_list = at == digits && digits > 0 && matches!(c, '.' | ')') && next.is_none_or(|next| next == ' ');
        // Addresses, emoji by name, marks of blocks; but for times and scales, and before blanks.
        let digit = |c: char| c.is_ascii_digit();
        let after = text[at..].trim_start_matches(':').trim_start_matches(digit);
        let is_between_digits = text[..at].ends_with(digit) && next.is_some_and(digit) && !after.starts_with(':');
        let names_something = c == ':' && (at == 0 || next.is_some_and(|next| next != ' ')) && !is_between_digits;
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            c if r"\`*_[]#|~!$^".contains(c) || at == 0 && "-+=".contains(c) || starts_list || names_something => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::table::tests as sample;

    #[test]
    fn a_table_with_any_span_keeps_it() {
        for span in ["rowspan", "colspan"] {
            let tokens = format!("<tr>|<td| {span}=\"2\"|>|</td>|<td></td>|</tr>|<tr>|<td></td>|<td></td>|</tr>");
            assert!(table(&sample::table(&tokens, "a,b,c,d")).contains(&format!("<td {span}=\"2\">a</td>")), "{span}");
        }
    }

    #[test]
    fn plain_tables_are_markdown_and_merged_ones_html() {
        let plain = sample::table("<tr>|<td></td>|<td></td>|</tr>|<tr>|<td></td>|</tr>", "a|b,*c*,1. d\ne");
        assert_eq!(table(&plain), "| a\\|b | \\*c\\* |\n| --- | --- |\n| 1\\. d e |  |");
        assert!(table(&sample::table(sample::SPANS, "h,l,a,b,c,d")).starts_with("<table><thead><tr><td colspan=\"3\">h</td>"));
        assert_eq!(table(&Table::default()), "");
    }

    #[test]
    fn text_never_becomes_markup() {
        for (text, expected) in [
            ("# Title", "\\# Title"),
            ("- item", "\\- item"),
            ("12) item", "12\\) item"),
            ("3.5 kg", "3.5 kg"),
            ("7. x 12:30 1:100: x", "7\\. x 12:30 1\\:100: x"),
            ("a :smile: b :100: c: d:", "a \\:smile: b \\:100: c: d:"),
            (": x https://y", "\\: x https\\://y"),
            ("<img src=x onerror=y>", "&lt;img src=x onerror=y&gt;"),
            ("[x](javascript:y)", "\\[x\\](javascript\\:y)"),
            ("![p](q)", "\\!\\[p\\](q)"),
            ("a\u{2028}b\nc", "a b c"),
            ("AT&T & co", "AT&amp;T &amp; co"),
            ("", ""),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }

    #[test]
    fn blocks_follow_each_other() {
        let block = |content| Block { layout_bbox: [0.0; 4], content, in_column: false };
        let lines =
            |label: &str, lines: &[&str]| BlockContent::Region { label: label.into(), lines: lines.iter().map(|l| (*l).into()).collect() };
        let blocks = [
            block(lines("title", &["A title", "in two lines"])),
            block(lines("text", &["One line,", "another."])),
            block(lines("image", &[])),
            block(BlockContent::Table(sample::table("<tr>|<td></td>|</tr>", "x"))),
            block(BlockContent::Line("loose".into())),
        ];
        assert_eq!(page(&blocks), "## A title in two lines\n\nOne line,\nanother.\n\n| x |\n| --- |\n\nloose\n");
        assert_eq!(page(&[]), "");
    }
}

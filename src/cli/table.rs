//! Aligned columns and JSON for listings on standard output.

use crate::error::{Error, Result};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Writes rows under their headings, each column as wide as its widest cell.
pub(super) fn write_table<S: AsRef<str>>(out: &mut impl Write, headings: impl AsRef<[S]>, rows: &[impl AsRef<[String]>]) -> Result<()> {
    let headings: Vec<String> = headings.as_ref().iter().map(|heading| heading.as_ref().to_owned()).collect();
    let lines: Vec<&[String]> = std::iter::once(&headings[..]).chain(rows.iter().map(AsRef::as_ref)).collect();
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let cells: Vec<String> = line.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    write_text(out, &text)
}

/// Writes a value as indented JSON.
pub(super) fn write_json(out: &mut impl Write, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::internal("listing as JSON", e.to_string()))?;
    write_text(out, &(text + "\n"))
}

/// Writes text as it is.
pub(super) fn write_text(out: &mut impl Write, text: &str) -> Result<()> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("write to", Path::new("standard output")))
}

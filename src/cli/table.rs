//! Aligned columns and JSON for listings on standard output.

use crate::error::{Error, Result};
use serde::Serialize;
use std::io::Write;
use std::path::Path;

/// Writes rows under their headings, each column as wide as its widest cell.
pub(super) fn write_table<const N: usize>(out: &mut impl Write, headings: [&str; N], rows: &[[String; N]]) -> Result<()> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([headings[column].len()]).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in std::iter::once(&headings.map(str::to_owned)).chain(rows) {
        let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
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

//! Tables as spreadsheets.

use crate::error::{Error, Result};
use crate::result::table::Table;
use rust_xlsxwriter::{Format, FormatAlign, Workbook, Worksheet, XlsxError};

/// Characters that fit into a cell.
const MOST_CHARACTERS: usize = 32_767;

/// A workbook with one sheet per table. Cells hold text, whatever it looks like, so that a picture can bring no formula, and of a text of more
/// than 32767 characters, which Excel has no place for, those, with a warning; spans are merged cells. A column is as wide as its longest text
/// and two characters more, as the reference's; unlike there a Chinese character is as wide as two others, and the columns of a span are wide
/// enough for its text.
///
/// # Errors
/// [`Error::Input`] for more than 16384 columns.
pub fn workbook(tables: &[&Table]) -> Result<Vec<u8>> {
    let refused = |error: XlsxError| Error::input("table", format!("cannot be written as a spreadsheet: {error}"));
    let mut workbook = Workbook::new();
    for (number, table) in tables.iter().enumerate() {
        let sheet = workbook.add_worksheet();
        sheet.set_name(format!("Table {}", number + 1)).map_err(refused)?;
        fill(sheet, number + 1, table).map_err(refused)?;
    }
    workbook.save_to_buffer().map_err(refused)
}

/// Fills the sheet of table `number`.
fn fill(sheet: &mut Worksheet, number: usize, table: &Table) -> Result<(), XlsxError> {
    let grid = table.grid();
    let merged = Format::new().set_align(FormatAlign::VerticalCenter);
    let mut widths = vec![0; grid.columns];
    for cell in &grid.cells {
        let too_far = |_| XlsxError::RowColumnLimitError;
        let (row, column) = (u32::try_from(cell.row).map_err(too_far)?, u16::try_from(cell.column).map_err(too_far)?);
        let text = fitting(&cell.text, || format!("spreadsheet of table {number}, row {}, column {}", cell.row + 1, cell.column + 1));
        if cell.row_span > 1 || cell.column_span > 1 {
            let last_row = u32::try_from(cell.row + cell.row_span - 1).map_err(too_far)?;
            let last_column = u16::try_from(cell.column + cell.column_span - 1).map_err(too_far)?;
            sheet.merge_range(row, column, last_row, last_column, text, &merged)?;
        } else {
            sheet.write_string(row, column, text)?;
        }
    }
    let mut cells: Vec<_> = grid.cells.iter().collect();
    cells.sort_by_key(|cell| cell.column_span);
    for cell in cells {
        let columns = &mut widths[cell.column..cell.column + cell.column_span];
        let lacking = (width(&cell.text) + 2).saturating_sub(columns.iter().sum());
        columns.iter_mut().for_each(|column| *column += lacking.div_ceil(cell.column_span.max(1)));
    }
    for (column, &width) in (0u16..).zip(&widths) {
        if width > 0 {
            sheet.set_column_width(column, width as f64)?; // cut to the widest there is
        }
    }
    Ok(())
}

/// As much of `text` as a cell holds.
fn fitting(text: &str, at: impl FnOnce() -> String) -> &str {
    // Excel counts units of UTF-16.
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > MOST_CHARACTERS
    });
    let Some((end, _)) = end else { return text };
    tracing::warn!(
        "{}: a cell has no place for more than {MOST_CHARACTERS} characters; its text ends there, in other files it is whole",
        at()
    );
    &text[..end]
}

/// Of digits; Chinese characters and other wide ones are as wide as two.
fn width(text: &str) -> usize {
    text.chars().map(|c| if c >= '\u{2e80}' { 2 } else { 1 }).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::table::tests as sample;
    use std::io::Read;

    fn part(workbook: &[u8], name: &str) -> String {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(workbook)).unwrap();
        let mut text = String::new();
        archive.by_name(name).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn spans_are_merged_and_texts_are_texts() {
        let first = sample::table(sample::SPANS, "head,左边的单元格,=1+1,007,1e5,");
        let second = sample::table("<tr>|<td></td>|</tr>", "only");
        let bytes = workbook(&[&first, &second]).unwrap();
        let sheet = part(&bytes, "xl/worksheets/sheet1.xml");
        for range in ["A1:C1", "A2:A3"] {
            assert!(sheet.contains(&format!("<mergeCell ref=\"{range}\"/>")), "{sheet}");
        }
        assert!(!sheet.contains("<f>"), "{sheet}");
        let strings = part(&bytes, "xl/sharedStrings.xml");
        for text in ["head", "左边的单元格", "=1+1", "007", "1e5", "only"] {
            assert!(strings.contains(&format!(">{text}<")), "{strings}");
        }
        assert!(part(&bytes, "xl/workbook.xml").contains("name=\"Table 2\""));
    }

    /// Widths in a file, with the margins that Excel adds.
    fn widths(table: &Table) -> String {
        let sheet = part(&workbook(&[table]).unwrap(), "xl/worksheets/sheet1.xml");
        let columns = sheet.split("<col ").skip(1).map(|column| column.split('"').collect::<Vec<_>>());
        columns.map(|of| format!("{}-{}: {}; ", of[1], of[3], of[5].trim_end_matches("109375"))).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_longest_text_and_two_characters() {
        let long = "x".repeat(300);
        // 255 is the widest.
        let table = sample::table(sample::SPANS, &format!("a head,four,=1+1,007,1e5,{long}"));
        assert_eq!(widths(&table), "1-2: 6.7; 3-3: 255.7; ");
        let table = sample::table(sample::SPANS, "a head,表头文字,=1+1,007,1e5,six");
        assert_eq!(widths(&table), "1-1: 10.7; 2-2: 6.7; 3-3: 5.7; ");
        // Of 27 characters 17 are there: four more a column.
        let table = sample::table(sample::SPANS, "a head over three columns,four,=1+1,007,1e5,six");
        assert_eq!(widths(&table), "1-2: 10.7; 3-3: 9.7; ");
    }

    #[test]
    fn what_has_no_place_is_left_out() {
        let long = format!("{}\u{1f600}", "x".repeat(MOST_CHARACTERS - 1));
        let strings = part(&workbook(&[&sample::table("<tr>|<td></td>|</tr>", &long)]).unwrap(), "xl/sharedStrings.xml");
        assert!(strings.contains(&format!(">{}<", &long[..MOST_CHARACTERS - 1])));
        assert_eq!(fitting(&long[1..], || unreachable!()), &long[1..]);
        let wide = sample::table(&format!("<tr>{}|</tr>", "|<td| colspan=\"1000\"|>|</td>".repeat(17)), "");
        assert_eq!(workbook(&[&wide]).unwrap_err().kind(), "bad_input");
        assert!(!workbook(&[]).unwrap().is_empty());
        assert!(!workbook(&[&Table::default()]).unwrap().is_empty());
    }
}

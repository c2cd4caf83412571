//! Tables as spreadsheets.

use crate::error::{Error, Result};
use crate::result::table::Table;
use rust_xlsxwriter::{Format, FormatAlign, Workbook, Worksheet, XlsxError};

/// A workbook with one sheet per table. Cells hold text, whatever it looks like, so that a picture can bring no formula;
/// spans are merged cells; a column is as wide as its longest text and two characters more.
///
/// # Errors
/// [`Error::Input`] for what Excel has no place for: a text of more than 32767 characters, more than 16384 columns.
pub fn workbook(tables: &[&Table]) -> Result<Vec<u8>> {
    let refused = |error: XlsxError| Error::input("table", format!("cannot be written as a spreadsheet: {error}"));
    let mut workbook = Workbook::new();
    for (number, table) in tables.iter().enumerate() {
        let sheet = workbook.add_worksheet();
        sheet.set_name(format!("Table {}", number + 1)).map_err(refused)?;
        fill(sheet, table).map_err(refused)?;
    }
    workbook.save_to_buffer().map_err(refused)
}

fn fill(sheet: &mut Worksheet, table: &Table) -> Result<(), XlsxError> {
    let grid = table.grid();
    let merged = Format::new().set_align(FormatAlign::VerticalCenter);
    let mut widths = vec![0; grid.columns];
    for cell in &grid.cells {
        let too_far = |_| XlsxError::RowColumnLimitError;
        let (row, column) = (u32::try_from(cell.row).map_err(too_far)?, u16::try_from(cell.column).map_err(too_far)?);
        if cell.row_span > 1 || cell.column_span > 1 {
            let last_row = u32::try_from(cell.row + cell.row_span - 1).map_err(too_far)?;
            let last_column = u16::try_from(cell.column + cell.column_span - 1).map_err(too_far)?;
            sheet.merge_range(row, column, last_row, last_column, &cell.text, &merged)?;
        } else {
            sheet.write_string(row, column, &cell.text)?;
        }
        if cell.column_span == 1 {
            widths[cell.column] = widths[cell.column].max(cell.text.chars().count() + 2);
        }
    }
    for (column, &width) in (0u16..).zip(&widths) {
        if width > 0 {
            sheet.set_column_width(column, width as f64)?; // cut to the widest there is
        }
    }
    Ok(())
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

    #[test]
    fn columns_are_as_wide_as_their_longest_text_and_two_characters() {
        let long = "x".repeat(300);
        let table = sample::table(sample::SPANS, &format!("a head over all three columns,four,=1+1,007,1e5,{long}"));
        let sheet = part(&workbook(&[&table]).unwrap(), "xl/worksheets/sheet1.xml");
        // With the margins that Excel adds; 255 is the widest.
        for (first, last, width) in [(1, 2, "6.7109375"), (3, 3, "255.7109375")] {
            assert!(sheet.contains(&format!("<col min=\"{first}\" max=\"{last}\" width=\"{width}\"")), "{sheet}");
        }
    }

    #[test]
    fn what_has_no_place_is_an_error() {
        let long = "x".repeat(40_000);
        let error = workbook(&[&sample::table("<tr>|<td></td>|</tr>", &long)]).unwrap_err();
        assert_eq!(error.kind(), "bad_input");
        assert!(!workbook(&[]).unwrap().is_empty());
        assert!(!workbook(&[&Table::default()]).unwrap().is_empty());
    }
}

//! A table: structure tokens, the texts of its cells, and where those stand.

use super::page::PreparedPage;
use super::{DetectedBox, Header, OcrResult};
use crate::image::PointF;

/// The text and the tables of a picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// The picture as it was read, where it was prepared for that; all places are in its pixels then.
    pub prepared: Option<PreparedPage>,
    /// All regions of the picture.
    pub layout: Vec<DetectedBox>,
    /// The text outside of the tables, then that of each table; in pixels of the picture.
    pub ocr: OcrResult,
    /// The tables, in the order of the layout.
    pub tables: Vec<Table>,
}

/// One table of a picture or page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Left, top, right, bottom of the region it was found in, in whole pixels.
    pub layout_bbox: [i32; 4],
    /// Corners of each cell in pixels, in the order of the tokens that open them.
    pub cells: Vec<[PointF; 4]>,
    /// Structure tokens: HTML tags, those of cells with spans in parts (`<td`, ` colspan="2"`, `>`, `</td>`).
    pub structure: Vec<String>,
    /// Texts in the order of the tokens that close a cell.
    pub texts: Vec<String>,
}

/// Cells on a grid of rows and columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grid {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// How many of the first rows are the table's head.
    pub head_rows: usize,
    /// Cells from the top left; none lies on another.
    pub cells: Vec<GridCell>,
}

/// A cell, and how many rows and columns it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridCell {
    /// First row, from 0.
    pub row: usize,
    /// First column, from 0.
    pub column: usize,
    /// Rows it takes, at least 1.
    pub row_span: usize,
    /// Columns it takes, at least 1.
    pub column_span: usize,
    /// Its text.
    pub text: String,
}

/// A cell as the tokens give it.
struct Parsed<'a> {
    row: usize,
    row_span: usize,
    column_span: usize,
    text: &'a str,
}

impl Table {
    /// The texts of the cells without their spaces, one after the other.
    pub fn plain_text(&self) -> String {
        self.texts.iter().map(|text| text.replace(' ', "")).collect::<Vec<_>>().join(" ")
    }

    /// The cells on a grid, placed as browsers place them: each at the first free column of its row. Tokens that make
    /// no sense are passed over. A span ends where the table or the free place ends.
    pub fn grid(&self) -> Grid {
        let (parsed, rows, head_rows) = self.parse();
        let mut grid = Grid { rows, head_rows, ..Grid::default() };
        let mut taken: Vec<Vec<bool>> = vec![Vec::new(); rows];
        let is_taken = |taken: &[Vec<bool>], row: usize, column: usize| taken[row].get(column).copied().unwrap_or(false);
        for cell in parsed {
            let column = (0..).find(|&column| !is_taken(&taken, cell.row, column)).unwrap_or(0);
            let free = (column..column + cell.column_span).take_while(|&c| !is_taken(&taken, cell.row, c)).count();
            let row_span = cell.row_span.min(rows - cell.row);
            for row in &mut taken[cell.row..cell.row + row_span] {
                if row.len() < column + free {
                    row.resize(column + free, false);
                }
                row[column..column + free].fill(true);
            }
            grid.columns = grid.columns.max(column + free);
            grid.cells.push(GridCell { row: cell.row, column, row_span, column_span: free, text: cell.text.to_owned() });
        }
        grid
    }

    /// Cells row by row, the number of rows, and how many of them are the head.
    fn parse(&self) -> (Vec<Parsed<'_>>, usize, usize) {
        let (mut cells, mut rows, mut head_rows, mut in_head) = (Vec::new(), 0, 0, false);
        let (mut row_span, mut column_span) = (1, 1);
        let mut texts = self.texts.iter();
        for token in &self.structure {
            match token.as_str() {
                "<thead>" => in_head = true,
                "</thead>" => in_head = false,
                "<tr>" => {
                    rows += 1;
                    head_rows += usize::from(in_head && head_rows + 1 == rows);
                }
                "<td" | "<td>" => (row_span, column_span) = (1, 1),
                token if token.contains("</td>") => {
                    if token == "<td></td>" {
                        (row_span, column_span) = (1, 1);
                    }
                    let text = texts.next().map_or("", String::as_str);
                    rows = rows.max(1);
                    cells.push(Parsed { row: rows - 1, row_span, column_span, text });
                    (row_span, column_span) = (1, 1);
                }
                token => {
                    if let Some(span) = attribute(token, "rowspan") {
                        row_span = span;
                    } else if let Some(span) = attribute(token, "colspan") {
                        column_span = span;
                    }
                }
            }
        }
        (cells, rows, head_rows)
    }
}

/// The number in ` name="number"`, from 1 to 1000.
fn attribute(token: &str, name: &str) -> Option<usize> {
    let value = token.trim_start().strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"')?;
    value.parse().ok().map(|span: usize| span.clamp(1, 1000))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A table from tokens separated by `|`, its texts separated by `,`.
    pub(crate) fn table(tokens: &str, texts: &str) -> Table {
        let split = |text: &str, by: char| text.split(by).filter(|t| !t.is_empty()).map(String::from).collect();
        Table { structure: split(tokens, '|'), texts: texts.split(',').map(String::from).collect(), ..Table::default() }
    }

    /// Two columns under one head, and a cell over two rows.
    pub(crate) const SPANS: &str = "<thead>|<tr>|<td| colspan=\"3\"|>|</td>|</tr>|</thead>|<tbody>|<tr>|<td| rowspan=\"2\"|>|</td>|<td></td>|<td></td>|</tr>|<tr>|<td></td>|<td></td>|</tr>|</tbody>";

    #[test]
    fn spans_push_later_cells_aside() {
        let grid = table(SPANS, "head,left,a,b,c,d").grid();
        assert_eq!((grid.rows, grid.columns, grid.head_rows), (3, 3, 1));
        let found: Vec<_> = grid.cells.iter().map(|c| (c.row, c.column, c.row_span, c.column_span, c.text.as_str())).collect();
        let expected =
            [(0, 0, 1, 3, "head"), (1, 0, 2, 1, "left"), (1, 1, 1, 1, "a"), (1, 2, 1, 1, "b"), (2, 1, 1, 1, "c"), (2, 2, 1, 1, "d")];
        assert_eq!(found, expected);
    }

    #[test]
    fn spans_end_where_there_is_no_place() {
        let grid = table("<tr>|<td></td>|<td| rowspan=\"9\"|>|</td>|</tr>|<tr>|<td| colspan=\"7\"|>|</td>|</tr>", "a,b,c").grid();
        let sizes: Vec<_> = grid.cells.iter().map(|c| (c.row, c.column, c.row_span, c.column_span)).collect();
        assert_eq!(sizes, [(0, 0, 1, 1), (0, 1, 2, 1), (1, 0, 1, 1)]);
    }

    #[test]
    fn senseless_tokens_do_no_harm() {
        for tokens in [
            "",
            "</td>",
            "</td>|</td>|<tr>",
            "<td|<td| rowspan=\"0\"| colspan=\"99999999999\"|>|</tr>|</td>",
            "</thead>|<tr>|<thead>|<tr>|>",
        ] {
            let grid = table(tokens, "a").grid();
            assert!(grid.cells.iter().all(|c| c.row + c.row_span <= grid.rows && c.column + c.column_span <= grid.columns), "{tokens}");
        }
    }
}

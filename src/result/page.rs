//! A whole page as blocks in reading order.

use super::table::Table;

/// A block of a page.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Left, top, right, bottom in pixels of the page.
    pub layout_bbox: [f32; 4],
    /// What it holds.
    pub content: BlockContent,
    /// Whether it stands in one of two columns.
    pub in_column: bool,
}

/// What a block holds.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockContent {
    /// A region of the layout with the lines of text in it.
    Region {
        /// Name of the region's class in small letters.
        label: String,
        /// Its lines.
        lines: Vec<String>,
    },
    /// A table.
    Table(Table),
    /// The text of a seal.
    Seal(String),
    /// A line of text outside of every region.
    Line(String),
}

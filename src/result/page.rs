//! A whole page: what every step found, and its blocks in reading order.

use super::table::Table;
use super::{DetectedBox, Header, OcrResult, Seal};
use crate::image::ImageBuf;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What was found on a page. Coordinates are in pixels of `page`.
#[derive(Clone, Debug, PartialEq)]
pub struct PageResult {
    /// Which picture, what ran, how long.
    pub header: Header,
    /// The page as it was read: upright and flat.
    pub page: Arc<ImageBuf>,
    /// How the picture was turned, where that was asked for.
    pub orientation: Option<Orientation>,
    /// Whether the page was made flat.
    pub is_unwarped: bool,
    /// The page upright and not yet flat, where it is both.
    pub upright: Option<Arc<ImageBuf>>,
    /// All regions.
    pub layout: Vec<DetectedBox>,
    /// The text outside of tables and seals: of no region first, then of each.
    pub ocr: OcrResult,
    /// The tables.
    pub tables: Vec<Table>,
    /// The seals.
    pub seals: Vec<Seal>,
    /// All of it in reading order.
    pub blocks: Vec<Block>,
}

/// A picture as it was read after preparations: coordinates of results are in its pixels.
#[derive(Clone, Debug, PartialEq)]
pub struct PreparedPage {
    /// The page, upright and flat.
    pub picture: Arc<ImageBuf>,
    /// How the picture was turned, where that was asked for.
    pub orientation: Option<Orientation>,
    /// By how many quarter turns counter-clockwise the picture was turned.
    pub quarters: u32,
    /// Whether the page was made flat.
    pub is_unwarped: bool,
    /// The page upright and not yet flat, where it is both.
    pub upright: Option<Arc<ImageBuf>>,
}

/// The orientation of a picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Orientation {
    /// Number of the class.
    pub class_ids: Vec<u32>,
    /// Its probability.
    pub scores: Vec<f32>,
    /// The angle in degrees by which the page was turned counter-clockwise.
    pub label_names: Vec<String>,
}

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
#[non_exhaustive]
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

impl BlockContent {
    /// The reference's key and the text under it; of tables `None`.
    pub fn text(&self) -> Option<(&str, String)> {
        match self {
            Self::Region { label, lines } => Some((label, lines.join("\n"))),
            Self::Seal(text) => Some(("印章", text.clone())),
            Self::Line(text) => Some(("words in text block", text.clone())),
            Self::Table(_) => None,
        }
    }
}

/// What the steps after the pages need of them: the reference's `visual_info`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VisualInfo {
    /// For each page with text, the texts of its blocks by their key.
    pub ocr_text: Vec<serde_json::Map<String, serde_json::Value>>,
    /// All tables.
    pub table_html: Vec<String>,
    /// For each page, the texts of the cells of its tables.
    pub table_text: Vec<String>,
}

impl VisualInfo {
    /// Adds a page.
    pub fn add(&mut self, page: &PageResult) {
        let mut texts = serde_json::Map::new();
        for (key, text) in page.blocks.iter().filter_map(|block| block.content.text()).filter(|(_, text)| !text.is_empty()) {
            match texts.get_mut(key) {
                Some(serde_json::Value::String(before)) => *before += &format!("\n {text}"),
                _ => {
                    texts.insert(key.to_owned(), text.into());
                }
            }
        }
        if !texts.is_empty() {
            self.ocr_text.push(texts);
        }
        self.table_html.extend(page.tables.iter().map(super::render::html::table));
        self.table_text.push(page.tables.iter().map(Table::plain_text).collect::<Vec<_>>().join(" "));
    }
}

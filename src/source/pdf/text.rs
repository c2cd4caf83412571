//! Text layers of pages, and what they are good for.

use crate::image::PageText;
use crate::image::page_text::{Glyph, TextUse};
use crate::ops::text_layer::is_readable;
use serde::{Deserialize, Serialize};

/// Fewest characters of a page that stand in for reading it: less may be a stamp or a page number on a scan.
const FEW: usize = 10;
/// Most glyphs of a page: a page of small print has ten thousand.
pub(super) const MAX_GLYPHS: usize = 50_000;
/// A page of which pictures cover more is read: they may hold text.
const MOST_PICTURES: f32 = 0.5;

/// What the text layers of documents are used for; the names are TurboOCR's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum TextLayer {
    /// Nothing: every page is read as a picture.
    #[default]
    Ocr,
    /// Everything: the layer of each page is its text, hidden text included; no page is read as a picture.
    Geometric,
    /// Pages that are printed as text: ten readable characters at least, and no more than half under pictures. All others are read.
    Auto,
    /// Lines are found in the picture of each page; those that printed text covers from end to end get that text, and the others are read.
    #[value(alias = "auto-verified")]
    AutoVerified,
}

impl TextLayer {
    /// What of `layer` is used; no letters of a page that is read. The error says why a page has no text where it is to have no other.
    pub(super) fn choose(self, layer: Layer) -> Result<Option<PageText>, String> {
        let none = || PageText { glyphs: Vec::new(), usage: TextUse::Check };
        if layer.is_full {
            let too_many = || format!("its text layer has more than {MAX_GLYPHS} characters; have it read with --pdf-text ocr");
            return if self == Self::Geometric { Err(too_many()) } else { Ok((self != Self::Ocr).then(none)) };
        }
        let pictures = layer.pictures;
        let glyphs = |all: bool| layer.glyphs.into_iter().filter(|(_, is_printed)| all || *is_printed).map(|(glyph, _)| glyph).collect();
        Ok(match self {
            Self::Ocr => None,
            Self::Geometric => Some(PageText { glyphs: glyphs(true), usage: TextUse::Lines }),
            Self::Auto => {
                let glyphs: Vec<Glyph> = glyphs(false);
                let text: String = glyphs.iter().map(|glyph| glyph.text.trim()).collect();
                let is_enough = text.chars().count() >= FEW && is_readable(&text) && pictures <= MOST_PICTURES;
                Some(if is_enough { PageText { glyphs, usage: TextUse::Lines } } else { none() })
            }
            Self::AutoVerified => Some(PageText { glyphs: glyphs(false), usage: TextUse::Check }),
        })
    }
}

/// The text layer of a page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Layer {
    /// Glyphs, and whether they are printed: layers of scans are hidden.
    pub glyphs: Vec<(Glyph, bool)>,
    /// Parts of the page that pictures cover; each counts by itself.
    pub pictures: f32,
    /// The page has more glyphs than are kept.
    pub is_full: bool,
}

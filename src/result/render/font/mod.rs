//! Fonts that have the glyphs of a picture's texts: [`Face`] is one font, [`FontStack`] the faces of one picture,
//! [`Fonts`] the choice among the user's font, the system's and the one the installer brings.

mod choice;

pub use choice::{Fonts, InstallFont};

use crate::error::{Error, Result};
use ab_glyph::{Font, FontVec, GlyphId};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One loaded face.
pub struct Face {
    font: FontVec,
    path: PathBuf,
    index: u32,
    units_per_em: f32,
}

impl Face {
    /// Reads face `index` of a TrueType or OpenType file or collection (`.ttf`, `.otf`, `.ttc`).
    pub fn from_file(path: &Path, index: u32) -> Result<Self> {
        let refused = |reason: &str| Error::input(path.display().to_string(), reason);
        if !std::fs::metadata(path).map_err(Error::io("read", path))?.is_file() {
            return Err(refused("not a file; give a .ttf, .otf or .ttc file"));
        }
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let font = FontVec::try_from_vec_and_index(bytes, index)
            .map_err(|_| refused("not a TrueType or OpenType font; give a .ttf, .otf or .ttc file"))?;
        let units_per_em = font.units_per_em().filter(|u| *u > 0.0).ok_or_else(|| refused("a font without a size of its em square"))?;
        Ok(Self { font, path: path.to_owned(), index, units_per_em })
    }

    /// The file, and the face's number in it.
    pub fn origin(&self) -> (&Path, u32) {
        (&self.path, self.index)
    }

    /// Horizontal advance in em.
    pub(super) fn advance(&self, glyph: GlyphId) -> f32 {
        self.font.h_advance_unscaled(glyph) / self.units_per_em
    }

    /// Outline in font units, y upwards, and the size of one unit in em.
    pub(super) fn outline(&self, glyph: GlyphId) -> Option<(ab_glyph::Outline, f32)> {
        Some((self.font.outline(glyph)?, 1.0 / self.units_per_em))
    }
}

/// The glyph that shows `c`. Glyphs without an outline do not count: fonts have them by mistake, or as colour bitmaps.
fn visible_glyph(font: &impl Font, c: char) -> Option<GlyphId> {
    Some(font.glyph_id(c)).filter(|glyph| glyph.0 != 0 && font.outline(*glyph).is_some())
}

/// The faces chosen for one picture, and the glyph of each of its characters.
#[derive(Clone, Default)]
pub struct FontStack {
    faces: Vec<Arc<Face>>,
    glyphs: HashMap<char, (usize, GlyphId)>,
}

impl FontStack {
    /// True when no text can be drawn.
    pub fn is_empty(&self) -> bool {
        self.faces.is_empty()
    }

    /// The faces, in the order in which characters were looked up.
    pub fn faces(&self) -> impl ExactSizeIterator<Item = &Face> {
        self.faces.iter().map(|face| &**face)
    }

    /// The face that shows `c`, if one does.
    pub fn face_of(&self, c: char) -> Option<&Face> {
        self.glyphs.get(&c).map(|&(face, _)| &*self.faces[face])
    }

    /// Adds a face for those of `missing` that it has, and takes them out.
    fn push(&mut self, face: Arc<Face>, missing: &mut BTreeSet<char>) {
        missing.retain(|c| {
            let glyph = visible_glyph(&face.font, *c);
            glyph.map(|glyph| self.glyphs.insert(*c, (self.faces.len(), glyph)));
            glyph.is_none()
        });
        self.faces.push(face);
    }

    /// The glyph of a character with ink.
    pub(super) fn glyph(&self, c: char) -> Option<(&Face, GlyphId)> {
        self.glyphs.get(&c).map(|&(face, glyph)| (&*self.faces[face], glyph))
    }

    /// The first face's sign for a missing character.
    pub(super) fn placeholder(&self) -> Option<(&Face, GlyphId)> {
        self.faces().next().map(|face| (face, GlyphId(0)))
    }

    /// Width in em of the white space `c`, else of a plain space.
    pub(super) fn gap(&self, c: char) -> Option<f32> {
        let width = |c| self.faces().map(|face| (face, face.font.glyph_id(c))).find(|(_, glyph)| glyph.0 != 0);
        width(c).or_else(|| width(' ')).map(|(face, glyph)| face.advance(glyph))
    }
}

/// False for white space, control characters and marks without a shape of their own.
pub(super) fn has_ink(c: char) -> bool {
    !(c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'))
}

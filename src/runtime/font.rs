//! The font for pictures where neither the user nor the system has one with the glyphs: Noto Sans SC, regular
//! weight, under the SIL Open Font Licence 1.1. It has all but 5 (❤ ❋ ɔ ʌ 𣇉) of the 6,623 characters of the
//! Chinese recognition dictionary.

use crate::cache::rooms::FONTS;
use crate::cache::{Cache, Folder, Member, Package, Wheel};
use crate::error::Result;
use std::path::{Path, PathBuf};

/// Name on the command line.
pub const NAME: &str = "font";

const WHEEL: Wheel<'static> = Wheel {
    project: "zhplot",
    version: "1.0.0",
    file: "zhplot-1.0.0-py3-none-any.whl",
    sha256: "a5dccc5fc1116eafaa54d99c903ad74836e3ab9f5bdc45d27c29a97202268a2a",
    bytes: 6_311_725,
};

const FONT: Member<'static> = Member {
    from: "zhplot/fonts/NotoSansSC-Regular.ttf",
    to: "NotoSansSC-Regular.ttf",
    bytes: 10_560_616,
    sha256: Some("5cf8b2a0576d5680284ab03a7a8219499d59bbe981a79bb3dc0031f251c39736"),
};

/// The licence asks to stay beside the font.
const LICENCE: Member<'static> = Member { from: "zhplot/fonts/OFL.txt", to: "OFL.txt", bytes: 4_387, sha256: None };

fn folder() -> Folder<'static> {
    Folder { path: Path::new(FONTS).join("noto-sans-sc"), members: vec![FONT, LICENCE] }
}

fn path(cache: &Cache) -> PathBuf {
    cache.root().join(folder().path).join(FONT.to)
}

/// The font's file, if it is in the cache.
pub fn locate(cache: &Cache) -> Option<PathBuf> {
    cache.holds(&folder()).then(|| path(cache))
}

/// The font's file; installed when it is not in the cache.
///
/// # Errors
/// [`Error::Missing`](crate::Error::Missing) when it cannot be downloaded;
/// [`Error::Config`](crate::Error::Config) when the cache cannot be written.
pub fn install(cache: &Cache) -> Result<PathBuf> {
    cache.install(&Package {
        what: "Noto Sans SC".into(),
        next_step: format!(
            "run `hpinfer runtime install {NAME}` with the package index in reach (pip's own settings apply), or name a font file with --font"
        ),
        wheel: WHEEL,
        folders: vec![folder()],
    })?;
    Ok(path(cache))
}

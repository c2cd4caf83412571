//! Flags of documents, and the renderer that `hpinfer` starts for them.

use super::pictures::fonts;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::source::PdfOptions;
use crate::source::pdf::{self, DPI, FontFinder, Isolation, PageRanges, Password, TextLayer};
use clap::Args;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The subcommand that makes this program a renderer.
const RENDERER: &str = "render-pdf";

/// The file that was started, whatever became of its name.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// How PDF documents among the inputs are read.
#[derive(Clone, Debug, Args)]
pub struct PdfArgs {
    /// Pages of PDF inputs, from 1: 1-3,7 or 5- [default: all]
    #[arg(long, value_name = "RANGES")]
    pub pages: Option<PageRanges>,
    /// Dots per inch at which PDF pages are rendered
    #[arg(long, value_name = "N", default_value_t = 144, value_parser = clap::value_parser!(u32).range(i64::from(*DPI.start())..=i64::from(*DPI.end())))]
    pub dpi: u32,
    /// What text layers of PDF pages are used for
    #[arg(long, value_enum, value_name = "MODE", default_value_t = TextLayer::Ocr, hide_short_help = true)]
    pub pdf_text: TextLayer,
    /// Password of encrypted PDF inputs
    #[arg(long, value_name = "WORD", env = "HPINFER_PDF_PASSWORD", hide_env_values = true)]
    pub pdf_password: Option<String>,
    /// Refuse PDF inputs of which more pages than this are asked for
    #[arg(long, value_name = "N", default_value_t = 10_000, hide_short_help = true, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_pages: u32,
    /// Give a PDF page up when it is not rendered within this time, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, hide_short_help = true)]
    pub page_timeout: u64,
}

impl PdfArgs {
    /// The options these flags stand for; pages are rendered in processes of this same program, as it is when it starts: its file may be
    /// replaced before a long run ends.
    pub fn options(&self, font: Option<&Path>, cache: &Cache) -> Result<PdfOptions> {
        Ok(PdfOptions {
            dpi: self.dpi,
            pages: self.pages.clone().unwrap_or_default(),
            text: self.pdf_text,
            password: self.pdf_password.clone().map(Password),
            max_pages: self.max_pages,
            page_time: Duration::from_secs(self.page_timeout),
            isolation: Isolation::Process { program: this_program()?, arguments: vec![RENDERER.into()] },
            font: Some(finder(font, cache)),
        })
    }
}

/// This program, as it is started again.
pub(super) fn this_program() -> Result<PathBuf> {
    match Path::new(THIS_PROGRAM) {
        this if this.exists() => Ok(this.to_owned()),
        _ => std::env::current_exe().map_err(Error::io("find", Path::new("this program"))),
    }
}

/// Characters that a font for documents of East Asia has.
const SOUGHT: &str = "合同あ";

/// What finds the font of letters that a document does not bring, as that of texts in pictures is found.
fn finder(named: Option<&Path>, cache: &Cache) -> FontFinder {
    let (named, cache) = (named.map(Path::to_owned), cache.clone());
    FontFinder::new(move || {
        // Where the user's own has no such letters, another one is taken.
        [named.as_deref(), None].into_iter().find_map(|named| {
            let stack = fonts(named, &cache).ok()?.stack_for([SOUGHT]);
            let (path, face) = SOUGHT.chars().find_map(|c| stack.face_of(c))?.origin();
            path.to_str().is_some().then(|| (path.to_owned(), face)) // as it is told to renderers
        })
    })
}

/// Renders pages for the process that started this one, over standard input and output.
pub fn serve() -> Result<()> {
    pdf::serve_process(io::stdin(), io::stdout()).map_err(Error::io("talk over", Path::new("standard input and output")))
}

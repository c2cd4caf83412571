//! Inputs: files, folders, patterns, URLs and lists on standard input become a lazy sequence of [`InputItem`]s, documents
//! one item per page. Walking is cheap and happens in one thread; [`InputItem::load`] reads and decodes or renders
//! and may run in any thread. What is a document is told from its first bytes, so an address that does not end
//! as a picture does is fetched while walking. Nothing is dropped in silence: an input that yields no picture yields one
//! item whose loading fails and says why.

mod files;
mod item;
mod list;
mod pages;
pub mod pdf;
mod reason;
mod url;
pub mod video;

pub use files::{NamedInputs, has_picture_suffix, matched};
pub use item::{InputItem, InputKind};
pub use pdf::PdfOptions;
pub use reason::Reason;
pub use url::Fetcher;

use crate::image::decode::Limits;
use pages::{Opened, Pages};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::Duration;

/// Input that means "one input a line on standard input".
pub const STANDARD_INPUT: &str = "-";

/// How inputs are found and fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceOptions {
    /// URLs become errors instead of requests.
    pub offline: bool,
    /// Longest wait for a connection, name resolution included.
    pub connect_timeout: Duration,
    /// Longest wait for the next bytes.
    pub read_timeout: Duration,
    /// Longest duration of one download, redirects included.
    pub total_timeout: Duration,
    /// What a document may cost; pictures have the limits of the decoder they are loaded with.
    pub limits: Limits,
    /// How documents are rendered.
    pub pdf: PdfOptions,
    /// Files of a folder or pattern come in the order of the numbers in their names, as frames of a video do: f2.png before f10.png. Else
    /// in that of the bytes of their names, as in the reference.
    pub numbered: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            offline: false,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(15),
            total_timeout: Duration::from_secs(120),
            limits: Limits::default(),
            pdf: PdfOptions::default(),
            numbered: false,
        }
    }
}

/// Iterator over all inputs, in the order named. Folders and patterns are walked when their turn comes, a line of
/// standard input is passed on as soon as it has arrived.
pub struct Source {
    inputs: VecDeque<OsString>,
    /// What the input at hand has yielded and nobody has taken yet.
    found: VecDeque<InputItem>,
    /// What is left of the document at hand.
    pages: Option<Pages>,
    list: ListState,
    fetcher: Option<Fetcher>,
    options: SourceOptions,
}

enum ListState {
    Unread(Box<dyn BufRead + Send>),
    Reading(list::Lines),
    Done,
}

impl Source {
    /// A source over `inputs`. Each is a file, a folder (its pictures and documents, recursively, sorted by path), a pattern with
    /// `*`, `?` or `[` (unless a file of that very name exists), an `http(s)://` URL, or [`STANDARD_INPUT`].
    pub fn new<I: AsRef<OsStr>>(inputs: &[I], options: SourceOptions) -> Self {
        Self::with_list(inputs, options, Box::new(BufReader::new(std::io::stdin())))
    }

    /// As [`Source::new`], with `list` in the place of standard input.
    pub fn with_list<I: AsRef<OsStr>>(inputs: &[I], options: SourceOptions, list: Box<dyn BufRead + Send>) -> Self {
        Self {
            inputs: inputs.iter().map(|input| input.as_ref().to_owned()).collect(),
            found: VecDeque::new(),
            pages: None,
            list: ListState::Unread(list),
            fetcher: (!options.offline).then(|| Fetcher::new(&options)),
            options,
        }
    }

    /// Items of one input that is not standard input; never none.
    fn expand(&self, input: &OsStr) -> VecDeque<InputItem> {
        match input.to_str() {
            Some(address) if url::is_url(address) => [match &self.fetcher {
                Some(fetcher) => InputItem::url(address, fetcher.clone()),
                None => InputItem::refused(address, "not fetched: --offline is set; download it first and name the file"),
            }]
            .into(),
            Some("") => [InputItem::refused("", "the name is empty; is it a variable of the shell that is not set?")].into(),
            Some(other) if other.contains("://") && !Path::new(other).exists() => {
                [InputItem::refused(other, "no such file or folder; addresses begin with http:// or https://, files have their path alone")]
                    .into()
            }
            _ => {
                let mut items = files::expand(input);
                if self.options.numbered {
                    files::by_number(items.make_contiguous());
                }
                items
            }
        }
    }
}

impl Iterator for Source {
    type Item = InputItem;

    fn next(&mut self) -> Option<InputItem> {
        loop {
            if let Some(page) = self.pages.as_mut().and_then(Iterator::next) {
                return Some(page);
            }
            self.pages = None;
            if let Some(item) = self.found.pop_front() {
                match pages::open(item, &self.options) {
                    Opened::Document(pages) => self.pages = Some(pages),
                    Opened::Other(item) => return Some(item),
                }
                continue;
            }
            if let ListState::Reading(lines) = &mut self.list {
                match lines.next() {
                    Some(Ok(input)) => self.found = self.expand(&input),
                    Some(Err(item)) => return Some(item),
                    None => self.list = ListState::Done,
                }
                continue;
            }
            let input = self.inputs.pop_front()?;
            if input != STANDARD_INPUT {
                self.found = self.expand(&input);
                continue;
            }
            self.list = match std::mem::replace(&mut self.list, ListState::Done) {
                ListState::Unread(reader) => ListState::Reading(list::Lines::new(reader)),
                _ => return Some(InputItem::refused(STANDARD_INPUT, "standard input is named twice and can be read once")),
            };
        }
    }
}

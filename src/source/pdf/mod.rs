//! PDF documents: pages become frames, one at a time, as anything else that is read.
//!
//! A [`Document`] holds the bytes and knows its pages; pixels exist of those pages only that are asked for. Rendering is
//! the one part of reading where a hostile file can loop, exhaust memory or break the renderer, so it happens in
//! a worker that is watched: a process of its own where the program can start itself again, else a thread.

mod damage;
mod glyphs;
mod ranges;
mod render;
mod text;
mod wire;
mod worker;
mod workers;

pub use ranges::PageRanges;
pub use text::TextLayer;
pub use wire::serve as serve_process;

use super::reason::Reason;
use crate::device::available_threads;
use crate::image::decode::Limits;
use crate::image::{ImageBuf, PageText};
use render::{Answer, Drawn, Lost, Setup};
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use worker::Worker;
use workers::Workers;

/// Pages a worker renders before it is replaced: what the renderer remembers of a document grows with every page.
const PAGES_OF_A_WORKER: u32 = 100;

/// Said once of a document.
const LOST_LETTERS: &str =
    "letters of a font that is not in the document may be left out, here and on other pages: there is no font for them here";

/// Most renderers of all documents that are kept for a next page, more than have work at once: each is a process with two pipes, and
/// documents wait for their turn by the hundred.
static KEPT: LazyLock<usize> = LazyLock::new(|| {
    let files = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    available_threads().saturating_mul(8).max(64).min(files / 4)
});

/// How PDF documents become pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PdfOptions {
    /// Dots per inch; 144 is what the reference renders with (zoom 2).
    pub dpi: u32,
    /// Which pages.
    pub pages: PageRanges,
    /// What text layers are used for.
    pub text: TextLayer,
    /// Opens encrypted documents.
    pub password: Option<Password>,
    /// A document of which more pages are asked for is refused.
    pub max_pages: u32,
    /// Longest time to open a document, and to render one page.
    pub page_time: Duration,
    /// Where pages are rendered.
    pub isolation: Isolation,
    /// What finds the font for letters that a document does not bring; those of Chinese documents, above all, are lost without it.
    pub font: Option<FontFinder>,
}

impl Default for PdfOptions {
    fn default() -> Self {
        Self {
            dpi: 144,
            pages: PageRanges::default(),
            text: TextLayer::default(),
            password: None,
            max_pages: 10_000,
            page_time: Duration::from_secs(60),
            isolation: Isolation::Thread,
            font: None,
        }
    }
}

/// Where pages are rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// In a thread. A panic fails its page; a page beyond its time is given up, but its thread works on until it is
    /// done; a document that exhausts memory ends the program.
    Thread,
    /// In a process of its own: this program, started with the arguments, must call [`serve_process`]. Whatever a
    /// document does to it fails one page, and a page beyond its time is stopped.
    Process {
        /// The program.
        program: PathBuf,
        /// What makes it serve.
        arguments: Vec<String>,
    },
}

/// A password; not shown in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Finds a font with the letters of many scripts, at most once: its file, and the face in it. Clones are the same one.
#[derive(Clone)]
pub struct FontFinder(Arc<LazyLock<Option<(PathBuf, u32)>, Find>>);

type Find = Box<dyn FnOnce() -> Option<(PathBuf, u32)> + Send + Sync>;

impl FontFinder {
    /// One that asks `find` when a document needs it.
    pub fn new(find: impl FnOnce() -> Option<(PathBuf, u32)> + Send + Sync + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(find))))
    }
}

impl fmt::Debug for FontFinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FontFinder(..)")
    }
}

impl PartialEq for FontFinder {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for FontFinder {}

/// A rendered page.
#[derive(Clone, Debug)]
pub struct RenderedPage {
    /// On white, in BGR.
    pub image: ImageBuf,
    /// What is used of its text layer.
    pub text: Option<PageText>,
    /// What could not be drawn, in words.
    pub lost: Vec<&'static str>,
}

/// An open document. Cheap to clone; clones share it, and threads may render different pages at the same time.
#[derive(Clone)]
pub struct Document(Arc<Shared>);

struct Shared {
    bytes: Arc<Vec<u8>>,
    setup: Setup,
    text: TextLayer,
    page_time: Duration,
    isolation: Isolation,
    finder: Option<FontFinder>,
    /// The font, once a page has needed it.
    font: OnceLock<Option<(PathBuf, u32)>>,
    /// Whether it was said that letters are lost.
    told: AtomicBool,
    page_count: u32,
    workers: Mutex<Workers>,
    returned: Condvar,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes, {} pages)", self.0.bytes.len(), self.0.page_count)
    }
}

/// Dots per inch that pages are rendered at.
pub const DPI: RangeInclusive<u32> = 1..=9600;

impl Document {
    /// Opens the document in `bytes`. The error says in words why not: damaged, encrypted, too slow.
    pub fn open(bytes: Vec<u8>, options: &PdfOptions, limits: &Limits) -> Result<Self, Reason> {
        let PdfOptions { dpi, text, page_time, .. } = *options;
        if !DPI.contains(&dpi) {
            return Err(format!("{dpi} dots per inch are asked for; give {} to {}", DPI.start(), DPI.end()).into());
        }
        let password = options.password.clone().map(|p| p.0);
        let setup = Setup { dpi, password, max_pixels: limits.max_pixels, text: text != TextLayer::Ocr, font: None };
        let bytes = Arc::new(bytes);
        let mut worker = Worker::start(&bytes, &setup, &options.isolation)?;
        let page_count = match worker.wait(page_time)? {
            Answer::Pages(count) => count,
            Answer::Failed(reason) => return Err(reason.into()),
            Answer::Picture(..) => return Err("the renderer answered out of turn".into()),
        };
        let (isolation, finder) = (options.isolation.clone(), options.font.clone());
        let idle = Some(worker).filter(|_| Worker::living() <= *KEPT).into_iter().collect();
        let workers = Mutex::new(Workers { idle, ..Workers::default() });
        let (font, told, returned) = (OnceLock::new(), AtomicBool::new(false), Condvar::new());
        Ok(Self(Arc::new(Shared { bytes, setup, text, page_time, isolation, finder, font, told, page_count, workers, returned })))
    }

    /// Number of pages in the document.
    pub fn page_count(&self) -> u32 {
        self.0.page_count
    }

    /// Renders the page of this index (from 0). The error says in words why not, and which page.
    pub fn render(&self, index: u32) -> Result<RenderedPage, Reason> {
        self.try_render(index).map_err(|reason| reason.of_page(index))
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Worker, Reason> {
        let setup = Setup { font: self.0.font.get().cloned().flatten(), ..self.0.setup.clone() };
        let mut worker = Worker::start(&self.0.bytes, &setup, &self.0.isolation)?;
        worker.wait(self.0.page_time)?;
        Ok(worker)
    }

    /// A renderer for one page, which is [put back](Workers::put_back) then; `None` when another one is to be started for it.
    fn take(&self) -> Option<Worker> {
        let mut workers = self.lock();
        while let Some(time) = workers.time_to_wait(self.0.text) {
            let began = Instant::now();
            workers.waiting += 1;
            workers = self.0.returned.wait_timeout(workers, time).unwrap_or_else(PoisonError::into_inner).0;
            workers.waiting -= 1;
            workers.waited += began.elapsed();
        }
        workers.busy += 1;
        let idle = workers.idle.pop();
        if idle.is_none() {
            workers.waited = Duration::ZERO;
        }
        idle
    }

    fn try_render(&self, index: u32) -> Result<RenderedPage, Reason> {
        let mut drawn = self.draw(index)?;
        if drawn.lost.letters && self.finds_font() {
            drawn = self.draw(index)?;
        }
        let Drawn { image, layer, lost: Lost { letters, images, fields } } = drawn;
        let lost = [
            (letters && !self.0.told.swap(true, Ordering::Relaxed), LOST_LETTERS),
            (images, "a picture on it is damaged or packed in an unknown way, and what of it cannot be read is left out"),
            (fields, "values of form fields that say nothing of how they look are left out"),
        ];
        let lost = lost.into_iter().filter_map(|(is_lost, what)| is_lost.then_some(what)).collect();
        Ok(RenderedPage { image, text: layer.map(|layer| self.0.text.choose(layer)).transpose()?.flatten(), lost })
    }

    /// Whether there is a font for letters that the document does not bring; renderers that began without it are ended.
    fn finds_font(&self) -> bool {
        let found = self.0.font.get_or_init(|| LazyLock::force(&self.0.finder.as_ref()?.0).clone()).is_some();
        if found {
            self.lock().idle.retain(Worker::has_font);
        }
        found
    }

    fn draw(&self, index: u32) -> Result<Drawn, Reason> {
        let page_time = self.0.page_time;
        let (mut worker, began) = (self.take(), Instant::now());
        // A worker that does not answer is not put back, and ends here.
        let answer = match &mut worker {
            Some(worker) => worker.render(index, page_time),
            None => self.start().and_then(|started| worker.insert(started).render(index, page_time)),
        };
        // One that has begun without the font would not say again that it needs it.
        let needs_font = matches!(&answer, Ok(Answer::Picture(drawn)) if drawn.lost.letters);
        let may_find = |known: Option<&Option<_>>| known.map_or(needs_font && self.0.finder.is_some(), Option::is_some);
        let lacks_font = |worker: &Worker| !worker.has_font() && may_find(self.0.font.get());
        let can_go_on = |worker: &Worker| worker.rendered() < PAGES_OF_A_WORKER && Worker::living() <= *KEPT && !lacks_font(worker);
        let rested = worker.filter(|worker| answer.is_ok() && can_go_on(worker));
        self.lock().put_back(rested, began.elapsed());
        self.0.returned.notify_one();
        match answer? {
            Answer::Picture(drawn) => Ok(drawn),
            Answer::Failed(reason) => Err(reason.into()),
            Answer::Pages(_) => Err("the renderer answered out of turn".into()),
        }
    }
}

//! PDF documents: pages become frames, one at a time, as anything else that is read.
//!
//! A [`Document`] holds the bytes and knows its pages; pixels exist of those pages only that are asked for. Rendering is
//! the one part of reading where a hostile file can loop, exhaust memory or break the renderer, so it happens in
//! a worker that is watched: a process of its own where the program can start itself again, else a thread.

mod glyphs;
mod ranges;
mod render;
mod text;
mod wire;
mod worker;

pub use ranges::PageRanges;
pub use text::TextLayer;
pub use wire::serve as serve_process;

use super::reason::Reason;
use crate::device::available_threads;
use crate::image::decode::Limits;
use crate::image::{ImageBuf, PageText};
use render::{Answer, Setup};
use rustix::process::{Resource, getrlimit};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use worker::Worker;

/// So long threads have waited for a renderer, all together, when another one is started: a document that is rendered faster than
/// it is read needs one, and each holds the document and what it remembers of it.
const PATIENCE: Duration = Duration::from_millis(200);

/// Pages a worker renders before it is replaced: what the renderer remembers of a document grows with every page.
const PAGES_OF_A_WORKER: u32 = 100;

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

/// An open document. Cheap to clone; clones share it, and threads may render different pages at the same time.
#[derive(Clone)]
pub struct Document(Arc<Shared>);

struct Shared {
    bytes: Arc<Vec<u8>>,
    setup: Setup,
    text: TextLayer,
    page_time: Duration,
    isolation: Isolation,
    page_count: u32,
    workers: Mutex<Workers>,
    returned: Condvar,
}

/// The renderers of a document.
struct Workers {
    idle: Vec<Worker>,
    busy: usize,
    /// How long threads have waited since the last one was started.
    waited: Duration,
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes, {} pages)", self.0.bytes.len(), self.0.page_count)
    }
}

impl Workers {
    fn put_back(&mut self, worker: Option<Worker>) {
        self.busy -= 1;
        self.idle.extend(worker);
    }
}

impl Document {
    /// Opens the document in `bytes`. The error says in words why not: damaged, encrypted, too slow.
    pub fn open(bytes: Vec<u8>, options: &PdfOptions, limits: &Limits) -> Result<Self, Reason> {
        let PdfOptions { dpi, text, page_time, .. } = *options;
        let password = options.password.clone().map(|p| p.0);
        let setup = Setup { dpi, password, max_pixels: limits.max_pixels, text: text != TextLayer::Ocr };
        let bytes = Arc::new(bytes);
        let mut worker = Worker::start(&bytes, &setup, &options.isolation)?;
        let page_count = match worker.wait(page_time)? {
            Answer::Pages(count) => count,
            Answer::Failed(reason) => return Err(reason.into()),
            Answer::Picture(..) => return Err("the renderer answered out of turn".into()),
        };
        let isolation = options.isolation.clone();
        let idle = Some(worker).filter(|_| Worker::living() <= *KEPT).into_iter().collect();
        let workers = Mutex::new(Workers { idle, busy: 0, waited: Duration::ZERO });
        Ok(Self(Arc::new(Shared { bytes, setup, text, page_time, isolation, page_count, workers, returned: Condvar::new() })))
    }

    /// Number of pages in the document.
    pub fn page_count(&self) -> u32 {
        self.0.page_count
    }

    /// Renders the page of this index (from 0) to a BGR picture on white; with it comes what is used of its text layer. The
    /// error says in words why not, and which page.
    pub fn render(&self, index: u32) -> Result<(ImageBuf, Option<PageText>), Reason> {
        self.try_render(index).map_err(|reason| reason.of_page(index))
    }

    fn lock(&self) -> MutexGuard<'_, Workers> {
        self.0.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) -> Result<Worker, Reason> {
        let mut worker = Worker::start(&self.0.bytes, &self.0.setup, &self.0.isolation)?;
        worker.wait(self.0.page_time)?;
        Ok(worker)
    }

    /// A renderer for one page, which is [put back](Workers::put_back) then; `None` when another one is to be started for it.
    fn take(&self) -> Option<Worker> {
        let mut workers = self.lock();
        while workers.idle.is_empty() && workers.busy > 0 && workers.waited < PATIENCE {
            let (began, left) = (Instant::now(), PATIENCE - workers.waited);
            workers = self.0.returned.wait_timeout(workers, left).unwrap_or_else(PoisonError::into_inner).0;
            workers.waited += began.elapsed();
        }
        workers.busy += 1;
        let idle = workers.idle.pop();
        if idle.is_none() {
            workers.waited = Duration::ZERO;
        }
        idle
    }

    fn try_render(&self, index: u32) -> Result<(ImageBuf, Option<PageText>), Reason> {
        let Shared { page_time, text, .. } = &*self.0;
        let mut worker = self.take();
        // A worker that does not answer is not put back, and ends here.
        let answer = match &mut worker {
            Some(worker) => worker.render(index, *page_time),
            None => self.start().and_then(|started| worker.insert(started).render(index, *page_time)),
        };
        let can_go_on = |worker: &Worker| worker.rendered() < PAGES_OF_A_WORKER && Worker::living() <= *KEPT;
        let rested = worker.filter(|worker| answer.is_ok() && can_go_on(worker));
        self.lock().put_back(rested);
        self.0.returned.notify_one();
        match answer? {
            Answer::Picture(image, layer) => Ok((image, layer.map(|layer| text.choose(layer)).transpose()?.flatten())),
            Answer::Failed(reason) => Err(reason.into()),
            Answer::Pages(_) => Err("the renderer answered out of turn".into()),
        }
    }
}

//! The workers of a pipeline with several networks, and how much of the machine a call gets.

use crate::error::Result;
use crate::modules::network::Share;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A pool of workers that knows how many frames are under way.
pub(super) struct Crew {
    workers: rayon::ThreadPool,
    /// Frames under way, over all calls.
    under_way: AtomicUsize,
}

impl Crew {
    /// Workers for `threads` cores.
    pub fn new(threads: usize) -> Result<Self> {
        Ok(Self { workers: super::workers(threads)?, under_way: AtomicUsize::new(0) })
    }

    /// Runs `work` on `frames` frames: a lone frame that nothing else is under way beside gets all cores.
    pub fn run<R: Send>(&self, frames: usize, work: impl FnOnce(Share) -> R + Send) -> R {
        let others = self.under_way.fetch_add(frames, Ordering::Relaxed);
        let share = share_of(frames, if others == 0 { Share::Whole } else { Share::OneCore });
        let results = self.workers.install(|| work(share));
        self.under_way.fetch_sub(frames, Ordering::Relaxed);
        results
    }

    /// The pool.
    pub fn workers(&self) -> &rayon::ThreadPool {
        &self.workers
    }
}

/// The share of each of `count` pictures that run side by side.
pub(super) fn share_of(count: usize, share: Share) -> Share {
    if count == 1 { share } else { Share::OneCore }
}

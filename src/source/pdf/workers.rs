//! The renderers of a document, and how long threads wait for one before another is started.

use super::text::TextLayer;
use super::worker::Worker;
use std::time::Duration;

/// So many pages' time threads wait for a renderer, all together since one had nothing to do, when another one is started: a document
/// that is rendered faster than it is read needs one, and each holds the document and what it remembers of it.
const PATIENCE_PAGES: u32 = 5;
/// The least and the longest that they wait.
const PATIENCE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];

/// The renderers of a document.
#[derive(Default)]
pub(super) struct Workers {
    pub idle: Vec<Worker>,
    pub busy: usize,
    /// Threads that wait for one.
    pub waiting: usize,
    /// How long they have waited since the last one was started, or had nothing to do.
    pub waited: Duration,
    /// Pages that were drawn.
    pub pages: u32,
    /// How long all of them took.
    pub drawing: Duration,
}

impl Workers {
    /// How long to wait for one; `None` where one has nothing to do, and where another one is to be started. Where text layers are all
    /// that is read, nobody waits.
    pub fn time_to_wait(&self, text: TextLayer) -> Option<Duration> {
        let patience = match text {
            TextLayer::Geometric => Duration::ZERO,
            _ => (self.drawing / self.pages.max(1) * PATIENCE_PAGES).clamp(PATIENCE[0], PATIENCE[1]),
        };
        let left = patience.saturating_sub(self.waited);
        (self.idle.is_empty() && self.busy > 0 && !left.is_zero()).then_some(left)
    }

    /// Takes one back that is `worker`, or has ended, and drew for `time`.
    pub fn put_back(&mut self, worker: Option<Worker>, time: Duration) {
        self.busy -= 1;
        self.idle.extend(worker);
        self.pages += 1;
        self.drawing += time;
        if self.waiting == 0 {
            self.waited = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_renderer_is_started_when_waiting_costs_more() {
        let ms = Duration::from_millis;
        let wait = |text, pages, drawing, waited| {
            Workers { busy: 1, pages, drawing: ms(drawing), waited: ms(waited), ..Workers::default() }.time_to_wait(text)
        };
        assert_eq!(wait(TextLayer::Geometric, 2, 200, 0), None);
        for (text, pages, drawing, patience) in
            [(TextLayer::Ocr, 0, 0, 200), (TextLayer::Ocr, 2, 200, 500), (TextLayer::Auto, 2, 200_000, 1000)]
        {
            assert_eq!(wait(text, pages, drawing, 0), Some(ms(patience)), "{text:?}");
            assert_eq!((wait(text, pages, drawing, patience - 1), wait(text, pages, drawing, patience)), (Some(ms(1)), None), "{text:?}");
        }
        assert_eq!(Workers::default().time_to_wait(TextLayer::Ocr), None, "the first one");
        let mut workers = Workers { busy: 2, waiting: 1, waited: ms(150), ..Workers::default() };
        workers.put_back(None, ms(10));
        assert_eq!(workers.waited, ms(150), "one still waits");
        workers.waiting = 0;
        workers.put_back(None, ms(10));
        assert_eq!((workers.waited, workers.busy, workers.pages, workers.drawing), (ms(0), 0, 2, ms(20)));
    }
}

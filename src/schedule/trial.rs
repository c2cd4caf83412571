//! How many streams of the engines are at work. All of them, unless decoding and finishing take the cores of some: where items wait for
//! the engines, as many streams as are their share of the processor time are tried in turn with all, window by window, and stay where
//! items are clearly faster with them.

use crate::pipeline::EngineStreams;
use std::time::{Duration, Instant};

/// Batches in a window, for each worker.
const MEASURED: u64 = 8;
/// Shortest window, in seconds.
const LEAST: f64 = 1.0;
/// Fewer streams are worth it when each of their windows is better by this than each window of all.
const GAIN: f64 = 1.05;
/// What was found holds for loads of up to so many times the speed, and for those slower by as much.
const ALIKE: f64 = 2.0;

/// What a window showed in which items waited for the engines all the time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Seen {
    items_per_s: f64,
    /// Of the processor time, what decoding and finishing left to the engines.
    share: f64,
}

/// Chooses from window to window.
#[derive(Debug)]
struct Trial {
    all: usize,
    /// What was found best so far.
    best: usize,
    /// Streams that are compared with all, and items a second of the windows so far: with all, with these, and so again.
    fewer: usize,
    rates: Vec<f64>,
    /// Least and most items a second of what was compared.
    known: Option<(f64, f64)>,
}

impl Trial {
    fn new(all: usize) -> Self {
        Self { all, best: all, fewer: all, rates: Vec::new(), known: None }
    }

    /// Streams for the next window, by what the last one showed; `None`: items did not wait, and nothing is to be gained.
    fn next(&mut self, seen: Option<Seen>) -> usize {
        let Some(Seen { items_per_s, share }) = seen else {
            self.rates.clear();
            return self.all;
        };
        if self.rates.is_empty() {
            if self.known.is_some_and(|(least, most)| (least / ALIKE..=most * ALIKE).contains(&items_per_s)) {
                return self.best;
            }
            if self.best < self.all {
                self.best = self.all; // another load: the window may be one of fewer
                return self.all;
            }
            self.fewer = ((self.all as f64 * share).ceil() as usize).clamp(1, self.all);
            if self.fewer == self.all {
                return self.all;
            }
        }
        self.rates.push(items_per_s);
        let of = |turn: usize| self.rates.iter().copied().skip(turn).step_by(2);
        let is_better = of(1).fold(f64::INFINITY, f64::min) > GAIN * of(0).fold(0.0, f64::max);
        match self.rates.len() {
            1 | 3 if is_better => self.fewer,
            2 if is_better => self.all,
            _ => {
                self.best = if is_better { self.fewer } else { self.all };
                let (least, most) = self.known.unwrap_or((f64::INFINITY, 0.0));
                self.known = Some(self.rates.drain(..).fold((least, most), |(least, most), rate| (least.min(rate), most.max(rate))));
                self.best
            }
        }
    }
}

/// The window that is under way.
#[derive(Clone, Copy, Debug)]
struct Window {
    began: Figures,
    batches: u64,
    items: u64,
    /// Batches behind which items waited.
    pressed: u64,
}

impl Window {
    /// What it shows that ends now, with nothing where items did not wait for the engines; `None` when it is too short.
    fn seen(&self, end: &Figures) -> Option<Option<Seen>> {
        let (time, began) = ((end.now - self.began.now).as_secs_f64(), &self.began);
        // Sources that drop what is old let nothing wait here: the engines are what holds them up where they drop a fifth.
        let is_held_up = 8 * self.pressed >= 7 * self.batches || 4 * (end.dropped - began.dropped) >= self.items;
        let spent = |then: Duration, now: Duration| now.saturating_sub(then).as_secs_f64();
        let around = spent(began.around, end.around) / spent(began.processor, end.processor).max(1e-9);
        (time >= LEAST).then(|| is_held_up.then(|| Seen { items_per_s: self.items as f64 / time, share: 1.0 - around }))
    }
}

/// What is to be looked up at the beginning and the end of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// When this is.
    pub now: Instant,
    /// Processor time so far, and of it that of decoding and finishing; both with what is outside this process.
    pub processor: Duration,
    pub around: Duration,
    /// Items dropped so far.
    pub dropped: u64,
}

/// The engines' streams, and what is measured to choose their number.
pub(super) struct Engines<'a> {
    streams: &'a EngineStreams,
    workers: u64,
    trial: Trial,
    /// Batches since the last choice, and the window since those before it are done with.
    batches: u64,
    window: Option<Window>,
}

impl<'a> Engines<'a> {
    /// All streams work at first, and again when the value goes.
    pub fn new(streams: &'a EngineStreams, workers: usize) -> Self {
        streams.set(streams.all());
        Self { streams, workers: workers as u64, trial: Trial::new(streams.all()), batches: 0, window: None }
    }

    /// A worker is done with a batch of `items`; `is_pressed`: others waited behind it. How many streams work from now on, where that was
    /// chosen.
    pub fn worked(&mut self, items: usize, is_pressed: bool, figures: impl FnOnce() -> Figures) -> Option<usize> {
        self.batches += 1;
        let Some(window) = &mut self.window else {
            // What the workers had before the choice was done with another number of streams, in part.
            if self.batches >= self.workers {
                self.window = Some(Window { began: figures(), batches: 0, items: 0, pressed: 0 });
            }
            return None;
        };
        window.batches += 1;
        window.items += items as u64;
        window.pressed += u64::from(is_pressed);
        if window.batches < MEASURED * self.workers {
            return None;
        }
        let figures = figures();
        let seen = window.seen(&figures)?;
        let chosen = self.trial.next(seen);
        if let Some(Seen { items_per_s, share }) = seen {
            let all = self.streams.all();
            tracing::debug!(
                "{items_per_s:.1} items/s, {share:.2} of the processor time left to the engines; then {chosen} of their {all} streams"
            );
        }
        (self.batches, self.window) = (0, None);
        self.streams.set(chosen);
        Some(chosen)
    }
}

impl Drop for Engines<'_> {
    fn drop(&mut self) {
        self.streams.set(self.streams.all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Streams chosen after each of these windows: items a second, and the engines' share; 0: items did not wait.
    fn choices(trial: &mut Trial, windows: &[(f64, f64)]) -> Vec<usize> {
        let seen = |&(items_per_s, share)| (items_per_s > 0.0).then_some(Seen { items_per_s, share });
        windows.iter().map(|window| trial.next(seen(window))).collect()
    }

    #[test]
    fn fewer_streams_are_tried_only_where_the_rest_takes_cores() {
        assert_eq!(choices(&mut Trial::new(1), &[(10.0, 0.1); 3]), [1; 3]);
        assert_eq!(choices(&mut Trial::new(8), &[(10.0, 1.0), (10.0, 0.9), (0.0, 0.2)]), [8; 3]);
        assert_eq!(choices(&mut Trial::new(8), &[(10.0, 0.7)]), [6]);
        assert_eq!(choices(&mut Trial::new(2), &[(10.0, -0.1)]), [1]);
    }

    #[test]
    fn fewer_streams_stay_where_each_window_is_clearly_faster() {
        let mut trial = Trial::new(4);
        assert_eq!(choices(&mut trial, &[(10.0, 0.4), (10.7, 0.4), (9.9, 0.4), (10.6, 0.4)]), [2, 4, 2, 2]);
        assert_eq!(choices(&mut trial, &[(6.0, 0.1), (19.0, 0.1)]), [2, 2], "nothing more is tried of alike loads");
        assert_eq!(choices(&mut trial, &[(0.0, 0.0), (10.0, 0.4)]), [4, 2], "all work while nothing waits");
        assert_eq!(choices(&mut trial, &[(30.0, 0.4), (30.0, 0.6), (20.0, 0.6)]), [4, 3, 4], "another load is measured anew");
        assert_eq!(choices(&mut trial, &[(55.0, 0.6), (5.0, 0.6)]), [4; 2], "and so are both, up to twice their speed");
    }

    #[test]
    fn all_work_again_as_soon_as_a_window_tells_against_fewer() {
        for (windows, chosen) in [
            (&[(10.0, 0.4), (10.4, 0.4)][..], &[2, 4][..]),         // not clearly
            (&[(10.0, 0.4), (12.0, 0.4), (11.5, 0.4)], &[2, 4, 4]), // all vary by as much
            (&[(10.0, 0.4), (12.0, 0.4), (10.0, 0.4), (10.0, 0.4)], &[2, 4, 2, 4]),
        ] {
            let mut trial = Trial::new(4);
            assert_eq!(choices(&mut trial, windows), chosen);
            assert_eq!(choices(&mut trial, &[(10.0, 0.4); 2]), [4; 2], "nor is it tried again");
        }
        let mut trial = Trial::new(4);
        assert_eq!(choices(&mut trial, &[(10.0, 0.4), (0.0, 0.4), (10.0, 0.4)]), [2, 4, 2], "what did not wait tells nothing");
    }

    #[test]
    fn windows_leave_out_what_was_under_way_and_know_when_items_waited() {
        let streams = EngineStreams::new(4);
        let mut engines = Engines::new(&streams, 2);
        let start = Instant::now();
        let mut batches = 0;
        // Batches of two items, four a second; the rest takes 5 of 8 parts of the processor time.
        let mut see = |engines: &mut Engines, count: u64, pressed: u64, dropped: u64| {
            let one = |n| {
                batches += 1;
                let now = start + Duration::from_millis(250 * batches);
                let figures = || Figures {
                    now,
                    processor: Duration::from_millis(200 * batches),
                    around: Duration::from_millis(125 * batches),
                    dropped: dropped * batches,
                };
                engines.worked(2, n < pressed, figures)
            };
            (0..count).filter_map(one).collect::<Vec<usize>>()
        };
        assert!(see(&mut engines, 17, 17, 0).is_empty(), "two that were under way, and not yet 16");
        assert_eq!(see(&mut engines, 1, 1, 0), [2], "1.5 of 4");
        assert_eq!(see(&mut engines, 18, 18, 0), [4], "8 items a second as before");
        assert_eq!(engines.trial.known, Some((8.0, 8.0)));
        engines.trial = Trial::new(4);
        assert_eq!(see(&mut engines, 18, 12, 0), [4], "items did not always wait");
        assert_eq!(see(&mut engines, 18, 0, 1), [2], "one in three was dropped");
    }

    #[test]
    fn a_window_of_less_than_a_second_goes_on() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let figures = |at| Figures { now: start + ms(at), processor: ms(2 * at), around: ms(at), dropped: 0 };
        let window = Window { began: figures(0), batches: 8, items: 8, pressed: 8 };
        assert_eq!(window.seen(&figures(999)), None);
        assert_eq!(window.seen(&figures(2000)), Some(Some(Seen { items_per_s: 4.0, share: 0.5 })));
    }
}

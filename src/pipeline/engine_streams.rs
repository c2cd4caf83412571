//! The streams of a pipeline's engines on the host's cores, of which some may rest.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

thread_local! {
    /// Whether this thread has taken one.
    static HOLDS: Cell<bool> = const { Cell::new(false) };
}

/// Of all pieces of work on engines as many are worked on at a time as streams are at work, first come, first served. Nothing stalls:
/// what waits here waits for what came before it and is worked on.
#[derive(Debug)]
pub struct EngineStreams {
    all: usize,
    turns: Mutex<Turns>,
    changed: Condvar,
}

#[derive(Debug)]
struct Turns {
    at_work: usize,
    /// Pieces of work that came so far, and of these done.
    came: u64,
    done: u64,
}

impl EngineStreams {
    /// So many, all at work.
    pub fn new(all: usize) -> Self {
        let all = all.max(1);
        Self { all, turns: Mutex::new(Turns { at_work: all, came: 0, done: 0 }), changed: Condvar::new() }
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.all
    }

    /// Has so many of them work, as far as there are, and one at least.
    pub fn set(&self, at_work: usize) {
        self.turns().at_work = at_work.clamp(1, self.all);
        self.changed.notify_all();
    }

    /// Waits for a stream, which is taken until the value goes, after a panic too. `None` where this thread has one already: while it waits
    /// within a piece of work for parts of that, it may come upon another, for which there is the same stream.
    pub(super) fn take(&self) -> Option<Taken<'_>> {
        if HOLDS.replace(true) {
            return None;
        }
        let mut turns = self.turns();
        let mine = turns.came;
        turns.came += 1;
        while mine >= turns.done + turns.at_work as u64 {
            turns = self.changed.wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
        Some(Taken(self))
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`EngineStreams::take`].
pub(super) struct Taken<'a>(&'a EngineStreams);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        HOLDS.set(false);
        let mut turns = self.0.turns();
        turns.done += 1;
        if turns.came >= turns.done + turns.at_work as u64 {
            self.0.changed.notify_all(); // somebody waits
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::thread;

    /// Waits until so many pieces of work came.
    fn until_came(streams: &EngineStreams, count: u64) {
        while streams.turns().came < count {
            thread::yield_now();
        }
    }

    #[test]
    fn what_waits_is_woken_by_what_ends_and_by_more_streams() {
        let streams = EngineStreams::new(3);
        streams.set(1);
        let first = streams.take();
        thread::scope(|scope| {
            let died = scope.spawn(|| {
                let _taken = streams.take();
                panic!("work that dies");
            });
            until_came(&streams, 2);
            drop(first);
            assert!(died.join().is_err());
            let third = streams.take(); // what died left its stream
            let fourth = scope.spawn(|| drop(streams.take()));
            until_came(&streams, 4);
            streams.set(2);
            fourth.join().expect("a second stream is at work while the first is taken");
            drop(third);
        });
    }

    #[test]
    fn work_within_work_does_not_wait_for_itself() {
        let streams = EngineStreams::new(2);
        streams.set(1);
        for _ in 0..2 {
            let outer = streams.take();
            assert!(outer.is_some() && streams.take().is_none() && streams.take().is_none());
        }
        assert_eq!(streams.turns().done, 2);
    }

    #[test]
    fn never_more_are_taken_than_are_at_work() {
        let (streams, taken) = (EngineStreams::new(3), AtomicUsize::new(0));
        streams.set(2);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _taken = streams.take();
                        assert!(taken.fetch_add(1, SeqCst) < 2);
                        taken.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!(streams.turns().done, 8 * 200);
    }
}

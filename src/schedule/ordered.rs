//! Overlap across pictures whose number is finite and of which none may be lost: a few drivers take items as they come,
//! and outputs leave in input order. A lone item is never held back.

use super::reorder::Reorder;
use crossbeam::channel;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How much may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups of items that are worked on at the same time.
    pub drivers: usize,
    /// Most items a driver takes at once; it takes what is there and never waits for more.
    pub batch: usize,
    /// Items between source and sink: bounds memory when one slow item holds back the order.
    pub window: usize,
}

impl Limits {
    /// Enough to keep `threads` cores busy: one picture more than cores, so that a core that finishes finds work.
    pub fn for_threads(threads: usize) -> Self {
        Self { drivers: threads + 1, batch: 1, window: 4 * (threads + 1) }
    }

    /// The same with at most `most` groups at a time: more would wait for a device, with all their pictures in memory.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        let drivers = self.drivers.min(most.max(1));
        Self { drivers, window: self.window / self.drivers.max(1) * drivers, ..self }
    }

    /// The same for groups of up to `batch` items.
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, window: self.window.max(self.drivers.saturating_mul(batch)), ..self }
    }
}

/// Draws items from `source`, hands groups of them to `work` on several threads, and calls `sink` with every
/// output in the order of the source, as soon as its turn comes. `work` must return one output per item; a panic of it goes on in the
/// caller, when all that it did not concern is done.
pub fn ordered<I: Send, O: Send>(
    source: impl Iterator<Item = I> + Send,
    limits: Limits,
    work: impl Fn(Vec<I>) -> Vec<O> + Sync,
    mut sink: impl FnMut(O),
) {
    let (items_in, items) = channel::bounded::<(usize, I)>(limits.batch.max(1));
    let (outputs_in, outputs) = channel::unbounded::<(usize, Option<O>)>();
    let (free, free_slots) = channel::bounded::<()>(limits.window.max(1));
    for _ in 0..limits.window.max(1) {
        let _ = free.send(());
    }
    // Taking one item and what lies behind it is one step: otherwise drivers would take turns and split groups.
    let items = Mutex::new(items);
    let panicked = Mutex::new(None);
    std::thread::scope(|scope| {
        let free = free; // goes when the sink panics, and the source with it
        scope.spawn(move || {
            for numbered in source.enumerate() {
                if free_slots.recv().is_err() || items_in.send(numbered).is_err() {
                    return; // the sink is gone
                }
            }
        });
        for _ in 0..limits.drivers.max(1) {
            let (items, outputs_in, work, panicked) = (&items, outputs_in.clone(), &work, &panicked);
            scope.spawn(move || {
                loop {
                    let group = take_group(&lock(items), limits.batch);
                    let (numbers, group): (Vec<_>, Vec<_>) = group.into_iter().unzip();
                    if numbers.is_empty() {
                        return;
                    }
                    let made = catch_unwind(AssertUnwindSafe(|| work(group)));
                    let made = made.map_err(|panic| *lock(panicked) = Some(panic)).unwrap_or_default();
                    // What got no output does not hold up the others.
                    for numbered in numbers.into_iter().zip(made.into_iter().map(Some).chain(std::iter::repeat_with(|| None))) {
                        let _ = outputs_in.send(numbered);
                    }
                }
            });
        }
        drop(outputs_in);
        let mut reorder = Reorder::new(1);
        for (number, output) in outputs {
            reorder.put(0, number as u64, output, |output| {
                output.map(&mut sink);
                let _ = free.try_send(());
            });
        }
    });
    if let Some(panic) = lock(&panicked).take() {
        resume_unwind(panic);
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits for one item, then takes what else is there; empty when the source has ended.
fn take_group<I>(items: &channel::Receiver<I>, most: usize) -> Vec<I> {
    let first = items.recv().ok();
    let mut group: Vec<I> = first.into_iter().collect();
    while !group.is_empty() && group.len() < most {
        match items.try_recv() {
            Ok(item) => group.push(item),
            Err(_) => break,
        }
    }
    group
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn a_bound_of_groups_bounds_what_is_under_way() {
        let limits = Limits::for_threads(64).at_most(4).with_batch(8);
        assert_eq!(limits, Limits { drivers: 4, batch: 8, window: 32 });
        assert_eq!(Limits::for_threads(2).at_most(usize::MAX), Limits::for_threads(2));
    }

    #[test]
    fn outputs_keep_the_order_whatever_finishes_first() {
        for batch in [1, 3] {
            let limits = Limits { drivers: 4, batch, window: 6 };
            let mut seen = Vec::new();
            let work = |group: Vec<u64>| {
                for &i in &group {
                    std::thread::sleep(Duration::from_micros((i * 7919) % 900));
                }
                group
            };
            ordered(0..200u64, limits, work, |o| seen.push(o));
            assert_eq!(seen, (0..200).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_panic_costs_its_group_and_is_passed_on_at_the_end() {
        let mut seen = Vec::new();
        let work = |group: Vec<u64>| {
            assert!(!group.contains(&3), "work fails for 3");
            if group == [5] { Vec::new() } else { group } // no output is lost alone, too
        };
        let run = AssertUnwindSafe(|| ordered(0..40, Limits { drivers: 3, batch: 1, window: 4 }, work, |o| seen.push(o)));
        assert!(catch_unwind(run).is_err());
        assert_eq!(seen, (0..40).filter(|i| ![3, 5].contains(i)).collect::<Vec<_>>());
    }

    #[test]
    fn a_slow_item_bounds_what_is_under_way() {
        let (under_way, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let source = (0..50).inspect(|_| {
            most.fetch_max(under_way.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        });
        let work = |group: Vec<i32>| {
            if group.contains(&0) {
                std::thread::sleep(Duration::from_millis(50));
            }
            group
        };
        ordered(source, Limits { drivers: 3, batch: 1, window: 5 }, work, |_| {
            under_way.fetch_sub(1, Ordering::SeqCst);
        });
        // The source is asked for one more item before it waits for a free slot.
        assert!(most.load(Ordering::SeqCst) <= 6, "{most:?}");
    }

    #[test]
    fn a_lone_item_is_not_held_back() {
        let (send, receive) = channel::unbounded::<u32>();
        let (done, results) = channel::unbounded();
        let run = std::thread::spawn(move || {
            ordered(receive.into_iter(), Limits { drivers: 2, batch: 8, window: 4 }, |g| g, |o| done.send(o).expect("test listens"));
        });
        send.send(7).expect("source listens");
        assert_eq!(results.recv_timeout(Duration::from_secs(5)), Ok(7), "before the source has ended");
        drop(send);
        run.join().expect("no panic");
    }
}

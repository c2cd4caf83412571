//! The workers of a pipeline, in which order they take work, and how much of the machine a call gets.

use super::engine_streams::EngineStreams;
use crate::error::{Error, Result};
use crate::modules::network::Share;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// A pool of workers that knows how many frames are under way.
pub(super) struct Crew {
    workers: rayon::ThreadPool,
    streams: EngineStreams,
    /// Frames under way, over all calls.
    under_way: AtomicUsize,
    /// Items that the workers were given, and have not done.
    given: Mutex<Given>,
    done: Condvar,
}

/// How many items the workers have.
#[derive(Default)]
struct Given {
    all: usize,
    /// Those among them that take much memory, and those that take all cores.
    large: usize,
    whole: usize,
}

/// A call among those that a crew works for.
#[derive(Clone, Copy)]
pub struct Turn<'a> {
    crew: &'a Crew,
    share: Share,
}

impl Crew {
    /// Workers for `threads` cores.
    pub fn new(threads: usize) -> Result<Self> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("worker-{i}")).build();
        let workers = pool.map_err(|e| Error::internal("worker threads", e.to_string()))?;
        let (under_way, given, done) = (AtomicUsize::new(0), Mutex::default(), Condvar::new());
        Ok(Self { workers, streams: EngineStreams::new(threads), under_way, given, done })
    }

    /// Runs `work` on `frames` frames, in the calling thread: a lone frame that nothing else is under way beside gets all cores.
    pub fn run<R>(&self, frames: usize, work: impl FnOnce(Turn) -> R) -> R {
        let others = self.under_way.fetch_add(frames, Ordering::Relaxed);
        let share = if others == 0 { Share::Whole } else { Share::OneCore };
        let _counted = Counted { frames, under_way: &self.under_way };
        work(Turn { crew: self, share })
    }

    /// The pool.
    pub fn workers(&self) -> &rayon::ThreadPool {
        &self.workers
    }

    /// What the workers take for each item.
    pub fn streams(&self) -> &EngineStreams {
        &self.streams
    }
}

/// An item that the workers have until this goes, after a panic too.
struct Item<'a> {
    crew: &'a Crew,
    is_large: bool,
    share: Share,
}

impl Drop for Item<'_> {
    fn drop(&mut self) {
        let mut given = self.crew.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.all -= 1;
        given.large -= usize::from(self.is_large);
        given.whole -= usize::from(self.share == Share::Whole);
        drop(given);
        self.crew.done.notify_all();
    }
}

/// Frames under way until this goes, after a panic too.
struct Counted<'a> {
    frames: usize,
    under_way: &'a AtomicUsize,
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.under_way.fetch_sub(self.frames, Ordering::Relaxed);
    }
}

impl Turn<'_> {
    /// What `work` makes of each of `items`, in their order, told how much of the machine it may use. The workers take the
    /// items of all calls first come, first served, and a caller that waits takes nothing up meanwhile: no frame waits for
    /// work on later ones.
    pub fn each<I: Sync, R: Send>(self, items: &[I], work: impl Fn(&I, Share) -> R + Sync) -> Vec<R> {
        self.each_of(items, false, work)
    }

    /// The same for items that take much memory. They wait for those of other calls as long as the workers have other work.
    pub fn each_large<I: Sync, R: Send>(self, items: &[I], work: impl Fn(&I, Share) -> R + Sync) -> Vec<R> {
        self.each_of(items, true, work)
    }

    /// Counts items that the workers get now.
    fn give(self, items: usize, are_large: bool, share: Share) {
        let Crew { workers, given, done, .. } = self.crew;
        let mut given = given.lock().unwrap_or_else(PoisonError::into_inner);
        // A worker does not wait: what it would wait for may wait for it.
        if are_large && workers.current_thread_index().is_none() {
            let is_busy = |given: &Given| given.whole > 0 || given.all > workers.current_num_threads();
            given = done.wait_while(given, |given| given.large > 0 && is_busy(given)).unwrap_or_else(PoisonError::into_inner);
        }
        given.all += items;
        given.large += if are_large { items } else { 0 };
        given.whole += if share == Share::Whole { items } else { 0 };
    }

    fn each_of<I: Sync, R: Send>(self, items: &[I], are_large: bool, work: impl Fn(&I, Share) -> R + Sync) -> Vec<R> {
        let share = if items.len() == 1 { self.share } else { Share::OneCore };
        self.give(items.len(), are_large, share);
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let (crew @ Crew { workers, streams, .. }, work, places) = (self.crew, &work, results.iter_mut());
        let all = move || {
            workers.in_place_scope_fifo(|scope| {
                for (item, result) in items.iter().zip(places) {
                    let given = Item { crew, is_large: are_large, share };
                    scope.spawn_fifo(move |_| {
                        let _given = given;
                        let _taken = streams.take();
                        *result = Some(work(item, share));
                    });
                }
            });
        };
        let mut waiting = Some(all);
        // A worker of another pool, such as the program's own, would take up the work of that while it waits.
        if rayon::current_thread_index().is_some() && workers.current_thread_index().is_none() {
            std::thread::scope(|scope| {
                let started = std::thread::Builder::new().spawn_scoped(scope, || waiting.take().map(|all| all()));
                started.ok().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
            });
        }
        if let Some(all) = waiting {
            all(); // here, also where no thread could be started
        }
        results.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel::bounded;
    use std::time::Duration;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn a_call_never_waits_for_work_on_a_later_one() {
        let crew = Crew::new(2).expect("threads");
        let ((taken_up, later), (returned, first)) = (bounded(1), bounded(1));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let item = |&last: &bool, _| last.then(|| later.recv_timeout(LONG).expect("the later call was taken up"));
                crew.run(2, |turn| turn.each(&[false, true], item));
                returned.send(()).expect("the later call waits");
            });
            crew.run(1, |turn| {
                turn.each(&[()], |(), _| {
                    taken_up.send(()).expect("the first call waits");
                    first.recv_timeout(LONG).expect("the first call returned while this one was worked on");
                });
            });
        });
    }

    /// Where a caller is a worker of the program's own pool, the work of that is not taken up within a call.
    #[test]
    fn calls_from_another_pool_are_not_nested() {
        thread_local!(static DEPTH: AtomicUsize = const { AtomicUsize::new(0) });
        let (crew, own) = (Crew::new(1).expect("threads"), rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("threads"));
        let deepest = AtomicUsize::new(0);
        own.scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|_| {
                    let depth = DEPTH.with(|depth| depth.fetch_add(1, Ordering::Relaxed) + 1);
                    deepest.fetch_max(depth, Ordering::Relaxed);
                    crew.run(1, |turn| turn.each(&[()], |(), _| std::thread::sleep(Duration::from_millis(1))));
                    DEPTH.with(|depth| depth.fetch_sub(1, Ordering::Relaxed));
                });
            }
        });
        assert_eq!(deepest.into_inner(), 1);
    }

    #[test]
    fn large_items_wait_for_each_other_while_there_is_other_work() {
        let crew = &Crew::new(2).expect("threads");
        let ((begins, begun), (large_in, large), (small_in, small)) = (bounded(4), bounded::<()>(4), bounded::<()>(4));
        let each_large = || {
            let item = |_: &(), _| {
                begins.send(()).expect("the test listens");
                large.recv_timeout(LONG).expect("it is let go");
            };
            crew.run(1, |turn| turn.each_large(&[()], item));
        };
        let waits_for = |count| {
            while crew.given.lock().expect("no panic").all < count {
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(each_large);
            begun.recv_timeout(LONG).expect("the first begins, on all cores");
            scope.spawn(each_large);
            assert!(begun.recv_timeout(Duration::from_millis(30)).is_err(), "there is no other core");
            (0..2).for_each(|_| large_in.send(()).expect("it is worked on"));
            begun.recv_timeout(LONG).expect("then the second");
        });
        crew.under_way.store(1, Ordering::Relaxed); // none is alone from now on
        std::thread::scope(|scope| {
            scope.spawn(each_large);
            begun.recv_timeout(LONG).expect("the first begins");
            scope.spawn(|| crew.run(1, |turn| turn.each(&[(); 3], |(), _| small.recv_timeout(LONG).expect("it is let go"))));
            waits_for(4);
            scope.spawn(each_large);
            for _ in 0..2 {
                assert!(begun.recv_timeout(Duration::from_millis(30)).is_err(), "the other worker has work");
                small_in.send(()).expect("it is worked on");
            }
            waits_for(3);
            small_in.send(()).expect("it is worked on");
            begun.recv_timeout(LONG).expect("a worker has nothing else to do");
            (0..2).for_each(|_| large_in.send(()).expect("it is worked on"));
        });
        assert_eq!(crew.given.lock().map(|given| (given.all, given.large, given.whole)).expect("no panic"), (0, 0, 0));
    }

    #[test]
    fn calls_come_out_whole_whatever_number_of_streams_works_meanwhile() {
        let crew = Crew::new(4).expect("threads");
        let items: Vec<u64> = (0..200).collect();
        let call = || crew.run(2, |turn| turn.each(&items, |&item, _| item * 2));
        crew.streams().set(1);
        std::thread::scope(|scope| {
            let calls: Vec<_> = (0..3).map(|_| scope.spawn(call)).collect();
            (0..1000).for_each(|n| crew.streams().set(n % 5));
            let doubled: Vec<u64> = (0..200).map(|item| item * 2).collect();
            calls.into_iter().for_each(|call| assert_eq!(call.join().expect("no panic"), doubled));
        });
    }

    #[test]
    fn only_a_lone_frame_with_nothing_beside_it_gets_all_cores() {
        let crew = Crew::new(2).expect("threads");
        crew.run(1, |first| {
            assert_eq!(first.each(&[()], |(), share| share), [Share::Whole]);
            assert_eq!(first.each(&[(); 3], |(), share| share), [Share::OneCore; 3]);
            assert_eq!(crew.run(1, |second| second.each(&[()], |(), share| share)), [Share::OneCore]);
        });
        let panics = |turn: Turn| turn.each_large(&[()], |(), _| panic!("an item that panics"));
        let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| crew.run(1, panics)));
        assert!(lost.is_err() && crew.given.lock().is_ok_and(|given| given.all == 0));
        assert_eq!(crew.run(1, |turn| turn.each(&[()], |(), share| share)), [Share::Whole], "the others are done");
    }
}

//! The workers of a pipeline, in which order they take work, and how much of the machine a call gets.

use super::engine_streams::EngineStreams;
use crate::error::{Error, Result};
use crate::modules::network::Share;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A pool of workers that knows how many frames are under way.
pub(super) struct Crew {
    workers: rayon::ThreadPool,
    streams: EngineStreams,
    /// Frames under way, over all calls.
    under_way: AtomicUsize,
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
        Ok(Self { workers, streams: EngineStreams::new(threads), under_way: AtomicUsize::new(0) })
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
        let share = if items.len() == 1 { self.share } else { Share::OneCore };
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let (Crew { workers, streams, .. }, work, places) = (self.crew, &work, results.iter_mut());
        let all = move || {
            workers.in_place_scope_fifo(|scope| {
                for (item, result) in items.iter().zip(places) {
                    scope.spawn_fifo(move |_| {
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
        let lost = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| crew.run(1, |_| panic!("a call that panics"))));
        assert!(lost.is_err());
        assert_eq!(crew.run(1, |turn| turn.each(&[()], |(), share| share)), [Share::Whole], "the others are done");
    }
}

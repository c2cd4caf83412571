//! The graph with stages that are a few lines: order, drops, batches, deaths, the end.

use super::*;
use crate::schedule::{DropPolicy, WhenFull};
use std::collections::HashSet;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicBool, AtomicUsize};

/// Doubles numbers; dies of some.
#[derive(Default)]
struct Doubling {
    /// Every worker dies of these.
    poison: HashSet<u64>,
    /// The first worker to see this dies once.
    shock: Option<u64>,
    shocked: AtomicBool,
    workers: AtomicUsize,
    largest_batch: AtomicUsize,
    work_time: Duration,
    /// This one is decoded when it is released, or late.
    held: Option<u64>,
    /// This one is finished then.
    held_behind: Option<u64>,
    released: AtomicBool,
    late: AtomicBool,
    /// No cost and no fault of this one can be told.
    untold: Option<u64>,
    engines: Option<EngineStreams>,
}

impl Doubling {
    fn hold(&self, is_held: bool) {
        let start = Instant::now();
        while is_held && !self.released.load(Relaxed) {
            thread::sleep(Duration::from_millis(1));
            if start.elapsed() > Duration::from_secs(20) {
                self.late.store(true, Relaxed);
                break;
            }
        }
    }
}

impl Stages for Doubling {
    type Tag = u64;
    type Raw = u64;
    type Ready = u64;
    type Done = u64;
    type Out = Result<u64, String>;
    type Worker = ();

    fn decode(&self, _: &mut u64, raw: u64) -> Result<u64, Self::Out> {
        self.hold(self.held == Some(raw));
        if raw == 13 { Err(Err("unlucky".into())) } else { Ok(raw) }
    }

    fn engine_streams(&self) -> Option<&EngineStreams> {
        self.engines.as_ref()
    }

    fn cost(&self, ready: &u64) -> u64 {
        assert_ne!(self.untold, Some(*ready), "no cost");
        *ready
    }

    fn worker(&self, _: usize) -> crate::Result<()> {
        self.workers.fetch_add(1, Relaxed);
        Ok(())
    }

    fn work(&self, _: &mut (), batch: &[u64]) -> Vec<u64> {
        self.largest_batch.fetch_max(batch.len(), Relaxed);
        thread::sleep(self.work_time + Duration::from_micros(batch[0].wrapping_mul(7919) % 300));
        if let Some(number) = batch.iter().find(|n| self.poison.contains(n)) {
            panic!("died of {number}");
        }
        if self.shock.is_some_and(|shock| batch.contains(&shock)) && !self.shocked.swap(true, Relaxed) {
            panic!("a shock");
        }
        batch.iter().map(|n| 2 * n).collect()
    }

    fn finish(&self, tag: &u64, ready: u64, done: u64) -> Self::Out {
        assert_eq!((*tag, 2 * ready), (ready, done));
        self.hold(self.held_behind == Some(ready));
        Ok(done)
    }

    fn fault(&self, tag: &u64, reason: String) -> Self::Out {
        assert_ne!(self.untold, Some(*tag), "no fault");
        Err(reason)
    }
}

fn feed<'a>(items: impl Iterator<Item = u64> + Send + 'a, policy: DropPolicy) -> Feed<'a, Doubling> {
    Feed { offers: Box::new(items.map(|i| Offer::Item(i, i))), policy }
}

type Seen = Vec<Vec<(u64, Option<Result<u64, String>>)>>;

fn run_all(stages: &Doubling, feeds: Vec<Feed<'_, Doubling>>, settings: Settings) -> (Seen, Gauges) {
    let gauges = Gauges::new(feeds.len());
    let mut seen: Seen = vec![Vec::new(); feeds.len()];
    run(stages, feeds, &settings, &gauges, &Stop::default(), |d| seen[d.stream].push((d.tag, d.output)));
    let totals = gauges.totals();
    assert_eq!(totals.offered, totals.delivered + totals.dropped + totals.skipped, "nothing is lost: {totals:?}");
    assert_eq!((totals.queued, gauges.ready.load(Relaxed), gauges.done.load(Relaxed)), (0, 0, 0), "all queues are empty");
    (seen, gauges)
}

fn settings(workers: usize, items: usize) -> Settings {
    Settings::new(workers, Batching { items, ..Batching::default() })
}

#[test]
fn a_sink_that_panics_ends_the_run() {
    let (stages, gauges, stop) = (Doubling::default(), Gauges::new(2), Stop::default());
    let feeds = vec![feed(20..1_000_000, DropPolicy::BLOCK), feed(20..1_000_000, DropPolicy::BLOCK)];
    let mut calls = 0;
    let ended = catch_unwind(AssertUnwindSafe(|| {
        run(&stages, feeds, &settings(2, 1), &gauges, &stop, |_| {
            calls += 1;
            assert!(calls < 5, "enough");
        });
    }));
    assert!(ended.is_err() && stop.is_set());
    assert_eq!(calls, 5, "what is under way goes nowhere");
}

#[test]
fn a_bound_of_workers_bounds_what_is_under_way() {
    let batching = Batching { items: 8, ..Batching::default() };
    let settings = Settings::new(65, batching).at_most(4);
    assert_eq!((settings.workers, settings.window, settings.decoders), (4, 4 * 4 * 8, 65));
    assert_eq!(Settings::latest(3, batching).at_most(usize::MAX), Settings::latest(3, batching));
}

#[test]
fn sixteen_streams_come_out_each_in_its_order() {
    let stages = Doubling::default();
    let feeds = (0..16).map(|stream| feed(stream * 100 + 20..stream * 100 + 70, DropPolicy::BLOCK)).collect();
    let (seen, gauges) = run_all(&stages, feeds, settings(4, 3));
    for (stream, seen) in (0u64..).zip(seen) {
        let expected: Vec<_> = (stream * 100 + 20..stream * 100 + 70).map(|i| (i, Some(Ok(2 * i)))).collect();
        assert_eq!(seen, expected);
    }
    assert!(stages.largest_batch.load(Relaxed) <= 3);
    assert_eq!((gauges.latency().count(), gauges.replaced.load(Relaxed)), (800, 0));
}

#[test]
fn all_streams_of_the_engines_work_until_something_was_measured() {
    let stages = Doubling { engines: Some(EngineStreams::new(4)), ..Doubling::default() };
    let (_, gauges) = run_all(&stages, vec![feed(20..40, DropPolicy::BLOCK)], settings(2, 1));
    assert_eq!(gauges.engine_streams().as_deref(), Some("4 of 4"));
    let (_, gauges) = run_all(&Doubling::default(), vec![feed(20..40, DropPolicy::BLOCK)], settings(2, 1));
    assert_eq!(gauges.engine_streams(), None, "they are nothing that is to be chosen");
}

#[test]
fn cost_bounds_batches_across_streams() {
    let stages = Doubling { work_time: Duration::from_millis(2), ..Doubling::default() };
    let feeds = (0..4).map(|_| feed(std::iter::repeat_n(40, 20), DropPolicy::BLOCK)).collect();
    let batching = Batching { items: 8, cost: 100, delay: Duration::from_millis(5) };
    run_all(&stages, feeds, Settings::new(2, batching));
    assert_eq!(stages.largest_batch.load(Relaxed), 2, "two items of 40 cost less than 100, three more");
}

#[test]
fn what_is_finished_early_keeps_its_place() {
    let stages = Doubling::default();
    let (seen, _) = run_all(&stages, vec![feed(10..16, DropPolicy::BLOCK)], settings(2, 1));
    let outputs: Vec<_> = seen[0].iter().map(|(tag, output)| (*tag, output.clone().expect("no drops"))).collect();
    let unlucky = (13, Err("unlucky".into()));
    assert_eq!(outputs, [(10, Ok(20)), (11, Ok(22)), (12, Ok(24)), unlucky, (14, Ok(28)), (15, Ok(30))]);
}

#[test]
fn outputs_of_a_source_pass_between_its_items() {
    let stages = Doubling::default();
    let offers = [Offer::Item(1, 1), Offer::Output(2, Err("the stream is gone".into())), Offer::Item(3, 3)];
    let feed = Feed { offers: Box::new(offers.into_iter()), policy: DropPolicy::LATEST };
    let (seen, _) = run_all(&stages, vec![feed], settings(2, 1));
    assert_eq!(seen[0], [(1, Some(Ok(2))), (2, Some(Err("the stream is gone".into()))), (3, Some(Ok(6)))]);
}

#[test]
fn what_a_source_had_no_room_for_is_dropped_in_its_place() {
    let offers = (20..29).map(|i| if i % 3 == 1 { Offer::Dropped(i) } else { Offer::Item(i, i) });
    let policy = DropPolicy { every: NonZeroU64::new(2).expect("not 0"), when_full: WhenFull::Wait };
    let (seen, gauges) = run_all(&Doubling::default(), vec![Feed { offers: Box::new(offers), policy }], settings(2, 1));
    let expected: Vec<_> = (20..29).map(|i| (i, (i % 2 == 0 && i % 3 != 1).then_some(Ok(2 * i)))).collect();
    assert_eq!(seen[0], expected);
    let totals = gauges.totals();
    assert_eq!((totals.dropped, totals.skipped), (2, 4), "22 and 28; each second one by design");
}

#[test]
fn a_worker_that_dies_is_replaced_and_its_items_are_tried_once_more() {
    let stages = Doubling { poison: [17].into(), shock: Some(25), ..Doubling::default() };
    let (seen, gauges) = run_all(&stages, vec![feed(14..40, DropPolicy::BLOCK)], settings(2, 4));
    for (tag, output) in &seen[0] {
        match output.as_ref().expect("no drops") {
            Ok(doubled) => assert_eq!(*doubled, 2 * tag),
            Err(reason) => assert_eq!((*tag, reason.as_str()), (17, "it failed twice: died of 17")),
        }
    }
    assert_eq!(seen[0].iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), (14..40).collect::<Vec<_>>());
    let deaths = gauges.replaced.load(Relaxed);
    assert!(deaths == 3 || deaths == 2, "of 17 in a batch and alone, of the shock, which may be in that batch: {deaths}");
    assert!(stages.workers.load(Relaxed) as u64 >= deaths, "each was replaced");
}

#[test]
fn an_item_whose_cost_and_fault_cannot_be_told_is_delivered_without_an_output() {
    let stages = Doubling { poison: [17].into(), untold: Some(17), ..Doubling::default() };
    let (seen, _) = run_all(&stages, vec![feed(14..40, DropPolicy::BLOCK)], settings(2, 4));
    let expected: Vec<_> = (14..40).map(|tag| (tag, (tag != 17).then_some(Ok(2 * tag)))).collect();
    assert_eq!(seen[0], expected);
}

#[test]
fn an_overloaded_live_stream_drops_the_old_and_shows_the_last() {
    let stages = Doubling { work_time: Duration::from_millis(3), ..Doubling::default() };
    let (seen, gauges) = run_all(&stages, vec![feed(100..400, DropPolicy::LATEST)], settings(1, 1));
    let totals = gauges.totals();
    assert!(totals.dropped > 0 && totals.delivered > 0, "{totals:?}");
    assert_eq!(seen[0].iter().map(|(tag, _)| *tag).collect::<Vec<_>>(), (100..400).collect::<Vec<_>>(), "drops are told in their place");
    assert_eq!(seen[0].last(), Some(&(399, Some(Ok(798)))), "the last is never dropped");
}

#[test]
fn every_third_item_is_worked_on() {
    let policy = DropPolicy { every: NonZeroU64::new(3).expect("not 0"), when_full: WhenFull::Wait };
    let (seen, gauges) = run_all(&Doubling::default(), vec![feed(30..40, policy)], settings(2, 2));
    let done: Vec<u64> = seen[0].iter().filter(|(_, output)| output.is_some()).map(|(tag, _)| *tag).collect();
    assert_eq!((done, gauges.totals().skipped), (vec![30, 33, 36, 39], 6));
}

#[test]
fn after_the_wish_to_stop_what_was_taken_is_finished() {
    let (stages, gauges, stop) = (Doubling::default(), Gauges::new(2), Stop::default());
    let mut seen = [Vec::new(), Vec::new()];
    let feeds = (0..2).map(|_| feed(20.., DropPolicy::BLOCK)).collect();
    run(&stages, feeds, &settings(2, 1), &gauges, &stop, |d| {
        seen[d.stream].push(d.tag);
        if d.tag == 50 {
            stop.set();
        }
    });
    for seen in seen {
        assert_eq!(seen, (20..20 + seen.len() as u64).collect::<Vec<_>>(), "no gap before the end");
    }
    assert_eq!(gauges.totals().offered, gauges.totals().delivered);
}

#[test]
fn a_slow_item_holds_up_no_other_stream() {
    let (held, count) = (Some(1_000_100), 300);
    for (held, held_behind) in [(held, None), (None, held)] {
        let stages = Doubling { work_time: Duration::from_millis(1), held, held_behind, ..Doubling::default() };
        let whole = DropPolicy { every: NonZeroU64::MIN, when_full: WhenFull::Wait };
        let feeds = vec![feed(1_000_000..1_000_200, whole), feed(20..20 + count, whole)];
        let (gauges, mut seen) = (Gauges::new(2), vec![Vec::new(), Vec::new()]);
        run(&stages, feeds, &Settings::latest(4, Batching::default()), &gauges, &Stop::default(), |d| {
            seen[d.stream].push(d.output.and_then(Result::ok));
            if seen[1].len() == count as usize {
                stages.released.store(true, Relaxed);
            }
        });
        assert!(!stages.late.load(Relaxed), "the other stream went on meanwhile");
        assert_eq!(seen[0], (1_000_000..1_000_200).map(|n| Some(2 * n)).collect::<Vec<_>>());
        assert_eq!(seen[1], (20..20 + count).map(|n| Some(2 * n)).collect::<Vec<_>>());
        assert!([&gauges.decoders, &gauges.finishers].iter().all(|threads| threads.load(Relaxed) <= 4), "{gauges:?}");
    }
}

/// Streams of any length that pause at any moment, in small windows: every run ends, with all items in order.
#[test]
fn runs_of_several_streams_end() {
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut state = seed | 1;
    let mut below = |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    for _ in 0..300 {
        let lengths: Vec<u64> = (0..1 + below(4)).map(|_| below(40)).collect();
        let pause = below(20) + 1;
        let whole = DropPolicy { every: NonZeroU64::MIN, when_full: WhenFull::Wait };
        let items = |length: u64| {
            (20..20 + length).inspect(move |n| {
                if n % pause == 0 {
                    thread::sleep(Duration::from_micros(500));
                }
            })
        };
        let feeds = lengths.iter().map(|&length| feed(items(length), whole)).collect();
        let workers = 1 + below(3) as usize;
        let settings = [Settings::new(workers, Batching::default()), Settings::latest(workers, Batching::default())][below(2) as usize];
        let (seen, _) = run_all(&Doubling::default(), feeds, settings);
        for (stream, &length) in seen.iter().zip(&lengths) {
            let expected: Vec<_> = (20..20 + length).map(|n| (n, Some(Ok(2 * n)))).collect();
            assert_eq!(*stream, expected, "{lengths:?}, pause {pause}, {settings:?}");
        }
    }
}

#[test]
fn a_sink_that_waits_does_not_hold_up_a_source_that_drops() {
    const ITEMS: u64 = 5000;
    let (stages, gauges, stop) = (Doubling::default(), Gauges::new(1), Stop::default());
    let (read_in, read) = channel::unbounded();
    let items = (100..100 + ITEMS).inspect(|item| read_in.send(*item).expect("room"));
    let mut delivered = 0;
    run(&stages, vec![feed(items, DropPolicy::LATEST)], &settings(1, 1), &gauges, &stop, |_| {
        if delivered == 0 {
            let all: Vec<u64> = (0..ITEMS).map(|_| read.recv_timeout(Duration::from_secs(20)).expect("the source goes on")).collect();
            assert_eq!(all.last(), Some(&(99 + ITEMS)));
        }
        delivered += 1;
    });
    assert_eq!(delivered, ITEMS);
}

//! The stages of streams, joined by bounded queues: sources → decode pool → workers → finishing pool → sink. Every source
//! has a thread and a queue of its own, so that a slow one holds up nobody; the pools and workers serve all streams; the sink runs
//! in the caller's thread and sees each stream in its order. Nothing is lost in silence: every item that a source yields
//! comes to the sink, as an output or as dropped.

use super::batcher::{Batcher, Batching};
use super::drops::{DropPolicy, Inbox, WhenFull};
use super::gauges::Gauges;
use super::reorder::Reorder;
use super::split::{Outside, Pool, Split};
use super::stop::Stop;
use crate::device::thread_time;
use crate::error::Result;
use crate::pipeline::EngineStreams;
use crossbeam::channel::{self, Receiver, Select, Sender};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// What the stages do. Calls come from many threads. A call that panics costs its item, never the run.
pub trait Stages: Sync {
    /// Identity of an item; stays with it through all stages.
    type Tag: Send;
    /// What a source yields.
    type Raw: Send;
    /// What a worker takes.
    type Ready: Send;
    /// What a worker makes of it.
    type Done: Send;
    /// What the sink gets.
    type Out: Send;
    /// What a worker keeps between batches.
    type Worker;

    /// Decode pool: makes an item ready for the workers, or finishes it here.
    fn decode(&self, tag: &mut Self::Tag, raw: Self::Raw) -> Result<Self::Ready, Self::Out>;

    /// Processor time so far of what decodes items before they come here, such as programs of their own; `None` where it is not known.
    fn decoded_before(&self) -> Option<Duration> {
        None
    }

    /// The same of what finishes items behind [`finish`](Self::finish).
    fn finished_behind(&self) -> Option<Duration> {
        None
    }

    /// The streams of the engines that workers feed, where their number may be chosen.
    fn engine_streams(&self) -> Option<&EngineStreams> {
        None
    }

    /// Cost of an item, in the unit of [`Batching::cost`].
    fn cost(&self, ready: &Self::Ready) -> u64;

    /// A new worker number `index`; called in its thread, and again when it died.
    fn worker(&self, index: usize) -> Result<Self::Worker>;

    /// Worker: one output per item of `batch`, in its order.
    fn work(&self, worker: &mut Self::Worker, batch: &[Self::Ready]) -> Vec<Self::Done>;

    /// Finishing pool: draws, encodes, saves.
    fn finish(&self, tag: &Self::Tag, ready: Self::Ready, done: Self::Done) -> Self::Out;

    /// The output of an item that a stage could not do, and why.
    fn fault(&self, tag: &Self::Tag, reason: String) -> Self::Out;
}

/// What a source yields.
pub enum Offer<S: Stages + ?Sized> {
    /// An item for the stages.
    Item(S::Tag, S::Raw),
    /// An item that its source had no room for: it is dropped as the policy drops others.
    Dropped(S::Tag),
    /// An output that needs no stage and is never dropped; it comes to the sink in its turn.
    Output(S::Tag, S::Out),
}

/// A source and what happens when its items come too fast.
pub struct Feed<'a, S: Stages + ?Sized> {
    /// The items. Where it waits for something, it must look at [`Stop`] meanwhile and end when that is set.
    pub offers: Box<dyn Iterator<Item = Offer<S>> + Send + 'a>,
    /// Which of them are worked on.
    pub policy: DropPolicy,
}

/// How many threads and how much room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Threads of the decode pool; those that are not needed to keep pace with the workers wait while these have work. With one,
    /// [`Stages::decode`] sees each stream in its order.
    pub decoders: usize,
    /// Workers.
    pub workers: usize,
    /// Threads of the finishing pool; those that are not needed to keep pace with the workers wait while these have work and no more items
    /// wait than the others take up next.
    pub finishers: usize,
    /// Items a source may be ahead of the decode pool.
    pub queue: usize,
    /// Items of a stream between decoding and sink; of several streams together one more. Behind a slow item those after it pile up,
    /// and the other streams go on.
    pub window: usize,
    /// When a batch is full.
    pub batching: Batching,
}

impl Settings {
    /// Enough to keep `workers` busy with such batches.
    pub fn new(workers: usize, batching: Batching) -> Self {
        let workers = workers.max(1);
        Self { decoders: workers, workers, finishers: workers, queue: 4, window: 4 * workers * batching.items.max(1), batching }
    }

    /// For sources that drop their oldest, on `threads` cores. What is past the queues can no longer be dropped: no more of it
    /// than keeps the cores busy. What waits in a queue is old by the time of its turn.
    pub fn latest(threads: usize, batching: Batching) -> Self {
        let settings = Self::new(threads, batching);
        Self { queue: 1, window: settings.workers * batching.items.max(1), ..settings }
    }

    /// The same with at most `most` workers: more would wait for a device, with all their frames in memory.
    #[must_use]
    pub fn at_most(self, most: usize) -> Self {
        let workers = self.workers.min(most.max(1));
        Self { workers, window: self.window / self.workers.max(1) * workers, ..self }
    }
}

/// What comes to the sink.
pub struct Delivery<S: Stages + ?Sized> {
    /// The stream, by its place among the feeds.
    pub stream: usize,
    /// The item.
    pub tag: S::Tag,
    /// Its output; `None` when it was dropped or left out, or [`Stages::fault`] panicked.
    pub output: Option<S::Out>,
    /// From the source to here.
    pub latency: Duration,
    /// When it was where.
    pub timeline: Timeline,
}

/// When an item was worked on, and by whom.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// When its source yielded it.
    pub arrived: Instant,
    /// In the decode pool; `None` where it did not come so far, here and below.
    pub decode: Option<Span>,
    /// At a worker, with all of its batch.
    pub work: Option<Span>,
    /// In the finishing pool.
    pub finish: Option<Span>,
}

/// A piece of work.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The thread, by its place in its pool.
    pub thread: usize,
    /// When it began.
    pub from: Instant,
    /// When it ended.
    pub to: Instant,
}

/// Of all sources together, items that were dropped, or failed, before the sink heard of any of them; then they wait.
const MOST_ARRIVALS: usize = 1 << 16;

/// How often they look then.
const GLANCE: Duration = Duration::from_millis(10);

/// What `call` returns, and when it ran.
fn spanned<T>(thread: usize, call: impl FnOnce() -> T) -> (T, Option<Span>) {
    let from = Instant::now();
    let value = call();
    (value, Some(Span { thread, from, to: Instant::now() }))
}

/// As [`spanned`], for an item of `pool`, with the message of a panic.
fn measured<T>(pool: &Pool, thread: usize, call: impl FnOnce() -> T) -> (Result<T, String>, Option<Span>) {
    let before = thread_time();
    let (value, span) = spanned(thread, || caught(call));
    pool.took(length(span), thread_time().saturating_sub(before));
    (value, span)
}

fn length(span: Option<Span>) -> Duration {
    span.map_or(Duration::ZERO, |span| span.to - span.from)
}

/// An item's place in its stream.
struct Ticket<T> {
    stream: usize,
    number: u64,
    timeline: Timeline,
    tag: T,
}

/// An item with its ticket, as it passes from stage to stage.
type Ticketed<S, T> = (Ticket<<S as Stages>::Tag>, T);

/// The queues of the streams that have not ended, each with its place among the feeds.
type Inboxes<T> = Mutex<Vec<(usize, Receiver<T>)>>;

/// An item that a worker is done with.
type Worked<S> = (Ticketed<S, <S as Stages>::Ready>, <S as Stages>::Done);

/// What arrives at the sink, in any order.
struct Arrival<S: Stages> {
    ticket: Ticket<S::Tag>,
    output: Option<S::Out>,
    /// Whether it takes up a place of the window.
    in_window: bool,
}

/// Queues between the stages, and what all of them share.
struct Graph<'a, S: Stages> {
    stages: &'a S,
    settings: &'a Settings,
    gauges: &'a Gauges,
    stop: &'a Stop,
    split: Split<'a>,
    /// Items in the window, by stream, and the most of each.
    in_window: Vec<AtomicUsize>,
    share: usize,
    /// Whether a source drops what is old: then nothing waits past its queue.
    drops: bool,
}

/// Runs `feeds` to their ends, or until `stop` is set, through `stages`; calls `sink` with every item of every stream, the
/// items of one stream in their order. `gauges` must have one entry per feed. When `sink` panics, that ends the run: what is under
/// way goes nowhere, and the panic goes on once all threads have ended.
pub fn run<S: Stages>(
    stages: &S,
    feeds: Vec<Feed<'_, S>>,
    settings: &Settings,
    gauges: &Gauges,
    stop: &Stop,
    mut sink: impl FnMut(Delivery<S>),
) {
    let share = settings.window.max(1);
    let places = share + usize::from(feeds.len() > 1);
    let in_window = feeds.iter().map(|_| AtomicUsize::new(0)).collect();
    let drops = feeds.iter().any(|feed| feed.policy.when_full == WhenFull::DropOldest);
    let split = Split::new(settings, gauges, stages.engine_streams(), outside(stages));
    let graph = &Graph { stages, settings, gauges, stop, split, in_window, share, drops };
    let (free_in, free) = channel::bounded::<()>(places);
    for _ in 0..places {
        let _ = free_in.send(());
    }
    let (moved_in, moved) = channel::bounded::<()>(1);
    let (ready_in, ready) = channel::bounded(settings.batching.items.max(settings.workers).max(1));
    let (done_in, done) = channel::bounded(places);
    let (arrivals_in, arrivals) = channel::unbounded::<Arrival<S>>(); // what comes from the window is bounded by it
    let batcher = Mutex::new(Batcher::new(ready));
    let mut reorder = Reorder::new(feeds.len());
    let mut panicked = None;
    let queues: Vec<_> = feeds.iter().map(|_| channel::bounded(settings.queue.max(1))).collect();
    let inboxes = Mutex::new(queues.iter().map(|(_, items)| items.clone()).enumerate().collect());
    let inboxes = &inboxes;
    thread::scope(|scope| {
        for (stream, (Feed { offers, policy }, (items_in, items))) in feeds.into_iter().zip(queues).enumerate() {
            let (inbox, arrivals) = (Inbox { items_in, items, when_full: policy.when_full }, arrivals_in.clone());
            scope.spawn(move || graph.read(stream, offers, policy, &inbox, &arrivals));
        }
        for index in 0..settings.decoders.max(1) {
            let (free, free_in, moved) = (free.clone(), free_in.clone(), moved.clone());
            let (ready, arrivals) = (ready_in.clone(), arrivals_in.clone());
            scope.spawn(move || graph.decode(index, inboxes, (&free, &free_in), &moved, &ready, &arrivals));
        }
        for index in 0..settings.workers.max(1) {
            let (batcher, done, arrivals) = (&batcher, done_in.clone(), arrivals_in.clone());
            scope.spawn(move || graph.work(index, batcher, &done, &arrivals));
        }
        for index in 0..settings.finishers.max(1) {
            let (done, arrivals) = (done.clone(), arrivals_in.clone());
            scope.spawn(move || graph.finish(index, &done, &arrivals));
        }
        // A queue ends when all that write into it have ended: none of its ends may stay here.
        drop((ready_in, done_in, done, arrivals_in));
        for arrival in arrivals {
            let (stream, number) = (arrival.ticket.stream, arrival.ticket.number);
            reorder.put(stream, number, arrival, |arrival| {
                if arrival.in_window {
                    graph.in_window[stream].fetch_sub(1, Relaxed);
                    let _ = free_in.try_send(());
                    let _ = moved_in.try_send(()); // when it is full, that is to be heard still
                }
                let delivery = graph.deliver(arrival);
                if panicked.is_none() {
                    panicked = catch_unwind(AssertUnwindSafe(|| sink(delivery))).err();
                    if panicked.is_some() {
                        stop.set();
                    }
                }
            });
        }
    });
    if let Some(panic) = panicked {
        resume_unwind(panic);
    }
}

impl<S: Stages> Graph<'_, S> {
    /// The thread of one source.
    fn read(
        &self,
        stream: usize,
        offers: impl Iterator<Item = Offer<S>>,
        policy: DropPolicy,
        inbox: &Inbox<Ticketed<S, S::Raw>>,
        arrivals: &Sender<Arrival<S>>,
    ) {
        let gauges = &self.gauges.streams[stream];
        let (mut numbers, mut items) = (0.., 0..);
        // A sink that takes nothing for a while does not hold up a source that drops what is old.
        let arrive = |ticket, output| {
            while arrivals.len() >= MOST_ARRIVALS && !self.stop.is_set() {
                thread::sleep(GLANCE);
            }
            let _ = arrivals.send(Arrival { ticket, output, in_window: false });
        };
        let leave_out = |ticket, count: &AtomicU64| {
            count.fetch_add(1, Relaxed);
            arrive(ticket, None);
        };
        let mut take = |ticket, raw: Option<S::Raw>| {
            gauges.offered.fetch_add(1, Relaxed);
            match raw {
                _ if policy.skips(items.next().unwrap_or_default()) => leave_out(ticket, &gauges.skipped),
                None => leave_out(ticket, &gauges.dropped),
                Some(raw) => {
                    gauges.queued.fetch_add(1, Relaxed);
                    inbox.put((ticket, raw), |(ticket, _)| {
                        gauges.queued.fetch_sub(1, Relaxed);
                        leave_out(ticket, &gauges.dropped);
                    });
                }
            }
        };
        for offer in offers {
            let timeline = Timeline { arrived: Instant::now(), decode: None, work: None, finish: None };
            let ticket = |tag, number| Ticket { stream, number, timeline, tag };
            let number = numbers.next().unwrap_or_default();
            match offer {
                Offer::Output(tag, output) => arrive(ticket(tag, number), Some(output)),
                Offer::Item(tag, raw) => take(ticket(tag, number), Some(raw)),
                Offer::Dropped(tag) => take(ticket(tag, number), None),
            }
            if self.stop.is_set() {
                return;
            }
        }
    }

    /// A thread of the decode pool: takes from whichever stream has something, once there is a place in the window.
    fn decode(
        &self,
        index: usize,
        inboxes: &Inboxes<Ticketed<S, S::Raw>>,
        (free, free_in): (&Receiver<()>, &Sender<()>),
        moved: &Receiver<()>,
        ready: &Sender<Ticketed<S, S::Ready>>,
        arrivals: &Sender<Arrival<S>>,
    ) {
        let _ending = self.split.decoding.ending();
        let is_needed = |_| self.gauges.ready.load(Relaxed) == 0;
        while self.split.decoding.wait(index, is_needed) && free.recv().is_ok() {
            let Some((mut ticket, raw)) = self.next(inboxes, moved) else {
                let _ = free_in.try_send(()); // for another one that waits for it
                return;
            };
            self.gauges.streams[ticket.stream].queued.fetch_sub(1, Relaxed);
            let (decoded, span) = measured(&self.split.decoding, index, || self.stages.decode(&mut ticket.tag, raw));
            ticket.timeline.decode = span;
            match decoded {
                Ok(Ok(item)) => {
                    self.gauges.ready.fetch_add(1, Relaxed);
                    let _ = ready.send((ticket, item));
                }
                Ok(Err(output)) => arrive(arrivals, ticket, Some(output)),
                Err(reason) => self.fail(arrivals, ticket, format!("decoding failed: {reason}")),
            }
        }
    }

    /// An item of whichever stream has one and room in the window; `None` when all have ended. Of all decoders one looks at a time:
    /// it alone is told that there is room, and knows what it takes.
    fn next<T>(&self, inboxes: &Inboxes<T>, moved: &Receiver<()>) -> Option<T> {
        let mut open = inboxes.lock().unwrap_or_else(PoisonError::into_inner);
        while !open.is_empty() {
            let has_room = |&at: &usize| self.in_window[open[at].0].load(Relaxed) < self.share;
            let able: Vec<usize> = (0..open.len()).filter(has_room).collect();
            let mut select = Select::new();
            able.iter().for_each(|&at| {
                select.recv(&open[at].1);
            });
            if able.len() < open.len() {
                select.recv(moved);
            }
            let chosen = select.select(); // at random among those that have something
            let Some(&at) = able.get(chosen.index()) else {
                let _ = chosen.recv(moved);
                continue;
            };
            match chosen.recv(&open[at].1) {
                Ok(item) => {
                    self.in_window[open[at].0].fetch_add(1, Relaxed);
                    return Some(item);
                }
                Err(_) => drop(open.swap_remove(at)),
            }
        }
        None
    }

    /// The thread of a worker. When it dies over a batch, a new one tries each item of it once more, alone: one of them may be
    /// what it died of, the others are not to suffer for it.
    fn work(&self, index: usize, batcher: &Mutex<Batcher<Ticketed<S, S::Ready>>>, done: &Sender<Worked<S>>, arrivals: &Sender<Arrival<S>>) {
        let _ending = self.split.finishing.ending();
        let mut worker = None;
        loop {
            let batch = batcher.lock().unwrap_or_else(PoisonError::into_inner);
            let batch = { batch }.next(&self.settings.batching, |(_, ready)| caught(|| self.stages.cost(ready)).unwrap_or(u64::MAX));
            if batch.is_empty() {
                return;
            }
            let are_left = self.gauges.ready.fetch_sub(batch.len(), Relaxed) > batch.len();
            if !are_left {
                self.split.decoding.look(|_| true);
                self.split.finishing.look(|chosen| self.is_behind(chosen));
            }
            let (tickets, ready): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let hand_on = |mut ticket: Ticket<S::Tag>, ready, span, outcome: Result<S::Done, String>| match outcome {
                Ok(output) => {
                    ticket.timeline.work = span;
                    self.gauges.done.fetch_add(1, Relaxed);
                    let _ = done.send(((ticket, ready), output));
                    self.split.finishing.look(|chosen| self.is_behind(chosen));
                }
                Err(reason) => self.fail(arrivals, ticket, reason),
            };
            let (outputs, span) = spanned(index, || self.attempt(index, &mut worker, &ready));
            match outputs {
                Ok(outputs) => {
                    self.split.worked(length(span), outputs.len(), are_left && !self.drops, || outside(self.stages));
                    for ((ticket, ready), output) in tickets.into_iter().zip(ready).zip(outputs) {
                        hand_on(ticket, ready, span, Ok(output));
                    }
                }
                Err(_) => {
                    for (ticket, ready) in tickets.into_iter().zip(ready) {
                        let (again, span) = spanned(index, || self.attempt(index, &mut worker, std::slice::from_ref(&ready)));
                        let only = again.and_then(|mut outputs| outputs.pop().ok_or_else(|| "no output".into()));
                        hand_on(ticket, ready, span, only.map_err(|reason| format!("it failed twice: {reason}")));
                    }
                }
            }
        }
    }

    /// One batch by `worker`, which is made when there is none, and is gone after a failure.
    fn attempt(&self, index: usize, worker: &mut Option<S::Worker>, batch: &[S::Ready]) -> Result<Vec<S::Done>, String> {
        let mut living = match worker.take() {
            Some(worker) => worker,
            None => caught(|| self.stages.worker(index)).and_then(|made| made.map_err(|e| e.to_string()))?,
        };
        let outcome = caught(|| self.stages.work(&mut living, batch)).and_then(|outputs| match outputs.len() == batch.len() {
            true => Ok(outputs),
            false => Err(format!("{} outputs for {} items", outputs.len(), batch.len())),
        });
        match &outcome {
            Ok(_) => *worker = Some(living),
            Err(reason) => {
                self.gauges.replaced.fetch_add(1, Relaxed);
                tracing::warn!("worker {index} died and is replaced: {reason}");
            }
        }
        outcome
    }

    /// Whether more items are to be finished than `chosen` threads take up next, or any while the workers have nothing waiting.
    fn is_behind(&self, chosen: usize) -> bool {
        let waiting = self.gauges.done.load(Relaxed);
        waiting > chosen || (waiting > 0 && self.gauges.ready.load(Relaxed) == 0)
    }

    /// A thread of the finishing pool.
    fn finish(&self, index: usize, done: &Receiver<Worked<S>>, arrivals: &Sender<Arrival<S>>) {
        loop {
            self.split.finishing.wait(index, |chosen| self.is_behind(chosen)); // at the end all finish what is left
            let Ok(((mut ticket, ready), output)) = done.recv() else { return };
            self.gauges.done.fetch_sub(1, Relaxed);
            let (finished, span) = measured(&self.split.finishing, index, || self.stages.finish(&ticket.tag, ready, output));
            ticket.timeline.finish = span;
            match finished {
                Ok(output) => arrive(arrivals, ticket, Some(output)),
                Err(reason) => self.fail(arrivals, ticket, format!("finishing failed: {reason}")),
            }
        }
    }

    /// Hands on that an item has failed, without an output where that cannot be said.
    fn fail(&self, arrivals: &Sender<Arrival<S>>, ticket: Ticket<S::Tag>, reason: String) {
        let output = caught(|| self.stages.fault(&ticket.tag, reason));
        let output = output.inspect_err(|panic| tracing::warn!("a fault cannot be told: {panic}")).ok();
        arrive(arrivals, ticket, output);
    }

    fn deliver(&self, Arrival { ticket, output, in_window }: Arrival<S>) -> Delivery<S> {
        let latency = ticket.timeline.arrived.elapsed();
        if in_window {
            self.gauges.streams[ticket.stream].delivered.fetch_add(1, Relaxed);
            self.gauges.add_latency(latency);
        }
        Delivery { stream: ticket.stream, tag: ticket.tag, output, latency, timeline: ticket.timeline }
    }
}

fn outside(stages: &impl Stages) -> Outside {
    [stages.decoded_before(), stages.finished_behind()]
}

/// Hands the output of an item in the window to the sink.
fn arrive<S: Stages>(arrivals: &Sender<Arrival<S>>, ticket: Ticket<S::Tag>, output: Option<S::Out>) {
    let _ = arrivals.send(Arrival { ticket, output, in_window: true });
}

/// The value of `call`, or the message of its panic.
fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a message").to_owned()
    })
}

#[cfg(test)]
mod tests;

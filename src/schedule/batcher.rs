//! Items of all streams into batches: as many as are there, within a number, a cost and a delay.

use crossbeam::channel::Receiver;
use std::time::{Duration, Instant};

/// When a batch is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Most items.
    pub items: usize,
    /// Most cost of its items together, in the unit of the stages (pixels, say); an item that costs more goes alone.
    pub cost: u64,
    /// How long the first item of a batch may wait for others. Zero: it takes what is there.
    pub delay: Duration,
}

impl Default for Batching {
    /// One at a time.
    fn default() -> Self {
        Self { items: 1, cost: u64::MAX, delay: Duration::ZERO }
    }
}

/// Draws batches from a queue.
pub(super) struct Batcher<T> {
    items: Receiver<T>,
    /// Taken already, but too much for the last batch.
    left: Option<T>,
}

impl<T> Batcher<T> {
    pub fn new(items: Receiver<T>) -> Self {
        Self { items, left: None }
    }

    /// The next batch; empty when the queue has ended.
    pub fn next(&mut self, limits: &Batching, cost: impl Fn(&T) -> u64) -> Vec<T> {
        let Some(first) = self.left.take().or_else(|| self.items.recv().ok()) else { return Vec::new() };
        let mut total = cost(&first);
        let mut batch = vec![first];
        let deadline = Instant::now() + limits.delay;
        while batch.len() < limits.items && total < limits.cost {
            let next = if limits.delay.is_zero() { self.items.try_recv().ok() } else { self.items.recv_deadline(deadline).ok() };
            let Some(item) = next else { break };
            total = total.saturating_add(cost(&item));
            if total > limits.cost {
                self.left = Some(item);
                break;
            }
            batch.push(item);
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel;

    #[test]
    fn batches_are_bounded_by_number_and_cost() {
        let (items_in, items) = channel::unbounded();
        [3u64, 3, 3, 9, 50, 1, 1, 1, 1].into_iter().for_each(|cost| items_in.send(cost).expect("room"));
        drop(items_in);
        let mut batcher = Batcher::new(items);
        let limits = Batching { items: 3, cost: 10, delay: Duration::ZERO };
        let batches: Vec<_> = std::iter::from_fn(|| Some(batcher.next(&limits, |&c| c)).filter(|b| !b.is_empty())).collect();
        assert_eq!(batches, [vec![3, 3, 3], vec![9], vec![50], vec![1, 1, 1], vec![1]]);
    }

    #[test]
    fn a_batch_waits_for_others_no_longer_than_the_delay() {
        let (items_in, items) = channel::unbounded();
        items_in.send(1u64).expect("room");
        let mut batcher = Batcher::new(items);
        let limits = Batching { items: 8, cost: 100, delay: Duration::from_millis(20) };
        assert_eq!(batcher.next(&limits, |&c| c), [1], "although the queue has not ended");
    }
}

//! What a source does with an item for which there is no room: files wait, live streams let go of what is old.

use crossbeam::channel::{Receiver, Sender, TrySendError};
use std::num::NonZeroU64;
use std::str::FromStr;

/// Which items of a source are worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropPolicy {
    /// Only every Nth item is offered at all: item 0, item N, item 2N...
    pub every: NonZeroU64,
    /// What happens when the queue of the source is full.
    pub when_full: WhenFull,
}

/// What happens when a queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// The source waits: nothing is lost.
    Wait,
    /// The oldest item of the queue is dropped: what is worked on is the latest.
    DropOldest,
}

impl DropPolicy {
    /// Every item, and the source waits.
    pub const BLOCK: Self = Self { every: NonZeroU64::MIN, when_full: WhenFull::Wait };
    /// Every item, and old ones make room.
    pub const LATEST: Self = Self { every: NonZeroU64::MIN, when_full: WhenFull::DropOldest };

    /// Whether item `index` (from 0) of a source is left out by design.
    pub fn skips(&self, index: u64) -> bool {
        !index.is_multiple_of(self.every.get())
    }

    /// The policy as typed: `block`, `latest`, or `every:N`, which does with a full queue what `otherwise` does.
    pub fn parse(text: &str, otherwise: WhenFull) -> Result<Self, String> {
        match text {
            "block" => Ok(Self::BLOCK),
            "latest" => Ok(Self::LATEST),
            _ => match text.strip_prefix("every:").map(NonZeroU64::from_str) {
                Some(Ok(every)) => Ok(Self { every, when_full: otherwise }),
                _ => Err(format!("{text:?} is none of block, latest, every:N (N from 1)")),
            },
        }
    }
}

/// The end of a bounded queue that items are put into.
pub(super) struct Inbox<T> {
    pub items_in: Sender<T>,
    /// The other end of the same queue, to take out what is old.
    pub items: Receiver<T>,
    pub when_full: WhenFull,
}

impl<T> Inbox<T> {
    /// Puts `item` in; what had to go for it is handed to `dropped`.
    pub fn put(&self, mut item: T, mut dropped: impl FnMut(T)) {
        if self.when_full == WhenFull::Wait {
            let _ = self.items_in.send(item); // fails only without a reader, and this end holds one
            return;
        }
        while let Err(TrySendError::Full(back)) = self.items_in.try_send(item) {
            item = back;
            if let Ok(oldest) = self.items.try_recv() {
                dropped(oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam::channel;

    #[test]
    fn policies_are_read_as_typed() {
        let every = |n| DropPolicy { every: NonZeroU64::new(n).expect("not 0"), when_full: WhenFull::DropOldest };
        for (text, expected) in [("block", DropPolicy::BLOCK), ("latest", DropPolicy::LATEST), ("every:5", every(5))] {
            assert_eq!(DropPolicy::parse(text, WhenFull::DropOldest), Ok(expected));
        }
        for text in ["", "every", "every:0", "every:-1", "Latest"] {
            assert!(DropPolicy::parse(text, WhenFull::Wait).expect_err("refused").contains("every:N"), "{text}");
        }
        assert_eq!((0..7).filter(|&i| !every(3).skips(i)).collect::<Vec<_>>(), [0, 3, 6]);
    }

    #[test]
    fn a_full_queue_loses_its_oldest() {
        let (items_in, items) = channel::bounded(2);
        let inbox = Inbox { items_in, items: items.clone(), when_full: WhenFull::DropOldest };
        let mut dropped = Vec::new();
        (0..5).for_each(|i| inbox.put(i, |old| dropped.push(old)));
        assert_eq!((dropped, items.try_iter().collect::<Vec<_>>()), (vec![0, 1, 2], vec![3, 4]));
    }
}

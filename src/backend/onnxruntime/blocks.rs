//! Where blocks lie in a span of addresses. Each goes into the smallest gap that holds it, the lowest of such, so that the part of the
//! span that was ever in use stays short: what tensors of changing sizes take is little more than what is alive at once.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Blocks, told by offset and length in bytes, of a span that begins at 0.
pub struct Blocks {
    span: usize,
    /// Where the last block ends, and the furthest it did since [`Self::spare`] was asked, and in all that was not told as spare.
    end: usize,
    recent: usize,
    furthest: usize,
    /// Length by offset of what is free before `end`; no two touch, and none touches `end`.
    gaps: BTreeMap<usize, usize>,
    /// The same as (length, offset).
    by_length: BTreeSet<(usize, usize)>,
}

impl Blocks {
    /// No blocks yet in `span` bytes.
    pub const fn new(span: usize) -> Self {
        Self { span, end: 0, recent: 0, furthest: 0, gaps: BTreeMap::new(), by_length: BTreeSet::new() }
    }

    /// The offset of a new block of `length` bytes, above 0; `None` where the span is full.
    pub fn take(&mut self, length: usize) -> Option<usize> {
        let Some(&(gap, at)) = self.by_length.range((length, 0)..).next() else {
            let at = self.end;
            self.end = at.checked_add(length).filter(|&end| end <= self.span)?;
            self.recent = self.recent.max(self.end);
            self.furthest = self.furthest.max(self.end);
            return Some(at);
        };
        self.remove(at, gap);
        if gap > length {
            self.insert(at + length, gap - length);
        }
        Some(at)
    }

    /// Frees the block at `at`, which was taken with `length`.
    pub fn give_back(&mut self, mut at: usize, mut length: usize) {
        if let Some((&before, &gap)) = self.gaps.range(..at).next_back()
            && before + gap == at
        {
            self.remove(before, gap);
            (at, length) = (before, gap + length);
        }
        if let Some(&gap) = self.gaps.get(&(at + length)) {
            self.remove(at + length, gap);
            length += gap;
        }
        match at + length == self.end {
            true => self.end = at,
            false => self.insert(at, length),
        }
    }

    /// What was in use once, but not since this was asked last.
    pub fn spare(&mut self) -> Range<usize> {
        let spare = self.recent..self.furthest;
        (self.recent, self.furthest) = (self.end, self.recent);
        spare
    }

    fn insert(&mut self, at: usize, length: usize) {
        self.gaps.insert(at, length);
        self.by_length.insert((length, at));
    }

    fn remove(&mut self, at: usize, length: usize) {
        self.gaps.remove(&at);
        self.by_length.remove(&(length, at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Takes of the given lengths and, for 0, returns of an earlier block.
        #[test]
        fn blocks_never_meet_and_gaps_are_used(steps in prop::collection::vec((0usize..3, 1usize..50, any::<prop::sample::Index>()), 1..200)) {
            const SPAN: usize = 400;
            let (mut blocks, mut alive) = (Blocks::new(SPAN), Vec::<(usize, usize)>::new());
            for (step, length, which) in steps {
                if step == 0 && !alive.is_empty() {
                    let (at, length) = alive.swap_remove(which.index(alive.len()));
                    blocks.give_back(at, length);
                } else {
                    // What is free between the blocks that live, and behind them, by looking at each byte.
                    let mut used = [false; SPAN + 1];
                    alive.iter().for_each(|&(at, length)| used[at..at + length].fill(true));
                    used[SPAN] = true;
                    let end = alive.iter().map(|(at, length)| at + length).max().unwrap_or(0);
                    let mut gaps = Vec::new();
                    let mut start = None;
                    for (at, &used) in used[..=end].iter().enumerate() {
                        match (used, start) {
                            (false, None) if at < end => start = Some(at),
                            (true, Some(from)) => { gaps.push((at - from, from)); start = None; }
                            _ => {}
                        }
                    }
                    let smallest = gaps.into_iter().filter(|gap| gap.0 >= length).min().map(|gap| gap.1);
                    let expected = smallest.or((end + length <= SPAN).then_some(end));
                    let taken = blocks.take(length);
                    prop_assert_eq!(taken, expected);
                    alive.extend(taken.map(|at| (at, length)));
                }
            }
            for (at, length) in alive {
                blocks.give_back(at, length);
            }
            prop_assert_eq!((blocks.end, blocks.gaps.len(), blocks.by_length.len()), (0, 0, 0));
        }
    }
}

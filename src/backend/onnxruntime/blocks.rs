//! Where blocks lie in a span of addresses. Each goes into the smallest gap that holds it, the lowest of such. Between blocks of changing
//! sizes gaps are left all the same: what holds more memory than was alive at once gives that of the largest gaps back.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Gaps of fewer bytes keep their memory: what such give is not worth the call.
const LEAST: usize = 1 << 20;

/// Blocks, told by offset and length in bytes, of a span that begins at 0.
pub struct Blocks {
    span: usize,
    /// Where the last block ends, and where memory does.
    end: usize,
    furthest: usize,
    /// Bytes of all blocks, and the most that they were since [`Self::forget`] was called last, and before that.
    alive: usize,
    most: [usize; 2],
    /// What is free before `end`, by offset; no two touch, and none touches `end`.
    gaps: BTreeMap<usize, Gap>,
    /// The same by what they hold and length.
    by_length: BTreeSet<(Gap, usize)>,
    /// Bytes of those without memory.
    bare: usize,
}

/// What is free between two blocks. The bare ones come last in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Gap {
    /// Whether its memory was given back.
    is_bare: bool,
    length: usize,
}

impl Blocks {
    /// No blocks yet in `span` bytes.
    pub const fn new(span: usize) -> Self {
        Self { span, end: 0, furthest: 0, alive: 0, most: [0; 2], gaps: BTreeMap::new(), by_length: BTreeSet::new(), bare: 0 }
    }

    /// The offset of a new block of `length` bytes, above 0; `None` where the span is full. Gaps that have memory are preferred.
    pub fn take(&mut self, length: usize) -> Option<usize> {
        let smallest = |is_bare| self.by_length.range((Gap { is_bare, length }, 0)..).next().filter(|(gap, _)| gap.is_bare == is_bare);
        let at = match smallest(false).or_else(|| smallest(true)) {
            Some(&(gap, at)) => {
                self.remove(at, gap);
                if gap.length > length {
                    self.insert(at + length, Gap { length: gap.length - length, ..gap });
                }
                at
            }
            None => {
                let at = self.end;
                self.end = at.checked_add(length).filter(|&end| end <= self.span)?;
                self.furthest = self.furthest.max(self.end);
                at
            }
        };
        self.alive += length;
        self.most[0] = self.most[0].max(self.alive);
        Some(at)
    }

    /// Frees the block at `at`, which was taken with `length`.
    pub fn give_back(&mut self, mut at: usize, mut length: usize) {
        self.alive -= length;
        if let Some((&before, &gap)) = self.gaps.range(..at).next_back()
            && before + gap.length == at
        {
            self.remove(before, gap);
            (at, length) = (before, gap.length + length);
        }
        if let Some(&gap) = self.gaps.get(&(at + length)) {
            self.remove(at + length, gap);
            length += gap.length;
        }
        match at + length == self.end {
            true => self.end = at,
            false => self.insert(at, Gap { is_bare: false, length }),
        }
    }

    /// Where nothing lies and memory is to be given back, as long as more is held than was alive at once.
    pub fn spare(&mut self) -> Option<Range<usize>> {
        if self.furthest - self.bare <= self.most[0].max(self.most[1]) {
            return None;
        }
        if self.furthest - self.end >= LEAST {
            return Some(self.end..std::mem::replace(&mut self.furthest, self.end));
        }
        let largest = self.by_length.range(..(Gap { is_bare: true, length: 0 }, 0)).next_back();
        let (gap, at) = *largest.filter(|(gap, _)| gap.length >= LEAST)?;
        self.remove(at, gap);
        self.insert(at, Gap { is_bare: true, ..gap });
        Some(at..at + gap.length)
    }

    /// Has what was alive at once before the last call of this not count any more.
    pub fn forget(&mut self) {
        self.most = [self.alive, self.most[0]];
    }

    fn insert(&mut self, at: usize, gap: Gap) {
        self.gaps.insert(at, gap);
        self.by_length.insert((gap, at));
        self.bare += if gap.is_bare { gap.length } else { 0 };
    }

    fn remove(&mut self, at: usize, gap: Gap) {
        self.gaps.remove(&at);
        self.by_length.remove(&(gap, at));
        self.bare -= if gap.is_bare { gap.length } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs of what is not `used`, as length and start.
    fn runs(used: &[bool]) -> Vec<(usize, usize)> {
        let mut runs = Vec::new();
        let mut at = 0;
        for run in used.chunk_by(|a, b| a == b) {
            if !run[0] {
                runs.push((run.len(), at));
            }
            at += run.len();
        }
        runs
    }

    proptest! {
        /// Steps: 0 gives an earlier block back, 1 forgets, others take one of the given length; in units, of which eight are worth giving back.
        #[test]
        fn blocks_never_meet_and_gaps_are_used_or_given_back(
            steps in prop::collection::vec((0usize..5, 1usize..50, any::<prop::sample::Index>()), 1..200),
        ) {
            const SPAN: usize = 400;
            const UNIT: usize = LEAST / 8;
            let (mut blocks, mut alive) = (Blocks::new(SPAN * UNIT), Vec::<(usize, usize)>::new());
            let (mut used, mut held, mut most) = ([false; SPAN], [false; SPAN], [0; 2]);
            for (step, length, which) in steps {
                if step == 0 && !alive.is_empty() {
                    let (at, length) = alive.swap_remove(which.index(alive.len()));
                    used[at..at + length].fill(false);
                    blocks.give_back(at * UNIT, length * UNIT);
                    continue;
                }
                let living = |used: &[bool; SPAN]| used.iter().filter(|used| **used).count();
                let end = used.iter().rposition(|used| *used).map_or(0, |last| last + 1);
                if step == 1 {
                    most = [living(&used), most[0]];
                    blocks.forget();
                    continue;
                }
                let fitting: Vec<_> = runs(&used[..end]).into_iter().filter(|gap| gap.0 >= length).collect();
                let with_memory = |&&(length, at): &&(usize, usize)| held[at..at + length].contains(&true);
                let smallest = fitting.iter().filter(with_memory).map(|gap| gap.0).min();
                let taken = blocks.take(length * UNIT).map(|at| at / UNIT);
                match fitting.is_empty() {
                    true => prop_assert_eq!(taken, (end + length <= SPAN).then_some(end)),
                    false => {
                        let gap = fitting.iter().find(|gap| Some(gap.1) == taken);
                        prop_assert!(gap.is_some_and(|gap| smallest.is_none_or(|smallest| gap.0 <= smallest)), "{taken:?} of {fitting:?}");
                    }
                }
                if let Some(at) = taken {
                    alive.push((at, length));
                    used[at..at + length].fill(true);
                    held[at..at + length].fill(true);
                    most[0] = most[0].max(living(&used));
                }
                while let Some(spare) = blocks.spare() {
                    let (from, to) = (spare.start / UNIT, spare.end / UNIT);
                    prop_assert!(!used[from..to].contains(&true), "{spare:?} is in use");
                    held[from..to].fill(false);
                }
                let last = held.iter().rposition(|held| *held).map_or(0, |last| last + 1);
                let left = runs(&used[..last]).into_iter().any(|(length, at)| length >= 8 && held[at..at + length].contains(&true));
                prop_assert!(living(&held) <= most[0].max(most[1]) || !left);
            }
            for (at, length) in alive {
                blocks.give_back(at * UNIT, length * UNIT);
            }
            let Blocks { end, alive, gaps, by_length, bare, .. } = blocks;
            prop_assert_eq!((end, alive, gaps.len(), by_length.len(), bare), (0, 0, 0, 0, 0));
        }
    }
}

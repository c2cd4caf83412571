//! What comes back in any order, stream by stream in the order of its numbers.

use std::collections::BTreeMap;

/// Holds what is early. Numbers of a stream are consecutive from 0, and every one of them comes once.
pub(super) struct Reorder<T> {
    streams: Vec<(u64, BTreeMap<u64, T>)>,
}

impl<T> Reorder<T> {
    pub fn new(streams: usize) -> Self {
        Self { streams: (0..streams).map(|_| (0, BTreeMap::new())).collect() }
    }

    /// Takes `item` and hands on whatever its stream is now ready to let go.
    pub fn put(&mut self, stream: usize, number: u64, item: T, mut out: impl FnMut(T)) {
        let (next, early) = &mut self.streams[stream];
        early.insert(number, item);
        while let Some(item) = early.remove(next) {
            *next += 1;
            out(item);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_do_not_wait_for_each_other() {
        let mut reorder = Reorder::new(2);
        let mut seen = Vec::new();
        for (stream, number) in [(0, 2), (1, 0), (0, 0), (1, 1), (0, 1)] {
            reorder.put(stream, number, (stream, number), |item| seen.push(item));
        }
        assert_eq!(seen, [(1, 0), (0, 0), (1, 1), (0, 1), (0, 2)]);
    }
}

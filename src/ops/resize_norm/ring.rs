//! The last two filtered source rows, so that each source row is filtered horizontally at most once.

/// Keeps source row `r` in slot `r % 2`: two neighbouring rows fit at the same time.
#[derive(Debug, Default)]
pub(super) struct RowRing {
    rows: [Vec<i16>; 2],
    holds: [Option<usize>; 2],
}

impl RowRing {
    /// Forgets what it holds and makes rows of `len` samples.
    pub fn start(&mut self, len: usize) {
        self.holds = [None; 2];
        self.rows.iter_mut().for_each(|row| row.resize(len, 0));
    }

    /// Makes sure row `r` is held, calling `fill` when it is not.
    pub fn ensure(&mut self, r: usize, fill: impl FnOnce(&mut [i16])) {
        if self.holds[r % 2] != Some(r) {
            fill(&mut self.rows[r % 2]);
            self.holds[r % 2] = Some(r);
        }
    }

    /// Row `r`, which [`RowRing::ensure`] was called for.
    pub fn row(&self, r: usize) -> &[i16] {
        debug_assert_eq!(self.holds[r % 2], Some(r));
        &self.rows[r % 2]
    }
}

//! The last few filtered source rows, so that each source row is filtered horizontally at most once.

/// Keeps source row `r` in slot `r % N`: any `N` neighbouring rows fit at the same time.
#[derive(Debug)]
pub(super) struct RowRing<T, const N: usize> {
    rows: [Vec<T>; N],
    holds: [Option<usize>; N],
}

impl<T, const N: usize> Default for RowRing<T, N> {
    fn default() -> Self {
        Self { rows: std::array::from_fn(|_| Vec::new()), holds: [None; N] }
    }
}

impl<T: Copy + Default, const N: usize> RowRing<T, N> {
    /// Forgets what it holds and makes rows of `len` samples.
    pub fn start(&mut self, len: usize) {
        self.holds = [None; N];
        for row in &mut self.rows {
            row.resize(len, T::default());
        }
    }

    /// Makes sure row `r` is held, calling `fill` when it is not.
    pub fn ensure(&mut self, r: usize, fill: impl FnOnce(&mut [T])) {
        if self.holds[r % N] != Some(r) {
            fill(&mut self.rows[r % N]);
            self.holds[r % N] = Some(r);
        }
    }

    /// Row `r`, which [`RowRing::ensure`] was called for.
    pub fn row(&self, r: usize) -> &[T] {
        debug_assert_eq!(self.holds[r % N], Some(r));
        &self.rows[r % N]
    }
}

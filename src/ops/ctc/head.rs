//! The dense layer in front of the decoder, for recognisers whose engine stops at its input: class scores of a block of
//! steps at a time, and the largest of each step, found while the sums are in registers: of most steps the decoder wants no more.
//! As a tensor they would be many megabytes a line, written and read once.
//!
//! Sums are in f32, with fused multiply-adds where the processor has them: results differ between processors by rounding, as
//! those of any engine do.

use super::cpu::larger;
use super::simd::{self, Kernel};

/// Steps that are computed together: their scores fit a second-level cache.
const BLOCK: usize = 24;
/// Steps that one turn of the innermost loop computes together.
pub(super) const ROWS: usize = 6;

/// The layer, laid out for the processor at hand.
pub struct Head {
    kernel: Kernel,
    features: usize,
    classes: usize,
    /// Per panel of some columns the weights of these, feature by feature; columns past the last class weigh nothing.
    panels: Vec<f32>,
    /// One per column, -inf past the last class.
    bias: Vec<f32>,
}

/// Buffers of one thread.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Groups of [`ROWS`] steps, feature by feature.
    steps: Vec<[f32; ROWS]>,
    scores: Vec<f32>,
    /// Per group and step of it the largest score so far of each column of a panel.
    largest: Vec<f32>,
}

/// What the layer says of one step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'s> {
    /// Scores before the softmax, one per class.
    pub scores: &'s [f32],
    /// The largest of them that is a number; -inf when none is.
    pub largest: f32,
}

impl Head {
    /// The layer with these `weights`, a row of `bias.len()` values for each feature.
    pub fn new(weights: &[f32], bias: &[f32]) -> Self {
        Self::with_kernel(weights, bias, Kernel::detect())
    }

    fn with_kernel(weights: &[f32], bias: &[f32], kernel: Kernel) -> Self {
        let (classes, width) = (bias.len(), kernel.columns());
        let features = weights.len() / classes.max(1);
        let columns = classes.next_multiple_of(width);
        let mut panels = vec![0.0; features * columns];
        for (panel, first) in panels.chunks_exact_mut((features * width).max(1)).zip((0..).step_by(width)) {
            for (to, row) in panel.chunks_exact_mut(width).zip(weights.chunks_exact(classes)) {
                let row = &row[first..classes.min(first + width)];
                to[..row.len()].copy_from_slice(row);
            }
        }
        let bias = bias.iter().copied().chain(std::iter::repeat(f32::NEG_INFINITY)).take(columns).collect();
        Self { kernel, features, classes, panels, bias }
    }

    /// Values per step that go in.
    pub fn features(&self) -> usize {
        self.features
    }

    /// Scores per step that come out.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// `steps`, rows of [`features`](Self::features) values, in blocks for [`scores`](Self::scores).
    pub fn blocks<'a>(&self, steps: &'a [f32]) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        steps.chunks((BLOCK * self.features).max(1))
    }

    /// The steps of a block.
    pub fn scores<'s>(&self, block: &[f32], scratch: &'s mut Scratch) -> impl Iterator<Item = Step<'s>> + use<'s> {
        let rows = block.len() / self.features.max(1);
        let (columns, groups) = (self.bias.len(), rows.div_ceil(ROWS));
        scratch.steps.resize(groups * self.features, [0.0; ROWS]);
        for (n, step) in block.chunks_exact(self.features.max(1)).enumerate() {
            let group = &mut scratch.steps[n / ROWS * self.features..][..self.features];
            group.iter_mut().zip(step).for_each(|(to, &value)| to[n % ROWS] = value);
        }
        scratch.scores.resize((BLOCK * columns).max(groups * ROWS * columns), 0.0);
        let width = self.kernel.columns();
        scratch.largest.clear();
        scratch.largest.resize(groups * ROWS * width, f32::NEG_INFINITY);
        for (panel, first) in self.panels.chunks_exact((self.features * width).max(1)).zip((0..).step_by(width)) {
            let bias = &self.bias[first..first + width];
            let groups = scratch.steps.chunks_exact(self.features).zip(scratch.scores.chunks_exact_mut(ROWS * columns));
            for ((group, out), largest) in groups.zip(scratch.largest.chunks_exact_mut(ROWS * width)) {
                self.kernel.run(group, panel, bias, &mut out[first..], columns, largest);
            }
        }
        let classes = self.classes;
        let rows = scratch.scores.chunks(columns.max(1)).zip(scratch.largest.chunks(width)).take(rows);
        rows.map(move |(row, largest)| Step {
            scores: &row[..classes],
            largest: largest.iter().fold(f32::NEG_INFINITY, |a, &b| larger(a, b)),
        })
    }
}

/// The innermost loop for any processor; see [`Kernel::run`].
pub(super) fn portable(steps: &[[f32; ROWS]], panel: &[f32], bias: &[f32], out: &mut [f32], stride: usize, largest: &mut [f32]) {
    const COLUMNS: usize = simd::PORTABLE_COLUMNS;
    let mut sums = [[0.0; COLUMNS]; ROWS];
    sums.iter_mut().for_each(|row| row.copy_from_slice(bias));
    for (step, weights) in steps.iter().zip(panel.as_chunks::<COLUMNS>().0) {
        for (row, &x) in sums.iter_mut().zip(step) {
            row.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
        }
    }
    for ((out, row), largest) in out.chunks_mut(stride).zip(&sums).zip(largest.chunks_exact_mut(COLUMNS)) {
        out[..COLUMNS].copy_from_slice(row);
        largest.iter_mut().zip(row).for_each(|(a, &b)| *a = larger(*a, b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers from -1 to 1, others in each run; the seed is printed.
    fn noise() -> impl FnMut(usize) -> Vec<f32> {
        let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        eprintln!("seed {seed}");
        let mut state = seed;
        move |count| {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            };
            (0..count).map(|_| next()).collect()
        }
    }

    #[test]
    fn what_is_no_number_is_never_the_largest() {
        for kernel in Kernel::all() {
            let head = Head::with_kernel(&[1.0, 0.0, -1.0], &[0.5, f32::NAN, 0.0], kernel);
            let mut scratch = Scratch::default();
            let largest = |steps: &[f32], scratch: &mut Scratch| head.scores(steps, scratch).map(|s| s.largest).collect::<Vec<_>>();
            let found = largest(&[2.0, f32::NAN, -3.0], &mut scratch);
            assert_eq!(found, [2.5, f32::NEG_INFINITY, 3.0], "{kernel:?}");
            assert_eq!(largest(&[f32::NAN, 1.0], &mut scratch), [f32::NEG_INFINITY, 1.5], "{kernel:?}: nothing stays of a block before");
        }
    }

    #[test]
    fn scores_are_the_products_for_any_shape_on_any_processor() {
        let mut noise = noise();
        for (features, classes, steps) in [(120, 6625, 31), (1, 1, 1), (7, 15, 6), (64, 16, 24), (33, 33, 25), (120, 97, 48), (5, 64, 0)] {
            let (weights, bias, input) = (noise(features * classes), noise(classes), noise(features * steps));
            for kernel in Kernel::all() {
                let head = Head::with_kernel(&weights, &bias, kernel);
                let mut scratch = Scratch::default();
                let mut found = Vec::new();
                for block in head.blocks(&input) {
                    for step in head.scores(block, &mut scratch) {
                        let largest = step.scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                        assert_eq!(step.largest, largest, "{kernel:?}, {features} x {classes}");
                        found.extend_from_slice(step.scores);
                    }
                }
                assert_eq!(found.len(), steps * classes);
                for (n, found) in found.iter().enumerate() {
                    let (step, class) = (n / classes, n % classes);
                    let product = |k: usize| f64::from(input[step * features + k]) * f64::from(weights[k * classes + class]);
                    let expected = f64::from(bias[class]) + (0..features).map(product).sum::<f64>();
                    let magnitude = f64::from(bias[class].abs()) + (0..features).map(|k| product(k).abs()).sum::<f64>();
                    // What a sum in f32 of this many terms may lose in any order.
                    let bound = (features + 1) as f64 * f64::from(f32::EPSILON) * magnitude;
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error <= bound, "{kernel:?}, {features} x {classes}: step {step}, class {class}: {found}, not {expected}");
                }
            }
        }
    }
}

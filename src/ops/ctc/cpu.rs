//! The definition on the CPU. Loops are written so that the compiler vectorises them, for the widest vectors at hand: the search for
//! the largest score by [`Isa::run`], the exponentials, which gain from fused multiply-adds, by `simd.rs`.

use super::head::Step;
use super::simd::sum_of_exp;
use super::{BLANK, Decoded, ScoreKind};
use crate::ops::simd::Isa;

/// Scores looked at together; the winner is searched for only in the block that holds it.
const BLOCK: usize = 256;
const LANES: usize = 16;

/// Greedy decoding of one sequence.
///
/// `scores` holds `steps` rows of `classes` values. Per step the class of the largest value counts, of equal ones
/// the first (as NumPy's `argmax`); it is kept unless it is the blank or repeats the step before. A value that is
/// no number is never the largest. Steps missing at the end of `scores` are not decoded.
pub fn decode(scores: &[f32], steps: usize, classes: usize, kind: ScoreKind) -> Decoded {
    debug_assert_eq!(scores.len(), steps * classes);
    let mut greedy = Greedy::new(kind);
    scores.chunks_exact(classes.max(1)).take(steps).for_each(|row| greedy.step(row));
    greedy.finish()
}

/// [`decode`] of a sequence that comes step by step.
#[derive(Debug)]
pub struct Greedy {
    kind: ScoreKind,
    isa: Isa,
    classes: Vec<u32>,
    sum: f64,
    before: u32,
}

impl Greedy {
    /// Before the first step.
    pub fn new(kind: ScoreKind) -> Self {
        Self { kind, isa: Isa::detect(), classes: Vec::new(), sum: 0.0, before: BLANK }
    }

    /// Takes in the scores of one step.
    pub fn step(&mut self, scores: &[f32]) {
        let (class, largest) = self.isa.run(|| argmax(scores));
        self.take(class, scores, largest);
    }

    /// [`step`](Self::step) where the largest score is known.
    pub fn step_of(&mut self, Step { scores, largest }: Step<'_>) {
        let class = if largest == f32::NEG_INFINITY { BLANK } else { self.isa.run(|| first(scores, largest)) };
        self.take(class, scores, largest);
    }

    fn take(&mut self, class: u32, scores: &[f32], largest: f32) {
        if class != self.before && class != BLANK {
            self.classes.push(class);
            self.sum += match self.kind {
                ScoreKind::Probabilities => f64::from(largest),
                ScoreKind::Logits => 1.0 / sum_of_exp(scores, largest),
            };
        }
        self.before = class;
    }

    /// What the steps say; the next step begins another sequence.
    pub fn finish(&mut self) -> Decoded {
        let Self { classes, sum, .. } = std::mem::replace(self, Self::new(self.kind));
        let score = if classes.is_empty() { 0.0 } else { (sum / classes.len() as f64) as f32 };
        Decoded { classes, score }
    }
}

/// Index and value of the largest score; (0, -inf) when none is a number above -inf.
#[inline(always)]
fn argmax(row: &[f32]) -> (u32, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (number, block) in row.chunks(BLOCK).enumerate() {
        let largest = max(block);
        if largest > best.1 {
            best = (number, largest);
        }
    }
    let (number, largest) = best;
    if largest == f32::NEG_INFINITY {
        return (0, largest);
    }
    let from = number * BLOCK;
    (from as u32 + first(&row[from..], largest), largest)
}

/// Index of the first score that is `value`; 0 when none is.
#[inline(always)]
fn first(row: &[f32], value: f32) -> u32 {
    // Without a way out of a block it is vector code.
    let found = |block: &[f32]| block.iter().fold(false, |found, &v| found | (v == value));
    let from = row.chunks(LANES).position(found).unwrap_or(0) * LANES;
    let within = row[from.min(row.len())..].iter().position(|&v| v == value);
    within.map_or(0, |within| (from + within) as u32)
}

/// The larger, `a` when `b` is no number.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

#[inline(always)]
fn max(block: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let mut rows = block.chunks_exact(LANES);
    for row in &mut rows {
        for (lane, &v) in lanes.iter_mut().zip(row) {
            *lane = larger(*lane, v);
        }
    }
    // One after the other they would wait for each other.
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] = larger(lanes[lane], lanes[lane + half]);
        }
    }
    rows.remainder().iter().fold(lanes[0], |a, &b| larger(a, b))
}

/// Denominator of the softmax of the largest score: the sum of exp(v - largest), at least 1; with fused multiply-adds
/// where `FMA`. Always inlined, and without closures, so that `simd.rs` compiles all of it for its vectors.
#[inline(always)]
pub(super) fn sum_of_exp_inline<const FMA: bool>(row: &[f32], largest: f32) -> f64 {
    let mut sum = 0.0;
    // In f32 only over a block, so that thousands of small terms are not rounded away.
    for block in row.chunks(BLOCK) {
        let mut lanes = [0.0; LANES];
        let mut rows = block.chunks_exact(LANES);
        for row in &mut rows {
            for (lane, &v) in lanes.iter_mut().zip(row) {
                *lane += exp::<FMA>(v - largest);
            }
        }
        for (lane, &v) in lanes.iter_mut().zip(rows.remainder()) {
            *lane += exp::<FMA>(v - largest);
        }
        for lane in lanes {
            sum += f64::from(lane);
        }
    }
    sum.max(1.0)
}

/// e to the power of `x` for `x` of at most 0, within 3e-7 and 1e-7 for each unit of `x`, relative; below -87 and for what is no
/// number as good as 0.
///
/// 2^n times a minimax polynomial of 2^f with |f| up to 1/2, without branches and calls.
#[inline(always)]
fn exp<const FMA: bool>(x: f32) -> f32 {
    /// Added to a small float, leaves its nearest integer in the low bits of the mantissa.
    const ROUNDER: f32 = 12_582_912.0;
    let x = if x > -87.0 { x } else { -87.0 };
    let shifted = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUNDER);
    let f = multiply_add::<FMA>(x, std::f32::consts::LOG2_E, ROUNDER - shifted);
    let mut power = 1.326_472_7e-3;
    for coefficient in [9.671_513e-3, 5.550_733_6e-2, 0.240_222_42, std::f32::consts::LN_2, 1.0] {
        power = multiply_add::<FMA>(power, f, coefficient);
    }
    power * f32::from_bits(shifted.to_bits().wrapping_add(127) << 23)
}

/// `a * b + c`. Fused only where the processor does it in one step: elsewhere that is a call.
#[inline(always)]
fn multiply_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_and_blanks_are_dropped_and_the_rest_averaged() {
        // Arg-max per step: 1 1 blank 1 2 2 blank.
        let best = [(1, 0.9), (1, 0.8), (0, 0.7), (1, 0.6), (2, 0.5), (2, 0.9), (0, 0.9)];
        let mut scores = vec![0.01; best.len() * 3];
        for (step, (class, p)) in best.into_iter().enumerate() {
            scores[step * 3 + class] = p;
        }
        let decoded = decode(&scores, best.len(), 3, ScoreKind::Probabilities);
        assert_eq!(decoded.classes, [1, 1, 2]);
        assert!((decoded.score - (0.9 + 0.6 + 0.5) / 3.0).abs() < 1e-6);
        assert_eq!(decode(&[], 0, 3, ScoreKind::Logits), Decoded { classes: vec![], score: 0.0 });
        assert_eq!(decode(&[], 0, 0, ScoreKind::Probabilities).classes, [0u32; 0]);
        assert_eq!(decode(&[0.9, 0.1], 1, 2, ScoreKind::Logits), Decoded { classes: vec![], score: 0.0 });
    }

    #[test]
    fn argmax_takes_the_first_of_equals_anywhere() {
        for classes in [1, 2, 15, 16, 17, 255, 256, 257, 6625] {
            for at in [0, 1, classes / 2, classes - 1] {
                let mut row = vec![-3.0; classes];
                row[at.min(classes - 1)..].fill(-1.0);
                assert_eq!(argmax(&row), (at.min(classes - 1) as u32, -1.0), "{at} of {classes}");
            }
        }
    }

    #[test]
    fn a_step_whose_largest_is_known_is_decoded_as_any_other() {
        let (nan, inf) = (f32::NAN, f32::INFINITY);
        let mut rows = vec![vec![nan; 40], vec![-inf; 40], vec![-0.0; 40], [vec![0.5; 20], vec![nan; 300]].concat()];
        for at in [0, 1, 15, 16, 17, 255, 256, 299] {
            let mut row = vec![-1.0; 300];
            row[at] = 2.0;
            row[299] = 2.0;
            row[(at + 7) % 300] = nan;
            rows.push(row);
        }
        for kind in [ScoreKind::Probabilities, ScoreKind::Logits] {
            let (mut looked, mut told) = (Greedy::new(kind), Greedy::new(kind));
            for scores in &rows {
                looked.step(scores);
                told.step_of(Step { scores, largest: scores.iter().fold(-inf, |a, &b| larger(a, b)) });
            }
            assert_eq!(told.finish(), looked.finish());
        }
    }

    #[test]
    fn what_is_no_number_never_wins() {
        let nan = f32::NAN;
        assert_eq!(argmax(&[nan, 0.1, nan, 0.3]), (3, 0.3));
        assert_eq!(argmax(&[nan; 300]), (0, f32::NEG_INFINITY));
        assert_eq!(argmax(&[nan, f32::NEG_INFINITY]), (0, f32::NEG_INFINITY));
        for kind in [ScoreKind::Probabilities, ScoreKind::Logits] {
            assert_eq!(decode(&[nan; 30], 3, 10, kind).classes, [0u32; 0]);
            assert!(decode(&[0.1, f32::INFINITY, nan, 0.2, -f32::INFINITY, nan], 2, 3, kind).classes.len() == 1);
        }
    }

    #[test]
    fn exp_is_exact_to_a_few_ulps() {
        for i in 0..=870_000 {
            let x = -1e-4 * i as f32;
            let (exact, bound) = (f64::from(x).exp(), 3e-7 - 1e-7 * f64::from(x));
            for found in [exp::<false>(x), exp::<true>(x)] {
                assert!((f64::from(found) - exact).abs() <= bound * exact, "{x}: {found}");
            }
        }
        assert!(exp::<false>(-1e30) < 1e-37 && exp::<false>(f32::NAN) < 1e-37 && exp::<false>(f32::NEG_INFINITY) < 1e-37);
        assert_eq!((exp::<false>(0.0), exp::<true>(0.0)), (1.0, 1.0));
    }
}

//! `kernels/ctc.cu` against `ops/ctc/cpu.rs`: classes are equal, scores within the stated tolerance.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::ops::ctc::cuda::{self, Batch, SCORE_TOLERANCE, Scratch};
use hpinfer::ops::ctc::{Decoded, ScoreKind, cpu};

fn decode(queue: &TestQueue, scores: &[f32], batch: Batch, kind: ScoreKind) -> Vec<Decoded> {
    let rows = batch.sequences * batch.steps;
    let (mut best, mut value) = (Memory::new(rows), Memory::new(rows));
    let (scores, mut out) = (Memory::of(scores), Memory::new(batch.sequences * batch.row()));
    let mut scratch = Scratch { best: best.slice_mut(), value: value.slice_mut() };
    cuda::decode(queue, scores.slice(), batch, kind, &mut scratch, &mut out.slice_mut()).unwrap();
    best.read();
    value.read();
    cuda::read(out.read(), batch).unwrap()
}

fn compare(queue: &TestQueue, scores: &[f32], batch: Batch, kind: ScoreKind) -> usize {
    let found = decode(queue, scores, batch, kind);
    for (n, found) in found.iter().enumerate() {
        let sequence = &scores[n * batch.steps * batch.classes..][..batch.steps * batch.classes];
        let expected = cpu::decode(sequence, batch.steps, batch.classes, kind);
        assert_eq!(found.classes, expected.classes, "sequence {n} of {batch:?}");
        let gap = (found.score - expected.score).abs();
        assert!(gap <= SCORE_TOLERANCE || found.score.is_nan() && expected.score.is_nan(), "{kind:?} {batch:?}: {found:?}, {expected:?}");
    }
    found.iter().map(|d| d.classes.len()).sum()
}

#[test]
fn ctc_equals_the_cpu_form() {
    let mut random = Random::fresh("ctc");
    let queue = TestQueue::new(random.next());
    let mut kept = 0;
    for _ in 0..40 {
        let batch = Batch {
            sequences: random.within(1..=4) as usize,
            steps: random.within(1..=40) as usize,
            classes: [1, 2, 7, 97, 300, 1000][random.below(6) as usize],
        };
        let mut scores: Vec<f32> = (0..batch.sequences * batch.steps * batch.classes).map(|_| random.unit() * 4.0).collect();
        // Few winners, so that steps repeat; some of them twice, so that the first counts.
        for row in scores.chunks_mut(batch.classes) {
            for _ in 0..random.within(1..=2) {
                let winner = random.below(batch.classes.min(4) as u32) as usize;
                row[winner] = 9.0;
            }
        }
        kept += compare(&queue, &scores, batch, ScoreKind::Logits);
        scores.iter_mut().for_each(|v| *v /= 9.0);
        kept += compare(&queue, &scores, batch, ScoreKind::Probabilities);
    }
    let batch = Batch { sequences: 2, steps: 300, classes: 33 };
    let scores: Vec<f32> = (0..2 * 300 * 33).map(|_| random.unit()).collect();
    kept += compare(&queue, &scores, batch, ScoreKind::Probabilities);
    let batch = Batch { sequences: 1, steps: 12, classes: 6625 };
    let scores: Vec<f32> = (0..12 * 6625).map(|_| random.unit() * 12.0).collect();
    kept += compare(&queue, &scores, batch, ScoreKind::Logits);
    assert!(kept > 500, "{kept}");
}

#[test]
fn what_is_no_number_never_wins() {
    let queue = TestQueue::new(3);
    let (nan, inf) = (f32::NAN, f32::INFINITY);
    let batch = Batch { sequences: 1, steps: 4, classes: 3 };
    let scores = [nan, nan, nan, nan, 0.2, 0.9, nan, -inf, -inf, 0.1, nan, 0.3];
    for kind in [ScoreKind::Logits, ScoreKind::Probabilities] {
        assert_eq!(compare(&queue, &scores, batch, kind), 2);
    }
    assert_eq!(decode(&queue, &[], Batch { sequences: 2, steps: 0, classes: 5 }, ScoreKind::Logits)[1].classes, [0u32; 0]);
    assert_eq!(decode(&queue, &[], Batch { sequences: 0, steps: 7, classes: 5 }, ScoreKind::Logits), []);
    assert!(cuda::read(&[9, 0, 1], Batch { sequences: 1, steps: 1, classes: 5 }).is_err());
}

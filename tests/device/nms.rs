//! `kernels/nms.cu` against `ops/nms/cpu.rs`, which equals Paddle on the fixtures of `parity_detect`: rows are equal.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::ops::nms::cuda::{self, Batch, Classes, Scratch};
use hpinfer::ops::nms::{Candidates, Kept, NmsParams, cpu};

fn suppress(queue: &TestQueue, boxes: &[[f32; 4]], scores: &[f32], batch: Batch, params: &NmsParams) -> Vec<Vec<Kept>> {
    let (mut keys, mut counts, mut best) = (Memory::new(batch.keys()), Memory::new(batch.counts()), Memory::new(batch.best()));
    let (boxes, scores, mut out) = (Memory::of(boxes), Memory::of(scores), Memory::new(batch.pictures * batch.stride(params)));
    let mut scratch = Scratch { keys: keys.slice_mut(), counts: counts.slice_mut(), best: best.slice_mut() };
    cuda::suppress(queue, boxes.slice(), scores.slice(), batch, params, &mut scratch, &mut out.slice_mut()).unwrap();
    keys.read();
    counts.read();
    best.read();
    cuda::read(out.read(), batch, params).unwrap()
}

fn compare(random: &mut Random, queue: &TestQueue, pictures: usize, classes: usize, anchors: usize) -> usize {
    let (extent, side, least) = (random.unit() * 400.0, 1.0 + random.unit() * 200.0, [0.0, 0.2][random.below(2) as usize]);
    let boxes: Vec<[f32; 4]> = (0..pictures * anchors)
        .map(|_| {
            let (x, y) = (random.unit() * extent, random.unit() * extent);
            [x, y, x + (random.unit() - least) * side, y + (random.unit() - least) * side]
        })
        .collect();
    let levels = [0.0, 5.0, 100.0][random.below(3) as usize];
    let scores: Vec<f32> = (0..pictures * classes * anchors)
        .map(|_| match random.unit() {
            u if random.below(200) == 0 => [f32::NAN, -0.0, f32::INFINITY, -u][random.below(4) as usize],
            u if levels > 0.0 => (u * levels).floor() / levels,
            u => u,
        })
        .collect();
    let params = NmsParams {
        // Scores in steps may be those of the threshold.
        score_threshold: if levels > 0.0 { (random.unit() * 0.8 * levels).floor() / levels } else { random.unit() * 0.8 },
        nms_threshold: [0.0, 0.3, 0.7][random.below(3) as usize],
        nms_top_k: [1, 40, 1000, usize::MAX][random.below(4) as usize],
        keep_top_k: [1, 10, 100, usize::MAX][random.below(4) as usize],
    };
    let mut rows = 0;
    for mode in [Classes::Apart, Classes::Together] {
        let batch = Batch { pictures, classes, anchors, mode };
        for (n, found) in suppress(queue, &boxes, &scores, batch, &params).into_iter().enumerate() {
            let candidates =
                Candidates { boxes: &boxes[n * anchors..][..anchors], scores: &scores[n * classes * anchors..][..classes * anchors] };
            let expected = match mode {
                Classes::Apart => cpu::multiclass(candidates, &params),
                Classes::Together => cpu::class_agnostic(candidates, &params),
            }
            .unwrap();
            assert_eq!(found, expected, "picture {n} of {batch:?}, {params:?}");
            rows += found.len();
        }
    }
    rows
}

#[test]
fn nms_equals_the_cpu_form() {
    let mut random = Random::fresh("nms");
    let queue = TestQueue::new(random.next());
    let mut rows = 0;
    for _ in 0..40 {
        let (pictures, classes, anchors) = (random.within(1..=3), random.within(1..=9), random.within(1..=300));
        rows += compare(&mut random, &queue, pictures as usize, classes as usize, anchors as usize);
    }
    for (classes, anchors) in [(1, 1), (1, 32), (1, 33), (3, 64), (80, 40), (2, 1500)] {
        rows += compare(&mut random, &queue, 1, classes, anchors);
    }
    assert!(rows > 500, "{rows}");
}

#[test]
fn nothing_gives_no_rows_and_misfits_are_answered() {
    let queue = TestQueue::new(1);
    let params = NmsParams { score_threshold: 0.1, nms_threshold: 0.5, nms_top_k: 10, keep_top_k: 10 };
    for (pictures, classes, anchors) in [(0, 3, 4), (2, 0, 4), (2, 3, 0)] {
        let batch = Batch { pictures, classes, anchors, mode: Classes::Apart };
        let boxes = vec![[0.0; 4]; pictures * anchors];
        assert_eq!(suppress(&queue, &boxes, &[], batch, &params), vec![vec![]; pictures]);
    }
    let batch = Batch { pictures: 1, classes: 2, anchors: 1, mode: Classes::Together };
    assert!(cuda::read(&[11; 15], batch, &params).is_err());
    assert!(cuda::read(&[0; 3], batch, &params).is_err());
}

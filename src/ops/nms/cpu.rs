//! The definition on the CPU.

use super::{Candidates, Kept, NmsParams};
use crate::error::{Error, Result};
use std::cmp::Ordering;

/// Greedy suppression class by class. Rows come by class, ascending, and by score, descending, inside a class;
/// boxes of equal score keep the order of their anchors.
///
/// # Errors
/// [`Error::Internal`] when the scores are not whole rows of one score per box.
pub fn multiclass(candidates: Candidates, params: &NmsParams) -> Result<Vec<Kept>> {
    let anchors = check(candidates)?;
    let mut kept = Vec::new();
    let mut ranked = Vec::new();
    for (class, scores) in candidates.scores.chunks_exact(anchors.max(1)).enumerate() {
        ranked.clear();
        ranked.extend(scores.iter().enumerate().map(|(anchor, &score)| row(candidates, class, anchor, score)));
        suppress(&mut ranked, params, &mut kept);
    }
    if kept.len() > params.keep_top_k {
        kept.sort_by(better);
        kept.truncate(params.keep_top_k);
        // Stable, so that scores stay in descending order inside each class.
        kept.sort_by_key(|k| k.class);
    }
    Ok(kept)
}

/// Greedy suppression of all boxes together. A box counts with its best class, of equal ones the first. Rows come by
/// score, descending; boxes of equal score keep the order of their anchors.
///
/// # Errors
/// [`Error::Internal`] when the scores are not whole rows of one score per box.
pub fn class_agnostic(candidates: Candidates, params: &NmsParams) -> Result<Vec<Kept>> {
    let anchors = check(candidates)?;
    let mut ranked: Vec<Kept> = (0..anchors).map(|anchor| row(candidates, 0, anchor, f32::NAN)).collect();
    for (class, scores) in candidates.scores.chunks_exact(anchors.max(1)).enumerate() {
        for (best, &score) in ranked.iter_mut().zip(scores) {
            if score > best.score || best.score.is_nan() && !score.is_nan() {
                (best.class, best.score) = (class as u32, score);
            }
        }
    }
    let mut kept = Vec::new();
    suppress(&mut ranked, params, &mut kept);
    kept.truncate(params.keep_top_k);
    Ok(kept)
}

/// The number of boxes, when the scores fit it.
fn check(Candidates { boxes, scores }: Candidates) -> Result<usize> {
    let fits = if boxes.is_empty() { scores.is_empty() } else { scores.len().is_multiple_of(boxes.len()) };
    if fits {
        Ok(boxes.len())
    } else {
        Err(Error::internal("non-maximum suppression", format!("{} scores for {} boxes", scores.len(), boxes.len())))
    }
}

fn row(candidates: Candidates, class: usize, anchor: usize, score: f32) -> Kept {
    Kept { class: class as u32, anchor: anchor as u32, score, rect: candidates.boxes[anchor] }
}

/// Adds to `kept` the boxes of `ranked` that stay, the best first. A score that is no number is below every threshold.
fn suppress(ranked: &mut Vec<Kept>, params: &NmsParams, kept: &mut Vec<Kept>) {
    ranked.retain(|candidate| candidate.score > params.score_threshold);
    ranked.sort_by(better);
    ranked.truncate(params.nms_top_k);
    let before = kept.len();
    for candidate in &*ranked {
        // Written so that an overlap that is no number (two boxes without area) suppresses, as in Paddle.
        if kept[before..].iter().all(|better| overlap(&candidate.rect, &better.rect) <= params.nms_threshold) {
            kept.push(*candidate);
        }
    }
}

fn better(a: &Kept, b: &Kept) -> Ordering {
    b.score.partial_cmp(&a.score).unwrap_or(Ordering::Equal)
}

/// Intersection over union.
fn overlap(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    if b[0] > a[2] || b[2] < a[0] || b[1] > a[3] || b[3] < a[1] {
        return 0.0;
    }
    // Spelled out: `f32::min` may not be told apart from other orders of operands where a side is no number.
    let larger = |p: f32, q: f32| if p < q { q } else { p };
    let smaller = |p: f32, q: f32| if q < p { q } else { p };
    let width = smaller(a[2], b[2]) - larger(a[0], b[0]);
    let height = smaller(a[3], b[3]) - larger(a[1], b[1]);
    let inter = width * height;
    inter / (area(a) + area(b) - inter)
}

fn area(r: &[f32; 4]) -> f32 {
    if r[2] < r[0] || r[3] < r[1] { 0.0 } else { (r[2] - r[0]) * (r[3] - r[1]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARAMS: NmsParams = NmsParams { score_threshold: 0.1, nms_threshold: 0.5, nms_top_k: 100, keep_top_k: 100 };
    const BOXES: [[f32; 4]; 4] = [[0., 0., 10., 10.], [0., 0., 10., 8.], [20., 20., 30., 30.], [21., 20., 31., 30.]];

    fn pairs(kept: &[Kept]) -> Vec<(u32, u32)> {
        kept.iter().map(|k| (k.class, k.anchor)).collect()
    }

    #[test]
    fn the_better_of_two_that_overlap_stays_in_each_class() {
        let scores = [0.9, 0.8, 0.2, 0.3, 0.1, 0.7, f32::NAN, 0.2];
        let candidates = Candidates { boxes: &BOXES, scores: &scores };
        assert_eq!(pairs(&multiclass(candidates, &PARAMS).unwrap()), [(0, 0), (0, 3), (1, 1), (1, 3)]);
        assert_eq!(pairs(&class_agnostic(candidates, &PARAMS).unwrap()), [(0, 0), (0, 3)]);
        let best = NmsParams { keep_top_k: 2, ..PARAMS };
        assert_eq!(pairs(&multiclass(candidates, &best).unwrap()), [(0, 0), (1, 1)]);
        let first = NmsParams { nms_top_k: 1, ..PARAMS };
        assert_eq!(pairs(&multiclass(candidates, &first).unwrap()), [(0, 0), (1, 1)]);
    }

    #[test]
    fn equal_scores_keep_the_order_of_anchors() {
        let candidates = Candidates { boxes: &BOXES, scores: &[0.5; 4] };
        assert_eq!(pairs(&multiclass(candidates, &PARAMS).unwrap()), [(0, 0), (0, 2)]);
    }

    #[test]
    fn nothing_and_misfits_are_answered() {
        assert_eq!(multiclass(Candidates { boxes: &[], scores: &[] }, &PARAMS).unwrap(), []);
        assert_eq!(class_agnostic(Candidates { boxes: &BOXES, scores: &[] }, &PARAMS).unwrap(), []);
        assert_eq!(multiclass(Candidates { boxes: &BOXES, scores: &[f32::NAN; 8] }, &PARAMS).unwrap(), []);
        let error = multiclass(Candidates { boxes: &BOXES, scores: &[0.5; 6] }, &PARAMS).unwrap_err().to_string();
        assert!(error.contains("6 scores for 4 boxes"), "{error}");
    }
}

//! Which items share a run of a network: equal widths only, bounded by count and by cost; or, as PaddleX 3.x has it,
//! neighbours in aspect ratio, padded to the widest of them.

use serde::{Deserialize, Serialize};

/// Inputs are never wider than this in PaddleX 3.x; wider lines are squeezed.
const WIDEST_PX: u32 = 3200;

/// Limits of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Most items in a batch.
    pub items: usize,
    /// Most columns in a batch: items times width, the measure of work and memory of a line recogniser.
    pub cost: usize,
}

/// How lines become as wide as the others of their run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Padding {
    /// Not at all: only lines of one width share a run. A text depends on nothing but its line.
    #[default]
    #[value(help = "Lines of one width share a run; nothing is padded")]
    Own,
    /// As PaddleX 3.x: the lines of a picture by aspect ratio, so many a run, each padded to the widest of its run.
    /// Some texts change with their neighbours.
    #[value(help = "Every line is padded to the widest of its run, as in PaddleX 3.x")]
    Widest,
}

/// Items of one width that share a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Common width in pixels.
    pub width: u32,
    /// Indices of the items.
    pub items: Vec<usize>,
}

impl Batch {
    fn cost(&self) -> usize {
        self.items.len() * self.width as usize
    }

    /// The same in batches of at most `most` items.
    pub fn in_parts(&self, most: usize) -> impl Iterator<Item = Self> {
        self.items.chunks(most.max(1)).map(|items| Self { width: self.width, items: items.to_vec() })
    }
}

/// Groups items of these `widths` into batches of one width within `limits` (a lone item may exceed the cost),
/// dearest batch first, so that workers that draw from the list finish together. Within a batch and among
/// batches of one cost the order of the items is kept.
pub fn plan(widths: &[u32], limits: BatchLimits) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..widths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(widths[i])); // stable: keeps item order within a width
    let mut batches: Vec<Batch> = Vec::new();
    for i in order {
        let width = widths[i];
        let most = (limits.cost / (width as usize).max(1)).clamp(1, limits.items.max(1));
        match batches.last_mut() {
            Some(b) if b.width == width && b.items.len() < most => b.items.push(i),
            _ => batches.push(Batch { width, items: vec![i] }),
        }
    }
    batches.sort_by_key(|b| std::cmp::Reverse(b.cost()));
    batches
}

/// Groups the lines of one picture as PaddleX 3.x does: sorted by aspect ratio (`ratios`: width / height, stable), `items`
/// a batch, which is as wide as the widest of `widths` in it, at most 3200.
pub fn plan_padded(ratios: &[f64], widths: &[u32], items: usize) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..ratios.len()).collect();
    order.sort_by(|&a, &b| ratios[a].total_cmp(&ratios[b]));
    let batch =
        |items: &[usize]| Batch { width: items.iter().map(|&i| widths[i]).max().unwrap_or(0).min(WIDEST_PX), items: items.to_vec() };
    order.chunks(items.max(1)).map(batch).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_widths_share_a_batch_within_the_limits() {
        let limits = BatchLimits { items: 3, cost: 700 };
        let plan = plan(&[320, 400, 320, 320, 900], limits);
        let shape: Vec<_> = plan.iter().map(|b| (b.width, b.items.clone())).collect();
        assert_eq!(shape, [(900, vec![4]), (320, vec![0, 2]), (400, vec![1]), (320, vec![3])]);
    }

    #[test]
    fn padded_batches_hold_neighbours_in_aspect_ratio() {
        let plan = plan_padded(&[7.0, 2.0, 80.0, 2.0, 9.5], &[336, 320, 3840, 320, 456], 2);
        let shape: Vec<_> = plan.iter().map(|b| (b.width, b.items.clone())).collect();
        assert_eq!(shape, [(320, vec![1, 3]), (456, vec![0, 4]), (3200, vec![2])]);
    }

    proptest! {
        #[test]
        fn every_item_lands_in_one_batch_of_its_width(
            widths in proptest::collection::vec(prop_oneof![Just(320u32), 320u32..330, 1u32..4000], 0..60),
            items in 0usize..8,
            cost in 0usize..4000,
        ) {
            let plan = plan(&widths, BatchLimits { items, cost });
            let mut seen: Vec<usize> = plan.iter().flat_map(|b| b.items.clone()).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..widths.len()).collect::<Vec<_>>());
            for b in &plan {
                prop_assert!(b.items.iter().all(|&i| widths[i] == b.width));
                prop_assert!(b.items.len() == 1 || (b.items.len() <= items && b.cost() <= cost));
            }
            prop_assert!(plan.windows(2).all(|w| w[0].cost() >= w[1].cost()));
        }
    }
}

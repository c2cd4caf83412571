//! Summaries of samples.

/// The value below which `percent` (0..100) of the samples lie, by linear interpolation between the two nearest
/// ranks, as NumPy's default; 0 for no samples.
pub fn percentile(samples: &[f64], percent: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let rank = last as f64 * percent.clamp(0.0, 100.0) / 100.0;
    let (below, above) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    below + (above - below) * rank.fract()
}

/// The middle sample, or the mean of the middle two; 0 for no samples.
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 50.0)
}

/// The geometric mean of positive samples: every picture counts the same, whatever its size; 0 for no samples.
pub fn geometric_mean(samples: &[f64]) -> f64 {
    if samples.is_empty() { 0.0 } else { (samples.iter().map(|s| s.ln()).sum::<f64>() / samples.len() as f64).exp() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `numpy.percentile([7, 1, 4, 2], p)`, NumPy 2.
    #[test]
    fn percentiles_are_those_of_numpy() {
        let samples = [7.0, 1.0, 4.0, 2.0];
        for (percent, expected) in [(0.0, 1.0), (25.0, 1.75), (50.0, 3.0), (90.0, 6.1), (95.0, 6.55), (99.0, 6.91), (100.0, 7.0)] {
            let found = percentile(&samples, percent);
            assert!((found - expected).abs() < 1e-12, "p{percent}: {found}, expected {expected}");
        }
        assert_eq!(percentile(&[3.5], 99.0), 3.5);
        assert_eq!(percentile(&[], 50.0), 0.0);
        assert_eq!(median(&[5.0, 1.0, 2.0]), 2.0);
    }

    #[test]
    fn geometric_mean_of_known_numbers() {
        assert!((geometric_mean(&[1.0, 8.0, 27.0]) - 6.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), 0.0);
    }

    proptest! {
        #[test]
        fn percentiles_grow_and_stay_within_the_samples(samples in proptest::collection::vec(0.0f64..1e6, 1..40), a in 0.0f64..100.0, b in 0.0f64..100.0) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(percentile(&samples, low) <= percentile(&samples, high) + 1e-9);
            let least = samples.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(percentile(&samples, low) >= least);
        }
    }
}

//! Rows of detectors: class, score, x1, y1, x2, y2. Boxes with nearly equal scores may swap places or drop out at the cut
//! when sums are rounded in another order, so rows are paired by what they say.

/// Columns of a row.
pub const COLUMNS: usize = 6;

/// Most that the scores of a pair differ.
const SCORE: f32 = 0.002;

/// Most pixels that the sides of a pair differ, for boxes of a picture's size.
const BOX_PX: f32 = 1.0;

/// Most that the sides of a pair differ as part of their distance from the origin, for boxes far outside of any picture,
/// which networks with random weights make: float32 arithmetic ends there.
const BOX_RELATIVE: f32 = 1e-3;

/// Pairs each reference row with the nearest row of the same class, score and box that has no partner yet. Returns the
/// index of the partner for every reference row.
pub fn pair(reference: &[f32], other: &[f32]) -> Vec<Option<usize>> {
    let others: Vec<&[f32]> = other.chunks_exact(COLUMNS).collect();
    let mut taken = vec![false; others.len()];
    let partner = |row: &[f32]| {
        let free = others.iter().enumerate().filter(|(i, o)| !taken[*i] && alike(row, o));
        let best = free.map(|(i, o)| (i, distance(row, o))).min_by(|a, b| a.1.total_cmp(&b.1))?.0;
        taken[best] = true;
        Some(best)
    };
    reference.chunks_exact(COLUMNS).map(partner).collect()
}

fn alike(a: &[f32], b: &[f32]) -> bool {
    let near = |a: f32, b: f32| (a - b).abs() <= BOX_PX.max(BOX_RELATIVE * a.abs());
    a[0] == b[0] && (a[1] - b[1]).abs() <= SCORE && a[2..].iter().zip(&b[2..]).all(|(a, b)| near(*a, *b))
}

fn distance(a: &[f32], b: &[f32]) -> f32 {
    a[2..].iter().zip(&b[2..]).map(|(a, b)| (a - b).abs()).fold((a[1] - b[1]).abs(), f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_paired_by_what_they_say() {
        let reference = [[1.0, 0.9, 10.0, 10.0, 50.0, 50.0], [1.0, 0.9, 11.0, 10.0, 50.0, 50.0], [2.0, 0.5, 0.0, 0.0, 9e4, 9.0]].concat();
        let other =
            [[2.0, 0.5015, 0.0, 0.5, 90_080.0, 9.0], [1.0, 0.9, 11.1, 10.0, 50.0, 50.0], [1.0, 0.9, 10.1, 10.0, 50.0, 50.0]].concat();
        assert_eq!(pair(&reference, &other), [Some(2), Some(1), Some(0)]);
        let strangers =
            [[2.0, 0.9, 10.0, 10.0, 50.0, 50.0], [1.0, 0.897, 10.0, 10.0, 50.0, 50.0], [1.0, 0.9, 8.9, 10.0, 50.0, 50.0]].concat();
        assert_eq!(pair(&reference[..COLUMNS], &strangers), [None]);
        assert_eq!(pair(&reference[..COLUMNS], &reference[..COLUMNS].repeat(2)), [Some(0)]);
        assert_eq!(pair(&reference, &[]), [None; 3]);
        assert_eq!(pair(&[1.0, f32::NAN, 0.0, 0.0, 1.0, 1.0], &reference), [None]);
    }
}

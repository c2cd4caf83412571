//! The 15-bit weights of the 4 x 4 neighbours for each of the 32 x 32 fractions, as OpenCV's `initInterTab2D` makes them.

use crate::ops::sampling::cubic_weights;
use std::sync::LazyLock;

/// Weights of one fraction: four rows of the columns -1, 0, 1, 2. They sum to 32768.
pub(super) type Weights = [[i16; 4]; 4];

/// Weights at index `fraction_y * 32 + fraction_x`.
pub(super) static WEIGHTS: LazyLock<Vec<Weights>> = LazyLock::new(|| {
    let axis: Vec<[f32; 4]> = (0..32).map(|k| cubic_weights(k as f32 / 32.0)).collect();
    (0..1024).map(|k| weights(axis[k / 32], axis[k % 32])).collect()
});

fn weights(wy: [f32; 4], wx: [f32; 4]) -> Weights {
    // The cast saturates: a lone weight of 1 becomes 32767, and the remaining 1 goes to a neighbour below.
    let mut w = wy.map(|wy| wx.map(|wx| (wy * wx * 32768.0).round_ties_even() as i16));
    let excess = w.iter().flatten().map(|&v| i32::from(v)).sum::<i32>() - 32768;
    if excess != 0 {
        // Only entries right of and below the centre take the correction; the first of equals does.
        let mut target = (2, 2);
        for (r, c) in [(2, 3), (3, 2), (3, 3)] {
            let better = if excess < 0 { w[r][c] > w[target.0][target.1] } else { w[r][c] < w[target.0][target.1] };
            if better {
                target = (r, c);
            }
        }
        w[target.0][target.1] -= excess as i16;
    }
    w
}

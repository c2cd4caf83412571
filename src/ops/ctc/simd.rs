//! The softmax denominator compiled for wider vectors than every x86-64 has; which one runs is found out at run time.
//! The code is that of [`super::cpu`] and so is every bit of the result: no step is fused or reordered.

use super::cpu::sum_of_exp_inline;

/// Sum of exp(v - largest) over `row`.
pub(super) fn sum_of_exp(row: &[f32], largest: f32) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the processor was just found to have AVX-512F, the only requirement of the call.
            return unsafe { avx512(row, largest) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor was just found to have AVX2, the only requirement of the call.
            return unsafe { avx2(row, largest) };
        }
    }
    sum_of_exp_inline(row, largest)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(row: &[f32], largest: f32) -> f64 {
    sum_of_exp_inline(row, largest)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(row: &[f32], largest: f32) -> f64 {
    sum_of_exp_inline(row, largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_width_gives_the_same_bits() {
        let row: Vec<f32> = (0..6625u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 * -1e-6).collect();
        let expected = sum_of_exp_inline(&row, 0.0);
        assert_eq!(sum_of_exp(&row, 0.0), expected);
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: checked in the line above.
            assert_eq!(unsafe { avx2(&row, 0.0) }, expected);
        }
    }
}

//! Loops for wider vectors than every x86-64 has; which ones run is found out at run time. The softmax denominator is the code
//! of [`super::cpu`], compiled for them; the innermost loop of the [`Head`](super::head::Head) is written in their
//! instructions. Where multiply-adds are fused results differ by rounding.

use super::cpu::sum_of_exp_inline;
use super::head::{self, ROWS};

/// Classes of a panel without wider vectors.
pub(super) const PORTABLE_COLUMNS: usize = 16;

/// A form of the innermost loop of [`Head`](super::head::Head). Holding one proves that the processor has its instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel(Vectors);

#[derive(Clone, Copy, Debug)]
enum Vectors {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Kernel {
    /// All forms this processor can run, the fastest first.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let wide = [
            (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("fma")).then_some(Vectors::Avx512),
            (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Vectors::Avx2),
        ];
        #[cfg(not(target_arch = "x86_64"))]
        let wide = [];
        wide.into_iter().flatten().chain([Vectors::Portable]).map(Self)
    }

    /// The fastest.
    pub(super) fn detect() -> Self {
        Self::all().next().unwrap_or(Self(Vectors::Portable))
    }

    /// Classes of a panel.
    pub(super) fn columns(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => 32,
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => 16,
            Vectors::Portable => PORTABLE_COLUMNS,
        }
    }

    /// Scores of [`ROWS`] steps for the classes of one panel: `steps` and `panel` go feature by feature; row `n` of the scores
    /// goes to `out[n * stride..]`, as long as `bias`, which is one panel's, and raises the `largest` so far, a panel's for
    /// each row: what is no number does not.
    pub(super) fn run(self, steps: &[[f32; ROWS]], panel: &[f32], bias: &[f32], out: &mut [f32], stride: usize, largest: &mut [f32]) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel is made for vectors that the processor was found to have.
            Vectors::Avx512 => unsafe { x86::avx512(steps, panel, bias, out, stride, largest) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Vectors::Avx2 => unsafe { x86::avx2(steps, panel, bias, out, stride, largest) },
            Vectors::Portable => head::portable(steps, panel, bias, out, stride, largest),
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::ROWS;
    use std::arch::x86_64::*;

    /// Two vectors a row: twelve sums, two weights and a value fill the sixteen registers of AVX2.
    macro_rules! kernel {
        ($name:ident, $features:literal, $lanes:literal, $load:ident, $store:ident, $splat:ident, $fma:ident, $max:ident) => {
            #[target_feature(enable = $features)]
            pub fn $name(steps: &[[f32; ROWS]], panel: &[f32], bias: &[f32], out: &mut [f32], stride: usize, largest: &mut [f32]) {
                const COLUMNS: usize = 2 * $lanes;
                assert!(bias.len() == COLUMNS && stride >= COLUMNS && out.len() >= (ROWS - 1) * stride + COLUMNS);
                assert!(largest.len() == ROWS * COLUMNS);
                // SAFETY: `COLUMNS` values were just found there.
                let bias = unsafe { [$load(bias.as_ptr()), $load(bias.as_ptr().add($lanes))] };
                let mut sums = [bias; ROWS];
                for (step, weights) in steps.iter().zip(panel.as_chunks::<COLUMNS>().0) {
                    // SAFETY: there are `COLUMNS` of them.
                    let [low, high] = unsafe { [$load(weights.as_ptr()), $load(weights.as_ptr().add($lanes))] };
                    for (sum, &value) in sums.iter_mut().zip(step) {
                        let value = $splat(value);
                        sum[0] = $fma(value, low, sum[0]);
                        sum[1] = $fma(value, high, sum[1]);
                    }
                }
                for (n, [low, high]) in sums.into_iter().enumerate() {
                    // SAFETY: the last of the rows ends inside `out` and `largest`, by the assertions above.
                    unsafe {
                        let row = out.as_mut_ptr().add(n * stride);
                        $store(row, low);
                        $store(row.add($lanes), high);
                        // Of a number and what is none the second counts.
                        let largest = largest.as_mut_ptr().add(n * COLUMNS);
                        $store(largest, $max(low, $load(largest)));
                        $store(largest.add($lanes), $max(high, $load(largest.add($lanes))));
                    }
                }
            }
        };
    }

    kernel!(avx2, "avx2,fma", 8, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps, _mm256_max_ps);
    kernel!(avx512, "avx512f", 16, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps, _mm512_max_ps);
}

/// Sum of exp(v - largest) over `row`.
pub(super) fn sum_of_exp(row: &[f32], largest: f32) -> f64 {
    match Kernel::detect().0 {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a kernel is made for vectors that the processor was found to have.
        Vectors::Avx512 => unsafe { sum_avx512(row, largest) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Vectors::Avx2 => unsafe { sum_avx2(row, largest) },
        Vectors::Portable => sum_of_exp_inline::<false>(row, largest),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn sum_avx512(row: &[f32], largest: f32) -> f64 {
    sum_of_exp_inline::<true>(row, largest)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn sum_avx2(row: &[f32], largest: f32) -> f64 {
    sum_of_exp_inline::<true>(row, largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_denominator_is_the_sum_of_powers() {
        let row: Vec<f32> = (0..6625u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 * -1e-6).collect();
        let expected: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        for found in [sum_of_exp(&row, 0.0), sum_of_exp_inline::<false>(&row, 0.0)] {
            assert!((found / expected - 1.0).abs() < 1e-6, "{found}, not {expected}");
        }
    }
}

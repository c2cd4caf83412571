//! Horizontal pass of the bilinear resize for three interleaved channels with AVX2: eight target pixels at a time.

use super::linear::{Columns, horizontal};
use crate::ops::simd::Isa;

/// Fills `out` (planar, `C * columns` samples) from the row at the start of `src`; `src` may go on behind the row.
pub(super) fn linear_row<const C: usize>(isa: Isa, src: &[u8], columns: &Columns, out: &mut [i16]) {
    #[cfg(target_arch = "x86_64")]
    if C == 3 && isa.has_avx2() && columns.step == 3 {
        // SAFETY: `Isa` says AVX2 only on a CPU that has it. The function itself is all checked code.
        let done = unsafe { x86::linear_row_3(src, columns, out) };
        return horizontal::<C>(src, columns, done, out);
    }
    let _ = isa;
    horizontal::<C>(src, columns, 0, out);
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Columns;
    use bytemuck::cast;
    use std::arch::x86_64::*;

    /// Gathers the samples of two pixel pairs `b0 g0 r0 b1 g1 r1 _ _` into `b0 b1 | g0 g1 | r0 r1` of both.
    const PAIRS: [i8; 16] = [0, 3, 8, 11, 1, 4, 9, 12, 2, 5, 10, 13, -1, -1, -1, -1];

    /// Returns how many columns from the left were done: all but the last few, whose 8-byte loads would leave `src`.
    #[target_feature(enable = "avx2")]
    pub fn linear_row_3(src: &[u8], columns: &Columns, out: &mut [i16]) -> usize {
        let width = columns.first.len();
        let (blue, rest) = out.split_at_mut(width);
        let (green, red) = rest.split_at_mut(width);
        let pairs: __m128i = cast(PAIRS);
        let load =
            |offset: u32| src.get(offset as usize..offset as usize + 8).map(|s| i64::from_le_bytes(s.try_into().unwrap_or_default()));
        let load2 = |a: u32, b: u32| Some(_mm_shuffle_epi8(_mm_set_epi64x(load(b)?, load(a)?), pairs));
        let mut done = 0;
        let (firsts, _) = columns.first.as_chunks::<8>();
        let (weights, _) = columns.weights.as_chunks::<8>();
        for (o, w) in firsts.iter().zip(weights) {
            let (Some(p01), Some(p23), Some(p45), Some(p67)) = (load2(o[0], o[1]), load2(o[2], o[3]), load2(o[4], o[5]), load2(o[6], o[7]))
            else {
                break;
            };
            let (low0, low1) = (_mm_unpacklo_epi32(p01, p23), _mm_unpacklo_epi32(p45, p67));
            let (high0, high1) = (_mm_unpackhi_epi32(p01, p23), _mm_unpackhi_epi32(p45, p67));
            let weights: __m256i = cast(*w);
            let filter = |pairs: __m128i| {
                let sum = _mm256_srai_epi32::<4>(_mm256_madd_epi16(_mm256_cvtepu8_epi16(pairs), weights));
                // Sums are at most 255 * 2049 / 16, within i16.
                let packed = _mm_packs_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
                cast::<_, [i16; 8]>(packed)
            };
            blue[done..done + 8].copy_from_slice(&filter(_mm_unpacklo_epi64(low0, low1)));
            green[done..done + 8].copy_from_slice(&filter(_mm_unpackhi_epi64(low0, low1)));
            red[done..done + 8].copy_from_slice(&filter(_mm_unpacklo_epi64(high0, high1)));
            done += 8;
        }
        done
    }
}

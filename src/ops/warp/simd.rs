//! Sampling of one target row with AVX2: a pixel's 4 x 4 neighbours in four multiply-adds of 16 samples. Where the
//! row runs along one of the picture, neighbouring pixels have the same weights and neighbouring windows: 16 samples
//! at once, whatever their channels.

use super::cpu::{Row, sample};
use crate::image::ImageView;
use crate::ops::simd::Isa;

/// Fills `out`, three bytes per position of `row`.
pub(super) fn sample_row(isa: Isa, src: ImageView, row: &Row, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if isa.has_avx2() {
        // SAFETY: `Isa` says AVX2 only on a CPU that has it.
        return unsafe { x86::sample_row(src, row, out) };
    }
    let _ = isa;
    for ((&x, &y), out) in row.xs.iter().zip(&row.ys).zip(out.chunks_exact_mut(3)) {
        out.copy_from_slice(&sample(src, x, y));
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{ImageView, Row, sample};
    use crate::ops::warp::table::{WEIGHTS, Weights};
    use bytemuck::cast;
    use std::arch::x86_64::*;
    use std::sync::LazyLock;

    /// Weights of one source row as they are multiplied: `w0 w1` four times, then `w2 w3` four times.
    type Expanded = [[i16; 16]; 4];

    static EXPANDED: LazyLock<Vec<Expanded>> = LazyLock::new(|| {
        let expand = |[a, b, c, d]: [i16; 4]| [a, b, a, b, a, b, a, b, c, d, c, d, c, d, c, d];
        WEIGHTS.iter().map(|rows| rows.map(expand)).collect()
    });

    /// Four pixels `b0 g0 r0 b1 ...` to 16-bit pairs: `b0 b1 g0 g1 r0 r1 0 0` and `b2 b3 g2 g3 r2 r3 0 0`.
    const PAIRS: [i8; 32] = [
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1, //
        6, -1, 9, -1, 7, -1, 10, -1, 8, -1, 11, -1, -1, -1, -1, -1,
    ];

    #[target_feature(enable = "avx2")]
    pub fn sample_row(src: ImageView, row: &Row, out: &mut [u8]) {
        let (width, height) = (src.size.width as i32, src.size.height as i32);
        let stride = width as usize * 3;
        assert_eq!(src.data.len(), stride * height as usize, "the caller checked the picture");
        let table: &[Expanded] = &EXPANDED;
        let pairs: __m256i = cast(PAIRS);
        let half = _mm256_setr_epi32(1 << 14, 1 << 14, 1 << 14, 0, 0, 0, 0, 0);
        let pixels = out.len() / 3;
        let (xs, ys) = (&row.xs[..pixels], &row.ys[..pixels]);
        let mut run_end = 0;
        for (n, (&x, &y)) in xs.iter().zip(ys).enumerate() {
            if n < run_end {
                continue;
            }
            let (left, top) = ((x >> 5) - 1, (y >> 5) - 1);
            // 16 bytes are loaded of each of four rows: 5 pixels and a sample more.
            if left < 0 || left + 6 > width || top < 0 || top + 4 > height {
                out[3 * n..3 * n + 3].copy_from_slice(&sample(src, x, y));
                continue;
            }
            let window = &src.data[top as usize * stride + left as usize * 3..];
            let fraction = ((y & 31) * 32 + (x & 31)) as usize;
            let ahead = n + SHORTEST_RUN - 1;
            let length = if ahead < pixels && xs[ahead] - x == 32 * (SHORTEST_RUN as i32 - 1) && ys[ahead] == y {
                run_length(&xs[n..], &ys[n..]).min((width - left - 6) as usize)
            } else {
                0
            };
            if length >= SHORTEST_RUN {
                sample_run(window, stride, &WEIGHTS[fraction], &mut out[3 * n..3 * (n + length)]);
                run_end = n + length;
                continue;
            }
            let weights = &table[fraction];
            let mut sum = half;
            for (k, weights) in weights.iter().enumerate() {
                // SAFETY: the checks above leave 16 bytes in each of the four rows, and all rows in the picture.
                let four = unsafe { _mm_loadu_si128(window.as_ptr().add(k * stride).cast()) };
                let taps = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(four), pairs);
                sum = _mm256_add_epi32(sum, _mm256_madd_epi16(taps, cast(*weights)));
            }
            let sum = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
            let words = _mm_packs_epi32(_mm_srai_epi32::<15>(sum), sum);
            let pixel = _mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes();
            // Four bytes at once where there is room: the next pixel overwrites the fourth.
            match out.get_mut(3 * n..3 * n + 4) {
                Some(out) => out.copy_from_slice(&pixel),
                None => out[3 * n..3 * n + 3].copy_from_slice(&pixel[..3]),
            }
        }
    }

    /// Pixels from which on a run is worth its own loop.
    const SHORTEST_RUN: usize = 8;

    /// How many of the positions from the first on are one whole pixel to the right of the one before, up to a bound.
    #[target_feature(enable = "avx2")]
    fn run_length(xs: &[i32], ys: &[i32]) -> usize {
        let ahead: __m256i = cast([0, 32, 64, 96, 128, 160, 192, 224i32]);
        let mut x = _mm256_add_epi32(_mm256_set1_epi32(xs[0]), ahead);
        let y = _mm256_set1_epi32(ys[0]);
        let mut length = 0;
        for (xs, ys) in xs.as_chunks::<8>().0.iter().zip(ys.as_chunks::<8>().0) {
            let same = _mm256_and_si256(_mm256_cmpeq_epi32(cast(*xs), x), _mm256_cmpeq_epi32(cast(*ys), y));
            let mask = _mm256_movemask_ps(_mm256_castsi256_ps(same)) as u32;
            length += mask.trailing_ones() as usize;
            if mask != 0xff {
                break;
            }
            x = _mm256_add_epi32(x, _mm256_set1_epi32(256));
        }
        length
    }

    /// Pixels with the same `weights` whose windows follow one another from the start of `src` on.
    #[target_feature(enable = "avx2")]
    fn sample_run(src: &[u8], stride: usize, weights: &Weights, out: &mut [u8]) {
        let pair = |a: i16, b: i16| _mm256_set1_epi32(i32::from(a as u16) | i32::from(b) << 16);
        let weights = weights.map(|[a, b, c, d]| [pair(a, b), pair(c, d)]);
        let half = _mm256_set1_epi32(1 << 14);
        let samples = out.len();
        let mut at = 0;
        while at < samples {
            // The last turn goes back so far that it ends with the run.
            let first = at.min(samples.saturating_sub(16));
            let (mut low, mut high) = (half, half);
            for (k, [left, right]) in weights.iter().enumerate() {
                let row = &src[k * stride + first..][..25];
                for (taps, weights) in [(0, left), (6, right)] {
                    // SAFETY: 25 bytes were just found in the row; 16 from the ninth on are the last.
                    let (a, b) =
                        unsafe { (_mm_loadu_si128(row.as_ptr().add(taps).cast()), _mm_loadu_si128(row.as_ptr().add(taps + 3).cast())) };
                    let (a, b) = (_mm256_cvtepu8_epi16(a), _mm256_cvtepu8_epi16(b));
                    low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), *weights));
                    high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), *weights));
                }
            }
            let words = _mm256_packs_epi32(_mm256_srai_epi32::<15>(low), _mm256_srai_epi32::<15>(high));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            out[first..first + 16].copy_from_slice(&cast::<__m128i, [u8; 16]>(bytes));
            at = first + 16;
        }
    }
}

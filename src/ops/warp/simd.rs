//! Sampling of one target row with AVX2: a pixel's 4 x 4 neighbours in four multiply-adds of 16 samples.

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
    use crate::ops::warp::table::WEIGHTS;
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
        for (n, (&x, &y)) in row.xs.iter().zip(&row.ys).enumerate().take(pixels) {
            let (left, top) = ((x >> 5) - 1, (y >> 5) - 1);
            // 16 bytes are loaded of each of four rows: 5 pixels and a sample more.
            if left < 0 || left + 6 > width || top < 0 || top + 4 > height {
                out[3 * n..3 * n + 3].copy_from_slice(&sample(src, x, y));
                continue;
            }
            let window = &src.data[top as usize * stride + left as usize * 3..];
            let weights = &table[((y & 31) * 32 + (x & 31)) as usize];
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
}

//! What networks are tried on where there is no picture: numbers that are the same every time.

/// Numbers from -1 to 1.
pub(crate) fn noise() -> impl FnMut() -> f32 {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    move || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }
}

/// Element `at` of planes of so many pixels that show a page of print, 1 or -1: lines of 24 pixels, half of them paper, with strokes of 3
/// that come and go as by chance. A detector of text that sees none gives hardly any numbers to compare.
pub(crate) fn print(at: usize, height: usize, width: usize) -> f32 {
    let (y, x) = (at / width % height, at % width);
    let by_chance = (x / 3 + 31 * (y / 24)).wrapping_mul(0x9E37_79B9) >> 7 & 1;
    if (6..18).contains(&(y % 24)) && by_chance == 1 { -1.0 } else { 1.0 }
}

//! Source positions and filter weights shared by the image operations, in OpenCV's own precision and order
//! of operations: bit-exactness rests on these few lines. Reference: OpenCV 4.5.5 and 4.10.

/// Where target index `d` of an axis resized from `src` to `dst` samples falls: the whole source index
/// (may be -1) and the fraction in [0, 1) behind it. Half-pixel centres.
#[inline(always)]
pub fn resize_position(d: usize, src: usize, dst: usize) -> (i64, f32) {
    let scale = 1.0 / (dst as f64 / src as f64);
    let f = ((d as f64 + 0.5) * scale - 0.5) as f32;
    let whole = f.floor();
    (whole as i64, f - whole)
}

/// The same for the cubic filter, whose fraction OpenCV's x86 wheels take of the position in double precision.
#[inline(always)]
pub fn cubic_position(d: usize, src: usize, dst: usize) -> (i64, f32) {
    let scale = 1.0 / (dst as f64 / src as f64);
    let f = (d as f64 + 0.5) * scale - 0.5;
    let whole = f.floor();
    (whole as i64, (f - whole) as f32)
}

/// 11-bit fixed-point weights of the two neighbours at fraction `t`. They sum to 2047..=2049.
#[inline(always)]
pub fn linear_weights(t: f32) -> [i16; 2] {
    [((1.0 - t) * 2048.0).round_ties_even() as i16, (t * 2048.0).round_ties_even() as i16]
}

/// Weights of the four neighbours (-1, 0, 1, 2) at fraction `x` of the cubic kernel with a = -0.75.
pub fn cubic_weights(x: f32) -> [f32; 4] {
    const A: f32 = -0.75;
    let c0 = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
    let c1 = ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let c2 = ((A + 2.0) * (1.0 - x) - (A + 3.0)) * (1.0 - x) * (1.0 - x) + 1.0;
    [c0, c1, c2, 1.0 - c0 - c1 - c2]
}

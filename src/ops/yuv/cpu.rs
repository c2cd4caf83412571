//! The definition on the CPU.

use super::Nv12View;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, PixelFormat};

/// Fractional bits of the factors.
const SHIFT: u32 = 20;
// 1.164, 2.018, -0.391, -0.813 and 1.596, as OpenCV rounds them.
const LUMA: i32 = 1_220_542;
const U_TO_BLUE: i32 = 2_116_026;
const U_TO_GREEN: i32 = -409_993;
const V_TO_GREEN: i32 = -852_492;
const V_TO_RED: i32 = 1_673_527;

/// The picture in BGR.
///
/// # Errors
/// [`Error::Input`] for a zero side or planes too short for their pitch and size.
pub fn to_bgr(src: Nv12View) -> Result<ImageBuf> {
    let (width, height) = (src.size.width as usize, src.size.height as usize);
    let fits = |plane: &[u8], pitch: usize, row: usize, rows: usize| {
        rows > 0 && row > 0 && pitch >= row && plane.len() >= (rows - 1) * pitch + row
    };
    let pairs = width.div_ceil(2) * 2;
    if !fits(src.luma, src.luma_pitch, width, height) || !fits(src.chroma, src.chroma_pitch, pairs, height.div_ceil(2)) {
        let reason = format!("{} and {} bytes of NV12 for a {} picture", src.luma.len(), src.chroma.len(), src.size);
        return Err(Error::input("picture", reason));
    }
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let chroma = &src.chroma[y / 2 * src.chroma_pitch..][..pairs];
        for (x, &luma) in src.luma[y * src.luma_pitch..][..width].iter().enumerate() {
            out.extend_from_slice(&pixel(luma, chroma[x & !1], chroma[x | 1]));
        }
    }
    ImageBuf::new(out, src.size, PixelFormat::Bgr)
}

fn pixel(luma: u8, u: u8, v: u8) -> [u8; 3] {
    let luma = (i32::from(luma) - 16).max(0) * LUMA;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [U_TO_BLUE * u, V_TO_GREEN * v + U_TO_GREEN * u, V_TO_RED * v]
        .map(|chroma| ((luma + chroma + (1 << (SHIFT - 1))) >> SHIFT).clamp(0, 255) as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Size;

    #[test]
    fn black_white_and_grey_have_no_colour() {
        for (luma, expected) in [(0, 0), (16, 0), (235, 255), (255, 255), (126, 128)] {
            assert_eq!(pixel(luma, 128, 128), [expected; 3]);
        }
    }

    #[test]
    fn odd_sides_and_pitches_are_read_and_misfits_answered() {
        let size = Size::new(3, 3);
        let luma = [235u8; 3 * 8];
        let chroma = [128u8; 2 * 6];
        let view = Nv12View { luma: &luma, luma_pitch: 8, chroma: &chroma, chroma_pitch: 6, size };
        assert_eq!(to_bgr(view).unwrap().data(), [255; 27]);
        assert!(to_bgr(Nv12View { luma: &luma[..18], ..view }).is_err());
        assert!(to_bgr(Nv12View { chroma: &chroma[..9], ..view }).is_err());
        assert!(to_bgr(Nv12View { size: Size::new(0, 3), ..view }).is_err());
    }
}

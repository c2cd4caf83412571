//! NV12, the pictures of video decoders: luma, and chroma of 2 x 2 pixels in a plane of its own → BGR.
//!
//! In 20-bit fixed point, the chroma of 2 x 2 pixels taken as it is for all four. With BT.601 and limited range, which holds
//! where a stream says nothing, equal to OpenCV 5.0.0 `cvtColor` with `COLOR_YUV2BGR_NV12`; other colours by the matrices of
//! ITU-T H.273. Kernels convert while they read (`kernels/surface.cuh`).

use super::frame::{ImageBuf, PixelFormat};
use super::geometry::Size;
use crate::error::{Error, Result};

/// Fractional bits of the factors.
const SHIFT: u32 = 20;

/// How luma and chroma were made of red, green and blue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum YuvMatrix {
    /// BT.601, that of what says nothing.
    #[default]
    Bt601,
    /// BT.709, that of most video of 720 lines and more.
    Bt709,
    /// BT.2020 with non-constant luminance.
    Bt2020,
}

/// What the samples of luma and chroma mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct YuvColours {
    /// The matrix.
    pub matrix: YuvMatrix,
    /// Samples use all of 0..=255; else luma 16..=235 and chroma 16..=240.
    pub full_range: bool,
}

/// The conversion in fixed point, as kernels have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Factors {
    /// The luma of black.
    pub black: i32,
    pub luma: i32,
    pub u_to_blue: i32,
    pub u_to_green: i32,
    pub v_to_green: i32,
    pub v_to_red: i32,
}

impl YuvColours {
    pub(super) fn factors(self) -> Factors {
        let (red, blue) = match (self.matrix, self.full_range) {
            (YuvMatrix::Bt601, false) => {
                // 1.164, 2.018, -0.391, -0.813 and 1.596, as OpenCV rounds them.
                let (u_to_green, v_to_green) = (-409_993, -852_492);
                return Factors { black: 16, luma: 1_220_542, u_to_blue: 2_116_026, u_to_green, v_to_green, v_to_red: 1_673_527 };
            }
            (YuvMatrix::Bt601, true) => (0.299, 0.114),
            (YuvMatrix::Bt709, _) => (0.2126, 0.0722),
            (YuvMatrix::Bt2020, _) => (0.2627, 0.0593),
        };
        let (black, luma, chroma) = if self.full_range { (0, 1.0, 1.0) } else { (16, 255.0 / 219.0, 255.0 / 224.0) };
        let green = 1.0 - red - blue;
        let fixed = |factor: f64| (factor * f64::from(1 << SHIFT)).round() as i32;
        let (of_blue, of_red) = (2.0 * (1.0 - blue) * chroma, 2.0 * (1.0 - red) * chroma);
        let (u_to_green, v_to_green) = (fixed(-of_blue * blue / green), fixed(-of_red * red / green));
        Factors { black, luma: fixed(luma), u_to_blue: fixed(of_blue), u_to_green, v_to_green, v_to_red: fixed(of_red) }
    }
}

impl Factors {
    fn pixel(&self, luma: u8, u: u8, v: u8) -> [u8; 3] {
        let luma = (i32::from(luma) - self.black).max(0) * self.luma;
        let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
        [self.u_to_blue * u, self.v_to_green * v + self.u_to_green * u, self.v_to_red * v]
            .map(|chroma| ((luma + chroma + (1 << (SHIFT - 1))) >> SHIFT).clamp(0, 255) as u8)
    }
}

/// A borrowed NV12 picture in host memory.
#[derive(Clone, Copy, Debug)]
pub struct Nv12View<'a> {
    /// Rows of luma samples, one per pixel.
    pub luma: &'a [u8],
    /// Bytes from one row of luma to the next.
    pub luma_pitch: usize,
    /// Rows of U, V pairs, one for 2 x 2 pixels; odd sides round up.
    pub chroma: &'a [u8],
    /// Bytes from one row of pairs to the next.
    pub chroma_pitch: usize,
    /// Width and height in pixels.
    pub size: Size,
    /// What the samples mean.
    pub colours: YuvColours,
}

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
    let factors = src.colours.factors();
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        let chroma = &src.chroma[y / 2 * src.chroma_pitch..][..pairs];
        for (x, &luma) in src.luma[y * src.luma_pitch..][..width].iter().enumerate() {
            out.extend_from_slice(&factors.pixel(luma, chroma[x & !1], chroma[x | 1]));
        }
    }
    ImageBuf::new(out, src.size, PixelFormat::Bgr)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn black_white_and_grey_have_no_colour() {
        for (luma, expected) in [(0, 0), (16, 0), (235, 255), (255, 255), (126, 128)] {
            assert_eq!(YuvColours::default().factors().pixel(luma, 128, 128), [expected; 3]);
        }
    }

    #[test]
    fn other_colours_are_within_a_level_of_their_definition() {
        for (matrix, red, blue) in
            [(YuvMatrix::Bt601, 0.299, 0.114), (YuvMatrix::Bt709, 0.2126, 0.0722), (YuvMatrix::Bt2020, 0.2627, 0.0593)]
        {
            for full_range in [false, true] {
                let factors = YuvColours { matrix, full_range }.factors();
                for [b, g, r] in [[0.0, 0.0, 255.0], [255.0, 0.0, 0.0], [0.0, 255.0, 0.0], [20.0, 90.0, 200.0], [128.0; 3]] {
                    let y = red * r + (1.0 - red - blue) * g + blue * b;
                    let (u, v) = ((b - y) / (2.0 * (1.0 - blue)), (r - y) / (2.0 * (1.0 - red)));
                    let (y, scale) = if full_range { (y, 1.0) } else { (y * 219.0 / 255.0 + 16.0, 224.0 / 255.0) };
                    let sample = |v: f64| v.round().clamp(0.0, 255.0) as u8;
                    let found = factors.pixel(sample(y), sample(u * scale + 128.0), sample(v * scale + 128.0));
                    // Luma and chroma were rounded: each is off by half a level, which counts up to 2.4 times.
                    let near = found.iter().zip([b, g, r]).all(|(&found, of)| (f64::from(found) - of).abs() <= 2.0);
                    assert!(near, "{matrix:?}, full range {full_range}: {found:?} for {:?}", [b, g, r]);
                }
            }
        }
    }

    #[test]
    fn odd_sides_and_pitches_are_read_and_misfits_answered() {
        let size = Size::new(3, 3);
        let luma = [235u8; 3 * 8];
        let chroma = [128u8; 2 * 6];
        let view = Nv12View { luma: &luma, luma_pitch: 8, chroma: &chroma, chroma_pitch: 6, size, colours: YuvColours::default() };
        assert_eq!(to_bgr(view).unwrap().data(), [255; 27]);
        assert!(to_bgr(Nv12View { luma: &luma[..18], ..view }).is_err());
        assert!(to_bgr(Nv12View { chroma: &chroma[..9], ..view }).is_err());
        assert!(to_bgr(Nv12View { size: Size::new(0, 3), ..view }).is_err());
    }
}

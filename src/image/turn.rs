//! Quarter turns of pictures.

use super::{ImageBuf, Size};
use crate::error::Result;

/// `image` turned counter-clockwise by `quarters` quarter turns.
///
/// # Errors
/// Those of [`ImageBuf::new`]; none for a picture that exists.
pub fn counter_clockwise(image: &ImageBuf, quarters: u32) -> Result<ImageBuf> {
    let mut data = Vec::with_capacity(image.data().len());
    let size = turn_into(image.data(), image.size(), image.format().bytes(), quarters, &mut data);
    ImageBuf::new(data, size, image.format())
}

/// The pixels `from` of `bytes` bytes, which are a picture of `size`, turned counter-clockwise by `quarters` quarter turns, in `out`, and
/// the size that they have there.
pub fn turn_into(from: &[u8], size: Size, bytes: usize, quarters: u32, out: &mut Vec<u8>) -> Size {
    let (width, height) = (size.width as isize, size.height as isize);
    // Where the first pixel comes from, and how far from there its neighbours to the right and below are.
    let (first, right, below) = match quarters % 4 {
        0 => (0, 1, width),
        1 => (width - 1, width, -1),
        2 => (width * height - 1, -1, -width),
        _ => (width * (height - 1), -width, 1),
    };
    let turned = if quarters.is_multiple_of(2) { size } else { Size::new(size.height, size.width) };
    out.clear();
    for y in 0..turned.height as isize {
        for x in 0..turned.width as isize {
            let at = (first + x * right + y * below) as usize * bytes;
            out.extend_from_slice(&from[at..at + bytes]);
        }
    }
    turned
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::PixelFormat;

    #[test]
    fn turns_are_numpys_rot90() {
        // NumPy: np.rot90([[1, 2, 3], [4, 5, 6]], k).
        let image = ImageBuf::new(vec![1, 2, 3, 4, 5, 6], Size::new(3, 2), PixelFormat::Gray).expect("a picture");
        let expected = [[1, 2, 3, 4, 5, 6], [3, 6, 2, 5, 1, 4], [6, 5, 4, 3, 2, 1], [4, 1, 5, 2, 6, 3]];
        for (quarters, expected) in (0..).zip(expected) {
            assert_eq!(counter_clockwise(&image, quarters).expect("turned").data(), expected, "{quarters}");
        }
    }
}

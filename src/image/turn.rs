//! Quarter turns of pictures.

use super::{ImageBuf, Size};
use crate::error::Result;

/// `image` turned counter-clockwise by `quarters` quarter turns.
///
/// # Errors
/// Those of [`ImageBuf::new`]; none for a picture that exists.
pub fn counter_clockwise(image: &ImageBuf, quarters: u32) -> Result<ImageBuf> {
    let (from, bytes) = (image.size(), image.format().bytes());
    let to = if quarters.is_multiple_of(2) { from } else { Size::new(from.height, from.width) };
    let mut data = Vec::with_capacity(image.data().len());
    for y in 0..to.height {
        for x in 0..to.width {
            let (x, y) = match quarters % 4 {
                0 => (x, y),
                1 => (from.width - 1 - y, x),
                2 => (from.width - 1 - x, from.height - 1 - y),
                _ => (y, from.height - 1 - x),
            };
            let at = (y as usize * from.width as usize + x as usize) * bytes;
            data.extend_from_slice(&image.data()[at..at + bytes]);
        }
    }
    ImageBuf::new(data, to, image.format())
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

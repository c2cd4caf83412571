//! The definition.

use super::White;
use crate::error::Result;
use crate::image::{ImageBuf, ImageView};

/// `page` with white where `white` says.
///
/// # Errors
/// Those of [`ImageBuf::new`]; none for a picture that exists.
pub fn run(page: ImageView<'_>, regions: &[[i32; 4]], white: White) -> Result<ImageBuf> {
    let (width, bytes) = (page.size.width as usize, page.format.bytes());
    let mut data = match white {
        White::Inside => page.data.to_vec(),
        White::Outside => vec![255; page.data.len()],
    };
    for inside in regions.iter().filter_map(|region| page.size.inside(*region)) {
        let [left, top, right, bottom] = inside.map(|side| side as usize);
        for y in top..bottom {
            let row = (y * width + left) * bytes..(y * width + right) * bytes;
            match white {
                White::Inside => data[row].fill(255),
                White::Outside => data[row.clone()].copy_from_slice(&page.data[row]),
            }
        }
    }
    ImageBuf::new(data, page.size, page.format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{PixelFormat, Size};

    #[test]
    fn regions_are_cut_to_the_page() {
        let page = ImageBuf::new((1..=12).collect(), Size::new(4, 3), PixelFormat::Gray).expect("a picture");
        let regions = [[1, -5, 2, 2], [3, 2, 90, 90], [2, 0, 1, 3], [-3, 0, 0, 3], [0, 9, 4, 12]];
        let inside = run(page.view(), &regions, White::Inside).expect("a page");
        assert_eq!(inside.data(), [1, 255, 3, 4, 5, 255, 7, 8, 9, 10, 11, 255]);
        let outside = run(page.view(), &regions, White::Outside).expect("a page");
        assert_eq!(outside.data(), [255, 2, 255, 255, 255, 6, 255, 255, 255, 255, 255, 12]);
    }
}

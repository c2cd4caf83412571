//! The orientation tag of EXIF blocks and TIFF files, and what it does to pixels.

use super::super::geometry::Size;

/// Orientation (1 to 8) in the first directory of an EXIF block: a TIFF header, then entries of 12 bytes.
/// `None` when the tag is absent, outside 1 to 8, or the block is damaged; the picture is then left as it is.
pub(super) fn of_exif(block: &[u8]) -> Option<u8> {
    let little = match block {
        [b'I', b'I', 42, 0, ..] => true,
        [b'M', b'M', 0, 42, ..] => false,
        _ => return None,
    };
    let short = |at: usize| {
        let bytes = *block.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let long = |at: usize| {
        let bytes = *block.get(at..)?.first_chunk::<4>()?;
        Some(if little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) })
    };
    let directory = long(4)? as usize;
    let entries = usize::from(short(directory)?);
    let entry = (0..entries).map(|i| directory + 2 + 12 * i).find(|&at| short(at) == Some(0x0112))?;
    u8::try_from(short(entry + 8)?).ok().filter(|value| (1..=8).contains(value))
}

/// Turns and mirrors a BGR picture so that it stands as `orientation` (EXIF numbering) says it was meant.
pub(super) fn apply(pixels: Vec<u8>, size: Size, orientation: u8) -> (Vec<u8>, Size) {
    let (transpose, flip_x, flip_y) = match orientation {
        2 => (false, true, false),
        3 => (false, true, true),
        4 => (false, false, true),
        5 => (true, false, false),
        6 => (true, true, false),
        7 => (true, true, true),
        8 => (true, false, true),
        _ => return (pixels, size),
    };
    let (width, height) = (size.width as usize, size.height as usize);
    let target = if transpose { Size::new(size.height, size.width) } else { size };
    let (columns, rows) = (target.width as usize, target.height as usize);
    let source = pixels.as_chunks::<3>().0;
    let mut out = vec![0; pixels.len()];
    let turned = out.as_chunks_mut::<3>().0;
    // Tiles keep both pictures in the cache while columns become rows.
    const TILE: usize = 32;
    for tile_y in (0..rows).step_by(TILE) {
        for tile_x in (0..columns).step_by(TILE) {
            for y in tile_y..rows.min(tile_y + TILE) {
                for x in tile_x..columns.min(tile_x + TILE) {
                    let (x0, y0) = (if flip_x { columns - 1 - x } else { x }, if flip_y { rows - 1 - y } else { y });
                    let (x0, y0) = if transpose { (y0, x0) } else { (x0, y0) };
                    debug_assert!(x0 < width && y0 < height);
                    turned[y * columns + x] = source[y0 * width + x0];
                }
            }
        }
    }
    (out, target)
}

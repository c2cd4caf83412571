//! PNG by the `png` crate: every colour type and depth, interlaced or not, equal to libpng as OpenCV drives it.
//! Gamma, colour profile and background chunks change nothing; 16-bit samples keep their high byte; transparency is
//! dropped, not blended. Of an animated file the default picture is read.

use super::{Limits, Reason, bgr_len, checked_size, orientation, row_to_bgr, swap_red_blue};
use crate::image::Size;
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Size), Reason> {
    let mut decoder = ::png::Decoder::new_with_limits(Cursor::new(bytes), ::png::Limits { bytes: usize::MAX });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(::png::Transformations::EXPAND | ::png::Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(reason)?;
    let size = checked_size(header.width, header.height, limits)?;
    let interlaced = header.interlaced;
    let mut reader = decoder.read_info().map_err(reason)?;
    let channels = reader.output_color_type().0.samples();
    let stride = size.width as usize * channels;
    let mut bgr = vec![0; bgr_len(size)];
    let rows = bgr.chunks_exact_mut(size.width as usize * 3);
    if interlaced {
        let mut picture = vec![0; stride * size.height as usize];
        reader.next_frame(&mut picture).map_err(reason)?;
        rows.zip(picture.chunks_exact(stride)).for_each(|(to, from)| row_to_bgr(from, channels, to));
    } else if channels == 3 {
        for row in rows {
            reader.read_row(row).map_err(reason)?;
            swap_red_blue(row);
        }
    } else {
        let mut line = vec![0; stride];
        for row in rows {
            reader.read_row(&mut line).map_err(reason)?;
            row_to_bgr(&line, channels, row);
        }
    }
    // libpng reads to the end of the file, so that a cut-off end is an error there too.
    reader.finish().map_err(reason)?;
    let turn = reader.info().exif_metadata.as_ref().and_then(|block| orientation::of_exif(block));
    Ok(orientation::apply(bgr, size, turn.unwrap_or(1)))
}

fn reason(error: ::png::DecodingError) -> Reason {
    match error {
        ::png::DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => "the file is cut off".into(),
        other => other.to_string(),
    }
}

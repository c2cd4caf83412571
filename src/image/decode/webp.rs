//! WebP by the `image-webp` crate: lossy with libwebp's own ("fancy") chroma upsampling, and lossless. Alpha is dropped.
//! OpenCV refuses animated files; here their first frame is read.

use super::{Limits, Reason, bgr_len, checked_size, row_to_bgr, swap_red_blue};
use crate::image::Size;
use image_webp::{DecodingError, WebPDecoder};
use std::io::Cursor;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<(Vec<u8>, Size), Reason> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(reason)?;
    let (width, height) = decoder.dimensions();
    let size = checked_size(width, height, limits)?;
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut pixels = vec![0; size.area() as usize * channels];
    decoder.read_image(&mut pixels).map_err(reason)?; // of an animation the first
    if channels == 3 {
        swap_red_blue(&mut pixels);
        return Ok((pixels, size));
    }
    let mut bgr = vec![0; bgr_len(size)];
    row_to_bgr(&pixels, channels, &mut bgr);
    Ok((bgr, size))
}

fn reason(error: DecodingError) -> Reason {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => "the file is cut off".into(),
        other => other.to_string(),
    }
}

//! JPEG by nvJPEG. The markers are read here first: of a file that is damaged, too large or unusual the library sees nothing.

use super::jpeg::Header;
use super::{Limits, Reason};
use crate::device::{JpegOutcome, NvJpeg};
use crate::error::Result;
use crate::image::{Resident, Size};

/// Width and height together below which a picture is left to the processor: text detection wants it on a canvas larger than itself.
const TINY: u32 = 64;

/// The picture in the memory of the decoder's GPU, or why another decoder is to have the file.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) where the file is not to blame.
pub(super) fn decode(bytes: &[u8], decoder: &NvJpeg, limits: &Limits) -> Result<Result<Resident, Reason>> {
    let size = match fitting(bytes, limits) {
        Ok(size) => size,
        Err(reason) => return Ok(Err(reason)),
    };
    match decoder.decode(bytes, [size.width, size.height])? {
        JpegOutcome::Pixels(rows) => Resident::from_rows(rows, size).map(Ok),
        JpegOutcome::Refused(reason) => Ok(Err(reason)),
    }
}

/// The size of a file that nvJPEG is to have.
fn fitting(bytes: &[u8], limits: &Limits) -> Result<Size, Reason> {
    let header = Header::read(bytes)?;
    let size = header.size(limits)?;
    match header.is_unusual() {
        Some(reason) => Err(reason.into()),
        None if size.width + size.height < TINY => Err(format!("{size} pixels are few")),
        None => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Segments of a file of 40 x 30 pixels: APP14 with a transform, APP1 with an orientation, the frame, and an empty scan.
    fn file(process: u8, names: &[u8], transform: Option<u8>, orientation: Option<u8>, padding: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0xff, 0xd8];
        let mut segment = |code: u8, body: &[u8]| {
            bytes.extend([0xff, code]);
            bytes.extend((body.len() as u16 + 2).to_be_bytes());
            bytes.extend(body);
        };
        if let Some(transform) = transform {
            segment(0xee, &[b"Adobe\0d\0\0\0\0", &[transform][..]].concat());
        }
        if let Some(orientation) = orientation {
            segment(0xe1, &[b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0", &[orientation, 0, 0][..]].concat());
        }
        let components: Vec<u8> = names.iter().flat_map(|name| [*name, 0x11, 0]).collect();
        segment(process, &[&[8, 0, 30, 0, 40, names.len() as u8], &components[..]].concat());
        bytes.extend(padding);
        bytes.extend([0xff, 0xda, 0, 6 + 2 * names.len() as u8, names.len() as u8]);
        bytes.extend(names.iter().flat_map(|name| [*name, 0]).chain([0, 63, 0, 0xff, 0xd9]));
        bytes
    }

    /// The same with the first component alone in the scan.
    fn apart(mut bytes: Vec<u8>) -> Vec<u8> {
        let scan = bytes.windows(2).position(|code| code == [0xff, 0xda]).expect("a scan");
        bytes[scan + 4] = 1;
        bytes
    }

    #[test]
    fn only_what_is_usual_goes_to_the_library() {
        let limits = Limits::default();
        let usual = [1, 2, 3];
        for process in [0xc0, 0xc1, 0xc2] {
            assert_eq!(fitting(&file(process, &usual, None, None, &[]), &limits), Ok(Size::new(40, 30)));
        }
        for bytes in [
            file(0xc0, &[1], None, None, &[]),
            file(0xc0, &usual, Some(1), Some(1), &[]),
            file(0xc0, &usual, None, Some(9), &[]),
            apart(file(0xc2, &usual, None, None, &[])),
        ] {
            assert_eq!(fitting(&bytes, &limits), Ok(Size::new(40, 30)));
        }
        for (bytes, reason) in [
            (file(0xc3, &usual, None, None, &[]), "its process is neither"),
            (file(0xc9, &[1], None, None, &[]), "its process is neither"),
            (file(0xc0, &[1, 2, 3, 4], Some(2), None, &[]), "neither grey nor of three"),
            (file(0xc0, &[1, 2], None, None, &[]), "neither grey nor of three"),
            (file(0xc0, b"RGB", None, None, &[]), "stored as RGB"),
            (file(0xc0, &usual, Some(0), None, &[]), "stored as RGB"),
            (file(0xc0, &usual, None, Some(6), &[]), "to be turned"),
            (file(0xc0, &usual, None, None, &[7]), "stray bytes"),
            (apart(file(0xc0, &usual, None, None, &[])), "scans of their own"),
        ] {
            let found = fitting(&bytes, &limits).unwrap_err();
            assert!(found.contains(reason), "{found}");
        }
        let found = fitting(&file(0xc0, &usual, None, None, &[]), &Limits { max_pixels: 1199, ..limits }).unwrap_err();
        assert!(found.contains("the limit is 1199"), "{found}");
        let whole = file(0xc0, &usual, None, None, &[]);
        assert!(fitting(&whole[..whole.len() - 2], &limits).unwrap_err().contains("cut off"));
    }
}

//! Uncompressed pictures with their times as a Matroska stream, the form in which they are handed to ffmpeg: frames without a
//! container have no times, and frames of a live stream do not come at equal intervals. Each picture is a cluster of its own.
//! Identifiers and layout: RFC 9559; the codec `V_UNCOMPRESSED` with FFmpeg's code for packed RGB.

use crate::image::Size;

/// Nanoseconds of a tick.
const TICK_NS: u64 = 100_000;
const TICKS_PER_MS: f64 = 1e6 / TICK_NS as f64;
/// Packed RGB, three bytes a pixel: the letters and the bits.
const RGB24: [u8; 4] = [b'R', b'G', b'B', 24];

const EBML: &[u8] = &[0x1A, 0x45, 0xDF, 0xA3];
const DOC_TYPE: &[u8] = &[0x42, 0x82];
const DOC_TYPE_VERSION: &[u8] = &[0x42, 0x87];
const DOC_TYPE_READ_VERSION: &[u8] = &[0x42, 0x85];
const SEGMENT: &[u8] = &[0x18, 0x53, 0x80, 0x67];
const INFO: &[u8] = &[0x15, 0x49, 0xA9, 0x66];
const TIMESTAMP_SCALE: &[u8] = &[0x2A, 0xD7, 0xB1];
const TRACKS: &[u8] = &[0x16, 0x54, 0xAE, 0x6B];
const TRACK_ENTRY: &[u8] = &[0xAE];
const TRACK_NUMBER: &[u8] = &[0xD7];
const TRACK_UID: &[u8] = &[0x73, 0xC5];
const TRACK_TYPE: &[u8] = &[0x83];
const CODEC_ID: &[u8] = &[0x86];
const VIDEO: &[u8] = &[0xE0];
const PIXEL_WIDTH: &[u8] = &[0xB0];
const PIXEL_HEIGHT: &[u8] = &[0xBA];
const UNCOMPRESSED_FOURCC: &[u8] = &[0x2E, 0xB5, 0x24];
const CLUSTER: &[u8] = &[0x1F, 0x43, 0xB6, 0x75];
const TIMESTAMP: &[u8] = &[0xE7];
const SIMPLE_BLOCK: &[u8] = &[0xA3];
/// Track 1, no ticks after its cluster, a key frame.
const BLOCK_HEAD: &[u8] = &[0x81, 0, 0, 0x80];

/// What precedes the first picture of a stream of RGB pictures of `size`.
pub(super) fn head(size: Size) -> Vec<u8> {
    let video = [number(PIXEL_WIDTH, size.width.into()), number(PIXEL_HEIGHT, size.height.into()), element(UNCOMPRESSED_FOURCC, &RGB24)];
    let track = [
        number(TRACK_NUMBER, 1),
        number(TRACK_UID, 1),
        number(TRACK_TYPE, 1),
        element(CODEC_ID, b"V_UNCOMPRESSED"),
        element(VIDEO, &video.concat()),
    ];
    let ebml = [element(DOC_TYPE, b"matroska"), number(DOC_TYPE_VERSION, 4), number(DOC_TYPE_READ_VERSION, 2)];
    let mut head = element(EBML, &ebml.concat());
    head.extend([SEGMENT, &[0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat()); // of unknown size: to the end
    head.extend(element(INFO, &number(TIMESTAMP_SCALE, TICK_NS)));
    head.extend(element(TRACKS, &element(TRACK_ENTRY, &track.concat())));
    head
}

/// What precedes the `bytes` bytes of a picture.
pub(super) fn picture_head(timestamp_ms: f64, bytes: u64) -> Vec<u8> {
    let timestamp = number(TIMESTAMP, (timestamp_ms * TICKS_PER_MS).round().max(0.0) as u64);
    let block = [SIMPLE_BLOCK, &length(BLOCK_HEAD.len() as u64 + bytes), BLOCK_HEAD].concat();
    let head = [CLUSTER, &length((timestamp.len() + block.len()) as u64 + bytes)].concat();
    [head, timestamp, block].concat()
}

fn number(id: &[u8], value: u64) -> Vec<u8> {
    element(id, &value.to_be_bytes())
}

fn element(id: &[u8], content: &[u8]) -> Vec<u8> {
    [id, &length(content.len() as u64), content].concat()
}

/// A length in eight bytes, of which the first only says that they are eight.
fn length(bytes: u64) -> [u8; 8] {
    (bytes | 1 << 56).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_a_cluster_with_its_time_in_tenths_of_milliseconds() {
        let head = picture_head(1033.34, 6);
        let block = [&[0xA3, 1, 0, 0, 0, 0, 0, 0, 10][..], &[0x81, 0, 0, 0x80]].concat();
        let timestamp = [0xE7, 1, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x28, 0x5D];
        let inside = (timestamp.len() + block.len() + 6) as u8;
        assert_eq!(head, [&[0x1F, 0x43, 0xB6, 0x75, 1, 0, 0, 0, 0, 0, 0, inside][..], &timestamp, &block].concat());
        assert_eq!(picture_head(-5.0, 6)[21..29], [0; 8], "no time before the first frame");
    }
}

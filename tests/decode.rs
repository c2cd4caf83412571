//! Decoding against OpenCV 4.10 on small files of every kind (`tests/fixtures/decode/make.py`), and on damaged ones.

#[path = "inputs/random.rs"]
mod random;

use hpinfer::image::decode::{Decoder, JpegDecoder, Limits};
use hpinfer::image::{ImageBuf, Size};
use random::Random;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Read by us although OpenCV 4.10 refuses them: its animation and run-length readers give up.
const READ_BEYOND_OPENCV: [&str; 2] = ["bmp_rle4_short.bmp", "webp_animated.webp"];

/// Refused by us although OpenCV reads them: cut off (OpenCV fills the rest with grey), JPEG that neither decoder reads as libjpeg does, Group
/// 3 fax, CIE Lab.
const REFUSED: [&str; 7] = [
    "jpeg_no_end_marker.jpg",
    "jpeg_truncated.jpg",
    "jpeg_truncated_with_thumbnail.jpg",
    "jpeg_scans_in_groups.jpg",
    "jpeg_fine_chroma.jpg",
    "tiff_bilevel_group3.tif",
    "tiff_lab.tif",
];

/// Decoded by `zune-jpeg` whatever the choice: JPEG strips in TIFF, and what the port of libjpeg-turbo does not know.
const ALWAYS_ZUNE: [&str; 5] =
    ["tiff_jpeg_grey.tif", "tiff_jpeg_rgb.tif", "tiff_jpeg_ycbcr.tif", "jpeg_cmyk_420.jpg", "jpeg_padded_markers.jpg"];

/// Not read by `zune-jpeg`: components with scans of their own.
const NOT_FOR_ZUNE: [&str; 4] = ["jpeg_scans_apart.jpg", "jpeg_scans_apart_restart.jpg", "jpeg_rgb_apart.jpg", "jpeg_rgb_by_ids_apart.jpg"];

/// `zune-jpeg` on these tiny pictures: its chroma upsampling differs at the borders of pictures that are no multiple of
/// the block size. (Elsewhere it is within 3 levels, see below.)
const ZUNE_BORDER_TOLERANCE: u8 = 16;
const ZUNE_TOLERANCE: u8 = 3;

/// Size and SHA-256 of what OpenCV made of a picture.
struct Fixture {
    name: String,
    bytes: Vec<u8>,
    expected: Option<(Size, String)>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode")
}

fn fixtures() -> Vec<Fixture> {
    let table = std::fs::read_to_string(folder().join("expected.tsv")).unwrap();
    let read = |line: &str| {
        let fields: Vec<_> = line.split('\t').collect();
        let expected = (fields.len() == 4).then(|| (Size::new(fields[1].parse().unwrap(), fields[2].parse().unwrap()), fields[3].into()));
        Fixture { name: fields[0].into(), bytes: std::fs::read(folder().join("pictures").join(fields[0])).unwrap(), expected }
    };
    table.lines().map(read).collect()
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder().join("pictures").join(name)).unwrap()
}

fn decoder(jpeg: JpegDecoder) -> Decoder {
    Decoder { jpeg, ..Decoder::default() }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// OpenCV's pixels of a lossy picture.
fn opencv_pixels(name: &str) -> ImageBuf {
    let png = std::fs::read(folder().join("lossy").join(format!("{name}.png"))).unwrap();
    Decoder::default().decode(&png, name).unwrap()
}

fn largest_difference(a: &ImageBuf, b: &ImageBuf) -> u8 {
    assert_eq!(a.size(), b.size());
    a.data().iter().zip(b.data()).map(|(x, y)| x.abs_diff(*y)).max().unwrap()
}

#[test]
fn pixels_equal_opencv() {
    let decoder = decoder(JpegDecoder::Turbo);
    let mut failures = Vec::new();
    let mut fail = |name: &str, what: String| failures.push(format!("{name}: {what}"));
    for Fixture { name, bytes, expected } in fixtures() {
        let (beyond, refused) = (READ_BEYOND_OPENCV.contains(&&*name), REFUSED.contains(&&*name));
        match (decoder.decode(&bytes, &name), expected) {
            (Ok(_), _) if refused => fail(&name, "listed as refused, but read".into()),
            (Ok(image), Some((size, _))) if image.size() != size => fail(&name, format!("{} instead of {size}", image.size())),
            (Ok(image), Some(_)) if ALWAYS_ZUNE.contains(&&*name) => {
                let difference = largest_difference(&image, &opencv_pixels(&name));
                if difference > if name.contains("420") { ZUNE_BORDER_TOLERANCE } else { ZUNE_TOLERANCE } {
                    fail(&name, format!("{difference} levels off"));
                }
            }
            (Ok(image), Some((_, hash))) if sha256(image.data()) != hash => fail(&name, "other pixels".into()),
            (Ok(_), None) if !beyond => fail(&name, "read, but OpenCV refuses it".into()),
            (Err(error), _) if beyond => fail(&name, error.to_string()),
            (Err(error), Some(_)) if !refused => fail(&name, error.to_string()),
            _ => {}
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn zune_is_near_opencv() {
    let decoder = decoder(JpegDecoder::Zune);
    let beyond = |name: &str| REFUSED.contains(&name) || NOT_FOR_ZUNE.contains(&name);
    for Fixture { name, bytes, .. } in fixtures().into_iter().filter(|f| f.name.ends_with(".jpg") && !beyond(&f.name)) {
        let image = decoder.decode(&bytes, &name).unwrap();
        let expected = opencv_pixels(&name);
        let subsampled = ["420", "422", "440", "411"].iter().any(|s| name.contains(s)) || name.contains("restart");
        let bound = if subsampled { ZUNE_BORDER_TOLERANCE } else { ZUNE_TOLERANCE };
        let difference = largest_difference(&image, &expected);
        assert!(difference <= bound, "{name}: {difference} levels off");
    }
}

#[test]
fn first_frames_of_animations() {
    let still = decoder(JpegDecoder::Zune).decode(&fixture("webp_animated.webp"), "webp_animated").unwrap();
    assert_eq!(still.size(), Size::new(37, 22));
    // Skipped pixels of run-length data have colour 0; the rows are stored from the bottom up.
    let short = decoder(JpegDecoder::Zune).decode(&fixture("bmp_rle4_short.bmp"), "bmp_rle4_short").unwrap();
    let pixel = |x: usize, y: usize| &short.data()[(y * 37 + x) * 3..][..3];
    assert_eq!(pixel(36, 0), pixel(5, 21));
    assert_eq!(pixel(0, 21), pixel(2, 21), "a run of two alternating colours");
    assert_ne!(pixel(0, 21), pixel(1, 21));
}

#[track_caller]
fn refused(decoder: &Decoder, bytes: &[u8], reason: &str) {
    let error = decoder.decode(bytes, "scan 7").unwrap_err();
    let message = error.to_string();
    assert!(message.starts_with("scan 7: ") && message.contains(reason), "{message}");
    assert_eq!(error.kind(), "bad_input");
}

#[test]
fn refusals_name_the_input_and_the_reason() {
    for jpeg in [JpegDecoder::Turbo, JpegDecoder::Zune] {
        let decoder = decoder(jpeg);
        refused(&decoder, b"", "empty");
        refused(&decoder, b"some text\n", "not a picture");
        refused(&decoder, b"%PDF-1.7", "has pages, it is no picture");
        refused(&decoder, b"BM", "BMP: the file is cut off");
        for name in ["jpeg_truncated.jpg", "jpeg_truncated_with_thumbnail.jpg", "bmp_truncated.bmp"] {
            refused(&decoder, &fixture(name), "cut off");
        }
        for name in ["png_rgb8.png", "png_grey16_i.png", "webp_lossy_q75.webp", "tiff_rgb.tif", "jpeg_420_progressive.jpg"] {
            let bytes = fixture(name);
            for part in [bytes.len() / 2, bytes.len() - 20] {
                assert!(decoder.decode(&bytes[..part], name).is_err(), "{name} cut to {part} of {} bytes", bytes.len());
            }
        }
        refused(&decoder, &fixture("tiff_float.tif"), "only integers");
        refused(&decoder, &fixture("jpeg_scans_in_groups.jpg"), "two of its components each");
        if jpeg == JpegDecoder::Zune {
            refused(&decoder, &fixture("jpeg_scans_apart.jpg"), "which the decoder turbo reads");
        }
        refused(&decoder, &fixture("jpeg_fine_chroma.jpg"), "finer than its brightness");
    }
}

/// Headers that announce far more pixels than the file holds must fail before memory for them is taken.
#[test]
fn huge_and_empty_sizes_are_refused_from_the_header() {
    let decoder = decoder(JpegDecoder::Zune);
    let patched = |name: &str, edits: &[(usize, &[u8])]| {
        let mut bytes = fixture(name);
        edits.iter().for_each(|(at, value)| bytes[*at..at + value.len()].copy_from_slice(value));
        bytes
    };
    let crc = |mut png: Vec<u8>| {
        let sum = png[12..29].iter().fold(!0u32, |mut sum, &byte| {
            sum ^= u32::from(byte);
            (0..8).for_each(|_| sum = sum >> 1 ^ (0xedb8_8320 & 0u32.wrapping_sub(sum & 1)));
            sum
        });
        png[29..33].copy_from_slice(&(!sum).to_be_bytes());
        png
    };
    let jpeg = fixture("jpeg_444_q95.jpg");
    let frame = jpeg.windows(2).position(|w| w == [0xff, 0xc0]).unwrap();
    for (bytes, what) in [
        (crc(patched("png_rgb8.png", &[(16, &[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff])])), "the limit is"),
        (patched("jpeg_444_q95.jpg", &[(frame + 5, &[0xff; 4])]), "the limit is"),
        (patched("jpeg_444_q95.jpg", &[(frame + 5, &[0; 4])]), "0x0"),
        (patched("bmp_24.bmp", &[(18, &[0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0x7f])]), "the limit is"),
        (patched("bmp_24.bmp", &[(18, &[0, 0, 0, 0])]), "0x22"),
        (patched("bmp_24.bmp", &[(18, &[0xff, 0xff, 0, 0, 0, 0x0a, 0, 0])]), "cut off"),
    ] {
        refused(&decoder, &bytes, what);
    }
    let small = Decoder { limits: Limits { max_pixels: 37 * 22 - 1, ..Limits::default() }, ..decoder };
    for name in ["png_rgb8.png", "jpeg_420_q38.jpg", "bmp_8.bmp", "webp_lossless.webp", "tiff_rgb.tif"] {
        refused(&small, &fixture(name), "37x22 is 814 pixels, the limit is 813");
    }
}

/// Random damage to every fixture: an answer or an error, never a panic. `HPINFER_FUZZ_ROUNDS` sets how often.
#[test]
fn damaged_files_never_panic() {
    let rounds: u32 = std::env::var("HPINFER_FUZZ_ROUNDS").map_or(40, |v| v.parse().unwrap());
    let seed = std::env::var("HPINFER_FUZZ_SEED")
        .map_or_else(|_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64, |v| v.parse().unwrap());
    println!("HPINFER_FUZZ_SEED={seed}");
    let panics = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let (seen, this_thread, before) = (panics.clone(), std::thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |info| match std::thread::current().id() == this_thread {
        true => seen.lock().unwrap().push(info.to_string()),
        false => before(info),
    }));
    let mut numbers = Random::new(seed);
    let mut random = |count: usize| numbers.place(count);
    let limits = Limits { max_pixels: 1 << 20, ..Limits::default() };
    let mut ours = Vec::new();
    for Fixture { name, bytes, .. } in fixtures() {
        for _ in 0..rounds {
            let mut damaged = bytes.clone();
            for _ in 0..=random(6) {
                let (at, value) = (random(damaged.len()), random(256) as u8);
                match random(4) {
                    0 => damaged[at] = value,
                    1 => damaged[at] ^= 1 << (value % 8),
                    // Damage near the start hits headers more often.
                    2 => damaged[at.min(random(64))] = [0, 1, 0x7f, 0x80, 0xff][usize::from(value) % 5],
                    _ => drop(damaged.splice(at..at, std::iter::repeat_n(value, random(9)))),
                }
            }
            if random(5) == 0 {
                damaged.truncate(random(damaged.len()) + 1);
            }
            for jpeg in [JpegDecoder::Turbo, JpegDecoder::Zune] {
                let _ = Decoder { jpeg, limits, nvjpeg: None }.decode(&damaged, &name);
                for message in panics.lock().unwrap().drain(..) {
                    ours.push(format!("{name}, {jpeg:?}: {message}"));
                }
            }
        }
    }
    let _ = std::panic::take_hook();
    ours.sort();
    ours.dedup();
    // Panics inside a dependency are caught and become errors of the input; ours would be mistakes.
    let (inside, foreign): (Vec<_>, Vec<_>) = ours.into_iter().partition(|m| m.contains("panicked at src/"));
    foreign.iter().for_each(|m| println!("caught: {m}"));
    assert!(inside.is_empty(), "seed {seed}: {}", inside.join("\n"));
}

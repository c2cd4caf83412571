//! Damaged pictures and documents: every one gives frames or an error that names it, none crashes or hangs.

#[path = "inputs/random.rs"]
mod random;

use hpinfer::image::decode::{Decoder, Limits};
use hpinfer::source::pdf::{Isolation, TextLayer};
use hpinfer::source::{PdfOptions, Source, SourceOptions};
use random::Random;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest time one input may take before it counts as hung.
const LIMIT: Duration = Duration::from_secs(60);

/// The committed pictures and documents.
fn originals() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut found: Vec<PathBuf> = ["decode/pictures", "decode/lossy", "pdf"]
        .iter()
        .flat_map(|folder| std::fs::read_dir(fixtures.join(folder)).expect("fixtures"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| ["pdf", "png", "jpg", "bmp", "webp", "tif", "tiff"].iter().any(|s| e == *s)))
        .collect();
    found.sort();
    found
}

/// Bytes flipped, replaced by extremes, cut off, doubled or moved.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.place(6) {
        let length = bytes.len();
        let at = random.place(length);
        let end = (at + 1 + random.place(64)).min(length);
        match random.place(6) {
            0 if length > 0 => bytes[at] ^= 1 << random.place(8),
            1 if length > 0 => bytes[at] = [0, 0xff, 0x7f, 0x80, b'9'][random.place(5)],
            2 => bytes.truncate(at),
            3 => {
                let piece = bytes[at..end].to_vec();
                let to = random.place(length);
                bytes.splice(to..to, piece);
            }
            4 => drop(bytes.drain(at..end)),
            _ => bytes[at..end].fill(random.next() as u8),
        }
    }
}

fn run(count: usize, seed: u64) {
    println!("seed {seed}");
    let originals = originals();
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { max_pixels: 20_000_000, max_file_bytes: 16 << 20 };
    let decoder = Decoder { limits, ..Decoder::default() };
    let isolation = Isolation::Process { program: env!("CARGO_BIN_EXE_hpinfer").into(), arguments: vec!["render-pdf".into()] };
    let pdf = PdfOptions { isolation, text: TextLayer::Geometric, ..PdfOptions::default() };
    let options = SourceOptions { offline: true, limits, pdf, ..SourceOptions::default() };
    let (mut frames, mut errors, mut slowest, mut documents) = (0, 0, Duration::ZERO, 0);
    let mut random = Random::new(seed);
    for case in 0..count {
        let original = &originals[random.place(originals.len())];
        let mut bytes = std::fs::read(original).expect("a fixture");
        damage(&mut bytes, &mut random);
        let name = format!("{case}.{}", original.extension().and_then(|e| e.to_str()).expect("a suffix"));
        let path = folder.path().join(&name);
        std::fs::write(&path, &bytes).expect("written");
        let start = Instant::now();
        let mut items = 0;
        for item in Source::new(&[&path], options.clone()).take(50) {
            items += 1;
            match item.load(&decoder) {
                Ok(_) => frames += 1,
                Err(e) => {
                    errors += 1;
                    assert_eq!(e.kind(), "bad_input", "seed {seed}, case {case} of {}: {e}", original.display());
                    assert!(e.to_string().contains(&name), "seed {seed}, case {case} of {}: {e}", original.display());
                }
            }
        }
        assert!(items > 0, "seed {seed}, case {case} of {}: dropped in silence", original.display());
        let spent = start.elapsed();
        assert!(spent < LIMIT, "seed {seed}, case {case} of {}: {spent:?}", original.display());
        slowest = slowest.max(spent);
        documents += usize::from(name.ends_with(".pdf"));
        std::fs::remove_file(&path).expect("removed");
    }
    println!("{count} inputs ({documents} documents): {frames} frames, {errors} errors, slowest {slowest:?}");
}

#[test]
fn damaged_inputs_give_frames_or_errors() {
    run(40, 1);
}

/// `HPINFER_FUZZ_SEED=7 HPINFER_FUZZ_COUNT=1000 cargo test --test fuzz -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes; a share of it runs in `damaged_inputs_give_frames_or_errors`"]
fn many_damaged_inputs() {
    let number = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    run(number("HPINFER_FUZZ_COUNT", 1000) as usize, number("HPINFER_FUZZ_SEED", 20_261_124));
}

//! Labels on pictures of all shapes: whole, and as large as there is room.

use super::block_font::block_font;
use super::{FontFolder, picture};
use hpinfer::image::ImageBuf;
use hpinfer::result::render::{draw_classification, draw_detection};
use hpinfer::result::{ClassificationResult, DetectedBox, DetectionResult};

/// Lower letters cannot be read. Those of the font here are 0.9 em high.
const LEAST_HEIGHT_PX: u32 = 5;

const SIZES: [(u32, u32); 8] = [(4000, 60), (60, 4000), (40, 40), (224, 224), (1000, 14), (200, 8), (48, 24), (3000, 2000)];
const NAMES: [&str; 2] = ["A", "AAA BBB CCC AAA BBB CCC AAA BBB CCC"];

fn font() -> FontFolder {
    FontFolder::new(&[("latin.ttf", block_font("Latin Blocks", "ABC.09"))])
}

/// Checks that the letters of the one label in `drawn` end before the edges of the picture, and can be read.
fn assert_readable(drawn: &ImageBuf, what: &str) {
    let width = drawn.size().width;
    let is_ink = |pixel: &[u8]| pixel == [0; 3] || pixel == [255; 3]; // nothing else is of these colours
    let ink = drawn.data().chunks_exact(3).zip(0..).filter(|(pixel, _)| is_ink(pixel)).map(|(_, at)| (at % width, at / width));
    let points: Vec<(u32, u32)> = ink.collect();
    let (left, top, right, bottom) = super::extent(&points);
    assert!(left > 0 && right + 1 < width && bottom + 1 < drawn.size().height, "{what}: {left} {top} {right} {bottom}");
    assert!(bottom + 1 - top >= LEAST_HEIGHT_PX, "{what}: {} pixels high", bottom + 1 - top);
    // The last letters too, those of the score: as wide as four.
    assert!(right + 1 - left >= 3 * (bottom + 1 - top), "{what}: {left} to {right}");
}

#[test]
fn labels_of_boxes_are_whole_and_readable_wherever_these_are() {
    let fonts = font();
    for (width, height) in SIZES {
        for (name, place) in NAMES.into_iter().flat_map(|name| [(0.0, 0.0), (0.5, 0.4), (0.9, 0.9)].map(|place| (name, place))) {
            let (x, y) = (width as f32 * place.0, height as f32 * place.1);
            let found = DetectedBox { cls_id: 0, label: name.into(), score: 0.9, coordinate: [x, y, width as f32, height as f32] };
            let result = DetectionResult { boxes: vec![found], ..DetectionResult::default() };
            let drawn = draw_detection(picture(width, height).view(), &result, &fonts.fonts()).expect("drawn");
            assert_readable(&drawn, &format!("{width}x{height}, {name} at {x}, {y}"));
        }
    }
}

#[test]
fn labels_of_pictures_are_whole_and_readable() {
    let fonts = font();
    for (width, height) in SIZES {
        for name in NAMES {
            let (class_ids, scores, label_names) = (vec![0], vec![0.9], vec![name.to_owned()]);
            let result = ClassificationResult { class_ids, scores, label_names, ..ClassificationResult::default() };
            let drawn = draw_classification(picture(width, height).view(), &result, &fonts.fonts()).expect("drawn");
            assert_readable(&drawn, &format!("{width}x{height}, {name}"));
        }
    }
}

//! Pictures and files of results: where ink stands, which font is asked, what the files are called.

#[path = "fixtures/render/block_font.rs"]
mod block_font;
#[path = "render/labels.rs"]
mod labels;

use block_font::{block_font, collection};
use hpinfer::Error;
use hpinfer::image::mark::is_marked;
use hpinfer::image::{FrameId, ImageBuf, PixelFormat, PointI, Size};
use hpinfer::result::json::Schema;
use hpinfer::result::render::draw_ocr;
use hpinfer::result::render::font::{Face, Fonts};
use hpinfer::result::render::save::{OCR_SUFFIX, PICTURE_SUFFIX, Saver};
use hpinfer::result::{Header, OcrResult, PipelineResult, Seal, SealResult};
use hpinfer::source::NamedInputs;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

const W: u32 = 200;
const H: u32 = 120;
/// A colour whose channels differ, so that a swapped order is noticed.
const BGR: [u8; 3] = [60, 120, 180];

fn picture(width: u32, height: u32) -> ImageBuf {
    ImageBuf::new(BGR.repeat((width * height) as usize), Size::new(width, height), PixelFormat::Bgr).expect("sizes fit")
}

/// Corners, text and recognition score.
type Region<'a> = ([(i32, i32); 4], &'a str, f32);

fn result(regions: &[Region]) -> OcrResult {
    OcrResult {
        dt_polys: regions.iter().map(|(quad, ..)| quad.map(|(x, y)| PointI::new(x, y)).to_vec()).collect(),
        dt_scores: vec![0.9; regions.len()],
        rec_text: regions.iter().map(|(_, text, _)| text.to_string()).collect(),
        rec_score: regions.iter().map(|(.., score)| *score).collect(),
        ..Default::default()
    }
}

/// A folder with font files, and [`Fonts`] that search it alone.
struct FontFolder(TempDir);

impl FontFolder {
    fn new(files: &[(&str, Vec<u8>)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, bytes) in files {
            fs::write(folder.path().join(name), bytes).expect("written");
        }
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn fonts(&self) -> Fonts {
        Fonts::new(None).expect("nothing to read").with_folders(vec![self.0.path().to_owned()])
    }
}

fn latin() -> FontFolder {
    FontFolder::new(&[("latin.ttf", block_font("Latin Blocks", "ABC"))])
}

fn nowhere() -> Fonts {
    Fonts::new(None).expect("nothing to read").with_folders(Vec::new())
}

/// The faces chosen for `text`, as `file:index`.
fn faces(fonts: &Fonts, text: &str) -> Vec<String> {
    let name = |(path, index): (&Path, u32)| format!("{}:{index}", path.file_name().expect("a file").to_string_lossy());
    fonts.stack_for([text]).faces().map(|face| name(face.origin())).collect()
}

/// Pixel of the left (0) or right (1) panel.
fn at(drawn: &ImageBuf, panel: u32, x: u32, y: u32) -> [u8; 3] {
    let start = ((y * drawn.size().width + panel * drawn.size().width / 2 + x) * 3) as usize;
    drawn.data()[start..start + 3].try_into().expect("three samples")
}

/// Black pixels of the right panel.
fn ink(drawn: &ImageBuf) -> Vec<(u32, u32)> {
    let (width, height) = (drawn.size().width / 2, drawn.size().height);
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).filter(|&(x, y)| at(drawn, 1, x, y) == [0, 0, 0]).collect()
}

fn extent(points: &[(u32, u32)]) -> (u32, u32, u32, u32) {
    let x = points.iter().map(|p| p.0);
    let y = points.iter().map(|p| p.1);
    (x.clone().min().unwrap_or(0), y.clone().min().unwrap_or(0), x.max().unwrap_or(0), y.max().unwrap_or(0))
}

#[test]
fn two_panels_with_a_tinted_region_and_its_text() {
    let fonts = latin();
    let result = result(&[([(20, 30), (139, 30), (139, 69), (20, 69)], "AB", 0.9)]);
    let drawn = draw_ocr(picture(W, H).view(), &result, &fonts.fonts()).expect("drawn");
    assert_eq!((drawn.size(), drawn.format()), (Size::new(2 * W, H), PixelFormat::Rgb));

    let rgb = [BGR[2], BGR[1], BGR[0]];
    let tint = at(&drawn, 0, 80, 50);
    assert_ne!(tint, rgb);
    for y in 0..H {
        for x in 0..W {
            let (inside, near) = ((22..=137).contains(&x) && (32..=67).contains(&y), (18..=141).contains(&x) && (28..=71).contains(&y));
            if inside {
                assert_eq!(at(&drawn, 0, x, y), tint, "({x}, {y})");
            } else if !near {
                assert_eq!(at(&drawn, 0, x, y), rgb, "({x}, {y})");
                assert_eq!(at(&drawn, 1, x, y), [255; 3], "({x}, {y})");
            }
        }
    }
    // Half the picture and half a colour: the colour can be recovered, and it outlines the region on the right.
    let colour: Vec<i32> = tint.iter().zip(rgb).map(|(t, p)| i32::from(*t) * 2 - i32::from(p)).collect();
    let outline = at(&drawn, 1, 80, 30);
    for (c, o) in colour.iter().zip(outline) {
        assert!((0..=255).contains(c) && (c - i32::from(o)).abs() <= 2, "{colour:?} {outline:?}");
    }
    // Two blocks of 0.9 em, an em is 85 % of the height of 39: left-aligned, vertically centred, a gap between.
    let (em, blocks) = (0.85 * 39.0, ink(&drawn));
    let (left, top, right, bottom) = extent(&blocks);
    assert!((right - left) as f32 > 1.9 * em - 4.0 && ((right - left) as f32) < 1.9 * em + 1.0, "{left}..{right}");
    assert!((bottom - top) as f32 > 0.9 * em - 3.0 && left < 30 && top >= 30 && bottom <= 69, "{left} {top} {bottom}");
    assert!(blocks.len() as f32 > 0.85 * 2.0 * (0.9 * em).powi(2), "{}", blocks.len());
}

#[test]
fn text_is_squeezed_into_a_narrow_box_and_never_leaves_it() {
    let fonts = latin();
    for text in ["ABCABCABC", "A\tB  C\nA", &"ABC".repeat(10)] {
        let result = result(&[([(50, 40), (149, 60), (143, 89), (44, 69)], text, 0.9)]);
        let drawn = draw_ocr(picture(W, H).view(), &result, &fonts.fonts()).expect("drawn");
        let points: Vec<_> = (0..H)
            .flat_map(|y| (0..W).map(move |x| (x, y)))
            .filter(|&(x, y)| {
                let p = at(&drawn, 1, x, y);
                p.iter().max().expect("three") - p.iter().min().expect("three") < 20 && p[0] < 200 // grey or black, hence no outline
            })
            .collect();
        assert!(points.len() > 40, "{text}: {}", points.len());
        for (x, y) in points {
            // Distances to the four edges, positive inside.
            let corners = [(50.0, 40.0), (149.0, 60.0), (143.0, 89.0), (44.0, 69.0)];
            for (i, a) in corners.iter().enumerate() {
                let b = corners[(i + 1) % 4];
                let cross: f64 = (b.0 - a.0) * (f64::from(y) - a.1) - (b.1 - a.1) * (f64::from(x) - a.0);
                assert!(cross / (b.0 - a.0).hypot(b.1 - a.1) > -1.5, "{text}: ink at ({x}, {y})");
            }
        }
    }
}

#[test]
fn text_follows_the_corner_order() {
    let fonts = latin();
    let middle = |quad, text| {
        let drawn = draw_ocr(picture(W, H).view(), &result(&[(quad, text, 0.9)]), &fonts.fonts()).expect("drawn");
        let (left, top, right, bottom) = extent(&ink(&drawn));
        ((left + right) / 2, (top + bottom) / 2)
    };
    // One block, then room: the block stands where the text begins.
    assert!(middle([(20, 30), (119, 30), (119, 59), (20, 59)], "A").0 < 50);
    assert!(middle([(119, 59), (20, 59), (20, 30), (119, 30)], "A").0 > 90); // upside down
    // Taller than twice the width: downwards, whatever the text.
    assert!(middle([(20, 5), (49, 5), (49, 114), (20, 114)], "A").1 < 40);
    assert!(middle([(20, 5), (49, 5), (49, 114), (20, 114)], "   A").1 > 40);
    // At 30 px and below it stays across: the whole box is tall, the block as small as the box is wide.
    let (x, y) = middle([(20, 30), (29, 30), (29, 59), (20, 59)], "A");
    assert!((22..=27).contains(&x) && (42..=48).contains(&y), "{x} {y}");
}

#[test]
fn unsure_regions_are_left_out() {
    let fonts = latin();
    let quad = [(20, 30), (139, 30), (139, 69), (20, 69)];
    let drawn = draw_ocr(picture(W, H).view(), &result(&[(quad, "AB", 0.499), (quad, "AB", f32::NAN)]), &fonts.fonts()).expect("drawn");
    let blank = draw_ocr(picture(W, H).view(), &OcrResult::default(), &fonts.fonts()).expect("drawn");
    assert_eq!(drawn, blank);
    assert_ne!(draw_ocr(picture(W, H).view(), &result(&[(quad, "AB", 0.5)]), &fonts.fonts()).expect("drawn"), blank);
}

#[test]
fn equal_results_make_equal_pictures_and_neighbours_unlike_colours() {
    let fonts = latin();
    let quads = [[(5, 5), (60, 5), (60, 25), (5, 25)], [(5, 40), (60, 40), (60, 60), (5, 60)]];
    let regions = result(&[(quads[0], "A", 0.9), (quads[1], "B", 0.9)]);
    let draw = || draw_ocr(picture(W, H).view(), &regions, &fonts.fonts()).expect("drawn");
    let drawn = draw();
    assert_eq!(drawn, draw());
    assert_ne!(at(&drawn, 0, 30, 15), at(&drawn, 0, 30, 50));
}

#[test]
fn every_pixel_format_is_read() {
    let blank = |data: &[u8], format| {
        let image = ImageBuf::new(data.to_vec(), Size::new(1, 1), format).expect("sizes fit");
        draw_ocr(image.view(), &OcrResult::default(), &nowhere()).expect("drawn").data().to_vec()
    };
    assert_eq!(blank(&[1, 2, 3], PixelFormat::Bgr), [3, 2, 1, 255, 255, 255]);
    assert_eq!(blank(&[1, 2, 3], PixelFormat::Rgb), [1, 2, 3, 255, 255, 255]);
    assert_eq!(blank(&[7], PixelFormat::Gray), [7, 7, 7, 255, 255, 255]);
}

#[test]
fn odd_regions_are_drawn_as_far_as_they_can_be() {
    let fonts = latin();
    let far = i32::MAX;
    let long = "A".repeat(10_000);
    let regions = result(&[
        ([(0, 0); 4], "A", 0.9),
        ([(10, 10), (90, 10), (90, 10), (10, 10)], "A", 0.9),
        ([(10, 10), (90, 90), (90, 10), (10, 90)], "A", 0.9),
        ([(-50, -50), (-10, -50), (-10, -10), (-50, -10)], "A", 0.9),
        ([(-far, -far), (far, -far), (far, far), (-far, far)], "A", 0.9),
        ([(-far, 10), (far, 11), (far, 40), (-far, 40)], "A", 0.9),
        ([(-100_000, -100_000), (100_000, -100_000), (100_000, 100_000), (-100_000, 100_000)], "A", 0.9),
        ([(150, 80), (400, 80), (400, 300), (150, 300)], "A", 0.9),
        ([(10, 10), (90, 10), (90, 40), (10, 40)], &long, 0.9),
        ([(10, 10), (90, 10), (90, 40), (10, 40)], "", 0.9),
        ([(10, 10), (90, 10), (90, 40), (10, 40)], "\u{0}\u{1b}[0m \u{202e}A\u{200d}😀\u{fe0f}", f32::INFINITY),
    ]);
    for (width, height) in [(W, H), (1, 1), (1, 300), (300, 1), (9000, 40)] {
        let image = picture(width, height);
        for index in 0..regions.dt_polys.len() {
            let one = OcrResult {
                dt_polys: vec![regions.dt_polys[index].clone()],
                rec_text: vec![regions.rec_text[index].clone()],
                rec_score: vec![0.9],
                ..Default::default()
            };
            draw_ocr(image.view(), &one, &fonts.fonts()).expect("drawn");
        }
        draw_ocr(image.view(), &regions, &fonts.fonts()).expect("drawn");
    }
    for points in [&[][..], &[(5, 5)], &[(5, 5), (50, 50)], &[(5, 5), (90, 5), (50, 60)]] {
        let polygon = points.iter().map(|&(x, y)| PointI::new(x, y)).collect();
        let one = OcrResult { dt_polys: vec![polygon], rec_text: vec!["A".into()], rec_score: vec![0.9], ..Default::default() };
        draw_ocr(picture(W, H).view(), &one, &fonts.fonts()).expect("drawn");
    }
    // The part of a region that lies on the picture is tinted.
    let cut = result(&[([(150, 80), (400, 80), (400, 300), (150, 300)], "A", 0.9)]);
    let drawn = draw_ocr(picture(W, H).view(), &cut, &fonts.fonts()).expect("drawn");
    assert_ne!(at(&drawn, 0, 199, 119), at(&drawn, 0, 100, 60));
}

#[test]
fn lists_of_unlike_lengths_are_refused() {
    let mut broken = result(&[([(0, 0), (9, 0), (9, 9), (0, 9)], "A", 0.9)]);
    broken.rec_text.clear();
    assert!(matches!(draw_ocr(picture(W, H).view(), &broken, &nowhere()), Err(Error::Internal { .. })));
}

#[test]
fn without_glyphs_boxes_are_drawn_without_text() {
    let quad = [(20, 30), (139, 30), (139, 69), (20, 69)];
    let drawn = draw_ocr(picture(W, H).view(), &result(&[(quad, "AB", 0.9)]), &nowhere()).expect("drawn");
    assert!(ink(&drawn).is_empty());
    assert_ne!(at(&drawn, 1, 80, 30), [255; 3]);
    // A character that no font has beside one that a font has: its place is kept by the font's own sign.
    let fonts = latin();
    let sign = draw_ocr(picture(W, H).view(), &result(&[(quad, "A中", 0.9)]), &fonts.fonts()).expect("drawn");
    let both = draw_ocr(picture(W, H).view(), &result(&[(quad, "AB", 0.9)]), &fonts.fonts()).expect("drawn");
    assert_eq!(sign, both);
}

#[test]
fn the_choice_of_fonts_depends_on_the_picture_alone() {
    let folder = FontFolder::new(&[
        ("a.ttf", block_font("Aaa", "ABX")),
        ("b.ttc", collection(&[("Noto Sans CJK JP", "A中"), ("Noto Sans CJK SC", "A中国")])),
        ("c.ttf", block_font("Zzz", "ABC")),
        ("x.ttf", block_font("Zzzz", "Y")),
        ("broken.ttf", b"no font at all".to_vec()),
    ]);
    let cases: [(&str, &[&str]); 8] = [
        ("X", &[]),
        ("BY", &["a.ttf:0", "x.ttf:0"]),
        ("A 中国\t", &["b.ttc:1"]),
        ("A", &["b.ttc:1"]),
        ("AB", &["a.ttf:0"]),
        ("BC", &["c.ttf:0"]),
        ("中国BC😀", &["b.ttc:1", "c.ttf:0"]),
        (" \n\u{200d}", &[]),
    ];
    for rotation in 0..cases.len() {
        let fonts = folder.fonts();
        for (text, expected) in cases.iter().cycle().skip(rotation).take(cases.len()) {
            assert_eq!(faces(&fonts, text), *expected, "{text:?}");
        }
    }
    let named = Fonts::new(Some(&folder.path("a.ttf"))).expect("a font").with_folders(vec![folder.0.path().to_owned()]);
    assert_eq!(faces(&named, "A"), ["a.ttf:0"]);
    assert_eq!(faces(&named, "A中"), ["a.ttf:0", "b.ttc:1"]);
}

#[test]
fn a_named_font_that_is_none_is_an_error_at_once() {
    let folder = FontFolder::new(&[("text.ttf", b"no font at all".to_vec()), ("empty.ttf", Vec::new())]);
    for (name, expected) in [("absent.ttf", "io"), ("text.ttf", "bad_input"), ("empty.ttf", "bad_input"), (".", "bad_input")] {
        let error = Fonts::new(Some(&folder.path(name))).err().expect(name);
        assert_eq!(error.kind(), expected, "{error}");
        assert!(name == "." || error.to_string().contains(name), "{error}");
    }
    let collection = FontFolder::new(&[("c.ttc", collection(&[("One", "A"), ("Two", "B")]))]);
    assert!(Face::from_file(&collection.path("c.ttc"), 1).is_ok());
    assert!(Face::from_file(&collection.path("c.ttc"), 2).is_err());
}

#[test]
fn the_installer_runs_once_and_only_for_what_it_can_bring() {
    let folder = FontFolder::new(&[("a.ttf", block_font("Aaa", "AB"))]);
    let brought = FontFolder::new(&[("noto.ttf", block_font("Brought", "A中"))]);
    let calls = Arc::new(AtomicUsize::new(0));
    let installer = |outcome: Result<PathBuf, &'static str>| {
        let calls = calls.clone();
        Box::new(move || {
            calls.fetch_add(1, Ordering::Relaxed);
            outcome.clone().map_err(|reason| Error::missing("font", reason, "connect"))
        })
    };

    let fonts = folder.fonts().with_installer(installer(Ok(brought.path("noto.ttf"))));
    assert_eq!(faces(&fonts, "AB😀กา"), ["a.ttf:0"]); // emoji and Thai: not in the font that would be brought
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(faces(&fonts, "A中"), ["noto.ttf:0"]);
    assert_eq!(faces(&fonts, "B中"), ["a.ttf:0", "noto.ttf:0"]);
    assert_eq!(faces(&fonts, "国"), [""; 0]);
    assert_eq!(calls.load(Ordering::Relaxed), 1);

    let offline = folder.fonts().with_installer(installer(Err("no network")));
    assert_eq!(faces(&offline, "A中"), ["a.ttf:0"]);
    assert_eq!(faces(&offline, "国"), [""; 0]);
    assert_eq!(calls.load(Ordering::Relaxed), 2);

    let named = Fonts::new(Some(&folder.path("a.ttf"))).expect("a font").with_folders(Vec::new()).with_installer(installer(Err("unused")));
    assert_eq!(faces(&named, "A中"), ["a.ttf:0"]);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// What lies below `folder`, sorted, with `/`.
fn tree(folder: &Path) -> Vec<String> {
    let files = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_map(Result::ok).filter(|e| e.file_type().is_file());
    files.map(|e| e.path().strip_prefix(folder).expect("below").to_string_lossy().replace('\\', "/")).collect()
}

fn named(path: &str) -> PipelineResult {
    let header = Header { input_path: Some(path.into()), ..Header::default() };
    OcrResult { header, ..OcrResult::default() }.into()
}

#[test]
fn files_are_named_by_their_input() {
    let out = tempfile::tempdir().expect("a folder");
    let root = out.path().join("new/output");
    let saver = Saver::new(&root, nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    let image = picture(4, 3);
    let paged = |page| {
        let mut result = named("in/doc.pdf");
        result.header_mut().page_index = Some(page);
        result
    };
    let inputs = [
        (named("in/a.png"), ""),
        (named("in/a.jpg"), ""),        // the JSON names would be equal
        (named("elsewhere/a.png"), ""), // equal in full
        (named("in/a_1.png"), ""),      // looks like a name given out above
        (named("in/sub/a.png"), "sub/./deep"),
        (named("in/sub/a.png"), "../../x"), // stays below the folder
        (named("Photo.JPEG"), ""),
        (named("scan.tif"), ""),
        (named("b.bmp"), ""),
        (named("c.webp"), ""),
        (named("archive.tar"), ""),
        (named("发票 1.png"), ""),
        (named("https://example.com/x/y.png?size=2#top"), ""),
        (named("https://example.com"), ""),
        (OcrResult::default().into(), ""),
        (paged(0), ""),
        (paged(1), ""),
    ];
    for (result, folder) in &inputs {
        saver.save(result, image.view().into(), Path::new(folder)).expect("saved");
    }
    let stems = [
        ("a", "png"),
        ("a_1", "jpg"),
        ("a_1_1", "png"),
        ("a_2", "png"),
        ("sub/deep/a", "png"),
        ("x/a", "png"),
        ("Photo", "JPEG"),
        ("scan", "tif"),
        ("b", "bmp"),
        ("c", "png"),
        ("archive", "png"),
        ("发票 1", "png"),
        ("y", "png"),
        ("image", "png"),
        ("image_1", "png"),
        ("doc_0", "png"),
        ("doc_1", "png"),
    ];
    let mut expected: Vec<_> = stems.iter().flat_map(|(stem, suffix)| [format!("{stem}.json"), format!("{stem}.{suffix}")]).collect();
    expected.sort();
    let mut found = tree(&root);
    found.sort();
    assert_eq!(found, expected);
    for name in found.iter().filter(|name| !name.ends_with(".json")) {
        let reader = image::ImageReader::open(root.join(name)).expect("opened").with_guessed_format().expect("read");
        let by_suffix = image::ImageFormat::from_path(name).expect("a picture's suffix");
        assert_eq!(reader.format(), Some(by_suffix), "{name}");
        assert!(is_marked(&root.join(name)), "{name}: a later run would take it for an input");
        let pixels = reader.decode().expect("decoded").to_rgb8();
        assert_eq!(pixels.dimensions(), (8, 3), "{name}");
        for (i, v) in pixels.get_pixel(1, 1).0.into_iter().enumerate() {
            assert!(v.abs_diff(BGR[2 - i]) <= 3, "{name}: {:?}", pixels.get_pixel(1, 1));
        }
    }
    let json: serde_json::Value = serde_json::from_str(&fs::read_to_string(root.join("发票 1.json")).expect("read")).expect("JSON");
    assert_eq!(json["input_path"], "发票 1.png");

    // A second run replaces, without a word.
    fs::write(root.join("a.json"), "old").expect("written");
    let again = Saver::new(&root, nowhere(), Schema::V3, OCR_SUFFIX).expect("a sink");
    again.save(&named("in/a.png"), image.view().into(), Path::new("")).expect("saved");
    assert!(fs::read_to_string(root.join("a.json")).expect("read").contains("rec_texts"));
    assert_eq!(tree(&root).len(), expected.len());
}

#[test]
fn names_follow_the_order_of_reservation() {
    let out = tempfile::tempdir().expect("a folder");
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    let slots: Vec<_> =
        (0..3).map(|_| saver.reserve(&FrameId { input_path: Some("a.png".into()), page_index: None }, Path::new(""))).collect();
    let names: Vec<_> = slots.iter().map(|s| s.json.clone().expect("a name")).collect();
    assert_eq!(names, ["a.json", "a_1.json", "a_2.json"].map(|n| out.path().join(n)));
    assert!(tree(out.path()).is_empty());
}

#[test]
fn a_file_as_save_path_is_used_as_is() {
    let out = tempfile::tempdir().expect("a folder");
    let image = picture(4, 3);
    for target in ["r/one.json", "one.jpg", "one.png"] {
        let saver = Saver::new(&out.path().join(target), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
        saver.save(&named("in/x.png"), image.view().into(), Path::new("sub")).expect("saved");
    }
    assert_eq!(tree(out.path()), ["one.jpg", "one.png", "r/one.json"]);
    let saver = Saver::new(&out.path().join("one.png"), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    for _ in 0..2 {
        saver.save(&named("in/x.png"), image.view().into(), Path::new("")).expect("saved");
    }
    assert_eq!(tree(out.path()), ["one.jpg", "one.png", "one_1.png", "r/one.json"]);

    fs::create_dir(out.path().join("folder.png")).expect("made");
    let saver = Saver::new(&out.path().join("folder.png"), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    saver.save(&named("x.png"), image.view().into(), Path::new("")).expect("saved");
    assert_eq!(tree(&out.path().join("folder.png")), ["x.json", "x.png"]);
}

#[test]
fn a_picture_too_wide_for_a_jpeg_becomes_a_png() {
    let out = tempfile::tempdir().expect("a folder");
    let wide = picture(40_000, 2); // and two panels of it
    let save = |target: &Path| {
        let saver = Saver::new(target, nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
        saver.save(&named("in/wide.jpg"), wide.view().into(), Path::new(""))
    };
    save(out.path()).expect("saved");
    assert_eq!(tree(out.path()), ["wide.json", "wide.png"]);
    let error = save(&out.path().join("asked.jpg")).expect_err("a JPEG was asked for").to_string();
    assert!(error.contains("a JPEG cannot be 80000x2"), "{error}");
}

#[test]
fn inputs_whose_turn_has_not_come_are_spared() {
    let out = tempfile::tempdir().expect("a folder");
    for name in ["page_0.png", "page_0_ocr_res_img.png", "earlier.png"] {
        fs::write(out.path().join(name), name).expect("written");
    }
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    let saver = saver.sparing(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("page_0")));
    for name in ["page_0.png", "earlier.png"] {
        saver.save(&named(&format!("other/{name}")), picture(4, 3).view().into(), Path::new("")).expect("saved");
    }
    let expected =
        ["earlier.json", "earlier.png", "page_0.png", "page_0_ocr_res_img.png", "page_0_ocr_res_img_1.json", "page_0_ocr_res_img_1.png"];
    assert_eq!(tree(out.path()), expected);
    let text = |name: &str| fs::read(out.path().join(name)).expect("read");
    for name in ["page_0.png", "page_0_ocr_res_img.png"] {
        assert_eq!(text(name), name.as_bytes());
    }
    assert_ne!(text("earlier.png"), b"earlier.png", "results of earlier runs are replaced");
}

#[test]
fn files_of_parts_spare_inputs_and_are_known_again() {
    let out = tempfile::tempdir().expect("a folder");
    let input = out.path().join("doc_layout.jpg");
    fs::write(&input, "an input").expect("written");
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, PICTURE_SUFFIX).expect("a sink").remembering();
    let saver = saver.sparing(|path| path.extension().is_some_and(|suffix| suffix != "json"));
    let header = named("doc.png").header().clone();
    let result = PipelineResult::Seals(SealResult { header, prepared: None, layout: Vec::new(), seals: vec![Seal::default()] });
    for _ in 0..2 {
        saver.save(&result, picture(40, 30).view().into(), Path::new("")).expect("saved");
    }
    assert_eq!(fs::read_to_string(&input).expect("read"), "an input");
    let found = tree(out.path());
    assert_eq!(found, ["doc.json", "doc_1.json", "doc_1_layout.jpg", "doc_layout.jpg", "doc_layout_res.jpg"]);
    let own = |name: &&String| saver.wrote(&out.path().join(name));
    assert_eq!(found.iter().filter(|name| !own(name)).collect::<Vec<_>>(), ["doc_layout.jpg"]);
}

/// A name may be as long as the file system allows; its endings do not fit behind it then.
/// Whoever reads the earlier file, by whatever name, goes on reading that.
#[test]
fn a_file_that_is_there_is_replaced_whole() {
    let out = tempfile::tempdir().expect("a folder");
    let (file, other) = (out.path().join("a.json"), out.path().join("other"));
    fs::write(&file, "earlier").expect("written");
    fs::hard_link(&file, &other).expect("a link");
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    let slot = saver.save(&named("a.png"), picture(4, 3).view().into(), Path::new("")).expect("saved");
    assert_eq!(slot.json.as_deref(), Some(&*file));
    assert!(fs::read_to_string(&file).expect("there").starts_with('{'));
    assert_eq!(fs::read_to_string(&other).expect("there"), "earlier");
}

#[test]
fn names_that_leave_no_room_for_endings_are_cut() {
    let out = tempfile::tempdir().expect("a folder");
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, PICTURE_SUFFIX).expect("a sink");
    let long = "印".repeat(83);
    for name in [format!("{long}一.png"), format!("{long}二.png")] {
        let header = named(&name).header().clone();
        let result = PipelineResult::Seals(SealResult { header, prepared: None, layout: Vec::new(), seals: vec![Seal::default()] });
        saver.save(&result, picture(40, 30).view().into(), Path::new("")).expect("saved");
    }
    let stem = "印".repeat(73);
    let expected = [format!("{stem}.json"), format!("{stem}_1.json"), format!("{stem}_1_layout.jpg"), format!("{stem}_layout.jpg")];
    assert_eq!(tree(out.path()), expected);
}

/// A picture that was there before is none of the results of its neighbour, whatever it is called.
#[test]
fn inputs_that_are_called_like_parts_are_spared() {
    let folder = tempfile::tempdir().expect("a folder");
    let [input, other] = ["doc.webp", "doc_layout.jpg"].map(|name| folder.path().join(name));
    [&input, &other].iter().for_each(|path| fs::write(path, "an input").expect("written"));
    let inputs = NamedInputs::new(&[folder.path()]);
    let saver = Saver::new(folder.path(), nowhere(), Schema::V3Beta1, PICTURE_SUFFIX).expect("a sink").remembering();
    let saver = saver.sparing(move |path| inputs.contains(path));
    let header = named(&input.to_string_lossy()).header().clone();
    let result = PipelineResult::Seals(SealResult { header, prepared: None, layout: Vec::new(), seals: vec![Seal::default()] });
    saver.save(&result, picture(40, 30).view().into(), Path::new("")).expect("saved");
    assert_eq!(fs::read_to_string(&other).expect("read"), "an input");
    assert_eq!(tree(folder.path()), ["doc.json", "doc.webp", "doc_layout.jpg", "doc_layout_res.jpg"]);
}

#[test]
fn the_input_is_never_overwritten() {
    let out = tempfile::tempdir().expect("a folder");
    let input = out.path().join("a.png");
    fs::write(&input, "the input").expect("written");
    let roundabout = out.path().join("./a.png");
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    for path in [input.as_path(), &roundabout, Path::new("other/a.png")] {
        saver.save(&named(&path.to_string_lossy()), picture(4, 3).view().into(), Path::new("")).expect("saved");
    }
    assert_eq!(fs::read_to_string(&input).expect("read"), "the input");
    let expected =
        ["a.png", "a_1.json", "a_1.png", "a_ocr_res_img.json", "a_ocr_res_img.png", "a_ocr_res_img_1.json", "a_ocr_res_img_1.png"];
    assert_eq!(tree(out.path()), expected);
}

#[test]
fn a_failing_save_names_the_path_and_leaves_nothing_behind() {
    let out = tempfile::tempdir().expect("a folder");
    fs::write(out.path().join("plain"), "").expect("written");
    let refused = Saver::new(&out.path().join("plain"), nowhere(), Schema::V3Beta1, OCR_SUFFIX).err().expect("a file is no folder");
    assert!(matches!(&refused, Error::Config { place, .. } if place == "--save_path") && refused.to_string().contains("plain"));
    let below = Saver::new(&out.path().join("plain/deeper"), nowhere(), Schema::V3Beta1, OCR_SUFFIX).err().expect("no folder below a file");
    assert!(matches!(&below, Error::Io { .. }) && below.to_string().contains("deeper"));

    let root = out.path().join("out");
    let saver = Saver::new(&root, nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    fs::create_dir(root.join("a.json")).expect("made");
    fs::write(root.join("a.json/keep"), "").expect("written");
    let error = saver.save(&named("a.png"), picture(4, 3).view().into(), Path::new("")).expect_err("a folder stands in the way");
    assert!(matches!(&error, Error::Io { path, .. } if path.ends_with("a.json")), "{error}");
    saver.save(&named("b.png"), picture(4, 3).view().into(), Path::new("")).expect("the next item is saved");
    assert_eq!(tree(&root), ["a.json/keep", "b.json", "b.png"]);
}

#[test]
fn files_get_the_usual_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let out = tempfile::tempdir().expect("a folder");
    let plain = out.path().join("plain");
    fs::write(&plain, "").expect("written");
    let saver = Saver::new(out.path(), nowhere(), Schema::V3Beta1, OCR_SUFFIX).expect("a sink");
    let slot = saver.save(&named("a.png"), picture(4, 3).view().into(), Path::new("")).expect("saved");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode();
    assert_eq!(mode(&slot.json.expect("a name")), mode(&plain));
    assert_eq!(mode(&slot.picture.expect("a name")), mode(&plain));
}

proptest::proptest! {
    /// Any corners: nothing panics, and nothing is painted away from the region's bounding box.
    #[test]
    fn nothing_is_painted_away_from_the_region(
        corners in proptest::array::uniform4((corner(), corner())),
        (width, height) in (1_u32..400, 1_u32..90),
        text in "[ABC 中\t]{0,12}",
    ) {
        let fonts = latin();
        let drawn = draw_ocr(picture(width, height).view(), &result(&[(corners, &text, 0.9)]), &fonts.fonts()).expect("drawn");
        let (x, y) = (corners.map(|p| p.0), corners.map(|p| p.1));
        let near = |v: u32, of: [i32; 4]| of.iter().any(|c| *c <= v as i32 + 2) && of.iter().any(|c| *c >= v as i32 - 2);
        for (px, py) in (0..height).flat_map(|py| (0..width).map(move |px| (px, py))) {
            if !(near(px, x) && near(py, y)) {
                proptest::prop_assert_eq!((at(&drawn, 0, px, py), at(&drawn, 1, px, py)), ([BGR[2], BGR[1], BGR[0]], [255; 3]), "({}, {})", px, py);
            }
        }
    }
}

fn corner() -> impl proptest::strategy::Strategy<Value = i32> {
    proptest::prop_oneof![8 => -20..420_i32, 2 => -5_000..5_000_i32, 1 => proptest::num::i32::ANY]
}

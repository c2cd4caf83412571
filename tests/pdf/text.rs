//! Text layers: what is read from them, against PDFium, and what it is used for.

use super::{fixture, load, processes};
use hpinfer::image::page_text::TextUse;
use hpinfer::image::{Frame, PageText, PointI};
use hpinfer::ops::text_layer::{self, TextLine};
use hpinfer::source::PdfOptions;
use hpinfer::source::pdf::TextLayer;
use serde_json::Value;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Boxes of lines are made of em boxes here, and of the boxes fonts state there; in pixels.
const BOX_TOLERANCE: f64 = 7.0;

fn texts(name: &str, text: TextLayer, options: PdfOptions) -> Vec<Option<Arc<PageText>>> {
    let frames = load(&fixture(name), &PdfOptions { text, ..options });
    frames.into_iter().map(|frame| frame.unwrap()).map(|Frame { text, .. }| text).collect()
}

fn lines(text: &Option<Arc<PageText>>) -> Vec<TextLine> {
    text_layer::lines(&text.as_ref().expect("a text layer").glyphs)
}

fn words<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.sort_unstable();
    words
}

#[test]
fn layers_hold_the_words_that_pdfium_reads_where_it_reads_them() {
    let expected: Value = serde_json::from_slice(&std::fs::read(fixture("layers.json")).unwrap()).unwrap();
    for (name, pages) in expected.as_object().unwrap() {
        let found = texts(&format!("{name}.pdf"), TextLayer::Geometric, PdfOptions::default());
        for (index, (text, page)) in found.iter().zip(pages.as_array().unwrap()).enumerate() {
            let found = lines(text);
            let expected = page.as_array().unwrap();
            // Glyphs that mean nothing are unknown here, and their codes there.
            let is_secret = name == "layers" && index == 3;
            if !is_secret {
                let theirs = words(expected.iter().map(|line| line["text"].as_str().unwrap()));
                assert_eq!(words(found.iter().map(|line| &line.text[..])), theirs, "{name} page {index}");
            }
            let mut compared = 0;
            for line in expected {
                let Some(found) = found.iter().find(|f| f.text == line["text"].as_str().unwrap()) else { continue };
                let (xs, ys) = (found.quad.map(|p| f64::from(p.x)), found.quad.map(|p| f64::from(p.y)));
                let least = |v: [f64; 4]| v.into_iter().fold(f64::MAX, f64::min);
                let most = |v: [f64; 4]| v.into_iter().fold(f64::MIN, f64::max);
                let ours = [least(xs), least(ys), most(xs), most(ys)];
                let theirs: Vec<f64> = serde_json::from_value(line["box"].clone()).unwrap();
                let far = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(far < BOX_TOLERANCE, "{name} page {index}: {} at {ours:?}, PDFium has {theirs:?}", found.text);
                compared += 1;
            }
            assert!(compared > 0 || is_secret, "{name} page {index}: no line is as PDFium breaks it: {found:?}");
        }
    }
}

#[test]
fn lines_are_broken_at_columns_and_keep_their_raised_figures() {
    let pages = texts("layers.pdf", TextLayer::Geometric, PdfOptions::default());
    let first: Vec<String> = lines(&pages[0]).into_iter().map(|line| line.text).collect();
    let turned: Vec<String> = lines(&pages[1]).into_iter().map(|line| line.text).collect();
    assert_eq!(first, ["Invoice No. 2026-11", "Total amount due:", "Area 12 m2 net", "left", "right", "bold", "upwards"]);
    assert_eq!(first.len(), turned.len());
    first.iter().for_each(|line| assert!(turned.contains(line), "{line} not in {turned:?}"));
    assert!(texts("layers.pdf", TextLayer::Geometric, processes()) == pages, "read in another process");
    let unknown = &lines(&pages[3])[0].text;
    assert!(unknown.chars().all(|c| c == char::REPLACEMENT_CHARACTER), "{unknown}");
    assert!(!text_layer::is_readable(unknown));
}

#[test]
fn modes_use_what_they_say() {
    let uses =
        |mode| texts("layers.pdf", mode, PdfOptions::default()).iter().map(|text| text.as_ref().map(|t| t.usage)).collect::<Vec<_>>();
    assert_eq!(uses(TextLayer::Ocr), [None; 4]);
    assert_eq!(uses(TextLayer::Geometric), [Some(TextUse::Lines); 4]);
    assert_eq!(uses(TextLayer::Auto), [TextUse::Lines, TextUse::Lines, TextUse::Check, TextUse::Check].map(Some));
    let read = &texts("layers.pdf", TextLayer::Auto, PdfOptions::default())[2..];
    assert!(read.iter().flatten().all(|text| text.glyphs.is_empty()), "they are read, and their results say so");
    assert_eq!(uses(TextLayer::AutoVerified), [Some(TextUse::Check); 4]);
    let verified = texts("layers.pdf", TextLayer::AutoVerified, PdfOptions::default());
    assert!(lines(&verified[2]).is_empty(), "hidden text verifies nothing");
}

#[test]
fn a_text_verifies_an_outline_that_it_fills() {
    let pages = texts("text.pdf", TextLayer::AutoVerified, PdfOptions::default());
    let glyphs = &pages[0].as_ref().unwrap().glyphs;
    let outline = |left, top, right, bottom| [(left, top), (right, top), (right, bottom), (left, bottom)].map(|(x, y)| PointI::new(x, y));
    assert_eq!(text_layer::within(glyphs, &outline(15, 10, 255, 50)).as_deref(), Some("Delivery note 4711"));
    assert_eq!(text_layer::within(glyphs, &outline(15, 10, 190, 50)).as_deref(), Some("Delivery note"), "as far as the outline goes");
    assert_eq!(text_layer::within(glyphs, &outline(15, 10, 299, 50)), None, "there is more than the text");
    assert_eq!(text_layer::within(glyphs, &outline(15, 50, 260, 120)), None, "three lines");
    assert_eq!(text_layer::within(glyphs, &outline(0, 0, 10, 10)), None, "nothing");
}

/// OCR of a document whose text layer has its text.
fn ocr() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hpinfer"));
    for variable in ["HPINFER_THREADS", "HPINFER_LOG", "RUST_LOG", "ORT_DYLIB_PATH", "OPENVINO_LIB_PATH"] {
        command.env_remove(variable);
    }
    command.env("HPINFER_HOME", std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).stdin(Stdio::null());
    command.args(["--pipeline", "OCR", "--backend", "openvino", "--input"]).arg(fixture("text.pdf"));
    command
}

#[test]
fn what_cannot_be_opened_is_an_error_of_the_run_whatever_documents_say() {
    for (flag, value, why) in [
        ("--text-det-model", "nonsense", "model nonsense is missing"),
        ("--text-det-model", "PP-OCRv4_mobile_rec", "a text detector"),
        ("--backend", "tensorrt", "tensorrt"),
    ] {
        let output = ocr().args(["--offline", "--pdf-text=geometric", flag, value]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && output.stdout.is_empty() && said.contains(why), "{said}");
    }
    let said = ocr().args(["--pdf-text=geometric", "-v"]).output().unwrap().stderr;
    assert!(String::from_utf8_lossy(&said).contains("PP-OCRv4_mobile_det runs on openvino"), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn results_say_which_texts_are_from_the_document() {
    let read = |mode: Option<&str>| -> Value {
        let output = ocr().args(mode.map(|mode| format!("--pdf-text={mode}"))).output().unwrap();
        assert!(output.status.success(), "{mode:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let count = |result: &Value, source: &str| result["rec_source"].as_array().unwrap().iter().filter(|s| **s == *source).count();
    let seen = read(None);
    assert!(seen.get("rec_source").is_none(), "{seen}");
    let stated = read(Some("geometric"));
    let texts = |result: &Value| -> Vec<String> { serde_json::from_value(result["rec_text"].clone()).unwrap() };
    assert_eq!(texts(&stated).len(), count(&stated, "pdf"));
    assert!(stated["run"] == serde_json::json!([]) && seen["run"].as_array().is_some_and(|run| run.len() == 2), "{stated}");
    assert!(
        texts(&stated).contains(&"1 Wrench (17 mm) 12.90".into()) && texts(&stated).contains(&"turned by fifteen degrees".into()),
        "{stated}"
    );
    let verified = read(Some("auto_verified"));
    assert_eq!(verified["dt_polys"], seen["dt_polys"], "the same lines are found");
    assert!(count(&verified, "pdf") >= 4 && texts(&verified).contains(&"Delivery note 4711".into()), "{verified}");
    assert_eq!(count(&verified, "pdf") + count(&verified, "ocr"), texts(&verified).len());
    assert_eq!(read(Some("auto"))["rec_text"], stated["rec_text"]);
}

//! Networks of text: a map of ink, as detectors of lines and of seals give it; classes by column; the structure of a table.

use super::{BACKENDS, mixed, model};
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A white picture with words, each from its top left corner: letters of 20x20 pixels in red, green or blue, with black between them.
fn written(folder: &Path, (width, height): (u32, u32), words: &[(u32, u32, &str)]) -> PathBuf {
    let mut page = image::RgbImage::from_pixel(width, height, image::Rgb([255; 3]));
    for &(left, top, word) in words {
        let last = 20 * word.len() as u32 - 1;
        for (x, y) in (0..=last).flat_map(|x| (0..20).map(move |y| (x, y))) {
            let letter = word.as_bytes()[x as usize / 20];
            let colour = b"rgb".map(|colour| if colour == letter { 255 } else { 0 });
            let is_between = x % 20 >= 16 && x / 20 < last / 20;
            page.put_pixel(left + x, top + y, image::Rgb(if is_between { [0; 3] } else { colour }));
        }
    }
    let path = folder.join("words.png");
    page.save(&path).expect("a picture");
    path
}

/// The result on each backend; `models` by flag.
fn on_each_backend(pipeline: &str, models: &[(&str, &Path)], input: &Path, check: impl Fn(&Value)) {
    for backend in BACKENDS {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
        command.args(["--pipeline", pipeline, "--backend", backend, "--input"]).arg(input);
        command.args(models.iter().flat_map(|(flag, model)| [OsStr::new(flag), model.as_os_str()]));
        let ran = command.output().expect("the command starts");
        let line: Value = serde_json::from_slice(&ran.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&ran.stderr)));
        let engines = line["run"].as_array().expect("a list").iter().map(|run| &run["backend"]);
        assert_eq!(engines.collect::<Vec<_>>(), vec![backend; models.iter().filter(|(_, model)| model.is_dir()).count()]);
        check(&line);
    }
}

#[test]
fn words_are_found_and_read() {
    let (folder, reader) = (tempfile::tempdir().expect("a folder"), model("text_recognise"));
    let input = written(folder.path(), (128, 128), &[(20, 22, "rgb"), (40, 80, "gb")]);
    let detector = model("text_detect");
    on_each_backend("OCR", &[("--text-det-model", &*detector), ("--text-rec-model", &*reader)], &input, |line| {
        assert_eq!(line["rec_text"], json!(["rgb", "gb"]), "{line}");
        // 59x19 between the outer pixels, wider on each side by half the area over the outline: 3.6.
        let corners = line["dt_polys"][0].as_array().expect("corners").iter().flat_map(|corner| corner.as_array().expect("a corner"));
        let off = corners.zip([16, 18, 83, 18, 83, 45, 16, 45]).map(|(found, wanted)| (found.as_i64().expect("pixels") - wanted).abs());
        assert!(off.max() <= Some(1), "{line}");
        // Eight columns of 60 are black; the rest is a third as light as white.
        super::near(&json!([line["dt_scores"][0]]), &[(52.0 * 2.0 / 3.0 + 8.0) / 60.0]);
    });
    let detector = model("seal_detect");
    let models = [("--layout-model", Path::new("none")), ("--seal-text-det-model", &*detector), ("--text-rec-model", &*reader)];
    on_each_backend("seal_recognition", &models, &input, |line| {
        let seal = &line["ocr_result"][0];
        assert_eq!(seal["rec_text"], json!(["gb", "rgb"]), "{line}");
        assert!(seal["dt_polys"][0].as_array().is_some_and(|outline| outline.len() > 4), "{line}");
    });
}

#[test]
fn words_of_a_table_lie_in_its_cells() {
    let folder = tempfile::tempdir().expect("a folder");
    // Its table is the right half of the picture.
    let layout = mixed(folder.path(), "layout", ["detect_yolo"; 2], ["red, green, blue", "Text, Figure, Table"]);
    let [table, detector, reader] = ["table", "text_detect", "text_recognise"].map(model);
    let input = written(folder.path(), (256, 128), &[(134, 40, "rg"), (200, 44, "bg"), (20, 80, "gb")]);
    let models =
        [("--layout-model", &*layout), ("--table-model", &*table), ("--text-det-model", &*detector), ("--text-rec-model", &*reader)];
    on_each_backend("table_recognition", &models, &input, |line| {
        let table = &line["table_result"][0];
        assert_eq!(table["html"], "<html><body><table><tr><td>rg</td><td>bg</td></tr></table></body></html>", "{line}");
        super::near(&table["bbox"][0], &[128.0, 0.0, 192.0, 0.0, 192.0, 128.0, 128.0, 128.0]);
    });
}

#[test]
fn pages_are_made_upright_and_flat_before_they_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    // White is as much red as it is green or blue.
    let turned = mixed(folder.path(), "turned", ["classify"; 2], ["red, green, blue, dark", "'180', '180', '180', '0'"]);
    let [layout, unwarp, detector, reader] = ["detect_nothing", "unwarp", "text_detect", "text_recognise"].map(model);
    let upright = written(folder.path(), (128, 160), &[(20, 22, "rgb"), (40, 80, "gb")]);
    let overturned = folder.path().join("overturned.png");
    image::imageops::rotate180(&image::open(&upright).expect("a picture")).save(&overturned).expect("a picture");
    let (turn, flatten) = (("--doc-image-ori-cls-model", &*turned), ("--doc-image-unwarp-model", &*unwarp));
    for (input, steps) in [(&overturned, &[turn][..]), (&overturned, &[flatten]), (&upright, &[turn, flatten])] {
        let text = [("--layout-model", &*layout), ("--text-det-model", &*detector), ("--text-rec-model", &*reader)];
        on_each_backend("PP-ChatOCRv3-doc", &[&text, steps].concat(), input, |line| {
            assert!(line.to_string().contains(r#""rec_text":["rgb","gb"]"#), "{line}");
        });
    }
}

//! What is moved to and from a GPU, as users of the command see it.

use super::nvjpeg_cli::{Host, ON_GPU};
use serde_json::Value;

#[test]
fn what_was_moved_stands_beside_times_and_in_traces() {
    let host = Host::new();
    let [picture, trace] = ["one.png", "trace.json"].map(|name| host.files.path().join(name).display().to_string());
    image::RgbImage::from_pixel(70, 50, image::Rgb([255, 0, 0])).save(&picture).expect("a picture");
    let model = Host::model().display().to_string();
    let model = ["--pipeline", "image_classification", "--model", &model, "--input", &picture];
    let run = |flags: &[&[&str]]| {
        // Engines give four classes of one probability.
        let ran = host.command(&flags.concat()).env("HPINFER_DOUBLE", "columns=4").output().expect("it starts");
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    };
    let line: Value = serde_json::from_slice(&run(&[&model, &ON_GPU, &["--timings"]])).expect("a line");
    let moved = &line["transfers"];
    assert!(line["timings_ms"]["total"].is_number() && moved["frames"] == 1.0 && moved["downloads"].as_f64() >= Some(1.0), "{line}");
    // The pixels, and a table; a number for each class.
    let bytes = |name: &str| moved[name].as_f64().expect("a number");
    assert!((10_500.0..11_000.0).contains(&bytes("uploaded_bytes")) && bytes("downloaded_bytes") == 16.0, "{line}");
    let line: Value = serde_json::from_slice(&run(&[&model, &ON_GPU])).expect("a line");
    assert!(line.get("transfers").is_none(), "{line}");
    let shown = String::from_utf8(run(&[&model, &ON_GPU, &["--timings", "--format", "text"]])).expect("text");
    assert!(
        shown.contains("  transfers: frames 1.0, uploads 2.0, uploaded_bytes 10604.0, downloads 1.0, downloaded_bytes 16.0\n"),
        "{shown}"
    );

    run(&[&["stream", "--decode", "host", "--trace", &trace], &model, &ON_GPU]);
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&trace).expect("written")).expect("JSON");
    assert!(events.iter().any(|event| event["args"]["frames"] == 1.0 && event["args"]["downloaded_bytes"] == 16.0), "{events:?}");
}

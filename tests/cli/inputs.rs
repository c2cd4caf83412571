//! Every input gives one line, in input order, whatever it is.

use crate::{DEMO, error_kind, hpinfer, ocr, pictures, run};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

/// A PNG header that promises `side` x `side` pixels.
fn png_of(side: u32) -> Vec<u8> {
    let mut bytes = fs::read(DEMO).expect("the demo picture");
    bytes[16..20].copy_from_slice(&side.to_be_bytes());
    bytes[20..24].copy_from_slice(&side.to_be_bytes());
    let mut crc = !0u32;
    for byte in &bytes[12..29] {
        crc = (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 });
    }
    bytes[29..33].copy_from_slice(&(!crc).to_be_bytes());
    bytes
}

#[test]
fn hostile_inputs_fail_alone_and_in_order() {
    let (folder, _) = pictures(&["good.png", "[1].png", "sub/a.png", "sub/deep/b.png"]);
    let at = |name: &str| folder.path().join(name);
    let demo = fs::read(DEMO).expect("the demo picture");
    for (name, bytes) in [
        ("empty.png", &b""[..]),
        ("truncated.png", &demo[..demo.len() / 2]),
        ("text.png", b"hello"),
        ("corrupt.png", &[&demo[..2000], &[0x55; 4000][..]].concat()),
        ("doc.pdf", b"%PDF-1.4"),
        ("huge.png", &png_of(100_000)),
    ] {
        fs::write(at(name), bytes).expect("written");
    }
    fs::create_dir(at("none")).expect("a folder");
    let fifo = Command::new("mkfifo").arg(at("pipe.png")).status().expect("mkfifo");
    assert!(fifo.success());
    std::os::unix::fs::symlink("loop.png", at("loop.png")).expect("a link");
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"odd\xff.png"));
    fs::copy(DEMO, &odd).expect("a copy");

    // (argument, what the error says; empty for a result)
    let one = |name: &str, says: &'static str| (at(name).into_os_string(), vec![says]);
    let cases = [
        one("empty.png", "the file is empty"),
        one("good.png", ""),
        one("truncated.png", "cut off"),
        one("text.png", "not a picture"),
        one("corrupt.png", "PNG"),
        one("none", "holds no picture"),
        one("pipe.png", "not a regular file"),
        ("/dev/zero".into(), vec!["not a regular file"]),
        ("".into(), vec!["the name is empty"]),
        ("file:///x.png".into(), vec!["files have their path alone"]),
        one("huge.png", "the limit is 180000000"),
        one("doc.pdf", "not a readable PDF document"),
        one("loop.png", "cannot be read"),
        one("missing.png", "no such file"),
        one("[1].png", ""),
        one("no*thing", "matches nothing"),
        one("sub", ""),
        (odd.into_os_string(), vec![""]),
        ("http://127.0.0.1:9/x.png".into(), vec!["cannot be fetched"]),
        one("s*b/*.png", ""),
    ];
    let expected: Vec<&str> =
        cases.iter().flat_map(|(path, says)| if path.as_bytes().ends_with(b"/sub") { vec!["", ""] } else { says.clone() }).collect();
    let ran = run(ocr().arg("--input").args(cases.iter().map(|(path, _)| path)));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let lines = ran.lines();
    assert_eq!(lines.len(), expected.len(), "{}", ran.stdout);
    for (line, says) in lines.iter().zip(expected) {
        let name = line["input_path"].as_str().expect("a name");
        match says {
            "" => assert!(line["rec_text"][0] == "送货单", "{line}"),
            says => {
                let message = line["error"]["message"].as_str().expect("a message");
                assert_eq!(error_kind(line), Some("bad_input"));
                assert!(message.starts_with(name) && message.contains(says), "{line}");
                assert!(ran.stderr.contains(message), "{}", ran.stderr);
            }
        }
    }
    assert!(!ran.stderr.contains('\u{1b}'), "no colours in a file: {}", ran.stderr);
}

#[test]
fn a_pattern_passes_over_names_that_are_not_utf8() {
    let (folder, _) = pictures(&["a.png", "b/a.png"]);
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"odd\xff.png")), b"").expect("written");
    let ran = run(ocr().arg("--input").arg(folder.path().join("*.png")));
    let names: Vec<_> = ran.lines().iter().map(|line| line["input_path"].as_str().expect("a name").to_owned()).collect();
    let name = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    assert_eq!(names, [name("a.png"), name("odd\u{fffd}.png")], "{}", ran.stderr);
    assert_eq!(ran.code, Some(1));
}

#[test]
fn each_line_of_a_slow_list_is_answered_before_the_next_is_sent() {
    let mut child =
        ocr().args(["--input", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut list = child.stdin.take().expect("a pipe");
    let mut results = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    for name in [DEMO, "missing.png", DEMO] {
        writeln!(list, "{name}").expect("it listens");
        let line = results.next().expect("an answer").expect("UTF-8");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["input_path"], name);
    }
    drop(list);
    assert!(results.next().is_none());
    assert_eq!(child.wait().expect("ends").code(), Some(1));
}

#[test]
fn addresses_are_fetched_unless_offline() {
    let server = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", server.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in server.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = String::new();
            let _ = BufReader::new(&stream).read_line(&mut request);
            let body = fs::read(DEMO).expect("the demo picture");
            let (status, body) = if request.contains("/page.png") { ("200 OK", &body[..]) } else { ("404 Not Found", &b"gone"[..]) };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    let urls = [format!("{address}/page.png?size=full"), format!("{address}/other")];
    let out = tempfile::tempdir().expect("a folder");
    let ran = run(ocr().arg("--input").args(&urls).arg("--save_path").arg(out.path()));
    let lines = ran.lines();
    assert_eq!(lines[0]["rec_text"][0], "送货单", "{}", ran.stdout);
    assert!(lines[1]["error"]["message"].as_str().is_some_and(|m| m.contains("status 404")), "{}", ran.stdout);
    assert!(out.path().join("page.json").exists() && out.path().join("page.png").exists());

    let ran = run(ocr().arg("--offline").arg("--input").arg(&urls[0]).arg(DEMO));
    assert_eq!(ran.lines().iter().map(error_kind).collect::<Vec<_>>(), [Some("bad_input"), None]);
    assert!(ran.stdout.contains("--offline is set"), "{}", ran.stdout);
}

#[test]
fn limits_are_enforced() {
    let demo = Path::new(DEMO);
    let ran = run(ocr().arg("--input").arg(demo).args(["--max-pixels", "0"]));
    assert!(ran.code == Some(1) && ran.stdout.contains("the limit is 0"), "{}", ran.stdout);
    let thin = tempfile::tempdir().expect("a folder");
    let thin = thin.path().join("thin.png");
    image::GrayImage::new(20_000, 1).save(&thin).expect("written");
    let ran = run(ocr().args(["--text-det-limit-type", "min", "--text-det-limit-side-len", "736", "--input"]).arg(&thin).arg(demo));
    assert_eq!(ran.lines().iter().map(error_kind).collect::<Vec<_>>(), [Some("bad_input"), None], "{}", ran.stdout);
    let message = &ran.lines()[0]["error"]["message"];
    assert!(message.as_str().is_some_and(|m| m.contains("thin.png: 20000x1 becomes") && m.contains("limit_type max")), "{message}");
    let ran = run(ocr().arg("--input").arg(demo).args(["--max-file-size", "0"]));
    assert!(ran.code == Some(1) && ran.stdout.contains("the limit is 0"), "{}", ran.stdout);
}

/// What is left out is said; smaller forms of a page are none.
#[test]
fn further_pages_of_a_tiff_are_told_of() {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode/pictures");
    for (name, told) in [("tiff_two_pages.tif", true), ("tiff_rgb.tif", false)] {
        let ran = run(ocr().arg("--input").arg(pictures.join(name)));
        assert_eq!((ran.code, ran.lines().len()), (Some(0), 1), "{}", ran.stderr);
        assert_eq!(ran.stderr.contains(&format!("{name}: a TIFF of several pages")), told, "{}", ran.stderr);
    }
}

/// What could be read is the result all the same.
#[test]
fn a_page_that_cannot_be_read_is_no_success_of_extraction() {
    let folder = tempfile::tempdir().expect("a folder");
    let white = folder.path().join("white.png");
    image::GrayImage::from_pixel(64, 48, image::Luma([255])).save(&white).expect("written");
    let mut command = hpinfer();
    command.args(["extract", "visual", "--backend", "openvino", "--layout-model"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures/detect_yolo"));
    command.args(["--text-det-model", "PP-OCRv4_mobile_det", "--text-rec-model", "PP-OCRv4_mobile_rec"]);
    for part in ["table", "seal-text-det", "doc-image-ori-cls", "doc-image-unwarp"] {
        command.args([&format!("--{part}-model"), "none"]);
    }
    let ran = run(command.args(["--input", "nowhere.png"]).arg(&white));
    let found: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!((ran.code, &found["table_text"]), (Some(1), &serde_json::json!([""])), "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("nowhere.png").count(), 1, "{}", ran.stderr);
}

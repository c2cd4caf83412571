//! `hpinfer stream` as its users meet it, with the real pipeline. A script stands in for ffmpeg.

use rustix::process::Signal;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

const STAND_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/stream/ffmpeg");
const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/delivery_note.png");

fn stream() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    for variable in ["HPINFER_THREADS", "HPINFER_LOG", "RUST_LOG", "ORT_DYLIB_PATH", "OPENVINO_LIB_PATH", "HPINFER_FFMPEG"] {
        command.env_remove(variable);
    }
    command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).stdin(Stdio::null());
    command.args(["stream", "--pipeline", "OCR", "--backend", "openvino", "--ffmpeg", STAND_IN]);
    command
}

/// Exit code, lines, standard error.
fn run(command: &mut Command) -> (Option<i32>, Vec<Value>, String) {
    let output = command.output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let lines = text(output.stdout).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    (output.status.code(), lines, text(output.stderr))
}

fn of_stream(lines: &[Value], stream: u64) -> Vec<&Value> {
    lines.iter().filter(|line| line["stream"] == stream).collect()
}

#[test]
fn two_streams_keep_their_order_and_a_fault_of_one_stays_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("video.mp4");
    std::fs::write(&script, "frame 64 48 0\nframe 96 64 0.04\nsay [mov] [error] moov atom not found\nexit 1\n").expect("written");
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).expect("a folder");
    for name in ["a.png", "b.png"] {
        std::fs::copy(DEMO, pictures.join(name)).expect("copied");
    }
    let frames = folder.path().join("frames");
    let (code, lines, stderr) =
        run(stream().args(["--carry-over", "1", "--input"]).arg(&script).arg("--input").arg(&pictures).arg("--save-frames").arg(&frames));
    assert_eq!((code, lines.len()), (Some(1), 5), "{stderr}");
    let ids: Vec<_> = of_stream(&lines, 0).iter().map(|l| l["frame_id"].as_u64().expect("a number")).collect();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!((&lines[0]["rec_text"], of_stream(&lines, 0)[1]["timestamp_ms"].as_f64()), (&Value::Array(vec![]), Some(40.0)));
    assert!(of_stream(&lines, 0)[2]["error"]["message"].as_str().is_some_and(|m| m.contains("moov atom not found")));
    let [first, second] = of_stream(&lines, 1)[..] else { panic!("two pictures: {lines:?}") };
    assert!(first["rec_text"].as_array().is_some_and(|texts| texts.len() > 5) && first["carried_over_from"].is_null());
    assert!(second["input_path"].as_str().is_some_and(|path| path.ends_with("b.png")), "its own name: {second}");
    assert_eq!(
        (&second["rec_text"], &second["carried_over_from"], second["timestamp_ms"].as_f64()),
        (&first["rec_text"], &0.into(), Some(40.0))
    );
    assert!(frames.join("1/frame_00000000.jpg").is_file() && frames.join("0/frame_00000001.jpg").is_file());
    assert!(stderr.contains("latency p50") && stderr.contains("waiting 0+0, decoded 0, to finish 0"), "{stderr}");
}

/// A run, told with -v, of as many streams of large frames as there are `names`, with 400 MB of memory.
fn run_in_little_memory(names: &[&Path], more: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -d 400000; exec \"$@\"", "sh"]).arg(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.args(["stream", "-v", "--pipeline", "image_classification", "--model"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/miniatures/classify"));
    command.args(["--backend", "onnx_runtime", "--threads", "2", "--ffmpeg", STAND_IN]).args(more);
    command.args(names.iter().flat_map(|name| [Path::new("--input"), name]));
    run(command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home")).env_remove("ORT_DYLIB_PATH"))
}

#[test]
fn memory_bounds_the_frames_of_many_streams() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("video.mp4");
    std::fs::write(&script, "frame 1920 1080 0\n".repeat(12)).expect("written");
    // Of two at a time a fast machine might never read a third before one is done.
    let (code, lines, stderr) = run_in_little_memory(&[&*script; 16], &[]);
    assert_eq!((code, lines.len()), (Some(0), 16 * 12), "{stderr}");
    assert_eq!(stderr.matches("of each of 16 streams 1 frame of 1920x1080 fit at a time").count(), 1, "{stderr}");
    let shares = "the work of 2 cores, each part at most: engines 1 stream of 2 for a lone frame, else 2 of 1; decoding 3 here, 1 in the ffmpeg of each of 16 streams; \
        finishing 3";
    assert_eq!(stderr.matches(shares).count(), 1, "{stderr}");
    // What the ffmpegs took, or where that was less than the kernel counts, that it is unknown.
    let told = stderr.lines().find(|line| line.contains("of the processor time")).unwrap_or_default();
    assert!(told.contains(" outside this process") && told.contains("; engines: 2 of 2 streams; "), "{stderr}");
    let (code, lines, stderr) = run_in_little_memory(&[&*script; 24], &[]);
    assert_eq!((code, lines.len()), (Some(1), 24), "{stderr}");
    let refused = |line: &Value| line["error"]["message"].as_str().is_some_and(|said| said.contains("give fewer streams or more memory"));
    assert!(lines.iter().all(refused), "{lines:?}");
    let (code, lines, stderr) = run_in_little_memory(&[&*script; 16], &["--drop", "latest"]);
    assert!(stderr.contains("1 frame of 1920x1080 fit at a time"), "{stderr}");
    let dropped = stderr.rsplit_once(", dropped ").and_then(|(_, count)| count.trim().parse::<usize>().ok());
    assert_eq!((code, dropped.map(|dropped| lines.len() + dropped)), (Some(0), Some(16 * 12)), "{stderr}");
}

/// A page on which a mark blinks, and in the last picture there is a speck on a line.
#[test]
fn lines_that_do_not_change_are_read_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = folder.path().join("screen");
    std::fs::create_dir(&pictures).expect("a folder");
    let page = image::open(DEMO).expect("a page").into_rgb8();
    let page = image::imageops::crop_imm(&page, 40, 130, 360, 160).to_image();
    let filled = |page: &image::RgbImage, (left, top, width, height): (u32, u32, u32, u32), grey: u8| {
        let mut page = page.clone();
        (0..width * height).for_each(|i| page.put_pixel(left + i % width, top + i / width, image::Rgb([grey; 3])));
        page
    };
    const FRAMES: usize = 24;
    for frame in 0..FRAMES {
        let mark = (340, 0, 12, 20);
        let page = filled(&page, mark, [255, 90][frame % 2]);
        let page = if frame == FRAMES - 1 { filled(&page, (60, 20, 3, 5), 120) } else { page };
        page.save(pictures.join(format!("f{frame}.png"))).expect("saved");
    }
    let (code, lines, stderr) = run(stream().args(["--threads", "1", "--carry-over", "0.25", "--input"]).arg(&pictures));
    assert_eq!((code, lines.len()), (Some(0), FRAMES), "{stderr}");
    let texts = |line: &Value| line["rec_text"].as_array().expect("texts").clone();
    let sources = |line: &Value| line["rec_source"].as_array().expect("sources").clone();
    assert!(texts(&lines[0]).len() >= 3 && sources(&lines[0]).iter().all(|source| source == "ocr"), "{}", lines[0]);
    assert_eq!(lines[FRAMES - 1]["input_path"].as_str().map(|path| path.ends_with("f23.png")), Some(true), "{lines:?}");
    // So many frames are not under way at once: the first has been read by then.
    for line in &lines[FRAMES - 4..FRAMES - 1] {
        assert_eq!(texts(line), texts(&lines[0]), "{line}");
        assert!(sources(line).iter().all(|source| source == "earlier"), "{line}");
    }
    let last = &lines[FRAMES - 1];
    let read = sources(last).iter().filter(|source| *source == "ocr").count();
    assert_eq!((texts(last).len(), read), (texts(&lines[0]).len(), 1), "the line with a speck is read, others are not: {last}");
}

#[test]
fn an_error_is_not_carried_over_and_inputs_are_not_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let pictures = folder.path().join("0");
    std::fs::create_dir(&pictures).expect("a folder");
    for name in ["frame_00000000.jpg", "frame_00000002.jpg"] {
        std::fs::copy(DEMO, pictures.join(name)).expect("copied"); // told by its content
    }
    std::fs::write(pictures.join("frame_00000001.jpg"), "no picture").expect("written");
    let (code, lines, stderr) = run(stream().args(["--carry-over", "1", "--input"]).arg(&pictures).arg("--save-frames").arg(folder.path()));
    assert_eq!((code, lines.len()), (Some(1), 3), "{stderr}");
    assert_eq!(lines[1]["error"]["kind"], "bad_input");
    assert!(lines[1]["input_path"].as_str().is_some_and(|path| path.ends_with("/0/frame_00000001.jpg")), "{lines:?}");
    assert_eq!((&lines[2]["carried_over_from"], &lines[2]["rec_text"]), (&0.into(), &lines[0]["rec_text"]));
    assert!(lines[2]["rec_text"].as_array().is_some_and(|texts| texts.len() > 5));
    assert_eq!(std::fs::read(pictures.join("frame_00000000.jpg")).expect("read"), std::fs::read(DEMO).expect("read"));
    assert!(pictures.join("frame_00000000_res.jpg").is_file());
}

#[test]
fn key_names_and_limits_are_those_of_a_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let (small, large) = (folder.path().join("small.png"), folder.path().join("large.png"));
    for (path, side) in [(&small, 40), (&large, 1500)] {
        image::RgbImage::new(side, side).save(path).expect("a picture");
    }
    let script = folder.path().join("video.mp4");
    std::fs::write(&script, "frame 1500 1500 0\n").expect("written");
    let mut command = stream();
    command.args(["--schema", "3.x", "--jpeg-decoder", "turbo", "--max-pixels", "2", "--attempts", "1"]);
    let (code, lines, stderr) = run(command.arg("--input").arg(&small).arg("--input").arg(&large).arg("--input").arg(&script));
    assert_eq!((code, lines.len()), (Some(1), 3), "{stderr}");
    assert!(of_stream(&lines, 0)[0]["rec_texts"].is_array(), "{lines:?}");
    for stream in [1, 2] {
        let message = of_stream(&lines, stream)[0]["error"]["message"].as_str().unwrap_or_default();
        assert!(message.contains("2250000 pixels, the limit is 2000000"), "{lines:?}");
    }
}

#[test]
fn an_input_that_is_not_there_fails_alone() {
    let (code, lines, stderr) = run(stream().args(["--input", "nowhere.mp4", "--input", DEMO]));
    assert_eq!((code, lines.len()), (Some(1), 2), "{stderr}");
    assert!(stderr.contains("hpinfer: 1 result, 1 error, "), "{stderr}");
    assert!(of_stream(&lines, 0)[0]["error"]["message"].as_str().is_some_and(|m| m.contains("no such file")), "{lines:?}");
    assert!(of_stream(&lines, 1)[0]["error"].is_null());
}

#[test]
fn a_pattern_of_videos_is_a_stream_for_each_and_one_of_pictures_is_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (clip, seconds) in [("b.mp4", "1"), ("a2.mp4", "2"), ("a10.mp4", "3"), ("c.txt", "4")] {
        std::fs::write(at(clip), format!("frame 32 24 {seconds}\nframe 32 24 {seconds}.5\n")).expect("written");
    }
    std::fs::write(folder.path().join(OsStr::from_bytes(b"\xe9.avi")), "frame 32 24 0\n").expect("written");
    std::fs::create_dir(at("dir.mp4")).expect("a folder");
    ["f10.png", "f9.png", "dir.mp4/f.png"].iter().for_each(|name| image::RgbImage::new(32, 24).save(at(name)).expect("saved"));
    let mut command = stream();
    command.args([
        "--carry-over",
        "1",
        "--input",
        "*.png",
        "--input",
        "*.mp4",
        "--input",
        "none*.mp4",
        "--input",
        "[a-f]*",
        "--input",
        "*.avi",
        "-v",
    ]);
    let (code, lines, stderr) = run(command.current_dir(folder.path()).args(["--save-video", "out"]));
    let of = |number| of_stream(&lines, number).iter().map(|line| line["input_path"].as_str().unwrap_or("none")).collect::<Vec<_>>();
    assert_eq!((code, lines.len()), (Some(1), 20), "{stderr}");
    assert_eq!(of(0), ["f9.png", "f10.png"], "frames of one stream, by their numbers");
    for (number, name) in [(1, "a10.mp4"), (2, "a2.mp4"), (3, "b.mp4"), (6, "a10.mp4"), (7, "a2.mp4"), (8, "b.mp4")] {
        assert_eq!(of(number), [name; 2], "files by the bytes of their names");
        assert!(stderr.contains(&format!("stream {number}: {name}\n")) && at(&format!("out/{number}.mp4")).is_file(), "{stderr}");
    }
    assert_eq!((of(4), of(5)), (vec!["dir.mp4/f.png"], vec!["none*.mp4"]));
    assert_eq!(of(9), ["dir.mp4/f.png", "f9.png", "f10.png"], "pictures beside videos are one stream");
    assert_eq!(stderr.matches("c.txt: left out").count(), 1, "{stderr}");
    assert!(!of_stream(&lines, 10)[0]["error"].is_null() && stderr.contains(".avi: the name is not UTF-8"), "{stderr}");
    assert!(of_stream(&lines, 5)[0]["error"]["message"].as_str().is_some_and(|m| m.contains("the pattern matches nothing")), "{lines:?}");
}

/// Of six videos of a pattern two begin when others have ended.
#[test]
fn videos_of_a_pattern_are_read_some_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    (0..6)
        .for_each(|n| std::fs::write(folder.path().join(format!("{n}.mp4")), "frame 32 24 0\nsleep 3\nframe 32 24 3\n").expect("written"));
    let mut command = stream();
    let (code, lines, stderr) = run(command.current_dir(folder.path()).args(["--threads", "1", "--input", "*.mp4", "--input", "./5.mp4"]));
    assert_eq!((code, lines.len()), (Some(0), 14), "{stderr}");
    let first = |stream: u64| lines.iter().position(|line| line["stream"] == stream).expect("a line");
    let last = |stream: u64| lines.iter().rposition(|line| line["stream"] == stream).expect("a line");
    let first_end = (0..6).map(last).min().expect("streams");
    assert!((0..6).filter(|&stream| first(stream) < first_end).count() <= 4, "{lines:?}");
}

#[test]
fn videos_have_every_frame_at_its_time_and_a_trace_says_where_the_time_went() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("video.mp4");
    std::fs::write(&script, "frame 64 48 0\nframe 64 48 0.04\nframe 64 48 0.1\nframe 32 48 0.2\n").expect("written");
    let videos = folder.path().join("videos");
    let (code, lines, stderr) = run(stream()
        .args(["--carry-over", "1", "--input"])
        .arg(&script)
        .arg("--save-video")
        .arg(&videos)
        .arg("--trace")
        .arg(folder.path().join("trace.json")));
    assert_eq!((code, lines.len()), (Some(0), 4), "{stderr}");
    assert!(stderr.contains("video.mp4: frames are 32x48 from frame 3 on"), "{stderr}");
    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.path().join("trace.json")).expect("written")).expect("JSON");
    let count = |phase: &str, group: u64| events.iter().filter(|e| e["ph"] == phase && e["pid"] == group).count();
    // Four frames come and go and are decoded; one at each of two sizes is looked at and drawn.
    assert_eq!([count("b", 0), count("e", 0), count("X", 1), count("X", 2), count("X", 3)], [4, 4, 4, 2, 2], "{events:?}");
    let looked_at = events.iter().find(|e| e["pid"] == 2 && e["ph"] == "X").expect("one");
    assert!(looked_at["args"]["det_infer_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    // The stand-in stores what it is given: each picture after its time in tenths of milliseconds. Pictures of OCR are of twice the width.
    for (name, times, bytes) in [("0.mp4", &[0u64, 1000][..], 128 * 48 * 3), ("0_1.mp4", &[2000], 64 * 48 * 3)] {
        let stored = std::fs::read(videos.join(name)).expect("written");
        let cluster = [0x1F, 0x43, 0xB6, 0x75];
        let starts: Vec<_> = (0..stored.len() - 4).filter(|&at| stored[at..].starts_with(&cluster)).collect();
        let time = |at: &usize| u64::from_be_bytes(stored[at + 21..at + 29].try_into().expect("eight bytes"));
        assert_eq!(starts.iter().map(time).collect::<Vec<_>>(), times, "{name}: the first, and the one it was carried over to");
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] > bytes) && stored.len() - starts[starts.len() - 1] > bytes, "{name}");
    }
    let broken = folder.path().join("broken.mp4");
    let (code, lines, stderr) = run(stream().arg("--input").arg(&script).arg("--save-video").arg(&broken));
    assert_eq!((code, lines.len()), (Some(1), 4), "the lines come all the same: {stderr}");
    assert!(stderr.contains("no encoder for this") && stderr.contains("its video ends here"), "{stderr}");
}

/// An address, and a thread that returns what was posted to it: as many requests as `statuses`, answered with these.
fn collector(statuses: &'static [u16]) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/results", listener.local_addr().expect("an address"));
    let take = move |status: &u16| {
        let (connection, _) = listener.accept().expect("a client");
        let mut reader = BufReader::new(&connection);
        let head: Vec<String> = reader.by_ref().lines().map(|line| line.expect("text")).take_while(|line| !line.is_empty()).collect();
        let lower = head.join("\n").to_ascii_lowercase();
        assert!(lower.starts_with("post /results ") && lower.contains("application/x-ndjson"), "{lower}");
        let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")).expect("a length");
        let mut body = vec![0; length.parse().expect("a number")];
        reader.read_exact(&mut body).expect("a body");
        write!(&connection, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").expect("answered");
        String::from_utf8(body).expect("UTF-8")
    };
    (address, std::thread::spawn(move || statuses.iter().map(take).collect()))
}

#[test]
fn lines_are_posted_to_a_webhook_and_once_more_when_it_was_busy() {
    let mut command = stream();
    let raw = [0_u8; 8 * 8 * 3];
    let (address, posted) = collector(&[503, 200]);
    command.args(["--input", "-", "--raw-size", "8x8", "--webhook", &address]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    child.stdin.take().expect("piped").write_all(&raw).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    let posted = posted.join().expect("both requests came");
    assert_eq!((posted[0].as_bytes(), &posted[1]), (&output.stdout[..], &posted[0]), "the line of standard output, twice");

    let (address, posted) = collector(&[404]);
    let mut command = stream();
    command.args(["--input", DEMO, "--webhook", &address]);
    let (code, lines, stderr) = run(&mut command);
    assert_eq!((code, lines.len(), posted.join().expect("a request").len()), (Some(1), 1, 1), "{stderr}");
    assert!(stderr.contains("1 of 1 result lines were not taken: it answers with status 404"), "{stderr}");
}

#[test]
fn a_frame_that_cannot_be_saved_keeps_its_result() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("0"), "in the way of its folder").expect("written");
    let (code, lines, stderr) = run(stream().args(["--input", DEMO, "--save-frames"]).arg(folder.path()));
    assert_eq!((code, lines.len()), (Some(1), 1), "{stderr}");
    assert!(lines[0]["rec_text"].as_array().is_some_and(|texts| texts.len() > 5), "{lines:?}");
    assert!(stderr.contains("stream 0, frame 0: it is not saved: "), "{stderr}");
}

#[test]
fn a_further_video_is_not_written_over_an_input() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("clip_1.mp4");
    let text = "frame 64 48 0\nframe 32 48 0.2\n";
    std::fs::write(&script, text).expect("written");
    let (code, lines, stderr) = run(stream().arg("--input").arg(&script).arg("--save-video").arg(folder.path().join("clip.mp4")));
    assert_eq!((code, lines.len()), (Some(0), 2), "{stderr}");
    assert_eq!(std::fs::read_to_string(&script).expect("read"), text);
    assert!(folder.path().join("clip_2.mp4").is_file());
}

/// Waits until as much as fits waits for a reader.
fn wait_until_full(reader: impl AsFd) {
    let waiting = || rustix::io::ioctl_fionread(&reader).expect("a pipe");
    let mut before = 0;
    while before == 0 || waiting() > before {
        before = waiting();
        thread::sleep(Duration::from_secs(1));
    }
}

/// A pipeline with a network of the miniatures over frames without an end.
fn endless(pipeline: &str, miniature: &str, size: &str) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
    command.args(["stream", "--pipeline", pipeline, "--backend", "onnx_runtime", "--input", "-", "--raw-size", size, "--model"]);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/miniatures").join(miniature));
    command.env("HPINFER_HOME", Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"));
    command.stdin(std::fs::File::open("/dev/zero").expect("open")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Small frames whose results nobody reads: the command, once it waits for its reader, and what would have read them.
fn held_up(more: &[&str]) -> (Child, ChildStdout) {
    let mut child = endless("image_classification", "classify", "8x8").args(more).spawn().expect("the command starts");
    let stdout = child.stdout.take().expect("piped");
    wait_until_full(&stdout);
    (child, stdout)
}

fn signal(child: &Child, signal: Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("signalled");
}

#[test]
fn a_signal_ends_a_run_whose_results_nobody_reads() {
    for one in [Signal::TERM, Signal::HUP] {
        let folder = tempfile::tempdir().expect("a folder");
        let video = folder.path().join("all.mkv");
        let (mut child, _unread) = held_up(&["--ffmpeg", STAND_IN, "--save-video", video.to_str().expect("UTF-8")]);
        signal(&child, one);
        if one == Signal::HUP {
            thread::sleep(Duration::from_millis(5)); // of two that wait at once one comes
            signal(&child, one); // as from a terminal that is closed
        }
        let mut said = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut said).expect("UTF-8");
        assert_eq!(child.wait().expect("ends").code(), Some(1), "{said}");
        let lost = said.split("after the signal: ").nth(1).and_then(|rest| rest.strip_suffix(" not delivered\n"));
        let lost = lost.and_then(|lost| lost.strip_suffix(" results").or(lost.strip_suffix(" result"))?.parse().ok());
        assert!(lost.is_some_and(|lost: usize| lost > 0), "{said}");
        assert!(video.is_file(), "what does not wait for the reader is finished");
    }
    let (mut child, _unread) = held_up(&[]);
    signal(&child, Signal::INT);
    signal(&child, Signal::TERM);
    assert!(matches!(child.wait().expect("ends").code(), Some(130 | 143)), "the second ends it at once");
}

#[test]
fn a_slow_reader_gets_all_lines_after_a_signal() {
    let mut child = endless("semantic_segmentation", "segment", "800x800").spawn().expect("the command starts");
    let mut stdout = child.stdout.take().expect("piped");
    wait_until_full(&stdout);
    signal(&child, Signal::TERM);
    let (mut text, mut piece) = (Vec::new(), [0; 1 << 16]);
    for _ in 0..14 {
        thread::sleep(Duration::from_millis(500));
        let length = stdout.read(&mut piece).expect("read");
        text.extend_from_slice(&piece[..length]);
    }
    assert!(!text.contains(&b'\n'), "more than 5 s of one line");
    stdout.read_to_end(&mut text).expect("read");
    let output = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("stopped by a signal"), "{said}");
    assert!(text.strip_suffix(b"\n").is_some_and(|text| text.split(|byte| *byte == b'\n').all(|line| line.ends_with(b"}"))));
}

#[test]
fn a_signal_ends_a_run_where_nobody_hears_what_failed() {
    let folder = tempfile::tempdir().expect("a folder");
    (0..999).for_each(|n| std::fs::write(folder.path().join(format!("{n}.png")), "no picture").expect("written"));
    let (unread, both) = std::io::pipe().expect("a pipe");
    let mut command = stream();
    command.arg("--input").arg(folder.path()).stdout(both.try_clone().expect("an end")).stderr(both);
    let mut child = command.spawn().expect("the command starts");
    wait_until_full(&unread);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().expect("ends").code(), Some(1));

    let (unread, stderr) = std::io::pipe().expect("a pipe");
    let mut command = endless("image_classification", "classify", "8x8");
    command.args(["-vv", "--save-frames"]).arg(folder.path()).stdout(Stdio::null()).stderr(stderr);
    let mut child = command.spawn().expect("the command starts");
    wait_until_full(&unread);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().expect("ends").code(), Some(1), "threads that say what was saved wait for ever");
}

#[test]
fn raw_frames_come_on_standard_input() {
    let mut command = stream();
    command.args(["--quiet", "--input", "-", "--raw-size", "64x48", "--raw-format", "nv12"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the command starts");
    child.stdin.take().expect("a pipe").write_all(&[128; 3 * 64 * 48 * 3 / 2]).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).lines().count()), (Some(0), 3));
    let (code, lines, stderr) = run(stream().args(["--input", "-", "--raw-size", "64x48"]));
    assert_eq!((code, lines.len()), (Some(1), 1), "no frame is no success: {stderr}");
    let folder = std::fs::File::open(env!("CARGO_MANIFEST_DIR")).expect("open");
    let (code, lines, stderr) = run(stream().args(["--input", "-", "--raw-size", "64x48"]).stdin(folder));
    assert_eq!((code, lines.len()), (Some(1), 1), "{stderr}");
    assert!(lines[0]["error"]["message"].as_str().is_some_and(|message| message.contains("cannot be read")), "{lines:?}");
}

#[test]
fn an_input_that_a_signal_cuts_short_is_no_success() {
    let mut command = stream();
    command.args(["--input", "-", "--raw-size", "8x8"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command starts");
    let mut frames = child.stdin.take().expect("piped"); // stays open: without a signal the run does not end
    frames.write_all(&[0; 8 * 8 * 3]).expect("written");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    lines.next().expect("a line").expect("UTF-8");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("signalled");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("stopped by a signal"), "{:?}: {said}", output.status);
}

#[test]
fn what_cannot_run_is_said_before_anything_does() {
    for (arguments, expected) in [
        (&["--input", "-"][..], "--raw-size"),
        (&["--input", "nowhere.mp4"], "no such file"),
        (&["--input", DEMO, "--trace", DEMO], "an input, which would be written over"),
        (&["--input", DEMO, "--webhook", "http://127.0.0.1:99999/"], "its port is no number"),
        (&["--input", DEMO, "--save-video", "/proc/x.mp4"], "nothing can be written there"),
        (&["--input", DEMO, "--webhook", "example.com/in"], "https://example.com/results"),
        (&["--input", DEMO, "--webhook", "https://example.com/in", "--offline"], "--offline"),
        (&["--input", DEMO, "--drop", "sometimes"], "block, latest, every:N"),
        (&["--input", "rtsp://h/s", "--offline"], "--offline"),
        (&["--input", DEMO, "--input", DEMO, "--save-video", "all.mp4"], "give a folder"),
        (&["--input", DEMO, "--save-video", "all.gif"], "ends in .mp4"),
        (&["--input", DEMO, "--decode", "gpu"], "give --device gpu:0 as well"),
        (&["--input", DEMO, "--jpeg-decoder", "nvjpeg"], "give --device gpu:0 as well"),
        (&["--input", "-", "--raw-size", "20000x20000"], "400000000 pixels, the limit is 180000000"),
        (&["--input", "rtsp://h/s", "--ffmpeg", "/nowhere/ffmpeg"], "apt-get install ffmpeg"),
    ] {
        let mut command = stream();
        if arguments.contains(&"--ffmpeg") {
            command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
            command.args(["stream", "--pipeline", "OCR"]);
        }
        let (code, lines, stderr) = run(command.args(arguments));
        assert!(code == Some(2) && lines.is_empty() && stderr.contains(expected), "{arguments:?}: {code:?} {stderr}");
    }
}

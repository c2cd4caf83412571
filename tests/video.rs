//! Videos and streams through an ffmpeg child: what it says and what it dies of. A script stands in for ffmpeg, so that
//! every fault happens where the test wants it; the last ones want a real one.

use hpinfer::device::ProgramTime;
use hpinfer::image::{ImageBuf, PixelFormat, Size};
use hpinfer::result::render::video::VideoWriter;
use hpinfer::source::video::{FrameMemory, RawFormat, RawFrames, RawLayout, Video, VideoEvent, VideoOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The ffmpeg that `HPINFER_FFMPEG` names, else that of the system. Without one of 5.1 or later what wants it is skipped, visibly.
fn real_ffmpeg() -> Option<PathBuf> {
    let ffmpeg = std::env::var_os("HPINFER_FFMPEG").map_or("ffmpeg".into(), PathBuf::from);
    let version = VideoOptions { ffmpeg: ffmpeg.clone(), ..VideoOptions::default() }.ffmpeg_version().map_err(|e| e.to_string());
    let is_old = |version: &String| ["2.", "3.", "4.", "5.0"].iter().any(|old| version.starts_with(&format!("ffmpeg version {old}")));
    match version.and_then(|version| if is_old(&version) { Err(version) } else { Ok(version) }) {
        Ok(_) => Some(ffmpeg),
        Err(reason) => {
            let _ = writeln!(io::stderr(), "skipped: {reason}"); // what is printed otherwise is kept from who runs the tests
            None
        }
    }
}

fn options() -> VideoOptions {
    VideoOptions {
        ffmpeg: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stream/ffmpeg"),
        stall: Duration::from_millis(400),
        attempts: 3,
        pause: Duration::from_millis(1),
        ..VideoOptions::default()
    }
}

/// With a stand-in that reads `script` whatever address it is given.
fn options_reading(script: &Script) -> VideoOptions {
    let ffmpeg = script.0.path().join("ffmpeg");
    let text = format!("#!/bin/sh\nexec {} -i {} \"$@\"\n", options().ffmpeg.display(), script.path().display());
    std::fs::write(&ffmpeg, text).expect("written");
    Command::new("chmod").arg("+x").arg(&ffmpeg).status().expect("chmod");
    VideoOptions { ffmpeg, ..options() }
}

struct Script(tempfile::TempDir);

impl Script {
    fn new(lines: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let lines = lines.replace("$HERE", &folder.path().display().to_string());
        std::fs::write(folder.path().join("script"), lines).expect("written");
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("script")
    }

    /// Events as words: `id@ms WxH`, or the text of a fault without the name.
    fn events(&self, options: VideoOptions) -> Vec<String> {
        let name = self.path().display().to_string();
        words(Video::new(&name, options), &name)
    }
}

fn words(events: impl Iterator<Item = VideoEvent>, name: &str) -> Vec<String> {
    let word = |event| match event {
        VideoEvent::Frame(moment, image) => format!("{}@{} {}", moment.frame_id, moment.timestamp_ms, image.size()),
        VideoEvent::Dropped(moment) => format!("{}: dropped", moment.frame_id),
        VideoEvent::Fault(moment, error) => format!("{}: {}", moment.frame_id, error.to_string().replace(&format!("{name}: "), "")),
    };
    events.map(word).collect()
}

#[test]
fn frames_have_numbers_times_and_sizes_also_when_the_size_changes() {
    let script = Script::new("frame 8 6 0\nframe 8 6 0.04\nframe 4 2 0.08\nframe 8 6 0.12\n");
    let size = |w, h| Size::new(w, h).to_string();
    let expected = [(0, 0, size(8, 6)), (1, 40, size(8, 6)), (2, 80, size(4, 2)), (3, 120, size(8, 6))];
    assert_eq!(script.events(options()), expected.map(|(id, ms, size)| format!("{id}@{ms} {size}")));
}

#[test]
fn a_file_is_read_on_after_ffmpeg_was_killed() {
    let script = Script::new("frame 8 6 0\nframe 8 6 0.04\nonce $HERE/killed\nsleep 0.2\nkill\nend\nframe 8 6 0.08\n");
    let events = script.events(options());
    assert_eq!(events.len(), 4, "{events:?}");
    assert!(events[2].starts_with("2: broke off after 2 frames (ffmpeg was killed, by the system if memory ran out)"), "{events:?}");
    assert!(events[3].starts_with("2@80 "), "no frame twice, none left out: {events:?}");
}

#[test]
fn ffmpeg_gets_the_threads_it_is_given_and_its_time_is_counted() {
    let script = Script::new(&"frame 8 6 0\n".repeat(300));
    let (flags, options) = (script.0.path().join("flags"), options());
    let ffmpeg = script.0.path().join("ffmpeg");
    let text = format!("#!/bin/sh\necho \"$@\" > {}\nexec {} \"$@\"\n", flags.display(), options.ffmpeg.display());
    std::fs::write(&ffmpeg, text).expect("written");
    Command::new("chmod").arg("+x").arg(&ffmpeg).status().expect("chmod");
    let options = VideoOptions { ffmpeg, threads: 3, ..options };
    let time = options.ffmpeg_time.clone();
    assert_eq!(script.events(options).len(), 300);
    let given = std::fs::read_to_string(flags).expect("written");
    assert!(given.contains("-filter_threads 3 -threads 3 -i "), "{given}");
    assert!(time.total().is_some_and(|time| !time.is_zero()), "{time:?}: a shell that starts 300 programs takes some");
}

#[test]
fn the_time_of_an_ffmpeg_that_encodes_is_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let busy = folder.path().join("ffmpeg");
    std::fs::write(&busy, "#!/bin/sh\ni=0\nwhile [ $i -lt 300000 ]; do i=$((i + 1)); done\nexec cat > /dev/null\n").expect("written");
    Command::new("chmod").arg("+x").arg(&busy).status().expect("chmod");
    let mut writer = VideoWriter::create(&busy, 1, &folder.path().join("a.mp4"), Size::new(8, 6)).expect("it starts");
    let (time, start) = (ProgramTime::default(), Instant::now());
    while time.total().is_none_or(|time| time.is_zero()) {
        assert!(start.elapsed() < Duration::from_secs(20), "a shell that counts takes some");
        writer.count_time(&time);
        thread::sleep(Duration::from_millis(1));
    }
    writer.finish().expect("it ends well");
}

#[test]
fn frames_that_are_kept_hold_up_those_that_do_not_fit_beside_them() {
    let script = Script::new("frame 8 6 0\nframe 8 6 0.04\nframe 8 6 0.08\nframe 80 60 0.12\n");
    let options = VideoOptions { memory: Some(FrameMemory::new(4 * 8 * 6 * 3, 1)), ..options() }.shared_by(2);
    let name = script.path().display().to_string();
    let mut events = Video::new(&name, options);
    let mut kept: Vec<_> = events.by_ref().take(2).collect();
    let rest = thread::spawn(move || words(events, &name));
    thread::sleep(Duration::from_secs(1)); // more than the bound on silence
    assert!(!rest.is_finished(), "the third frame has no place");
    kept.clear();
    let rest = rest.join().expect("no panic");
    assert!(rest.len() == 2 && rest[0].starts_with("2@80 "), "{rest:?}");
    assert!(rest[1].starts_with("3: given up after 3 frames: 1 frame of 80x60 at a time needs"), "{rest:?}");
}

#[test]
fn frames_of_a_stream_that_goes_on_are_dropped_where_they_do_not_fit_and_keep_their_numbers() {
    let memory = || Some(FrameMemory::new(8 * 6 * 3, 1).dropping());
    let script = Script::new(&"frame 8 6 0\n".repeat(40));
    let video = Video::new(&script.path().display().to_string(), VideoOptions { memory: memory(), ..options() });
    let layout = RawLayout { size: Size::new(8, 6), format: RawFormat::Bgr24, rate: 25.0 };
    let pipe = io::Cursor::new(vec![0; 40 * 8 * 6 * 3 + 1]);
    let raw = RawFrames::new("-", pipe, layout, Default::default(), memory());
    let both: [(Box<dyn Iterator<Item = VideoEvent>>, _); 2] = [(Box::new(video), 40), (Box::new(raw), 41)];
    for (mut events, count) in both {
        let kept = events.next();
        assert!(matches!(kept, Some(VideoEvent::Frame(..))), "{kept:?}");
        let mut seen = words(events.by_ref().take(20), "-");
        assert!(seen.iter().all(|event| event.ends_with(": dropped")), "{seen:?}");
        drop(kept);
        seen.extend(words(events, "-"));
        assert!(seen.iter().any(|event| event.contains('@')), "there is a place again: {seen:?}");
        let ids: Vec<_> = seen.iter().filter_map(|event| event.split([':', '@']).next()?.parse::<u64>().ok()).collect();
        assert_eq!(ids, (1..count).collect::<Vec<_>>(), "{seen:?}");
    }
}

#[test]
fn a_file_over_which_ffmpeg_always_dies_is_given_up() {
    let events = Script::new("frame 8 6 0\nsleep 0.1\nkill\n").events(options());
    assert!(events[0].starts_with("0@0 ") && events.last().is_some_and(|e| e.contains("given up after 3 attempts")), "{events:?}");
}

#[test]
fn a_truncated_file_gives_its_frames_and_says_what_is_wrong() {
    let events = Script::new("frame 8 6 0\nsay [mov] [error] moov atom not found\nexit 1\n").events(options());
    assert!(events[0].starts_with("0@0 "), "{events:?}");
    assert_eq!(events[1..], ["1: damaged or cut short after 1 frames: moov atom not found"]);
    let remark = "Application provided invalid, non monotonically increasing dts to muxer in stream 0: 29 >= 28";
    let events = Script::new(&format!("frame 8 6 0\nsay [rawvideo] [error] {remark}\nframe 8 6 0\n")).events(options());
    assert!(events.len() == 2 && events[1].starts_with("1@0 "), "a remark of the muxer is no damage: {events:?}");
    let events = Script::new("").events(options());
    assert_eq!(events, ["0: ffmpeg finds no frame in it; check that it is a video"]);
    let events = Script::new("say [fatal] Stream map '0:v:0' matches no streams.\nexit 1\n").events(options());
    assert_eq!(events, ["0: it holds no video; check that it is the file you mean"]);
}

#[test]
fn passwords_of_addresses_are_not_shown() {
    let script = Script::new(
        "say [error] rtsp://user:secret@camera/1?token=hidden: Connection refused\nsay [error] cannot load rtsp://user:secret@camera/2?token=hidden\nexit 1\n",
    );
    let events: Vec<_> =
        Video::new("rtsp://user:secret@camera/1?token=hidden", VideoOptions { attempts: 2, ..options_reading(&script) }).collect();
    assert_eq!(events.len(), 2);
    for event in &events {
        let VideoEvent::Fault(_, error) = event else { panic!("{event:?}") };
        let said = error.to_string();
        assert!(
            said.starts_with("rtsp://camera/1?token=***: ")
                && said.contains("rtsp://camera/1?token=***: Connection refused; cannot load rtsp://camera/2?token=***"),
            "{said}"
        );
    }
}

#[test]
fn a_live_stream_that_stops_or_ends_is_connected_anew() {
    let script = Script::new(
        "frame 8 6 5\nframe 8 6 4.88\nonce $HERE/a\nsleep 3\nend\nframe 8 6 5.04\nonce $HERE/b\nexit 1\nend\nframe 8 6 5.08\nexit 0\n",
    );
    let address = "udp://script";
    let events = words(Video::new(address, options_reading(&script)).take(8), address);
    let faults: Vec<_> = events.iter().filter(|e| e.contains("broke off")).collect();
    assert!(faults[0].contains("no frame for 0.4 s") && faults[1].contains("ffmpeg failed without a message"), "{events:?}");
    let ids: Vec<_> = events.iter().filter_map(|e| e.split_once('@')).map(|(id, _)| id.parse::<u64>().expect("a number")).collect();
    assert_eq!(ids, (0..ids.len() as u64).collect::<Vec<_>>(), "{events:?}");
    let ms = |event: &String| event.split_once('@')?.1.split_once(' ')?.0.parse().ok();
    let times: Vec<f64> = events.iter().filter_map(ms).collect();
    assert!(times.is_sorted(), "its clock was set back, as at the beginning of RTSP: {events:?}");
}

#[test]
fn a_live_stream_whose_ffmpeg_is_killed_says_so_and_what_it_had_said_before() {
    let script = Script::new("frame 8 6 0\nsay [h264] [error] decode_slice_header error\nsleep 0.1\nkill\n");
    let events = words(Video::new("udp://script", options_reading(&script)).take(2), "udp://script");
    assert!(
        events[1].contains("(ffmpeg was killed, by the system if memory ran out; before that it said: decode_slice_header error)"),
        "{events:?}"
    );
}

#[test]
fn a_program_that_is_away_for_a_moment_does_not_end_a_live_stream() {
    let script = Script::new("frame 8 6 0\n");
    let options = options_reading(&script);
    let (ffmpeg, away) = (options.ffmpeg.clone(), script.0.path().join("away"));
    let mut events = Video::new("rtsp://camera/1", VideoOptions { attempts: 1000, ..options });
    let mut next = || words(events.next().into_iter(), "rtsp://camera/1").concat();
    assert!(next().starts_with("0@"));
    std::fs::rename(&ffmpeg, &away).expect("moved");
    assert!(next().contains("broke off after 1 frames"));
    let missing = next();
    assert!(missing.contains("cannot be run") && missing.contains("next attempt"), "{missing}");
    std::fs::rename(&away, &ffmpeg).expect("moved back");
    assert!((0..1000).any(|_| next().starts_with("1@")), "it goes on");
}

#[test]
fn a_connection_has_longer_for_its_first_frame() {
    let script = Script::new("sleep 1\nframe 8 6 0\n");
    let events = words(Video::new("udp://script", options_reading(&script)).take(1), "udp://script");
    assert!(events[0].starts_with("0@0 "), "the bound of 0.4 s is for frames after the first: {events:?}");
}

#[test]
fn what_is_read_by_http_goes_on_where_it_broke_when_it_is_a_file() {
    for (duration, expected) in
        [("00:00:00.12, start: 0.0", &["0@0 ", "1@40 ", "2@80 "][..]), ("N/A, start: 0.0", &["0@0 ", "1@40 ", "2@", "3@", "4@"])]
    {
        let script = Script::new(&format!(
            "say [info] Duration: {duration}\nframe 8 6 0\nframe 8 6 0.04\nonce $HERE/a\nsleep 3\nend\nframe 8 6 0.08\n"
        ));
        let address = "http://127.0.0.1:1/script";
        let events = words(Video::new(address, options_reading(&script)).take(6), address);
        let (faults, frames): (Vec<_>, Vec<_>) = events.iter().partition(|e| e.contains("broke off"));
        assert!(faults.len() == 1 && faults[0].contains("no frame for 0.4 s"), "{events:?}");
        assert!(frames.len() == expected.len() && frames.iter().zip(expected).all(|(frame, start)| frame.starts_with(start)), "{events:?}");
    }
}

#[test]
fn an_address_where_nothing_is_or_no_video_is_asked_once() {
    for said in ["[http @ 0x1] [error] HTTP error 404 Not Found\nsay [error] Server returned 404 Not Found", "[error] Invalid data found"] {
        let script = Script::new(&format!("say {said}\nexit 1\n"));
        let events = words(Video::new("http://127.0.0.1:1/x", options_reading(&script)), "http://127.0.0.1:1/x");
        assert!(events.len() == 1 && events[0].starts_with("0: it cannot be read: "), "{events:?}");
    }
    // A server that is busy, and one whose stream was there before.
    for (before, said) in [("", "Server returned 503"), ("frame 8 6 0\n", "Server returned 404 Not Found")] {
        let script = Script::new(&format!("{before}say [error] {said}\nexit 1\n"));
        let events = words(Video::new("http://127.0.0.1:1/x", options_reading(&script)).take(6), "http://127.0.0.1:1/x");
        assert!(events.iter().filter(|event| event.contains("next attempt")).count() >= 2, "{events:?}");
    }
}

/// An address that sends `body` to whoever asks, in a chunk whose end never comes, or with its length.
fn serve(body: Vec<u8>, says_length: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}/stream", listener.local_addr().expect("an address"));
    let answer = move |connection: io::Result<TcpStream>| {
        let mut connection = connection?;
        BufReader::new(&connection).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
        match says_length {
            true => write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len())?,
            false => write!(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", 2 * body.len())?,
        }
        connection.write_all(&body)
    };
    thread::spawn(move || listener.incoming().for_each(|connection| drop(answer(connection)))); // a client may have gone
    address
}

#[test]
fn a_live_stream_by_http_is_connected_anew_and_a_file_without_a_duration_is_not() {
    let Some(ffmpeg) = real_ffmpeg() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let part = folder.path().join("part.ts");
    let made = Command::new(&ffmpeg).args(["-loglevel", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=1"]).arg(&part).status();
    assert!(made.expect("ffmpeg starts").success());
    let body = std::fs::read(&part).expect("written");
    let events = |says_length| {
        let address = serve(body.clone(), says_length);
        words(Video::new(&address, VideoOptions { ffmpeg: ffmpeg.clone(), ..options() }).take(60), &address)
    };
    let (live, file) = (events(false), events(true));
    let (faults, frames): (Vec<_>, Vec<_>) = live.iter().partition(|e| e.contains("broke off"));
    assert!(live.len() == 60 && faults.len() >= 2 && faults[0].starts_with("25: "), "{live:?}");
    assert!(frames.iter().enumerate().all(|(id, frame)| frame.starts_with(&format!("{id}@"))), "{live:?}");
    assert!(file.len() == 25 && file[24].starts_with("24@"), "{file:?}");
}

#[test]
fn without_ffmpeg_the_next_step_is_named() {
    let missing = VideoOptions { ffmpeg: "/nowhere/ffmpeg".into(), ..options() };
    let message = missing.ffmpeg_version().expect_err("there is none").to_string();
    assert!(message.contains("/nowhere/ffmpeg") && message.contains("--ffmpeg"), "{message}");
    let events = Script::new("frame 8 6 0\n").events(missing);
    assert!(events.len() == 1 && events[0].contains("--ffmpeg"), "{events:?}");
    assert_eq!(options().ffmpeg_version().expect("the stand-in"), "ffmpeg version stand-in");
}

#[test]
fn raw_frames_are_counted_and_a_broken_one_is_told() {
    let layout = |format| RawLayout { size: Size::new(4, 2), format, rate: 25.0 };
    for (format, bytes) in [(RawFormat::Bgr24, 24), (RawFormat::Rgb24, 24), (RawFormat::Gray, 8), (RawFormat::Nv12, 12)] {
        let pipe = std::io::Cursor::new(vec![7; 2 * bytes + 3]);
        let events = words(RawFrames::new("-", pipe, layout(format), Default::default(), None), "-");
        let size = Size::new(4, 2);
        assert_eq!(events, [format!("0@0 {size}"), format!("1@40 {size}"), format!("2: broke off within frame 2: 3 of {bytes} bytes")]);
    }
    let mut frames = RawFrames::new("-", std::io::Cursor::new([1, 2, 3].repeat(8)), layout(RawFormat::Rgb24), Default::default(), None);
    let Some(VideoEvent::Frame(_, image)) = frames.next() else { panic!("a frame") };
    assert_eq!(image.view().pixels().unwrap().data[..3], [3, 2, 1]);
}

#[test]
fn a_real_ffmpeg_changes_resolution_without_a_fault() {
    let Some(ffmpeg) = real_ffmpeg() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut stream = Vec::new();
    for size in ["320x240", "160x120"] {
        let part = folder.path().join("part.mpg");
        let source = format!("testsrc=s={size}:r=25:d=1");
        let made = Command::new(&ffmpeg).args(["-loglevel", "error", "-y", "-f", "lavfi", "-i", &source]).arg(&part).status();
        assert!(made.expect("ffmpeg starts").success());
        stream.extend(std::fs::read(&part).expect("written"));
    }
    let path = folder.path().join("both.mpg");
    std::fs::write(&path, stream).expect("written");
    let name = path.display().to_string();
    let events = words(Video::new(&name, VideoOptions { ffmpeg, ..options() }), &name);
    let of = |size: Size| events.iter().filter(|e| e.ends_with(&format!(" {size}"))).count();
    assert!(of(Size::new(320, 240)) >= 20 && of(Size::new(160, 120)) >= 20, "{events:?}");
}

#[test]
fn a_real_ffmpeg_writes_videos_whose_frames_have_their_times() {
    let Some(ffmpeg) = real_ffmpeg() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (size, times) = (Size::new(63, 48), [0.0, 33.3, 100.0, 2500.0]);
    for name in ["a:b.mp4", "c.mkv", "d.mov"] {
        let path = folder.path().join(name);
        let mut writer = VideoWriter::create(&ffmpeg, 1, &path, size).expect("ffmpeg starts");
        for (level, time) in [0, 80, 160, 240].into_iter().zip(times) {
            let picture = ImageBuf::new(vec![level; 63 * 48 * 3], size, PixelFormat::Rgb).expect("a picture");
            writer.write(picture.view(), time).expect("written");
        }
        writer.finish().expect("a whole file");
        let shown = path.display().to_string();
        let events: Vec<_> = Video::new(&shown, VideoOptions { ffmpeg: ffmpeg.clone(), ..options() }).collect();
        assert_eq!(events.len(), times.len(), "{name}: {events:?}");
        for ((event, time), level) in events.iter().zip(times).zip([0, 80, 160, 240]) {
            let VideoEvent::Frame(moment, image) = event else { panic!("{name}: {event:?}") };
            assert!((moment.timestamp_ms - time).abs() < 1.0 && image.size() == Size::new(64, 48), "{name}: {moment:?} {time}");
            assert!(
                image.view().pixels().unwrap().data[0].abs_diff(level) <= 4,
                "{name}: {} instead of {level}",
                image.view().pixels().unwrap().data[0]
            );
        }
    }
    let error = VideoWriter::create(&ffmpeg, 1, Path::new("/proc/none/f.mp4"), size).err().expect("no such folder").to_string();
    assert!(error.contains("/proc/none"), "{error}");
}

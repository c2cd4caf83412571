//! Moving pictures: files, network streams and cameras through an ffmpeg child ([`Video`]), raw frames from a pipe
//! ([`RawFrames`]). Both are iterators of [`VideoEvent`]s: frames, and what went wrong in between. A child that dies, a stream that
//! stops or ends and a change of resolution are survived; every such fault is an event in its place.

mod child;
mod memory;
mod raw;
mod units;

pub use memory::FrameMemory;
pub use raw::{RawFormat, RawFrames, RawLayout};

use super::{Fetcher, SourceOptions};
use crate::cache::without_secrets;
use crate::device::{Gpu, NvJpeg, ProgramTime, VideoCodec, VideoDecoder, available_threads};
use crate::error::{Error, Result};
use crate::image::decode::Limits;
use crate::image::{Picture, Size};
use child::{Child, Decode, Decoded, End};
use crossbeam::channel::RecvTimeoutError;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use units::UnitDecoder;

/// Suffixes of videos that patterns are looked through for, in any case.
const SUFFIXES: [&str; 26] = [
    "264", "265", "3gp", "asf", "avi", "flv", "gif", "h264", "h265", "hevc", "ivf", "m2ts", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4",
    "mpeg", "mpg", "mts", "mxf", "ogv", "ts", "webm", "wmv",
];

/// How often whatever waits looks whether it should stop.
const GLANCE: Duration = Duration::from_millis(50);
/// A connection gets as long for its first frame where the bound is lower: ffmpeg looks at a stream before it decodes it.
const FIRST_FRAME: Duration = Duration::from_secs(15);
/// Longest pause between two attempts to reach a stream.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How much longer than a program an ffmpeg waits for a silent RTSP source.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// The oldest ffmpeg that is known to understand what it is asked for.
const OLDEST_FFMPEG: (u32, u32) = (5, 1);

/// The release in the first line of `ffmpeg -version`; `None` for builds between releases.
fn release(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.strip_prefix("ffmpeg version ")?.trim_start_matches('n').split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

/// When a frame was.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Frames of this stream before it, over all connections.
    pub frame_id: u64,
    /// Milliseconds: presentation time in a file, time since the first frame in a live stream, where it never falls.
    pub timestamp_ms: f64,
}

/// What a stream yields.
#[derive(Debug)]
pub enum VideoEvent {
    /// A picture: BGR in host memory, or where the decoders of a GPU left it.
    Frame(Moment, Picture),
    /// A frame for which [`VideoOptions::memory`] has no place and which is not waited for.
    Dropped(Moment),
    /// Something that went wrong. The stream goes on where it can.
    Fault(Moment, Error),
}

/// How a stream is decoded and what it may do.
#[derive(Clone, Debug)]
pub struct VideoOptions {
    /// The ffmpeg program, a name in `PATH` or a path.
    pub ffmpeg: PathBuf,
    /// Threads that it decodes with.
    pub threads: usize,
    /// What its frames may take of memory; `None`: as much as there is.
    pub memory: Option<FrameMemory>,
    /// What its processor time is added to, every 50 ms: streams may share it.
    pub ffmpeg_time: Arc<ProgramTime>,
    /// Ends the stream when set.
    pub stop: Arc<AtomicBool>,
    /// A live stream without a frame for so long is reported and connected anew; before the first frame of a connection after
    /// 15 seconds at the earliest.
    pub stall: Duration,
    /// Attempts in a row, without a frame between them, after which a stream is given up.
    pub attempts: u32,
    /// Pause before the second attempt; it doubles with every further one, up to 5 seconds.
    pub pause: Duration,
    /// Most pixels of a frame.
    pub max_pixels: u64,
    /// Whose decoders are to be used, where they can; else ffmpeg decodes, and the log says so.
    pub gpu: Option<Arc<Gpu>>,
    /// What they cannot decode is an error.
    pub gpu_only: bool,
    /// nvJPEG where it is installed, for Motion JPEG; one of the system goes before it.
    pub nvjpeg: Option<PathBuf>,
    /// A file begins anew where it ends.
    pub repeat: bool,
}

impl Default for VideoOptions {
    fn default() -> Self {
        Self {
            ffmpeg: "ffmpeg".into(),
            threads: available_threads(),
            memory: None,
            ffmpeg_time: Arc::default(),
            stop: Arc::default(),
            stall: Duration::from_secs(10),
            attempts: 30,
            pause: Duration::from_millis(500),
            max_pixels: Limits::default().max_pixels,
            gpu: None,
            gpu_only: false,
            nvjpeg: None,
            repeat: false,
        }
    }
}

impl VideoOptions {
    /// The same for one of so many streams side by side: threads and memory are shared by them.
    #[must_use]
    pub fn shared_by(&self, streams: usize) -> Self {
        let threads = (self.threads / streams.max(1)).max(1);
        Self { threads, memory: self.memory.as_ref().map(|memory| memory.shared_by(streams)), ..self.clone() }
    }

    /// The first line of the ffmpeg program's `-version`.
    ///
    /// # Errors
    /// [`Error::Missing`] when it is not there, does not start, or says that it is older than 5.1.
    pub fn ffmpeg_version(&self) -> Result<String> {
        let output =
            Command::new(&self.ffmpeg).arg("-version").stdin(Stdio::null()).output().map_err(|e| self.no_ffmpeg(&e.to_string()))?;
        if !output.status.success() {
            return Err(self.no_ffmpeg(&format!("`-version` ends with {}", output.status)));
        }
        let line = String::from_utf8_lossy(&output.stdout).lines().next().unwrap_or_default().to_owned();
        match release(&line) {
            Some(version) if version < OLDEST_FFMPEG => {
                let (major, minor) = OLDEST_FFMPEG;
                Err(self.no_ffmpeg(&format!("`{line}` is too old, {major}.{minor} is needed")))
            }
            _ => Ok(line),
        }
    }

    fn no_ffmpeg(&self, reason: &str) -> Error {
        let name = self.ffmpeg.display();
        let next_step = "install it (Debian, Ubuntu: apt-get install ffmpeg), or name it with --ffmpeg PATH or HPINFER_FFMPEG";
        Error::missing("ffmpeg", format!("videos and streams are decoded by it, and {name} cannot be run: {reason}"), next_step)
    }
}

/// What kind of stream an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoKind {
    /// Its frames wait for whoever reads them.
    File,
    /// Reached by HTTP: a file, when it says how long it is, or a live stream. A file ends where it ends, and is read on where
    /// it broke; a live stream is connected anew whenever it ends.
    Http,
    /// It goes on whether or not anyone reads, and is connected anew whenever it ends.
    Live,
    /// A camera of this machine; live.
    Camera,
}

impl VideoKind {
    /// The kind behind `input`, a path, an address, `/dev/videoN` or `camera:N`.
    pub fn of(input: &str) -> Self {
        let scheme = input.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("http" | "https") => Self::Http,
            Some("file") => Self::File,
            Some(_) => Self::Live,
            None if input.starts_with("/dev/video") || input.starts_with("camera:") => Self::Camera,
            None => Self::File,
        }
    }

    /// Whether frames that nobody takes are lost anyway, as far as an address tells: what is read by HTTP may be either.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Live | Self::Camera)
    }

    /// Whether `input`, of this kind, is there again after it was opened and closed.
    fn opens_again(self, input: &str) -> bool {
        let listens =
            |input: &str| input.contains("listen") || ["tcp:", "unix:", "pipe:", "fd:"].iter().any(|scheme| input.starts_with(scheme));
        match self {
            Self::File => Path::new(input.strip_prefix("file://").unwrap_or(input)).is_file(),
            Self::Http => true,
            Self::Live => !listens(&input.to_ascii_lowercase()),
            Self::Camera => false,
        }
    }

    /// Arguments of ffmpeg for such an input, which is given up here when it is silent for `stall`.
    fn arguments(self, input: &str, stall: Duration) -> Vec<String> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        // For an ffmpeg that was left alone, which would wait for ever.
        let alone = stall.saturating_add(LEFT_ALONE).as_micros().min(i64::MAX as u128).to_string();
        match self {
            Self::Camera => {
                words(&["-f", "v4l2", "-i", &input.strip_prefix("camera:").map_or(input.to_owned(), |n| format!("/dev/video{n}"))])
            }
            Self::Live if input.to_ascii_lowercase().starts_with("rtsp") => {
                words(&["-rtsp_transport", "tcp", "-timeout", &alone, "-i", input])
            }
            Self::Http => {
                let again = ["-reconnect", "1", "-reconnect_on_network_error", "1", "-reconnect_delay_max", "5"];
                words(&[&again[..], &["-rw_timeout", &alone, "-i", input]].concat())
            }
            Self::Live => words(&["-i", input]),
            // The prefix keeps a name such as "concat:a|b" from being more than a name.
            Self::File => words(&["-i", &format!("file:{}", input.strip_prefix("file://").unwrap_or(input))]),
        }
    }
}

enum State {
    /// The next attempt is due then.
    Pausing(Instant),
    Running(Child),
    Over,
}

/// A video or stream, decoded by ffmpeg.
pub struct Video {
    input: String,
    /// The same as it may be shown.
    shown: String,
    kind: VideoKind,
    options: VideoOptions,
    state: State,
    /// Frames yielded.
    frames: u64,
    /// Frames of the running child.
    of_child: u64,
    /// Attempts since the last frame.
    attempts: u32,
    /// Whether ffmpeg could be started.
    has_started: bool,
    last_frame: Instant,
    began: Option<Instant>,
    /// Timestamps of this child become ours by adding this, in milliseconds.
    offset_ms: Option<f64>,
    last_ms: f64,
    /// Of the last frame.
    size: Option<Size>,
    /// Reached by HTTP, and a file.
    remote_file: bool,
    /// Who decodes; found when it is first reached.
    decode: Option<Decode>,
}

impl Video {
    /// Opens `input` when the first event is asked for.
    pub fn new(input: &str, options: VideoOptions) -> Self {
        let now = Instant::now();
        Self {
            input: input.into(),
            shown: without_secrets(input),
            kind: VideoKind::of(input),
            options,
            state: State::Pausing(now),
            frames: 0,
            of_child: 0,
            attempts: 0,
            has_started: false,
            last_frame: now,
            began: None,
            offset_ms: None,
            last_ms: 0.0,
            size: None,
            remote_file: false,
            decode: None,
        }
    }

    fn fault(&self, reason: impl Into<String>) -> VideoEvent {
        self.failed(Error::input(&self.shown, reason))
    }

    fn failed(&self, error: Error) -> VideoEvent {
        VideoEvent::Fault(Moment { frame_id: self.frames, timestamp_ms: self.last_ms }, error)
    }

    fn start(&mut self) -> Option<VideoEvent> {
        self.attempts += 1;
        self.of_child = 0;
        self.offset_ms = None;
        let mut input = self.kind.arguments(&self.input, self.options.stall);
        if self.options.repeat && self.kind == VideoKind::File {
            input.splice(0..0, ["-stream_loop", "-1"].map(String::from));
        }
        let decode = match self.decode(&input) {
            Ok(decode) => decode,
            Err(error @ Error::Missing { .. }) => return self.not_started(error),
            Err(error) => {
                self.state = State::Over;
                return Some(self.failed(error));
            }
        };
        self.last_frame = Instant::now(); // looking took its time
        let error = match Child::start(&self.options, &input, &decode) {
            Ok(child) => {
                self.state = State::Running(child);
                self.has_started = true;
                return None;
            }
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => self.options.no_ffmpeg(&error.to_string()),
                _ => Error::input(&self.shown, format!("ffmpeg cannot be started: {error}")),
            },
        };
        self.not_started(error)
    }

    /// After an attempt that came to nothing. What keeps a program from running that ran before may pass, such as a lack of memory or
    /// its being replaced.
    fn not_started(&mut self, error: Error) -> Option<VideoEvent> {
        if self.has_started {
            return self.after(End {
                success: false,
                killed: true,
                by_signal: None,
                refused: None,
                given_up: false,
                errors: vec![error.to_string()],
            });
        }
        self.state = State::Over;
        Some(self.failed(error))
    }

    /// Who is to decode `input`. What it is made of has to be known before a GPU can: it is looked at, once.
    fn decode(&mut self, input: &[String]) -> Result<Decode> {
        if let Some(decode) = &self.decode {
            return Ok(decode.clone());
        }
        let Some(gpu) = &self.options.gpu else { return Ok(self.decode.insert(Decode::Host).clone()) };
        if !self.kind.opens_again(&self.input) {
            return self.on_host("it can be opened once, and has to be looked at before a GPU decodes it");
        }
        let (began, VideoOptions { stop, stall, ffmpeg, .. }) = (Instant::now(), &self.options);
        let name = child::codec(ffmpeg, input, || stop.load(Ordering::SeqCst) || began.elapsed() > FIRST_FRAME.max(*stall));
        let Some((name, is_turned)) = name.map_err(|error| self.options.no_ffmpeg(&error.to_string()))? else {
            if self.options.gpu_only && self.kind.is_live() {
                return Ok(Decode::Gpu(UnitDecoder::Video(gpu.clone(), VideoCodec::H264))); // not reached: the attempt says why, and the next looks again
            }
            return Ok(Decode::Host); // no video: the attempt to decode it says why
        };
        let decoder = match (VideoCodec::named(&name), &*name) {
            _ if is_turned => return self.on_host("its pictures are to be turned"),
            (Some(codec), _) => match VideoDecoder::available() {
                Ok(()) => UnitDecoder::Video(gpu.clone(), codec),
                Err(error) => return self.on_host(&error.to_string()),
            },
            (None, "mjpeg") => match NvJpeg::open(gpu, self.options.nvjpeg.as_deref()) {
                Ok(nvjpeg) => UnitDecoder::Jpeg(nvjpeg),
                Err(error) => return self.on_host(&error.to_string()),
            },
            (None, _) => return self.on_host(&format!("{gpu} is given h264, hevc and mjpeg, not {name}")),
        };
        tracing::info!("{}: decode: {gpu} ({name})", self.shown);
        Ok(self.decode.insert(Decode::Gpu(decoder)).clone())
    }

    /// Has ffmpeg decode from now on, where that is allowed.
    fn on_host(&mut self, reason: &str) -> Result<Decode> {
        if self.options.gpu_only {
            return Err(Error::input(&self.shown, format!("{reason}; --decode host, or auto, has ffmpeg decode it")));
        }
        tracing::warn!("{}: decode: host: {reason}", self.shown);
        Ok(self.decode.insert(Decode::Host).clone())
    }

    /// Longest wait for the next frame.
    fn longest_wait(&self) -> Duration {
        if self.of_child == 0 { FIRST_FRAME.max(self.options.stall) } else { self.options.stall }
    }

    /// Whether each attempt begins at the same frame.
    fn is_file(&self) -> bool {
        self.kind == VideoKind::File || self.remote_file
    }

    /// Whether a file is behind the address although ffmpeg found no duration in it, as in bare streams. It is asked for once it has
    /// ended: a camera may serve one connection at a time.
    fn is_file_after_all(&self) -> bool {
        Fetcher::new(&SourceOptions { read_timeout: LONGEST_PAUSE, ..SourceOptions::default() }).finds_file(&self.input)
    }

    /// The event of a decoded frame; `None` when an earlier child has yielded it already.
    fn frame(&mut self, frame: Decoded) -> Option<VideoEvent> {
        let now = Instant::now();
        self.last_frame = now;
        self.of_child += 1;
        if self.is_file() && self.of_child <= self.frames {
            return None;
        }
        self.attempts = 0;
        if let Some(size) = frame.picture.as_ref().map(Picture::size)
            && self.size.replace(size).is_some_and(|last| last != size)
        {
            tracing::warn!("{}: frames are {size} from frame {} on", self.shown, self.frames);
        }
        let timestamp_ms = if self.is_file() {
            frame.timestamp_ms.unwrap_or(self.last_ms)
        } else {
            let since = now.duration_since(*self.began.get_or_insert(now)).as_secs_f64() * 1e3;
            let own = frame.timestamp_ms.unwrap_or(since);
            let offset = self.offset_ms.filter(|offset| own + offset >= self.last_ms);
            // At first, and whenever the stream's own clock was set back, the frame is as late as it arrived.
            own + *self.offset_ms.insert(offset.unwrap_or(since.max(self.last_ms) - own))
        };
        self.last_ms = (timestamp_ms * 1e3).round() / 1e3;
        let moment = Moment { frame_id: self.frames, timestamp_ms: self.last_ms };
        self.frames += 1;
        Some(frame.picture.map_or(VideoEvent::Dropped(moment), |picture| VideoEvent::Frame(moment, picture)))
    }

    /// After the end of a child: the event that says so, if it is worth one, and what comes next.
    fn after(&mut self, end: End) -> Option<VideoEvent> {
        if let Some(reason) = &end.refused {
            let refused = self.on_host(reason).err();
            self.state = if refused.is_some() { State::Over } else { State::Pausing(Instant::now()) };
            self.attempts = self.attempts.saturating_sub(1);
            return refused.map(|error| self.failed(error));
        }
        if self.of_child == 0 && matches!(self.decode, Some(Decode::Gpu(..))) {
            self.decode = None; // it may be made of something else by now
        }
        let again = match self.kind {
            // A file does not change: only what happened to the child may turn out otherwise.
            VideoKind::File => end.killed,
            VideoKind::Http if self.frames == 0 && (end.holds_no_pictures() || end.has_no_such_thing()) => false,
            VideoKind::Http => !end.success || (self.frames > 0 && !self.remote_file && !self.is_file_after_all()),
            VideoKind::Live | VideoKind::Camera => !end.given_up,
        };
        if !again {
            self.state = State::Over;
            return match (end.success && end.errors.is_empty(), self.frames) {
                (true, 0) => Some(self.fault("ffmpeg finds no frame in it; check that it is a video")),
                (true, _) => None,
                (false, 0) if end.holds_no_pictures() => Some(self.fault("it holds no video; check that it is the file you mean")),
                (false, 0) if self.kind == VideoKind::Http => Some(self.fault(format!("it cannot be read: {}", end.reason()))),
                (false, _) if end.given_up => Some(self.fault(format!("given up after {} frames: {}", self.frames, end.reason()))),
                (false, _) => Some(self.fault(format!("damaged or cut short after {} frames: {}", self.frames, end.reason()))),
            };
        }
        if self.attempts >= self.options.attempts {
            self.state = State::Over;
            return Some(self.fault(format!("given up after {} attempts: {}", self.attempts, end.reason())));
        }
        let pause = self.options.pause.saturating_mul(1 << self.attempts.min(16)).min(LONGEST_PAUSE);
        self.state = State::Pausing(Instant::now() + pause);
        let frames = self.frames;
        Some(self.fault(format!("broke off after {frames} frames ({}); next attempt in {:.1} s", end.reason(), pause.as_secs_f64())))
    }
}

impl Iterator for Video {
    type Item = VideoEvent;

    fn next(&mut self) -> Option<VideoEvent> {
        let asked = Instant::now();
        loop {
            if self.options.stop.load(Ordering::SeqCst) {
                self.state = State::Over; // drops the child, which ends it
            }
            let longest_wait = self.longest_wait();
            match &mut self.state {
                State::Over => return None,
                State::Pausing(until) => {
                    let wait = until.saturating_duration_since(Instant::now());
                    if !wait.is_zero() {
                        std::thread::sleep(wait.min(GLANCE));
                    } else if let Some(event) = self.start() {
                        return Some(event);
                    }
                }
                State::Running(child) => match child.frames.recv_timeout(GLANCE) {
                    Ok(frame) => {
                        child.count_time(&self.options.ffmpeg_time);
                        self.remote_file |= self.kind == VideoKind::Http && child.has_duration();
                        if let Some(event) = self.frame(frame) {
                            return Some(event);
                        }
                    }
                    // The stream is not silent, there is no room for its frame.
                    Err(RecvTimeoutError::Timeout) if self.options.memory.as_ref().is_some_and(FrameMemory::is_short) => {
                        self.last_frame = Instant::now();
                    }
                    Err(RecvTimeoutError::Timeout) if self.last_frame.max(asked).elapsed() > longest_wait => {
                        let reason = format!("no frame for {:.1} s", longest_wait.as_secs_f64());
                        if self.kind == VideoKind::File {
                            // It cannot be read anew from where it is, as a pipe, and nothing else is to be had of it.
                            tracing::warn!("{}: {reason}; still waiting", self.shown);
                            self.last_frame = Instant::now();
                            continue;
                        }
                        child.kill();
                        let end =
                            End { success: false, killed: true, by_signal: None, refused: None, given_up: false, errors: vec![reason] };
                        if let Some(event) = self.after(end) {
                            return Some(event);
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        let end = child.end();
                        if let Some(event) = self.after(end) {
                            return Some(event);
                        }
                    }
                },
            }
        }
    }
}

/// Whether `path` names something that a video is read from: anything but a folder or a picture.
pub fn names_video(path: &Path) -> bool {
    !path.is_dir() && !super::has_picture_suffix(path)
}

/// Whether `path` is no folder and has the suffix of a video.
pub fn has_video_suffix(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| SUFFIXES.iter().any(|known| suffix.eq_ignore_ascii_case(known))) && !path.is_dir()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_from_builds_between_them() {
        for (line, expected) in [
            ("ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright (c) 2000-2021 the FFmpeg developers", Some((4, 4))),
            ("ffmpeg version n7.1 Copyright (c) 2000-2024 the FFmpeg developers", Some((7, 1))),
            ("ffmpeg version 6 Copyright", Some((6, 0))),
            ("ffmpeg version N-118047-gc0eb5ad4bb-20241225 Copyright", None),
            ("ffmpeg version git-2024-01-01-abc", None),
            ("", None),
        ] {
            assert_eq!(release(line), expected, "{line}");
        }
    }
}

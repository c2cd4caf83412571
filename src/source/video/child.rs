//! The ffmpeg child. Where it decodes, pixels come on its standard output, frame after frame without a header. What size a frame has and when
//! it was is told by the filter `showinfo` on standard error, one line before each frame: so a stream may change
//! its resolution, which a header at the beginning could not tell. Where a GPU decodes, see `units`. Written for ffmpeg 5.1 and later.

use super::memory::{FrameMemory, read_away};
use super::units::{self, UnitDecoder};
use super::{GLANCE, VideoOptions};
use crate::cache::hide_secrets;
use crate::device::{Meter, ProgramTime, how_it_ended};
use crate::error::Error;
use crate::image::{ImageBuf, Picture, PixelFormat, Size};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded, never, unbounded};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What ffmpeg says of a connection that broke. Either it reconnects, or further messages say what became of it.
const PREMATURE: &str = "Stream ends prematurely";
/// What its muxer says of times that do not rise. They are those of pictures that it hands over all the same: the input is not damaged.
const NOT_RISING: &str = "non monotonically increasing dts to muxer";
/// Decoded frames that may wait; ffmpeg itself holds more.
const AHEAD: usize = 2;
/// Messages of ffmpeg that are kept: the last ones say why it ended.
const MESSAGES: usize = 4;

/// A frame as ffmpeg hands it over.
pub(super) struct Decoded {
    /// Its presentation time, where it has one.
    pub timestamp_ms: Option<f64>,
    /// The pixels: BGR where ffmpeg decoded; `None` where they found no place in memory and are not waited for.
    pub picture: Option<Picture>,
}

/// Who decodes.
#[derive(Clone, Debug)]
pub(super) enum Decode {
    /// ffmpeg.
    Host,
    /// A GPU; ffmpeg takes the stream out of its container.
    Gpu(UnitDecoder),
}

/// How a child ended.
pub(super) struct End {
    /// With status 0.
    pub success: bool,
    /// Not of its own will.
    pub killed: bool,
    /// How, where a signal ended it; the first word is a verb.
    pub by_signal: Option<String>,
    /// Why the GPU does not decode such a stream.
    pub refused: Option<String>,
    /// Because of a frame that is not taken.
    pub given_up: bool,
    /// What it said was wrong, the last few.
    pub errors: Vec<String>,
}

impl End {
    /// Whether that was because what is there has no video track.
    pub fn holds_no_pictures(&self) -> bool {
        self.errors.iter().any(|message| message.contains("matches no streams"))
    }

    /// Whether a server said that the address is wrong, or what it gives is no video of any kind.
    pub fn has_no_such_thing(&self) -> bool {
        const LASTING: [&str; 5] = ["returned 400", "returned 401", "returned 403", "returned 404", "Invalid data found"];
        self.errors.iter().any(|message| LASTING.iter().any(|lasting| message.contains(lasting)))
    }

    /// In words.
    pub fn reason(&self) -> String {
        let said = self.errors.join("; ");
        match (&self.by_signal, said.is_empty(), self.success) {
            (Some(how), true, _) => format!("ffmpeg {how}"),
            (Some(how), false, _) => format!("ffmpeg {how}; before that it said: {said}"),
            (None, false, _) => said,
            (None, true, true) => "it ended".into(),
            (None, true, false) => "ffmpeg failed without a message".into(),
        }
    }
}

/// Why nothing more is taken of what a child writes.
struct GivenUp {
    reason: String,
    /// The GPU does not decode such a stream.
    refused: bool,
}

/// A running ffmpeg; killed when dropped.
pub(super) struct Child {
    process: process::Child,
    pub frames: Receiver<Decoded>,
    errors: Arc<Mutex<VecDeque<String>>>,
    has_duration: Arc<AtomicBool>,
    /// What makes frames of its output, on a GPU or not.
    passing: Option<thread::JoinHandle<Result<(), GivenUp>>>,
    on_gpu: bool,
    meter: Meter,
    stderr: Option<thread::JoinHandle<()>>,
}

/// What precedes the pixels of a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Head {
    size: Size,
    timestamp_ms: Option<f64>,
}

impl Child {
    /// Starts ffmpeg on `input`, its arguments up to and with the address.
    pub fn start(options: &VideoOptions, input: &[String], decode: &Decode) -> io::Result<Self> {
        let mut command = command(&options.ffmpeg, options.threads, input);
        let announced = match decode {
            Decode::Host => {
                command
                    .args(["-map", "0:v:0", "-vf", "showinfo=checksum=0", "-noautoscale", "-fps_mode", "passthrough"])
                    .args(["-f", "rawvideo", "-pix_fmt", "bgr24", "pipe:1"]);
                None
            }
            Decode::Gpu(decoder) => {
                let (lines, write) = io::pipe()?;
                command.args(decoder.outputs()).stdin(write);
                Some((BufReader::new(lines), decoder.clone()))
            }
        };
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        drop(command); // and with it our end of the pipe that the child writes
        let (heads_in, heads) = unbounded();
        let (frames_in, frames) = bounded(AHEAD);
        let errors = Arc::new(Mutex::new(VecDeque::new()));
        let (stdout, stderr) = (process.stdout.take(), process.stderr.take());
        let (Some(stdout), Some(stderr)) = (stdout, stderr) else {
            let _ = process.kill();
            return Err(io::Error::other("its output cannot be read"));
        };
        let (on_gpu, max_pixels, memory) = (announced.is_some(), options.max_pixels, options.memory.clone());
        let pass = move || match announced {
            None => pass_frames(stdout, &heads, &frames_in, (max_pixels, memory)).map_err(|reason| GivenUp { reason, refused: false }),
            Some((lines, decoder)) => {
                let refused = |error: Error| GivenUp { reason: error.to_string(), refused: matches!(error, Error::Input { .. }) };
                units::decode(lines, stdout, (&decoder, max_pixels), &frames_in).map_err(refused)
            }
        };
        let has_duration = Arc::new(AtomicBool::new(false));
        let (of_lines, duration_seen) = (errors.clone(), has_duration.clone());
        let address = input.last().cloned().unwrap_or_default();
        let read = move || read_lines(stderr, &address, &heads_in, &of_lines, &duration_seen);
        let threads = thread::Builder::new().spawn(pass).and_then(|passing| Ok((passing, thread::Builder::new().spawn(read)?)));
        let (passing, stderr) = threads.inspect_err(|_| {
            let _ = process.kill();
            let _ = process.wait();
        })?;
        let meter = Meter::new(process.id());
        Ok(Self { process, frames, errors, has_duration, passing: Some(passing), on_gpu, meter, stderr: Some(stderr) })
    }

    /// Adds to `time` what it took so far.
    pub fn count_time(&mut self, time: &ProgramTime) {
        self.meter.count(time);
    }

    /// Whether the input said how long it is, as files do and live streams do not. Known when the first frame is there.
    pub fn has_duration(&self) -> bool {
        self.has_duration.load(Ordering::SeqCst)
    }

    /// Ends it now.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// How it ended, once its frames have ended.
    pub fn end(&mut self) -> End {
        let died = || GivenUp { reason: "what makes frames of it died".into(), refused: false };
        let passed = self.passing.take().map_or(Ok(()), |passing| passing.join().unwrap_or_else(|_| Err(died())));
        if let Err(given_up) = &passed {
            let _ = self.process.kill(); // it may be waiting for a network and would not notice
            keep(&self.errors, given_up.reason.clone());
        }
        let status = self.process.wait();
        if let Some(Err(_)) = self.stderr.take().map(thread::JoinHandle::join) {
            keep(&self.errors, "its messages cannot be read".into());
        }
        let errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        let status = status.ok();
        End {
            success: status.is_some_and(|status| status.success()),
            killed: status.is_none_or(|status| status.code().is_none()) && passed.is_ok(),
            by_signal: status.filter(|status| status.signal().is_some() && passed.is_ok()).map(how_it_ended),
            given_up: passed.is_err(),
            refused: passed.err().filter(|given_up| given_up.refused).map(|given_up| given_up.reason),
            errors,
        }
    }
}

fn command(program: &Path, threads: usize, input: &[String]) -> Command {
    // ffmpeg takes no more by itself either: each thread holds back a frame.
    let (mut command, threads) = (Command::new(program), threads.clamp(1, 16).to_string());
    command.args(["-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info", "-filter_threads", &threads]);
    command.args(["-threads", &threads]).args(input).stdin(Stdio::null());
    command
}

/// What ffmpeg calls the codec of the first video of `input`, and whether its pictures are to be turned; `None` when it finds none,
/// and when `give_up` says so.
pub(super) fn codec(program: &Path, input: &[String], give_up: impl Fn() -> bool) -> io::Result<Option<(String, bool)>> {
    let mut process = command(program, 1, input).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let (found_in, found) = bounded(1);
    let stderr = process.stderr.take();
    thread::spawn(move || {
        let lines = stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).split(b'\n').map_while(Result::ok));
        let mut lines = lines.map(|line| String::from_utf8_lossy(&line).into_owned());
        let is_stream = |line: &String| line.contains("Stream #0:");
        let name = lines.by_ref().filter(is_stream).find_map(|line| {
            let name = line.split_once(" Video: ")?.1;
            Some(name.chars().take_while(char::is_ascii_alphanumeric).collect::<String>())
        });
        // Its side data follows.
        let turned = lines.take_while(|line| !is_stream(line)).any(|line| line.contains("rotation of ") && !line.contains("of -0.00 "));
        let _ = found_in.send(name.map(|name| (name, turned)));
    });
    let found = loop {
        match found.recv_timeout(GLANCE) {
            Err(RecvTimeoutError::Timeout) if give_up() => break None,
            Err(RecvTimeoutError::Timeout) => {}
            found => break found.ok().flatten(),
        }
    };
    let _ = process.kill(); // without an output it would end by itself, and late where a network is behind it
    let _ = process.wait();
    Ok(found)
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        if let Some(passing) = self.passing.take().filter(|_| self.on_gpu) {
            self.frames = never(); // nobody takes frames any more
            let _ = passing.join(); // the driver is not left with calls under way when the program ends
        }
    }
}

/// Pixels to frames, as their heads say. Ends with the pixels, or when nobody takes frames any more.
fn pass_frames(
    mut pixels: impl Read,
    heads: &Receiver<Head>,
    frames: &Sender<Decoded>,
    (max_pixels, memory): (u64, Option<FrameMemory>),
) -> Result<(), String> {
    for Head { size, timestamp_ms } in heads {
        if size.area() > max_pixels {
            return Err(format!("a frame of {size} is {} pixels, the limit is {max_pixels}", size.area()));
        }
        let (mut data, bytes) = (Vec::new(), size.area() as usize * PixelFormat::Bgr.bytes());
        let place = match memory.as_ref().map(|memory| memory.place(size)).transpose()? {
            Some(None) => {
                let is_whole = read_away(&mut pixels, bytes).ok() == Some(bytes);
                if !is_whole || frames.send(Decoded { timestamp_ms, picture: None }).is_err() {
                    return Ok(());
                }
                continue;
            }
            place => place.flatten(),
        };
        data.try_reserve_exact(bytes).map_err(|_| format!("there is no memory left for a frame of {size}"))?;
        if pixels.by_ref().take(bytes as u64).read_to_end(&mut data).ok() != Some(bytes) {
            return Ok(()); // announced, but not delivered: the end of the process says why
        }
        let image = ImageBuf::new(data, size, PixelFormat::Bgr).map_err(|e| e.to_string())?.with_guard(place);
        if frames.send(Decoded { timestamp_ms, picture: Some(image.into()) }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Sorts ffmpeg's lines into heads of frames and messages worth keeping, without what is secret in `address`: it names what it opens,
/// also the parts of a stream.
fn read_lines(stderr: impl Read, address: &str, heads: &Sender<Head>, errors: &Mutex<VecDeque<String>>, has_duration: &AtomicBool) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line);
        if let Some(head) = head(&line) {
            let _ = heads.send(head);
            continue;
        }
        let line = hide_secrets(&line, address);
        if line.contains(PREMATURE) || line.contains(NOT_RISING) {
            tracing::debug!("ffmpeg: {line}");
        } else if let Some((_, how)) = line.split_once("[warning] Will reconnect") {
            tracing::warn!("ffmpeg will reconnect{how}");
        } else if let Some((_, duration)) = line.split_once(" Duration: ") {
            has_duration.store(!duration.starts_with("N/A"), Ordering::SeqCst);
        } else if let Some(message) = ["[error] ", "[fatal] ", "[panic] "].iter().find_map(|level| line.split_once(level)) {
            keep(errors, message.1.trim().to_owned());
        } else {
            tracing::trace!("ffmpeg: {line}");
        }
    }
}

fn keep(errors: &Mutex<VecDeque<String>>, message: String) {
    let mut errors = errors.lock().unwrap_or_else(PoisonError::into_inner);
    if errors.back() != Some(&message) {
        errors.push_back(message);
    }
    if errors.len() > MESSAGES {
        errors.pop_front();
    }
}

/// The head in a line of `showinfo`: `... n:   4 pts:   2048 pts_time:0.16 ... s:320x240 i:P ...`.
fn head(line: &str) -> Option<Head> {
    let (_, line) = line.split_once("showinfo")?;
    let after = |key: &str| line.split_once(key).map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default());
    let timestamp = after(" pts_time:")?;
    let (width, height) = after(" s:")?.split_once('x')?;
    let size = Size::new(width.parse().ok()?, height.parse().ok()?);
    Some(Head { size, timestamp_ms: timestamp.parse::<f64>().ok().filter(|t| t.is_finite()).map(|seconds| seconds * 1e3) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_from_other_lines() {
        // Lines of ffmpeg 5.1 and 7.1.
        let line = "[Parsed_showinfo_0 @ 0x55d0] [info] n:   4 pts:   2048 pts_time:0.16    pos:    12345 fmt:yuv420p sar:1/1 s:320x240 i:P iskey:0 type:B ";
        assert_eq!(head(line), Some(Head { size: Size::new(320, 240), timestamp_ms: Some(160.0) }));
        let line = "[Parsed_showinfo_0 @ 0x1] [info] n:0 pts:NOPTS pts_time:NOPTS duration:1 fmt:bgr24 cl:unspecified sar:0/1 s:8x6 i:P";
        assert_eq!(head(line), Some(Head { size: Size::new(8, 6), timestamp_ms: None }));
        for line in [
            "[Parsed_showinfo_0 @ 0x1] [info] config in time_base: 1/12800, frame_rate: 25/1",
            "[Parsed_showinfo_0 @ 0x1] [info] color_range:unknown color_space:unknown",
            "[info]   Stream #0:0: Video: h264, yuv420p, 320x240, 25 fps",
            "",
        ] {
            assert_eq!(head(line), None, "{line}");
        }
    }
}

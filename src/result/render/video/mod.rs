//! Pictures as a video file, through an ffmpeg child that encodes them. Written for ffmpeg 5.1 and later.

mod matroska;

use crate::device::{Meter, ProgramTime};
use crate::error::{Error, Result};
use crate::image::{ImageView, PixelFormat, Size};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

/// Suffixes of the names of videos, which say the container.
pub const VIDEO_SUFFIXES: [&str; 3] = ["mp4", "mov", "mkv"];

/// A file cut off at any time is good up to its last fragment. MP4 and MOV only.
const FRAGMENTS: [&str; 2] = ["-movflags", "+frag_keyframe+empty_moov+default_base_moof"];
/// Sides become even, as 4:2:0 needs them; colours are those of HD video.
const FILTER: &str = "pad=ceil(iw/2)*2:ceil(ih/2)*2,scale=out_color_matrix=bt709:out_range=tv";

/// A video file that grows by pictures of one size.
pub struct VideoWriter {
    path: PathBuf,
    size: Size,
    child: Child,
    meter: Meter,
    stdin: Option<ChildStdin>,
    last_message: Option<thread::JoinHandle<String>>,
}

impl VideoWriter {
    /// Starts `ffmpeg` with so many `threads` on a new file at `path`, whose suffix says the container; its folder is made when absent, and a file that is there
    /// is replaced. The codec is the one this ffmpeg has for that container: H.264 where it was built with x264.
    pub fn create(ffmpeg: &Path, threads: usize, path: &Path, size: Size) -> Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.map_or(Ok(()), std::fs::create_dir_all).map_err(Error::io("create the folder of", path))?;
        let mut file = std::ffi::OsString::from("file:"); // so that a name with a colon is a name
        file.push(path);
        let (mut command, threads) = (Command::new(ffmpeg), threads.max(1).to_string());
        command
            .args(["-filter_threads", &threads])
            .args(["-hide_banner", "-nostats", "-loglevel", "level+error", "-xerror", "-y", "-f", "matroska", "-i", "pipe:0"])
            .args(["-vf", FILTER, "-fps_mode", "passthrough", "-enc_time_base", "1:90000", "-bf", "0"])
            .args([
                "-preset",
                "veryfast",
                "-pix_fmt",
                "yuv420p",
                "-colorspace",
                "bt709",
                "-color_primaries",
                "bt709",
                "-color_trc",
                "bt709",
            ])
            .args(["-threads", &threads])
            .args(if is_mkv(path) { &[][..] } else { &FRAGMENTS })
            .arg(file)
            .process_group(0); // Ctrl-C is ours: it is to end with a whole file
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|e| Error::io("start ffmpeg for", path)(e))?;
        let stdin = child.stdin.take();
        let last_message = child.stderr.take().map(|stderr| thread::spawn(move || last_line(stderr)));
        let meter = Meter::new(child.id());
        let mut writer = Self { path: path.to_owned(), size, child, meter, stdin, last_message };
        writer.put(&matroska::head(size))?;
        Ok(writer)
    }

    /// The size of its pictures.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Adds a picture (RGB, of the size given at first), shown from `timestamp_ms` on until the next one. Times must rise;
    /// the first one is the beginning of the video. Waits while ffmpeg is busy.
    ///
    /// # Errors
    /// Pictures of another size or format, and whatever made ffmpeg end, in its own words.
    pub fn write(&mut self, picture: ImageView<'_>, timestamp_ms: f64) -> Result<()> {
        if picture.size != self.size || picture.format != PixelFormat::Rgb {
            let reason = format!("a picture of {} ({:?}) in a video of RGB pictures of {}", picture.size, picture.format, self.size);
            return Err(Error::internal("video", reason));
        }
        self.put(&matroska::picture_head(timestamp_ms, picture.data.len() as u64))?;
        self.put(picture.data)
    }

    /// Adds to `time` the processor time that ffmpeg took so far. What it takes to end the file is not counted.
    pub fn count_time(&mut self, time: &ProgramTime) {
        self.meter.count(time);
    }

    /// Waits until the file is whole.
    pub fn finish(mut self) -> Result<()> {
        self.end()
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.stdin.as_mut().map_or(Err(io::ErrorKind::BrokenPipe.into()), |stdin| stdin.write_all(bytes));
        written.or_else(|broken| {
            self.end()?; // what ffmpeg says is the better message
            Err(Error::io("write", &self.path)(broken))
        })
    }

    fn end(&mut self) -> Result<()> {
        self.stdin = None;
        let status = self.child.wait().map_err(Error::io("write", &self.path))?;
        let message = self.last_message.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        // Some versions end well where the last write failed, and only say so; others than ffmpeg may say something, too.
        if status.success() && !FAULTS.iter().any(|mark| message.contains(mark)) {
            return Ok(());
        }
        let message = FAULTS.iter().fold(message, |message, mark| message.replace(mark, ""));
        let reason = if message.is_empty() { format!("ffmpeg ended with {status}") } else { format!("ffmpeg: {message}") };
        Err(Error::io("write", &self.path)(io::Error::other(reason)))
    }
}

impl Drop for VideoWriter {
    /// Lets ffmpeg finish the file.
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

fn is_mkv(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("mkv"))
}

/// What ffmpeg marks its faults with.
const FAULTS: [&str; 2] = ["[error] ", "[fatal] "];

/// The last line that is marked as a fault, else the last that is not blank.
fn last_line(text: impl Read) -> String {
    let lines = BufReader::new(text).split(b'\n').map_while(io::Result::ok);
    let lines = lines.map(|line| String::from_utf8_lossy(&line).trim().to_owned());
    let is_fault = |line: &str| FAULTS.iter().any(|mark| line.contains(mark));
    let last = lines.filter(|line| !line.is_empty()).reduce(|last, line| if is_fault(&last) && !is_fault(&line) { last } else { line });
    last.unwrap_or_default()
}

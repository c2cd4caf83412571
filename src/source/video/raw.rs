//! Frames without any header, one after the other, from a pipe: what another decoder hands over.

use super::memory::{FrameMemory, Place, read_away};
use super::{GLANCE, Moment, VideoEvent};
use crate::error::{Error, Result};
use crate::image::nv12::{self, Nv12View, YuvColours};
use crate::image::{ImageBuf, PixelFormat, Size};
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use std::io::{self, Read};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// How the bytes of a frame are laid out, by ffmpeg's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawFormat {
    /// Blue, green, red.
    Bgr24,
    /// Red, green, blue.
    Rgb24,
    /// One sample per pixel.
    Gray,
    /// A plane of luma, then one of U, V pairs.
    Nv12,
}

impl FromStr for RawFormat {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Ok(match name {
            "bgr24" => Self::Bgr24,
            "rgb24" => Self::Rgb24,
            "gray" => Self::Gray,
            "nv12" => Self::Nv12,
            _ => return Err(Error::config("raw format", format!("{name:?} is none of bgr24, rgb24, gray, nv12"))),
        })
    }
}

/// What the frames of a pipe look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawLayout {
    /// Width and height in pixels.
    pub size: Size,
    /// Sample order.
    pub format: RawFormat,
    /// Frames a second: they carry no time of their own.
    pub rate: f64,
}

impl RawLayout {
    /// Bytes of the luma plane and of the chroma plane, or of everything and none.
    fn planes(&self) -> (usize, usize) {
        let (pixels, Size { width, height }) = (self.size.area() as usize, self.size);
        match self.format {
            RawFormat::Bgr24 | RawFormat::Rgb24 => (3 * pixels, 0),
            RawFormat::Gray => (pixels, 0),
            RawFormat::Nv12 => (pixels, 2 * width.div_ceil(2) as usize * height.div_ceil(2) as usize),
        }
    }

    /// The bytes of one frame as a BGR picture.
    fn picture(&self, mut data: Vec<u8>) -> Result<ImageBuf> {
        let bgr = match self.format {
            RawFormat::Bgr24 => data,
            RawFormat::Rgb24 => {
                data.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
                data
            }
            RawFormat::Gray => data.iter().flat_map(|&grey| [grey; 3]).collect(),
            RawFormat::Nv12 => {
                let (luma, chroma) = data.split_at(self.planes().0);
                let (luma_pitch, chroma_pitch) = (self.size.width as usize, 2 * self.size.width.div_ceil(2) as usize);
                return nv12::to_bgr(Nv12View { luma, luma_pitch, chroma, chroma_pitch, size: self.size, colours: YuvColours::default() });
            }
        };
        ImageBuf::new(bgr, self.size, PixelFormat::Bgr)
    }
}

/// What was read of a frame.
struct Piece {
    /// How many bytes; fewer than a frame has when the pipe broke off within it.
    length: usize,
    /// They, and their place; `None` where they found none and are not waited for.
    kept: Option<(Vec<u8>, Option<Place>)>,
}

/// Frames of a pipe.
pub struct RawFrames {
    name: String,
    layout: RawLayout,
    stop: Arc<AtomicBool>,
    /// What was read of a frame, or why nothing more can be.
    bytes: Receiver<io::Result<Piece>>,
    frames: u64,
}

impl RawFrames {
    /// Reads `pipe`, called `name`, until it ends or `stop` is set; frames take up room in `memory`. A thread does the reading, because a
    /// pipe cannot be asked to stop waiting.
    pub fn new(
        name: &str,
        mut pipe: impl Read + Send + 'static,
        layout: RawLayout,
        stop: Arc<AtomicBool>,
        memory: Option<FrameMemory>,
    ) -> Self {
        let (bytes_in, bytes) = bounded(2);
        let (luma, chroma) = layout.planes();
        let all = luma + chroma;
        thread::spawn(move || {
            for number in 0.. {
                let place = match memory.as_ref().map(|memory| memory.place(layout.size)).transpose() {
                    Ok(place) => place,
                    Err(reason) => return drop(bytes_in.send(Err(io::Error::other(reason)))),
                };
                let (read, kept) = match place {
                    Some(None) => (read_away(&mut pipe, all), None),
                    place => {
                        let mut data = Vec::with_capacity(all);
                        (pipe.by_ref().take(all as u64).read_to_end(&mut data), Some((data, place.flatten())))
                    }
                };
                let length = *read.as_ref().unwrap_or(&0);
                let is_over = number > 0 && length == 0 && read.is_ok();
                if is_over || bytes_in.send(read.map(|length| Piece { length, kept })).is_err() || length < all {
                    return;
                }
            }
        });
        Self { name: name.into(), layout, stop, bytes, frames: 0 }
    }
}

impl Iterator for RawFrames {
    type Item = VideoEvent;

    fn next(&mut self) -> Option<VideoEvent> {
        let read = loop {
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            match self.bytes.recv_timeout(GLANCE) {
                Ok(read) => break read,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        };
        let moment = Moment { frame_id: self.frames, timestamp_ms: self.frames as f64 * 1e3 / self.layout.rate };
        let (luma, chroma) = self.layout.planes();
        let Piece { length, kept } = match read {
            Ok(piece) => piece,
            Err(e) => return Some(VideoEvent::Fault(moment, Error::input(&self.name, format!("cannot be read: {e}")))),
        };
        if length != luma + chroma {
            let reason = format!("broke off within frame {}: {length} of {} bytes", self.frames, luma + chroma);
            return Some(VideoEvent::Fault(moment, Error::input(&self.name, reason)));
        }
        self.frames += 1;
        let Some((data, place)) = kept else { return Some(VideoEvent::Dropped(moment)) };
        Some(match self.layout.picture(data) {
            Ok(image) => VideoEvent::Frame(moment, image.with_guard(place).into()),
            Err(error) => VideoEvent::Fault(moment, error),
        })
    }
}

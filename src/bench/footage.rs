//! What the streams of a measurement show: pictures that are decoded already, or videos that each stream decodes as it goes on.

use crate::device::Gpu;
use crate::error::Result;
use crate::image::{Frame, FrameId, Picture};
use crate::source::video::{Video, VideoEvent, VideoOptions};
use std::sync::Arc;
use std::time::Duration;

/// Frames of a stream, without an end.
pub type Shown<'a> = Box<dyn Iterator<Item = Result<Frame>> + Send + 'a>;

/// What is shown again and again.
pub enum Footage {
    /// Pictures, each stream beginning with another one.
    Pictures(Vec<Frame>),
    /// Video files, dealt out to the streams.
    Videos {
        /// Where they are.
        files: Vec<String>,
        /// How they are decoded.
        options: VideoOptions,
        /// By whose decoders, as far as they can, dealt out to the streams; by ffmpeg without one.
        gpus: Vec<Arc<Gpu>>,
    },
}

impl Footage {
    /// Of stream number `stream` of so many. A stream of a video has its first frame when this returns.
    pub fn stream(&self, stream: usize, streams: usize) -> Shown<'_> {
        match self {
            Self::Pictures(frames) => Box::new(frames.iter().cycle().skip(stream % frames.len().max(1)).cloned().map(Ok)),
            Self::Videos { files, options, gpus } => {
                let gpu = gpus.get(stream % gpus.len().max(1)).cloned();
                let mut frames =
                    again_and_again(&files[stream % files.len()], VideoOptions { gpu, ..options.shared_by(streams) }).peekable();
                frames.peek();
                Box::new(frames)
            }
        }
    }

    /// Processor time of the ffmpeg of all streams so far; `None` where it is not known.
    pub fn ffmpeg_time(&self) -> Option<Duration> {
        match self {
            Self::Pictures(_) => Some(Duration::ZERO),
            Self::Videos { options, .. } => options.ffmpeg_time.total(),
        }
    }

    /// Who decodes `frame` of a stream.
    pub fn decoded_by(&self, frame: &Frame) -> &'static str {
        match (self, &frame.image) {
            (Self::Pictures(_), _) => "beforehand",
            (Self::Videos { .. }, Picture::Host(_)) => "host",
            (Self::Videos { .. }, Picture::Gpu(_)) => "gpu",
        }
    }
}

/// The frames of a video file, which begins anew where it ends. ffmpeg winds it back, where it can: to start one takes as long as some
/// frames do.
fn again_and_again(file: &str, options: VideoOptions) -> impl Iterator<Item = Result<Frame>> + Send + use<> {
    let id = FrameId { input_path: Some(file.to_owned()), page_index: None };
    let open = move |file: &str, repeat| Video::new(file, VideoOptions { repeat, ..options.clone() });
    let (file, mut repeat) = (file.to_owned(), true);
    let mut video = open(&file, repeat);
    std::iter::from_fn(move || {
        loop {
            match video.next() {
                Some(VideoEvent::Frame(_, image)) => return Some(Ok(Frame::new(id.clone(), image))),
                Some(VideoEvent::Dropped(_)) => continue,
                // Whether it could not be wound back or is damaged shows when it is read to its end.
                Some(VideoEvent::Fault(moment, _)) if repeat && moment.frame_id > 0 => repeat = false,
                Some(VideoEvent::Fault(_, error)) => return Some(Err(error)),
                None => {}
            }
            video = open(&file, repeat);
        }
    })
}

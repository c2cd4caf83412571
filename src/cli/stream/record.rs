//! Streams with their results drawn in, as videos. A stream whose frames change their size goes on in a further file.

use super::stages::{Output, Tag};
use crate::cli::outputs;
use crate::device::ProgramTime;
use crate::error::{Error, Result};
use crate::image::ImageBuf;
use crate::result::render::video::{VIDEO_SUFFIXES, VideoWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The videos of a run.
pub(super) struct Recorder {
    ffmpeg: PathBuf,
    /// Threads of each ffmpeg.
    threads: usize,
    /// Of all of them.
    ffmpeg_time: Arc<ProgramTime>,
    /// No video is written over one of them.
    inputs: Vec<String>,
    streams: Vec<Recording>,
    failed: bool,
}

/// The video of a stream.
struct Recording {
    path: PathBuf,
    /// Files that came before the one being written.
    parts: usize,
    writer: Option<VideoWriter>,
    /// The last picture, and when it was.
    last: Option<(f64, ImageBuf)>,
    /// Until when it holds.
    until_ms: f64,
    /// Nothing more is written.
    over: bool,
}

impl Recorder {
    /// Videos at `target`: one file for one stream when its suffix is that of a video, else a folder with a file a stream. Refuses to
    /// write over one of `inputs`.
    pub fn new(target: &Path, inputs: &[String], (ffmpeg, threads): (&Path, usize), trace: Option<&Path>) -> Result<Self> {
        let refused = |reason: String| Error::config("--save-video", reason);
        let shown = target.display();
        let suffix = target.extension().and_then(|s| s.to_str()).map(str::to_ascii_lowercase).unwrap_or_default();
        let file = VIDEO_SUFFIXES.contains(&suffix.as_str()) && !target.is_dir();
        if file && inputs.len() > 1 {
            return Err(refused(format!("{shown} is one file for {} streams; give a folder", inputs.len())));
        }
        if !file && !suffix.is_empty() && !target.is_dir() {
            return Err(refused(format!("{shown}: give a folder, or a file that ends in .{}", VIDEO_SUFFIXES.join(", ."))));
        }
        let path = |stream: usize| if file { target.to_owned() } else { target.join(format!("{stream}.mp4")) };
        let paths: Vec<PathBuf> = (0..inputs.len()).map(path).collect();
        let inputs: Vec<String> = inputs.iter().map(|name| name.trim_start_matches("file://").to_owned()).collect();
        let files: Vec<_> = paths.iter().map(|path| ("--save-video", Some(path.as_path()))).chain([("--trace", trace)]).collect();
        outputs::check(&files, &inputs)?;
        let recording = |path| Recording { path, parts: 0, writer: None, last: None, until_ms: 0.0, over: false };
        let streams = paths.into_iter().map(recording).collect();
        Ok(Self { ffmpeg: ffmpeg.to_owned(), threads, ffmpeg_time: Arc::default(), inputs, streams, failed: false })
    }

    /// Processor time that ffmpeg takes for all videos.
    pub fn ffmpeg_time(&self) -> Arc<ProgramTime> {
        self.ffmpeg_time.clone()
    }

    /// Takes the next frame of a stream, or its end, with which its video ends. A video that cannot be written is reported and ends; the
    /// run goes on.
    pub fn add(&mut self, tag: &Tag, output: &mut Output) {
        let recording = &mut self.streams[tag.stream];
        let added = match output {
            Output::Result(looked) => {
                let ffmpeg = (&*self.ffmpeg, self.threads);
                looked.drawn.take().map_or(Ok(()), |picture| recording.add(ffmpeg, &self.inputs, tag.moment.timestamp_ms, picture))
            }
            Output::SameAs(..) => {
                recording.until_ms = tag.moment.timestamp_ms;
                Ok(())
            }
            Output::Failed(..) => Ok(()), // the last picture stays
            Output::Ended => recording.end(),
        };
        if let Some(writer) = &mut recording.writer {
            writer.count_time(&self.ffmpeg_time);
        }
        if let Err(error) = added {
            self.failed = true;
            (recording.over, recording.writer) = (true, None);
            tracing::error!("stream {}: its video ends here: {error}", tag.stream);
        }
    }

    /// Ends all videos; whether every one of them is whole.
    pub fn finish(mut self) -> bool {
        for (stream, recording) in self.streams.iter_mut().enumerate() {
            if let Err(error) = recording.end() {
                self.failed = true;
                tracing::error!("stream {stream}: its video is not whole: {error}");
            }
        }
        !self.failed
    }
}

impl Recording {
    fn add(&mut self, (ffmpeg, threads): (&Path, usize), inputs: &[String], timestamp_ms: f64, picture: ImageBuf) -> Result<()> {
        if self.over {
            return Ok(());
        }
        if self.writer.as_ref().is_some_and(|writer| writer.size() != picture.size()) {
            self.end()?;
            self.parts += 1;
            while self.part().exists() && outputs::check(&[("--save-video", Some(&self.part()))], inputs).is_err() {
                self.parts += 1;
            }
        }
        if self.writer.is_none() {
            self.writer = Some(VideoWriter::create(ffmpeg, threads, &self.part(), picture.size())?);
        }
        self.writer.as_mut().map_or(Ok(()), |writer| writer.write(picture.view(), timestamp_ms))?;
        (self.last, self.until_ms) = (Some((timestamp_ms, picture)), timestamp_ms);
        Ok(())
    }

    /// The file for the frames that come now: `NAME.mp4`, then `NAME_1.mp4`, or the next that is no input...
    fn part(&self) -> PathBuf {
        let stem = self.path.file_stem().unwrap_or_default().to_string_lossy();
        let suffix = self.path.extension().unwrap_or_default().to_string_lossy();
        if self.parts == 0 { self.path.clone() } else { self.path.with_file_name(format!("{stem}_{}.{suffix}", self.parts)) }
    }

    /// Ends the file being written, once its last picture has been shown as long as it held.
    fn end(&mut self) -> Result<()> {
        let Some(mut writer) = self.writer.take() else { return Ok(()) };
        if let Some((from_ms, picture)) = self.last.take().filter(|_| !self.over)
            && self.until_ms > from_ms
        {
            writer.write(picture.view(), self.until_ms)?;
        }
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::stream::stages::Looked;
    use crate::image::{PixelFormat, Size};
    use crate::result::OcrResult;
    use crate::source::video::Moment;
    use crate::trace::StageTimes;
    use std::time::Duration;

    #[test]
    fn a_video_ends_with_its_stream_while_others_go_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stream/ffmpeg");
        let inputs = ["a.mp4", "b.mp4"].map(String::from);
        let mut recorder = Recorder::new(&folder.path().join("videos"), &inputs, (&stand_in, 1), None).expect("a folder for two");
        for stream in [0, 1] {
            let drawn = ImageBuf::new(vec![0; 3 * 8 * 6], Size::new(8, 6), PixelFormat::Rgb).expect("a picture");
            let looked = Looked { result: OcrResult::default().into(), times: StageTimes::default(), drawn: Some(drawn) };
            let tag = Tag { stream, moment: Moment::default(), page_index: None, decode: None };
            recorder.add(&tag, &mut Output::Result(looked.into()));
        }
        let tag = Tag { stream: 0, moment: Moment::default(), page_index: None, decode: None };
        recorder.add(&tag, &mut Output::Ended);
        assert_ne!(recorder.ffmpeg_time().total(), Some(Duration::ZERO), "counted, be it for less than the kernel counts");
        assert_eq!(recorder.streams.iter().map(|video| video.writer.is_some()).collect::<Vec<_>>(), [false, true]);
        assert!(std::fs::metadata(folder.path().join("videos/0.mp4")).is_ok_and(|file| file.len() > 3 * 8 * 6));
        assert!(recorder.finish());
    }
}

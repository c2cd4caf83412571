//! The work on a frame.

use super::anchors::Anchors;
use crate::device::ProgramTime;
use crate::error::{Error, Result};
use crate::image::decode::Decoder;
use crate::image::{Frame, FrameId, ImageBuf, Picture as Pixels};
use crate::ops::difference::tiles;
use crate::pipeline::{EngineStreams, Pipeline};
use crate::result::PipelineResult;
use crate::result::render::draw_one;
use crate::result::render::font::Fonts;
use crate::result::render::save::{Saver, Slot};
use crate::schedule::graph::Stages;
use crate::source::InputItem;
use crate::source::video::Moment;
use crate::trace::{StageTimes, Transfers};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A frame of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    pub stream: usize,
    pub moment: Moment,
    /// Page, from 0, where it is one of a document.
    pub page_index: Option<u32>,
    /// Who decoded it, where networks run on a GPU.
    pub decode: Option<DecodedBy>,
}

/// Who decoded a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecodedBy {
    Host,
    Gpu,
}

impl DecodedBy {
    /// Of a frame that lies where its decoder left it.
    pub fn of(image: &Pixels) -> Self {
        if matches!(image, Pixels::Gpu(_)) { Self::Gpu } else { Self::Host }
    }

    /// As result lines say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Gpu => "gpu",
        }
    }
}

/// What a stream yields.
pub(super) enum Picture {
    Pixels(Pixels),
    Item(InputItem),
}

/// What became of a frame.
pub(super) enum Output {
    Result(Box<Looked>),
    /// The picture of this name is as good as this earlier frame of its stream.
    SameAs(String, u64),
    /// The picture of this name has no result.
    Failed(String, Error),
    /// Its stream has no more frames.
    Ended,
}

/// What a look at a frame gave.
pub(super) struct Looked {
    pub result: PipelineResult,
    pub times: StageTimes,
    /// The frame with the result drawn in, where that is wanted.
    pub drawn: Option<ImageBuf>,
}

/// The last frame of a stream that was looked at.
type Reference = Mutex<Option<(u64, Pixels)>>;

/// A pipeline and what is done around it.
pub(super) struct FrameStages<'a> {
    pipeline: &'a dyn Pipeline,
    names: &'a [String],
    /// Of pictures, dealt out to the streams.
    decoders: Vec<Decoder>,
    carry_over: Option<f32>,
    references: Vec<Reference>,
    anchors: Vec<Mutex<Anchors>>,
    /// What saves frames, and the folder for them.
    saver: Option<(Saver, &'a Path)>,
    /// Some of them could not be.
    unsaved: AtomicBool,
    /// Draws results for the sink.
    fonts: Option<Fonts>,
    ffmpeg_times: [Arc<ProgramTime>; 2],
}

impl<'a> FrameStages<'a> {
    /// Frames are drawn where `fonts` are given; pictures of a stream are decoded by the one of `decoders` that comes to it in turn.
    /// `ffmpeg_times` are of those that decode and those that encode.
    pub fn new(
        pipeline: &'a dyn Pipeline,
        names: &'a [String],
        decoders: Vec<Decoder>,
        carry_over: Option<f32>,
        saver: Option<(Saver, &'a Path)>,
        fonts: Option<Fonts>,
        ffmpeg_times: [Arc<ProgramTime>; 2],
    ) -> Self {
        let references = names.iter().map(|_| Mutex::default()).collect();
        let anchors = names.iter().map(|_| Mutex::default()).collect();
        let unsaved = AtomicBool::new(false);
        Self { pipeline, names, decoders, carry_over, references, anchors, saver, unsaved, fonts, ffmpeg_times }
    }

    /// Whether all frames that were to be saved are.
    pub fn all_saved(&self) -> bool {
        !self.unsaved.load(Ordering::Relaxed)
    }

    /// The earlier frame whose result holds for `image` as well, as it differs by at most `most`; else this one becomes the one
    /// to compare with.
    fn same_as(&self, tag: &Tag, image: &Pixels, most: f32) -> Result<Option<u64>> {
        let mut reference = self.references[tag.stream].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((frame_id, known)) = &*reference
            && tiles(known, image, &mut Transfers::default())?.is_some_and(|tiles| tiles.largest() <= most)
        {
            return Ok(Some(*frame_id));
        }
        *reference = Some((tag.moment.frame_id, image.clone()));
        Ok(None)
    }

    fn anchors(&self, tag: &Tag) -> MutexGuard<'_, Anchors> {
        self.anchors[tag.stream].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets later frames be looked at: this one has nothing that they could take over.
    fn forget(&self, tag: &Tag) {
        let mut reference = self.references[tag.stream].lock().unwrap_or_else(PoisonError::into_inner);
        reference.take_if(|(frame_id, _)| *frame_id == tag.moment.frame_id);
    }

    fn name_of(&self, tag: &Tag, frame: &Frame) -> String {
        frame.id.input_path.clone().unwrap_or_else(|| self.names[tag.stream].clone())
    }

    /// Saves the frame, where that is wanted. Its result does not suffer when it cannot be.
    fn save(&self, tag: &Tag, frame: &Frame, result: &PipelineResult) {
        let Some((saver, folder)) = &self.saver else { return };
        let suffix = if matches!(result, PipelineResult::Segmentation(_)) { "png" } else { "jpg" };
        let path = folder.join(tag.stream.to_string()).join(format!("frame_{:08}.{suffix}", tag.moment.frame_id));
        if let Err(error) = saver.write(&Slot { json: None, picture: Some(path) }, result, frame.image.view()) {
            self.unsaved.store(true, Ordering::Relaxed);
            tracing::error!("stream {}, frame {}: it is not saved: {error}", tag.stream, tag.moment.frame_id);
        }
    }
}

impl Stages for FrameStages<'_> {
    type Tag = Tag;
    type Raw = Picture;
    type Ready = Frame;
    type Done = Result<(PipelineResult, StageTimes)>;
    type Out = Output;
    type Worker = ();

    fn decode(&self, tag: &mut Tag, raw: Picture) -> Result<Frame, Output> {
        let frame = match raw {
            Picture::Item(item) => {
                let decoder = &self.decoders[tag.stream % self.decoders.len()];
                item.load(decoder).map_err(|error| Output::Failed(item.name, error))?
            }
            Picture::Pixels(image) => {
                let id = FrameId { input_path: Some(self.names[tag.stream].clone()), page_index: None };
                Frame::new(id, image)
            }
        };
        tag.decode = tag.decode.map(|_| DecodedBy::of(&frame.image));
        let Some(most) = self.carry_over else { return Ok(frame) };
        let same = self.same_as(tag, &frame.image, most).map_err(|error| Output::Failed(self.name_of(tag, &frame), error))?;
        match same {
            Some(earlier) => Err(Output::SameAs(self.name_of(tag, &frame), earlier)),
            None => {
                let known = self.anchors(tag).known(tag.moment.frame_id, &frame.image, most);
                let known = known.map_err(|error| Output::Failed(self.name_of(tag, &frame), error))?;
                Ok(Frame { known: Some(known.into()), ..frame })
            }
        }
    }

    fn decoded_before(&self) -> Option<Duration> {
        self.ffmpeg_times[0].total()
    }

    fn finished_behind(&self) -> Option<Duration> {
        self.ffmpeg_times[1].total()
    }

    fn engine_streams(&self) -> Option<&EngineStreams> {
        self.pipeline.engine_streams()
    }

    fn cost(&self, frame: &Frame) -> u64 {
        frame.size().area()
    }

    fn worker(&self, _: usize) -> Result<()> {
        Ok(()) // calls from several threads share the pipeline's own workers
    }

    fn work(&self, (): &mut (), batch: &[Frame]) -> Vec<Self::Done> {
        self.pipeline.process(batch)
    }

    fn finish(&self, tag: &Tag, frame: Frame, done: Self::Done) -> Output {
        let looked = done.and_then(|(result, times)| {
            self.save(tag, &frame, &result);
            if let (Some(_), PipelineResult::Ocr(ocr)) = (self.carry_over, &result) {
                self.anchors(tag).add(tag.moment.frame_id, &frame.image, ocr);
            }
            let image = |frame: &Frame| frame.image.on_host(&mut Transfers::default());
            let draw = |fonts| draw_one(image(&frame)?.view(), &result, fonts);
            let drawn = self.fonts.as_ref().map(draw).transpose()?;
            // As long as its picture waits for an encoder, a frame keeps its place in the memory for frames.
            let drawn = match (drawn, frame.image.clone()) {
                (Some(drawn), Pixels::Host(place)) => Some(drawn.with_guard(place)),
                (drawn, _) => drawn,
            };
            Ok(Looked { result, times, drawn })
        });
        match looked {
            Ok(looked) => Output::Result(Box::new(looked)),
            Err(error) => {
                self.forget(tag);
                Output::Failed(self.name_of(tag, &frame), error)
            }
        }
    }

    fn fault(&self, tag: &Tag, reason: String) -> Output {
        self.forget(tag);
        let name = &self.names[tag.stream];
        Output::Failed(name.clone(), Error::input(format!("{name}, frame {}", tag.moment.frame_id), reason))
    }
}

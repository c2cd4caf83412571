//! Seal recognition: the seals of every page by its layout, then the text of each, straight or curved.

use super::config::DocumentConfig;
use super::crew::Turn;
use super::doc_preprocessor::DocPreprocessor;
use super::layout::{self, Layout, PageLayout, Part, SEAL};
use super::reader::TextReader;
use super::runs::Runs;
use super::staffed::{Staffed, Steps};
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::Frame;
use crate::modules::{Detect, Loader, PictureModule, TextDetect, TextRecognise};
use crate::result::{Seal, SealResult};
use crate::trace::{Stage, StageTimes};
use std::iter::from_fn;
use std::sync::Arc;

/// The steps of seal recognition.
pub struct SealSteps {
    preprocessor: DocPreprocessor,
    layout: Option<Detect>,
    reader: TextReader,
}

/// A loaded seal recognition pipeline.
pub type SealRecognition = Staffed<SealSteps>;

impl SealRecognition {
    /// Finds, fetches and opens the networks of `config`.
    pub fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        let preprocessor = DocPreprocessor::open(config, loader)?;
        let layout = layout::open(config, loader)?;
        let detect = loader.text_detect(&config.text.text_det_model, &config.text.detection)?;
        let recognise = loader.text_recognise(&config.text.text_rec_model)?;
        Self::new(preprocessor, layout, detect, recognise, config, loader.threads())
    }

    /// A pipeline over loaded modules that works on `threads` cores; without a layout every picture is one seal.
    pub fn new(
        preprocessor: DocPreprocessor,
        layout: Option<Detect>,
        detect: TextDetect,
        recognise: TextRecognise,
        config: &DocumentConfig,
        threads: usize,
    ) -> Result<Self> {
        let reader = TextReader::new(detect, Arc::new(recognise), &config.text);
        Self::with(SealSteps { preprocessor, layout, reader }, threads)
    }
}

impl Steps for SealSteps {
    type Result = SealResult;
    const STAGES: &'static [Stage] = &Stage::DOCUMENT;

    fn infos(&self) -> Vec<&RunInfo> {
        let layout = self.layout.iter().map(|layout| layout.info());
        self.preprocessor.infos().chain(layout).chain(self.reader.infos()).collect()
    }

    fn results(&self, frames: &[Frame], turn: Turn, runs: &Runs) -> Vec<Result<(SealResult, StageTimes)>> {
        let mut layouts = layout::find(turn, &self.preprocessor, self.layout.as_ref(), frames);
        let parts = match &self.layout {
            Some(_) => layout::parts(&mut layouts, SEAL),
            None => whole(&layout::pages(frames, &layouts)),
        };
        // Seals are pictures, whatever a document says of the page around them.
        let pictures: Vec<Frame> = parts.iter().map(|part| Frame { text: None, ..part.picture.clone() }).collect();
        let mut seals = parts.iter().zip(self.reader.read(turn, &pictures, |_, _| true)).peekable();
        let one = |(index, (frame, layout))| {
            let of_frame = from_fn(|| seals.next_if(|(part, _)| part.frame == index));
            let seal = |(part, read): (&Part, Result<_>)| read.map(|(text, times)| (Seal { bbox: part.bbox, text }, times));
            result(frame, layout, of_frame.map(seal).collect(), runs)
        };
        frames.iter().zip(layouts).enumerate().map(one).collect()
    }

    fn batch_size(&self) -> usize {
        self.reader.frames_at_once()
    }
}

fn result(frame: &Frame, layout: Layout, seals: Vec<Result<(Seal, StageTimes)>>, runs: &Runs) -> Result<(SealResult, StageTimes)> {
    let PageLayout { prepared, regions: layout, mut times, .. } = layout?;
    let mut found = Vec::with_capacity(seals.len());
    for seal in seals {
        let (seal, spent) = seal?;
        times.add_share(&spent, 1.0);
        found.push(seal);
    }
    Ok((SealResult { header: runs.header(&frame.id, &times), prepared, layout, seals: found }, times))
}

/// Each frame as one part.
fn whole(frames: &[Frame]) -> Vec<Part> {
    let part = |(frame, picture): (usize, &Frame)| {
        let bbox = [0, 0, picture.size().width as i32, picture.size().height as i32];
        Part { frame, coordinate: bbox.map(|side| side as f32), bbox, picture: picture.clone() }
    };
    frames.iter().enumerate().map(part).collect()
}

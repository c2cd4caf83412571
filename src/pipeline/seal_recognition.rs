//! Seal recognition: the seals of every page by its layout, then the text of each, straight or curved.

use super::Pipeline;
use super::config::DocumentConfig;
use super::crew::{Crew, Turn};
use super::doc_preprocessor::DocPreprocessor;
use super::layout::{self, Layout, PageLayout, Part};
use super::reader::TextReader;
use super::runs::Runs;
use crate::error::Result;
use crate::image::Frame;
use crate::modules::{Detect, Loader, PictureModule, TextDetect, TextRecognise};
use crate::result::{PipelineResult, RunRecord, Seal, SealResult};
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// Class of the regions that are read.
const SEAL: &str = "seal";

/// A loaded seal recognition pipeline. Calls from several threads share its workers.
pub struct SealRecognition {
    preprocessor: DocPreprocessor,
    layout: Option<Detect>,
    reader: TextReader,
    crew: Crew,
    runs: Runs,
}

impl SealRecognition {
    /// Finds, fetches and opens the networks of `config`.
    pub fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        let preprocessor = DocPreprocessor::open(config, loader)?;
        let layout = layout::open(config, loader)?;
        let detect = loader.text_detect(&config.text.text_det_model, &config.text.detection)?;
        let recognise = loader.text_recognise(&config.text.text_rec_model)?;
        Ok(Self::new(layout, detect, recognise, config, loader.threads())?.with_preprocessor(preprocessor))
    }

    /// A pipeline over loaded modules that works on `threads` cores; without a layout every picture is one seal.
    pub fn new(
        layout: Option<Detect>,
        detect: TextDetect,
        recognise: TextRecognise,
        config: &DocumentConfig,
        threads: usize,
    ) -> Result<Self> {
        let reader = TextReader::new(detect, Arc::new(recognise), &config.text);
        let made = Self { preprocessor: DocPreprocessor::default(), layout, reader, crew: Crew::new(threads)?, runs: Runs::of([]) };
        Ok(made.with_preprocessor(DocPreprocessor::default()))
    }

    /// The same, with pages prepared first.
    pub fn with_preprocessor(self, preprocessor: DocPreprocessor) -> Self {
        let layout = self.layout.iter().map(|layout| layout.info());
        let runs = Runs::of(preprocessor.infos().chain(layout).chain(self.reader.infos()));
        Self { preprocessor, runs, ..self }
    }

    /// The seals of `frames` (BGR), in their order. A frame that fails leaves the others untouched.
    pub fn predict(&self, frames: &[Frame]) -> Vec<Result<SealResult>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, _)| result)).collect()
    }

    /// As [`predict`](Self::predict), with the time each frame spent in each stage.
    pub fn predict_timed(&self, frames: &[Frame]) -> Vec<Result<(SealResult, StageTimes)>> {
        self.crew.run(frames.len(), |turn| self.predict_here(frames, turn))
    }

    fn predict_here(&self, frames: &[Frame], turn: Turn) -> Vec<Result<(SealResult, StageTimes)>> {
        let mut layouts = layout::find(turn, &self.preprocessor, self.layout.as_ref(), frames);
        let parts = match &self.layout {
            Some(_) => layout::parts(&mut layouts, SEAL),
            None => whole(&layout::pages(frames, &layouts)),
        };
        // Seals are pictures, whatever a document says of the page around them.
        let pictures: Vec<Frame> = parts.iter().map(|part| Frame { text: None, ..part.picture.clone() }).collect();
        let mut seals = parts.iter().zip(self.reader.read(turn, &pictures, |_, _| true)).peekable();
        let mut results = Vec::with_capacity(frames.len());
        for (index, (frame, layout)) in frames.iter().zip(layouts).enumerate() {
            let mut of_frame = Vec::new();
            while let Some((part, read)) = seals.next_if(|(part, _)| part.frame == index) {
                of_frame.push(read.map(|(text, times)| (Seal { bbox: part.bbox, text }, times)));
            }
            results.push(self.result(frame, layout, of_frame));
        }
        results
    }

    fn result(&self, frame: &Frame, layout: Layout, seals: Vec<Result<(Seal, StageTimes)>>) -> Result<(SealResult, StageTimes)> {
        let PageLayout { prepared, regions: layout, mut times, .. } = layout?;
        let mut found = Vec::with_capacity(seals.len());
        for seal in seals {
            let (seal, spent) = seal?;
            times.add_share(&spent, 1.0);
            found.push(seal);
        }
        Ok((SealResult { header: self.runs.header(&frame.id, &times), prepared, layout, seals: found }, times))
    }
}

/// Each frame as one part.
fn whole(frames: &[Frame]) -> Vec<Part> {
    let part = |(frame, picture): (usize, &Frame)| {
        let bbox = [0, 0, picture.size().width as i32, picture.size().height as i32];
        Part { frame, bbox, picture: picture.clone() }
    };
    frames.iter().enumerate().map(part).collect()
}

impl Pipeline for SealRecognition {
    fn process(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, times)| (result.into(), times))).collect()
    }

    fn run_records(&self) -> &[RunRecord] {
        self.runs.records()
    }

    fn workers(&self) -> &rayon::ThreadPool {
        self.crew.workers()
    }

    fn stages(&self) -> &'static [Stage] {
        &Stage::DOCUMENT
    }

    fn batch_size(&self) -> usize {
        self.reader.frames_at_once()
    }
}

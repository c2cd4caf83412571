//! OCR: the text of every picture, see `reader`.

use super::Pipeline;
use super::config::OcrConfig;
use super::crew::Crew;
use super::reader::TextReader;
use super::runs::Runs;
use crate::error::Result;
use crate::image::Frame;
use crate::modules::{Loader, TextDetect, TextRecognise};
use crate::result::{OcrResult, PipelineResult, RunRecord};
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// A loaded OCR pipeline. Calls from several threads share its workers.
pub struct Ocr {
    reader: TextReader,
    crew: Crew,
    runs: Runs,
}

impl Ocr {
    /// Finds, fetches and opens the networks of `config`.
    pub fn open(config: &OcrConfig, loader: &Loader) -> Result<Self> {
        let (detect, recognise) =
            rayon::join(|| loader.text_detect(&config.text_det_model, &config.detection), || loader.text_recognise(&config.text_rec_model));
        Self::new(detect?, recognise?, config, loader.threads())
    }

    /// A pipeline over loaded modules that works on `threads` cores.
    pub fn new(detect: TextDetect, recognise: TextRecognise, config: &OcrConfig, threads: usize) -> Result<Self> {
        let reader = TextReader::new(detect, Arc::new(recognise), config);
        let runs = Runs::of(reader.infos());
        Ok(Self { reader, crew: Crew::new(threads)?, runs })
    }

    /// Reads the text of `frames` (BGR), as one batch. A frame that fails leaves the others untouched.
    pub fn predict(&self, frames: &[Frame]) -> Vec<Result<OcrResult>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, _)| result)).collect()
    }

    /// As [`predict`](Self::predict), with the time each frame spent in each stage.
    pub fn predict_timed(&self, frames: &[Frame]) -> Vec<Result<(OcrResult, StageTimes)>> {
        let read = self.crew.run(frames.len(), |turn| self.reader.read(turn, frames, |_, _| true));
        let named = |(mut result, times): (OcrResult, StageTimes)| {
            result.header.run = self.runs.made(&times);
            (result, times)
        };
        read.into_iter().map(|outcome| outcome.map(named)).collect()
    }
}

impl Pipeline for Ocr {
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
        &Stage::OCR
    }

    fn batch_size(&self) -> usize {
        self.reader.frames_at_once()
    }
}

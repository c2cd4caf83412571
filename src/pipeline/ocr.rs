//! OCR: the text of every picture, see `reader`.

use super::config::OcrConfig;
use super::crew::Turn;
use super::reader::TextReader;
use super::runs::Runs;
use super::staffed::{Staffed, Steps};
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::Frame;
use crate::modules::{Loader, TextDetect, TextRecognise};
use crate::result::OcrResult;
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// The steps of OCR.
pub struct OcrSteps {
    reader: TextReader,
}

/// A loaded OCR pipeline.
pub type Ocr = Staffed<OcrSteps>;

impl Ocr {
    /// Finds, fetches and opens the networks of `config`.
    pub fn open(config: &OcrConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        // Not in a pool of rayon's: a worker of one that waits takes up other work, which may wait for this.
        let (detect, recognise) = std::thread::scope(|scope| {
            let recognise = || loader.text_recognise(&config.text_rec_model);
            let beside = std::thread::Builder::new().spawn_scoped(scope, recognise);
            let detect = loader.text_detect(&config.text_det_model, &config.detection);
            let other = beside.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            (detect, other.unwrap_or_else(|_| recognise()))
        });
        Self::new(detect?, recognise?, config, loader.threads())
    }

    /// A pipeline over loaded modules that works on `threads` cores.
    pub fn new(detect: TextDetect, recognise: TextRecognise, config: &OcrConfig, threads: usize) -> Result<Self> {
        Self::with(OcrSteps { reader: TextReader::new(detect, Arc::new(recognise), config) }, threads)
    }
}

impl Steps for OcrSteps {
    type Result = OcrResult;
    const STAGES: &'static [Stage] = &Stage::OCR;

    fn infos(&self) -> Vec<&RunInfo> {
        self.reader.infos().to_vec()
    }

    fn results(&self, frames: &[Frame], turn: Turn, runs: &Runs) -> Vec<Result<(OcrResult, StageTimes)>> {
        let headed = |(mut result, times): (OcrResult, StageTimes)| {
            result.header.run = runs.made(&times);
            (result, times)
        };
        self.reader.read(turn, frames, |_, _| true).into_iter().map(|read| read.map(headed)).collect()
    }

    fn batch_size(&self) -> usize {
        self.reader.frames_at_once()
    }
}

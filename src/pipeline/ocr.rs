//! OCR: detect on all frames, flatten the crops of all frames, recognise them in batches of equal width,
//! scatter the texts back. Grouping changes neither text nor boxes nor order, unless the
//! configuration asks for the padding of PaddleX 3.x.

use super::config::OcrConfig;
use super::{Pipeline, record, workers};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::modules::batch::{self, Batch, BatchLimits, Padding};
use crate::modules::network::Share;
use crate::modules::text_recognise::{Line, Text};
use crate::modules::{Loader, TextDetect, TextRecognise};
use crate::ops::db::TextBox;
use crate::ops::warp::CropPlan;
use crate::result::{Header, OcrResult, PipelineResult, RunRecord};
use crate::trace::{Stage, StageTimes};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A loaded OCR pipeline. Calls from several threads share its workers.
pub struct Ocr {
    detect: TextDetect,
    recognise: TextRecognise,
    workers: rayon::ThreadPool,
    limits: BatchLimits,
    padding: Padding,
    score_thresh: f32,
    /// Frames under way, over all calls.
    under_way: AtomicUsize,
    run: Vec<RunRecord>,
}

/// What detection found in one frame.
struct Found {
    boxes: Vec<TextBox>,
    crops: Vec<CropPlan>,
    times: StageTimes,
}

/// One text region of one frame of a batch.
struct Region {
    frame: usize,
    crop: CropPlan,
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
        let workers = workers(threads)?;
        let run = [detect.info(), recognise.info()].map(record).to_vec();
        Ok(Self {
            detect,
            recognise,
            workers,
            limits: config.batch,
            padding: config.padding,
            score_thresh: config.score_thresh,
            under_way: AtomicUsize::new(0),
            run,
        })
    }

    /// Reads the text of `frames` (BGR), as one batch. A frame that fails leaves the others untouched.
    pub fn predict(&self, frames: &[Frame]) -> Vec<Result<OcrResult>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, _)| result)).collect()
    }

    /// As [`predict`](Self::predict), with the time each frame spent in each stage.
    pub fn predict_timed(&self, frames: &[Frame]) -> Vec<Result<(OcrResult, StageTimes)>> {
        let others = self.under_way.fetch_add(frames.len(), Ordering::Relaxed);
        let share = if others == 0 && frames.len() == 1 { Share::Whole } else { Share::OneCore };
        let results = self.workers.install(|| self.predict_here(frames, share));
        self.under_way.fetch_sub(frames.len(), Ordering::Relaxed);
        results
    }

    fn predict_here(&self, frames: &[Frame], share: Share) -> Vec<Result<(OcrResult, StageTimes)>> {
        let detected: Vec<Result<Found>> = frames
            .par_iter()
            .with_max_len(1)
            .map(|frame| {
                let mut times = StageTimes::default();
                let boxes = self.detect.detect(frame.image.view(), share, &mut times)?;
                let crops = boxes.iter().map(|b| CropPlan::from_quad(&b.quad)).collect::<Result<_>>()?;
                Ok(Found { boxes, crops, times })
            })
            .collect();
        let crops = |(frame, found): (usize, &Result<Found>)| {
            let crops = found.as_ref().map_or(&[][..], |f| &f.crops);
            crops.iter().map(move |&crop| Region { frame, crop }).collect::<Vec<_>>()
        };
        let regions: Vec<Region> = detected.iter().enumerate().flat_map(crops).collect();
        let texts = self.read(frames, &regions);
        self.assemble(frames, detected, &regions, texts)
    }

    /// Texts of `regions`, in their order, with the time each took. A region without pixels holds no text.
    fn read(&self, frames: &[Frame], regions: &[Region]) -> Vec<Result<(Text, StageTimes)>> {
        let mut texts: Vec<Result<(Text, StageTimes)>> = regions.iter().map(|_| Ok(Default::default())).collect();
        let live: Vec<&Region> = regions.iter().filter(|r| !r.crop.is_empty()).collect();
        let place: Vec<usize> = (0..regions.len()).filter(|&i| !regions[i].crop.is_empty()).collect();
        let widths: Vec<u32> = live.iter().map(|r| self.recognise.input_width(r.crop.size())).collect();
        let batches = match self.padding {
            Padding::Own => batch::plan(&widths, self.limits),
            Padding::Widest => self.padded_batches(&live, &widths),
        };
        let read: Vec<_> = batches.par_iter().with_max_len(1).map(|b| (b, self.read_batch(frames, &live, b))).collect();
        for (batch, outcome) in read {
            match outcome {
                Ok((found, times)) => {
                    let mut share = StageTimes::default();
                    share.add_share(&times, 1.0 / found.len() as f64);
                    for (&i, text) in batch.items.iter().zip(found) {
                        texts[place[i]] = Ok((text, share));
                    }
                }
                Err(e) => {
                    // The error belongs to every frame of the batch; each names the same cause.
                    let reason = e.to_string();
                    for &i in &batch.items {
                        texts[place[i]] = Err(Error::device("cpu", "text recognition", reason.clone()));
                    }
                }
            }
        }
        texts
    }

    /// Batches as in PaddleX 3.x, which never hold lines of two frames.
    fn padded_batches(&self, regions: &[&Region], widths: &[u32]) -> Vec<Batch> {
        let ratio = |r: &&Region| f64::from(r.crop.size().width) / f64::from(r.crop.size().height);
        let ratios: Vec<f64> = regions.iter().map(ratio).collect();
        let mut batches = Vec::new();
        let mut start = 0;
        for of_frame in regions.chunk_by(|a, b| a.frame == b.frame) {
            let end = start + of_frame.len();
            let mut plan = batch::plan_padded(&ratios[start..end], &widths[start..end], self.limits.items);
            plan.iter_mut().flat_map(|b| &mut b.items).for_each(|i| *i += start);
            batches.append(&mut plan);
            start = end;
        }
        batches
    }

    fn read_batch(&self, frames: &[Frame], regions: &[&Region], batch: &Batch) -> Result<(Vec<Text>, StageTimes)> {
        let line = |&i: &usize| Line { image: frames[regions[i].frame].image.view(), crop: &regions[i].crop };
        let lines: Vec<Line> = batch.items.iter().map(line).collect();
        let mut times = StageTimes::default();
        let texts = self.recognise.recognise(&lines, batch.width, &mut times)?;
        Ok((texts, times))
    }

    fn assemble(
        &self,
        frames: &[Frame],
        detected: Vec<Result<Found>>,
        regions: &[Region],
        texts: Vec<Result<(Text, StageTimes)>>,
    ) -> Vec<Result<(OcrResult, StageTimes)>> {
        let mut texts = regions.iter().zip(texts).peekable();
        let mut results = Vec::with_capacity(frames.len());
        for (index, (frame, found)) in frames.iter().zip(detected).enumerate() {
            let mut of_frame = Vec::new();
            while let Some((_, text)) = texts.next_if(|(region, _)| region.frame == index) {
                of_frame.push(text);
            }
            results.push(found.and_then(|found| self.result(frame, found, of_frame)));
        }
        results
    }

    fn result(&self, frame: &Frame, found: Found, texts: Vec<Result<(Text, StageTimes)>>) -> Result<(OcrResult, StageTimes)> {
        let mut result = OcrResult { header: Header::new(&frame.id, &self.run), ..OcrResult::default() };
        let mut times = found.times;
        for (found, text) in found.boxes.iter().zip(texts) {
            let (text, spent) = text?;
            times.add_share(&spent, 1.0);
            if text.score < self.score_thresh {
                continue;
            }
            result.dt_polys.push(found.quad.to_vec());
            result.dt_scores.push(found.score);
            result.rec_text.push(text.text);
            result.rec_score.push(text.score);
        }
        Ok((result, times))
    }
}

impl Pipeline for Ocr {
    fn process(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, times)| (result.into(), times))).collect()
    }

    fn run_records(&self) -> &[RunRecord] {
        &self.run
    }

    fn workers(&self) -> &rayon::ThreadPool {
        &self.workers
    }

    fn stages(&self) -> &'static [Stage] {
        &Stage::OCR
    }
}

//! Reads the text of pictures: detects on all of them, flattens the regions of all, recognises them in batches of equal
//! width, scatters the texts back. Grouping changes neither text nor boxes nor order, unless the configuration asks for the
//! padding of PaddleX 3.x. Pictures are whole frames or parts of them; pipelines differ in which.

use super::config::OcrConfig;
use super::crew::Turn;
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::page_text::TextUse;
use crate::image::{Frame, PageText, PictureRef, PointI, Resident};
use crate::modules::batch::{self, Batch, BatchLimits, Padding};
use crate::modules::network::Share;
use crate::modules::text_detect::Detected;
use crate::modules::text_recognise::{Line, Text, USUAL_LINES};
use crate::modules::{TextDetect, TextRecognise};
use crate::ops::db::TextPolygon;
use crate::ops::text_layer;
use crate::ops::warp::curve::CurvePlan;
use crate::result::{Header, OcrResult, TextSource};
use crate::trace::StageTimes;
use std::iter::from_fn;
use std::sync::Arc;

/// Lines of one width that share a recognition run. Results do not depend on it. On a processor more lines a run
/// gain nothing (measured: 6 lines of 320 cost 6 times one), and large batches leave cores without work at the end.
const CPU_BATCH: BatchLimits = BatchLimits { items: 2, cost: 2 * 320 };
/// The same on a GPU, as far as the width allows.
const GPU_BATCH: BatchLimits = BatchLimits { items: USUAL_LINES, cost: USUAL_LINES * 320 };

/// Frames that a GPU gains from having at once: some are brought there while others are worked on, and lines of all share runs.
const GPU_FRAMES: usize = 8;

/// A detector and a recogniser of text.
pub(super) struct TextReader {
    detect: TextDetect,
    recognise: Arc<TextRecognise>,
    limits: BatchLimits,
    padding: Padding,
    score_thresh: f32,
}

/// What detection found in one frame, or the document knows of it.
#[derive(Default)]
struct Found {
    boxes: Vec<TextPolygon>,
    /// The text of each box where it is known, and where from; of no box where none can be.
    known: Vec<Option<(Text, TextSource)>>,
    /// The frame on the GPU, where that reads it; it goes when the texts are there.
    resident: Option<Arc<Resident>>,
    /// Where the pixels are of boxes whose text is not known.
    crops: Vec<CurvePlan>,
    times: StageTimes,
}

/// A frame, and what was found in it.
pub(super) struct Seen<'a> {
    frame: &'a Frame,
    found: Result<Found>,
}

/// A frame, and where it lies on the GPU.
type Placed<'a> = (&'a Frame, Option<&'a Arc<Resident>>);

/// One text region of one frame of a batch.
struct Region {
    frame: usize,
    crop: CurvePlan,
}

impl Found {
    /// The lines of `text` for which `keep` says so.
    fn stated(text: &PageText, keep: impl Fn(&[PointI]) -> bool) -> Self {
        let lines = text_layer::lines(&text.glyphs).into_iter().filter(|line| keep(&line.quad));
        let (boxes, known) = lines.map(|line| (TextPolygon { points: line.quad.to_vec(), score: 1.0 }, Some(stated(line.text)))).unzip();
        Self { boxes, known, ..Self::default() }
    }
}

impl Seen<'_> {
    fn placed(&self) -> Placed<'_> {
        (self.frame, self.found.as_ref().ok().and_then(|found| found.resident.as_ref()))
    }
}

/// A text of the document.
fn stated(text: String) -> (Text, TextSource) {
    (Text { text, score: 1.0 }, TextSource::Pdf)
}

/// What is known of the line in `points` of `frame`.
fn known(frame: &Frame, points: &[PointI]) -> Option<(Text, TextSource)> {
    let of_document = || text_layer::within(&frame.text.as_ref()?.glyphs, points).map(stated);
    let of_earlier = || frame.known.as_deref()?.iter().find(|line| line.is_at(points));
    of_document().or_else(|| of_earlier().map(|line| (Text { text: line.text.clone(), score: line.score }, TextSource::Earlier)))
}

/// The text of `frame`, where that stands in for reading it.
fn stated_lines(frame: &Frame) -> Option<&PageText> {
    frame.text.as_deref().filter(|text| text.usage == TextUse::Lines)
}

fn on_gpu(recognise: &TextRecognise) -> bool {
    recognise.info().device != "cpu"
}

impl TextReader {
    /// A reader over loaded modules.
    pub fn new(detect: TextDetect, recognise: Arc<TextRecognise>, config: &OcrConfig) -> Self {
        let by_device = if on_gpu(&recognise) { GPU_BATCH } else { CPU_BATCH };
        let limits = config.batch.unwrap_or(by_device);
        Self { detect, recognise, limits, padding: config.padding, score_thresh: config.score_thresh }
    }

    /// What runs: detector, recogniser.
    pub fn infos(&self) -> [&RunInfo; 2] {
        [self.detect.info(), self.recognise.info()]
    }

    /// Frames that it gains from having at once.
    pub fn frames_at_once(&self) -> usize {
        if on_gpu(&self.recognise) { GPU_FRAMES } else { 1 }
    }

    /// The text of each of `frames` (BGR), see [`find`](Self::find) and [`texts`](Self::texts).
    pub fn read(
        &self,
        turn: Turn,
        frames: &[Frame],
        keep: impl Fn(usize, &[PointI]) -> bool + Sync,
    ) -> Vec<Result<(OcrResult, StageTimes)>> {
        self.texts(turn, self.find(turn, frames, keep))
    }

    /// The text regions of each of `frames` (BGR). Only those are returned for which `keep`, told the number of the frame and the
    /// outline, says so.
    pub fn find<'a>(&self, turn: Turn, frames: &'a [Frame], keep: impl Fn(usize, &[PointI]) -> bool + Sync) -> Vec<Seen<'a>> {
        let (stated, seen): (Vec<usize>, Vec<usize>) = (0..frames.len()).partition(|&index| stated_lines(&frames[index]).is_some());
        let mut groups = self.detect.groups(seen.iter().map(|&index| frames[index].size()));
        groups.iter_mut().flatten().for_each(|place| *place = seen[*place]);
        let find = |group: &Vec<usize>, share: Share| self.find_together(frames, group, share, &keep);
        // On a processor each detection has the tensors of a page.
        let found = if on_gpu(&self.recognise) { turn.each(&groups, find) } else { turn.each_large(&groups, find) };
        let mut detected: Vec<(usize, Result<Found>)> = groups.into_iter().flatten().zip(found.into_iter().flatten()).collect();
        let lines = |index: usize| stated_lines(&frames[index]).map(|text| (index, Ok(Found::stated(text, |line| keep(index, line)))));
        detected.extend(stated.into_iter().filter_map(lines));
        detected.sort_by_key(|(index, _)| *index);
        detected.into_iter().map(|(index, found)| Seen { frame: &frames[index], found }).collect()
    }

    /// What the regions say that this reader, or another with the same recogniser, found: for each frame its text, with the time it
    /// spent in each stage. Regions of all frames share the batches; headers say nothing of what ran.
    pub fn texts(&self, turn: Turn, seen: Vec<Seen>) -> Vec<Result<(OcrResult, StageTimes)>> {
        let crops = |(frame, seen): (usize, &Seen)| {
            let crops = seen.found.as_ref().map_or(&[][..], |f| &f.crops);
            crops.iter().map(move |crop| Region { frame, crop: crop.clone() }).collect::<Vec<_>>()
        };
        let regions: Vec<Region> = seen.iter().enumerate().flat_map(crops).collect();
        let placed: Vec<Placed> = seen.iter().map(Seen::placed).collect();
        let texts = self.recognise_all(turn, &placed, &regions);
        drop(placed);
        self.assemble(seen, &regions, texts)
    }

    /// What detection finds in each of the `group` of `frames`; where it fails for some of them together, in each alone.
    fn find_together(
        &self,
        frames: &[Frame],
        group: &[usize],
        share: Share,
        keep: &impl Fn(usize, &[PointI]) -> bool,
    ) -> Vec<Result<Found>> {
        let mut times = StageTimes::default();
        let images: Vec<PictureRef> = group.iter().map(|&index| frames[index].image.view()).collect();
        let detected = match self.detect.detect(&images, share, &mut times) {
            Ok(detected) => detected,
            Err(error) if group.len() == 1 => return vec![Err(error.of_input(frames[group[0]].id.input_path.as_deref()))],
            Err(error) => {
                tracing::debug!("{} pictures together: {error}; now one by one", group.len());
                return group.iter().flat_map(|&index| self.find_together(frames, &[index], share, keep)).collect();
            }
        };
        let mut part = StageTimes::default();
        part.add_share(&times, 1.0 / group.len() as f64);
        let found = |(&index, Detected { regions: mut boxes, resident }): (&usize, Detected)| {
            boxes.retain(|found| keep(index, &found.points));
            let known: Vec<_> = boxes.iter().map(|found| known(&frames[index], &found.points)).collect();
            let unknown = boxes.iter().zip(&known).filter(|(_, known)| known.is_none());
            let crops = unknown.map(|(found, _)| self.detect.crop(found, frames[index].size())).collect::<Result<_>>()?;
            Ok(Found { boxes, known, resident, crops, times: part })
        };
        group.iter().zip(detected).map(found).collect()
    }

    /// Texts of `regions`, in their order, with the time each took. A region without pixels holds no text.
    fn recognise_all(&self, turn: Turn, frames: &[Placed], regions: &[Region]) -> Vec<Result<(Text, StageTimes)>> {
        let mut texts: Vec<Result<(Text, StageTimes)>> = regions.iter().map(|_| Ok(Default::default())).collect();
        let live: Vec<&Region> = regions.iter().filter(|r| !r.crop.is_empty()).collect();
        let place: Vec<usize> = (0..regions.len()).filter(|&i| !regions[i].crop.is_empty()).collect();
        let widths: Vec<u32> = live.iter().map(|r| self.recognise.input_width(r.crop.size())).collect();
        let batches = match self.padding {
            Padding::Own => batch::plan(&widths, self.limits),
            Padding::Widest => self.padded_batches(&live, &widths),
        };
        let together = |batch: &Batch| batch.in_parts(self.recognise.together(batch.items.len(), batch.width)).collect::<Vec<_>>();
        let batches: Vec<Batch> = batches.iter().flat_map(together).collect();
        let read = turn.each(&batches, |batch, _| self.read_batch(frames, &live, batch));
        for (batch, found) in batches.iter().zip(read) {
            for (&i, text) in batch.items.iter().zip(found) {
                texts[place[i]] = text;
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

    /// Texts of a batch, with the time each took; where it fails for some lines together, of each alone: the fault may be one's.
    fn read_batch(&self, frames: &[Placed], regions: &[&Region], batch: &Batch) -> Vec<Result<(Text, StageTimes)>> {
        match self.read_together(frames, regions, &batch.items, batch.width) {
            Ok((texts, times)) => {
                let mut share = StageTimes::default();
                share.add_share(&times, 1.0 / texts.len() as f64);
                texts.into_iter().map(|text| Ok((text, share))).collect()
            }
            Err(error) if batch.items.len() == 1 => vec![Err(error)],
            Err(error) => {
                tracing::debug!("{} lines together: {error}; now one by one", batch.items.len());
                let alone = |&item: &usize| {
                    let (mut texts, times) = self.read_together(frames, regions, &[item], batch.width)?;
                    Ok((texts.pop().unwrap_or_default(), times))
                };
                batch.items.iter().map(alone).collect()
            }
        }
    }

    fn read_together(&self, frames: &[Placed], regions: &[&Region], items: &[usize], width: u32) -> Result<(Vec<Text>, StageTimes)> {
        let line = |&i: &usize| {
            let (frame, resident) = frames[regions[i].frame];
            Line { image: frame.image.view(), resident, crop: &regions[i].crop }
        };
        let lines: Vec<Line> = items.iter().map(line).collect();
        let mut times = StageTimes::default();
        let texts = self.recognise.recognise(&lines, width, &mut times)?;
        Ok((texts, times))
    }

    fn assemble(
        &self,
        seen: Vec<Seen>,
        regions: &[Region],
        texts: Vec<Result<(Text, StageTimes)>>,
    ) -> Vec<Result<(OcrResult, StageTimes)>> {
        let mut texts = regions.iter().zip(texts).peekable();
        let one = |(index, Seen { frame, found }): (usize, Seen)| {
            let of_frame = from_fn(|| texts.next_if(|(region, _)| region.frame == index)).map(|(_, text)| text).collect();
            found.and_then(|found| self.result(frame, found, of_frame))
        };
        seen.into_iter().enumerate().map(one).collect()
    }

    fn result(&self, frame: &Frame, found: Found, texts: Vec<Result<(Text, StageTimes)>>) -> Result<(OcrResult, StageTimes)> {
        let mut result = OcrResult { header: Header::new(&frame.id, &[]), ..OcrResult::default() };
        let mut times = found.times;
        let (mut known, mut texts) = (found.known.into_iter(), texts.into_iter());
        for found in found.boxes {
            let (text, source) = match known.next().flatten() {
                Some(known) => known,
                None => {
                    let lost = || Error::internal("text recognition", "no answer for a line");
                    let (text, spent) = texts.next().ok_or_else(lost)??;
                    times.add_share(&spent, 1.0);
                    (text, TextSource::Ocr)
                }
            };
            // Without a threshold all is kept, even what a network without its Softmax gives.
            if self.score_thresh > 0.0 && text.score < self.score_thresh {
                continue;
            }
            if frame.text.is_some() || frame.known.is_some() {
                result.rec_source.push(source);
            }
            result.dt_polys.push(found.points);
            result.dt_scores.push(found.score);
            result.rec_text.push(text.text);
            result.rec_score.push(text.score);
        }
        Ok((result, times))
    }
}

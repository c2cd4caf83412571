//! Table recognition: the layout and the text of every page, the structure of every table in it, texts in cells.

use super::Pipeline;
use super::config::DocumentConfig;
use super::crew::{Crew, Turn};
use super::doc_preprocessor::DocPreprocessor;
use super::layout::{self, Layout, PageLayout};
use super::reader::TextReader;
use super::runs::Runs;
use super::tables::{self, Found};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::modules::{Detect, Loader, PictureModule, TableStructure, TextDetect, TextRecognise};
use crate::result::{OcrResult, PipelineResult, RunRecord, TableResult};
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// Class of the regions that are tables.
const TABLE: &str = "table";

/// A loaded table recognition pipeline. Calls from several threads share its workers.
pub struct TableRecognition {
    preprocessor: DocPreprocessor,
    layout: Detect,
    structure: TableStructure,
    reader: TextReader,
    crew: Crew,
    runs: Runs,
}

impl TableRecognition {
    /// Finds, fetches and opens the networks of `config`.
    ///
    /// # Errors
    /// Also [`Error::Config`] when the configuration names no layout or table model.
    pub fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        let missing = |key: &str| Error::config(key, "table_recognition needs this model");
        let preprocessor = DocPreprocessor::open(config, loader)?;
        let layout = layout::open(config, loader)?.ok_or_else(|| missing("layout_model"))?;
        let structure = loader.table(config.table_model.as_ref().ok_or_else(|| missing("table_model"))?)?;
        let detect = loader.text_detect(&config.text.text_det_model, &config.text.detection)?;
        let recognise = loader.text_recognise(&config.text.text_rec_model)?;
        Ok(Self::new(layout, structure, detect, recognise, config, loader.threads())?.with_preprocessor(preprocessor))
    }

    /// A pipeline over loaded modules that works on `threads` cores.
    pub fn new(
        layout: Detect,
        structure: TableStructure,
        detect: TextDetect,
        recognise: TextRecognise,
        config: &DocumentConfig,
        threads: usize,
    ) -> Result<Self> {
        let reader = TextReader::new(detect, Arc::new(recognise), &config.text);
        let (crew, preprocessor) = (Crew::new(threads)?, DocPreprocessor::default());
        let made = Self { preprocessor, layout, structure, reader, crew, runs: Runs::of([]) };
        Ok(made.with_preprocessor(DocPreprocessor::default()))
    }

    /// The same, with pages prepared first.
    pub fn with_preprocessor(self, preprocessor: DocPreprocessor) -> Self {
        let regions = [self.layout.info(), self.structure.info()];
        let runs = Runs::of(preprocessor.infos().chain(regions).chain(self.reader.infos()));
        Self { preprocessor, runs, ..self }
    }

    /// The tables of `frames` (BGR), in their order. A frame that fails leaves the others untouched.
    pub fn predict(&self, frames: &[Frame]) -> Vec<Result<TableResult>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, _)| result)).collect()
    }

    /// As [`predict`](Self::predict), with the time each frame spent in each stage.
    pub fn predict_timed(&self, frames: &[Frame]) -> Vec<Result<(TableResult, StageTimes)>> {
        self.crew.run(frames.len(), |turn| self.predict_here(frames, turn))
    }

    fn predict_here(&self, frames: &[Frame], turn: Turn) -> Vec<Result<(TableResult, StageTimes)>> {
        let mut layouts = layout::find(turn, &self.preprocessor, Some(&self.layout), frames);
        let parts = layout::parts(&mut layouts, TABLE);
        // The reference reads all of the page, and then throws the lines away that lie on a table.
        let outside = |frame: usize, outline: &[_]| !parts.iter().any(|p| p.frame == frame && tables::overlaps(outline, p.bbox));
        let pages = self.reader.read(turn, &layout::pages(frames, &layouts), outside);
        let mut found = parts.iter().zip(tables::read(turn, &self.structure, &self.reader, &parts)).peekable();
        let mut results = Vec::with_capacity(frames.len());
        for (index, ((frame, layout), page)) in frames.iter().zip(layouts).zip(pages).enumerate() {
            let mut of_frame = Vec::new();
            while let Some((_, table)) = found.next_if(|(part, _)| part.frame == index) {
                of_frame.push(table);
            }
            results.push(self.result(frame, layout, page, of_frame));
        }
        results
    }

    fn result(
        &self,
        frame: &Frame,
        layout: Layout,
        page: Result<(OcrResult, StageTimes)>,
        found: Vec<Result<Found>>,
    ) -> Result<(TableResult, StageTimes)> {
        let PageLayout { prepared, regions: layout, mut times, .. } = layout?;
        let (mut ocr, spent) = page?;
        times.add_share(&spent, 1.0);
        let mut tables = Vec::with_capacity(found.len());
        for found in found {
            let Found { table, text, times: spent } = found?;
            times.add_share(&spent, 1.0);
            ocr.dt_polys.extend(text.dt_polys);
            ocr.rec_text.extend(text.rec_text);
            ocr.rec_score.extend(text.rec_score);
            ocr.rec_source.extend(text.rec_source);
            ocr.dt_scores.clear();
            tables.push(table);
        }
        Ok((TableResult { header: self.runs.header(&frame.id, &times), prepared, layout, ocr, tables }, times))
    }
}

impl Pipeline for TableRecognition {
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

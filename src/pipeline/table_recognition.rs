//! Table recognition: the layout and the text of every page, the structure of every table in it, texts in cells.

use super::config::DocumentConfig;
use super::crew::Turn;
use super::doc_preprocessor::DocPreprocessor;
use super::layout::{self, Layout, PageLayout, TABLE};
use super::reader::TextReader;
use super::runs::Runs;
use super::staffed::{Staffed, Steps};
use super::tables::{self, Found};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::modules::{Detect, Loader, PictureModule, TableStructure, TextDetect, TextRecognise};
use crate::result::{OcrResult, TableResult};
use crate::trace::{Stage, StageTimes};
use std::iter::from_fn;
use std::sync::Arc;

/// The steps of table recognition.
pub struct TableSteps {
    preprocessor: DocPreprocessor,
    layout: Detect,
    structure: TableStructure,
    reader: TextReader,
}

/// A loaded table recognition pipeline.
pub type TableRecognition = Staffed<TableSteps>;

impl TableRecognition {
    /// Finds, fetches and opens the networks of `config`.
    ///
    /// # Errors
    /// Also [`Error::Config`] when the configuration names no layout or table model.
    pub fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        let missing = |key: &str| Error::config(key, "table_recognition needs this model");
        let preprocessor = DocPreprocessor::open(config, loader)?;
        let layout = layout::open(config, loader)?.ok_or_else(|| missing("layout_model"))?;
        let structure = loader.table(config.table_model.as_ref().ok_or_else(|| missing("table_model"))?)?;
        let detect = loader.text_detect(&config.text.text_det_model, &config.text.detection)?;
        let recognise = loader.text_recognise(&config.text.text_rec_model)?;
        Self::new(preprocessor, layout, structure, detect, recognise, config, loader.threads())
    }

    /// A pipeline over loaded modules that works on `threads` cores.
    pub fn new(
        preprocessor: DocPreprocessor,
        layout: Detect,
        structure: TableStructure,
        detect: TextDetect,
        recognise: TextRecognise,
        config: &DocumentConfig,
        threads: usize,
    ) -> Result<Self> {
        let reader = TextReader::new(detect, Arc::new(recognise), &config.text);
        Self::with(TableSteps { preprocessor, layout, structure, reader }, threads)
    }
}

impl Steps for TableSteps {
    type Result = TableResult;
    const STAGES: &'static [Stage] = &Stage::DOCUMENT;

    fn infos(&self) -> Vec<&RunInfo> {
        let regions = [self.layout.info(), self.structure.info()];
        self.preprocessor.infos().chain(regions).chain(self.reader.infos()).collect()
    }

    fn results(&self, frames: &[Frame], turn: Turn, runs: &Runs) -> Vec<Result<(TableResult, StageTimes)>> {
        let mut layouts = layout::find(turn, &self.preprocessor, Some(&self.layout), frames);
        let parts = layout::parts(&mut layouts, TABLE);
        // The reference reads all of the page, and then throws the lines away that lie on a table.
        let outside = |frame: usize, outline: &[_]| !parts.iter().any(|p| p.frame == frame && tables::overlaps(outline, p.bbox));
        let (pages, pictures) = (layout::pages(frames, &layouts), layout::pictures(&parts));
        let structures = tables::structures(turn, &self.structure, &parts);
        let mut seen = self.reader.find(turn, &pages, outside);
        seen.extend(self.reader.find(turn, &pictures, |_, _| true));
        let mut texts = self.reader.texts(turn, seen).into_iter();
        let pages: Vec<_> = texts.by_ref().take(frames.len()).collect();
        let mut found = parts.iter().zip(structures).zip(texts).peekable();
        let one = |(index, ((frame, layout), page))| {
            let of_frame = from_fn(|| found.next_if(|((part, _), _)| part.frame == index));
            let of_frame = of_frame.map(|((part, structure), text)| tables::table(part, structure, text)).collect();
            result(frame, layout, page, of_frame, runs)
        };
        frames.iter().zip(layouts).zip(pages).enumerate().map(one).collect()
    }

    fn batch_size(&self) -> usize {
        self.reader.frames_at_once()
    }
}

fn result(
    frame: &Frame,
    layout: Layout,
    page: Result<(OcrResult, StageTimes)>,
    found: Vec<Result<Found>>,
    runs: &Runs,
) -> Result<(TableResult, StageTimes)> {
    let PageLayout { prepared, regions: layout, mut times, .. } = layout?;
    let (mut ocr, spent) = page?;
    times.add_share(&spent, 1.0);
    let mut tables = Vec::with_capacity(found.len());
    for found in found {
        let Found { table, text, times: spent } = found?;
        times.add_share(&spent, 1.0);
        ocr.extend(text);
        ocr.dt_scores.clear();
        tables.push(table);
    }
    Ok((TableResult { header: runs.header(&frame.id, &times), prepared, layout, ocr, tables }, times))
}

//! The visual step of PP-ChatOCRv3-doc: pages are set upright and made flat; then layout, the text of every region, seals, tables,
//! the text outside of regions; all of it in reading order.

use super::Pipeline;
use super::config::DocumentConfig;
use super::crew::{Crew, Turn};
use super::doc_preprocessor::DocPreprocessor;
use super::layout::{self, PageLayout, Part};
use super::reader::TextReader;
use super::runs::Runs;
use super::tables::{self, Found};
use crate::error::{Error, Result};
use crate::image::{Frame, FrameId, ImageBuf, PointI};
use crate::modules::{Classify, Detect, Loader, PictureModule, TableStructure, TextDetect, TextRecognise, Unwarp};
use crate::ops::layout::{Columns, reading_order};
use crate::result::page::{Block, BlockContent, PageResult, PreparedPage};
use crate::result::{DetectedBox, OcrResult, PipelineResult, RunRecord, Seal};
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// Classes of regions that hold no text of their own: what they show is read with the rest of the page.
const PICTURES: [&str; 4] = ["image", "figure", "img", "fig"];
/// Regions that are read at once: each is a picture of the size of the page.
const REGIONS_AT_ONCE: usize = 4;

/// A loaded pipeline for pages. Calls from several threads share its workers.
pub struct Pages {
    preprocessor: DocPreprocessor,
    layout: Detect,
    structure: Option<TableStructure>,
    reader: TextReader,
    seal_reader: Option<TextReader>,
    recovery: bool,
    crew: Crew,
    runs: Runs,
}

/// The networks of the pipeline for pages.
pub struct PageModules {
    /// Finds how a page is turned.
    pub orientation: Option<Classify>,
    /// Makes a photograph of a page flat.
    pub unwarp: Option<Unwarp>,
    /// Finds the regions.
    pub layout: Detect,
    /// Finds the cells of tables; without one they are read as other text.
    pub structure: Option<TableStructure>,
    /// Finds text.
    pub text: TextDetect,
    /// Finds text in seals; without one that for other text does.
    pub seals: Option<TextDetect>,
    /// Reads text.
    pub recognise: TextRecognise,
}

impl Pages {
    /// Finds, fetches and opens the networks of `config`.
    ///
    /// # Errors
    /// Also [`Error::Config`] when the configuration names no layout model.
    pub fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        let missing = || Error::config("layout_model", format!("{} needs this model", config.task));
        let DocPreprocessor { orientation, unwarp } = DocPreprocessor::open(config, loader)?;
        let modules = PageModules {
            orientation,
            unwarp,
            layout: layout::open(config, loader)?.ok_or_else(missing)?,
            structure: config.table_model.as_ref().map(|choice| loader.table(choice)).transpose()?,
            text: loader.text_detect(&config.text.text_det_model, &config.text.detection)?,
            seals: config.seal_text_det_model.as_ref().map(|choice| loader.text_detect(choice, &config.seal_detection)).transpose()?,
            recognise: loader.text_recognise(&config.text.text_rec_model)?,
        };
        Self::new(modules, config, loader.threads())
    }

    /// A pipeline over loaded modules that works on `threads` cores.
    pub fn new(modules: PageModules, config: &DocumentConfig, threads: usize) -> Result<Self> {
        let PageModules { orientation, unwarp, layout, structure, text, seals, recognise } = modules;
        let preprocessor = DocPreprocessor { orientation, unwarp };
        let recognise = Arc::new(recognise);
        let seal_reader = seals.map(|detect| TextReader::new(detect, recognise.clone(), &config.text));
        let reader = TextReader::new(text, recognise, &config.text);
        let seals = seal_reader.iter().map(|reader| reader.infos()).map(|[detector, _]| detector);
        let regions = [layout.info()].into_iter().chain(structure.iter().map(|m| m.info()));
        let runs = Runs::of(preprocessor.infos().chain(regions).chain(reader.infos()).chain(seals));
        let (recovery, crew) = (config.recovery, Crew::new(threads)?);
        Ok(Self { preprocessor, layout, structure, reader, seal_reader, recovery, crew, runs })
    }

    /// What `frames` (BGR) hold, in their order. A frame that fails leaves the others untouched.
    pub fn predict(&self, frames: &[Frame]) -> Vec<Result<PageResult>> {
        self.predict_timed(frames).into_iter().map(|r| r.map(|(result, _)| result)).collect()
    }

    /// As [`predict`](Self::predict), with the time each frame spent in each stage. Pages are read one after the other: the
    /// regions of one are several pictures already.
    pub fn predict_timed(&self, frames: &[Frame]) -> Vec<Result<(PageResult, StageTimes)>> {
        self.crew.run(frames.len(), |turn| frames.iter().map(|frame| self.page(frame, turn)).collect())
    }

    fn page(&self, frame: &Frame, turn: Turn) -> Result<(PageResult, StageTimes)> {
        let found = layout::find(turn, &self.preprocessor, Some(&self.layout), std::slice::from_ref(frame));
        let seals = layout::parts(&found, "seal")?;
        let tables = if self.structure.is_some() { layout::parts(&found, "table")? } else { Vec::new() };
        let found = found.into_iter().next().unwrap_or_else(|| Err(Error::internal("layout", "no answer for a page")))?;
        let PageLayout { id, image: page, prepared, regions: boxes, mut times } = found;
        let (orientation, is_unwarped) =
            prepared.map_or((None, false), |PreparedPage { orientation, is_unwarped, .. }| (orientation, is_unwarped));
        let mut rest = page.data().to_vec();
        let mut texts = Vec::new();
        for found in &boxes {
            let label = found.label.to_lowercase();
            if PICTURES.contains(&label.as_str()) {
                continue;
            }
            match label.as_str() {
                "seal" => {}
                "table" if self.structure.is_some() => {}
                "table" => texts.push(("text".to_owned(), found)),
                _ => texts.push((label, found)),
            }
            blank(&mut rest, &page, found);
        }
        let mut ocr = OcrResult::default();
        let mut blocks = self.regions((&id, &page), &texts, turn, &mut ocr, &mut times)?;
        let seals = self.seals(&seals, turn, &mut times)?;
        blocks.extend(seals.iter().map(|seal| block(seal.bbox.map(|side| side as f32), BlockContent::Seal(seal.text.rec_text.concat()))));
        let rest = ImageBuf::new(rest, page.size(), page.format())?;
        let loose = self.read_one(Frame { id, image: rest.into() }, turn, &mut times)?;
        blocks.extend(
            loose.dt_polys.iter().zip(&loose.rec_text).map(|(polygon, text)| block(bounds(polygon), BlockContent::Line(text.clone()))),
        );
        let of_regions = std::mem::replace(&mut ocr, OcrResult { dt_scores: Vec::new(), ..loose });
        extend(&mut ocr, of_regions);
        let mut found_tables = Vec::with_capacity(tables.len());
        let read = self.structure.iter().flat_map(|structure| tables::read(turn, structure, &self.reader, &tables));
        for found in read {
            let Found { table, times: spent, .. } = found?;
            times.add_share(&spent, 1.0);
            blocks.push(block(table.layout_bbox.map(|side| side as f32), BlockContent::Table(table.clone())));
            found_tables.push(table);
        }
        let result = PageResult {
            header: self.runs.header(&frame.id, &times),
            orientation,
            is_unwarped,
            layout: boxes,
            ocr,
            tables: found_tables,
            seals,
            blocks: ordered(blocks, page.size().width),
            page,
        };
        Ok((result, times))
    }

    /// The text of each region, into `ocr` and as blocks. With recovery each is read on a white page of its own, as the
    /// reference does; its detector then sees it in its place and size.
    fn regions(
        &self,
        (id, page): (&FrameId, &ImageBuf),
        regions: &[(String, &DetectedBox)],
        turn: Turn,
        ocr: &mut OcrResult,
        times: &mut StageTimes,
    ) -> Result<Vec<Block>> {
        let mut blocks = Vec::with_capacity(regions.len());
        for regions in regions.chunks(REGIONS_AT_ONCE) {
            let mut pictures = Vec::with_capacity(regions.len());
            for (label, found) in regions {
                let Some((bbox, pixels)) = layout::cut(page, found)? else { continue };
                let image = if self.recovery { alone(page, &pixels, bbox)? } else { pixels };
                pictures.push((label, found, bbox, Frame { id: id.clone(), image: image.into() }));
            }
            let frames: Vec<Frame> = pictures.iter().map(|(.., frame)| frame.clone()).collect();
            for ((label, found, [left, top, ..], _), read) in pictures.iter().zip(self.reader.read(turn, &frames, |_, _| true)) {
                let (mut text, spent) = read?;
                times.add_share(&spent, 1.0);
                if !self.recovery {
                    text.dt_polys.iter_mut().flatten().for_each(|p| *p = PointI::new(p.x + left.max(&0), p.y + top.max(&0)));
                }
                let content = BlockContent::Region { label: (*label).clone(), lines: text.rec_text.clone() };
                blocks.push(block(found.coordinate, content));
                extend(ocr, text);
            }
        }
        Ok(blocks)
    }

    fn seals(&self, parts: &[Part], turn: Turn, times: &mut StageTimes) -> Result<Vec<Seal>> {
        let pictures: Vec<Frame> = parts.iter().map(|part| part.picture.clone()).collect();
        let reader = self.seal_reader.as_ref().unwrap_or(&self.reader);
        let read = parts.iter().zip(reader.read(turn, &pictures, |_, _| true)).map(|(part, read)| {
            let (text, spent) = read?;
            times.add_share(&spent, 1.0);
            Ok(Seal { bbox: part.bbox, text })
        });
        read.collect()
    }

    fn read_one(&self, frame: Frame, turn: Turn, times: &mut StageTimes) -> Result<OcrResult> {
        let read = self.reader.read(turn, &[frame], |_, _| true).pop();
        let (text, spent) = read.unwrap_or_else(|| Err(Error::internal("text", "no answer for a page")))?;
        times.add_share(&spent, 1.0);
        Ok(text)
    }
}

fn extend(ocr: &mut OcrResult, more: OcrResult) {
    ocr.dt_polys.extend(more.dt_polys);
    ocr.rec_text.extend(more.rec_text);
    ocr.rec_score.extend(more.rec_score);
}

fn block(layout_bbox: [f32; 4], content: BlockContent) -> Block {
    Block { layout_bbox, content, in_column: false }
}

/// The blocks in reading order.
fn ordered(mut blocks: Vec<Block>, page_width: u32) -> Vec<Block> {
    let places: Vec<[f64; 4]> = blocks.iter().map(|block| block.layout_bbox.map(f64::from)).collect();
    let order = reading_order(&places, f64::from(page_width));
    let empty = || block([0.0; 4], BlockContent::Line(String::new()));
    let mut take = |(index, columns): (usize, Columns)| {
        let taken = std::mem::replace(&mut blocks[index], empty());
        Block { in_column: columns == Columns::Double, ..taken }
    };
    order.into_iter().map(&mut take).collect()
}

/// The rectangle around `polygon`.
fn bounds(polygon: &[PointI]) -> [f32; 4] {
    let start = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    polygon.iter().map(|p| p.to_f()).fold(start, |[a, b, c, d], p| [a.min(p.x), b.min(p.y), c.max(p.x), d.max(p.y)])
}

/// A white page of the size of `page` with `pixels` at the top left of `bbox`.
fn alone(page: &ImageBuf, pixels: &ImageBuf, bbox: [i32; 4]) -> Result<ImageBuf> {
    let bytes = page.format().bytes();
    let row = pixels.size().width as usize * bytes;
    let mut data = vec![255; page.data().len()];
    for (y, from) in (bbox[1].max(0) as usize..).zip(pixels.data().chunks_exact(row)) {
        let at = (y * page.size().width as usize + bbox[0].max(0) as usize) * bytes;
        data[at..at + row].copy_from_slice(from);
    }
    ImageBuf::new(data, page.size(), page.format())
}

/// Paints a region of `page` white in `data`, its samples.
fn blank(data: &mut [u8], page: &ImageBuf, found: &DetectedBox) {
    let (size, bytes) = (page.size(), page.format().bytes());
    let [left, top, right, bottom] = found.coordinate.map(|side| side.max(0.0) as usize);
    let (right, bottom) = (right.min(size.width as usize), bottom.min(size.height as usize));
    for y in top..bottom {
        let row = y * size.width as usize;
        if left < right {
            data[(row + left) * bytes..(row + right) * bytes].fill(255);
        }
    }
}

impl Pipeline for Pages {
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
}

//! The visual step of PP-ChatOCRv3-doc: pages are set upright and made flat; then layout, the text of every region, seals, tables,
//! the text outside of regions; all of it in reading order.

use super::config::DocumentConfig;
use super::crew::Turn;
use super::doc_preprocessor::DocPreprocessor;
use super::layout::{self, PageLayout, Part, SEAL, TABLE};
use super::reader::TextReader;
use super::runs::Runs;
use super::staffed::{Staffed, Steps};
use super::tables::{self, Found};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{Frame, FrameId, PageText, PointI};
use crate::modules::loader::ModelChoice;
use crate::modules::{Detect, Loader, PagePicture, PictureModule, TableStructure, TextDetect, TextRecognise};
use crate::ops::layout::{Columns, reading_order};
use crate::ops::whiten::White;
use crate::result::page::{Block, BlockContent, PageResult, PreparedPage};
use crate::result::table::Table;
use crate::result::{DetectedBox, OcrResult, Seal};
use crate::trace::{Stage, StageTimes};
use std::sync::Arc;

/// Classes of regions that hold no text of their own: what they show is read with the rest of the page.
const PICTURES: [&str; 4] = ["image", "figure", "img", "fig"];
/// Regions that are read at once: each is a picture of the size of the page.
const REGIONS_AT_ONCE: usize = 4;

/// The steps of the pipeline for pages.
pub struct PageSteps {
    preprocessor: DocPreprocessor,
    layout: Detect,
    structure: Option<TableStructure>,
    reader: TextReader,
    seal_reader: Option<TextReader>,
    recovery: bool,
}

/// A loaded pipeline for pages.
pub type Pages = Staffed<PageSteps>;

/// The networks of the pipeline for pages.
pub struct PageModules {
    /// Sets a page upright and makes it flat.
    pub preprocessor: DocPreprocessor,
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
    /// Finds, fetches and opens the networks of `config`, without those for regions that its layout model does not find.
    ///
    /// # Errors
    /// Also [`Error::Config`] when the configuration names no layout model.
    pub fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        config.check("configuration")?;
        let missing = || Error::config("layout_model", format!("{} needs this model", config.task));
        let preprocessor = DocPreprocessor::open(config, loader)?;
        let layout = layout::open(config, loader)?.ok_or_else(missing)?;
        let [tables, seals] = [(&config.table_model, TABLE), (&config.seal_text_det_model, SEAL)]
            .map(|(choice, class)| choice.as_ref().filter(|choice| is_needed(&layout, class, choice)));
        let modules = PageModules {
            preprocessor,
            structure: tables.map(|choice| loader.table(choice)).transpose()?,
            text: loader.text_detect(&config.text.text_det_model, &config.text.detection)?,
            seals: seals.map(|choice| loader.text_detect(choice, &config.seal_detection)).transpose()?,
            layout,
            recognise: loader.text_recognise(&config.text.text_rec_model)?,
        };
        Self::new(modules, config, loader.threads())
    }

    /// A pipeline over loaded modules that works on `threads` cores.
    pub fn new(modules: PageModules, config: &DocumentConfig, threads: usize) -> Result<Self> {
        let PageModules { preprocessor, layout, structure, text, seals, recognise } = modules;
        let recognise = Arc::new(recognise);
        let seal_reader = seals.map(|detect| TextReader::new(detect, recognise.clone(), &config.text));
        let reader = TextReader::new(text, recognise, &config.text);
        let recovery = config.recovery;
        Self::with(PageSteps { preprocessor, layout, structure, reader, seal_reader, recovery }, threads)
    }
}

impl PageSteps {
    /// The text of each region. With recovery each is read on a white page of its own, as the reference does; its detector
    /// then sees it in its place and size.
    fn read_regions(&self, pages: &mut [Result<Page>], turn: Turn) {
        let of_page = |(index, page): (usize, &Result<Page>)| {
            let regions = page.as_ref().map_or(Vec::new(), |page| page.texts(self.structure.is_some()));
            regions.into_iter().map(move |(label, found)| (index, label, found)).collect::<Vec<_>>()
        };
        let regions: Vec<(usize, String, DetectedBox)> = pages.iter().enumerate().flat_map(of_page).collect();
        for regions in regions.chunks(REGIONS_AT_ONCE) {
            let mut pictures = Vec::with_capacity(regions.len());
            for (index, label, found) in regions {
                match pages[*index].as_mut().map_or(Ok(None), |page| page.region(found, self.recovery)) {
                    Ok(Some((bbox, picture))) => pictures.push((*index, label, found, bbox, picture)),
                    Ok(None) => {}
                    Err(error) => put(pages, *index, Err::<(), _>(error), |_, ()| {}),
                }
            }
            let frames: Vec<Frame> = pictures.iter().map(|(.., frame)| frame.clone()).collect();
            let read = self.reader.read(turn, &frames, |_, _| true);
            for ((index, label, found, [left, top, ..], _), read) in pictures.into_iter().zip(read) {
                put(pages, index, read, |page, (mut text, spent)| {
                    page.times.add_share(&spent, 1.0);
                    if !self.recovery {
                        text.dt_polys.iter_mut().flatten().for_each(|p| *p = PointI::new(p.x + left, p.y + top));
                    }
                    let content = BlockContent::Region { label: label.clone(), lines: text.rec_text.clone() };
                    page.blocks.push(block(found.coordinate, content));
                    page.ocr.extend(text);
                });
            }
        }
    }

    /// Seals, the text outside of regions, and tables: the lines of all share the recognition batches.
    fn read_others(&self, pages: &mut [Result<Page>], seals: &[Part], tables: &[Part], turn: Turn) {
        let structures = self.structure.iter().flat_map(|structure| tables::structures(turn, structure, tables));
        let structures: Vec<_> = structures.collect();
        let rests = rests(pages);
        // Seals are pictures, whatever the document says of the page around them.
        let of_seals: Vec<Frame> = seals.iter().map(|part| Frame { text: None, ..part.picture.clone() }).collect();
        let outside: Vec<Frame> = rests.iter().map(|(_, rest)| rest.clone()).collect();
        let of_tables = layout::pictures(tables);
        let all = |_: usize, _: &[PointI]| true;
        let mut seen = self.seal_reader.as_ref().unwrap_or(&self.reader).find(turn, &of_seals, all);
        seen.extend(self.reader.find(turn, &outside, all));
        seen.extend(self.reader.find(turn, &of_tables, all));
        let mut texts = self.reader.texts(turn, seen).into_iter();

        for (part, read) in seals.iter().zip(texts.by_ref()) {
            put(pages, part.frame, read, |page, (text, spent)| {
                page.times.add_share(&spent, 1.0);
                page.blocks.push(block(part.coordinate, BlockContent::Seal(text.rec_text.concat())));
                page.seals.push(Seal { bbox: part.bbox, text });
            });
        }
        for ((index, _), read) in rests.iter().zip(texts.by_ref()) {
            put(pages, *index, read, |page, (loose, spent)| {
                page.times.add_share(&spent, 1.0);
                let lines = loose.dt_polys.iter().zip(&loose.rec_text);
                page.blocks.extend(lines.map(|(polygon, text)| block(bounds(polygon), BlockContent::Line(text.clone()))));
                let of_regions = std::mem::replace(&mut page.ocr, loose);
                page.ocr.extend(of_regions);
            });
        }
        for ((part, structure), text) in tables.iter().zip(structures).zip(texts) {
            put(pages, part.frame, tables::table(part, structure, text), |page, Found { table, text, times }| {
                page.times.add_share(&times, 1.0);
                if table.texts.is_empty() && !text.rec_text.is_empty() {
                    // No cell could hold them.
                    let content = BlockContent::Region { label: "text".to_owned(), lines: text.rec_text.clone() };
                    page.blocks.push(block(table.layout_bbox.map(|side| side as f32), content));
                    page.ocr.extend(text);
                    return;
                }
                page.blocks.push(block(table.layout_bbox.map(|side| side as f32), BlockContent::Table(table.clone())));
                page.tables.push(table);
            });
        }
    }
}

/// The pages without their regions, of which each has its number.
fn rests(pages: &mut [Result<Page>]) -> Vec<(usize, Frame)> {
    let mut rests = Vec::with_capacity(pages.len());
    for index in 0..pages.len() {
        match pages[index].as_mut().map(Page::rest) {
            Ok(Ok(rest)) => rests.push((index, rest)),
            Ok(Err(error)) => put(pages, index, Err::<(), _>(error), |_, ()| {}),
            Err(_) => {}
        }
    }
    rests
}

impl Steps for PageSteps {
    type Result = PageResult;
    const STAGES: &'static [Stage] = &Stage::DOCUMENT;

    fn infos(&self) -> Vec<&RunInfo> {
        let regions = [self.layout.info()].into_iter().chain(self.structure.iter().map(|m| m.info()));
        let seals = self.seal_reader.iter().map(|reader| reader.infos()).map(|[detector, _]| detector);
        self.preprocessor.infos().chain(regions).chain(self.reader.infos()).chain(seals).collect()
    }

    fn results(&self, frames: &[Frame], turn: Turn, runs: &Runs) -> Vec<Result<(PageResult, StageTimes)>> {
        let mut layouts = layout::find(turn, &self.preprocessor, Some(&self.layout), frames);
        let seals = layout::parts(&mut layouts, SEAL);
        let tables = if self.structure.is_some() { layout::parts(&mut layouts, TABLE) } else { Vec::new() };
        let mut pages: Vec<Result<Page>> = layouts.into_iter().map(|layout| layout.map(Page::new)).collect();
        self.read_regions(&mut pages, turn);
        self.read_others(&mut pages, &seals, &tables, turn);
        frames.iter().zip(pages).map(|(frame, page)| page.map(|page| result(frame, page, runs))).collect()
    }

    fn batch_size(&self) -> usize {
        self.reader.frames_at_once()
    }
}

fn result(frame: &Frame, page: Page, runs: &Runs) -> (PageResult, StageTimes) {
    let Page { page, prepared, layout, blocks, ocr, seals, tables, times, .. } = page;
    let (orientation, is_unwarped, upright) = prepared.map_or((None, false, None), |page| {
        let PreparedPage { orientation, is_unwarped, upright, .. } = page;
        (orientation, is_unwarped, upright)
    });
    let blocks = ordered(blocks, page.size().width);
    (
        PageResult {
            header: runs.header(&frame.id, &times),
            orientation,
            is_unwarped,
            upright,
            layout,
            ocr,
            tables,
            seals,
            blocks,
            page: page.image().clone(),
        },
        times,
    )
}

/// A page while it is read.
struct Page {
    id: FrameId,
    page: PagePicture,
    text: Option<Arc<PageText>>,
    prepared: Option<PreparedPage>,
    layout: Vec<DetectedBox>,
    blocks: Vec<Block>,
    ocr: OcrResult,
    seals: Vec<Seal>,
    tables: Vec<Table>,
    times: StageTimes,
}

impl Page {
    fn new(PageLayout { id, page, text, prepared, regions, times }: PageLayout) -> Self {
        let (blocks, ocr, seals, tables) = Default::default();
        Self { id, page, text, prepared, layout: regions, blocks, ocr, seals, tables, times }
    }

    /// Regions that hold something of their own, by class in small letters.
    fn regions(&self) -> impl Iterator<Item = (String, &DetectedBox)> {
        let labelled = self.layout.iter().map(|found| (found.label.to_lowercase(), found));
        labelled.filter(|(label, _)| !PICTURES.contains(&label.as_str()))
    }

    /// Regions of text; `tables` are not where they are read as such.
    fn texts(&self, tables: bool) -> Vec<(String, DetectedBox)> {
        let text = |(label, found): (String, &DetectedBox)| match label.as_str() {
            SEAL => None,
            TABLE if tables => None,
            TABLE => Some(("text".to_owned(), found.clone())),
            _ => Some((label, found.clone())),
        };
        self.regions().filter_map(text).collect()
    }

    /// The pixels of a region and where they are, alone on a white page where that is asked for; `None` when there are none.
    fn region(&mut self, found: &DetectedBox, on_page: bool) -> Result<Option<([i32; 4], Frame)>> {
        let bbox = found.coordinate.map(|side| side as i32);
        let image = if on_page {
            let seen = self.page.size().inside(bbox);
            seen.map(|_| self.page.whitened(&[bbox], White::Outside, &mut self.times.transfers)).transpose()?
        } else {
            self.page.part(bbox)?
        };
        let Some(image) = image else { return Ok(None) };
        let text = self.text.as_ref().map(|text| Arc::new(if on_page { text.only(bbox) } else { text.part(bbox) }));
        Ok(Some((bbox, Frame { text, ..Frame::new(self.id.clone(), image) })))
    }

    /// The page without its regions.
    fn rest(&mut self) -> Result<Frame> {
        let boxes: Vec<[i32; 4]> = self.regions().map(|(_, found)| found.coordinate.map(|side| side as i32)).collect();
        let image = self.page.whitened(&boxes, White::Inside, &mut self.times.transfers)?;
        let text = self.text.as_ref().map(|text| Arc::new(text.without(&boxes)));
        Ok(Frame { text, ..Frame::new(self.id.clone(), image) })
    }
}

/// Whether `layout` finds regions of `class`, for which `choice` is there; where it does not, that is said.
fn is_needed(layout: &Detect, class: &str, choice: &ModelChoice) -> bool {
    let is_found = layout.finds(class);
    if !is_found {
        tracing::info!("{} is not opened: {} finds no region of class `{class}`", choice.name_or_dir, layout.info().model);
    }
    is_found
}

/// Has page `index` take what was read of it; an error comes in place of the page.
fn put<T>(pages: &mut [Result<Page>], index: usize, read: Result<T>, take: impl FnOnce(&mut Page, T)) {
    if let Ok(page) = &mut pages[index] {
        match read {
            Ok(read) => take(page, read),
            Err(error) => pages[index] = Err(error),
        }
    }
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

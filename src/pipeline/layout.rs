//! Regions of pages: found on all frames, cut out by their class. Pages are prepared first, where that is asked for.

use super::config::DocumentConfig;
use super::crew::Turn;
use super::doc_preprocessor::DocPreprocessor;
use crate::error::Result;
use crate::image::page_text::TextUse;
use crate::image::{Frame, FrameId, ImageBuf, PageText};
use crate::modules::{Detect, Loader, PagePicture, PictureModule};
use crate::result::DetectedBox;
use crate::result::page::PreparedPage;
use crate::trace::StageTimes;
use std::sync::Arc;

/// Class of the regions that are seals.
pub(super) const SEAL: &str = "seal";
/// Class of the regions that are tables.
pub(super) const TABLE: &str = "table";

/// A page with its regions.
pub(super) struct PageLayout {
    /// Identity of the page.
    pub id: FrameId,
    /// The page as it is read.
    pub page: PagePicture,
    /// What is known of its text.
    pub text: Option<Arc<PageText>>,
    /// What was done to the picture before.
    pub prepared: Option<PreparedPage>,
    /// The regions, in pixels of the page.
    pub regions: Vec<DetectedBox>,
    /// What all of this took.
    pub times: StageTimes,
}

impl PageLayout {
    fn frame(&self) -> Frame {
        Frame { text: self.text.clone(), ..Frame::new(self.id.clone(), self.page.picture()) }
    }

    fn parts(&self, frame: usize, label: &str) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        for found in self.regions.iter().filter(|found| found.label.to_lowercase() == label) {
            let bbox = found.coordinate.map(|side| side as i32);
            if let Some(pixels) = self.page.part(bbox)? {
                let text = self.text.as_ref().map(|text| Arc::new(text.part(bbox)));
                parts.push(Part {
                    frame,
                    coordinate: found.coordinate,
                    bbox,
                    picture: Frame { text, ..Frame::new(self.id.clone(), pixels) },
                });
            }
        }
        Ok(parts)
    }
}

/// What was made of a frame.
pub(super) type Layout = Result<PageLayout>;

/// A region that has pixels, cut out of its frame.
pub(super) struct Part {
    /// Number of the frame.
    pub frame: usize,
    /// Left, top, right, bottom as found.
    pub coordinate: [f32; 4],
    /// The same in whole pixels.
    pub bbox: [i32; 4],
    /// The pixels, with the identity of the frame.
    pub picture: Frame,
}

/// Opens the layout detector of `config`, if it has one.
pub(super) fn open(config: &DocumentConfig, loader: &Loader) -> Result<Option<Detect>> {
    let Some(choice) = &config.layout_model else { return Ok(None) };
    loader.detect(choice, config.layout_threshold)?.with_rules(config.layout_rules.as_deref().cloned()).map(Some)
}

/// The pages of `frames` with their regions; without a detector they have none.
pub(super) fn find(turn: Turn, preprocessor: &DocPreprocessor, layout: Option<&Detect>, frames: &[Frame]) -> Vec<Layout> {
    turn.each(frames, |frame, share| {
        let mut times = StageTimes::default();
        let picture = frame.image.on_host(&mut times.transfers)?; // for the picture that is saved
        let prepared = preprocessor.page(&picture, share, &mut times)?;
        let image = prepared.as_ref().map_or_else(|| picture.clone(), |prepared| prepared.picture.clone());
        let text = frame.text.as_ref().and_then(|text| text_of(text, &frame.id, &picture, prepared.as_ref()));
        let given = if prepared.is_some() { image.clone().into() } else { frame.image.clone() };
        let page = layout.map(|layout| layout.page(&given, image.clone(), share, &mut times)).transpose()?;
        let page = page.unwrap_or_else(|| PagePicture::on_host(image));
        let regions = layout.map(|layout| layout.predict(&[page.picture().view()], share, &mut times)).transpose()?;
        let regions = regions.into_iter().flatten().flatten().collect();
        Ok(PageLayout { id: frame.id.clone(), page, text, prepared, regions, times })
    })
}

/// Text that is known of `picture`, where the page that is made of it has it. What is made flat lies elsewhere, and is read.
fn text_of(text: &Arc<PageText>, id: &FrameId, picture: &ImageBuf, prepared: Option<&PreparedPage>) -> Option<Arc<PageText>> {
    match prepared {
        Some(page) if page.is_unwarped => {
            if !text.glyphs.is_empty() {
                let name = id.input_path.as_deref().unwrap_or("a page");
                let page = id.page_index.map_or(String::new(), |index| format!(", page {}", index + 1));
                tracing::warn!("{name}{page}: it is made flat, so its text layer is not used and the picture is read");
            }
            Some(Arc::new(PageText { glyphs: Vec::new(), usage: TextUse::Check }))
        }
        Some(page) if page.quarters > 0 => Some(Arc::new(text.turned(page.quarters, picture.size()))),
        _ => Some(text.clone()),
    }
}

/// The pages that are read; in the place of one that could not be made stands its frame.
pub(super) fn pages(frames: &[Frame], layouts: &[Layout]) -> Vec<Frame> {
    frames.iter().zip(layouts).map(|(frame, layout)| layout.as_ref().map_or_else(|_| frame.clone(), PageLayout::frame)).collect()
}

/// The regions of class `label` (in small letters), frame by frame in the order of the layout. A region without pixels is
/// left out; the reference fails on one. A frame whose regions cannot be cut out is done for.
pub(super) fn parts(layouts: &mut [Layout], label: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    for (index, layout) in layouts.iter_mut().enumerate() {
        match layout.as_ref().map(|page| page.parts(index, label)) {
            Ok(Ok(of_frame)) => parts.extend(of_frame),
            Ok(Err(error)) => *layout = Err(error),
            Err(_) => {}
        }
    }
    parts
}

/// The pictures of `parts`.
pub(super) fn pictures(parts: &[Part]) -> Vec<Frame> {
    parts.iter().map(|part| part.picture.clone()).collect()
}

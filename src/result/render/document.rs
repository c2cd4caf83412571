//! The files of document results: one picture per stage, and one file per table.

use super::canvas::{Canvas, Colour, Panel, Stencil};
use super::detection::boxes_over;
use super::font::Fonts;
use super::ocr::{closed, draw_ocr};
use super::{html, markdown, xlsx};
use crate::error::Result;
use crate::image::{ImageBuf, ImageView, PointI};
use crate::result::page::PreparedPage;
use crate::result::{DetectedBox, PageResult, SealResult, Table, TableResult};
use tiny_skia::Stroke;

const CELL_LINE: Colour = [255, 0, 0];
const CELL_LINE_PX: f32 = 2.0;

/// One of several files of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// What its name has after the stem of the input, with the suffix.
    pub ending: String,
    /// What it holds.
    pub content: PartContent,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum PartContent {
    /// A picture, RGB.
    Picture(ImageBuf),
    /// Bytes as they are.
    Bytes(Vec<u8>),
}

impl Part {
    fn picture(ending: impl Into<String>, picture: ImageBuf) -> Self {
        Self { ending: ending.into(), content: PartContent::Picture(picture) }
    }

    pub(super) fn bytes(ending: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self { ending: ending.into(), content: PartContent::Bytes(bytes.into()) }
    }
}

/// The picture of a prepared page, if there is one, `_layout.jpg`, and for each seal `_<i>_seal_ocr.jpg`.
pub fn seal_files(image: ImageView<'_>, result: &SealResult, fonts: &Fonts) -> Result<Vec<Part>> {
    let (image, mut parts) = as_read(image, result.prepared.as_ref())?;
    parts.push(Part::picture("_layout.jpg", boxes_over(image, &result.layout, fonts)?));
    for (index, seal) in result.seals.iter().enumerate() {
        if let Some(pixels) = image.part(seal.bbox)? {
            parts.push(Part::picture(format!("_{index}_seal_ocr.jpg"), draw_ocr(pixels.view(), &seal.text, fonts)?));
        }
    }
    Ok(parts)
}

/// The picture of a prepared page, if there is one, `_layout.jpg`, `_ocr.jpg`, and for each table `_table_<i>` as picture, HTML and spreadsheet.
pub fn table_files(image: ImageView<'_>, result: &TableResult, fonts: &Fonts) -> Result<Vec<Part>> {
    let (image, mut parts) = as_read(image, result.prepared.as_ref())?;
    parts.push(Part::picture("_layout.jpg", boxes_over(image, &result.layout, fonts)?));
    parts.push(Part::picture("_ocr.jpg", draw_ocr(image, &result.ocr, fonts)?));
    files_of_tables(image, &result.tables, &mut parts)?;
    Ok(parts)
}

/// `_oricls.jpg` for a page that was set upright, `_uvdoc.jpg` for one that was made flat, `_layout.jpg`, `_ocr.jpg`, `_curve_<i>.jpg` for each seal,
/// the files of tables, and the page as `.md`.
pub fn page_files(result: &PageResult, fonts: &Fonts) -> Result<Vec<Part>> {
    let image = result.page.view();
    let mut parts = preparations(image, result.orientation.is_some(), result.is_unwarped, result.upright.as_deref())?;
    parts.push(Part::picture("_layout.jpg", boxes_over(image, &result.layout, fonts)?));
    parts.push(Part::picture("_ocr.jpg", draw_ocr(image, &result.ocr, fonts)?));
    for (index, seal) in result.seals.iter().enumerate() {
        if let Some(pixels) = image.part(seal.bbox)? {
            parts.push(Part::picture(format!("_curve_{index}.jpg"), draw_ocr(pixels.view(), &seal.text, fonts)?));
        }
    }
    files_of_tables(image, &result.tables, &mut parts)?;
    parts.push(Part::bytes(".md", markdown::page(&result.blocks)));
    Ok(parts)
}

/// The regions of a page over it, as it was read.
pub(super) fn regions(image: ImageView<'_>, prepared: Option<&PreparedPage>, layout: &[DetectedBox], fonts: &Fonts) -> Result<ImageBuf> {
    boxes_over(prepared.map_or(image, |page| page.picture.view()), layout, fonts)
}

/// The picture that places of a result are in, and its file if it is not `image`.
fn as_read<'a>(image: ImageView<'a>, prepared: Option<&'a PreparedPage>) -> Result<(ImageView<'a>, Vec<Part>)> {
    let Some(page) = prepared else { return Ok((image, Vec::new())) };
    let image = page.picture.view();
    Ok((image, preparations(image, page.orientation.is_some(), page.is_unwarped, page.upright.as_deref())?))
}

/// The files of what was made of a page before it was read as `image`.
fn preparations(image: ImageView<'_>, is_upright: bool, is_unwarped: bool, upright: Option<&ImageBuf>) -> Result<Vec<Part>> {
    let upright = if is_unwarped { upright.map(ImageBuf::view) } else { Some(image) };
    let pictures = [("_oricls.jpg", upright.filter(|_| is_upright)), ("_uvdoc.jpg", Some(image).filter(|_| is_unwarped))];
    let made = pictures.into_iter().filter_map(|(ending, picture)| Some((ending, picture?)));
    made.map(|(ending, picture)| Ok(Part::picture(ending, Canvas::new(picture)?.finish()?))).collect()
}

pub(super) fn files_of_tables(image: ImageView<'_>, tables: &[Table], parts: &mut Vec<Part>) -> Result<()> {
    for (index, table) in tables.iter().enumerate() {
        parts.push(Part::picture(format!("_table_{index}.jpg"), draw_cells(image, table)?));
        parts.push(Part::bytes(format!("_table_{index}.html"), html::document(table)));
        parts.push(Part::bytes(format!("_table_{index}.xlsx"), xlsx::workbook(&[table])?));
    }
    if tables.len() > 1 {
        parts.push(Part::bytes("_tables.xlsx", xlsx::workbook(&tables.iter().collect::<Vec<_>>())?));
    }
    Ok(())
}

/// The picture with the cells of `table` outlined.
fn draw_cells(image: ImageView<'_>, table: &Table) -> Result<ImageBuf> {
    let mut canvas = Canvas::new(image)?;
    let stroke = Stroke { width: CELL_LINE_PX, ..Stroke::default() };
    for cell in &table.cells {
        let corners = cell.map(|p| PointI::new(p.x as i32, p.y as i32));
        let line = closed(&corners, image.size).and_then(|path| path.stroke(&stroke, 1.0));
        if let Some(line) = line.and_then(|path| Stencil::fill(path, image.size)) {
            canvas.paint(Panel::Picture, &line, CELL_LINE);
        }
    }
    canvas.finish()
}

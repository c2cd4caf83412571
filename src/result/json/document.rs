//! The nested results of document pipelines.

use super::{Schema, ocr};
use crate::result::page::{Block, BlockContent, Orientation, PageResult, PreparedPage};
use crate::result::render::html;
use crate::result::{DetectedBox, Header, OcrResult, SealResult, Table, TableResult};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

pub(super) fn seals<M: SerializeMap>(out: &mut M, result: &SealResult, schema: Schema) -> Result<(), M::Error> {
    layout(out, &result.header, &result.layout)?;
    let seals: Vec<_> = result.seals.iter().map(|seal| Text { header: &result.header, result: &seal.text, schema }).collect();
    out.serialize_entry("ocr_result", &seals)?;
    prepared(out, result.prepared.as_ref())
}

pub(super) fn tables<M: SerializeMap>(out: &mut M, result: &TableResult, schema: Schema) -> Result<(), M::Error> {
    layout(out, &result.header, &result.layout)?;
    out.serialize_entry("ocr_result", &Text { header: &result.header, result: &result.ocr, schema })?;
    let tables = result.tables.iter().enumerate();
    let tables: Vec<_> = tables.map(|(img_idx, table)| TableEntry::new(Some(&result.header), img_idx, table)).collect();
    out.serialize_entry("table_result", &tables)?;
    prepared(out, result.prepared.as_ref())
}

pub(super) fn page<M: SerializeMap>(out: &mut M, result: &PageResult, schema: Schema) -> Result<(), M::Error> {
    layout(out, &result.header, &result.layout)?;
    out.serialize_entry("ocr_result", &Text { header: &result.header, result: &result.ocr, schema })?;
    out.serialize_entry("table_ocr_result", &result.tables.iter().map(Table::plain_text).collect::<Vec<_>>())?;
    let tables = result.tables.iter().enumerate();
    out.serialize_entry("table_result", &tables.map(|(index, table)| TableEntry::new(None, index, table)).collect::<Vec<_>>())?;
    let parsing_result: Vec<_> = result.blocks.iter().map(BlockEntry).collect();
    out.serialize_entry("layout_parsing_result", &Parsing { input_path: &result.header.input_path, parsing_result })?;
    preparations(out, result.orientation.as_ref(), result.is_unwarped)?;
    let seals = result.seals.iter().map(|seal| Text { header: &result.header, result: &seal.text, schema });
    out.serialize_entry("curve_result", &seals.collect::<Vec<_>>())
}

/// How a picture was prepared, where it was.
fn prepared<M: SerializeMap>(out: &mut M, page: Option<&PreparedPage>) -> Result<(), M::Error> {
    page.map_or(Ok(()), |page| preparations(out, page.orientation.as_ref(), page.is_unwarped))
}

fn preparations<M: SerializeMap>(out: &mut M, orientation: Option<&Orientation>, is_unwarped: bool) -> Result<(), M::Error> {
    let mut unwarped = serde_json::Map::new();
    match orientation {
        Some(orientation) => out.serialize_entry("oricls_result", orientation)?,
        None => out.serialize_entry("oricls_result", &unwarped)?,
    }
    if is_unwarped {
        unwarped.insert("doctr_img".into(), "...".into());
    }
    out.serialize_entry("unwarp_result", &unwarped)
}

#[derive(Serialize)]
struct Parsing<'a> {
    input_path: &'a Option<String>,
    parsing_result: Vec<BlockEntry<'a>>,
}

struct BlockEntry<'a>(&'a Block);

impl Serialize for BlockEntry<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("layout_bbox", &self.0.layout_bbox)?;
        match (&self.0.content, self.0.content.text()) {
            (BlockContent::Table(table), _) => out.serialize_entry("table", &html::table(table))?,
            (_, Some((key, text))) => out.serialize_entry(key, &text)?,
            (_, None) => {}
        }
        out.serialize_entry("layout", if self.0.in_column { "double" } else { "single" })?;
        out.end()
    }
}

fn layout<M: SerializeMap>(out: &mut M, header: &Header, boxes: &[DetectedBox]) -> Result<(), M::Error> {
    out.serialize_entry("layout_result", &Layout { input_path: &header.input_path, boxes })
}

#[derive(Serialize)]
struct Layout<'a> {
    input_path: &'a Option<String>,
    boxes: &'a [DetectedBox],
}

/// The text of a part of a picture. The reference names a temporary file as its input; here it is the picture.
struct Text<'a> {
    header: &'a Header,
    result: &'a OcrResult,
    schema: Schema,
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("input_path", &self.header.input_path)?;
        ocr(&mut out, self.result, self.schema)?;
        out.end()
    }
}

#[derive(Serialize)]
struct TableEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    input_path: Option<&'a Option<String>>,
    layout_bbox: [i32; 4],
    bbox: Vec<[f32; 8]>,
    img_idx: usize,
    html: String,
}

impl<'a> TableEntry<'a> {
    fn new(header: Option<&'a Header>, img_idx: usize, table: &Table) -> Self {
        let corners = |cell: &[crate::image::PointF; 4]| {
            let [a, b, c, d] = *cell;
            [a.x, a.y, b.x, b.y, c.x, c.y, d.x, d.y]
        };
        Self {
            input_path: header.map(|header| &header.input_path),
            layout_bbox: table.layout_bbox,
            bbox: table.cells.iter().map(corners).collect(),
            img_idx,
            html: html::table(table),
        }
    }
}

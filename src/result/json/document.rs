//! The nested results of document pipelines.

use super::{Schema, ocr};
use crate::result::render::html;
use crate::result::{DetectedBox, Header, OcrResult, SealResult, Table, TableResult};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

pub(super) fn seals<M: SerializeMap>(out: &mut M, result: &SealResult, schema: Schema) -> Result<(), M::Error> {
    layout(out, &result.header, &result.layout)?;
    let seals: Vec<_> = result.seals.iter().map(|seal| Text { header: &result.header, result: &seal.text, schema }).collect();
    out.serialize_entry("ocr_result", &seals)
}

pub(super) fn tables<M: SerializeMap>(out: &mut M, result: &TableResult, schema: Schema) -> Result<(), M::Error> {
    layout(out, &result.header, &result.layout)?;
    out.serialize_entry("ocr_result", &Text { header: &result.header, result: &result.ocr, schema })?;
    let tables = result.tables.iter().enumerate();
    let tables: Vec<_> = tables.map(|(img_idx, table)| TableEntry::new(Some(&result.header), img_idx, table)).collect();
    out.serialize_entry("table_result", &tables)
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

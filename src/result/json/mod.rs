//! JSON with the reference's keys in the reference's order, then our own additions.
//! Texts stay UTF-8. Floats print as the shortest decimal that reads back as the same `f32`
//! (0.8417, not 0.8417000174522400); what is not a number becomes `null`.

mod document;

use super::{Header, LabelMap, Mask, OcrResult, PipelineResult};
use crate::error::Error;
use crate::image::{PointI, Size};
use serde::ser::{Error as _, SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io;

/// Which generation of PaddleX's key names a result is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, clap::ValueEnum)]
#[non_exhaustive]
pub enum Schema {
    /// 3.0-beta1: `rec_text`, `rec_score`.
    #[default]
    #[value(name = "3.0-beta1", help = "PaddleX 3.0-beta1: rec_text, rec_score")]
    V3Beta1,
    /// 3.x: `rec_texts`, `rec_scores`, `rec_polys`, `rec_boxes`.
    #[value(name = "3.x", help = "PaddleX 3.x: rec_texts, rec_scores, rec_polys, rec_boxes")]
    V3,
}

impl Schema {
    /// What results call it, under `schema_version`.
    pub const fn version(self) -> &'static str {
        match self {
            Self::V3Beta1 => "3.0-beta1",
            Self::V3 => "3.x",
        }
    }
}

/// One result as one line without a line feed, for JSON Lines: `input_path`, `page_index` (inputs with pages only), what
/// was found under the reference's keys; then `schema_version`, `run` (what ran, per model) and, when measured, `timings_ms` and `transfers`.
pub fn to_line(result: &PipelineResult, schema: Schema) -> String {
    line(&Json { result, schema, error: None })
}

/// The same for a result that could not be saved because of `error`, which stands behind it as in an [`error_line`].
pub fn unsaved_line(result: &PipelineResult, schema: Schema, error: &Error) -> String {
    line(&Json { result, schema, error: Some(error) })
}

fn line(json: &Json<'_>) -> String {
    let mut out = Vec::new();
    // Keys are strings and a `Vec` takes every byte: nothing here can fail.
    let written = json.serialize(&mut serde_json::Serializer::new(&mut out));
    debug_assert!(written.is_ok(), "{written:?}");
    String::from_utf8_lossy(&out).into_owned()
}

/// One result as a file: indented by 4 as the reference's files are (Python's `indent=4, ensure_ascii=False`), with a
/// final line feed. Unlike there, a row of a mask or label map is one line.
pub fn write_file(result: &PipelineResult, schema: Schema, out: &mut impl io::Write) -> io::Result<()> {
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    Json { result, schema, error: None }.serialize(&mut serde_json::Serializer::with_formatter(&mut *out, formatter))?;
    out.write_all(b"\n")
}

/// The line of an input that gave no result: its path as the user named it, `page_index` (pages only), the group and the text of the
/// error.
pub fn error_line(input_path: &str, page_index: Option<u32>, error: &Error) -> String {
    let mut line = json!({"input_path": input_path});
    if let Some(page) = page_index {
        line["page_index"] = page.into();
    }
    line["error"] = told(error);
    line.to_string()
}

fn told(error: &Error) -> Value {
    json!({"kind": error.kind(), "message": error.to_string()})
}

/// In the default schema.
impl Serialize for PipelineResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Json { result: self, schema: Schema::default(), error: None }.serialize(serializer)
    }
}

struct Json<'a> {
    result: &'a PipelineResult,
    schema: Schema,
    error: Option<&'a Error>,
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Header { input_path, page_index, run, timings_ms, transfers } = self.result.header();
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("input_path", input_path)?;
        if let Some(page) = page_index {
            out.serialize_entry("page_index", page)?;
        }
        match self.result {
            PipelineResult::Ocr(result) => ocr(&mut out, result, self.schema)?,
            PipelineResult::Classification(result) => {
                out.serialize_entry("class_ids", &result.class_ids)?;
                out.serialize_entry("scores", &result.scores)?;
                out.serialize_entry("label_names", &result.label_names)?;
            }
            PipelineResult::Detection(result) => out.serialize_entry("boxes", &result.boxes)?,
            PipelineResult::Segmentation(result) => out.serialize_entry("pred", &[&result.pred])?,
            PipelineResult::Instances(result) => {
                out.serialize_entry("boxes", &result.boxes)?;
                out.serialize_entry("masks", &result.masks)?;
            }
            PipelineResult::Seals(result) => document::seals(&mut out, result, self.schema)?,
            PipelineResult::Page(result) => document::page(&mut out, result, self.schema)?,
            PipelineResult::Tables(result) => document::tables(&mut out, result, self.schema)?,
        }
        out.serialize_entry("schema_version", self.schema.version())?;
        out.serialize_entry("run", run)?;
        if let Some(timings) = timings_ms {
            out.serialize_entry("timings_ms", &Timings(timings))?;
        }
        if let Some(transfers) = transfers {
            out.serialize_entry("transfers", &Timings(&transfers.entries()))?;
        }
        if let Some(error) = self.error {
            out.serialize_entry("error", &told(error))?;
        }
        out.end()
    }
}

fn ocr<M: SerializeMap>(out: &mut M, result: &OcrResult, schema: Schema) -> Result<(), M::Error> {
    let polys: Vec<Vec<_>> = result.dt_polys.iter().map(|polygon| polygon.iter().map(|&PointI { x, y }| [x, y]).collect()).collect();
    out.serialize_entry("dt_polys", &polys)?;
    if result.dt_scores.len() == result.dt_polys.len() {
        out.serialize_entry("dt_scores", &result.dt_scores)?;
    }
    let (text, score) = match schema {
        Schema::V3Beta1 => ("rec_text", "rec_score"),
        Schema::V3 => ("rec_texts", "rec_scores"),
    };
    out.serialize_entry(text, &result.rec_text)?;
    out.serialize_entry(score, &result.rec_score)?;
    if !result.rec_source.is_empty() {
        out.serialize_entry("rec_source", &result.rec_source)?;
    }
    if schema == Schema::V3 {
        out.serialize_entry("rec_polys", &polys)?;
        // As there: left, top, right, bottom of straight text; of curved text none.
        let is_straight = polys.iter().all(|polygon| polygon.len() == 4);
        let boxes = result.dt_polys.iter().filter(|_| is_straight).map(|polygon| {
            let (xs, ys) = (|| polygon.iter().map(|p| p.x), || polygon.iter().map(|p| p.y));
            [xs().min(), ys().min(), xs().max(), ys().max()]
        });
        out.serialize_entry("rec_boxes", &boxes.collect::<Vec<_>>())?;
    }
    Ok(())
}

struct Timings<'a>(&'a [(&'static str, f64)]);

impl Serialize for Timings<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(stage, ms)| (stage, (ms * 1e3).round() / 1e3)))
    }
}

impl Serialize for LabelMap {
    /// Rows of numbers.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rows(serializer, self.labels(), self.size())
    }
}

impl Serialize for Mask {
    /// Rows of 0 and 1.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rows(serializer, self.inside(), self.size())
    }
}

fn rows<S: Serializer, T: std::fmt::Display>(serializer: S, values: &[T], size: Size) -> Result<S::Ok, S::Error> {
    let mut out = serializer.serialize_seq(None)?;
    for row in 0..size.height as usize {
        let row = &values[row * size.width as usize..][..size.width as usize];
        let mut text = String::with_capacity(2 * row.len() + 2);
        text.push('[');
        for (index, value) in row.iter().enumerate() {
            if index > 0 {
                text.push(',');
            }
            write!(text, "{value}").map_err(S::Error::custom)?;
        }
        text.push(']');
        out.serialize_element(&RawValue::from_string(text).map_err(S::Error::custom)?)?;
    }
    out.end()
}

#[cfg(test)]
mod tests {
    use super::super::{ClassificationResult, DetectedBox, DetectionResult, InstanceResult, RunRecord, SegmentationResult};
    use super::*;
    use crate::image::Size;
    use crate::trace::Transfers;

    fn file_text(result: &PipelineResult) -> String {
        let mut out = Vec::new();
        write_file(result, Schema::V3Beta1, &mut out).expect("a Vec takes every byte");
        String::from_utf8(out).expect("UTF-8")
    }

    fn of(path: &str) -> Header {
        Header { input_path: Some(path.into()), ..Header::default() }
    }

    #[test]
    fn line_has_the_reference_keys_in_order() {
        let result = OcrResult {
            header: of("图 1.png"),
            dt_polys: vec![[(5, 12), (88, 10), (88, 29), (5, 31)].map(|(x, y)| PointI::new(x, y)).to_vec()],
            dt_scores: vec![0.74],
            rec_text: vec!["发票\"1\"".into()],
            rec_score: vec![0.8417],
            rec_source: Vec::new(),
        };
        assert_eq!(
            to_line(&result.into(), Schema::V3Beta1),
            r#"{"input_path":"图 1.png","dt_polys":[[[5,12],[88,10],[88,29],[5,31]]],"dt_scores":[0.74],"rec_text":["发票\"1\""],"rec_score":[0.8417],"schema_version":"3.0-beta1","run":[]}"#
        );
        let classes = ClassificationResult {
            header: of("a.jpg"),
            class_ids: vec![296, 170],
            scores: vec![0.62736, 0.03752],
            label_names: vec!["ice bear, polar bear".into(), "Irish wolfhound".into()],
        };
        assert_eq!(
            to_line(&classes.into(), Schema::V3),
            r#"{"input_path":"a.jpg","class_ids":[296,170],"scores":[0.62736,0.03752],"label_names":["ice bear, polar bear","Irish wolfhound"],"schema_version":"3.x","run":[]}"#
        );
        let boxes = vec![DetectedBox { cls_id: 49, label: "orange".into(), score: 0.8188097, coordinate: [661.0, 93.5, 870.0, 305.25] }];
        let found = r#""boxes":[{"cls_id":49,"label":"orange","score":0.8188097,"coordinate":[661.0,93.5,870.0,305.25]}]"#;
        let detection = DetectionResult { header: of("b.png"), boxes: boxes.clone() };
        assert_eq!(
            to_line(&detection.into(), Schema::V3Beta1),
            format!(r#"{{"input_path":"b.png",{found},"schema_version":"3.0-beta1","run":[]}}"#)
        );
        let mask = Mask::new(Size::new(3, 2), vec![0, 1, 1, 1, 0, 0]).expect("a mask");
        let flat = [Size::new(0, 2), Size::new(2, 0)].map(|size| Mask::new(size, Vec::new()).expect("a mask"));
        assert_eq!(serde_json::to_string(&flat).expect("JSON"), "[[[],[]],[]]", "of the height of its box");
        let instances = InstanceResult { header: of("c.png"), boxes, masks: vec![mask] };
        assert_eq!(
            to_line(&instances.into(), Schema::V3Beta1),
            format!(r#"{{"input_path":"c.png",{found},"masks":[[[0,1,1],[1,0,0]]],"schema_version":"3.0-beta1","run":[]}}"#)
        );
        let pred = LabelMap::new(Size::new(2, 3), vec![0, 18, 7, 149, 5, 5]).expect("a map");
        let segmentation = SegmentationResult { header: of("d.png"), pred };
        assert_eq!(
            to_line(&segmentation.into(), Schema::V3Beta1),
            r#"{"input_path":"d.png","pred":[[[0,18],[7,149],[5,5]]],"schema_version":"3.0-beta1","run":[]}"#
        );
    }

    #[test]
    fn additions_follow_and_stages_keep_their_order() {
        let record = |model: &str| RunRecord {
            model: model.into(),
            backend: "openvino".into(),
            version: "2026.4.1".into(),
            device: "cpu".into(),
            precision: "float32".into(),
            format: None,
            widths: None,
            engines: Vec::new(),
            profiles: Vec::new(),
        };
        let header = Header {
            input_path: None,
            page_index: Some(2),
            run: vec![record("det")],
            timings_ms: Some(vec![("decode", 1.23456), ("crop", 0.25), ("total", 3.0)]),
            transfers: Some(Transfers { frames: 1.0, uploads: 2.5, uploaded_bytes: 640.0, downloads: 2.0, downloaded_bytes: 36.0 }),
        };
        assert_eq!(
            to_line(&OcrResult { header, ..OcrResult::default() }.into(), Schema::V3),
            concat!(
                r#"{"input_path":null,"page_index":2,"dt_polys":[],"dt_scores":[],"rec_texts":[],"rec_scores":[],"rec_polys":[],"rec_boxes":[],"#,
                r#""schema_version":"3.x","run":[{"model":"det","backend":"openvino","version":"2026.4.1","device":"cpu","precision":"float32"}],"#,
                r#""timings_ms":{"decode":1.235,"crop":0.25,"total":3.0},"#,
                r#""transfers":{"frames":1.0,"uploads":2.5,"uploaded_bytes":640.0,"downloads":2.0,"downloaded_bytes":36.0}}"#
            )
        );
    }

    #[test]
    fn straight_text_has_boxes_in_the_later_schema_and_curved_text_none() {
        let quad = [(5, 12), (88, 10), (87, 29), (4, 31)].map(|(x, y)| PointI::new(x, y)).to_vec();
        let curve = [(0, 0), (9, 2), (18, 0), (18, 8), (9, 10), (0, 8)].map(|(x, y)| PointI::new(x, y)).to_vec();
        let boxes = |dt_polys: &[&Vec<PointI>]| {
            let result = OcrResult { dt_polys: dt_polys.iter().map(|polygon| (*polygon).clone()).collect(), ..OcrResult::default() };
            serde_json::from_str::<serde_json::Value>(&to_line(&result.into(), Schema::V3)).expect("JSON")["rec_boxes"].to_string()
        };
        assert_eq!(boxes(&[&quad, &quad]), "[[4,10,88,31],[4,10,88,31]]");
        assert_eq!(boxes(&[&quad, &curve]), "[]");
    }

    #[test]
    fn file_text_is_laid_out_as_python_does() {
        let result = OcrResult { dt_polys: vec![vec![PointI::new(1, -2)]], dt_scores: vec![0.5], ..Default::default() };
        let expected = r#"{
    "input_path": null,
    "dt_polys": [
        [
            [
                1,
                -2
            ]
        ]
    ],
    "dt_scores": [
        0.5
    ],
    "rec_text": [],
    "rec_score": [],
    "schema_version": "3.0-beta1",
    "run": []
}
"#;
        assert_eq!(file_text(&result.into()), expected);
        let pred = LabelMap::new(Size::new(2, 2), vec![0, 18, 7, 149]).expect("a map");
        let expected = r#"{
    "input_path": null,
    "pred": [
        [
            [0,18],
            [7,149]
        ]
    ],
    "schema_version": "3.0-beta1",
    "run": []
}
"#;
        assert_eq!(file_text(&SegmentationResult { header: Header::default(), pred }.into()), expected);
    }

    #[test]
    fn floats_read_back_as_the_same_f32() {
        let text = |scores| {
            let line = to_line(&ClassificationResult { scores, ..Default::default() }.into(), Schema::V3);
            let (_, rest) = line.split_once("\"scores\":[").expect("scores");
            rest.split_once(']').expect("an end").0.to_owned()
        };
        let mut state = 0x9E37_79B9_u32;
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let v = f32::from_bits(state);
            if !v.is_finite() {
                continue;
            }
            let text = text(vec![v]);
            let back = text.parse::<f32>().expect("a number");
            assert_eq!(back.to_bits(), v.to_bits(), "{text}");
            let digits = text.chars().filter(char::is_ascii_digit).collect::<String>();
            let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
            assert!(text.contains('e') || significant <= 9, "{text}");
        }
        assert_eq!(text(vec![f32::NAN, f32::INFINITY, 1.0, 0.8417]), "null,null,1.0,0.8417");
    }

    #[test]
    fn an_error_is_one_line() {
        let line = error_line("a\n\"b\".png", None, &Error::input("a\n\"b\".png", "empty file"));
        assert_eq!(line, r#"{"input_path":"a\n\"b\".png","error":{"kind":"bad_input","message":"a\n\"b\".png: empty file"}}"#);
        let line = error_line("a.pdf", Some(3), &Error::input("a.pdf", "page 4: no"));
        assert_eq!(line, r#"{"input_path":"a.pdf","page_index":3,"error":{"kind":"bad_input","message":"a.pdf: page 4: no"}}"#);
    }
}

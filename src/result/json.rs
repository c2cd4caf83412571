//! JSON with the reference's keys in the reference's order, then our own additions.
//! Texts stay UTF-8. Floats print as the shortest decimal that reads back as the same `f32`
//! (0.8417, not 0.8417000174522400); what is not a number becomes `null`.

use super::OcrResult;
use crate::error::Error;
use crate::image::PointI;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Which generation of PaddleX's key names a result is written with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schema {
    /// 3.0-beta1: `rec_text`, `rec_score`.
    #[default]
    V3Beta1,
    /// 3.x: `rec_texts`, `rec_scores`, `rec_polys`.
    V3,
}

/// Order in which the stages of a picture run, hence in which `timings_ms` lists them.
const STAGES: [&str; 9] = ["decode", "det_pre", "det_infer", "det_post", "crop", "rec_pre", "rec_infer", "rec_post", "total"];

/// One result as JSON: `input_path`, `page_index` (inputs with pages only), `dt_polys`, `dt_scores` and the
/// texts and scores under the names of `schema`; then `run` (what ran, per model) and, when measured, `timings_ms`.
pub fn to_json(result: &OcrResult, schema: Schema) -> Value {
    let polys = || Value::Array(result.dt_polys.iter().map(|p| polygon(p)).collect());
    let mut out = Map::new();
    out.insert("input_path".into(), json!(result.input_path));
    if let Some(page) = result.page_index {
        out.insert("page_index".into(), json!(page));
    }
    out.insert("dt_polys".into(), polys());
    out.insert("dt_scores".into(), floats(&result.dt_scores));
    let (text, score) = match schema {
        Schema::V3Beta1 => ("rec_text", "rec_score"),
        Schema::V3 => ("rec_texts", "rec_scores"),
    };
    out.insert(text.into(), json!(result.rec_text));
    out.insert(score.into(), floats(&result.rec_score));
    if schema == Schema::V3 {
        out.insert("rec_polys".into(), polys());
    }
    out.insert("run".into(), json!(result.run));
    if let Some(timings) = &result.timings_ms {
        let timings: Map<_, _> = in_stage_order(timings).map(|(name, ms)| (name.to_owned(), json!((ms * 1e3).round() / 1e3))).collect();
        out.insert("timings_ms".into(), Value::Object(timings));
    }
    Value::Object(out)
}

/// Timings in the order in which the stages of a picture run, `total` last.
pub fn in_stage_order(timings: &BTreeMap<&'static str, f64>) -> impl Iterator<Item = (&'static str, f64)> {
    let mut entries: Vec<_> = timings.iter().map(|(name, ms)| (*name, *ms)).collect();
    entries.sort_by_key(|(name, _)| STAGES.iter().position(|s| s == name).unwrap_or(STAGES.len()));
    entries.into_iter()
}

/// The line of an input that gave no result: its path as the user named it, the group and the text of the error.
pub fn error_line(input_path: &str, error: &Error) -> Value {
    json!({"input_path": input_path, "error": {"kind": error.kind(), "message": error.to_string()}})
}

/// One line without a line feed, for JSON Lines.
pub fn to_line(value: &Value) -> String {
    value.to_string()
}

/// Many lines, indented by 4 as the reference's files are (Python's `indent=4, ensure_ascii=False`), with a final line feed.
pub fn to_file_text(value: &Value) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    // A `Value` has string keys only and a `Vec` takes every byte, so neither serialising nor UTF-8 can fail.
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
    debug_assert!(written.is_ok());
    out.push(b'\n');
    String::from_utf8_lossy(&out).into_owned()
}

fn polygon(points: &[PointI]) -> Value {
    Value::Array(points.iter().map(|p| json!([p.x, p.y])).collect())
}

fn floats(values: &[f32]) -> Value {
    Value::Array(values.iter().map(|&v| shortest(v)).collect())
}

/// The `f64` whose shortest decimal is the shortest decimal of `v`: at most 9 digits, which `f64` always keeps.
fn shortest(v: f32) -> Value {
    json!(v.to_string().parse::<f64>().unwrap_or(f64::NAN))
}

#[cfg(test)]
mod tests {
    use super::super::RunRecord;
    use super::*;

    #[test]
    fn line_has_the_reference_keys_in_order() {
        let result = OcrResult {
            input_path: Some("图 1.png".into()),
            dt_polys: vec![[(5, 12), (88, 10), (88, 29), (5, 31)].map(|(x, y)| PointI::new(x, y)).to_vec()],
            dt_scores: vec![0.74],
            rec_text: vec!["发票\"1\"".into()],
            rec_score: vec![0.8417],
            ..Default::default()
        };
        let line = to_line(&to_json(&result, Schema::V3Beta1));
        assert_eq!(
            line,
            r#"{"input_path":"图 1.png","dt_polys":[[[5,12],[88,10],[88,29],[5,31]]],"dt_scores":[0.74],"rec_text":["发票\"1\""],"rec_score":[0.8417],"run":[]}"#
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
        };
        let result = OcrResult {
            input_path: None,
            page_index: Some(2),
            run: vec![record("det")],
            timings_ms: Some([("total", 3.0), ("decode", 1.23456), ("wait", 0.5), ("crop", 0.25)].into()),
            ..Default::default()
        };
        assert_eq!(
            to_line(&to_json(&result, Schema::V3)),
            concat!(
                r#"{"input_path":null,"page_index":2,"dt_polys":[],"dt_scores":[],"rec_texts":[],"rec_scores":[],"rec_polys":[],"#,
                r#""run":[{"model":"det","backend":"openvino","version":"2026.4.1","device":"cpu","precision":"float32"}],"#,
                r#""timings_ms":{"decode":1.235,"crop":0.25,"total":3.0,"wait":0.5}}"#
            )
        );
    }

    #[test]
    fn file_text_is_laid_out_as_python_does() {
        let result = OcrResult { dt_polys: vec![vec![PointI::new(1, -2)]], ..Default::default() };
        let mut value = to_json(&result, Schema::V3Beta1);
        value.as_object_mut().map(|o| o.remove("run"));
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
    "dt_scores": [],
    "rec_text": [],
    "rec_score": []
}
"#;
        assert_eq!(to_file_text(&value), expected);
    }

    #[test]
    fn floats_read_back_as_the_same_f32() {
        let mut state = 0x9E37_79B9_u32;
        for _ in 0..20_000 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let v = f32::from_bits(state);
            if !v.is_finite() {
                continue;
            }
            let text = to_line(&floats(&[v]));
            let back = text.trim_matches(['[', ']']).parse::<f32>().expect("a number");
            assert_eq!(back.to_bits(), v.to_bits(), "{text}");
            let digits = text.chars().filter(char::is_ascii_digit).collect::<String>();
            let significant = digits.trim_start_matches('0').trim_end_matches('0').len();
            assert!(text.contains('e') || significant <= 9, "{text}");
        }
        assert_eq!(to_line(&floats(&[f32::NAN, f32::INFINITY, 1.0, 0.8417])), "[null,null,1.0,0.8417]");
    }

    #[test]
    fn an_error_is_one_line() {
        let line = to_line(&error_line("a\n\"b\".png", &Error::input("a\n\"b\".png", "empty file")));
        assert_eq!(line, r#"{"input_path":"a\n\"b\".png","error":{"kind":"bad_input","message":"a\n\"b\".png: empty file"}}"#);
    }
}

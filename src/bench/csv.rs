//! A report as comma-separated values, for spreadsheets: one line per case and picture, and one per case over all its pictures,
//! whose picture is empty. Milliseconds; numbers are not rounded. Fields are quoted as RFC 4180 says.

use super::report::{AgainstFloor, CaseReport, Latency, Report, engines};
use crate::trace::Stage;
use std::collections::BTreeMap;

/// The whole report, lines ended by CR LF.
pub fn text(report: &Report) -> String {
    let mut head: Vec<String> = [
        "case",
        "threads",
        "engines",
        "picture",
        "width",
        "height",
        "lines",
        "decode_ms",
        "p50_ms",
        "p95_ms",
        "p99_ms",
        "min_ms",
        "images_per_s",
        "end_to_end_over_engine",
        "pre_post_ms",
    ]
    .map(str::to_owned)
    .to_vec();
    head.extend(Stage::AFTER_DECODE.iter().map(|stage| format!("{}_ms", stage.as_str())));
    let mut out = line(&head);
    for case in &report.cases {
        let whole = Row { latency: &case.latency, stages: &case.stages_ms, decode: case.decode_ms, floor: &case.floor.all.sum };
        out += &whole.line(case, ["", "", "", ""].map(str::to_owned), Some(case.images_per_s));
        for p in &case.pictures {
            let row = Row { latency: &p.latency, stages: &p.stages_ms, decode: p.decode_ms, floor: &p.floor };
            out += &row.line(case, [p.name.clone(), p.width.to_string(), p.height.to_string(), p.lines.to_string()], None);
        }
    }
    out
}

/// What a case and a picture of it have in common.
struct Row<'a> {
    latency: &'a Latency,
    stages: &'a BTreeMap<String, f64>,
    decode: f64,
    floor: &'a AgainstFloor,
}

impl Row<'_> {
    fn line(&self, case: &CaseReport, picture: [String; 4], images_per_s: Option<f64>) -> String {
        let number = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
        let l = self.latency;
        let mut fields = vec![case.variant.to_string(), case.threads.to_string(), engines(&case.models)];
        fields.extend(picture);
        fields.extend([self.decode, l.p50_ms, l.p95_ms, l.p99_ms, l.min_ms].map(|v| v.to_string()));
        fields.extend([images_per_s, Some(self.floor.ratio()), Some(self.floor.pre_post_ms)].map(number));
        fields.extend(Stage::AFTER_DECODE.iter().map(|stage| number(self.stages.get(stage.as_str()).copied())));
        line(&fields)
    }
}

fn line(fields: &[String]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quoted(field)).collect();
    quoted.join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let fields = ["plain", "a,b", "say \"so\"", "two\nlines", ""].map(str::to_owned);
        assert_eq!(line(&fields), "plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",\r\n");
    }
}

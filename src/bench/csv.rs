//! Reports as comma-separated values, for spreadsheets: that of a pipeline has one line per case and picture, one per case over all its
//! pictures, whose picture is empty, and one per rate that pictures were offered at. Milliseconds; numbers are not rounded. Fields are quoted as RFC 4180 says.
//! What a spreadsheet would take for a formula, such as the name of a picture, begins with `'`, so that it is text there.

use super::cold::ColdReport;
use super::official::OfficialReport;
use super::ops::OpsReport;
use super::report::{AgainstFloor, CaseReport, Latency, Report, engines};
use super::streams::StreamsReport;
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
    head.extend(["offered_per_s", "finished_per_s"].map(str::to_owned));
    let mut out = line(&head);
    for case in &report.cases {
        let whole = Row { latency: &case.latency, stages: &case.stages_ms, decode: case.decode_ms, floor: &case.floor.all.sum };
        out += &whole.line(case, ["", "", "", ""].map(str::to_owned), Some(case.images_per_s));
        for p in &case.pictures {
            let row = Row { latency: &p.latency, stages: &p.stages_ms, decode: p.decode_ms, floor: &p.floor };
            out += &row.line(case, [p.name.clone(), p.width.to_string(), p.height.to_string(), p.lines.to_string()], None);
        }
        for rate in case.load.iter().flat_map(|load| &load.rates) {
            let mut fields = vec![String::new(); head.len()];
            fields[..3].clone_from_slice(&[case.variant.to_string(), case.threads.to_string(), engines(&case.models)]);
            let l = rate.latency;
            fields[8..12].clone_from_slice(&[l.p50_ms, l.p95_ms, l.p99_ms, l.min_ms].map(|v| v.to_string()));
            fields[head.len() - 2..].clone_from_slice(&[rate.offered_per_s, rate.finished_per_s].map(|v| v.to_string()));
            out += &line(&fields);
        }
    }
    out
}

/// A line per network; what was not published is empty.
pub fn official(report: &OfficialReport) -> String {
    let head = ["model", "engine", "device", "inputs", "threads", "run_ms", "published_cpu_ms", "published_gpu_ms"];
    let (device, threads) = (&report.device, report.threads.to_string());
    let rows = report.rows.iter().map(|row| {
        let [here, cpu, gpu] = [Some(row.run_ms), row.published_cpu_ms, row.published_gpu_ms].map(number);
        [row.model.clone(), row.engine.clone(), device.clone(), row.inputs.clone(), threads.clone(), here, cpu, gpu]
    });
    lines(head, rows)
}

/// A line per number of streams, in the order in which they were tried.
pub fn streams(report: &StreamsReport) -> String {
    let head = ["pipeline", "threads", "engines", "fps", "streams", "offered", "dropped", "finished_per_s"];
    let head = [&head[..], &["p50_ms", "p95_ms", "p99_ms", "min_ms", "kept_up"]].concat();
    let same = [report.pipeline.clone(), report.threads.to_string(), engines(&report.models), report.aim.fps.to_string()];
    let rows = report.found.tried.iter().map(|tried| {
        let l = tried.latency;
        let counts = [tried.streams, tried.offered, tried.dropped].map(|count| count.to_string());
        let times = [tried.finished_per_s, l.p50_ms, l.p95_ms, l.p99_ms, l.min_ms].map(|v| v.to_string());
        [&same[..], &counts, &times, &[tried.kept_up.to_string()]].concat()
    });
    lines(head, rows)
}

/// A line per operation; what has no results to bring back has no `whole_us`.
pub fn ops(report: &OpsReport) -> String {
    let head = ["operation", "case", "device", "gpu_us", "cold_us", "whole_us", "bytes", "gb_per_s", "share_of_copy", "one_core_us"];
    let head = [&head[..], &["differences", "compared"]].concat();
    let rows = report.rows.iter().map(|row| {
        let times = [Some(row.gpu_us), Some(row.cold_us), row.whole_us].map(number);
        let rates = [row.gb_per_s, row.share_of_copy, row.cpu_us].map(|v| v.to_string());
        let counts = [row.differences, row.compared].map(|count| count.to_string());
        let named = [row.name.clone(), row.case.clone(), report.device.clone()];
        [&named[..], &times, &[row.bytes.to_string()], &rates, &counts].concat()
    });
    lines(head, rows)
}

/// A line per start.
pub fn cold(report: &ColdReport) -> String {
    let head = ["pipeline", "threads", "cache", "engines", "start", "first_result_ms", "open_ms"];
    let rows = report.starts.iter().flat_map(|starts| {
        let same = [report.pipeline.clone(), report.threads.to_string(), starts.start.as_str().into(), engines(&starts.models)];
        let times = starts.first_result_ms.iter().zip(&starts.open_ms).zip(1..);
        times.map(move |((first, open), n)| [&same[..], &[n.to_string(), first.to_string(), open.to_string()]].concat())
    });
    lines(head, rows)
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
        let l = self.latency;
        let mut fields = vec![case.variant.to_string(), case.threads.to_string(), engines(&case.models)];
        fields.extend(picture);
        fields.extend([self.decode, l.p50_ms, l.p95_ms, l.p99_ms, l.min_ms].map(|v| v.to_string()));
        fields.extend([images_per_s, Some(self.floor.ratio()), Some(self.floor.pre_post_ms)].map(number));
        fields.extend(Stage::AFTER_DECODE.iter().map(|stage| number(self.stages.get(stage.as_str()).copied())));
        fields.extend([None, None].map(number));
        line(&fields)
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| v.to_string())
}

fn lines<'a>(head: impl AsRef<[&'a str]>, rows: impl Iterator<Item: AsRef<[String]>>) -> String {
    rows.fold(line(head.as_ref()), |out, row| out + &line(row.as_ref()))
}

fn line(fields: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quoted(field.as_ref())).collect();
    quoted.join(",") + "\r\n"
}

fn quoted(field: &str) -> String {
    let is_formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']) && field.parse::<f64>().is_err();
    let field = if is_formula { &format!("'{field}") } else { field };
    if field.contains([',', '"', '\r', '\n']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let fields = ["plain", "a,b", "say \"so\"", "two\nlines", ""].map(str::to_owned);
        assert_eq!(line(&fields), "plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",\r\n");
        assert_eq!(line(&["=1+1.png", "-1.5e-3", "@a,b", "-", "a=b"]), "'=1+1.png,-1.5e-3,\"'@a,b\",'-,a=b\r\n");
    }
}

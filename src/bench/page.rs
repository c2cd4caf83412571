//! Reports as one HTML page each that needs nothing else: tables, and plots drawn as SVG.

use super::cold::ColdReport;
use super::load::Load;
use super::official::OfficialReport;
use super::ops::{OpRow, OpsReport};
use super::report::{CaseReport, Report};
use super::streams::StreamsReport;
use super::table;
use crate::result::render::html::escaped;
use crate::trace::{Stage, plural};
use std::fmt::Write;

const STYLE: &str = ":root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:78rem;margin:2rem auto;padding:0 1rem;color:#1d2433;background:#fff}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;font-variant-numeric:tabular-nums}\
td,th{padding:.2rem .6rem .2rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #ccd2dd;white-space:nowrap}\
.number{text-align:right}.words{white-space:normal;min-width:12rem}.scroll{overflow-x:auto}\
svg{max-width:100%;min-width:42rem;height:auto}svg text{font:12px system-ui,sans-serif;fill:currentColor}.key{white-space:nowrap;margin-left:1em}\
.key i{display:inline-block;width:.8em;height:.8em;margin-right:.35em}\
@media print{.scroll{overflow:visible}td,th{white-space:normal}h2{break-after:avoid}svg{min-width:0}}\
@media(prefers-color-scheme:dark){body{color:#e3e7ef;background:#151922}td,th{border-color:#39414f}}";

/// Colours that stay apart for colour-blind readers (Okabe and Ito, then Tol).
const COLOURS: [&str; 12] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#999999", "#332288", "#117733", "#882255", "#661100"];

/// Width of the drawings, of the names at their left, and the most of it.
const WIDTH: f64 = 900.0;
const NAMES: f64 = 230.0;
const MOST_NAMES: f64 = 450.0;
/// Width of a letter there.
const LETTER: f64 = 7.0;
/// Letters of a file's name there; others, as Chinese ones, count twice.
const NAME_WIDTH: i32 = 32;
/// Width of a rate below a plot.
const RATE_WIDTH: f64 = 55.0;
/// Cells of more bytes may be broken into lines.
const LONG: usize = 40;
const ROW: f64 = 24.0;

/// The page.
pub fn html(report: &Report) -> String {
    let (machine, inputs) = (&report.machine, &report.inputs);
    let what = format!("{}, {:.1} megapixels", plural(inputs.count, "picture"), inputs.megapixels);
    let rounds = format!("{} rounds after {} of warm-up", report.repeat, report.warmup);
    let mut page = begin(&report.pipeline, &format!("{what}; {rounds}; hpinfer {}, {}\n{machine}", report.hpinfer, report.date));
    section(&mut page, "Cases", &rows(table::SUMMARY, report.cases.iter().map(table::summary)));
    report.cases.iter().filter_map(table::held_back).for_each(|how| paragraph(&mut page, &how));
    let speeds: Vec<(String, f64)> = report.cases.iter().map(|c| (c.case().to_string(), c.images_per_s)).collect();
    section(&mut page, "Pictures a second", &bars(&speeds, 2));
    section(&mut page, "Where the time goes: share of each stage, one picture at a time", &stage_bars(&report.cases));
    section(
        &mut page,
        "End to end against the engines alone, one thread, ms (processor time, wall time)",
        &rows(table::FLOORS, report.cases.iter().flat_map(table::floors)),
    );
    for case in &report.cases {
        let medians: Vec<(String, f64)> = case.pictures.iter().map(|p| (file_name(&p.name), p.latency.p50_ms)).collect();
        section(&mut page, &format!("Median latency of each picture, ms: {}", case.case()), &bars(&medians, 1));
        if let Some(load) = &case.load {
            section(&mut page, &format!("Latency under load: {}", case.case()), &load_plot(load));
            section(&mut page, &format!("Load: {}", case.case()), &rows(table::LOAD, table::load(case)));
        }
    }
    for failed in &inputs.failed {
        paragraph(&mut page, &format!("Left out: {}: {}", failed.name, failed.reason));
    }
    page + END
}

/// The page of networks beside what was published of them.
pub fn official(report: &OfficialReport) -> String {
    let mut page = begin("official", &report.heading());
    section(&mut page, "Test environment", &rows(table::ENVIRONMENT, report.environment.iter().map(table::part)));
    paragraph(&mut page, &report.comparable);
    paragraph(&mut page, &report.gpu_times);
    section(&mut page, "Networks", &rows(table::OFFICIAL, report.rows.iter().map(table::official)));
    report.held_back().iter().for_each(|how| paragraph(&mut page, how));
    let times: Vec<(String, f64)> = report.rows.iter().map(|row| (row.model.clone(), row.run_ms)).collect();
    section(&mut page, "Milliseconds of a run here", &bars(&times, 1));
    page + END
}

/// The page of the streams that are kept up with.
pub fn streams(report: &StreamsReport) -> String {
    let mut page = begin(&format!("{}, streams", report.pipeline), &report.heading());
    section(&mut page, "Streams", &rows(table::STREAMS, report.found.tried.iter().map(table::streams)));
    paragraph(&mut page, &report.outcome());
    report.held_back().iter().for_each(|how| paragraph(&mut page, how));
    let mut tried: Vec<_> = report.found.tried.iter().collect();
    tried.sort_by_key(|tried| tried.streams);
    let late: Vec<(String, f64)> = tried.iter().map(|tried| (plural(tried.streams, "stream"), tried.latency.p99_ms)).collect();
    section(&mut page, "99th percentile of the latency, ms", &bars(&late, 1));
    page + END
}

/// The page of the kernels of a GPU.
pub fn ops(report: &OpsReport) -> String {
    let mut page = begin("kernels of a GPU", &report.heading());
    section(&mut page, "Operations", &rows(table::OPS, report.rows.iter().map(table::op)));
    let named = |row: &OpRow| format!("{}, {}", row.name, row.case);
    let shares: Vec<(String, f64)> = report.rows.iter().map(|row| (named(row), 100.0 * row.share_of_copy)).collect();
    section(&mut page, "Bytes a second, in percent of those of a copy", &bars(&shares, 1));
    page + END
}

/// The page of starts.
pub fn cold(report: &ColdReport) -> String {
    let mut page = begin(&format!("{}, starts", report.pipeline), &report.heading());
    section(&mut page, "Starts", &rows(table::STARTS, report.starts.iter().map(table::starts)));
    let first: Vec<(String, f64)> = report.starts.iter().map(|starts| (starts.start.what().into(), starts.medians()[0])).collect();
    section(&mut page, "Median time to the first result, ms", &bars(&first, 0));
    page + END
}

const END: &str = "</body></html>\n";

/// The page up to what stands above the first section: a line of `intro` each.
fn begin(title: &str, intro: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>hpinfer bench: {0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n<p>{1}.</p>\n",
        escaped(title),
        escaped(intro).replace('\n', ".<br>"),
    )
}

fn paragraph(page: &mut String, text: &str) {
    let _ = writeln!(page, "<p>{}</p>", escaped(text));
}

fn section(page: &mut String, title: &str, body: &str) {
    let _ = write!(page, "<h2>{}</h2>\n<div class=\"scroll\">{body}</div>\n", escaped(title));
}

fn rows<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    // As "12 (3)", "4 of 5" and "6 %" are.
    let is_number = |cell: &str| {
        let first = cell.split('(').next().unwrap_or_default().trim().trim_end_matches(" %");
        first.split(" of ").all(|number| number.parse::<f64>().is_ok()) || cell == "-"
    };
    let class = |column: usize| {
        let mut cells = rows.iter().map(|row| row[column].as_str());
        if cells.clone().all(is_number) {
            " class=\"number\""
        } else if cells.any(|cell| cell.len() > LONG) {
            " class=\"words\""
        } else {
            ""
        }
    };
    let classes: [&str; N] = std::array::from_fn(class);
    let cells = |tag: &str, cells: [&str; N]| {
        let cell = |(class, cell): (&&str, &str)| format!("<{tag}{class}>{}</{tag}>", escaped(cell));
        classes.iter().zip(cells).map(cell).collect::<String>()
    };
    let mut out = format!("<table><tr>{}</tr>", cells("th", head));
    for row in &rows {
        let _ = write!(out, "<tr>{}</tr>", cells("td", row.each_ref().map(String::as_str)));
    }
    out + "</table>"
}

/// The last part of a path, or its end where that is too long for the drawings.
fn file_name(path: &str) -> String {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let width = |c: char| if c.is_ascii() { 1 } else { 2 };
    let mut room = NAME_WIDTH;
    let fits = |c: &char| {
        room -= width(*c);
        room >= 0
    };
    let kept = name.chars().rev().take_while(fits).map(char::len_utf8).sum::<usize>();
    if kept == name.len() { name.to_owned() } else { format!("\u{2026}{}", &name[name.len() - kept..]) }
}

fn drawing(height: f64, body: &str) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" role=\"img\">{body}</svg>")
}

fn label(x: f64, y: f64, anchor: &str, text: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text))
}

fn bar(x: f64, y: f64, width: f64, colour: &str, title: &str) -> String {
    let height = ROW - 8.0;
    format!(
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"><title>{}</title></rect>",
        escaped(title)
    )
}

/// One bar a row, from zero.
fn bars(values: &[(String, f64)], decimals: usize) -> String {
    let most = values.iter().map(|v| v.1).fold(f64::MIN_POSITIVE, f64::max);
    let longest = values.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    let names = (longest as f64 * LETTER + 8.0).clamp(NAMES, MOST_NAMES);
    let mut body = String::new();
    for (n, (name, value)) in values.iter().enumerate() {
        let (y, width) = (n as f64 * ROW + 4.0, value / most * (WIDTH - names - 80.0));
        body += &label(names - 8.0, y + 12.0, "end", name);
        body += &bar(names, y, width, COLOURS[0], &format!("{name}: {value:.3}"));
        body += &label(names + width + 6.0, y + 12.0, "start", &format!("{value:.decimals$}"));
    }
    drawing(values.len() as f64 * ROW + 8.0, &body)
}

/// One row of adjoining stages a case, in the order of the pipeline, as long as a whole.
fn stage_bars(cases: &[CaseReport]) -> String {
    let takes_time = |stage: &&str| cases.iter().any(|c| c.stages_ms.get(*stage).is_some_and(|ms| *ms > 0.0));
    let used: Vec<&str> = Stage::AFTER_DECODE.iter().map(|stage| stage.as_str()).filter(takes_time).collect();
    let colour = |n: usize| COLOURS[n % COLOURS.len()];
    let mut body = String::new();
    for (row, case) in cases.iter().enumerate() {
        let total: f64 = case.stages_ms.values().sum::<f64>().max(f64::MIN_POSITIVE);
        let (y, mut x) = (row as f64 * ROW + 4.0, NAMES);
        body += &label(NAMES - 8.0, y + 12.0, "end", &case.case().to_string());
        for (n, stage) in used.iter().enumerate() {
            let ms = case.stages_ms.get(*stage).copied().unwrap_or(0.0);
            let width = ms / total * (WIDTH - NAMES);
            body += &bar(x, y, width, colour(n), &format!("{stage}: {ms:.1} ms, {:.1} %", 100.0 * ms / total));
            x += width;
        }
    }
    let keys: String = used
        .iter()
        .enumerate()
        .map(|(n, s)| format!("<span class=\"key\"><i style=\"background:{}\"></i>{s}</span> ", colour(n)))
        .collect();
    format!("<p>{keys}</p>{}", drawing(cases.len() as f64 * ROW + 8.0, &body))
}

/// Median and 99th percentile over the offered rate; the latency's axis is logarithmic.
fn load_plot(load: &Load) -> String {
    let (left, right, top, bottom) = (70.0, WIDTH - 20.0, 20.0, 280.0);
    let latencies = || load.rates.iter().flat_map(|r| [r.latency.p50_ms, r.latency.p99_ms]).map(|ms| ms.max(1e-3).log10());
    let (low, high) = (latencies().fold(f64::INFINITY, f64::min).floor(), latencies().fold(f64::NEG_INFINITY, f64::max).ceil());
    let most = load.rates.iter().map(|r| r.offered_per_s).fold(f64::MIN_POSITIVE, f64::max);
    let x = |per_s: f64| left + per_s / most * (right - left);
    let y = |ms: f64| bottom - (ms.max(1e-3).log10() - low) / (high - low).max(1.0) * (bottom - top);
    let mut body = String::new();
    // A line a decade, and two between where there is no more than one.
    let steps: &[f64] = if high - low > 1.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let lines = (low as i32..=high as i32).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    for ms in lines.filter(|ms| ms.log10() <= high + 1e-9) {
        let at = y(ms);
        let _ = write!(body, "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#999\" stroke-width=\".5\"/>");
        body += &label(left - 8.0, at + 4.0, "end", &format!("{ms} ms"));
    }
    let mut free_from = f64::MIN;
    for rate in &load.rates {
        let at = x(rate.offered_per_s);
        if at >= free_from {
            let (at, anchor) = if at + RATE_WIDTH / 2.0 > WIDTH { (WIDTH, "end") } else { (at, "middle") };
            body += &label(at, bottom + 18.0, anchor, &format!("{:.2}/s", rate.offered_per_s));
            free_from = at + RATE_WIDTH;
        }
    }
    for (name, colour, above, pick) in
        [("p50", COLOURS[0], -16.0, (|l| l.p50_ms) as fn(&super::report::Latency) -> f64), ("p99", COLOURS[5], 8.0, |l| l.p99_ms)]
    {
        let line: Vec<String> = load.rates.iter().map(|r| format!("{:.1},{:.1}", x(r.offered_per_s), y(pick(&r.latency)))).collect();
        let _ = write!(body, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"/>", line.join(" "));
        for rate in &load.rates {
            let (per_s, ms) = (rate.offered_per_s, pick(&rate.latency));
            let (x, y, title) = (x(per_s), y(ms), format!("{name} at {per_s:.2}/s: {ms:.1} ms"));
            let _ = write!(body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"><title>{title}</title></circle>");
        }
        if let Some(last) = load.rates.last() {
            body += &label(x(last.offered_per_s), y(pick(&last.latency)) - above, "end", name);
        }
    }
    format!("{}<p>{}</p>", drawing(310.0, &body), load.knee())
}

#[cfg(test)]
mod tests {
    use super::super::load::Offered;
    use super::super::report::Latency;
    use super::*;

    #[test]
    fn numbers_stand_at_the_right() {
        let table = rows(["A", "B", "C"], [["1.5 (2)", "3 of 4", "x"], ["-", "12 %", "2"]].map(|row| row.map(String::from)));
        assert_eq!(table.matches("<td class=\"number\">").count(), 4, "{table}");
        assert!(table.contains("<td>x</td>") && table.contains("<td>2</td>"), "{table}");
    }

    #[test]
    fn names_of_operations_are_whole() {
        let name = "resize, linear, normalise: 32 unlike crops of 1920x1080";
        let drawn = bars(&[(name.into(), 0.34), ("copy".into(), 100.0)], 1);
        assert!(drawn.contains(&format!(">{name}</text>")) && drawn.contains(&format!("<title>{name}: 0.340</title>")), "{drawn}");
        assert!(drawn.contains(">0.3</text>"), "{drawn}");
    }

    #[test]
    fn what_lies_within_a_decade_has_lines_between() {
        let latency = |ms| Latency { p50_ms: ms, p99_ms: 2.0 * ms, ..Latency::default() };
        let offered = |offered_per_s, ms| Offered { part: 1.0, offered_per_s, finished_per_s: offered_per_s, latency: latency(ms) };
        let plot = |last| load_plot(&Load { rates: vec![offered(50.0, 12.0), offered(535.89, last)], knee_per_s: None });
        let near = plot(40.0);
        assert!(["10 ms", "20 ms", "50 ms", "100 ms"].iter().all(|line| near.contains(&format!(">{line}</text>"))), "{near}");
        assert!(near.contains(&format!("x=\"{WIDTH:.1}\" y=\"298.0\" text-anchor=\"end\">535.89/s<")), "{near}");
        assert!(near.contains("<title>p99 at 535.89/s: 80.0 ms</title>"), "{near}");
        assert!(!plot(4000.0).contains(">20 ms<"));
    }
}

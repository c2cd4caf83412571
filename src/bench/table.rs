//! Reports and comparisons as rows of tables for people: milliseconds, one decimal.

use super::cold::Starts;
use super::compare::Change;
use super::load::Offered;
use super::official::{Part, Row};
use super::ops::OpRow;
use super::report::{CaseReport, FloorSum, engines};
use super::streams::Tried;
use crate::trace::Stage;

/// Headings of the overview of cases.
pub const SUMMARY: [&str; 10] =
    ["CASE", "ENGINES", "OPEN ms", "FIRST ms", "P50 ms", "P95 ms", "P99 ms", "GEOMEAN ms", "IMAGES/s", "PEAK MiB"];
/// Headings of the pipeline against its engines.
pub const FLOORS: [&str; 9] =
    ["CASE", "ENGINES", "PICTURES", "END TO END", "ENGINE", "RATIO", "END TO END, WALL", "ENGINE, WALL", "PRE + POST"];
/// Headings of a rising load.
pub const LOAD: [&str; 7] = ["CASE", "OF THE MOST", "OFFERED/s", "FINISHED/s", "P50 ms", "P95 ms", "P99 ms"];
/// Headings of the kernels of a GPU.
pub const OPS: [&str; 10] = ["OPERATION", "CASE", "GPU us", "COLD us", "WHOLE us", "MB MOVED", "GB/s", "OF COPY", "ONE CORE us", "DIFFER"];
/// Headings of PaddleX's test environment.
pub const ENVIRONMENT: [&str; 4] = ["PART", "OFFICIAL", "HERE", ""];
/// Headings of networks beside what was published of them.
pub const OFFICIAL: [&str; 6] = ["MODEL", "ENGINE", "INPUT", "HERE ms", "XEON ms", "T4 ms"];
/// Headings of a rising number of streams.
pub const STREAMS: [&str; 7] = ["STREAMS", "FRAMES", "DROPPED", "FINISHED/s", "P50 ms", "P99 ms", "KEPT UP"];
/// Headings of starts.
pub const STARTS: [&str; 5] = ["IN THE CACHE", "FIRST RESULT ms", "OPENING ms", "ALL", "RAN"];
/// Headings of a comparison.
pub const CHANGES: [&str; 6] = ["CASE", "NUMBER", "BEFORE", "AFTER", "CHANGE", ""];

fn number(value: f64) -> String {
    if value.abs() < 1.0 { format!("{value:.3}") } else { format!("{value:.1}") }
}

fn if_known(value: Option<f64>, show: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "-".into(), show)
}

/// A row of [`SUMMARY`].
pub fn summary(c: &CaseReport) -> [String; 10] {
    let l = &c.latency;
    let [open, first, p50, p95, p99, geomean] = [c.open_ms, c.first_result_ms, l.p50_ms, l.p95_ms, l.p99_ms, l.geomean_ms].map(number);
    let images = format!("{:.2}", c.images_per_s);
    [c.case().to_string(), engines(&c.models), open, first, p50, p95, p99, geomean, images, if_known(c.peak_memory_mib, number)]
}

/// Of a case whose GPU was held back, that it was.
pub fn held_back(c: &CaseReport) -> Option<String> {
    c.held_back().map(|how| format!("{}: {how}", c.case()))
}

/// Headings and rows of the time per stage, over all pictures: a column for each stage that a case has.
pub fn stages(cases: &[CaseReport]) -> (Vec<String>, Vec<Vec<String>>) {
    let there = |stage: &&str| cases.iter().any(|c| c.stages_ms.contains_key(*stage));
    let stages: Vec<&str> = Stage::AFTER_DECODE.iter().map(|stage| stage.as_str()).filter(there).collect();
    let headings = ["case", "decode"].iter().chain(&stages).map(|heading| heading.to_uppercase().replace('_', " ")).collect();
    let row = |c: &CaseReport| {
        let times = stages.iter().map(|&stage| number(c.stages_ms.get(stage).copied().unwrap_or(0.0)));
        [c.case().to_string(), number(c.decode_ms)].into_iter().chain(times).collect()
    };
    (headings, cases.iter().map(row).collect())
}

/// The rows of [`FLOORS`]: all pictures, and those with two lines of text or more where there are such.
pub fn floors(c: &CaseReport) -> Vec<[String; 9]> {
    let sums = [("all", &c.floor.all), ("two lines or more", &c.floor.several_lines)];
    sums.into_iter().filter(|(which, sum)| *which == "all" || sum.pictures > 0).map(|(which, sum)| floor(c, which, sum)).collect()
}

fn floor(c: &CaseReport, which: &str, sum: &FloorSum) -> [String; 9] {
    let FloorSum { pictures, sum, ratio } = sum;
    let pictures = format!("{pictures}, {which}");
    let cpu = |ms| if_known(ms, number);
    let walls = [sum.end_to_end.wall_ms, sum.engine.wall_ms, sum.pre_post_ms].map(number);
    let [end_to_end, engine, pre_post] = walls;
    let ratio = if_known(*ratio, |r| format!("{r:.3}"));
    let (all_cpu, engine_cpu) = (cpu(sum.end_to_end.cpu_ms), cpu(sum.engine.cpu_ms));
    [c.case().to_string(), engines(&c.floor.models), pictures, all_cpu, engine_cpu, ratio, end_to_end, engine, pre_post]
}

/// The rows of [`LOAD`], one per rate.
pub fn load(c: &CaseReport) -> Vec<[String; 7]> {
    let row = |r: &Offered| {
        let [p50, p95, p99] = [r.latency.p50_ms, r.latency.p95_ms, r.latency.p99_ms].map(number);
        let [offered, finished] = [r.offered_per_s, r.finished_per_s].map(|v| format!("{v:.2}"));
        [c.case().to_string(), format!("{:.0} %", 100.0 * r.part), offered, finished, p50, p95, p99]
    };
    c.load.iter().flat_map(|load| load.rates.iter().map(row)).collect()
}

/// A row of [`OPS`].
pub fn op(row: &OpRow) -> [String; 10] {
    let [us, cold, rate, cpu] = [row.gpu_us, row.cold_us, row.gb_per_s, row.cpu_us].map(number);
    let whole = if_known(row.whole_us, number);
    let (moved, share) = (format!("{:.2}", row.bytes as f64 / 1e6), format!("{:.0} %", row.share_of_copy * 100.0));
    [row.name.clone(), row.case.clone(), us, cold, whole, moved, rate, share, cpu, format!("{} of {}", row.differences, row.compared)]
}

/// A row of [`CHANGES`].
pub fn change(c: &Change) -> [String; 6] {
    let verdict = if c.regression { "WORSE" } else { "" };
    let [before, after] = [c.before, c.after].map(|v| format!("{v:.3}"));
    let change = if c.percent().is_finite() { format!("{:+.1} %", c.percent()) } else { "-".into() };
    [c.case.clone(), c.metric.into(), before, after, change, verdict.into()]
}

/// A row of [`ENVIRONMENT`].
pub fn part(part: &Part) -> [String; 4] {
    [part.part.to_string(), part.official.to_string(), part.here.clone(), if part.same { "same" } else { "other" }.into()]
}

/// A row of [`OFFICIAL`].
pub fn official(row: &Row) -> [String; 6] {
    let [published_cpu, published_gpu] = [row.published_cpu_ms, row.published_gpu_ms].map(|ms| if_known(ms, number));
    [row.model.clone(), row.engine.clone(), row.inputs.clone(), number(row.run_ms), published_cpu, published_gpu]
}

/// A row of [`STREAMS`].
pub fn streams(tried: &Tried) -> [String; 7] {
    let [rate, p50, p99] = [tried.finished_per_s, tried.latency.p50_ms, tried.latency.p99_ms].map(number);
    let [streams, offered, dropped] = [tried.streams, tried.offered, tried.dropped].map(|count| count.to_string());
    [streams, offered, dropped, rate, p50, p99, if tried.kept_up { "yes" } else { "no" }.into()]
}

/// A row of [`STARTS`].
pub fn starts(starts: &Starts) -> [String; 5] {
    let [first, open] = starts.medians().map(|ms| format!("{ms:.0}"));
    let all: Vec<String> = starts.first_result_ms.iter().map(|ms| format!("{ms:.0}")).collect();
    let ran: Vec<String> = starts.models.iter().map(|run| format!("{} on {}", run.model, run.backend)).collect();
    [starts.start.what().into(), first, open, all.join(", "), ran.join(", ")]
}

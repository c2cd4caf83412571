//! Two reports side by side: what became slower or larger. Reports of unlike machines, models and the GPUs they ran on, inputs, threads or
//! pipelines are refused: their difference would not be the change's.

use super::cases::Case;
use super::report::{CaseReport, Report, SCHEMA_VERSION, engines};
use crate::error::{Error, Result};
use crate::result::RunRecord;
use std::collections::{BTreeMap, BTreeSet};

/// One number of one case, before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The case.
    pub case: Case,
    /// What is compared, with its unit.
    pub metric: &'static str,
    /// In the first report.
    pub before: f64,
    /// In the second.
    pub after: f64,
    /// Worse by more than the threshold.
    pub regression: bool,
}

impl Change {
    /// Change of the number in percent, negative when it shrank.
    pub fn percent(&self) -> f64 {
        (self.after / self.before - 1.0) * 100.0
    }
}

/// A comparison.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// Every number of every case.
    pub changes: Vec<Change>,
    /// Differences that are allowed, and that a reader should know.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Whether anything is worse by more than the threshold.
    pub fn has_regressions(&self) -> bool {
        self.changes.iter().any(|c| c.regression)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Better {
    Less,
    More,
}

/// A number of a case; `None` where a report has none.
type Number = fn(&CaseReport) -> Option<f64>;

/// Numbers that are compared.
const METRICS: [(&str, Better, Number); 7] = [
    ("first result, ms", Better::Less, |c| Some(c.first_result_ms)),
    ("latency p50, ms", Better::Less, |c| Some(c.latency.p50_ms)),
    ("latency p95, ms", Better::Less, |c| Some(c.latency.p95_ms)),
    ("latency geomean, ms", Better::Less, |c| Some(c.latency.geomean_ms)),
    ("images/s", Better::More, |c| Some(c.images_per_s)),
    ("peak memory, MiB", Better::Less, |c| c.peak_memory_mib),
    ("end to end / engine", Better::Less, |c| c.floor.all.ratio),
];

/// Compares `after` with `before`: what is worse by more than `threshold_percent` is a regression.
///
/// # Errors
/// [`Error::Config`] that lists everything in which the reports are unlike.
pub fn compare(before: &Report, after: &Report, threshold_percent: f64) -> Result<Comparison> {
    if !(threshold_percent.is_finite() && threshold_percent >= 0.0) {
        return Err(Error::config("--threshold", format!("{threshold_percent} is no percentage of 0 or more")));
    }
    let differences = differences(before, after);
    if !differences.is_empty() {
        let reason = format!("the reports are not comparable: {}; measure both on the same terms", differences.join("; "));
        return Err(Error::config("bench compare", reason));
    }
    let factor = 1.0 + threshold_percent / 100.0;
    let mut comparison = Comparison { notes: notes(before, after), ..Comparison::default() };
    for old in &before.cases {
        let Some(new) = after.cases.iter().find(|new| new.case() == old.case()) else { continue };
        for (metric, better, number) in METRICS {
            let Some((before, after)) = number(old).zip(number(new)) else { continue };
            let regression = match better {
                Better::Less => after > before * factor,
                Better::More => after * factor < before,
            };
            comparison.changes.push(Change { case: old.case(), metric, before, after, regression });
        }
    }
    Ok(comparison)
}

/// In what the reports are unlike, so that their numbers say nothing about each other.
fn differences(before: &Report, after: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let mut check = |what: String, old: &str, new: &str| {
        if old != new {
            found.push(format!("{what}: {old} against {new}"));
        }
    };
    let known = SCHEMA_VERSION.to_string();
    for report in [before, after] {
        check("form of the report".into(), &report.schema_version.to_string(), &known);
    }
    let machine = |r: &Report| format!("{}, {} cores", r.machine.cpu, r.machine.cores);
    check("machine".into(), &machine(before), &machine(after));
    check("pipeline".into(), &before.pipeline, &after.pipeline);
    for (flag, old, new) in settings(before, after).filter(|(flag, ..)| !may_differ(flag)) {
        check(flag.to_owned(), old, new);
    }
    let inputs = |r: &Report| format!("{} pictures with SHA-256 {:.12}", r.inputs.count, r.inputs.sha256);
    check("inputs".into(), &inputs(before), &inputs(after));
    let cases = |r: &Report| {
        let mut cases: Vec<String> = r.cases.iter().map(|c| c.case().to_string()).collect();
        cases.sort();
        cases.join(" and ")
    };
    check("cases and threads".into(), &cases(before), &cases(after));
    for (old, new) in pairs(before, after) {
        let models = |r: &Report, c: &CaseReport| {
            let model = |m: &RunRecord| format!("{} ({}, {})", m.model, m.precision, r.machine.identity(&m.device));
            c.models.iter().map(model).collect::<Vec<_>>().join(" + ")
        };
        check(format!("models of {}", old.case()), &models(before, old), &models(after, new));
    }
    found
}

/// Differences that may be the very change that is measured.
fn notes(before: &Report, after: &Report) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |what: String, old: &str, new: &str| {
        if old != new {
            notes.push(format!("{what}: {old} before, {new} after"));
        }
    };
    note("hpinfer".into(), &before.hpinfer, &after.hpinfer);
    note("kernel".into(), &before.machine.kernel, &after.machine.kernel);
    for old in &before.machine.gpus {
        let new = after.machine.gpus.iter().find(|new| new.device == old.device && new.name == old.name);
        if let Some((old_driver, new_driver)) = old.driver.as_ref().zip(new.and_then(|new| new.driver.as_ref())) {
            note(format!("driver of {}", old.device), old_driver, new_driver);
        }
    }
    if let Some((old, new)) = before.jpeg_decoder.as_ref().zip(after.jpeg_decoder.as_ref()) {
        note("JPEG decoder".into(), old, new);
    }
    for (flag, old, new) in settings(before, after).filter(|(flag, ..)| may_differ(flag)) {
        note(flag.to_owned(), old, new);
    }
    let rounds = |r: &Report| format!("{} after {} of warm-up", r.repeat, r.warmup);
    note("rounds".into(), &rounds(before), &rounds(after));
    for (old, new) in pairs(before, after) {
        note(format!("engines of {}", old.case()), &engines(&old.models), &engines(&new.models));
        // It moves from one tried rate to the next, by a tenth and more.
        if let Some((before, after)) = old.load.as_ref().zip(new.load.as_ref()) {
            note(format!("load of {}", old.case()), &before.knee(), &after.knee());
        }
    }
    notes
}

/// Flags of either report, and what each says of them.
fn settings<'a>(before: &'a Report, after: &'a Report) -> impl Iterator<Item = (&'a str, &'a str, &'a str)> {
    let said = |settings: &'a BTreeMap<String, String>, flag: &str| settings.get(flag).map_or("the default", String::as_str);
    before.settings.as_ref().zip(after.settings.as_ref()).into_iter().flat_map(move |(before, after)| {
        let flags: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        flags.into_iter().map(move |flag| (flag.as_str(), said(before, flag), said(after, flag)))
    })
}

/// Whether a flag may be the very change that is measured: how many share a run, and where a model is, which may be the same at another
/// place.
fn may_differ(flag: &str) -> bool {
    flag.ends_with("model") || flag.ends_with("batch_size")
}

/// Cases that both reports have.
fn pairs<'a>(before: &'a Report, after: &'a Report) -> impl Iterator<Item = (&'a CaseReport, &'a CaseReport)> {
    before.cases.iter().filter_map(|old| Some((old, after.cases.iter().find(|new| new.case() == old.case())?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::Variant;
    use crate::bench::load::Load;
    use crate::bench::machine::{Machine, MachineGpu};
    use crate::bench::report::{Cost, Floor, FloorSum, Inputs, Latency};

    fn case(variant: Variant, threads: usize) -> CaseReport {
        let model = RunRecord {
            model: "det".into(),
            backend: "openvino".into(),
            version: "1".into(),
            device: "cpu".into(),
            precision: "float32".into(),
            format: None,
            engines: Vec::new(),
            profiles: Vec::new(),
        };
        let latency = Latency { p50_ms: 100.0, p95_ms: 200.0, p99_ms: 250.0, min_ms: 90.0, geomean_ms: 110.0 };
        let mut sum = FloorSum::of([]);
        (sum.sum.end_to_end, sum.sum.engine) = (Cost { cpu_ms: Some(102.0), wall_ms: 1.0 }, Cost { cpu_ms: Some(100.0), wall_ms: 1.0 });
        sum.ratio = Some(sum.sum.ratio());
        CaseReport {
            variant,
            threads,
            models: vec![model.clone()],
            open_ms: 50.0,
            first_result_ms: 400.0,
            decode_ms: 3.0,
            latency,
            images_per_s: 10.0,
            stages_ms: Default::default(),
            peak_memory_mib: Some(300.0),
            decoded_mib: 6.0,
            load: Some(Load { rates: Vec::new(), knee_per_s: Some(8.0) }),
            floor: Floor { models: vec![model], all: sum, several_lines: sum },
            pictures: Vec::new(),
            failed: Vec::new(),
        }
    }

    fn report() -> Report {
        Report {
            schema_version: SCHEMA_VERSION,
            hpinfer: "0.1.0".into(),
            date: "2026-01-01T00:00:00Z".into(),
            machine: Machine { cpu: "Some CPU".into(), cores: 2, kernel: "6".into(), memory_mib: 8000, gpus: Vec::new() },
            settings: Some(BTreeMap::new()),
            pipeline: "OCR".into(),
            jpeg_decoder: Some("zune".into()),
            repeat: 5,
            warmup: 1,
            inputs: Inputs { count: 1, sha256: "ab".repeat(32), ..Inputs::default() },
            cases: vec![case(Variant::Default, 1), case(Variant::Default, 2)],
        }
    }

    /// The report of a run on a graphics processor.
    fn on(name: &str, driver: &str) -> Report {
        changed(|r| {
            r.cases.iter_mut().for_each(|case| case.models[0].device = "gpu:0".into());
            r.machine.gpus.push(MachineGpu {
                device: "gpu:0".into(),
                name: name.into(),
                compute_capability: "7.5".into(),
                memory_mib: 15_000,
                uuid: format!("GPU-{name}"),
                driver: Some(driver.into()),
                state: None,
            });
        })
    }

    fn changed(change: impl FnOnce(&mut Report)) -> Report {
        let mut report = report();
        change(&mut report);
        report
    }

    #[test]
    fn equal_reports_have_no_regression_and_no_note() {
        let comparison = compare(&report(), &report(), 0.0).expect("comparable");
        assert_eq!(comparison.changes.len(), 2 * METRICS.len());
        assert!(!comparison.has_regressions() && comparison.notes.is_empty(), "{comparison:?}");
    }

    #[test]
    fn worse_by_more_than_the_threshold_is_a_regression_in_either_direction() {
        type Edit = fn(&mut CaseReport);
        let table: [(&str, Edit, bool); 8] = [
            ("latency p50, ms", |c| c.latency.p50_ms = 106.0, true),
            ("latency p50, ms", |c| c.latency.p50_ms = 104.0, false),
            ("latency p50, ms", |c| c.latency.p50_ms = 50.0, false),
            ("images/s", |c| c.images_per_s = 9.4, true),
            ("images/s", |c| c.images_per_s = 20.0, false),
            ("peak memory, MiB", |c| c.peak_memory_mib = Some(330.0), true),
            ("end to end / engine", |c| c.floor.all.ratio = Some(1.2), true),
            ("first result, ms", |c| c.first_result_ms = 500.0, true),
        ];
        for (metric, edit, expected) in table {
            let comparison = compare(&report(), &changed(|r| edit(&mut r.cases[1])), 5.0).expect("comparable");
            let worse: Vec<_> = comparison.changes.iter().filter(|c| c.regression).map(|c| (c.case.threads, c.metric)).collect();
            assert_eq!(worse, if expected { vec![(2, metric)] } else { vec![] }, "{metric}");
            assert_eq!(comparison.has_regressions(), expected);
        }
    }

    #[test]
    fn unlike_reports_are_refused_by_name() {
        type Edit = fn(&mut Report);
        let table: [(&str, Edit); 10] = [
            ("machine: Some CPU, 2 cores against Some CPU, 4 cores", |r| r.machine.cores = 4),
            ("machine", |r| r.machine.cpu = "Other".into()),
            ("pipeline: OCR against OCR.yaml", |r| r.pipeline = "OCR.yaml".into()),
            ("inputs", |r| r.inputs.sha256 = "cd".repeat(32)),
            ("cases and threads", |r| r.cases[1].threads = 4),
            ("cases and threads", |r| drop(r.cases.pop())),
            ("models of default, 1 thread", |r| r.cases[0].models[0].model = "server_det".into()),
            ("models of default, 2 threads", |r| r.cases[1].models[0].precision = "bfloat16".into()),
            ("topk: the default against 3", |r| r.settings = Some([("topk".into(), "3".into())].into())),
            ("form of the report: 99 against 1", |r| r.schema_version = 99),
        ];
        for (expected, edit) in table {
            for (before, after) in [(report(), changed(edit)), (changed(edit), report())] {
                let error = compare(&before, &after, 5.0).expect_err(expected).to_string();
                let subject = expected.split(" against ").next().unwrap_or(expected).split(": ").next().unwrap_or(expected);
                assert!(error.contains(subject), "{error}");
            }
            let error = compare(&report(), &changed(edit), 5.0).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let both = changed(|r| (r.machine.cores, r.pipeline) = (4, "x".into()));
        let error = compare(&report(), &both, 5.0).expect_err("unlike").to_string();
        assert!(error.contains("machine") && error.contains("pipeline"), "all differences at once: {error}");
        for threshold in [-1.0, f64::NAN] {
            assert!(compare(&report(), &report(), threshold).is_err());
        }
    }

    #[test]
    fn unlike_graphics_processors_are_refused_where_a_model_ran_on_one() {
        let error = compare(&on("T4", "535"), &on("H100", "535"), 5.0).expect_err("unlike").to_string();
        assert!(error.contains("gpu:0 (T4, compute capability 7.5, 15000 MiB)) against det (float32, gpu:0 (H100, "), "{error}");
        let unknown = |mut report: Report| {
            report.machine.gpus.clear();
            report
        };
        assert!(compare(&unknown(on("T4", "535")), &on("T4", "535"), 5.0).is_err(), "an earlier report does not say which one it was");
        let notes = compare(&on("T4", "535"), &on("T4", "580"), 5.0).expect("comparable").notes;
        assert_eq!(notes, ["driver of gpu:0: 535 before, 580 after"]);
        let idle = |name| Report { cases: report().cases, ..on(name, "535") };
        assert_eq!(compare(&idle("T4"), &idle("H100"), 5.0).expect("comparable").notes, Vec::<String>::new());
    }

    #[test]
    fn what_a_change_may_change_is_noted() {
        let after = changed(|r| {
            r.hpinfer = "0.2.0".into();
            r.settings = Some([("text_det_model".into(), "mine".into())].into());
            r.cases[1].load = None;
            r.cases[0].models[0].version = "2".into();
        });
        let notes = compare(&report(), &after, 5.0).expect("comparable").notes;
        assert_eq!(
            notes,
            [
                "hpinfer: 0.1.0 before, 0.2.0 after",
                "text_det_model: the default before, mine after",
                "engines of default, 1 thread: openvino 1 float32 before, openvino 2 float32 after"
            ]
        );
    }
}

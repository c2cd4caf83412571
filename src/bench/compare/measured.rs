//! Reports of `hpinfer bench`, its `latency` and `throughput`.

use super::{Better, Comparable, Number, Terms};
use crate::bench::load::{Load, Offered};
use crate::bench::report::{CaseReport, Report};

/// A number of a case; `None` where a report has none.
type Metric = fn(&CaseReport) -> Option<f64>;

/// Numbers that are compared.
const METRICS: [(&str, Better, Metric); 9] = [
    ("first result, ms", Better::Less, |c| Some(c.first_result_ms)),
    ("latency p50, ms", Better::Less, |c| Some(c.latency.p50_ms)),
    ("latency p95, ms", Better::Less, |c| Some(c.latency.p95_ms)),
    ("latency p99, ms", Better::Less, |c| Some(c.latency.p99_ms)),
    ("latency geomean, ms", Better::Less, |c| Some(c.latency.geomean_ms)),
    ("images/s", Better::More, |c| Some(c.images_per_s)),
    // Where no rate was kept up with, it is the worst there is.
    ("knee, images/s", Better::More, |c| Some(c.load.as_ref()?.knee_per_s.unwrap_or(0.0))),
    ("peak memory, MiB", Better::Less, |c| c.peak_memory_mib),
    ("end to end / engine", Better::Less, |c| c.floor.all.ratio),
];

impl Comparable for Report {
    fn terms(&self) -> Terms<'_> {
        let mut cases: Vec<String> = self.cases.iter().map(|c| c.case().to_string()).collect();
        cases.sort();
        let mut terms = Terms::new(&self.hpinfer, &self.machine);
        terms.same("form of the report", self.schema_version);
        terms.same("pipeline", &self.pipeline);
        terms.same("inputs", format!("{} pictures with SHA-256 {:.12}", self.inputs.count, self.inputs.sha256));
        terms.same("cases and threads", cases.join(" and "));
        if let Some(decoder) = &self.jpeg_decoder {
            terms.noted("JPEG decoder", decoder);
        }
        terms.noted("rounds", format!("{} after {} of warm-up", self.repeat, self.warmup));
        terms.settings = self.settings.as_ref();
        for case in &self.cases {
            terms.models(&format!(" of {}", case.case()), &case.models, &self.networks);
            if !case.gpus.is_empty() {
                terms.noted(format!("GPUs of {}", case.case()), case.held_back().unwrap_or_else(|| "not held back".into()));
            }
        }
        terms
    }

    fn numbers(&self) -> Vec<Number> {
        let of_case =
            |case: &CaseReport| METRICS.map(|(metric, better, number)| Some(Number::new(case.case(), metric, better, number(case)?)));
        self.cases.iter().flat_map(|case| of_case(case).into_iter().flatten().chain(under_load(case))).collect()
    }
}

/// Latencies at the rates below the knee: from there on a queue grows for as long as one tries.
fn under_load(case: &CaseReport) -> impl Iterator<Item = Number> {
    let is_below = |load: &Load, rate: &Offered| load.knee_per_s.is_some_and(|knee| rate.offered_per_s < knee);
    let rates = case.load.iter().flat_map(move |load| load.rates.iter().filter(move |rate| is_below(load, rate)));
    rates.map(|rate| {
        let at = format!("{}, load {:.0} %", case.case(), 100.0 * rate.part);
        Number::new(at, "latency p99, ms", Better::Less, rate.latency.p99_ms)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cases::Variant;
    use crate::bench::compare::compare;
    use crate::bench::machine::{Machine, MachineGpu};
    use crate::bench::report::{Cost, Floor, FloorSum, Inputs, Latency, SCHEMA_VERSION};
    use crate::bench::watch::Watched;
    use crate::bench::{page, table};
    use crate::device::Facts;
    use crate::result::RunRecord;
    use std::collections::BTreeMap;

    fn case(variant: Variant, threads: usize) -> CaseReport {
        let model = RunRecord {
            model: "det".into(),
            backend: "openvino".into(),
            version: "1".into(),
            device: "cpu".into(),
            precision: "float32".into(),
            format: None,
            widths: None,
            engines: Vec::new(),
            profiles: Vec::new(),
        };
        let latency = Latency { p50_ms: 100.0, p95_ms: 200.0, p99_ms: 250.0, min_ms: 90.0, geomean_ms: 110.0 };
        let rate = |part, per_s| Offered { part, offered_per_s: per_s, finished_per_s: per_s, latency };
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
            load: Some(Load { rates: vec![rate(0.25, 2.0), rate(1.0, 8.0)], knee_per_s: Some(8.0) }),
            floor: Floor { models: vec![model], all: sum, several_lines: sum },
            pictures: Vec::new(),
            failed: Vec::new(),
            gpus: Vec::new(),
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
            networks: [("det".into(), "12".repeat(32))].into(),
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
        assert_eq!(comparison.changes.len(), 2 * (METRICS.len() + 1), "one rate is below the knee");
        assert!(!comparison.has_regressions() && comparison.notes.is_empty(), "{comparison:?}");
    }

    #[test]
    fn worse_by_more_than_the_threshold_is_a_regression_in_either_direction() {
        type Edit = fn(&mut CaseReport);
        fn knee(case: &mut CaseReport, per_s: Option<f64>) {
            case.load.iter_mut().for_each(|load| load.knee_per_s = per_s);
        }
        let table: [(&str, Edit, bool); 12] = [
            ("latency p50, ms", |c| c.latency.p50_ms = 106.0, true),
            ("latency p50, ms", |c| c.latency.p50_ms = 104.0, false),
            ("latency p50, ms", |c| c.latency.p50_ms = 50.0, false),
            ("latency p99, ms", |c| c.latency.p99_ms = 12_500.0, true),
            ("knee, images/s", |c| knee(c, Some(1.0)), true),
            ("knee, images/s", |c| knee(c, Some(10.0)), false),
            ("knee, images/s", |c| knee(c, None), true),
            ("images/s", |c| c.images_per_s = 9.4, true),
            ("images/s", |c| c.images_per_s = 20.0, false),
            ("peak memory, MiB", |c| c.peak_memory_mib = Some(330.0), true),
            ("end to end / engine", |c| c.floor.all.ratio = Some(1.2), true),
            ("first result, ms", |c| c.first_result_ms = 500.0, true),
        ];
        for (metric, edit, expected) in table {
            let comparison = compare(&report(), &changed(|r| edit(&mut r.cases[1])), 5.0).expect("comparable");
            let worse: Vec<_> = comparison.changes.iter().filter(|c| c.regression).map(|c| (&*c.case, c.metric)).collect();
            assert_eq!(worse, if expected { vec![("default, 2 threads", metric)] } else { vec![] }, "{metric}");
            assert_eq!(comparison.has_regressions(), expected);
        }
    }

    #[test]
    fn unlike_reports_are_refused_by_name() {
        type Edit = fn(&mut Report);
        let table: [(&str, Edit); 11] = [
            ("machine: Some CPU, 2 cores against Some CPU, 4 cores", |r| r.machine.cores = 4),
            ("machine", |r| r.machine.cpu = "Other".into()),
            ("pipeline: OCR against OCR.yaml", |r| r.pipeline = "OCR.yaml".into()),
            ("inputs", |r| r.inputs.sha256 = "cd".repeat(32)),
            ("cases and threads", |r| r.cases[1].threads = 4),
            ("cases and threads", |r| drop(r.cases.pop())),
            ("models of default, 1 thread", |r| r.cases[0].models[0].model = "server_det".into()),
            ("models of default, 2 threads", |r| r.cases[1].models[0].precision = "bfloat16".into()),
            ("network of det: SHA-256 1212", |r| r.networks = [("det".into(), "34".repeat(32))].into()),
            ("topk: the default against 3", |r| r.settings = Some([("topk".into(), "3".into())].into())),
            ("form of the report: 1 against 99", |r| r.schema_version = 99),
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
    fn a_case_whose_gpu_was_held_back_is_told_from_a_good_one() {
        let watched = |by: &'static str| {
            let mut report = on("T4", "535");
            let throttled_by = Some(Some(by).filter(|by| !by.is_empty()).into_iter().map(Into::into).collect());
            let state = Facts { sm_clock_mhz: Some([585, 1590]), throttled_by, ..Facts::default() };
            report.cases[0].gpus = vec![Watched { device: "gpu:0".into(), state }];
            report
        };
        let (good, hot) = (watched(""), watched("heat"));
        let said = "THROTTLED: gpu:0 was held back to 585 of 1590 MHz by heat: it is slower than it can be";
        assert_eq!(table::held_back(&hot.cases[0]), Some(format!("default, 1 thread: {said}")));
        assert!(page::html(&hot).contains(said) && !page::html(&good).contains("THROTTLED"));
        let notes = compare(&good, &hot, 5.0).expect("comparable").notes;
        assert_eq!(notes, [format!("GPUs of default, 1 thread: not held back before, {said} after")]);
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
                "engines of default, 1 thread: openvino 1 float32 before, openvino 2 float32 after",
                "text_det_model: the default before, mine after"
            ]
        );
        let early = changed(|r| r.networks.clear());
        for (before, after) in [(&report(), &early), (&early, &report()), (&early, &early)] {
            let notes = compare(before, after, 5.0).expect("comparable").notes;
            assert_eq!(notes, ["a report has no SHA-256 of the networks of det: that they are the same ones is taken for granted"]);
        }
    }
}

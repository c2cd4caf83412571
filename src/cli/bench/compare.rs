//! `hpinfer bench compare`: two reports side by side.

use crate::bench::cold::ColdReport;
use crate::bench::compare::compare;
use crate::bench::official::OfficialReport;
use crate::bench::report::{Report, SCHEMA_VERSION};
use crate::bench::streams::StreamsReport;
use crate::bench::table;
use crate::cli::table::{write_table, write_text};
use crate::cli::{ALL_DONE, SOME_FAILED};
use crate::error::{Error, Result};
use serde::de::Error as _;
use serde_json::Value;
use std::io::Write;
use std::path::Path;

/// A report of one of the commands that measure.
enum AnyReport {
    Measured(Box<Report>),
    Streams(Box<StreamsReport>),
    Cold(Box<ColdReport>),
    Official(Box<OfficialReport>),
}

/// Runs the command; exit status 1 where something became worse by more than `threshold` percent.
pub(super) fn run(before: &Path, after: &Path, threshold: f64, out: &mut impl Write) -> Result<u8> {
    let comparison = match (AnyReport::read(before)?, AnyReport::read(after)?) {
        (AnyReport::Measured(before), AnyReport::Measured(after)) => compare(&*before, &*after, threshold),
        (AnyReport::Streams(before), AnyReport::Streams(after)) => compare(&*before, &*after, threshold),
        (AnyReport::Cold(before), AnyReport::Cold(after)) => compare(&*before, &*after, threshold),
        (AnyReport::Official(before), AnyReport::Official(after)) => compare(&*before, &*after, threshold),
        (before, after) => {
            let reason = format!("the reports are not comparable: one is of `{}`, the other of `{}`", before.command(), after.command());
            Err(Error::config("bench compare", reason))
        }
    }?;
    for note in &comparison.notes {
        write_text(out, &format!("note: {note}\n"))?;
    }
    write_table(out, table::CHANGES, &comparison.changes.iter().map(table::change).collect::<Vec<_>>())?;
    Ok(if comparison.has_regressions() { SOME_FAILED } else { ALL_DONE })
}

impl AnyReport {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
        let refused = |reason| Error::config(path.display().to_string(), reason);
        let no_report = |e| {
            let kinds = "`latency`, `throughput`, `streams`, `cold` or `official`";
            refused(format!("is no report of `hpinfer bench` or its {kinds} in JSON: {e}"))
        };
        let report = serde_json::from_slice(&bytes).map_err(no_report)?;
        match damaged("", &report, "") {
            Some(field) => Err(refused(format!("is damaged: {field}, which no measurement gives; measure it again"))),
            None => Self::parse(report).map_err(no_report),
        }
    }

    /// Which one it is shows what only that has.
    fn parse(report: Value) -> serde_json::Result<Self> {
        let has = |key| report.get(key).is_some();
        if has("tried") {
            serde_json::from_value(report).map(Self::Streams)
        } else if has("starts") {
            serde_json::from_value(report).map(Self::Cold)
        } else if has("environment") {
            serde_json::from_value(report).map(Self::Official)
        } else {
            let report: Box<Report> = serde_json::from_value(report)?;
            match report.schema_version {
                SCHEMA_VERSION => Ok(Self::Measured(report)),
                other => Err(serde_json::Error::custom(format!("its form is {other}, not {SCHEMA_VERSION}"))),
            }
        }
    }

    fn command(&self) -> &'static str {
        match self {
            Self::Measured(_) => "bench",
            Self::Streams(_) => "bench streams",
            Self::Cold(_) => "bench cold",
            Self::Official(_) => "bench official",
        }
    }
}

/// The first number of a report that no measurement gives, by its path: `.cases[0].latency.p50_ms is -1`.
fn damaged(field: &str, value: &Value, path: &str) -> Option<String> {
    match value {
        Value::Object(fields) => {
            // A try that was too much may have finished nothing.
            let is_told = |field: &str| field != "latency" || fields.get("kept_up") != Some(&Value::Bool(false));
            let mut told = fields.iter().filter(|(field, _)| is_told(field));
            told.find_map(|(field, value)| damaged(field, value, &format!("{path}.{field}")))
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().find_map(|(n, item)| damaged(field, item, &format!("{path}[{n}]")))
        }
        _ => (!is_possible(field, value)).then(|| format!("{path} is {value}")),
    }
}

/// Whether a measurement may give `value` for a field that is compared.
fn is_possible(field: &str, value: &Value) -> bool {
    let above_0 = value.as_f64().is_some_and(|number| number > 0.0);
    match field {
        "open_ms" | "first_result_ms" | "run_ms" | "images_per_s" | "offered_per_s" => above_0,
        "min_ms" | "p50_ms" | "p95_ms" | "p99_ms" | "geomean_ms" => above_0,
        // What is not finite is `null` in JSON, and so is what was not measured.
        "peak_memory_mib" | "ratio" | "knee_per_s" => above_0 || value.is_null(),
        "finished_per_s" => above_0 || value.as_f64() == Some(0.0),
        _ => true,
    }
}

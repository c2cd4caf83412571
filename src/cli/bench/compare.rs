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
        Self::parse(&bytes).map_err(|e| {
            let kinds = "`latency`, `throughput`, `streams`, `cold` or `official`";
            Error::config(path.display().to_string(), format!("is no report of `hpinfer bench` or its {kinds} in JSON: {e}"))
        })
    }

    /// Which one it is shows what only that has.
    fn parse(bytes: &[u8]) -> serde_json::Result<Self> {
        let report: Value = serde_json::from_slice(bytes)?;
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

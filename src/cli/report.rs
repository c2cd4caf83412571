//! Results on standard output: a listing for people, or JSON Lines. Progress goes to standard error.

use super::args::OutputForm;
use super::predict::Outcome;
use crate::result::OcrResult;
use crate::result::json::{Schema, error_line, in_stage_order, to_json, to_line};
use crate::trace::display;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{self, Write};
use std::time::Duration;

/// Writes outcomes as they come.
pub struct Report {
    form: OutputForm,
    schema: Schema,
    progress: ProgressBar,
}

impl Report {
    /// A report in `form`; `quiet` hides the progress display, as does a standard error that is no terminal.
    pub fn new(form: OutputForm, schema: Schema, quiet: bool) -> Self {
        let progress = if quiet { ProgressBar::hidden() } else { display().add(ProgressBar::new_spinner()) };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} done, {per_sec}, {elapsed}") {
            progress.set_style(style);
        }
        progress.enable_steady_tick(Duration::from_millis(120));
        Self { form, schema, progress }
    }

    /// Writes one outcome and flushes it.
    pub fn show(&mut self, outcome: &Outcome) -> io::Result<()> {
        let text = match (self.form, &outcome.result) {
            (OutputForm::Jsonl, Ok(result)) => to_line(&to_json(result, self.schema)) + "\n",
            (OutputForm::Jsonl, Err(e)) => to_line(&error_line(&outcome.name, e)) + "\n",
            (OutputForm::Text, Ok(result)) => listing(&outcome.name, result),
            (OutputForm::Text, Err(e)) => format!("{}\n  error: {}\n", printable(&outcome.name), printable(&e.to_string())),
        };
        let mut out = io::stdout().lock();
        display().suspend(|| out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
        if let (OutputForm::Jsonl, Err(e)) = (self.form, &outcome.result) {
            tracing::error!("{}", printable(&e.to_string()));
        }
        self.progress.inc(1);
        Ok(())
    }

    /// Clears the progress display.
    pub fn clear(&self) {
        self.progress.finish_and_clear();
    }
}

/// A picture's name, what ran, and its lines with scores and places.
fn listing(name: &str, result: &OcrResult) -> String {
    let mut out = format!("{}\n", printable(name));
    for run in &result.run {
        out += &format!("  {} on {} ({} {}, {})\n", run.model, run.device, run.backend, run.version, run.precision);
    }
    if result.rec_text.is_empty() {
        out += "  no text found\n";
    }
    for ((text, score), quad) in result.rec_text.iter().zip(&result.rec_score).zip(&result.dt_polys) {
        let corner = quad.first().map_or(String::new(), |p| format!("({}, {})", p.x, p.y));
        out += &format!("  {score:.2}  {corner:>12}  {text}\n");
    }
    if let Some(timings) = &result.timings_ms {
        let parts: Vec<String> = in_stage_order(timings).map(|(stage, ms)| format!("{stage} {ms:.1}")).collect();
        out += &format!("  ms: {}\n", parts.join(", "));
    }
    out
}

/// Names are the user's, and may hold what a terminal takes for commands.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { c.escape_default().to_string() } else { c.into() }).collect()
}

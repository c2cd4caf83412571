//! Results on standard output: a listing for people, or JSON Lines. Progress goes to standard error.

use super::args::OutputForm;
use super::listing::{listing, printable};
use super::predict::Outcome;
use super::taken::put;
use crate::result::json::{Schema, error_line, to_line, unsaved_line};
use crate::trace::display;
use indicatif::{ProgressBar, ProgressStyle};
use std::io;
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

    fn text(&self, outcome: &Outcome) -> String {
        match (self.form, &outcome.result) {
            (OutputForm::Jsonl, Ok(result)) => {
                outcome.unsaved.as_ref().map_or_else(|| to_line(result, self.schema), |e| unsaved_line(result, self.schema, e)) + "\n"
            }
            (OutputForm::Jsonl, Err(e)) => error_line(&outcome.name, outcome.page_index, e) + "\n",
            (OutputForm::Text, Ok(result)) => listing(&outcome.name, result),
            (OutputForm::Text, Err(e)) => format!("{}\n  error: {}\n", printable(&outcome.name), printable(&e.to_string())),
        }
    }

    /// Writes one outcome.
    pub fn show(&mut self, outcome: &Outcome) -> io::Result<()> {
        put(&self.text(outcome))?;
        if let (OutputForm::Jsonl, Err(e)) = (self.form, &outcome.result) {
            tracing::error!("{}", printable(&e.to_string()));
        }
        if let Some(e) = &outcome.unsaved {
            tracing::error!("{}: it is not saved: {}", printable(&outcome.name), printable(&e.to_string()));
        }
        self.progress.inc(1);
        Ok(())
    }

    /// Clears the progress display.
    pub fn clear(&self) {
        self.progress.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::result::OcrResult;

    #[test]
    fn no_name_controls_the_terminal() {
        let name = "a\u{1b}[31m\r.png";
        let report = Report::new(OutputForm::Text, Schema::default(), true);
        for result in [Ok(OcrResult::default().into()), Err(Error::input(name, "no such file"))] {
            let text = report.text(&Outcome { name: name.into(), page_index: None, result, unsaved: None });
            assert!(text.starts_with("a\\u{1b}[31m\\r.png") && !text.contains(['\u{1b}', '\r']), "{text:?}");
        }
    }
}

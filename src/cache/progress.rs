//! Progress of long work in the cache: a bar on standard error when that is a terminal, else one log line.

use crate::trace::{NOTE, display};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Duration;

/// A bar or spinner that disappears when dropped. Nothing is ever written to standard output.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Work over `total` bytes.
    pub fn bytes(message: impl Into<String>, total: u64) -> Self {
        Self::start(message.into(), Some(total), "{msg} {wide_bar} {bytes}/{total_bytes} {eta}")
    }

    /// Work of unknown length.
    pub fn spinner(message: impl Into<String>) -> Self {
        Self::start(message.into(), None, "{spinner} {msg}")
    }

    /// Work in `total` steps, which takes minutes: a log line says so even where nobody asked for any.
    pub fn steps(message: impl Into<String>, total: u64) -> Self {
        let message = message.into();
        let bar = Self::shown(message.clone(), Some(total), "{msg} {wide_bar} {pos}/{len} {eta}");
        bar.say(&message);
        bar
    }

    /// What is being done now, from its first step on, and how many it has.
    pub fn describe(&self, message: impl Into<String>, total: u64) {
        self.0.set_position(0);
        self.0.set_length(total);
        self.0.reset_eta();
        self.0.set_message(message.into());
    }

    /// A log line, even where nobody asked for any, in the place of a bar.
    pub fn say(&self, line: &str) {
        match display().is_hidden() {
            true => tracing::info!(target: NOTE, "{line}"),
            false => tracing::info!("{line}"),
        }
    }

    /// `position` bytes or steps are done.
    pub fn set(&self, position: u64) {
        self.0.set_position(position);
    }

    fn start(message: String, total: Option<u64>, template: &str) -> Self {
        // The bar is for people, the log for everything else: one of the two speaks.
        if display().is_hidden() {
            tracing::info!("{message}");
        }
        Self::shown(message, total, template)
    }

    fn shown(message: String, total: Option<u64>, template: &str) -> Self {
        let bar = display().add(total.map_or_else(ProgressBar::no_length, ProgressBar::new));
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(message);
        if !display().is_hidden() {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        Self(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

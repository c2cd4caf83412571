//! Reports of `hpinfer bench streams`.

use super::{Better, Comparable, Number, Terms};
use crate::bench::streams::StreamsReport;
use crate::trace::plural;

impl Comparable for StreamsReport {
    fn terms(&self) -> Terms<'_> {
        let mut terms = Terms::new(&self.hpinfer, &self.machine);
        terms.same("pipeline", &self.pipeline);
        if let Some(sha256) = &self.sha256 {
            terms.same("inputs", format!("{} with SHA-256 {sha256:.12}", plural(self.inputs.len(), "file")));
        }
        terms.same("threads", self.threads);
        terms.same("frames of each stream a second", self.aim.fps);
        terms.same("bound of the latency, ms", self.aim.p99_ms);
        terms.noted("seconds a try", self.aim.seconds);
        terms.noted("frames are decoded", &self.decode);
        terms.models("", &self.models, &self.networks);
        terms.settings = self.settings.as_ref();
        terms
    }

    /// Of the numbers of streams that both tried; latencies only where it kept up with them, as others grow for as long as one tries.
    fn numbers(&self) -> Vec<Number> {
        let mut numbers = vec![Number::new("the most", "streams at once", Better::More, self.found.most as f64)];
        for tried in &self.found.tried {
            let case = plural(tried.streams, "stream");
            numbers.push(Number::new(&case, "frames/s", Better::More, tried.finished_per_s));
            if tried.kept_up {
                numbers.push(Number::new(&case, "latency p50, ms", Better::Less, tried.latency.p50_ms));
                numbers.push(Number::new(&case, "latency p99, ms", Better::Less, tried.latency.p99_ms));
            }
        }
        numbers
    }
}

//! Reports of `hpinfer bench cold`.

use super::{Better, Comparable, Number, Terms};
use crate::bench::cold::{ColdReport, Starts};

impl Comparable for ColdReport {
    fn terms(&self) -> Terms<'_> {
        let mut terms = Terms::new(&self.hpinfer, &self.machine);
        terms.same("pipeline", &self.pipeline);
        if let Some(sha256) = &self.sha256 {
            terms.same("input", format!("a file with SHA-256 {sha256:.12}"));
        }
        terms.same("threads", self.threads);
        terms.same("starts", self.starts.iter().map(|starts| starts.start.as_str()).collect::<Vec<_>>().join(" and "));
        for starts in &self.starts {
            let kind = starts.start.as_str();
            terms.models(&format!(" of starts with {kind}"), &starts.models, &self.networks);
            terms.noted(format!("starts with {kind}"), starts.first_result_ms.len());
        }
        terms.settings = self.settings.as_ref();
        terms
    }

    fn numbers(&self) -> Vec<Number> {
        let of_kind = |starts: &Starts| {
            let [first, open] = starts.medians();
            let number = |metric, ms| Number::new(starts.start.what(), metric, Better::Less, ms);
            [number("first result, ms", first), number("opening, ms", open)]
        };
        self.starts.iter().flat_map(of_kind).collect()
    }
}

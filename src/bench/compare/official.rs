//! Reports of `hpinfer bench official`.

use super::{Better, Comparable, Number, Terms};
use crate::bench::official::{OfficialReport, Row};

impl Comparable for OfficialReport {
    fn terms(&self) -> Terms<'_> {
        let mut terms = Terms::new(&self.hpinfer, &self.machine);
        terms.same("device", self.machine.identity(&self.device));
        terms.same("threads", self.threads);
        let mut networks: Vec<_> = self.rows.iter().map(|row| format!("{} ({})", row.model, row.inputs)).collect();
        networks.sort();
        terms.same("networks and their inputs", networks.join(" and "));
        terms.noted("runs", self.repeat);
        for row in &self.rows {
            terms.network(&row.model, row.sha256.as_ref());
            terms.noted(format!("engine of {}", row.model), &row.engine);
        }
        terms
    }

    fn numbers(&self) -> Vec<Number> {
        let run = |row: &Row| Number::new(&row.model, "run, ms", Better::Less, row.run_ms);
        self.rows.iter().map(run).collect()
    }
}

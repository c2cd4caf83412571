//! Shapes that an engine was asked for and does not take: kept beside its file, so that the next one can be built for them.

use super::ffi::Range;
use crate::cache::write_json;
use crate::tensor::Shape;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Runs of such shapes. Of two programs that end at the same moment one may not be counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// How many there were.
    pub runs: u64,
    /// Least and greatest dimensions by input.
    pub inputs: BTreeMap<String, [Vec<i64>; 2]>,
}

impl Outside {
    /// What is known of the engine in `file`.
    pub fn read(file: &Path) -> Self {
        let text = std::fs::read(path(file)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default() // a hint: without it counting begins anew
    }

    /// Forgets what is known of the engine in `file`.
    pub fn remove(file: &Path) {
        let _ = std::fs::remove_file(path(file)); // it may not be there
    }

    /// Shapes (least, usual, greatest) of a profile for these and for all of `profiles`, in the form of `dynamic_shapes` in
    /// `hpi_config`. The usual ones are those of the first profile.
    pub fn suggestion(&self, profiles: &[Vec<Range>]) -> BTreeMap<String, [Vec<i64>; 3]> {
        let usual = profiles.first().into_iter().flatten();
        usual.map(|first| (first.input.clone(), self.reaching(first, profiles))).collect()
    }

    fn reaching(&self, usual: &Range, profiles: &[Vec<Range>]) -> [Vec<i64>; 3] {
        let [mut least, mut greatest] = [usual.min.clone(), usual.max.clone()];
        for range in profiles.iter().flatten().filter(|range| range.input == usual.input) {
            reach(&mut least, &mut greatest, &range.min);
            reach(&mut least, &mut greatest, &range.max);
        }
        for dims in self.inputs.get(&usual.input).into_iter().flatten() {
            reach(&mut least, &mut greatest, dims);
        }
        [least, usual.opt.clone(), greatest]
    }

    fn add(&mut self, input: &str, dims: &[i64]) {
        let [least, greatest] = self.inputs.entry(input.to_owned()).or_insert_with(|| [dims.to_vec(), dims.to_vec()]);
        reach(least, greatest, dims);
    }

    fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        for (input, ends) in other.inputs {
            ends.iter().for_each(|dims| self.add(&input, dims));
        }
    }
}

/// Widens a range to `dims`.
fn reach(least: &mut [i64], greatest: &mut [i64], dims: &[i64]) {
    for ((least, greatest), dim) in least.iter_mut().zip(greatest).zip(dims) {
        (*least, *greatest) = ((*least).min(*dim), (*greatest).max(*dim));
    }
}

fn path(engine: &Path) -> PathBuf {
    engine.with_extension("outside.json")
}

/// Counts for one loaded engine, and keeps what was counted when that is gone.
pub(super) struct Counter {
    file: Option<PathBuf>,
    model: String,
    counted: Mutex<Counted>,
}

/// What a [`Counter`] has seen.
#[derive(Default)]
struct Counted {
    runs: u64,
    /// What of it is not in the file.
    unsaved: Outside,
}

impl Counter {
    /// For the engine of `model` in `file`, if it is in one.
    pub fn new(model: &str, file: Option<PathBuf>) -> Self {
        Self { file, model: model.to_owned(), counted: Mutex::default() }
    }

    /// One run with inputs of these names and shapes. The first is kept at once, and whenever there are twice as many: a program that
    /// is killed loses half of them at most.
    pub fn count<'a>(&self, inputs: impl Iterator<Item = (&'a str, &'a Shape)>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.runs += 1;
        counted.unsaved.runs += 1;
        for (name, shape) in inputs {
            let dims: Vec<i64> = shape.dims().iter().map(|d| *d as i64).collect();
            counted.unsaved.add(name, &dims);
        }
        if counted.runs.is_power_of_two() {
            self.keep(&mut counted.unsaved);
        }
    }

    fn keep(&self, unsaved: &mut Outside) {
        let (Some(file), Outside { runs: 1.., .. }) = (&self.file, &unsaved) else { return };
        let mut known = Outside::read(file);
        known.merge(std::mem::take(unsaved));
        if let Err(e) = write_json(&path(file), &known) {
            tracing::debug!("{}: shapes outside the engine are not kept: {e}", self.model);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        let counted = std::mem::take(self.counted.get_mut().unwrap_or_else(PoisonError::into_inner));
        if counted.runs > 0 {
            tracing::info!("{}: {} runs were of shapes that its engine does not take", self.model, counted.runs);
        }
        self.keep(&mut { counted.unsaved });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_kept_and_suggests_a_range() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m-1.0-ab.engine");
        for shapes in [[[1, 3, 32, 48], [1, 3, 32, 4000]], [[40, 3, 32, 320], [1, 3, 32, 3300]]] {
            let counter = Counter::new("m", Some(file.clone()));
            shapes.iter().for_each(|dims| counter.count([("x", &Shape::new(dims))].into_iter()));
        }
        let found = Outside::read(&file);
        assert_eq!((found.runs, &found.inputs["x"]), (4, &[vec![1, 3, 32, 48], vec![40, 3, 32, 4000]]));
        let range =
            |min: [i64; 4], opt: [i64; 4], max: [i64; 4]| Range { input: "x".into(), min: min.into(), opt: opt.into(), max: max.into() };
        let profiles = [
            vec![range([1, 3, 48, 32], [8, 3, 48, 320], [32, 3, 48, 640])],
            vec![range([1, 3, 48, 32], [1, 3, 48, 960], [16, 3, 48, 3200])],
        ];
        assert_eq!(found.suggestion(&profiles)["x"], [vec![1, 3, 32, 32], vec![8, 3, 48, 320], vec![40, 3, 48, 4000]]);
        let killed = Counter::new("m", Some(file.clone()));
        (0..3).for_each(|_| killed.count([("x", &Shape::new(&[1, 3, 32, 320]))].into_iter()));
        std::mem::forget(killed);
        assert_eq!(Outside::read(&file).runs, 4 + 2);
        let found = Outside { runs: 6, ..found };
        drop(Counter::new("m", Some(file.clone()))); // nothing was outside
        assert_eq!(Outside::read(&file), found);
        Outside::remove(&file);
        assert_eq!(Outside::read(&file), Outside::default());
    }
}

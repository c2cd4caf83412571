//! Documents by the hundred at once.

use super::{fixture, processes};
use hpinfer::image::decode::Decoder;
use hpinfer::source::{Source, SourceOptions};
use std::fs;

/// Processes that this one started and that live.
fn children() -> usize {
    let me = std::process::id();
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let of = |id: String| fs::read_to_string(format!("/proc/{me}/task/{id}/children")).unwrap_or_default();
    tasks.map(|task| of(task.file_name().to_string_lossy().into_owned()).split_whitespace().count()).sum()
}

#[test]
fn documents_that_wait_keep_a_bounded_number_of_renderers() {
    let most = 64.max(8 * std::thread::available_parallelism().unwrap().get());
    let others = 32; // of tests that run meanwhile
    let folder = tempfile::tempdir().unwrap();
    for i in 0..most + others + 10 {
        fs::copy(fixture("turned.pdf"), folder.path().join(format!("{i:04}.pdf"))).unwrap();
    }
    let options = SourceOptions { pdf: processes(), ..SourceOptions::default() };
    let items: Vec<_> = Source::new(&[folder.path()], options).collect();
    assert!((1..=most + others).contains(&children()), "{}", children());
    for item in [&items[0], &items[items.len() - 1]] {
        item.load(&Decoder::default()).unwrap();
    }
}

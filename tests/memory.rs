//! What networks hold on to after a run. One test in a process of its own: its memory is what is measured.

use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, LoadOptions, Onnx, Parallelism};
use hpinfer::cache::Cache;
use hpinfer::model::Store;
use hpinfer::tensor::Shape;
use std::path::Path;

/// An input of three planes of 960 x 960.
const INPUT_MIB: usize = (3 * 960 * 960 * 4) >> 20;

/// Memory that is used now.
fn resident_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches("kB").trim().parse::<usize>().expect("a number") / 1024
}

#[test]
fn networks_share_what_a_run_needs_and_give_back_what_they_are() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let model = Store::new(&cache).resolve("PP-OCRv4_mobile_det").expect("a model");
    let selector = Selector::new(cache.clone(), Libraries::default());
    let folder = tempfile::tempdir().expect("a folder");
    let load = |backend, threads_per_stream: usize, cache_dir: Option<&Path>| {
        let options = LoadOptions {
            cache_dir: cache_dir.map(Path::to_owned),
            onnx: model.files.onnx.clone().map(Onnx::File),
            model_sha256: model.sha256(&cache).expect("a digest"),
            parallelism: Parallelism { streams: 1, threads_per_stream },
            ..LoadOptions::new(&model.name)
        };
        selector.load(Some(backend), &options, &[]).expect("an engine")
    };
    let run = |threads_per_stream: usize| {
        let engine = load(BackendName::OnnxRuntime, threads_per_stream, None);
        let mut session = engine.session().expect("a session");
        let before = resident_mib();
        session.input(0, Shape::new(&[1, 3, 960, 960])).expect("an input").fill(0.5);
        session.run().expect("a run");
        let more = resident_mib().saturating_sub(before);
        session.rest();
        (more, engine, session)
    };
    let (first, _engine, session) = run(2);
    let (second, engine, other) = run(1);
    assert!(first > 40, "the test sees what a run needs: {first} MiB");
    assert!(second * 2 < first, "{second} MiB more for the same run of another engine, after {first} MiB for the first");
    assert!(second < INPUT_MIB, "{second} MiB more while another session is at rest; its input took {INPUT_MIB}");

    // What a large picture took is given back, a thousand small ones later.
    drop((session, other));
    let (before, mut session) = (resident_mib(), engine.session().expect("a session"));
    for _ in 0..1500 {
        session.input(0, Shape::new(&[1, 3, 32, 32])).expect("an input").fill(0.5);
        session.run().expect("a run");
    }
    let now = resident_mib();
    assert!(now + first / 2 < before, "{now} MiB of {before}, {first} of which a large picture took");

    // OpenVINO gives back a network that nobody has any more.
    (0..2).for_each(|_| drop(load(BackendName::OpenVino, 1, None)));
    let before = resident_mib();
    (0..8).for_each(|_| drop(load(BackendName::OpenVino, 1, None)));
    let more = resident_mib().saturating_sub(before);
    assert!(more < 24, "{more} MiB more after eight times a network of 4.5 MiB");

    // What it keeps another process may write anew in place, so no page of it is to be in use.
    let _compiled = [(); 2].map(|()| load(BackendName::OpenVino, 1, Some(folder.path())));
    let kept =
        walkdir::WalkDir::new(folder.path()).into_iter().flatten().filter(|file| file.path().extension().is_some_and(|e| e == "blob"));
    assert_eq!(kept.count(), 1);
    let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux tells");
    assert!(!maps.contains(".blob"), "{maps}");
}

//! Engines on disk: everything that can happen to a file between the build and the next start. The plans are plain bytes
//! here; `load` and `build` count what is asked of them.

use crate::say::say;
use hpinfer::Error;
use hpinfer::backend::tensorrt::cache::{Description, EngineCache, EngineKey, Gpu, Origin};
use hpinfer::backend::tensorrt::ffi::BuildOptions;
use hpinfer::backend::tensorrt::recipe::HalfRules;
use hpinfer::cache::Cache;
use std::cell::Cell;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

pub fn key() -> EngineKey {
    EngineKey {
        model: "PP-OCRv4_mobile_det".into(),
        model_sha256: "ab".repeat(32),
        precision: "float32".into(),
        half: None,
        surgery: Vec::new(),
        options: BuildOptions::default(),
        library: "10.16.1.11".into(),
        gpu: Gpu { name: "Tesla T4".into(), capability: "7.5".into(), driver: "12.4".into() },
        versions: (1, 1),
    }
}

struct Home {
    folder: tempfile::TempDir,
    built: Cell<usize>,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), built: Cell::new(0) }
    }

    fn cache(&self) -> EngineCache {
        EngineCache::new(Cache::open(Some(&self.folder.path().join("home"))).unwrap())
    }

    fn get(&self, key: &EngineKey, model_folder: Option<&Path>) -> hpinfer::Result<(Vec<u8>, Origin, Option<PathBuf>)> {
        let build = |_: &mut Description| {
            self.built.set(self.built.get() + 1);
            Ok(format!("plan of {} for {}", key.model, key.gpu.name).into_bytes())
        };
        self.cache().load_or_build(key, model_folder, |plan| Ok(plan.to_vec()), build)
    }
}

/// The warnings that `work` logs.
pub fn warnings<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    logged(tracing::Level::WARN, work)
}

/// What `work` logs down to `level`.
pub fn logged<T>(level: tracing::Level, work: impl FnOnce() -> T) -> (T, Vec<String>) {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_ansi(false).with_writer(move || writer.clone());
    let done = tracing::subscriber::with_default(subscriber.finish(), work);
    let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    (done, text.lines().map(str::to_owned).collect())
}

#[test]
fn the_first_start_builds_and_the_second_loads() {
    let home = Home::new();
    let (plan, origin, path) = home.get(&key(), None).unwrap();
    assert_eq!((origin, home.built.get()), (Origin::Built, 1));
    let (again, origin, path_again) = home.get(&key(), None).unwrap();
    assert_eq!((origin, home.built.get(), &again, &path_again), (Origin::Loaded, 1, &plan, &path));
    let entries = home.cache().list(&[]);
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].description.as_ref().unwrap().key, key());
    let sidecar = fs::read_to_string(path.unwrap().with_extension("json")).unwrap();
    assert!(sidecar.contains("Tesla T4") && sidecar.contains("10.16.1.11"), "{sidecar}");
}

#[test]
fn whatever_an_engine_depends_on_makes_another_one() {
    let home = Home::new();
    let changes: [fn(&mut EngineKey); 13] = [
        |_| {},
        |k| k.model_sha256 = "cd".repeat(32),
        |k| k.precision = "float16".into(),
        |k| k.half = Some((HalfRules { error: 0.01, float32: Vec::new() }, 1)),
        |k| k.half = Some((HalfRules { error: 0.01, float32: vec!["Add".into()] }, 1)),
        |k| k.surgery = vec![hpinfer::onnx::surgery::Surgery::NmsTail],
        |k| k.options.fp16 = true,
        |k| k.options.workspace = Some(1),
        |k| k.library = "10.16.1.12".into(),
        |k| k.gpu.name = "NVIDIA A10".into(),
        |k| k.gpu.capability = "8.6".into(),
        |k| k.gpu.driver = "12.8".into(),
        |k| k.versions.1 = 2,
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut key = key();
        change(&mut key);
        assert_eq!(home.get(&key, None).unwrap().1, Origin::Built, "change {index}");
        assert_eq!(home.get(&key, None).unwrap().1, Origin::Loaded, "change {index}");
    }
    assert_eq!(home.cache().list(&[]).len(), changes.len());
    // A name is no part of it: the same bytes under another name give the same engine.
    let mut renamed = key();
    renamed.model = "mine".into();
    assert_eq!(renamed.digest(), key().digest());
}

#[test]
fn a_file_that_is_not_what_was_written_is_made_again_with_one_warning() {
    type Damage = (&'static str, fn(&Path));
    let damages: [Damage; 6] = [
        ("checksum differs", |path| {
            let mut bytes = fs::read(path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            fs::write(path, bytes).unwrap();
        }),
        ("its length is not the one it states", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 5]).unwrap();
        }),
        ("cut off", |path| fs::write(path, b"HPEN").unwrap()),
        ("cut off", |path| fs::write(path, b"").unwrap()),
        ("not an engine of this program", |path| fs::write(path, [0x5a; 4096]).unwrap()),
        ("its length is not the one it states", |path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[8..24].fill(0xff); // lengths that would overflow
            fs::write(path, bytes).unwrap();
        }),
    ];
    for (expected, damage) in damages {
        let home = Home::new();
        let path = home.get(&key(), None).unwrap().2.unwrap();
        damage(&path);
        let ((_, origin, _), lines) = warnings(|| home.get(&key(), None).unwrap());
        assert_eq!((origin, home.built.get()), (Origin::Built, 2), "{expected}");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains(expected) && lines[0].contains("is built again"), "{lines:?}");
        let ((_, origin, _), lines) = warnings(|| home.get(&key(), None).unwrap());
        assert_eq!((origin, lines.len()), (Origin::Loaded, 0));
    }
}

#[test]
fn another_engine_under_the_same_name_is_not_used() {
    let home = Home::new();
    let mut other = key();
    other.gpu.name = "NVIDIA A10".into();
    let (mine, theirs) = (home.get(&key(), None).unwrap().2.unwrap(), home.get(&other, None).unwrap().2.unwrap());
    fs::copy(&theirs, &mine).unwrap();
    let ((plan, origin, _), lines) = warnings(|| home.get(&key(), None).unwrap());
    assert_eq!(origin, Origin::Built);
    assert!(String::from_utf8(plan).unwrap().contains("Tesla T4"));
    assert!(lines.len() == 1 && lines[0].contains("another engine under this name"), "{lines:?}");
}

#[test]
fn a_plan_the_library_refuses_is_built_again_once() {
    let home = Home::new();
    home.get(&key(), None).unwrap();
    let builds = Cell::new(0);
    // The library takes no plan at all: one build more, then the error.
    let refuse = |_: &[u8]| Err::<(), _>(Error::backend("tensorrt", "Version tag does not match", "build it again"));
    let build = |_: &mut Description| {
        builds.set(builds.get() + 1);
        Ok(b"new plan".to_vec())
    };
    let (made, lines) = warnings(|| home.cache().load_or_build(&key(), None, refuse, build));
    assert!(made.unwrap_err().to_string().contains("Version tag"));
    assert_eq!((builds.get(), lines.len()), (1, 1), "{lines:?}");
    // The library takes the new plan.
    let taken = |plan: &[u8]| if plan == b"new plan" { Ok(()) } else { Err(Error::backend("tensorrt", "old", "")) };
    assert_eq!(home.cache().load_or_build(&key(), None, taken, |_| Ok(b"new plan".to_vec())).unwrap().1, Origin::Built);
    assert_eq!(home.cache().load_or_build(&key(), None, taken, |_| Ok(b"never".to_vec())).unwrap().1, Origin::Loaded);
}

#[test]
fn a_file_that_others_can_write_is_never_loaded() {
    for (whose, mode) in [("file", 0o664), ("file", 0o646), ("folder", 0o775), ("folder", 0o777)] {
        let home = Home::new();
        let path = home.get(&key(), None).unwrap().2.unwrap();
        let target = if whose == "file" { path.as_path() } else { path.parent().unwrap() };
        fs::set_permissions(target, fs::Permissions::from_mode(mode)).unwrap();
        let ((_, origin, _), lines) = warnings(|| home.get(&key(), None).unwrap());
        assert_eq!(origin, Origin::Built, "{whose} {mode:o}");
        assert!(lines.iter().any(|l| l.contains("others can write")), "{lines:?}");
    }
}

#[test]
fn engines_lie_beside_their_model_where_that_can_be_written() {
    let home = Home::new();
    let model = home.folder.path().join("model");
    fs::create_dir(&model).unwrap();
    let path = home.get(&key(), Some(&model)).unwrap().2.unwrap();
    assert_eq!(path.parent().unwrap(), model.join(".cache/tensorrt"));
    assert_eq!(home.get(&key(), Some(&model)).unwrap().1, Origin::Loaded);
    assert_eq!((home.cache().list(&[]).len(), home.cache().list(std::slice::from_ref(&model)).len()), (0, 1));
    // A folder that nobody can write, not even root.
    let (path, lines) = warnings(|| home.get(&key(), Some(Path::new("/proc/self"))).unwrap().2.unwrap());
    assert_eq!((path.parent().unwrap(), lines.len()), (home.cache().folder().as_path(), 0));
    assert_eq!(home.get(&key(), Some(Path::new("/proc/self"))).unwrap().1, Origin::Loaded);
}

#[test]
fn where_nothing_can_be_kept_the_engine_still_runs() {
    let nowhere = EngineCache::new(Cache::open(Some(Path::new("/proc/self/home"))).unwrap());
    for _ in 0..2 {
        let get = || nowhere.load_or_build(&key(), Some(Path::new("/proc/self")), |plan| Ok(plan.len()), |_| Ok(b"plan".to_vec())).unwrap();
        let (made, lines) = warnings(get);
        assert_eq!(made, (4, Origin::Built, None));
        assert!(lines.len() == 1 && lines[0].contains("is not kept"), "{lines:?}");
    }
}

#[test]
fn a_full_disk_costs_the_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", "size=256k", "none"]).arg(folder.path()).output();
    if !mounted.is_ok_and(|o| o.status.success()) {
        say("SKIPPED: a small file system cannot be mounted here");
        return;
    }
    let full = EngineCache::new(Cache::open(Some(folder.path())).unwrap());
    let plan = vec![7; 1 << 20];
    let (made, lines) = warnings(|| full.load_or_build(&key(), None, |plan| Ok(plan.len()), |_| Ok(plan)).unwrap());
    let left: Vec<_> = fs::read_dir(full.folder()).unwrap().map(|e| e.unwrap().file_name()).collect();
    let _ = std::process::Command::new("umount").arg(folder.path()).status();
    assert_eq!(made, (1 << 20, Origin::Built, None));
    assert!(lines.len() == 1 && lines[0].contains("No space left"), "{lines:?}");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_a_killed_writer_left_goes_when_it_is_old() {
    let home = Home::new();
    let path = home.get(&key(), None).unwrap().2.unwrap();
    fs::remove_file(&path).unwrap();
    let [old, young] = ["old", "young"].map(|process| {
        let name = format!(".{}.{process}.partial", path.file_name().unwrap().to_str().unwrap());
        let partial = path.with_file_name(name);
        fs::write(&partial, b"half a file").unwrap();
        partial
    });
    fs::File::open(&old).unwrap().set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
    assert_eq!(home.get(&key(), None).unwrap().1, Origin::Built);
    assert!(path.is_file() && !old.exists() && young.exists());
}

#[test]
fn threads_of_one_process_build_once() {
    let folder = tempfile::tempdir().unwrap();
    let cache = EngineCache::new(Cache::open(Some(folder.path())).unwrap());
    let builds = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let build = |_: &mut Description| {
                    builds.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    std::thread::sleep(std::time::Duration::from_millis(50));
                    Ok(b"plan".to_vec())
                };
                assert_eq!(cache.load_or_build(&key(), None, |plan| Ok(plan.to_vec()), build).unwrap().0, b"plan");
            });
        }
    });
    assert_eq!(builds.into_inner(), 1);
}

#[test]
fn the_longest_unused_engines_go_when_there_are_too_many() {
    let home = Home::new();
    let get = |n: usize, limit: u64| {
        let mut key = key();
        key.model = format!("m{n}");
        key.model_sha256 = n.to_string();
        let cache = home.cache().with_limit(limit);
        let (_, origin, path) = cache.load_or_build(&key, None, |plan| Ok(plan.len()), |_| Ok(vec![n as u8; 1000])).unwrap();
        // Times of last use differ by more than the file system resolves.
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(1000 - 10 * n as u64);
        fs::File::options().append(true).open(path.unwrap()).unwrap().set_modified(time).unwrap();
        origin
    };
    for n in 0..4 {
        get(n, u64::MAX);
    }
    let one = home.cache().list(&[])[0].bytes;
    // m0 is used again: m1 is now the longest unused.
    assert_eq!(
        home.cache()
            .load_or_build(
                &{
                    let mut k = key();
                    k.model = "m0".into();
                    k.model_sha256 = "0".into();
                    k
                },
                None,
                |_| Ok(()),
                |_| Ok(vec![1])
            )
            .unwrap()
            .1,
        Origin::Loaded
    );
    get(5, one * 4 + 16);
    let names: Vec<_> = home.cache().list(&[]).iter().map(|e| e.description.as_ref().unwrap().key.model.clone()).collect();
    assert_eq!(names, ["m0", "m2", "m3", "m5"]);
    assert_eq!(fs::read_dir(home.cache().folder()).unwrap().count(), 8, "sidecars go with their engines");
    // The engine made now stays, however large.
    get(6, 1);
    assert_eq!(home.cache().list(&[]).len(), 1);
}

#[test]
fn engines_go_where_nobody_else_can_write() {
    let (home, model) = (Home::new(), tempfile::tempdir().unwrap());
    let shared = model.path().join(".cache/tensorrt");
    fs::create_dir_all(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o2775)).unwrap();
    let path = home.get(&key(), Some(model.path())).unwrap().2.unwrap();
    assert!(path.starts_with(home.cache().folder()), "{}", path.display());
    assert_eq!((home.get(&key(), Some(model.path())).unwrap().1, home.built.get()), (Origin::Loaded, 1));
    fs::set_permissions(home.cache().folder(), fs::Permissions::from_mode(0o777)).unwrap();
    let ((_, origin, path), warned) = warnings(|| home.get(&key(), Some(model.path())).unwrap());
    assert_eq!((origin, path), (Origin::Built, None));
    assert!(
        warned.iter().any(|line| line.contains("is not kept") && line.contains("others can write its folder (mode 777)")),
        "{warned:?}"
    );
    let parcel = home.cache().list(&[])[0].path.clone();
    assert!(home.cache().import(&parcel, None).unwrap_err().to_string().contains("others can write"));
}

#[test]
fn a_pipe_under_the_name_of_an_engine_is_not_waited_for() {
    let home = Home::new();
    let path = home.get(&key(), None).unwrap().2.unwrap();
    fs::remove_file(&path).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    assert!(home.cache().list(&[])[0].description.is_err());
    let ((_, origin, _), warned) = warnings(|| home.get(&key(), None).unwrap());
    assert!(origin == Origin::Built && warned[0].contains("it is no file"), "{warned:?}");
    assert_eq!(home.get(&key(), None).unwrap().1, Origin::Loaded);
}

#[test]
fn engines_beside_a_model_are_bounded_too() {
    let (home, model) = (Home::new(), tempfile::tempdir().unwrap());
    let cache = home.cache().with_limit(1);
    for driver in ["12.4", "12.8"] {
        let key = elsewhere(|k| k.gpu.driver = driver.into());
        cache.load_or_build(&key, Some(model.path()), |_| Ok(()), |_| Ok(b"plan".to_vec())).unwrap();
    }
    assert_eq!(cache.list(&[model.path().to_owned()]).len(), 1);
}

#[test]
fn engines_move_between_like_machines() {
    let (from, to) = (Home::new(), Home::new());
    let path = from.get(&key(), None).unwrap().2.unwrap();
    let parcel = from.folder.path().join("parcel.engine");
    from.cache().export(&path, &parcel).unwrap();
    let here = (key().library, key().gpu);
    let (description, imported) = to.cache().import(&parcel, Some((&here.0, &here.1))).unwrap();
    assert_eq!((description.key, imported.file_name()), (key(), path.file_name()));
    assert_eq!(to.get(&key(), None).unwrap().1, Origin::Loaded);
    let other_gpu = Gpu { name: "NVIDIA H100".into(), ..key().gpu };
    for (library, gpu) in [("10.16.1.12", &here.1), (here.0.as_str(), &other_gpu)] {
        let message = to.cache().import(&parcel, Some((library, gpu))).map(|_| ()).unwrap_err().to_string();
        assert!(message.contains("it was built by TensorRT 10.16.1.11 for Tesla T4"), "{message}");
    }
    let mut bytes = fs::read(&parcel).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&parcel, bytes).unwrap();
    assert!(to.cache().import(&parcel, None).map(|_| ()).unwrap_err().to_string().contains("checksum differs"));
}

#[test]
fn all_engines_lie_in_the_folder_that_is_named_for_them() {
    let (home, model) = (Home::new(), tempfile::tempdir().unwrap());
    let beside = home.get(&key(), Some(model.path())).unwrap().2.unwrap();
    assert!(beside.starts_with(model.path()) && home.cache().has(&key(), Some(model.path())));
    let named = home.folder.path().join("named");
    let cache = EngineCache::new(home.cache().home().clone().with_engine_dir(&named));
    assert!(!cache.has(&key(), Some(model.path())) && !cache.has_any(Some(model.path())), "that beside the model is not looked at");
    let load = |plan: &[u8]| Ok(plan.to_vec());
    let (_, origin, file) = cache.load_or_build(&key(), Some(model.path()), load, |_| Ok(b"plan".to_vec())).unwrap();
    assert_eq!((origin, file.as_deref().and_then(Path::parent)), (Origin::Built, Some(&*named)));
    assert_eq!(cache.list(&[model.path().to_owned()]).len(), 1);
    cache.remove(&file.unwrap()).unwrap();
    assert_eq!(cache.import(&beside, None).unwrap().1.parent(), Some(&*named));
    cache.keep_timing("10.16.1.11", &key().gpu, b"measured");
    assert_eq!(cache.timing("10.16.1.11", &key().gpu), b"measured");
}

#[test]
fn measurements_of_kernels_are_kept_per_library_and_gpu() {
    let home = Home::new();
    let (cache, gpu) = (home.cache(), key().gpu);
    assert!(cache.timing("10.16.1.11", &gpu).is_empty());
    cache.keep_timing("10.16.1.11", &gpu, b"measured");
    assert_eq!(cache.timing("10.16.1.11", &gpu), b"measured");
    assert!(cache.timing("10.16.1.12", &gpu).is_empty() && cache.timing("10.16.1.11", &Gpu::default()).is_empty());
    let file = fs::read_dir(cache.folder()).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, b"measured and damaged, long enough for a checksum").unwrap();
    assert!(cache.timing("10.16.1.11", &gpu).is_empty());
}

/// A key that differs by `change`.
fn elsewhere(change: impl Fn(&mut EngineKey)) -> EngineKey {
    let mut key = key();
    change(&mut key);
    key
}

#[test]
fn engines_built_for_more_than_one_machine_are_found_by_what_they_were_built_for() {
    const A10: fn(&mut EngineKey) = |k| k.gpu = Gpu { name: "NVIDIA A10".into(), capability: "8.6".into(), driver: "12.4".into() };
    const L4: fn(&mut EngineKey) = |k| k.gpu = Gpu { name: "NVIDIA L4".into(), capability: "8.9".into(), driver: "12.8".into() };
    const TURING: fn(&mut EngineKey) = |k| {
        k.options.target = Some(75);
        k.gpu = Gpu { name: "any".into(), capability: "7.5".into(), driver: "any".into() };
    };
    type Change = Box<dyn Fn(&mut EngineKey)>;
    let both = |a: fn(&mut EngineKey), b: fn(&mut EngineKey)| -> Change {
        Box::new(move |k| {
            a(k);
            b(k);
        })
    };
    let one = |a: fn(&mut EngineKey)| -> Change { Box::new(a) };
    // How it was built, what the run is on, and what is said of it if it is found.
    let cases: Vec<(Change, Change, Option<&str>)> = vec![
        (one(TURING), one(|_| {}), Some("built for compute capability 7.5")),
        (one(TURING), one(|k| k.gpu.capability = "8.6".into()), None),
        (one(TURING), one(|k| k.library = "10.16.1.12".into()), None),
        (one(TURING), one(|k| k.options.workspace = Some(1)), None),
        (both(A10, |k| k.options.ampere_plus = true), one(L4), Some("built for all GPUs from Ampere on")),
        (both(A10, |k| k.options.ampere_plus = true), one(A10), Some("built for this GPU")),
        (both(A10, |k| k.options.ampere_plus = true), one(|_| {}), None),
        (both(A10, |k| k.options.ampere_plus = true), both(L4, |k| k.library = "10.16.1.12".into()), None),
        (one(|k| k.options.version_compatible = true), one(|_| {}), Some("built for this GPU, version-compatible")),
        (
            one(|k| k.options.version_compatible = true),
            one(|k| k.library = "10.17.0.1".into()),
            Some("version-compatible, by TensorRT 10.16.1.11"),
        ),
        (one(|k| k.options.version_compatible = true), one(|k| k.gpu.driver = "12.8".into()), Some("built for this GPU")),
        (one(|k| k.options.version_compatible = true), one(|k| k.library = "10.3.0.26".into()), None),
        (one(|k| k.options.version_compatible = true), one(|k| k.library = "11.0.0.1".into()), None),
        (one(|k| k.options.version_compatible = true), one(L4), None),
        (one(|k| k.options.version_compatible = true), one(|k| k.model_sha256 = "cd".repeat(32)), None),
        (one(|k| k.options.version_compatible = true), one(|k| k.precision = "float16".into()), None),
        (one(|k| k.options.version_compatible = true), one(|k| k.versions.1 = 2), None),
        (one(|_| {}), one(|k| k.library = "10.17.0.1".into()), None),
        (one(|_| {}), one(|k| k.gpu.driver = "12.8".into()), None),
    ];
    for (index, (built, here, expected)) in cases.into_iter().enumerate() {
        let home = Home::new();
        let (built, wanted) = (elsewhere(built), elsewhere(here));
        let path = home.get(&built, None).unwrap().2.unwrap();
        let find = || home.cache().find_standing(&wanted, None, |plan| Ok(plan.to_vec()));
        let ((found, unfit), lines) = logged(tracing::Level::INFO, find);
        assert!(unfit.is_empty(), "case {index}: {unfit:?}");
        match (found, expected) {
            (None, None) => assert!(lines.is_empty(), "case {index}: {lines:?}"),
            (Some((_, key, file)), Some(expected)) => {
                assert_eq!((key, &file), (built, &path), "case {index}");
                let named = file.file_name().unwrap().to_str().unwrap();
                assert!(lines.len() == 1 && lines[0].contains(named) && lines[0].contains(expected), "case {index}: {lines:?}");
            }
            (found, expected) => panic!("case {index}: {found:?} for {expected:?}"),
        }
    }
}

#[test]
fn the_closest_engine_goes_first_and_one_that_is_refused_is_passed_over() {
    let home = Home::new();
    let older = elsewhere(|k| {
        k.options.version_compatible = true;
        k.library = "10.3.0.26".into();
    });
    let same = elsewhere(|k| k.options.version_compatible = true);
    let files = [&older, &same].map(|key| home.get(key, None).unwrap().2.unwrap());
    let wide = elsewhere(|k| (k.options.target, k.options.version_compatible) = (Some(75), true));
    let wide_file = home.get(&wide, None).unwrap().2.unwrap();
    let found: Vec<_> = home.cache().standing_for(&key(), None).into_iter().map(|(_, _, path)| path).collect();
    assert_eq!(found, [files[1].clone(), wide_file.clone(), files[0].clone()]);
    home.cache().remove(&wide_file).unwrap();
    let tried = Cell::new(0);
    let refuse_first = |plan: &[u8]| match tried.replace(tried.get() + 1) {
        0 => Err(Error::backend("tensorrt", "the plan is refused", "build it again")),
        _ => Ok(plan.to_vec()),
    };
    let (found, unfit) = home.cache().find_standing(&key(), None, refuse_first);
    assert_eq!(found.map(|(_, key, path)| (key, path)), Some((older, files[0].clone())));
    assert!(unfit.len() == 1 && unfit[0].contains("the plan is refused"), "{unfit:?}");
    fs::set_permissions(&files[1], fs::Permissions::from_mode(0o666)).unwrap();
    let (found, unfit) = home.cache().find_standing(&key(), None, |plan| Ok(plan.to_vec()));
    assert_eq!(found.map(|(_, _, path)| path), Some(files[0].clone()));
    assert!(unfit.len() == 1 && unfit[0].contains("others can write"), "{unfit:?}");
}

#[test]
fn what_was_built_for_more_than_one_machine_can_be_moved_to_those() {
    let (from, to) = (Home::new(), Home::new());
    let built = elsewhere(|k| k.options.version_compatible = true);
    let parcel = from.folder.path().join("parcel.engine");
    from.cache().export(&from.get(&built, None).unwrap().2.unwrap(), &parcel).unwrap();
    let later = elsewhere(|k| k.library = "10.17.0.1".into());
    let message = to.cache().import(&parcel, Some(("11.0.0.1", &later.gpu))).map(|_| ()).unwrap_err().to_string();
    assert!(message.contains("10.16.1.11 and later 10"), "{message}");
    let (_, path) = to.cache().import(&parcel, Some((&later.library, &later.gpu))).unwrap();
    let (found, _) = to.cache().find_standing(&later, None, |plan| Ok(plan.to_vec()));
    assert_eq!(found.map(|(_, _, path)| path), Some(path));
}

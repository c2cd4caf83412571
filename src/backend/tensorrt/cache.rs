//! Built engines on disk. An engine is filed under a content key of all that made it: model, graph changes, build options,
//! library, GPU. What it was called, where it lay and when it was written are no part of it, so a plain engine of another
//! GPU or version is never even looked at; one that was built for more than one machine is found by its description
//! ([`fit`](super::fit)). One file holds a header with the description, a checksum, and the plan; a sidecar shows the description
//! to people.
//!
//! A plan is code: a file that others can write is never loaded. A file that is damaged, cut off or refused by the
//! library is made again, once, with one warning. A writer holds the lock of the key, writes under a temporary name and
//! renames; a second process waits and finds the engine made. When the disk refuses, the engine is used all the same.

use super::file::{self, Refusal};
use super::fit::Fit;
use super::outside::Outside;
use crate::cache::rooms::{ENGINES, LOCKS};
use crate::cache::{Cache, lock_file, safe_name, sha256};
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Grows whenever this program gives the library other graphs, options or calls for the same recipe.
pub const SHIM_VERSION: u32 = 1;

/// Size of all engines in a folder above which the longest unused go, in bytes.
pub const DEFAULT_LIMIT: u64 = 20 << 30;

/// A GPU, as far as an engine depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Compute capability, such as 7.5.
    pub capability: String,
    /// CUDA version of the driver.
    pub driver: String,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (compute capability {}, driver for CUDA {})", self.name, self.capability, self.driver)
    }
}

/// All that an engine depends on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineKey {
    /// Model name: for people, and not part of the digest.
    pub model: String,
    /// SHA-256 of the model's file.
    pub model_sha256: String,
    /// Name of the arithmetic.
    pub precision: String,
    /// Its rules, and the version of the conversion, unless it is float32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half: Option<(super::recipe::HalfRules, u32)>,
    /// Changes of the graph.
    pub surgery: Vec<crate::onnx::surgery::Surgery>,
    /// Build options, profiles included.
    pub options: super::ffi::BuildOptions,
    /// Version of the library in full.
    pub library: String,
    /// The GPU it runs on.
    pub gpu: Gpu,
    /// [`SHIM_VERSION`] and the version of graph rewrites.
    pub versions: (u32, u32),
}

impl EngineKey {
    /// SHA-256 over everything but the model's name, in hexadecimal.
    pub fn digest(&self) -> String {
        let nameless = Self { model: String::new(), ..self.clone() };
        sha256(&serde_json::to_vec(&nameless).unwrap_or_default()) // plain data: it serialises
    }

    /// What its engine is called.
    pub fn name(&self) -> String {
        format!("{}-{}", safe_name(&self.model), &self.digest()[..16])
    }

    fn file_name(&self) -> String {
        format!("{}.engine", self.name())
    }
}

/// What made an engine: the header of its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// What it was made for.
    pub key: EngineKey,
    /// Seconds since 1970.
    pub built_at: u64,
    /// How long that took.
    pub build_seconds: f64,
    /// Version of this program.
    pub program: String,
    /// What became of the comparison with float32, unless it is that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float16: Option<Float16>,
    /// Matrix products in float16 whatever was asked for, as the library has none in float32 for the GPU.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub half_products: usize,
}

impl Description {
    /// The arithmetic of the engine, for people.
    pub fn precision(&self) -> String {
        match self.half_products {
            0 => self.key.precision.clone(),
            count => format!("{}, {count} products in float16", self.key.precision), // as `Precision::HalfProducts` says of results
        }
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A graph in float16, compared with the original in ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Float16 {
    /// Greatest difference of an output, as a part of its greatest absolute value.
    pub error: f32,
    /// Values in float16.
    pub values: usize,
    /// Values that are too large for it and stay in float32.
    pub kept: usize,
}

/// An engine file and what it says of itself.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// When it was used last.
    pub used: SystemTime,
    /// Its header, or what is wrong with the file.
    pub description: Result<Description, String>,
}

impl Entry {
    /// What lies at `path`, if it is a file.
    pub fn read(path: &Path) -> Option<Self> {
        let meta = fs::metadata(path).ok()?;
        let description = file::read_description(path).map_err(|r| r.to_string());
        Some(Self { path: path.to_owned(), bytes: meta.len(), used: meta.modified().ok()?, description })
    }

    /// Its file name without the ending.
    pub fn name(&self) -> String {
        self.path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Where an engine came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From a file.
    Loaded,
    /// Built now.
    Built,
}

/// The engines of this user, and of the model folders that can be written.
#[derive(Clone, Debug)]
pub struct EngineCache {
    cache: Cache,
    limit: u64,
}

impl EngineCache {
    /// Engines below `cache`, in each folder up to the limit that the user set, else [`DEFAULT_LIMIT`].
    pub fn new(cache: Cache) -> Self {
        let limit = cache.engine_limit().unwrap_or(DEFAULT_LIMIT);
        Self { cache, limit }
    }

    /// Lets the engines of a folder take up to `bytes`.
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        Self { limit: bytes, ..self }
    }

    /// The cache folder that the engines are a part of.
    pub fn home(&self) -> &Cache {
        &self.cache
    }

    /// The folder for engines that do not lie beside their models: the one the user named for all, else that of the cache,
    /// for models without a folder that can be written. It need not exist.
    pub fn folder(&self) -> PathBuf {
        self.cache.engine_dir().map_or_else(|| self.cache.root().join(ENGINES), Path::to_owned)
    }

    /// The folder for engines beside their model, unless the user named one for all.
    fn beside(&self, model_folder: &Path) -> Option<PathBuf> {
        self.cache.engine_dir().is_none().then(|| model_folder.join(".cache/tensorrt"))
    }

    /// The engine of `key` and its file, if it was built before and `load` takes it; else what is wrong with what lies in its places.
    pub fn find<T>(
        &self,
        key: &EngineKey,
        model_folder: Option<&Path>,
        load: impl Fn(&[u8]) -> Result<T>,
    ) -> Result<(T, PathBuf), Vec<String>> {
        let mut unfit = Vec::new();
        let found = find(key, &self.places(key, model_folder), &load, |path, reason| unfit.push(format!("{}: {reason}", path.display())));
        found.ok_or(unfit)
    }

    /// The engines that [stand](EngineKey::stands_for) for that of `wanted`, the closest and then the newest first.
    pub fn standing_for(&self, wanted: &EngineKey, model_folder: Option<&Path>) -> Vec<(Fit, EngineKey, PathBuf)> {
        let entries = self.list(model_folder.map(Path::to_owned).as_slice()).into_iter();
        let fit = |entry: Entry| {
            let made = entry.description.ok()?; // of what is damaged nothing is known
            made.key.stands_for(wanted).map(|fit| (fit, std::cmp::Reverse(made.built_at), made.key, entry.path))
        };
        let mut found: Vec<_> = entries.filter_map(fit).collect();
        found.sort_by_cached_key(|(fit, built, _, path)| (fit.distance(), *built, path.clone()));
        found.into_iter().map(|(fit, _, key, path)| (fit, key, path)).collect()
    }

    /// The first of [these](Self::standing_for) that is whole, trusted and taken by `load`, and what is wrong with those before.
    pub fn find_standing<T>(
        &self,
        wanted: &EngineKey,
        model_folder: Option<&Path>,
        load: impl Fn(&[u8]) -> Result<T>,
    ) -> (Option<(T, EngineKey, PathBuf)>, Vec<String>) {
        let mut unfit = Vec::new();
        for (fit, key, path) in self.standing_for(wanted, model_folder) {
            let complain = |path: &Path, reason| unfit.push(format!("{}: {reason}", path.display()));
            if let Some((engine, path)) = find(&key, &[path], &load, complain) {
                tracing::info!("{}: {} is used: {fit}", wanted.model, path.display());
                return (Some((engine, key, path)), unfit);
            }
        }
        (None, unfit)
    }

    /// Whether there is a file for the engine of `key`.
    pub fn has(&self, key: &EngineKey, model_folder: Option<&Path>) -> bool {
        self.places(key, model_folder).iter().any(|path| path.is_file())
    }

    /// Whether there is any engine at all beside a model, or of other models.
    pub fn has_any(&self, model_folder: Option<&Path>) -> bool {
        let folders = model_folder.and_then(|folder| self.beside(folder)).into_iter().chain([self.folder()]);
        folders
            .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok))
            .any(|f| f.path().extension().is_some_and(|e| e == "engine"))
    }

    /// Loads the engine of `key`, or builds, keeps and loads it. `model_folder` is where the model's file lies, if it is
    /// one. `load` says whether the library takes a plan; `build` may add to the description of the engine.
    ///
    /// # Errors
    /// Those of `build`; that of `load` for a plan built just now.
    pub fn load_or_build<T, P: Deref<Target = [u8]>>(
        &self,
        key: &EngineKey,
        model_folder: Option<&Path>,
        load: impl Fn(&[u8]) -> Result<T>,
        build: impl FnOnce(&mut Description) -> Result<P>,
    ) -> Result<(T, Origin, Option<PathBuf>)> {
        let places = self.places(key, model_folder);
        let mut warned = false;
        let mut complain = |path: &Path, reason: String| {
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!("{}: {reason}; the engine is built again", path.display());
            }
        };
        if let Some((engine, path)) = find(key, &places, &load, &mut complain) {
            return Ok((engine, Origin::Loaded, Some(path)));
        }
        // Without a lock file (a full disk, a read-only home) the work is done all the same, twice at worst.
        let lock = self.cache.subdir(LOCKS).ok().and_then(|dir| {
            let path = dir.join(format!("engine-{}.lock", &key.digest()[..16]));
            lock_file(&path, &format!("the engine of {}", key.model)).ok()
        });
        // Another process may have built it while this one waited, or just before.
        if lock.is_some()
            && let Some((engine, path)) = find(key, &places, &load, &mut complain)
        {
            return Ok((engine, Origin::Loaded, Some(path)));
        }
        let start = SystemTime::now();
        let mut description = Description {
            key: key.clone(),
            built_at: start.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            build_seconds: 0.0,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            float16: None,
            half_products: 0,
        };
        let plan = build(&mut description)?;
        description.build_seconds = start.elapsed().map_or(0.0, |d| (d.as_secs_f64() * 1e3).round() / 1e3);
        let engine = load(&plan)?;
        let path = self.store(&places, &description, &plan);
        Ok((engine, Origin::Built, path))
    }

    /// All engines in the user's cache and in the given model folders, in order of model and file.
    pub fn list(&self, model_folders: &[PathBuf]) -> Vec<Entry> {
        let folders = std::iter::once(self.folder()).chain(model_folders.iter().filter_map(|f| self.beside(f)));
        let mut entries: Vec<_> = folders.flat_map(|folder| engines_in(&folder)).collect();
        entries.sort_by(|a, b| a.path.file_name().cmp(&b.path.file_name()).then_with(|| a.path.cmp(&b.path)));
        entries
    }

    /// Removes an engine and its sidecar.
    pub fn remove(&self, path: &Path) -> Result<()> {
        file::forget(path);
        Outside::remove(path);
        fs::remove_file(path).map_err(Error::io("remove", path))
    }

    /// Copies an engine to the file `to`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::Input`] for an engine that is not sound; [`Error::Config`] where something else than a file is in the place;
    /// [`Error::Io`].
    pub fn export(&self, from: &Path, to: &Path) -> Result<Description> {
        if fs::metadata(to).is_ok_and(|meta| !meta.is_file()) {
            return Err(Error::config(to.display().to_string(), "there is something else than a file; give the name of one"));
        }
        let (description, plan) = file::read(from).map_err(|refusal| refused(from, &refusal))?;
        file::write(to, &description, &plan).map_err(Error::io("write", to))?;
        Ok(description)
    }

    /// Takes an exported engine in. `here` is the library and GPU of this machine: an engine that does not run with them is refused.
    pub fn import(&self, from: &Path, here: Option<(&str, &Gpu)>) -> Result<(Description, PathBuf)> {
        let (description, plan) = file::read_untrusted(from).map_err(|refusal| refused(from, &refusal))?;
        let key = &description.key;
        if let Some((library, gpu)) = here
            && (key.library != library || key.gpu != *gpu)
            && key.runs(library, gpu).is_none()
        {
            let reason = format!(
                "it was built by TensorRT {} for {}, and this machine has TensorRT {library} on {gpu}",
                key.libraries(),
                key.gpus()
            );
            return Err(Error::input(from.display().to_string(), reason));
        }
        let path = self.folder().join(key.file_name());
        file::trust_folder(&path).map_err(|refusal| refused(&path, &refusal))?;
        file::write(&path, &description, &plan).map_err(Error::io("write", &path))?;
        file::explain(&path, &description);
        self.evict(&path);
        Ok((description, path))
    }

    /// The timing cache for a library and GPU: what earlier builds measured.
    pub fn timing(&self, library: &str, gpu: &Gpu) -> Vec<u8> {
        self.note(&timing_name(library, gpu)).unwrap_or_default()
    }

    /// Keeps a timing cache; a failure costs the next build some time and nothing else.
    pub fn keep_timing(&self, library: &str, gpu: &Gpu, bytes: &[u8]) {
        self.keep_note(&timing_name(library, gpu), bytes);
    }

    /// What was kept under `name`, if it is whole and trusted.
    pub(super) fn note(&self, name: &str) -> Option<Vec<u8>> {
        file::read_bytes(&self.note_path(name))
    }

    /// Keeps what can be found out again; a failure costs that.
    pub(super) fn keep_note(&self, name: &str, bytes: &[u8]) {
        let path = self.note_path(name);
        if let Err(e) = file::write_bytes(&path, bytes) {
            tracing::debug!("{}: it is not kept: {e}", path.display());
        }
    }

    fn note_path(&self, name: &str) -> PathBuf {
        self.folder().join(format!("{name}.bin"))
    }

    /// Where the engine of a key may lie, the preferred place first.
    fn places(&self, key: &EngineKey, model_folder: Option<&Path>) -> Vec<PathBuf> {
        let folders = model_folder.and_then(|folder| self.beside(folder)).into_iter().chain([self.folder()]);
        folders.map(|f| f.join(key.file_name())).collect()
    }

    fn store(&self, places: &[PathBuf], description: &Description, plan: &[u8]) -> Option<PathBuf> {
        let mut failures = Vec::new();
        for path in places {
            let written = file::trust_folder(path).map_err(|refusal| refusal.to_string());
            match written.and_then(|()| file::write(path, description, plan).map_err(|e| e.to_string())) {
                Ok(()) => {
                    file::explain(path, description);
                    self.evict(path);
                    return Some(path.clone());
                }
                Err(reason) => failures.push(format!("{}: {reason}", path.display())),
            }
        }
        tracing::warn!("{}: the engine is not kept and will be built again: {}", description.key.model, failures.join("; "));
        None
    }

    /// Removes the engines beside `newest` that were not used for longest until the rest is within the limit.
    fn evict(&self, newest: &Path) {
        let mut entries = newest.parent().map_or_else(Vec::new, engines_in);
        let mut total: u64 = entries.iter().map(|e| e.bytes).sum();
        entries.sort_by_key(|e| e.used);
        for entry in entries.iter().filter(|e| e.path != newest) {
            if total <= self.limit {
                break;
            }
            if self.remove(&entry.path).is_ok() {
                tracing::info!("{}: removed, unused for longest, to keep engines within {} MiB", entry.path.display(), self.limit >> 20);
                total -= entry.bytes;
            }
        }
    }
}

/// The first engine of `places` that is whole, trusted and taken by the library. What is wrong with anything else that lies
/// there is told to `complain`.
fn find<T>(
    key: &EngineKey,
    places: &[PathBuf],
    load: &impl Fn(&[u8]) -> Result<T>,
    mut complain: impl FnMut(&Path, String),
) -> Option<(T, PathBuf)> {
    for path in places {
        let (description, plan) = match file::read(path) {
            Ok(read) => read,
            Err(Refusal::Absent) => continue,
            Err(refusal) => {
                complain(path, refusal.to_string());
                continue;
            }
        };
        if description.key.digest() != key.digest() {
            complain(path, "it is another engine under this name".into());
            continue;
        }
        match load(&plan) {
            Ok(engine) => {
                // The time of last use; without it the engine may be thought unused.
                let _ = File::options().append(true).open(path).and_then(|f| f.set_modified(SystemTime::now()));
                return Some((engine, path.clone()));
            }
            Err(e) => complain(path, e.to_string()),
        }
    }
    None
}

fn timing_name(library: &str, gpu: &Gpu) -> String {
    format!("timing-{}", &sha256(format!("{library} {gpu}").as_bytes())[..16])
}

/// The engines that lie in `folder`, in any order.
fn engines_in(folder: &Path) -> Vec<Entry> {
    let files = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).map(|e| e.path());
    files.filter(|path| path.extension().is_some_and(|e| e == "engine")).filter_map(|path| Entry::read(&path)).collect()
}

fn refused(path: &Path, refusal: &Refusal) -> Error {
    Error::input(path.display().to_string(), refusal.to_string())
}

//! Results into files, named as the reference names them: `<save_path>/<input stem>.json` and
//! `<save_path>/<input file name>`. Files appear whole or not at all. Files of an earlier run are replaced silently;
//! files of this run and inputs never are.

use super::encode::{PictureFormat, encode, encode_classes};
use super::{Drawing, PartContent, draw, font::Fonts};
use crate::cache::folder_of;
use crate::cache::rooms::TEMPORARY;
use crate::error::{Error, Result};
use crate::image::{FrameId, ImageBuf, PictureRef};
use crate::result::PipelineResult;
use crate::result::json::{Schema, write_file};
use crate::trace::Transfers;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// What the name of an OCR picture gets when it would land on the input itself (PaddleX 3.x gives it to every picture).
pub const OCR_SUFFIX: &str = "_ocr_res_img";
/// The same for the other pipelines.
pub const PICTURE_SUFFIX: &str = "_res";

/// Saves the results of one run below one `--save_path`, from any thread.
pub struct Saver {
    target: Target,
    fonts: Fonts,
    schema: Schema,
    own_input_suffix: &'static str,
    /// Whether a file that is there is an input of this run.
    is_input: Box<dyn Fn(&Path) -> bool + Send + Sync>,
    /// Folder and stem of every name given out in this run, and how often it was asked for.
    used: Mutex<HashMap<PathBuf, u64>>,
    /// Files of this run, where an input may come upon them.
    written: Option<Mutex<HashSet<PathBuf>>>,
}

enum Target {
    Folder(PathBuf),
    Json(PathBuf),
    Picture(PathBuf),
}

/// The names of one result's files. `None`: this kind is not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The JSON file.
    pub json: Option<PathBuf>,
    /// The picture; a result of several files puts them beside this name, each with its own ending after the stem. A JPEG that would be
    /// too large becomes a PNG of the same stem.
    pub picture: Option<PathBuf>,
}

impl Saver {
    /// A sink at `save_path`: a folder, made here when absent; or one file, when the name ends in `.json` or in a
    /// suffix pictures are written with (and is no existing folder), which then is the only kind written. An
    /// error when it is an existing file of another kind, or cannot be made or written to. `own_input_suffix` is added to the name of a
    /// picture that would land on its own input, or on one that is [spared](Self::sparing).
    pub fn new(save_path: &Path, fonts: Fonts, schema: Schema, own_input_suffix: &'static str) -> Result<Self> {
        let suffix = save_path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let target = if save_path.is_dir() {
            Target::Folder(save_path.to_owned())
        } else if suffix.eq_ignore_ascii_case("json") {
            Target::Json(save_path.to_owned())
        } else if PictureFormat::from_suffix(suffix).is_some() {
            Target::Picture(save_path.to_owned())
        } else if save_path.exists() {
            let reason = format!("{} is a file; give a folder, or a file that ends in .json, .jpg or .png", save_path.display());
            return Err(Error::config("--save_path", reason));
        } else {
            Target::Folder(save_path.to_owned())
        };
        let folder = match &target {
            Target::Folder(folder) => folder,
            Target::Json(file) | Target::Picture(file) => folder_of(file),
        };
        make_folder(folder)?;
        tempfile::tempfile_in(folder).map_err(Error::io("write to", folder))?;
        Ok(Self { target, fonts, schema, own_input_suffix, is_input: Box::new(|_| false), used: Mutex::default(), written: None })
    }

    /// No file is written over of which `is_input` says that it is an input.
    #[must_use]
    pub fn sparing(self, is_input: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Self {
        Self { is_input: Box::new(is_input), ..self }
    }

    /// Remembers the files of this run, for [`wrote`](Self::wrote).
    #[must_use]
    pub fn remembering(self) -> Self {
        Self { written: Some(Mutex::default()), ..self }
    }

    /// [`reserve`](Self::reserve), then [`write`](Self::write).
    pub fn save(&self, result: &PipelineResult, image: PictureRef<'_>, relative_dir: &Path) -> Result<Slot> {
        let slot = self.reserve(&result.header().frame_id(), relative_dir);
        self.write(&slot, result, image)?;
        Ok(slot)
    }

    /// Takes the next free names for an input; call it in input order, so that names do not depend on which picture is
    /// ready first. Stems of more than 220 bytes are cut. `relative_dir` is the input's folder below the input folder (empty for single files), and is
    /// kept below a save folder. Equal names get `_1`, `_2`...; a page's name ends in `_<page_index>`. A URL counts by
    /// the last part of its path, pixels without a path are called `image`. Suffixes that are only read
    /// (WebP, PDF, none) become `.png`.
    pub fn reserve(&self, input: &FrameId, relative_dir: &Path) -> Slot {
        let input_name = input.input_path.as_deref().map_or(Path::new("image"), |path| Path::new(file_part(path)));
        let (folder, name) = match &self.target {
            Target::Folder(root) => (root.join(plain(relative_dir)), input_name),
            Target::Json(file) | Target::Picture(file) => (file.parent().unwrap_or(Path::new("")).to_owned(), file.as_path()),
        };
        let stem = name.file_stem().unwrap_or(OsStr::new("image"));
        let mut stem = if matches!(self.target, Target::Folder(_)) { shortened(stem) } else { stem.to_owned() };
        if let (Target::Folder(_), Some(page)) = (&self.target, input.page_index) {
            stem.push(format!("_{page}"));
        }
        let suffix = name.extension().filter(|s| s.to_str().and_then(PictureFormat::from_suffix).is_some());
        let suffix = suffix.unwrap_or(OsStr::new("png"));
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let json_only = matches!(self.target, Target::Json(_));
        let on_input = |stem: &OsStr| {
            let path = folder.join(with_suffix(stem, suffix));
            !json_only && path.exists() && (is_file_of(&path, input) || ((self.is_input)(&path) && !self.wrote(&path)))
        };
        if on_input(&stem) {
            used.entry(folder.join(&stem)).or_default();
            stem.push(self.own_input_suffix);
        }
        let free = next_free(&mut used, &folder, &stem, on_input);
        let json_suffix = if json_only { name.extension().unwrap_or(OsStr::new("json")) } else { OsStr::new("json") };
        Slot {
            json: (!matches!(self.target, Target::Picture(_))).then(|| folder.join(with_suffix(&free, json_suffix))),
            picture: (!json_only).then(|| folder.join(with_suffix(&free, suffix))),
        }
    }

    /// Writes the files of `slot`, the JSON first, and beside their names where an input lies there. `image` is the picture the
    /// result was made from. Errors name the path; the files of other results are not touched. A picture that lies on a GPU is copied to the host for it.
    pub fn write(&self, slot: &Slot, result: &PipelineResult, image: PictureRef<'_>) -> Result<()> {
        if let Some(path) = &slot.json {
            self.put(path.clone(), |file| write_file(result, self.schema, file))?;
        }
        if let Some(path) = &slot.picture {
            let format = path.extension().and_then(OsStr::to_str).and_then(PictureFormat::from_suffix).unwrap_or(PictureFormat::Png);
            match draw(image.on_host(&mut Transfers::default())?, result, &self.fonts)? {
                Drawing::Pixels(picture) => self.put_picture(path, &picture, format)?,
                Drawing::Classes(map) => self.put(path.clone(), |file| encode_classes(map, file))?,
                Drawing::Parts(parts) => {
                    for part in parts {
                        let mut name = path.file_stem().unwrap_or(OsStr::new("image")).to_owned();
                        name.push(&part.ending);
                        let path = path.with_file_name(name);
                        let suffix = path.extension().and_then(OsStr::to_str).and_then(PictureFormat::from_suffix);
                        match part.content {
                            PartContent::Picture(picture) => {
                                self.put_picture(&path, &picture, suffix.unwrap_or(PictureFormat::Jpeg))?;
                            }
                            PartContent::Bytes(bytes) => self.put(path, |file| file.write_all(&bytes))?,
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// A picture that `format` cannot hold becomes a PNG of the same name, unless the name was asked for.
    fn put_picture(&self, path: &Path, picture: &ImageBuf, format: PictureFormat) -> Result<()> {
        let able = if matches!(self.target, Target::Picture(_)) { format } else { format.able(picture.size()) };
        let path = if able == format { path.to_owned() } else { path.with_extension("png") };
        self.put(path, |file| encode(picture.view(), able, file))
    }

    /// Whether this run wrote the file at `path`; asked of what was found where inputs are.
    pub fn wrote(&self, path: &Path) -> bool {
        let Some(written) = &self.written else { return false };
        path.canonicalize().is_ok_and(|path| written.lock().unwrap_or_else(PoisonError::into_inner).contains(&path))
    }

    /// Writes to `path`, or beside it where an input lies there.
    fn put(&self, path: PathBuf, write: impl FnOnce(&mut BufWriter<&fs::File>) -> io::Result<()>) -> Result<()> {
        let is_foreign = |path: &Path| path.exists() && (self.is_input)(path) && !self.wrote(path);
        let beside = |number: u64| {
            let mut name = path.file_stem().unwrap_or_default().to_owned();
            name.push(self.own_input_suffix);
            if number > 0 {
                name.push(format!("_{number}"));
            }
            path.with_file_name(with_suffix(&name, path.extension().unwrap_or_default()))
        };
        let path = match is_foreign(&path) {
            false => path,
            true => (0..).map(beside).find(|path| !is_foreign(path)).unwrap_or_else(|| path.clone()),
        };
        replace(&path, |file| {
            if let Some(written) = &self.written {
                // Before the file has its name: whoever finds it knows whose it is.
                let place = folder_of(&path).canonicalize()?.join(path.file_name().unwrap_or_default());
                written.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
            }
            write(file)
        })
    }
}

/// Most bytes of a stem that is an input's: a name has 255 on most systems, and numbers and endings follow.
const LONGEST_STEM: usize = 220;

fn shortened(stem: &OsStr) -> OsString {
    if stem.len() <= LONGEST_STEM {
        return stem.to_owned();
    }
    let text = stem.to_string_lossy();
    text[..text.floor_char_boundary(LONGEST_STEM)].into()
}

/// `stem`, or the first of `stem_1`, `stem_2`... that was not given out in `folder` and is not `on_input`.
fn next_free(used: &mut HashMap<PathBuf, u64>, folder: &Path, stem: &OsStr, on_input: impl Fn(&OsStr) -> bool) -> OsString {
    let mut free = stem.to_owned();
    let mut number = used.get(&folder.join(stem)).copied().unwrap_or(0);
    while used.contains_key(&folder.join(&free)) || on_input(&free) {
        number += 1;
        free = stem.to_owned();
        free.push(format!("_{number}"));
    }
    used.insert(folder.join(stem), number);
    used.insert(folder.join(&free), 0);
    free
}

/// Writes beside `path` and renames: readers see the old file or the whole new one.
fn replace(path: &Path, write: impl FnOnce(&mut BufWriter<&fs::File>) -> io::Result<()>) -> Result<()> {
    let folder = folder_of(path);
    make_folder(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY).permissions(Permissions::from_mode(0o666)); // less the umask, as for any new file
    let file = builder.tempfile_in(folder).map_err(Error::io("write", path))?;
    let mut out = BufWriter::with_capacity(1 << 16, file.as_file());
    write(&mut out).and_then(|()| out.flush()).map_err(Error::io("write", path))?;
    drop(out);
    file.persist(path).map_err(|error| Error::io("write", path)(error.error))?;
    tracing::debug!("saved {}", path.display());
    Ok(())
}

fn make_folder(folder: &Path) -> Result<()> {
    if folder.as_os_str().is_empty() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(Error::io("create", folder))
}

/// The path itself, or for a URL the last part of its path.
fn file_part(input: &str) -> &str {
    match input.split_once("://") {
        Some(("http" | "https", rest)) => {
            let path = rest.split(['?', '#']).next().unwrap_or_default();
            path.split_once('/').map_or("image", |(_, path)| path.rsplit('/').next().unwrap_or_default())
        }
        _ => input,
    }
}

/// Only the named parts, so that nothing is written outside of the save folder.
fn plain(relative: &Path) -> PathBuf {
    relative.components().filter(|part| matches!(part, Component::Normal(_))).collect()
}

fn with_suffix(stem: &OsStr, suffix: &OsStr) -> OsString {
    let mut name = stem.to_owned();
    name.push(".");
    name.push(suffix);
    name
}

/// Whether `path` is the very file the result was read from.
fn is_file_of(path: &Path, input: &FrameId) -> bool {
    let input = input.input_path.as_deref().map(fs::canonicalize);
    matches!((fs::canonicalize(path), input), (Ok(path), Some(Ok(input))) if path == input)
}

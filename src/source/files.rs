//! Files, folders and patterns.

use super::item::InputItem;
use crate::cache::folder_of;
use crate::image::mark::is_marked;
use glob::{MatchOptions, Pattern, PatternError};
use std::cmp::Ordering;
use std::collections::{HashSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use walkdir::WalkDir;

/// Suffixes of pictures that are looked for in folders, in any case; documents end in `pdf`. The reference knows jpg, png, jpeg, JPEG,
/// JPG, bmp, pdf and PDF.
pub(super) const PICTURE_SUFFIXES: [&str; 7] = ["jpg", "jpeg", "png", "bmp", "webp", "tif", "tiff"];

/// Items of one path or pattern; never none.
pub(super) fn expand(input: &OsStr) -> VecDeque<InputItem> {
    let path = Path::new(input);
    if path.is_dir() {
        return folder(path);
    }
    match as_pattern(input) {
        Some(pattern) => matches(pattern),
        // What is not there fails when it is loaded, in its turn.
        None => [InputItem::file(path.to_owned())].into(),
    }
}

/// What is neither a file nor a folder, and has the signs of a pattern.
fn as_pattern(input: &OsStr) -> Option<&str> {
    input.to_str().filter(|text| text.contains(['*', '?', '[']) && Path::new(text).symlink_metadata().is_err())
}

/// Files and folders that `input` matches where it is a pattern, in their order, and the folders that could not be looked through.
pub fn matched(input: &str) -> Vec<PathBuf> {
    let search = as_pattern(input.as_ref()).and_then(|pattern| Search::of(pattern).ok()).unwrap_or_default();
    search.paths.into_iter().chain(search.failures.into_iter().map(|item| item.name.into())).collect()
}

/// What inputs name, whether or not their turn has come.
pub struct NamedInputs {
    inputs: Vec<OsString>,
    found: OnceLock<Named>,
}

/// Files, and folders, whose links are resolved.
#[derive(Default)]
struct Named {
    files: HashSet<PathBuf>,
    folders: Vec<PathBuf>,
}

impl NamedInputs {
    /// Of paths and patterns; what addresses and lists on standard input name is not known. Looked up when it is asked for.
    pub fn new<I: AsRef<OsStr>>(inputs: &[I]) -> Self {
        Self { inputs: inputs.iter().map(|input| input.as_ref().to_owned()).collect(), found: OnceLock::new() }
    }

    /// The folder at `path`, or of the file there, with all links resolved, if files that appear in it or below it may be found where
    /// inputs are looked for: later than others.
    pub fn reached(&self, path: &Path) -> Option<PathBuf> {
        let folder = if path.is_dir() { path } else { folder_of(path) };
        let path = folder.canonicalize().ok()?;
        let is_reached = self.inputs.iter().any(|input| match Path::new(input).canonicalize() {
            Ok(input) => input.is_dir() && (path.starts_with(&input) || input.starts_with(&path)),
            Err(_) => !input.to_str().is_some_and(super::url::is_url), // a pattern, a list, or what is not there yet
        });
        is_reached.then_some(path)
    }

    /// Whether the file at `path` is one of them, or lies in a folder that is and is read with it. A list on standard input may
    /// name any picture; results of earlier runs are inputs where they are named only.
    pub fn contains(&self, path: &Path) -> bool {
        let Named { files, folders } = self.found.get_or_init(|| Named::of(&self.inputs));
        let below = |path: &Path| has_picture_suffix(path) && folders.iter().any(|folder| path.starts_with(folder));
        let is_list = self.inputs.iter().any(|input| input == super::STANDARD_INPUT);
        let may_be = |found: &Path| below(found) || is_list && has_picture_suffix(path);
        path.canonicalize().is_ok_and(|found| files.contains(&found) || may_be(&found) && !is_marked(&found))
    }
}

impl Named {
    fn of(inputs: &[OsString]) -> Self {
        let mut named = Self::default();
        for input in inputs {
            match Path::new(input).canonicalize() {
                Ok(folder) if folder.is_dir() => named.folders.push(folder),
                Ok(file) => drop(named.files.insert(file)),
                Err(_) => {
                    let found = expand(input).into_iter().filter_map(|item| Path::new(&item.name).canonicalize().ok());
                    named.files.extend(found.filter(|path| !is_marked(path)));
                }
            }
        }
        named
    }
}

/// Pictures in a folder and below, sorted by their whole path. Hidden files count, links to folders are not followed,
/// as in the reference. A folder below that cannot be read is an item that says so.
fn folder(path: &Path) -> VecDeque<InputItem> {
    let (mut pictures, mut failures) = (Vec::new(), Vec::new());
    for entry in WalkDir::new(path) {
        match entry {
            Ok(entry) if !entry.path().is_dir() && has_picture_suffix(entry.path()) => pictures.push(entry.into_path()),
            Ok(_) => {}
            Err(error) => {
                let place = error.path().unwrap_or(path).to_string_lossy().into_owned();
                let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                failures.push(InputItem::refused(place, format!("the folder cannot be read: {reason}")));
            }
        }
    }
    sort(&mut pictures);
    let below = |picture: PathBuf| {
        let relative_dir = picture.parent().and_then(|dir| dir.strip_prefix(path).ok()).map(Path::to_owned).unwrap_or_default();
        InputItem { relative_dir, ..InputItem::file(picture) }
    };
    let mut items: VecDeque<_> = pictures.into_iter().map(below).chain(failures).collect();
    if items.is_empty() {
        let suffixes = PICTURE_SUFFIXES.join(", ");
        items.push_back(InputItem::refused(
            path.to_string_lossy(),
            format!("the folder holds no picture or document (files ending in {suffixes}, pdf)"),
        ));
    }
    items
}

/// Everything a pattern matches, as a shell would list it: files of any suffix, folders with the pictures in them.
fn matches(pattern: &str) -> VecDeque<InputItem> {
    let search = match Search::of(pattern) {
        Ok(search) => search,
        Err(error) => return [InputItem::refused(pattern, format!("no such file, and not a pattern either: {error}"))].into(),
    };
    let expanded = search.paths.into_iter().flat_map(|path| if path.is_dir() { folder(&path) } else { [InputItem::file(path)].into() });
    let mut items: VecDeque<_> = expanded.chain(search.failures).collect();
    if items.is_empty() {
        items.push_back(InputItem::refused(pattern, "no such file, and the pattern matches nothing"));
    }
    items
}

/// What a pattern has matched. Names that are not UTF-8 are matched by their replacement: the walk of the glob
/// crate leaves them out, or panics over them.
#[derive(Default)]
struct Search {
    paths: Vec<PathBuf>,
    failures: Vec<InputItem>,
}

impl Search {
    /// All of it, sorted.
    fn of(pattern: &str) -> Result<Self, PatternError> {
        let parts: Vec<_> = pattern.split('/').filter(|part| !part.is_empty()).map(Pattern::new).collect::<Result<_, _>>()?;
        let mut search = Self::default();
        search.below(Path::new(if pattern.starts_with('/') { "/" } else { "" }), &parts);
        sort(&mut search.paths);
        search.paths.dedup();
        Ok(search)
    }

    /// Adds what matches `parts` below `base`; an empty base is the current folder.
    fn below(&mut self, base: &Path, parts: &[Pattern]) {
        let Some((part, rest)) = parts.split_first() else { return self.paths.push(base.to_owned()) };
        let text = part.as_str();
        if !text.contains(['*', '?', '[']) {
            let path = base.join(text);
            if path.symlink_metadata().is_ok() {
                self.below(&path, rest);
            }
            return;
        }
        let any_depth = text == "**";
        if any_depth && !rest.is_empty() {
            self.below(base, rest);
        }
        let options = MatchOptions { require_literal_leading_dot: true, require_literal_separator: true, case_sensitive: true };
        for (name, is_folder) in self.entries(base) {
            if !part.matches_with(&name.to_string_lossy(), options) {
                continue;
            }
            let path = base.join(&name);
            match any_depth {
                true if is_folder => self.below(&path, parts),
                true if rest.is_empty() => self.paths.push(path),
                true => {}
                false => self.below(&path, rest),
            }
        }
    }

    /// Names in a folder, and whether each is a folder itself; links to folders are none. What is no folder has no names.
    fn entries(&mut self, base: &Path) -> Vec<(OsString, bool)> {
        let folder = if base.as_os_str().is_empty() { Path::new(".") } else { base };
        match folder.read_dir() {
            Ok(entries) => entries.flatten().map(|e| (e.file_name(), e.file_type().is_ok_and(|kind| kind.is_dir()))).collect(),
            Err(e) if matches!(e.kind(), ErrorKind::NotADirectory | ErrorKind::NotFound) => Vec::new(),
            Err(e) => {
                self.failures.push(InputItem::refused(folder.to_string_lossy(), format!("cannot be read: {e}")));
                Vec::new()
            }
        }
    }
}

/// By the bytes of the whole path, as the reference sorts names; [`Path`]'s own order goes component by component.
fn sort(paths: &mut [PathBuf]) {
    paths.sort_unstable_by(|a, b| a.as_os_str().as_encoded_bytes().cmp(b.as_os_str().as_encoded_bytes()));
}

/// By the bytes of their names, where numbers stand by what they are worth; what is equal so stays as it was.
pub(super) fn by_number(items: &mut [InputItem]) {
    items.sort_by(|a, b| compare(a.name.as_bytes(), b.name.as_bytes()));
}

fn compare(mut a: &[u8], mut b: &[u8]) -> Ordering {
    fn number<'a>(text: &mut &'a [u8]) -> (usize, &'a [u8]) {
        let (digits, rest) = text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
        *text = rest;
        let digits = &digits[digits.iter().take_while(|&&digit| digit == b'0').count()..];
        (digits.len(), digits)
    }
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            number(&mut a).cmp(&number(&mut b))
        } else {
            let order = x.cmp(y);
            (a, b) = (&a[1..], &b[1..]);
            order
        };
        if order.is_ne() {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

/// Whether a file is looked for in folders by its name: that of a picture or a document.
pub fn has_picture_suffix(path: &Path) -> bool {
    let mut known = PICTURE_SUFFIXES.iter().chain([&"pdf"]);
    path.extension().is_some_and(|suffix| known.any(|known| suffix.eq_ignore_ascii_case(known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_by_their_numbers() {
        let given = "a/f10.png a/f2.png a/f002.png b/f1.png a/f1.png a/f.png a/f1b.png a10/x.png 帧10.png 帧9.png";
        let mut items: Vec<_> = given.split(' ').map(|name| InputItem::file(name.into())).collect();
        by_number(&mut items);
        let names: Vec<_> = items.iter().map(|item| &*item.name).collect();
        assert_eq!(names.join(" "), "a/f.png a/f1.png a/f1b.png a/f2.png a/f002.png a/f10.png a10/x.png b/f1.png 帧9.png 帧10.png");
    }
}

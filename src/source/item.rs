//! One input and its loading.

use super::pdf::Document;
use super::reason::Reason;
use super::url::Fetcher;
use crate::error::{Error, Result};
use crate::image::decode::Decoder;
use crate::image::{Frame, FrameId, PageText, Picture};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One picture to be, not yet read. Cheap to make, to clone and to send to another thread.
#[derive(Clone, Debug)]
pub struct InputItem {
    /// Path or URL as results name it: the user's own words, or the folder as named joined with what was found in it.
    pub name: String,
    /// Where the bytes are.
    pub kind: InputKind,
    /// The item's folder below the folder that was named as the input; empty for anything else.
    pub relative_dir: PathBuf,
}

/// Where the bytes of an item are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum InputKind {
    /// A file; the path keeps what the name cannot say when it is not UTF-8.
    File(PathBuf),
    /// An address and what fetches it.
    Url(Fetcher),
    /// The bytes themselves.
    Bytes(Arc<Vec<u8>>),
    /// A page of a document.
    Page {
        /// The document, shared by the items of its pages.
        document: Document,
        /// Page, from 0.
        index: u32,
    },
    /// Nothing to load, and why.
    Refused(Reason),
}

impl InputItem {
    pub(super) fn file(path: PathBuf) -> Self {
        Self { name: path.to_string_lossy().into_owned(), kind: InputKind::File(path), relative_dir: PathBuf::new() }
    }

    pub(super) fn url(address: &str, fetcher: Fetcher) -> Self {
        Self { name: address.into(), kind: InputKind::Url(fetcher), relative_dir: PathBuf::new() }
    }

    /// The same item with its bytes, or one page of it, in place of where they are.
    pub(super) fn with_kind(&self, kind: InputKind) -> Self {
        Self { name: self.name.clone(), kind, relative_dir: self.relative_dir.clone() }
    }

    pub(super) fn refused(name: impl Into<String>, reason: impl Into<Reason>) -> Self {
        Self { name: name.into(), kind: InputKind::Refused(reason.into()), relative_dir: PathBuf::new() }
    }

    /// Identity of the frame this item becomes.
    pub fn frame_id(&self) -> FrameId {
        FrameId { input_path: Some(self.name.clone()), page_index: self.page_index() }
    }

    /// Page of the document, from 0; `None` for what has no pages.
    pub fn page_index(&self) -> Option<u32> {
        match self.kind {
            InputKind::Page { index, .. } => Some(index),
            _ => None,
        }
    }

    /// Reads and decodes the picture, on a GPU where the decoder has one, or renders the page; the frame carries [`InputItem::name`]. An error is
    /// [`Error::Io`] when the system refuses what another input would be refused too, [`Error::Device`] when the process that renders a page was
    /// killed, else [`Error::Input`] with that name: nothing there, not a regular file, too large, unreachable, not decodable (see
    /// [`Decoder::decode`]), a page that cannot be rendered, or a single pixel.
    pub fn load(&self, decoder: &Decoder) -> Result<Frame> {
        let (image, text) = self.pixels(decoder)?;
        if image.size().area() == 1 {
            return Err(Error::input(&self.name, "the picture is a single pixel: there is nothing to read"));
        }
        Ok(Frame { text: text.map(Arc::new), ..Frame::new(self.frame_id(), image) })
    }

    /// The pixels, and what is known of their text.
    fn pixels(&self, decoder: &Decoder) -> Result<(Picture, Option<PageText>)> {
        let limit = decoder.limits.max_file_bytes;
        let refused = |reason: Reason| reason.of(&self.name);
        let bytes = match &self.kind {
            InputKind::File(path) => read_file(path, limit).map_err(refused)?,
            InputKind::Url(fetcher) => fetcher.fetch(&self.name, limit).map_err(|reason| refused(reason.into()))?,
            InputKind::Bytes(bytes) => return Ok((decoder.picture(bytes, &self.name)?, None)),
            InputKind::Page { document, index } => {
                let page = document.render(*index).map_err(refused)?;
                page.lost.iter().for_each(|what| tracing::warn!("{}, page {}: {what}", self.name, index + 1));
                return Ok((page.image.into(), page.text));
            }
            InputKind::Refused(reason) => return Err(refused(reason.clone())),
        };
        Ok((decoder.picture(&bytes, &self.name)?, None))
    }
}

/// The first `most` bytes of a regular file; none when it is no such file or cannot be read.
pub(super) fn first_bytes(path: &Path, most: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    if path.metadata().is_ok_and(|m| m.is_file()) {
        let read = File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
        if read.is_err() {
            bytes.clear();
        }
    }
    bytes
}

/// All of a regular file of at most `limit` bytes.
pub(super) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, Reason> {
    // Pipes and devices are refused before they are opened: opening one may wait for ever or do harm.
    let metadata = path.metadata().map_err(Reason::unread(path))?;
    if metadata.is_dir() {
        return Err("is a folder".into());
    }
    if !metadata.is_file() {
        return Err("is not a regular file (a pipe, socket or device)".into());
    }
    if metadata.len() > limit {
        return Err(too_large(metadata.len(), limit).into());
    }
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    // The file may have grown since.
    File::open(path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes)).map_err(Reason::unread(path))?;
    if bytes.len() as u64 > limit {
        return Err(too_large(bytes.len() as u64, limit).into());
    }
    Ok(bytes)
}

pub(super) fn too_large(bytes: u64, limit: u64) -> String {
    format!("{bytes} bytes or more, the limit is {limit} (raise --max-file-size to read it)")
}

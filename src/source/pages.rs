//! Documents among the inputs, told from their first bytes: one item per page.

use super::SourceOptions;
use super::item::{InputItem, InputKind, first_bytes, read_file};
use super::pdf::Document;
use super::reason::Reason;
use super::url;
use crate::image::decode::is_pdf;
use std::sync::Arc;

/// Bytes within which a document says that it is one.
const HEADER: u64 = 1024;

/// What an item turned out to be.
pub(super) enum Opened {
    /// A document.
    Document(Pages),
    /// Anything else, or a document that cannot be opened: as it was, with the bytes it cost, or refused.
    Other(InputItem),
}

/// The pages of a document that were asked for, in order.
pub(super) struct Pages {
    /// The document as an input.
    item: InputItem,
    document: Document,
    indices: Box<dyn Iterator<Item = u32> + Send>,
}

impl Iterator for Pages {
    type Item = InputItem;

    fn next(&mut self) -> Option<InputItem> {
        let index = self.indices.next()?;
        Some(self.item.with_kind(InputKind::Page { document: self.document.clone(), index }))
    }
}

/// Looks into a file, or behind an address that does not name a picture.
pub(super) fn open(item: InputItem, options: &SourceOptions) -> Opened {
    let limit = options.limits.max_file_bytes;
    let bytes = match &item.kind {
        InputKind::File(path) if is_pdf(&first_bytes(path, HEADER)) => read_file(path, limit),
        InputKind::Url(fetcher) if !url::names_picture(&item.name) => fetcher.fetch(&item.name, limit).map_err(Reason::from),
        _ => return Opened::Other(item),
    };
    let refused = |item: &InputItem, reason| Opened::Other(item.with_kind(InputKind::Refused(reason)));
    match bytes {
        Err(reason) => refused(&item, reason),
        Ok(bytes) if !is_pdf(&bytes) => Opened::Other(item.with_kind(InputKind::Bytes(Arc::new(bytes)))),
        Ok(bytes) => document(&item, bytes, options).map_or_else(|reason| refused(&item, reason), Opened::Document),
    }
}

fn document(item: &InputItem, bytes: Vec<u8>, options: &SourceOptions) -> Result<Pages, Reason> {
    let document = Document::open(bytes, &options.pdf, &options.limits)?;
    let (count, most, ranges) = (document.page_count(), options.pdf.max_pages, &options.pdf.pages);
    match ranges.indices(count).count() {
        0 => return Err(format!("the document has {count} pages, none of them among {ranges}").into()),
        chosen if chosen as u64 > u64::from(most) => {
            return Err(format!("{chosen} pages, the limit is {most} (choose fewer with --pages, or raise --max-pages)").into());
        }
        _ => {}
    }
    if let Some(beyond) = ranges.beyond(count) {
        tracing::warn!("{}: the document has {count} pages, none of them among {beyond}", item.name);
    }
    Ok(Pages { item: item.clone(), document, indices: Box::new(ranges.indices(count)) })
}

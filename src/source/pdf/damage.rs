//! Damage of a page that the renderer passes over: what it cannot read it leaves out, or draws a part of.

use hayro::hayro_syntax::content::ops::TypedInstruction;
use hayro::hayro_syntax::object::dict::keys::{CONTENTS, FILTER, SUBTYPE};
use hayro::hayro_syntax::object::{Array, Name, Object, Stream};
use hayro::hayro_syntax::page::Page;

/// Bytes of a stream that packs nothing.
const EMPTY_STREAM: usize = 8;

/// Whether the page's content is not there, or there are bytes for it and nothing comes out of them.
pub(super) fn content_is_lost(page: &Page<'_>) -> bool {
    let is_written = |stream: Stream<'_>| stream.raw_data().len() > EMPTY_STREAM;
    let written = match (page.raw().get::<Stream<'_>>(CONTENTS), page.raw().get::<Array<'_>>(CONTENTS)) {
        (Some(stream), _) => is_written(stream),
        // Parts that are taken out of a page are no damage, as long as there are others.
        (None, Some(parts)) => match parts.iter::<Stream<'_>>().next() {
            None => return parts.iter::<Object<'_>>().count() < parts.raw_iter().count(),
            Some(_) => parts.iter::<Stream<'_>>().any(is_written),
        },
        (None, None) => return page.raw().get_ref(CONTENTS).is_some() && page.raw().get::<Object<'_>>(CONTENTS).is_none(),
    };
    written && page.page_stream().is_none_or(|content| content.trim_ascii().is_empty())
}

/// Whether a picture that the page draws is packed in an unknown way or cut off; of a page that `is_blank`, also whether one has bytes of
/// which nothing comes out.
pub(super) fn holds_damaged_image(page: &Page<'_>, is_blank: bool) -> bool {
    let objects = &page.resources().x_objects;
    let is_image = |object: &Stream<'_>| object.dict().get::<Name<'_>>(SUBTYPE).is_some_and(|kind| &*kind == b"Image");
    let is_damaged =
        |name: &Name<'_>| objects.get::<Stream<'_>>(name).is_some_and(|object| is_image(&object) && is_damaged(&object, is_blank));
    let damaged: Vec<Name<'_>> = objects.keys().filter(is_damaged).collect();
    let mut operations = page.typed_operations();
    // Pages share their resources, and may draw none of them.
    while !damaged.is_empty()
        && let Some(operation) = operations.next()
    {
        if matches!(operation, TypedInstruction::XObject(drawn) if damaged.contains(drawn.0)) {
            return true;
        }
    }
    false
}

fn is_damaged(image: &Stream<'_>, is_blank: bool) -> bool {
    let (packed, known) = (image.raw_data(), image.filters().len());
    let names: Vec<Name<'_>> = match image.dict().get::<Array<'_>>(FILTER) {
        Some(names) => names.iter().collect(),
        None => image.dict().get(FILTER).into_iter().collect(),
    };
    match names.as_slice() {
        names if names.len() > known => true,
        [name] if matches!(&**name, b"DCTDecode" | b"DCT") => jpeg_is_cut(&packed),
        [name] if &**name == b"JBIG2Decode" => jbig2_is_cut(&packed),
        _ => is_blank && packed.len() > EMPTY_STREAM && image.decoded_data().is_ok_and(|samples| samples.is_empty()),
    }
}

/// Whether a JPEG lacks the marker of its end, which zeros and a few other bytes may follow.
fn jpeg_is_cut(jpeg: &[u8]) -> bool {
    const FOLLOWING: usize = 64;
    let end = jpeg.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    !jpeg[end.saturating_sub(FOLLOWING)..end].windows(2).any(|marker| marker == [0xff, 0xd9])
}

/// Whether a segment of embedded JBIG2 says that it is longer than what is there (ISO/IEC 14492, 7.2).
fn jbig2_is_cut(mut rest: &[u8]) -> bool {
    const UNKNOWN: usize = 0xffff_ffff;
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, &byte| number << 8 | usize::from(byte));
    loop {
        let [n0, n1, n2, n3, flags, count, ..] = *rest else { return false };
        // How many segments it refers to, each by a number as wide as its own asks for.
        let (referred, field) = match count >> 5 {
            7 if rest.len() >= 9 => {
                let referred = number(&rest[5..9]) & 0x1fff_ffff;
                (referred, 4 + (referred + 1).div_ceil(8))
            }
            few => (usize::from(few), 1),
        };
        let width = match number(&[n0, n1, n2, n3]) {
            0..=256 => 1,
            257..=65536 => 2,
            _ => 4,
        };
        let page = if flags & 0x40 == 0 { 1 } else { 4 };
        let head = 5 + field + referred * width + page;
        let Some(length) = rest.get(head..head + 4).map(number) else { return false };
        match rest.get(head + 4 + length..) {
            _ if length == UNKNOWN => return false,
            None => return true,
            Some(following) => rest = following,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_and_jbig2_end_where_they_say() {
        let jpeg = [&[0xff, 0xd8, 1, 2, 3][..], &[0xff, 0xd9, b'\n'], &[0; 100]].concat();
        assert!(!jpeg_is_cut(&jpeg) && jpeg_is_cut(&jpeg[..5]) && jpeg_is_cut(&[]));
        // Page information of 19 bytes; a region that refers to two segments, on a page of four bytes, of 5 bytes; a line feed.
        let page = [&[0, 0, 0, 0, 0x30, 0, 1, 0, 0, 0, 19][..], &[7; 19]].concat();
        let region = [&[0, 0, 1, 2, 0x66, 0x40, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5][..], &[9; 5]].concat();
        let whole = [&page[..], &region, b"\n"].concat();
        assert!(!jbig2_is_cut(&whole) && !jbig2_is_cut(&page) && !jbig2_is_cut(&[]));
        for end in [12, page.len() - 1, whole.len() - 2] {
            assert!(jbig2_is_cut(&whole[..end]), "{end}");
        }
    }
}

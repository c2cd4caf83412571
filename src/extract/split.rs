//! Long text in chunks, as the recursive character splitter of LangChain cuts it, which the reference uses: at the first
//! separator that occurs, pieces that are still too long at the next ones, and neighbours joined while they fit. A separator
//! begins the piece behind it. Lengths are in characters.

/// Separators in the order in which they are tried; the empty one cuts anywhere.
const SEPARATORS: [&str; 5] = ["\t", "\n", "。", "\n\n", ""];

/// How long chunks are.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChunkSize {
    /// No chunk is longer.
    pub characters: usize,
    /// Neighbours have up to this in common.
    pub overlap: usize,
}

/// The reference's sizes.
pub(super) const CHUNKS: ChunkSize = ChunkSize { characters: 300, overlap: 20 };

/// `text` in chunks, without white space at their ends; none is empty.
pub(super) fn chunks(text: &str, size: ChunkSize) -> Vec<String> {
    let mut out = Vec::new();
    split(text, &SEPARATORS, size, &mut out);
    out
}

fn split(text: &str, separators: &[&str], size: ChunkSize, out: &mut Vec<String>) {
    let found = separators.iter().position(|separator| text.contains(separator));
    let (separator, finer) = found.map_or(("", &[][..]), |at| (separators[at], &separators[at + 1..]));
    let mut fitting: Vec<&str> = Vec::new();
    for piece in pieces(text, separator) {
        if length(piece) < size.characters {
            fitting.push(piece);
            continue;
        }
        merge(&std::mem::take(&mut fitting), size, out);
        match finer {
            [] => out.push(piece.to_owned()),
            finer => split(piece, finer, size, out),
        }
    }
    merge(&fitting, size, out);
}

/// `text` cut before each `separator`; at each character when it is empty.
fn pieces<'a>(text: &'a str, separator: &str) -> Vec<&'a str> {
    let cuts = match separator {
        "" => text.char_indices().map(|(at, _)| at).collect::<Vec<_>>(),
        separator => text.match_indices(separator).map(|(at, _)| at).collect(),
    };
    let ends = cuts.iter().copied().chain([text.len()]);
    let starts = std::iter::once(0).chain(cuts.iter().copied());
    starts.zip(ends).map(|(start, end)| &text[start..end]).filter(|piece| !piece.is_empty()).collect()
}

/// Joins neighbours into chunks; each chunk begins with the end of the one before it.
fn merge(pieces: &[&str], size: ChunkSize, out: &mut Vec<String>) {
    let mut push = |chunk: &[&str]| {
        let text = chunk.concat();
        if !text.trim().is_empty() {
            out.push(text.trim().to_owned());
        }
    };
    let (mut start, mut total) = (0, 0);
    for (end, piece) in pieces.iter().enumerate() {
        let more = length(piece);
        if total + more > size.characters && start < end {
            push(&pieces[start..end]);
            while total > size.overlap || (total + more > size.characters && total > 0) {
                total -= length(pieces[start]);
                start += 1;
            }
        }
        total += more;
    }
    push(&pieces[start..]);
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Case {
        text: String,
        characters: usize,
        overlap: usize,
        chunks: Vec<String>,
    }

    #[test]
    fn chunks_are_those_of_the_reference() {
        let cases: Vec<Case> = serde_json::from_str(include_str!("../../tests/fixtures/extract/chunks.json")).unwrap();
        assert!(cases.len() >= 40);
        for (index, case) in cases.iter().enumerate() {
            let size = ChunkSize { characters: case.characters, overlap: case.overlap };
            assert_eq!(chunks(&case.text, size), case.chunks, "case {index}");
        }
    }
}

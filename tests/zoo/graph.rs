//! Restores a stripped model: tensors whose data is external at `zoo-splitmix64-v1` get their numbers back. The result is
//! the file of which the zoo knows the checksum, so every other byte stays as it is.

use hpinfer::verify::inputs::uniform;
use rayon::prelude::*;

const LOCATION: &[u8] = b"zoo-splitmix64-v1";

/// Field numbers of onnx.proto.
const MODEL_GRAPH: u64 = 7;
const GRAPH_NODE: u64 = 1;
const GRAPH_INITIALIZER: u64 = 5;
const NODE_ATTRIBUTE: u64 = 5;
const ATTRIBUTE_GRAPHS: [u64; 2] = [6, 11];
const TENSOR_DIMS: u64 = 1;
const TENSOR_RAW_DATA: u64 = 9;
const TENSOR_EXTERNAL_DATA: u64 = 13;
const TENSOR_DATA_LOCATION: u64 = 14;

/// A part of the restored file.
enum Piece<'a> {
    Kept(&'a [u8]),
    Made(Vec<u8>),
    Weights(Weights),
}

/// Numbers to make: `uniform(seed, i) * 2^scale_exp + offset`.
struct Weights {
    seed: u64,
    scale: f32,
    offset: f32,
    count: usize,
}

impl Piece<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Kept(bytes) => bytes.len(),
            Self::Made(bytes) => bytes.len(),
            Self::Weights(weights) => 4 * weights.count,
        }
    }
}

/// The file that `stripped` stands for.
pub fn restore(stripped: &[u8]) -> Vec<u8> {
    let pieces = rewrite(stripped, &|field| (field.number == MODEL_GRAPH).then(|| graph(field.payload)));
    let mut file = vec![0; pieces.iter().map(Piece::len).sum()];
    let mut rest = &mut file[..];
    for piece in pieces {
        let (here, after) = rest.split_at_mut(piece.len());
        match piece {
            Piece::Kept(bytes) => here.copy_from_slice(bytes),
            Piece::Made(bytes) => here.copy_from_slice(&bytes),
            Piece::Weights(weights) => weights.write(here),
        }
        rest = after;
    }
    file
}

impl Weights {
    fn write(&self, bytes: &mut [u8]) {
        const RUN: usize = 1 << 16;
        bytes.par_chunks_mut(4 * RUN).enumerate().for_each(|(run, bytes)| {
            for (i, element) in bytes.as_chunks_mut::<4>().0.iter_mut().enumerate() {
                let scaled = uniform(self.seed, (run * RUN + i) as u64) * self.scale;
                *element = if self.offset == 0.0 { scaled } else { scaled + self.offset }.to_le_bytes();
            }
        });
    }
}

fn graph(bytes: &[u8]) -> Vec<Piece<'_>> {
    rewrite(bytes, &|field| match field.number {
        GRAPH_INITIALIZER => tensor(field.payload),
        GRAPH_NODE if names_location(field.payload) => Some(node(field.payload)),
        _ => None,
    })
}

fn node(bytes: &[u8]) -> Vec<Piece<'_>> {
    let attribute = |field: &Field<'_>| field.number == NODE_ATTRIBUTE && names_location(field.payload);
    rewrite(bytes, &|field| {
        attribute(&field).then(|| rewrite(field.payload, &|field| ATTRIBUTE_GRAPHS.contains(&field.number).then(|| graph(field.payload))))
    })
}

/// A tensor with its numbers; `None` when it has them already.
fn tensor(bytes: &[u8]) -> Option<Vec<Piece<'_>>> {
    let mut kept = Vec::new();
    let (mut count, mut external) = (1, std::collections::HashMap::new());
    for field in fields(bytes) {
        match field.number {
            TENSOR_EXTERNAL_DATA => {
                let mut entry = fields(field.payload);
                let mut text = || entry.next().map_or(String::new(), |f| String::from_utf8_lossy(f.payload).into_owned());
                external.insert(text(), text());
                continue;
            }
            TENSOR_DATA_LOCATION => continue,
            TENSOR_DIMS if field.wire == 0 => count *= field.value,
            TENSOR_DIMS => {
                let mut rest = field.payload;
                while !rest.is_empty() {
                    count *= varint(&mut rest);
                }
            }
            _ => {}
        }
        kept.push(Piece::Kept(field.whole));
    }
    if external.get("location").map(String::as_bytes) != Some(LOCATION) {
        return None;
    }
    let number = |key: &str| external.get(key).unwrap_or_else(|| panic!("a stripped tensor without {key}"));
    let weights = Weights {
        seed: number("seed").parse().expect("a seed"),
        scale: 2f32.powi(number("scale_exp").parse().expect("an exponent")),
        offset: number("offset").parse().expect("an offset"),
        count: count as usize,
    };
    kept.push(Piece::Made(header(TENSOR_RAW_DATA, 4 * weights.count)));
    kept.push(Piece::Weights(weights));
    Some(kept)
}

/// A field of a protobuf message.
struct Field<'a> {
    number: u64,
    wire: u64,
    /// What a varint says.
    value: u64,
    /// The contents of a message, string or packed list.
    payload: &'a [u8],
    whole: &'a [u8],
}

/// The message, with those fields replaced for which `nested` gives new contents.
fn rewrite<'a>(bytes: &'a [u8], nested: &dyn Fn(Field<'a>) -> Option<Vec<Piece<'a>>>) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for field in fields(bytes) {
        let (number, whole) = (field.number, field.whole);
        match if field.wire == 2 { nested(field) } else { None } {
            Some(new) => {
                pieces.push(Piece::Made(header(number, new.iter().map(Piece::len).sum())));
                pieces.extend(new);
            }
            None => pieces.push(Piece::Kept(whole)),
        }
    }
    pieces
}

fn fields(bytes: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let start = rest;
        if rest.is_empty() {
            return None;
        }
        let tag = varint(&mut rest);
        let mut value = 0;
        let length = match tag & 7 {
            0 => {
                value = varint(&mut rest);
                0
            }
            1 => 8,
            2 => varint(&mut rest) as usize,
            5 => 4,
            wire => panic!("wire type {wire}"),
        };
        let (payload, after) = rest.split_at(length);
        rest = after;
        Some(Field { number: tag >> 3, wire: tag & 7, value, payload, whole: &start[..start.len() - rest.len()] })
    })
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole number");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            break;
        }
    }
    value
}

/// Tag and length of a length-delimited field.
fn header(number: u64, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for mut value in [number << 3 | 2, length as u64] {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }
    bytes
}

fn names_location(bytes: &[u8]) -> bool {
    bytes.windows(LOCATION.len()).any(|window| window == LOCATION)
}

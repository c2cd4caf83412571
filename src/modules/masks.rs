//! The shapes inside of boxes, out of the third output of an instance segmenter: maps of 0 and 1 of the picture's size, or the
//! logits at low resolution that they are made of, where the graph ends before.

use super::feed::PictureWorker;
use crate::device::Stream;
use crate::error::Result;
use crate::image::Size;
use crate::ops::mask::cuda::{self, Item, Table};
use crate::ops::mask::{MaskLogits, Window, cpu};
use crate::result::Mask;
use crate::tensor::device::{DeviceData, DeviceTensor, Downloaded};
use crate::tensor::storage::{download, stage};
use crate::tensor::{Data, Shape, TensorRef};
use crate::trace::Transfers;
use std::ops::Range;

/// A mask to make: the row of the detector, and the pixels of its box.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub row: usize,
    pub window: Window,
}

/// What the output holds for every row.
#[derive(Clone, Copy)]
pub(super) enum Form {
    /// A map of the picture's size, `[rows, height, width]`.
    Maps,
    /// Logits of this size, `[1, rows, height, width]`.
    Logits(Size),
}

impl Form {
    /// The form of an output of this shape for a picture of size `picture`.
    ///
    /// # Errors
    /// In words, when it is none for `rows` rows.
    pub fn of(shape: &Shape, picture: Size, rows: usize) -> Result<Self, String> {
        match *shape.dims() {
            [n, h, w] if n >= rows && (w, h) == (picture.width as usize, picture.height as usize) => Ok(Self::Maps),
            [1, n, h, w] if n >= rows && h.min(w) > 0 => Ok(Self::Logits(Size::new(w as u32, h as u32))),
            _ => Err(format!("masks {shape}; a map of {picture} for every row, or logits of one, are expected")),
        }
    }
}

/// The masks `wanted` of a picture of size `picture`.
///
/// # Errors
/// `fault` of what is found in place of masks; those of the device.
pub(super) fn masks(
    worker: &mut PictureWorker,
    wanted: &[Wanted],
    picture: Size,
    transfers: &mut Transfers,
    fault: impl Fn(String) -> crate::Error,
) -> Result<Vec<Mask>> {
    let rows = wanted.iter().map(|w| w.row + 1).max().unwrap_or(0);
    let Some(session) = worker.session.on_gpu() else {
        let output = worker.session.output(2)?;
        return match (Form::of(&output.shape, picture, rows).map_err(fault)?, output.data) {
            (Form::Logits(size), _) => wanted.iter().map(|w| from_logits(&output, size, picture, *w)).collect(),
            (Form::Maps, data) => wanted.iter().map(|w| from_band(data.part(band(*w, picture))?, picture, w.window)).collect(),
        };
    };
    let stream = session.stream().clone();
    let output = session.outputs(3)?[2];
    match Form::of(&output.shape, picture, rows).map_err(fault)? {
        Form::Logits(size) => from_logits_on_gpu(&stream, &output, size, picture, wanted, transfers),
        Form::Maps => from_maps_on_gpu(&stream, output.data, picture, wanted, transfers),
    }
}

fn from_logits(output: &TensorRef<'_>, size: Size, picture: Size, wanted: Wanted) -> Result<Mask> {
    let data = &output.as_f32()?[logits(wanted, size)];
    let mut inside = Vec::new();
    cpu::cut(MaskLogits { data, size }, picture, wanted.window, &mut inside)?;
    Mask::new(wanted.window.size(), inside)
}

fn from_logits_on_gpu(
    stream: &Stream,
    output: &DeviceTensor<'_>,
    size: Size,
    picture: Size,
    wanted: &[Wanted],
    transfers: &mut Transfers,
) -> Result<Vec<Mask>> {
    let all = output.as_f32()?;
    let item = |w: &Wanted| Ok(Item { logits: all.part(logits(*w, size))?, size, picture, window: w.window });
    let table = Table::new(&wanted.iter().map(item).collect::<Result<Vec<_>>>()?)?;
    let rows = stage(table.rows(), stream)?.upload(stream, transfers)?;
    let mut out = stream.alloc(table.bytes() as usize)?;
    cuda::cut(stream, &table, rows.on_device()?, &mut out.slice_mut())?;
    let masks = download(out.slice(), stream, transfers)?;
    let mut rest = masks.on_host()?;
    let mask = |w: &Wanted| {
        let (inside, others) = rest.split_at(w.window.size().area() as usize);
        rest = others;
        Mask::new(w.window.size(), inside.to_vec())
    };
    wanted.iter().map(mask).collect()
}

/// Only the rows of a map that the box covers come to the host.
fn from_maps_on_gpu(
    stream: &Stream,
    maps: DeviceData<'_>,
    picture: Size,
    wanted: &[Wanted],
    transfers: &mut Transfers,
) -> Result<Vec<Mask>> {
    let fetch = |w: &Wanted| {
        let range = band(*w, picture);
        DeviceTensor { shape: Shape::new(&[range.len()]), data: maps.part(range)? }.download(stream, transfers)
    };
    let bands: Vec<Downloaded> = wanted.iter().map(fetch).collect::<Result<_>>()?;
    bands.iter().zip(wanted).map(|(band, w)| from_band(band.on_host()?.data, picture, w.window)).collect()
}

/// Where the logits of a row are.
fn logits(wanted: Wanted, size: Size) -> Range<usize> {
    let each = size.area() as usize;
    wanted.row * each..(wanted.row + 1) * each
}

/// Where the rows of a map that the box covers are.
fn band(wanted: Wanted, picture: Size) -> Range<usize> {
    let line = |y: u32| (wanted.row * picture.height as usize + y as usize) * picture.width as usize;
    let top = wanted.window.y0;
    line(top)..line(top + wanted.window.size().height)
}

/// The mask in `window` of a picture, out of the rows of its map that it covers.
fn from_band(band: Data<'_>, picture: Size, window: Window) -> Result<Mask> {
    let inside = match band {
        Data::I32(band) => inside(band, picture, window, |v| v != 0),
        Data::I64(band) => inside(band, picture, window, |v| v != 0),
        Data::F32(band) => inside(band, picture, window, |v| v > 0.5),
    };
    Mask::new(window.size(), inside)
}

fn inside<T: Copy>(band: &[T], picture: Size, window: Window, is_set: impl Fn(T) -> bool) -> Vec<u8> {
    let (left, columns) = (window.x0 as usize, window.size().width as usize);
    band.chunks_exact(picture.width as usize).flat_map(|row| &row[left..][..columns]).map(|&v| u8::from(is_set(v))).collect()
}

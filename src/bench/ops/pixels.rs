//! From network outputs to masks and classes of pixels.

use super::{BATCH, Noise, Op, Recipe, at_each_size, on_device, recipe};
use crate::device::{DeviceBuffer, Stream};
use crate::error::Result;
use crate::image::Size;
use crate::ops::mask;
use crate::tensor::storage::{Storage, download};
use crate::trace::Transfers;

/// The classes of all pixels, and their colours.
struct Classes {
    size: Size,
    scores: Vec<f32>,
    placed: Storage<f32>,
    labels: DeviceBuffer<u8>,
    colours: DeviceBuffer<u8>,
    expected: Vec<u8>,
}

const CLASSES: usize = 19;

impl Classes {
    fn new(stream: &Stream, size: Size) -> Result<Self> {
        let mut noise = Noise(11);
        let pixels = size.area() as usize;
        let scores: Vec<f32> = (0..pixels * CLASSES).map(|_| noise.unit()).collect();
        let placed = on_device(&scores, stream)?;
        let (labels, colours) = (stream.alloc(pixels)?, stream.alloc(pixels * 3)?);
        Ok(Self { size, scores, placed, labels, colours, expected: vec![0; pixels] })
    }
}

impl Op for Classes {
    fn name(&self) -> &'static str {
        "mask argmax + colour"
    }

    fn case(&self) -> String {
        format!("{}, {CLASSES} classes", self.size)
    }

    fn bytes(&self) -> u64 {
        self.size.area() * (CLASSES as u64 * 4 + 1 + 1 + 3)
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        mask::cuda::argmax(stream, self.placed.on_device()?, 1, CLASSES, &mut self.labels.slice_mut())?;
        mask::cuda::colour(stream, self.labels.slice(), &mut self.colours.slice_mut())
    }

    fn on_cpu(&mut self) -> Result<()> {
        mask::cpu::argmax(&self.scores, CLASSES, &mut self.expected)?;
        std::hint::black_box(mask::cpu::colour(&self.expected));
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let mut transfers = Transfers::default();
        let labels = download(self.labels.slice(), stream, &mut transfers)?;
        let colours = download(self.colours.slice(), stream, &mut transfers)?;
        let expected = mask::cpu::colour(&self.expected);
        let unlike = labels.on_host()?.iter().zip(&self.expected).filter(|(a, b)| a != b).count();
        let other = colours.on_host()?.iter().zip(&expected).filter(|(a, b)| a != b).count();
        Ok([unlike + other, self.expected.len() + expected.len()])
    }
}

/// The masks of a picture of instances.
struct Masks {
    picture: Size,
    windows: Vec<mask::Window>,
    logits: Vec<f32>,
    placed: Storage<f32>,
    rows: Storage<mask::cuda::Row>,
    out: DeviceBuffer<u8>,
    expected: Vec<u8>,
}

const LOGITS: Size = Size::new(160, 160);

impl Masks {
    fn new(stream: &Stream, picture: Size) -> Result<Self> {
        let (mut noise, Size { width, height }) = (Noise(13), picture);
        let mut span = |side: u32| {
            let from = noise.below(side * 7 / 10);
            [from, from + side / 25 + noise.below(side / 4)]
        };
        let mut window = |_| {
            let ([x0, x1], [y0, y1]) = (span(width), span(height));
            mask::Window { x0, y0, x1, y1 }
        };
        let windows: Vec<mask::Window> = (0..BATCH).map(&mut window).collect();
        let logits: Vec<f32> = (0..LOGITS.area() * windows.len() as u64).map(|_| noise.unit() - 0.5).collect();
        let placed = on_device(&logits, stream)?;
        let table = table(&placed, picture, &windows)?;
        let (rows, out) = (on_device(table.rows(), stream)?, stream.alloc(table.bytes() as usize)?);
        drop(table);
        Ok(Self { picture, windows, logits, placed, rows, out, expected: Vec::new() })
    }
}

fn table<'a>(logits: &'a Storage<f32>, picture: Size, windows: &[mask::Window]) -> Result<mask::cuda::Table<'a>> {
    let (all, each) = (logits.on_device()?, LOGITS.area() as usize);
    let item = |(n, &window): (usize, &mask::Window)| {
        Ok(mask::cuda::Item { logits: all.part(n * each..(n + 1) * each)?, size: LOGITS, picture, window })
    };
    mask::cuda::Table::new(&windows.iter().enumerate().map(item).collect::<Result<Vec<_>>>()?)
}

impl Op for Masks {
    fn name(&self) -> &'static str {
        "mask cut"
    }

    fn case(&self) -> String {
        format!("{BATCH} unlike masks of {LOGITS} in a picture of {}", self.picture)
    }

    fn bytes(&self) -> u64 {
        self.logits.len() as u64 * 4 + self.out.len() as u64
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let table = table(&self.placed, self.picture, &self.windows)?;
        mask::cuda::cut(stream, &table, self.rows.on_device()?, &mut self.out.slice_mut())
    }

    fn on_cpu(&mut self) -> Result<()> {
        self.expected.clear();
        let mut one = Vec::new();
        for (data, &window) in self.logits.chunks_exact(LOGITS.area() as usize).zip(&self.windows) {
            mask::cpu::cut(mask::MaskLogits { data, size: LOGITS }, self.picture, window, &mut one)?;
            self.expected.extend_from_slice(&one);
        }
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let out = download(self.out.slice(), stream, &mut Transfers::default())?;
        let unlike = out.on_host()?.iter().zip(&self.expected).filter(|(a, b)| a != b).count();
        Ok([unlike, self.expected.len()])
    }
}

/// Masks and classes at each size, and classes as cameras of cars have them.
pub(super) fn all() -> Vec<Recipe> {
    let usual = recipe("classes-1024", |stream| Classes::new(stream, Size::new(1024, 512)));
    at_each_size("masks", Masks::new).into_iter().chain(at_each_size("classes", Classes::new)).chain([usual]).collect()
}

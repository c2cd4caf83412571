//! From frames to frames.

use super::image::{page, resident};
use super::{Op, Recipe, at_each_size, on_device, recipe};
use crate::device::{DeviceBuffer, Stream};
use crate::error::Result;
use crate::image::{ImageBuf, PixelFormat, Resident, Size};
use crate::ops::difference;
use crate::ops::whiten::{self, White};
use crate::tensor::storage::{Storage, download};
use crate::trace::Transfers;
use std::sync::Arc;

/// A page without some regions.
struct Whiten {
    page: ImageBuf,
    resident: Arc<Resident>,
    regions: Vec<[i32; 4]>,
    placed: Storage<[i32; 4]>,
    out: DeviceBuffer<u8>,
    expected: Option<ImageBuf>,
}

impl Whiten {
    fn new(stream: &Stream, size: Size) -> Result<Self> {
        let page = page(size)?;
        // As on A4 at 300 dpi.
        let [x, y] = [(size.width, 2480), (size.height, 3508)].map(|(side, whole)| move |at: u32| (at * side / whole) as i32);
        let regions: Vec<[i32; 4]> = (0..10).map(|n| [x(100 + n * 7), y(60 + n * 340), x(2300 - n * 90), y(320 + n * 340)]).collect();
        let placed = on_device(&regions, stream)?;
        let out = stream.alloc(page.data().len())?;
        Ok(Self { resident: resident(&page, stream)?, page, regions, placed, out, expected: None })
    }
}

impl Op for Whiten {
    fn name(&self) -> &'static str {
        "whiten"
    }

    fn case(&self) -> String {
        format!("{} regions of {}", self.regions.len(), self.page.size())
    }

    fn bytes(&self) -> u64 {
        self.page.size().area() * 6
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        whiten::cuda::run(stream, &self.resident.surface()?, self.placed.on_device()?, White::Inside, &mut self.out.slice_mut())
    }

    fn on_cpu(&mut self) -> Result<()> {
        self.expected = Some(whiten::cpu::run(self.page.view(), &self.regions, White::Inside)?);
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let found = download(self.out.slice(), stream, &mut Transfers::default())?;
        let expected = self.expected.as_ref().map_or(&[][..], ImageBuf::data);
        Ok([found.on_host()?.iter().zip(expected).filter(|(a, b)| a != b).count(), expected.len()])
    }
}

/// Two frames of a video.
struct Difference {
    frames: [ImageBuf; 2],
    residents: [Arc<Resident>; 2],
    out: DeviceBuffer<f32>,
    expected: Vec<f32>,
}

impl Difference {
    fn new(stream: &Stream, size: Size) -> Result<Self> {
        let first = page(size)?;
        let mut data = first.data().to_vec();
        data[size.area() as usize..].iter_mut().take(3000).for_each(|v| *v ^= 3);
        let frames = [first, ImageBuf::new(data, size, PixelFormat::Bgr)?];
        let residents = [resident(&frames[0], stream)?, resident(&frames[1], stream)?];
        let tiles = [size.width, size.height].map(|side| (side as usize).div_ceil(difference::TILE)).iter().product();
        Ok(Self { frames, residents, out: stream.alloc(tiles)?, expected: Vec::new() })
    }
}

impl Op for Difference {
    fn name(&self) -> &'static str {
        "difference"
    }

    fn case(&self) -> String {
        format!("two of {}", self.frames[0].size())
    }

    fn bytes(&self) -> u64 {
        self.frames[0].size().area() * 6
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let [a, b] = &self.residents;
        difference::cuda::run(stream, &a.surface()?, &b.surface()?, &mut self.out.slice_mut())
    }

    fn on_cpu(&mut self) -> Result<()> {
        let [a, b] = &self.frames;
        self.expected = difference::cpu::tile_differences(a.view(), b.view()).unwrap_or_default();
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let found = download(self.out.slice(), stream, &mut Transfers::default())?;
        let found = found.on_host()?;
        let differ = found.iter().zip(&self.expected).filter(|(a, b)| a != b).count();
        Ok([differ + found.len().abs_diff(self.expected.len()), found.len()])
    }
}

/// Frames at each size, and a scanned page.
pub(super) fn all() -> Vec<Recipe> {
    let page = recipe("whiten-page", |stream| Whiten::new(stream, Size::new(2480, 3508)));
    at_each_size("whiten", Whiten::new).into_iter().chain([page]).chain(at_each_size("difference", Difference::new)).collect()
}

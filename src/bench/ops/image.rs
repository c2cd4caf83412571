//! From pixels to network inputs.

use super::{BATCH, Noise, Op, Recipe, recipe};
use crate::device::{DeviceBuffer, FloatsMut, Stream};
use crate::error::Result;
use crate::image::nv12::{self, Nv12View, YuvColours};
use crate::image::{ImageBuf, PixelFormat, PointI, Resident, Size, Surface, SurfaceFormat};
use crate::ops::resize_norm::{self, Interpolation, Normalize, Params, Planes, Window};
use crate::ops::warp::cuda::Taps;
use crate::ops::warp::curve::{self, CurvePlan};
use crate::ops::warp::{self, CropPlan};
use crate::tensor::storage::{Storage, download, stage};
use crate::trace::Transfers;
use std::borrow::Cow;
use std::sync::Arc;

/// Where a network input is written.
enum Out {
    F32(DeviceBuffer<f32>),
    F16(DeviceBuffer<u16>),
}

impl Out {
    fn new(stream: &Stream, half: bool, values: usize) -> Result<Self> {
        Ok(if half { Self::F16(stream.alloc(values)?) } else { Self::F32(stream.alloc(values)?) })
    }

    fn floats(&mut self) -> FloatsMut<'_> {
        match self {
            Self::F32(out) => FloatsMut::F32(out.slice_mut()),
            Self::F16(out) => FloatsMut::F16(out.slice_mut()),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::F16(_) => "f16",
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::F32(out) => out.len() as u64 * 4,
            Self::F16(out) => out.len() as u64 * 2,
        }
    }

    /// Values that are not those of `expected`, of how many. Those of 16 bits are compared within their precision.
    fn differences(&self, expected: &[f32], stream: &Stream) -> Result<[usize; 2]> {
        let mut transfers = Transfers::default();
        let count = match self {
            Self::F32(out) => {
                let found = download(out.slice(), stream, &mut transfers)?;
                found.on_host()?.iter().zip(expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count()
            }
            Self::F16(out) => {
                let found = download(out.slice(), stream, &mut transfers)?;
                let near = |a: u16, b: f32| (half_to_f32(a) - b).abs() <= b.abs() / 1024.0 + 1e-6;
                found.on_host()?.iter().zip(expected).filter(|&(&a, &b)| !near(a, b)).count()
            }
        };
        Ok([count, expected.len()])
    }
}

/// The value of a 16-bit float.
fn half_to_f32(bits: u16) -> f32 {
    let (sign, exponent, mantissa) = (u32::from(bits >> 15), u32::from(bits >> 10 & 31), u32::from(bits & 1023));
    let size = match exponent {
        0 => mantissa as f32 / f32::from(1u16 << 12) / f32::from(1u16 << 12),
        31 if mantissa == 0 => f32::INFINITY,
        31 => f32::NAN,
        _ => f32::from_bits((exponent + 112) << 23 | mantissa << 13),
    };
    if sign == 1 { -size } else { size }
}

pub(super) fn page(size: Size) -> Result<ImageBuf> {
    let mut noise = Noise(1);
    ImageBuf::new((0..size.area() * 3).map(|_| noise.next() as u8).collect(), size, PixelFormat::Bgr)
}

pub(super) fn resident(image: &ImageBuf, stream: &Stream) -> Result<Arc<Resident>> {
    Resident::bring(image.view().into(), image.size(), stream, &mut Transfers::default())
}

/// A picture on both sides.
enum Source {
    Bgr {
        picture: ImageBuf,
        resident: Arc<Resident>,
    },
    /// Luma, then chroma, without gaps.
    Nv12 {
        size: Size,
        planes: Vec<u8>,
        placed: Storage<u8>,
    },
}

impl Source {
    fn new(stream: &Stream, size: Size, nv12: bool) -> Result<Self> {
        if !nv12 {
            let picture = page(size)?;
            return Ok(Self::Bgr { resident: resident(&picture, stream)?, picture });
        }
        let mut noise = Noise(2);
        let planes: Vec<u8> = (0..size.area() * 3 / 2).map(|_| noise.next() as u8).collect();
        Ok(Self::Nv12 { size, placed: stage(&planes, stream)?.upload(stream, &mut Transfers::default())?, planes })
    }

    fn size(&self) -> Size {
        match self {
            Self::Bgr { picture, .. } => picture.size(),
            Self::Nv12 { size, .. } => *size,
        }
    }

    fn surface(&self) -> Result<Surface<'_>> {
        match self {
            Self::Bgr { resident, .. } => resident.surface(),
            Self::Nv12 { size, placed, .. } => {
                let (all, luma, pitch) = (placed.on_device()?, size.area() as usize, size.width);
                let format = SurfaceFormat::Nv12 { chroma: all.part(luma..all.len())?, pitch, colours: YuvColours::default() };
                Surface::new(all.part(0..luma)?, pitch, *size, format)
            }
        }
    }

    /// The picture in BGR, on the host.
    fn picture(&self) -> Result<Cow<'_, ImageBuf>> {
        Ok(match self {
            Self::Bgr { picture, .. } => Cow::Borrowed(picture),
            Self::Nv12 { size, planes, .. } => {
                let ((luma, chroma), pitch) = (planes.split_at(size.area() as usize), size.width as usize);
                let colours = YuvColours::default();
                Cow::Owned(nv12::to_bgr(Nv12View { luma, luma_pitch: pitch, chroma, chroma_pitch: pitch, size: *size, colours })?)
            }
        })
    }

    /// Of so many pixels.
    fn bytes(&self, pixels: u64) -> u64 {
        match self {
            Self::Bgr { .. } => pixels * 3,
            Self::Nv12 { .. } => pixels * 3 / 2,
        }
    }
}

/// Pictures into one batch, each as large as its canvas takes it.
struct Resize {
    sources: Vec<(Source, Size)>,
    rows: Storage<resize_norm::cuda::Row>,
    params: Params,
    out: Out,
    expected: Vec<f32>,
    scratch: resize_norm::cpu::Scratch,
}

impl Resize {
    fn new(stream: &Stream, sources: Vec<(Source, Size)>, canvas: Size, interpolation: Interpolation, half: bool) -> Result<Self> {
        let params = Params { canvas, interpolation, normalize: Normalize::IMAGENET, pad: 0.5, planes: Planes::Bgr };
        let values = sources.len() * canvas.area() as usize * 3;
        let items = Self::items(&sources)?;
        let rows = stage(resize_norm::cuda::Table::new(&items, &params)?.rows(), stream)?.upload(stream, &mut Transfers::default())?;
        drop(items);
        let (out, expected) = (Out::new(stream, half, values)?, vec![0.0; values]);
        Ok(Self { sources, rows, params, out, expected, scratch: Default::default() })
    }

    fn items(sources: &[(Source, Size)]) -> Result<Vec<resize_norm::cuda::Item<'_>>> {
        let sources = sources.iter().map(|(source, resized)| (source, *resized));
        let items = sources
            .map(|(source, resized)| Ok(resize_norm::cuda::Item { src: source.surface()?, resized, window: Window::whole(resized) }));
        items.collect()
    }

    /// Of sides that have nothing in common, each within `canvas`.
    fn unlike(stream: &Stream, canvas: Size, half: bool) -> Result<Self> {
        let mut noise = Noise(4);
        let mut source = || {
            let size = Size::new(200 + noise.below(1081), 150 + noise.below(811));
            let ratio = f64::min(f64::from(canvas.width) / f64::from(size.width), f64::from(canvas.height) / f64::from(size.height));
            let side = |side: u32| (f64::from(side) * ratio) as u32;
            Ok((Source::new(stream, size, false)?, Size::new(side(size.width), side(size.height))))
        };
        let sources = (0..BATCH).map(|_| source()).collect::<Result<_>>()?;
        Self::new(stream, sources, canvas, Interpolation::Linear, half)
    }
}

impl Op for Resize {
    fn name(&self) -> &'static str {
        match (&self.sources[0].0, self.params.interpolation) {
            (Source::Bgr { .. }, Interpolation::Linear) => "resize_norm linear",
            (Source::Bgr { .. }, Interpolation::Cubic) => "resize_norm cubic",
            (Source::Nv12 { .. }, Interpolation::Linear) => "resize_norm linear, NV12",
            (Source::Nv12 { .. }, Interpolation::Cubic) => "resize_norm cubic, NV12",
        }
    }

    fn case(&self) -> String {
        let from = match &self.sources[..] {
            [(source, _)] => source.size().to_string(),
            many => format!("{} unlike", many.len()),
        };
        format!("{from} -> {} {}", self.params.canvas, self.out.name())
    }

    fn bytes(&self) -> u64 {
        // A smaller picture does not need all samples of a larger one: four or sixteen neighbours for each.
        let taps = if self.params.interpolation == Interpolation::Linear { 4 } else { 16 };
        let needed = |(source, resized): &(Source, Size)| source.bytes(source.size().area().min(resized.area() * taps));
        self.sources.iter().map(needed).sum::<u64>() + self.out.bytes()
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let items = Self::items(&self.sources)?;
        let table = resize_norm::cuda::Table::new(&items, &self.params)?;
        resize_norm::cuda::run(stream, &table, self.rows.on_device()?, &self.out.floats())
    }

    fn on_cpu(&mut self) -> Result<()> {
        let pictures = self.sources.iter().map(|(source, _)| source.picture()).collect::<Result<Vec<_>>>()?;
        let items: Vec<_> =
            pictures.iter().zip(&self.sources).map(|(picture, (_, resized))| resize_norm::Item::whole(picture.view(), *resized)).collect();
        resize_norm::cpu::run(&items, &self.params, &mut self.expected, &mut self.scratch)
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        self.out.differences(&self.expected, stream)
    }
}

/// Lines of unlike size and angle, or bend, out of one page into one batch.
struct Crops {
    source: Source,
    /// The page in BGR, on the host.
    page: ImageBuf,
    plans: Vec<(CurvePlan, Size)>,
    rows: Storage<warp::cuda::Row>,
    strips: Option<Storage<warp::cuda::StripRow>>,
    taps: Storage<Taps>,
    params: Params,
    out: Out,
    expected: Vec<f32>,
    crop: Vec<u8>,
    warp: warp::cpu::Scratch,
    resize: resize_norm::cpu::Scratch,
}

impl Crops {
    fn new(stream: &Stream, half: bool, curved: bool, nv12: bool) -> Result<Self> {
        let source = Source::new(stream, Size::new(1920, 1080), nv12)?;
        let page = source.picture()?.into_owned();
        let canvas = Size::new(320, 48);
        let params =
            Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::SYMMETRIC, pad: 0.0, planes: Planes::Bgr };
        let mut noise = Noise(7);
        let bent = |[left, top]: [f64; 2], height: f64| {
            let at = |radius: f64, step: u32| {
                let (sin, cos) = (std::f64::consts::PI * f64::from(step) / 12.0).sin_cos();
                PointI::new((left + 110.0 - radius * cos) as i32, (top + 110.0 - radius * sin) as i32)
            };
            let outline = (0..=12).map(|step| at(110.0, step)).chain((0..=12).rev().map(|step| at(110.0 - height, step)));
            CurvePlan::from_polygon(&outline.collect::<Vec<_>>(), Size::new(1920, 1080))
        };
        let plan = |n: u32| {
            let (width, height) = (60.0 + f64::from(noise.below(400)), 14.0 + f64::from(noise.below(50)));
            let (sin, cos) = (f64::from(noise.unit()) * 0.2 - 0.1).sin_cos();
            let (left, top) = (50.0 + f64::from(n % 4 * 450), 60.0 + f64::from(n / 4 * 120));
            let corner = |x: f64, y: f64| PointI::new((left + x * cos - y * sin) as i32, (top + x * sin + y * cos) as i32);
            let quad = [corner(0.0, 0.0), corner(width, 0.0), corner(width, height), corner(0.0, height)];
            let plan = if curved { bent([left, top], height)? } else { CurvePlan::Rectangle(CropPlan::from_quad(&quad)?) };
            let size = plan.size();
            Ok((plan, Size::new((48 * size.width).div_ceil(size.height.max(1)).clamp(1, canvas.width), 48)))
        };
        let plans: Vec<(CurvePlan, Size)> = (0..BATCH as u32).map(plan).collect::<Result<_>>()?;
        let values = BATCH * canvas.area() as usize * 3;
        let src = source.surface()?;
        let items: Vec<_> = plans.iter().map(|(plan, resized)| warp::cuda::Item { src, plan, resized: *resized }).collect();
        let table = warp::cuda::Table::new(&items, &params)?;
        let mut transfers = Transfers::default();
        let rows = stage(table.rows(), stream)?.upload(stream, &mut transfers)?;
        let strips = (!table.strips().is_empty()).then(|| stage(table.strips(), stream)?.upload(stream, &mut transfers)).transpose()?;
        drop(table);
        let taps = stage(&warp::cuda::weights(), stream)?.upload(stream, &mut transfers)?;
        let (out, expected) = (Out::new(stream, half, values)?, vec![0.0; values]);
        let (crop, warp, resize) = Default::default();
        Ok(Self { source, page, plans, rows, strips, taps, params, out, expected, crop, warp, resize })
    }
}

impl Op for Crops {
    fn name(&self) -> &'static str {
        "warp_resize_norm"
    }

    fn case(&self) -> String {
        let shape = match (&self.source, &self.strips) {
            (_, Some(_)) => "curved",
            (Source::Bgr { .. }, None) => "unlike",
            (Source::Nv12 { .. }, None) => "unlike NV12",
        };
        format!("{BATCH} {shape} crops of {} -> {} {}", self.page.size(), self.params.canvas, self.out.name())
    }

    fn bytes(&self) -> u64 {
        self.plans.iter().map(|(plan, _)| self.source.bytes(plan.size().area())).sum::<u64>() + self.out.bytes()
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let src = self.source.surface()?;
        let items: Vec<_> = self.plans.iter().map(|(plan, resized)| warp::cuda::Item { src, plan, resized: *resized }).collect();
        let table = warp::cuda::Table::new(&items, &self.params)?;
        let strips = self.strips.as_ref().map(Storage::on_device).transpose()?;
        warp::cuda::run(stream, &table, self.rows.on_device()?, strips, self.taps.on_device()?, &self.out.floats())
    }

    fn on_cpu(&mut self) -> Result<()> {
        let values = self.params.canvas.area() as usize * 3;
        for ((plan, resized), out) in self.plans.iter().zip(self.expected.chunks_exact_mut(values)) {
            curve::warp(self.page.view(), plan, &mut self.crop, &mut self.warp)?;
            let src = crate::image::ImageView { data: &self.crop, size: plan.size(), format: PixelFormat::Bgr };
            resize_norm::cpu::run(&[resize_norm::Item::whole(src, *resized)], &self.params, out, &mut self.resize)?;
        }
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        self.out.differences(&self.expected, stream)
    }
}

/// At 640, 1080p and 4K, and a batch of unlike crops.
pub(super) fn all() -> Vec<Recipe> {
    let mut ops = Vec::new();
    for (name, from, to) in [("640", [640, 640], [640, 640]), ("1080p", [1920, 1080], [960, 544]), ("4k", [3840, 2160], [1920, 1088])] {
        let ([w, h], [cw, ch]) = (from, to);
        for (form, interpolation, half, nv12) in [
            ("linear-f32", Interpolation::Linear, false, false),
            ("linear-f16", Interpolation::Linear, true, false),
            ("cubic-f32", Interpolation::Cubic, false, false),
            ("cubic-f16", Interpolation::Cubic, true, false),
            ("nv12-f32", Interpolation::Linear, false, true),
            ("nv12-f16", Interpolation::Linear, true, true),
        ] {
            let make = move |stream: &Stream| {
                let (source, canvas) = (Source::new(stream, Size::new(w, h), nv12)?, Size::new(cw, ch));
                Resize::new(stream, vec![(source, canvas)], canvas, interpolation, half)
            };
            ops.push(recipe(format!("resize-{name}-{form}"), make));
        }
    }
    ops.push(recipe("resize-batch-f32", |stream| Resize::unlike(stream, Size::new(640, 640), false)));
    ops.push(recipe("resize-batch-f16", |stream| Resize::unlike(stream, Size::new(640, 640), true)));
    ops.push(recipe("resize-batch-odd", |stream| Resize::unlike(stream, Size::new(321, 203), false)));
    ops.push(recipe("crops-f32", |stream| Crops::new(stream, false, false, false)));
    ops.push(recipe("crops-f16", |stream| Crops::new(stream, true, false, false)));
    ops.push(recipe("crops-nv12-f32", |stream| Crops::new(stream, false, false, true)));
    ops.push(recipe("crops-curved-f32", |stream| Crops::new(stream, false, true, false)));
    ops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read() {
        for (bits, value) in [(0u16, 0.0f32), (0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (1, 5.960_464_5e-8), (0x3555, 0.333_251_95)]
        {
            assert_eq!(half_to_f32(bits), value, "{bits:#x}");
        }
        assert!(half_to_f32(0x7e00).is_nan() && half_to_f32(0x7c00).is_infinite());
    }
}

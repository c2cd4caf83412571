//! `kernels/resize_norm.cu` against `ops/resize_norm/cpu.rs`: all bits are equal.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::device::FloatsMut;
use hpinfer::image::nv12::{self, Nv12View, YuvColours, YuvMatrix};
use hpinfer::image::{ImageBuf, PixelFormat, Size, Surface, SurfaceFormat};
use hpinfer::ops::resize_norm::cuda::{self, Table};
use hpinfer::ops::resize_norm::{Interpolation, Item, Normalize, Params, Planes, Scale, Window, cpu};

/// A picture in one of the formats, its planes with rows longer than needed, and the same in three channels.
struct Source {
    size: Size,
    kind: u32,
    pixels: Memory<u8>,
    pitch: usize,
    chroma: Memory<u8>,
    chroma_pitch: usize,
    colours: YuvColours,
    picture: ImageBuf,
}

/// `rows` of `row` bytes, `pitch` apart.
fn spread(bytes: &[u8], row: usize, pitch: usize) -> Vec<u8> {
    bytes.chunks(row).flat_map(|r| r.iter().copied().chain(std::iter::repeat_n(0x5a, pitch - row))).collect()
}

impl Source {
    fn new(random: &mut Random, size: Size) -> Self {
        let kind = random.below(4);
        let (width, height) = (size.width as usize, size.height as usize);
        let format = if kind < 2 { PixelFormat::Bgr } else { PixelFormat::Gray };
        let first = random.picture(size, format);
        let row = width * format.bytes();
        let pitch = row + random.below(9) as usize;
        let pixels = spread(first.data(), row, pitch);
        let chroma_row = width.div_ceil(2) * 2;
        let chroma_pitch = chroma_row + random.below(5) as usize;
        let chroma = spread(&random.bytes(chroma_row * height.div_ceil(2)), chroma_row, chroma_pitch);
        let matrix = [YuvMatrix::Bt601, YuvMatrix::Bt709, YuvMatrix::Bt2020][random.below(3) as usize];
        let colours = YuvColours { matrix, full_range: random.below(2) == 0 };
        let picture = match kind {
            0 => first,
            1 => ImageBuf::new(first.data().to_vec(), size, PixelFormat::Rgb).unwrap(),
            2 => ImageBuf::new(first.data().iter().flat_map(|&v| [v; 3]).collect(), size, PixelFormat::Bgr).unwrap(),
            _ => nv12::to_bgr(Nv12View { luma: &pixels, luma_pitch: pitch, chroma: &chroma, chroma_pitch, size, colours }).unwrap(),
        };
        Self { size, kind, pixels: Memory::of(&pixels), pitch, chroma: Memory::of(&chroma), chroma_pitch, colours, picture }
    }

    fn surface(&self) -> Surface<'_> {
        let format = match self.kind {
            0 => SurfaceFormat::Bgr,
            1 => SurfaceFormat::Rgb,
            2 => SurfaceFormat::Gray,
            _ => SurfaceFormat::Nv12 { chroma: self.chroma.slice(), pitch: self.chroma_pitch as u32, colours: self.colours },
        };
        Surface::new(self.pixels.slice(), self.pitch as u32, self.size, format).unwrap()
    }
}

/// Nearest half, ties to even; slow and obvious: the halves around `v` are tried.
pub fn half(v: f32) -> u16 {
    if v.is_nan() {
        return 0x7fff;
    }
    let value = |bits: u16| {
        let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
        if exponent == 0 { fraction * 2f64.powi(-24) } else { (1024.0 + fraction) * 2f64.powi(exponent - 25) }
    };
    let size = f64::from(v.abs());
    // Bits of halves are ordered as their values are; 0x7c00 stands where the next half would be.
    let (mut low, mut high) = (0u16, 0x7c00u16);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if value(middle) <= size { low = middle } else { high = middle }
    }
    let (below, above) = (size - value(low), value(high) - size);
    let nearest = if below < above || below == above && low % 2 == 0 { low } else { high };
    nearest | u16::from(v.is_sign_negative()) << 15
}

fn compare(random: &mut Random, queue: &TestQueue, count: u32, sides: u32, canvas: Size) {
    let filter = [Interpolation::Linear, Interpolation::Cubic][random.below(2) as usize];
    let normalize = [
        Normalize::IMAGENET,
        Normalize::SYMMETRIC,
        Normalize::NONE,
        Normalize { scale: Scale::Over(127.5), mean: [0.1, 0.2, 0.3], std: [0.25, 3.0, 1e-3] },
    ][random.below(4) as usize];
    let planes = [Planes::Bgr, Planes::Rgb][random.below(2) as usize];
    let params = Params { canvas, interpolation: filter, normalize, pad: random.unit() * 200.0, planes };
    let sources: Vec<Source> = (0..count)
        .map(|_| {
            let size = Size::new(random.within(1..=sides), random.within(1..=sides));
            Source::new(random, size)
        })
        .collect();
    let resized: Vec<(Size, Window)> = sources
        .iter()
        .map(|s| {
            let size = match random.below(4) {
                0 => s.size,
                1 => canvas,
                _ => Size::new(random.within(1..=2 * canvas.width), random.within(1..=2 * canvas.height)),
            };
            let kept = Size::new(random.within(1..=size.width.min(canvas.width)), random.within(1..=size.height.min(canvas.height)));
            let (x, y) = (random.below(size.width - kept.width + 1), random.below(size.height - kept.height + 1));
            let fits = size.width <= canvas.width && size.height <= canvas.height;
            (size, if fits && random.below(2) == 0 { Window::whole(size) } else { Window { x, y, size: kept } })
        })
        .collect();
    let items: Vec<Item> =
        sources.iter().zip(&resized).map(|(s, &(resized, window))| Item { src: s.picture.view(), resized, window }).collect();
    let mut expected = vec![0.0; count as usize * 3 * canvas.area() as usize];
    cpu::run(&items, &params, &mut expected, &mut cpu::Scratch::default()).unwrap();

    let items: Vec<cuda::Item> =
        sources.iter().zip(&resized).map(|(s, &(resized, window))| cuda::Item { src: s.surface(), resized, window }).collect();
    let table = Table::new(&items, &params).unwrap();
    let rows = Memory::of(table.rows());
    let label = format!("{count} pictures, {params:?}, {resized:?}");
    let mut singles = Memory::new(expected.len());
    cuda::run(queue, &table, rows.slice(), &FloatsMut::F32(singles.slice_mut())).unwrap();
    let differ = singles.read().iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differ.map(|at| (at, singles.read()[at], expected[at])), None, "{label}");
    let mut halves = Memory::new(expected.len());
    cuda::run(queue, &table, rows.slice(), &FloatsMut::F16(halves.slice_mut())).unwrap();
    let differ = halves.read().iter().zip(&expected).position(|(&a, &b)| a != half(b));
    assert_eq!(differ.map(|at| (at, halves.read()[at], expected[at])), None, "{label}");
}

#[test]
fn resize_norm_equals_the_cpu_form() {
    let mut random = Random::fresh("resize_norm");
    let queue = TestQueue::new(random.next());
    for _ in 0..60 {
        let (count, canvas) = (random.within(1..=3), Size::new(random.within(1..=90), random.within(1..=50)));
        compare(&mut random, &queue, count, 70, canvas);
    }
    for canvas in [Size::new(1, 1), Size::new(64, 16), Size::new(65, 17), Size::new(320, 48)] {
        compare(&mut random, &queue, 2, 1, canvas);
        compare(&mut random, &queue, 2, 400, canvas);
    }
    compare(&mut random, &queue, 1, 700, Size::new(256, 352));
}

#[test]
fn halves_are_rounded_as_the_device_rounds_them() {
    for (v, bits) in
        [(0.0, 0), (-0.0, 0x8000), (1.0, 0x3c00), (65504.0, 0x7bff), (65520.0, 0x7c00), (1e-8, 0), (6e-8, 1), (-2.1e-5, 0x8160)]
    {
        assert_eq!(half(v), bits, "{v}");
    }
}

#[test]
fn a_picture_that_does_not_fit_is_named() {
    let pixels = Memory::of(&[0u8; 12]);
    let src = Surface::new(pixels.slice(), 6, Size::new(2, 2), SurfaceFormat::Bgr).unwrap();
    let item = cuda::Item { src, resized: Size::new(2, 2), window: Window::whole(Size::new(2, 2)) };
    let canvas = Size::new(4, 4);
    let params = Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::NONE, pad: 0.0, planes: Planes::Bgr };
    let large = cuda::Item { resized: Size::new(5, 2), window: Window::whole(Size::new(5, 2)), ..item };
    let error = Table::new(&[item, large], &params).unwrap_err().to_string();
    assert!(error.contains("picture 1 of the batch") && error.contains("5x2"), "{error}");
    assert!(Surface::new(pixels.slice(), 6, Size::new(2, 3), SurfaceFormat::Bgr).is_err());
    assert!(Surface::new(pixels.slice(), 5, Size::new(2, 2), SurfaceFormat::Bgr).is_err());
}

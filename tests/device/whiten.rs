//! `kernels/whiten.cu` against `ops/whiten/cpu.rs`: samples are equal.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::image::nv12::{self, Nv12View, YuvColours};
use hpinfer::image::{ImageBuf, PixelFormat, Size, Surface, SurfaceFormat};
use hpinfer::ops::whiten::{White, cpu, cuda};

fn bytes(random: &mut Random, count: usize) -> Vec<u8> {
    (0..count).map(|_| random.below(256) as u8).collect()
}

#[test]
fn pages_equal_the_cpu_form() {
    let mut random = Random::fresh("whiten");
    let queue = TestQueue::new(random.next());
    for round in 0..60 {
        let size = Size::new(random.within(1..=90), random.within(1..=60));
        let (width, height) = (size.width as usize, size.height as usize);
        let side = |random: &mut Random, limit: u32| random.within(0..=limit + 20) as i32 - 10;
        let regions: Vec<[i32; 4]> = (0..random.below(5))
            .map(|_| [size.width, size.height, size.width, size.height].map(|limit| side(&mut random, limit)))
            .collect();
        let on_device = Memory::of(&regions);
        // Rows longer than they need be, in each form a page can have.
        let form = random.below(3);
        let (row, format) = match form {
            0 => (width * 3, PixelFormat::Bgr),
            1 => (width, PixelFormat::Gray),
            _ => (width.next_multiple_of(2), PixelFormat::Bgr),
        };
        let pitch = row + random.below(9) as usize;
        let chroma_pitch = width.next_multiple_of(2) + random.below(4) as usize * 2;
        let (pixels, chroma) = (bytes(&mut random, pitch * height), bytes(&mut random, chroma_pitch * height.div_ceil(2)));
        let colours = YuvColours::default();
        let page = if form == 2 {
            let view = Nv12View { luma: &pixels, luma_pitch: pitch, chroma: &chroma, chroma_pitch, size, colours };
            nv12::to_bgr(view).unwrap()
        } else {
            ImageBuf::new(pixels.chunks(pitch).flat_map(|line| line[..row].to_vec()).collect(), size, format).unwrap()
        };
        let (pixels, chroma) = (Memory::of(&pixels), Memory::of(&chroma));
        let surface = match form {
            0 => SurfaceFormat::Bgr,
            1 => SurfaceFormat::Gray,
            _ => SurfaceFormat::Nv12 { chroma: chroma.slice(), pitch: chroma_pitch as u32, colours },
        };
        let surface = Surface::new(pixels.slice(), pitch as u32, size, surface).unwrap();
        for white in [White::Inside, White::Outside] {
            let mut out = Memory::new(width * height * 3);
            cuda::run(&queue, &surface, on_device.slice(), white, &mut out.slice_mut()).unwrap();
            let expected = cpu::run(page.view(), &regions, white).unwrap();
            let samples = 3 / page.format().bytes();
            let expected: Vec<u8> = expected.data().iter().flat_map(|&v| std::iter::repeat_n(v, samples)).collect();
            assert!(out.read() == expected, "round {round}: {white:?}, {size}, form {form}, {regions:?}");
        }
    }
    let surface = Memory::of(&[0u8; 12]);
    let surface = Surface::new(surface.slice(), 6, Size::new(2, 2), SurfaceFormat::Bgr).unwrap();
    let error = cuda::run(&queue, &surface, Memory::new(0).slice(), White::Inside, &mut Memory::new(11).slice_mut()).unwrap_err();
    assert!(error.to_string().contains("11 bytes of output for a page of 2x2"), "{error}");
}

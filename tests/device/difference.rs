//! `kernels/difference.cu` against `ops/difference/cpu.rs`: results are equal.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::image::nv12::{self, Nv12View, YuvColours};
use hpinfer::image::{ImageBuf, PixelFormat, Size, Surface, SurfaceFormat};
use hpinfer::ops::difference::{cpu, cuda};

#[test]
fn differences_equal_the_cpu_form() {
    let mut random = Random::fresh("difference");
    let queue = TestQueue::new(random.next());
    for round in 0..40 {
        let size = Size::new(random.within(1..=140), random.within(1..=100));
        let (width, height) = (size.width as usize, size.height as usize);
        let noise: Vec<u8> = (0..width * height * 3).map(|_| random.below(256) as u8).collect();
        // A few samples or many are others.
        let often = [2, 40, 100_000][random.below(3) as usize];
        let other: Vec<u8> = noise.iter().map(|v| if random.below(often) == 0 { random.below(256) as u8 } else { *v }).collect();
        let nv12 = random.below(2) == 0;
        let (pairs, luma) = (width.next_multiple_of(2), width * height);
        let colours = YuvColours::default();
        let picture = |samples: &[u8]| {
            if nv12 {
                let chroma = &samples[..pairs * height.div_ceil(2)];
                let view =
                    Nv12View { luma: &samples[samples.len() - luma..], luma_pitch: width, chroma, chroma_pitch: pairs, size, colours };
                return nv12::to_bgr(view).unwrap();
            }
            ImageBuf::new(samples[..luma * 3].to_vec(), size, PixelFormat::Bgr).unwrap()
        };
        // Enough for the pairs of odd sizes.
        let [noise, other] = [noise, other].map(|samples| [samples, vec![7; pairs * 2 + 2]].concat());
        let expected = cpu::tile_differences(picture(&noise).view(), picture(&other).view()).unwrap();
        let memory = [&noise, &other].map(|samples| Memory::of(samples));
        let [a, b] = [&memory[0], &memory[1]].map(|memory| {
            let all = memory.slice();
            if nv12 {
                let chroma = all.part(0..pairs * height.div_ceil(2)).unwrap();
                let format = SurfaceFormat::Nv12 { chroma, pitch: pairs as u32, colours };
                return Surface::new(all.part(all.len() - luma..all.len()).unwrap(), size.width, size, format).unwrap();
            }
            Surface::new(all, size.width * 3, size, SurfaceFormat::Bgr).unwrap()
        });
        let mut out = Memory::new(expected.len());
        cuda::run(&queue, &a, &b, &mut out.slice_mut()).unwrap();
        assert_eq!(out.read(), expected, "round {round}: {size}, NV12: {nv12}, one in {often}");
    }
}

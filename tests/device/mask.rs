//! `kernels/mask.cu` against `ops/mask/cpu.rs`, which equals Paddle and NumPy on the fixtures of `parity_detect`.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::image::Size;
use hpinfer::ops::mask::{MaskLogits, Window, cpu, cuda};

#[test]
fn masks_equal_the_cpu_form() {
    let mut random = Random::fresh("mask");
    let queue = TestQueue::new(random.next());
    for _ in 0..20 {
        let picture = Size::new(random.within(1..=200), random.within(1..=120));
        let size = Size::new(random.within(1..=20), random.within(1..=20));
        let instances: Vec<(Vec<f32>, Window)> = (0..random.within(1..=4))
            .map(|_| {
                let logits = (0..size.area()).map(|_| if random.below(50) == 0 { f32::NAN } else { random.unit() - 0.5 }).collect();
                let (a, b) = (random.below(picture.width + 1), random.below(picture.width + 1));
                let (c, d) = (random.below(picture.height + 1), random.below(picture.height + 1));
                (logits, Window { x0: a.min(b), y0: c.min(d), x1: a.max(b), y1: c.max(d) })
            })
            .collect();
        let expected: Vec<u8> = instances
            .iter()
            .flat_map(|(data, window)| {
                let mut out = Vec::new();
                cpu::cut(MaskLogits { data, size }, picture, *window, &mut out).unwrap();
                out
            })
            .collect();
        let memory: Vec<Memory<f32>> = instances.iter().map(|(data, _)| Memory::of(data)).collect();
        let items: Vec<cuda::Item> = memory
            .iter()
            .zip(&instances)
            .map(|(m, (_, window))| cuda::Item { logits: m.slice(), size, picture, window: *window })
            .collect();
        let table = cuda::Table::new(&items).unwrap();
        let (rows, mut out) = (Memory::of(table.rows()), Memory::new(table.bytes() as usize));
        cuda::cut(&queue, &table, rows.slice(), &mut out.slice_mut()).unwrap();
        assert_eq!(out.read(), expected, "{size} logits for {picture}");
    }
}

#[test]
fn classes_and_colours_equal_the_cpu_form() {
    let mut random = Random::fresh("classes");
    let queue = TestQueue::new(random.next());
    for classes in [1, 2, 19, 150, 256] {
        let (pictures, pixels) = (random.within(1..=3) as usize, random.within(1..=700) as usize);
        let scores: Vec<f32> = (0..pictures * classes * pixels)
            .map(|_| match random.below(60) {
                0 => f32::NAN,
                1 => f32::NEG_INFINITY,
                _ => (random.unit() * 50.0).floor(),
            })
            .collect();
        let mut expected = vec![0; pictures * pixels];
        for (labels, scores) in expected.chunks_mut(pixels).zip(scores.chunks(classes * pixels)) {
            cpu::argmax(scores, classes, labels).unwrap();
        }
        let (scores, mut labels, mut colours) = (Memory::of(&scores), Memory::new(pictures * pixels), Memory::new(pictures * pixels * 3));
        cuda::argmax(&queue, scores.slice(), pictures, classes, &mut labels.slice_mut()).unwrap();
        assert_eq!(labels.read(), expected);
        cuda::colour(&queue, labels.slice(), &mut colours.slice_mut()).unwrap();
        assert_eq!(colours.read(), cpu::colour(&expected));
    }
    let all: Vec<u8> = (0..=255).collect();
    let (labels, mut colours) = (Memory::of(&all), Memory::new(768));
    cuda::colour(&queue, labels.slice(), &mut colours.slice_mut()).unwrap();
    assert_eq!(colours.read(), cpu::colour(&all));
}

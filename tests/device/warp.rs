//! `kernels/warp.cu` against `ops/warp/cpu.rs` and `ops/resize_norm/cpu.rs`, one after the other: all bits are equal.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::device::FloatsMut;
use hpinfer::image::{ImageBuf, ImageView, PixelFormat, PointF, PointI, Size, Surface, SurfaceFormat};
use hpinfer::ops::resize_norm::{self, Interpolation, Item, Normalize, Params, Planes};
use hpinfer::ops::warp::curve::{self, CurvePlan};
use hpinfer::ops::warp::{self, CropPlan, cuda};

/// A crop of text, mostly: any quad, sometimes upright, sometimes partly outside.
fn straight(random: &mut Random, frame: Size) -> CropPlan {
    // At least one pixel of it: in a frame of a single pixel too, some quads have an area.
    let margin = random.within(1..=12);
    loop {
        let shape = random.below(3);
        let mut coordinate = |limit: u32| random.below(limit + 2 * margin) as i32 - margin as i32;
        let mut at = || PointI::new(coordinate(frame.width), coordinate(frame.height));
        let plan = match shape {
            0 => {
                let (a, b) = (at(), at());
                let corners = [(a.x, a.y), (b.x, a.y), (b.x, b.y), (a.x, b.y)];
                CropPlan::from_quad(&corners.map(|(x, y)| PointI::new(x, y)))
            }
            1 => CropPlan::from_quad(&[at(), at(), at(), at()]),
            _ => {
                // A trapezium: positions are divided by z then.
                let p = at();
                let corners = [(0.0, 0.0), (31.5, 3.0), (28.0, 14.25), (2.0, 9.0)];
                CropPlan::from_corners(&corners.map(|(x, y)| PointF::new(p.x as f32 + x, p.y as f32 + y)))
            }
        }
        .expect("a small quad");
        if !plan.is_empty() {
            return plan;
        }
    }
}

/// Any crop: also one along a curve, text running down included, and one that is nothing but a part of the frame.
fn plan(random: &mut Random, frame: Size) -> CurvePlan {
    let outline = |random: &mut Random| -> Vec<PointI> {
        let (x, y) = (random.below(frame.width) as f32, random.below(frame.height) as f32);
        let (outer, inner) = (20.0 + random.unit() * 40.0, 4.0 + random.unit() * 12.0);
        let (start, turn, flat) = (random.unit() * 6.0, 1.0 + random.unit() * 3.0, 0.2 + random.unit());
        let at = |radius: f32, step: u32| {
            let (sin, cos) = (start + turn * step as f32 / 12.0).sin_cos();
            PointI::new((x + radius * cos) as i32, (y + radius * sin * flat) as i32)
        };
        (0..=12).map(|step| at(outer, step)).chain((0..=12).rev().map(|step| at(inner, step))).collect()
    };
    match random.below(3) {
        0 => CurvePlan::Rectangle(straight(random, frame)),
        1 => {
            let (x, y) = (random.below(frame.width), random.below(frame.height));
            let size = Size::new(random.within(1..=frame.width - x), random.within(1..=frame.height - y));
            CurvePlan::Window { origin: PointI::new(x as i32, y as i32), size }
        }
        _ => {
            let found = (0..20).map(|_| CurvePlan::from_polygon(&outline(random), frame).expect("a small outline"));
            found.into_iter().find(|plan| !plan.is_empty()).unwrap_or_else(|| CurvePlan::Rectangle(straight(random, frame)))
        }
    }
}

fn compare(random: &mut Random, queue: &TestQueue, count: u32, frame: Size, canvas: Size) {
    let grey = random.below(4) == 0;
    let frames: Vec<ImageBuf> = (0..2).map(|_| random.picture(frame, if grey { PixelFormat::Gray } else { PixelFormat::Bgr })).collect();
    let colour = |f: &ImageBuf| match f.format() {
        PixelFormat::Gray => ImageBuf::new(f.data().iter().flat_map(|&v| [v; 3]).collect(), frame, PixelFormat::Bgr).unwrap(),
        _ => f.clone(),
    };
    let plans: Vec<(usize, CurvePlan)> = (0..count).map(|_| (random.below(2) as usize, plan(random, frame))).collect();
    let resized: Vec<Size> = plans
        .iter()
        .map(|(_, plan)| match random.below(3) {
            0 => Size::new(plan.size().width.min(canvas.width), plan.size().height.min(canvas.height)),
            1 => Size::new(random.within(1..=canvas.width), canvas.height),
            _ => Size::new(random.within(1..=canvas.width), random.within(1..=canvas.height)),
        })
        .collect();
    let params =
        Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::SYMMETRIC, pad: random.unit(), planes: Planes::Bgr };

    let wide: Vec<ImageBuf> = frames.iter().map(colour).collect();
    let mut scratch = warp::cpu::Scratch::default();
    let crops: Vec<Vec<u8>> = plans
        .iter()
        .map(|(f, plan)| {
            let mut out = Vec::new();
            curve::warp(wide[*f].view(), plan, &mut out, &mut scratch).unwrap();
            out
        })
        .collect();
    let items: Vec<Item> = crops
        .iter()
        .zip(&plans)
        .zip(&resized)
        .map(|((data, (_, plan)), &resized)| Item::whole(ImageView { data, size: plan.size(), format: PixelFormat::Bgr }, resized))
        .collect();
    let mut expected = vec![0.0; count as usize * 3 * canvas.area() as usize];
    resize_norm::cpu::run(&items, &params, &mut expected, &mut resize_norm::cpu::Scratch::default()).unwrap();

    let memory: Vec<Memory<u8>> = frames.iter().map(|f| Memory::of(f.data())).collect();
    let format = if grey { SurfaceFormat::Gray } else { SurfaceFormat::Bgr };
    let pitch = frame.width * if grey { 1 } else { 3 };
    let items: Vec<cuda::Item> = plans
        .iter()
        .zip(&resized)
        .map(|((f, plan), &resized)| cuda::Item { src: Surface::new(memory[*f].slice(), pitch, frame, format).unwrap(), plan, resized })
        .collect();
    let table = cuda::Table::new(&items, &params).unwrap();
    let (rows, weights) = (Memory::of(table.rows()), Memory::of(&cuda::weights()));
    let strips = (!table.strips().is_empty()).then(|| Memory::of(table.strips()));
    let strips = || strips.as_ref().map(|strips| strips.slice());
    let mut found = Memory::new(expected.len());
    cuda::run(queue, &table, rows.slice(), strips(), weights.slice(), &FloatsMut::F32(found.slice_mut())).unwrap();
    let differ = found.read().iter().zip(&expected).position(|(a, b)| a.to_bits() != b.to_bits());
    assert_eq!(differ.map(|at| (at, found.read()[at], expected[at])), None, "frames of {frame}, canvas {canvas}, {plans:?}, {resized:?}");

    let table = cuda::Table::new(&items, &Params { planes: Planes::Rgb, ..params }).unwrap();
    let (rows, mut halves) = (Memory::of(table.rows()), Memory::new(expected.len()));
    cuda::run(queue, &table, rows.slice(), strips(), weights.slice(), &FloatsMut::F16(halves.slice_mut())).unwrap();
    let plane = canvas.area() as usize;
    for (at, &bits) in halves.read().iter().enumerate() {
        let (item, channel, pixel) = (at / (3 * plane), at / plane % 3, at % plane);
        let single = expected[(item * 3 + 2 - channel) * plane + pixel];
        assert_eq!(bits, super::resize_norm::half(single), "{single} at {at}");
    }
}

#[test]
fn crops_of_every_kind_are_drawn() {
    let mut random = Random::fresh("kinds of crops");
    let (mut strips, mut turned) = (0, 0);
    for _ in 0..300 {
        if let plan @ CurvePlan::Strips(_) = plan(&mut random, Size::new(160, 120)) {
            (strips, turned) = (strips + 1, turned + usize::from(plan.size().height > plan.size().width));
        }
    }
    assert!(strips >= 30, "{strips} of 300 along a curve, {turned} of them higher than wide");
}

#[test]
fn warp_resize_norm_equals_the_cpu_forms() {
    let mut random = Random::fresh("warp");
    let queue = TestQueue::new(random.next());
    for _ in 0..50 {
        let (count, canvas) = (random.within(1..=4), Size::new(random.within(1..=200), random.within(1..=50)));
        let frame = Size::new(random.within(1..=160), random.within(1..=120));
        compare(&mut random, &queue, count, frame, canvas);
    }
    // Much reduced: most pixels of the crop are never made.
    compare(&mut random, &queue, 2, Size::new(900, 700), Size::new(70, 20));
    compare(&mut random, &queue, 3, Size::new(500, 300), Size::new(320, 48));
}

#[test]
fn a_crop_without_pixels_is_named() {
    let pixels = Memory::of(&[0u8; 300]);
    let src = Surface::new(pixels.slice(), 30, Size::new(10, 10), SurfaceFormat::Bgr).unwrap();
    let plan = CropPlan::from_quad(&[PointI::new(3, 3); 4]).unwrap();
    let canvas = Size::new(4, 4);
    let params = Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::NONE, pad: 0.0, planes: Planes::Bgr };
    let plan = CurvePlan::Rectangle(plan);
    let error = cuda::Table::new(&[cuda::Item { src, plan: &plan, resized: Size::new(1, 1) }], &params).unwrap_err().to_string();
    assert!(error.contains("crop 0 of the batch"), "{error}");
}

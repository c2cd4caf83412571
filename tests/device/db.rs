//! `kernels/db.cu` and `kernels/db_box.cu` against `ops/db/cpu.rs`: number, order and corners of the boxes are equal, scores
//! within the stated tolerance. Where rectangles have nearly equal areas another one may be taken, and such boxes are few.

use super::queue::{Memory, TestQueue};
use crate::random::Random;
use hpinfer::device::DeviceSliceMut;
use hpinfer::image::Size;
use hpinfer::ops::db::cuda::{self, Plan, SCORE_TOLERANCE};
use hpinfer::ops::db::{DbParams, ProbabilityMap, ScoreMode, TextBox, cpu};
use serde_json::Value;
use std::path::Path;

fn boxes(queue: &TestQueue, maps: &[f32], originals: &[[u32; 2]], size: Size, params: &DbParams) -> Vec<Vec<TextBox>> {
    let plan = Plan::new(originals.len(), size, params).unwrap();
    let (maps, originals) = (Memory::of(maps), Memory::of(originals));
    let (mut scratch, mut out) = (Memory::new(plan.scratch()), Memory::new(plan.out()));
    cuda::boxes(queue, &plan, maps.slice(), originals.slice(), &mut scratch.slice_mut(), &mut out.slice_mut()).unwrap();
    scratch.read();
    cuda::read(out.read(), &plan).unwrap()
}

/// What was compared: boxes, and those whose rectangle is another one.
#[derive(Debug, Default)]
struct Tally {
    boxes: usize,
    others: usize,
}

impl Tally {
    fn compare(&mut self, queue: &TestQueue, maps: &[f32], originals: &[[u32; 2]], size: Size, params: &DbParams, label: &str) {
        let found = boxes(queue, maps, originals, size, params);
        for (n, (found, &[width, height])) in found.iter().zip(originals).enumerate() {
            let area = size.area() as usize;
            let map = ProbabilityMap { data: &maps[n * area..][..area], size, original: Size::new(width, height) };
            let expected = cpu::boxes(map, params, &mut cpu::DbScratch::default()).unwrap();
            if found.len() != expected.len() {
                // One that is near a threshold may come and go with its rectangle.
                let others = found.len().abs_diff(expected.len());
                println!("{label}: {} boxes on map {n}, expected {}", found.len(), expected.len());
                (self.others, self.boxes) = (self.others + others, self.boxes + expected.len());
                continue;
            }
            for (f, e) in found.iter().zip(&expected) {
                self.boxes += 1;
                let same = f.quad == e.quad && (f.score - e.score).abs() <= SCORE_TOLERANCE;
                if !same {
                    println!("{label}: map {n} has {f:?}, expected {e:?}");
                    self.others += 1;
                }
            }
        }
    }
}

/// A map with text-like bars at any angle, blots and holes.
fn drawn(random: &mut Random, size: Size) -> Vec<f32> {
    let (width, height) = (size.width as i32, size.height as i32);
    let mut map: Vec<f32> = (0..size.area()).map(|_| random.unit() * 0.25).collect();
    for _ in 0..random.within(1..=12) {
        let (cx, cy) = (random.below(size.width) as f32, random.below(size.height) as f32);
        let (long, short) = (3.0 + random.unit() * 30.0, 2.0 + random.unit() * 6.0);
        let angle = if random.below(2) == 0 { 0.0 } else { random.unit() * 3.2 };
        let (sin, cos) = f32::sin_cos(angle);
        let value = if random.below(4) == 0 { 0.1 } else { 0.35 + random.unit() * 0.65 };
        for y in 0..height {
            for x in 0..width {
                let (dx, dy) = (x as f32 - cx, y as f32 - cy);
                if (dx * cos + dy * sin).abs() <= long && (dy * cos - dx * sin).abs() <= short {
                    map[(y * width + x) as usize] = value;
                }
            }
        }
    }
    map
}

#[test]
fn boxes_of_drawn_maps_equal_the_cpu_form() {
    let mut random = Random::fresh("db");
    let queue = TestQueue::new(random.next());
    let mut tally = Tally::default();
    for round in 0..40 {
        let size = Size::new(random.within(1..=150), random.within(1..=90));
        let originals: Vec<[u32; 2]> = (0..random.within(1..=2)).map(|_| [random.within(1..=3000), random.within(1..=3000)]).collect();
        let maps: Vec<f32> = originals.iter().flat_map(|_| drawn(&mut random, size)).collect();
        let params = DbParams {
            box_thresh: [0.3, 0.6][random.below(2) as usize],
            unclip_ratio: [0.5, 1.5, 2.0][random.below(3) as usize],
            max_candidates: [1000, 5][random.below(2) as usize],
            use_dilation: random.below(3) == 0,
            ..DbParams::default()
        };
        tally.compare(&queue, &maps, &originals, size, &params, &format!("round {round}, {size}, {params:?}"));
    }
    println!("{tally:?}");
    assert!(tally.boxes > 10 && tally.others * 50 <= tally.boxes, "{tally:?}");
}

/// Noise has components and holes of every shape, most of them thin, and inside each other.
#[test]
fn boxes_of_noise_equal_the_cpu_form() {
    let mut random = Random::fresh("noise");
    let queue = TestQueue::new(random.next());
    let mut tally = Tally::default();
    for round in 0..60 {
        let size = Size::new(random.within(1..=100), random.within(1..=60));
        let (share, coarse) = (0.2 + random.unit() * 0.6, random.within(1..=6) as usize);
        let cells: Vec<f32> = (0..size.area()).map(|_| if random.unit() < share { 0.9 } else { 0.1 }).collect();
        let (width, height) = (size.width as usize, size.height as usize);
        let map: Vec<f32> = (0..width * height).map(|i| cells[i / width / coarse * width + i % width / coarse]).collect();
        let params = DbParams { box_thresh: 0.1, max_candidates: [1000, 3][random.below(2) as usize], ..DbParams::default() };
        tally.compare(&queue, &map, &[[width as u32, height as u32]], size, &params, &format!("round {round}, {size}, {params:?}"));
    }
    println!("{tally:?}");
    assert!(tally.boxes > 20 && tally.others * 20 <= tally.boxes, "{tally:?}");
}

/// The drawn and real maps of the fixtures, which the CPU form agrees on with OpenCV and Clipper.
#[test]
fn boxes_of_the_fixtures_equal_the_cpu_form() {
    let queue = TestQueue::new(7);
    let mut tally = Tally::default();
    for name in ["boxes.json", "real.json"] {
        let json = Path::new("tests/fixtures/text").join(name);
        let cases: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&json).unwrap()).unwrap();
        let mut reader = image::ImageReader::open(json.with_extension("png")).unwrap();
        reader.no_limits();
        let atlas = reader.decode().unwrap().into_luma8();
        for (number, case) in cases.iter().enumerate() {
            let int = |v: &Value| v.as_u64().unwrap() as u32;
            let (width, first, end) = (int(&case["width"]), int(&case["rows"][0]), int(&case["rows"][1]));
            let p = &case["params"];
            if p["score_mode"] == "slow" {
                continue; // runs on the CPU only
            }
            let params = DbParams {
                thresh: p["thresh"].as_f64().unwrap() as f32,
                box_thresh: p["box_thresh"].as_f64().unwrap(),
                unclip_ratio: p["unclip_ratio"].as_f64().unwrap(),
                max_candidates: int(&p["max_candidates"]) as usize,
                use_dilation: p["use_dilation"].as_bool().unwrap(),
                score_mode: ScoreMode::Fast,
            };
            let map: Vec<f32> = (first..end)
                .flat_map(|y| (0..width).map(move |x| (x, y)))
                .map(|(x, y)| f32::from(atlas.get_pixel(x, y)[0]) / 255.0)
                .collect();
            let original = [int(&case["original"][0]), int(&case["original"][1])];
            tally.compare(&queue, &map, &[original], Size::new(width, end - first), &params, &format!("{name}, map {number}"));
        }
    }
    println!("{tally:?}");
    assert!(tally.boxes > 300 && tally.others * 200 <= tally.boxes, "{tally:?}");
}

/// What fills a map grows most: upright, on a corner, and as a ring whose hole is as large.
#[test]
fn boxes_that_fill_their_map_fit_into_the_plan() {
    let queue = TestQueue::new(3);
    let mut tally = Tally::default();
    for (width, height) in [(300, 300), (400, 30), (20, 400), (257, 128), (3, 900)] {
        let (w, h) = (f64::from(width), f64::from(height));
        let away = |x: u32, y: u32| ((f64::from(x) + 0.5 - w / 2.0).abs() / w, (f64::from(y) + 0.5 - h / 2.0).abs() / h);
        let shapes: [&dyn Fn(f64, f64) -> bool; 3] = [&|_, _| true, &|x, y| x + y <= 0.5, &|x, y| x > 0.45 || y > 0.45];
        for (number, shape) in shapes.iter().enumerate() {
            let pixels = (0..height).flat_map(|y| (0..width).map(move |x| away(x, y)));
            let map: Vec<f32> = pixels.map(|(x, y)| if shape(x, y) { 0.9 } else { 0.1 }).collect();
            for unclip_ratio in [0.4, 1.5, 6.0] {
                let params = DbParams { box_thresh: 0.05, unclip_ratio, ..DbParams::default() };
                let label = format!("shape {number}, {width} x {height}, {unclip_ratio}");
                tally.compare(&queue, &map, &[[width, height]], Size::new(width, height), &params, &label);
            }
        }
    }
    println!("{tally:?}");
    assert!(tally.boxes > 40 && tally.others * 20 <= tally.boxes, "{tally:?}");
}

#[test]
fn blank_tiny_and_unreadable_maps_are_answered() {
    let queue = TestQueue::new(2);
    let params = DbParams::default();
    for (size, value) in
        [(Size::new(1, 1), 0.9), (Size::new(40, 30), 0.0), (Size::new(40, 30), f32::NAN), (Size::new(65, 3), f32::INFINITY)]
    {
        let map = vec![value; size.area() as usize];
        let mut tally = Tally::default();
        tally.compare(&queue, &map, &[[size.width, size.height]], size, &params, "blank");
        assert_eq!(tally.others, 0);
    }
    assert_eq!(boxes(&queue, &[], &[], Size::new(8, 8), &params), Vec::<Vec<TextBox>>::new());
    let plan = Plan::new(1, Size::new(8, 8), &params).unwrap();
    // SAFETY: nothing is launched.
    let (mut scratch, mut out): (DeviceSliceMut<u32>, DeviceSliceMut<u32>) =
        unsafe { (DeviceSliceMut::from_raw(0, 0), DeviceSliceMut::from_raw(0, plan.out())) };
    let (maps, originals) = (Memory::of(&[0.0; 64]), Memory::of(&[[8, 8]]));
    let error = cuda::boxes(&queue, &plan, maps.slice(), originals.slice(), &mut scratch, &mut out).unwrap_err().to_string();
    assert!(error.contains("0 values of scratch"), "{error}");
}

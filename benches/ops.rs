//! Time and bandwidth of the image operations on one core: `cargo bench --bench ops`,
//! with `-- detected` or `-- portable` for one form alone.
//!
//! Two pages of noise with text lines on them, some upright, some turned by a few degrees. Each row is the fastest
//! of several rounds, in which all rows take turns; bytes are what is read and written at least once.

use hpinfer::image::{ImageBuf, ImageView, PixelFormat, PointI, Size};
use hpinfer::ops::ctc::ScoreKind;
use hpinfer::ops::ctc::cpu::Greedy;
use hpinfer::ops::ctc::head::{self, Head};
use hpinfer::ops::resize_norm::{self, Interpolation, Item, Normalize, Params, Planes};
use hpinfer::ops::simd::Isa;
use hpinfer::ops::warp::{self, CropPlan};
use std::time::Instant;

const ROUNDS: usize = 40;

/// A page and its lines.
struct Page {
    name: &'static str,
    image: ImageBuf,
    detection: Size,
    lines: Vec<[PointI; 4]>,
}

impl Page {
    fn new(name: &'static str, size: Size, detection: Size, lines: usize, line: Size, degrees: f64) -> Self {
        let mut state = 1u32;
        let data = (0..size.area() * 3).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let image = ImageBuf::new(data.collect(), size, PixelFormat::Bgr).expect("a whole page");
        let pitch = f64::from(size.height) / lines as f64;
        let (sin, cos) = degrees.to_radians().sin_cos();
        let quad = |n: usize| {
            let length = f64::from(line.width) * (0.5 + (n % 5) as f64 / 4.0);
            let (left, top, h) = (60.0, pitch * n as f64 + 4.0, f64::from(line.height));
            [(0.0, 0.0), (length, 0.0), (length, h), (0.0, h)]
                .map(|(x, y)| PointI::new((left + x * cos - y * sin) as i32, (top + x * sin + y * cos) as i32))
        };
        Self { name, image, detection, lines: (0..lines).map(quad).collect() }
    }
}

/// The stages of one page with the buffers a pipeline would keep.
struct Stages<'a> {
    page: &'a Page,
    resize: resize_norm::cpu::Scratch,
    warp: warp::cpu::Scratch,
    tensor: Vec<f32>,
    plans: Vec<CropPlan>,
    crops: Vec<Vec<u8>>,
    batch: Vec<f32>,
}

impl<'a> Stages<'a> {
    fn new(page: &'a Page, isa: Isa) -> Self {
        Self {
            page,
            resize: resize_norm::cpu::Scratch::with_isa(isa),
            warp: warp::cpu::Scratch::with_isa(isa),
            tensor: vec![0.0; page.detection.area() as usize * 3],
            plans: Vec::new(),
            crops: vec![Vec::new(); page.lines.len()],
            batch: Vec::new(),
        }
    }

    fn det_pre(&mut self) -> u64 {
        let params = Params {
            canvas: self.page.detection,
            interpolation: Interpolation::Linear,
            normalize: Normalize::IMAGENET,
            pad: 0.0,
            planes: Planes::Bgr,
        };
        let item = Item::whole(self.page.image.view(), self.page.detection);
        resize_norm::cpu::run(&[item], &params, &mut self.tensor, &mut self.resize).expect("sizes fit");
        self.page.image.size().area() * 3 + self.page.detection.area() * 12
    }

    fn plan(&mut self) -> u64 {
        self.plans.clear();
        self.plans.extend(self.page.lines.iter().map(|quad| CropPlan::from_quad(quad).expect("a small quad")));
        self.page.lines.len() as u64 * 32
    }

    fn crop(&mut self) -> u64 {
        for (plan, out) in self.plans.iter().zip(&mut self.crops) {
            warp::cpu::warp(self.page.image.view(), plan, out, &mut self.warp).expect("a whole page");
        }
        self.plans.iter().map(|p| p.size().area() * 6).sum()
    }

    fn rec_pre(&mut self) -> u64 {
        let mut bytes = 0;
        for (plan, crop) in self.plans.iter().zip(&self.crops) {
            let size = plan.size();
            let width = (48 * size.width).div_ceil(size.height);
            let canvas = Size::new(width.max(320), 48);
            let params =
                Params { canvas, interpolation: Interpolation::Linear, normalize: Normalize::SYMMETRIC, pad: 0.0, planes: Planes::Bgr };
            let src = ImageView { data: crop, size, format: PixelFormat::Bgr };
            self.batch.resize(canvas.area() as usize * 3, 0.0);
            let item = Item::whole(src, Size::new(width, 48));
            resize_norm::cpu::run(&[item], &params, &mut self.batch, &mut self.resize).expect("sizes fit");
            bytes += size.area() * 3 + canvas.area() * 12;
        }
        bytes
    }
}

type Stage = for<'a, 'b> fn(&'a mut Stages<'b>) -> u64;

fn main() {
    let wanted = std::env::args().nth(1).filter(|a| !a.starts_with('-'));
    let hd = |name, degrees| Page::new(name, Size::new(1920, 1080), Size::new(960, 544), 40, Size::new(380, 22), degrees);
    let a4 = Page::new("2480x3508, 60 lines upright", Size::new(2480, 3508), Size::new(672, 960), 60, Size::new(1200, 44), 0.0);
    let pages = [hd("1080p, 40 lines upright", 0.0), hd("1080p, 40 lines turned 1.5 degrees", 1.5), a4];
    for page in &pages {
        println!("{}", page.name);
        for (form, isa) in [("detected", Isa::detect()), ("portable", Isa::PORTABLE)] {
            if wanted.as_deref().is_some_and(|w| w != form) {
                continue;
            }
            let mut stages = Stages::new(page, isa);
            let rows: [(&str, Stage); 4] =
                [("det_pre", |s| s.det_pre()), ("plan", |s| s.plan()), ("crop", |s| s.crop()), ("rec_pre", |s| s.rec_pre())];
            let mut best = [(f64::INFINITY, 0); 4];
            for _ in 0..ROUNDS {
                for ((_, stage), best) in rows.iter().zip(&mut best) {
                    let start = Instant::now();
                    let bytes = stage(&mut stages);
                    *best = (best.0.min(start.elapsed().as_nanos() as f64), bytes);
                }
            }
            for ((name, _), (ns, bytes)) in rows.iter().zip(&best) {
                println!("  {form:9} {name:8} {ns:12.0} ns {:7.2} GB/s", *bytes as f64 / ns);
            }
            println!("  {form:9} {:8} {:12.0} ns", "total", best.iter().map(|b| b.0).sum::<f64>());
        }
    }
    last_layer();
}

/// The last layer of a recogniser and the decoder behind it, for a line of 1900 pixels: 237 steps, of which every fourth says a character.
fn last_layer() {
    const STEPS: usize = 237;
    const FEATURES: usize = 120;
    const CLASSES: usize = 6625;
    let mut state = 7u32;
    let mut noise = |count: usize| -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    };
    let (weights, mut bias, mut steps) = (noise(FEATURES * CLASSES), noise(CLASSES), noise(STEPS * FEATURES));
    bias[0] = 50.0; // the blank, where the steps are small
    steps.chunks_mut(FEATURES).enumerate().filter(|(n, _)| n % 4 != 0).for_each(|(_, step)| step.iter_mut().for_each(|v| *v *= 0.1));
    steps.chunks_mut(FEATURES).step_by(4).for_each(|step| step.iter_mut().for_each(|v| *v *= 4.0));
    let head = Head::new(&weights, &bias);
    let mut scratch = head::Scratch::default();
    let mut best = [f64::INFINITY; 2];
    let mut kept = 0;
    for _ in 0..ROUNDS {
        let mut times = [0.0; 2];
        let mut greedy = Greedy::new(ScoreKind::Logits);
        for block in head.blocks(&steps) {
            let start = Instant::now();
            let scores = head.scores(block, &mut scratch);
            let product = start.elapsed().as_nanos() as f64;
            scores.for_each(|step| greedy.step_of(step));
            times[0] += product;
            times[1] += start.elapsed().as_nanos() as f64 - product;
        }
        kept = greedy.finish().classes.len();
        best = std::array::from_fn(|n| best[n].min(times[n]));
    }
    let flops = (2 * STEPS * FEATURES * CLASSES) as f64;
    println!("last layer, {STEPS} steps x {FEATURES} features x {CLASSES} classes, {kept} steps kept");
    println!("  product  {:12.0} ns {:7.1} GFLOP/s", best[0], flops / best[0]);
    println!("  decoder  {:12.0} ns", best[1]);
}

//! From network outputs to boxes and texts.

use super::{BATCH, Noise, Op, Recipe, on_device, recipe};
use crate::device::{DeviceBuffer, Stream};
use crate::error::Result;
use crate::image::Size;
use crate::ops::ctc::{self, Decoded, ScoreKind};
use crate::ops::db::{self, DbParams, ProbabilityMap, TextBox};
use crate::ops::nms::{self, Candidates, Kept, NmsParams};
use crate::tensor::storage::{Storage, download};
use crate::trace::Transfers;

/// Pages of text lines, as a detector sees them.
struct Boxes {
    size: Size,
    maps: usize,
    map: Vec<f32>,
    placed: Storage<f32>,
    originals: Storage<[u32; 2]>,
    params: DbParams,
    plan: db::cuda::Plan,
    scratch: DeviceBuffer<u32>,
    out: DeviceBuffer<u32>,
    expected: Vec<Vec<TextBox>>,
    buffers: db::cpu::DbScratch,
}

const LINES: u32 = 200;

impl Boxes {
    /// The map of a page.
    fn page(noise: &mut Noise, size: Size) -> Vec<f32> {
        let mut map: Vec<f32> = (0..size.area()).map(|_| noise.unit() * 0.2).collect();
        let columns = 5;
        let (cell_w, cell_h) = (size.width / columns, size.height / LINES.div_ceil(columns));
        for line in 0..LINES {
            let (left, top) = (line % columns * cell_w + 6, line / columns * cell_h + 3);
            let (width, height) = (cell_w / 2 + noise.below(cell_w / 3 + 1), (cell_h / 2).max(4));
            for y in top..(top + height).min(size.height) {
                for x in left..(left + width).min(size.width) {
                    map[(y * size.width + x) as usize] = 0.9;
                }
            }
        }
        map
    }

    fn new(stream: &Stream, maps: usize, size: Size, use_dilation: bool) -> Result<Self> {
        let mut noise = Noise(3);
        let pages: Vec<f32> = (0..maps).flat_map(|_| Self::page(&mut noise, size)).collect();
        let params = DbParams { use_dilation, ..DbParams::default() };
        let plan = db::cuda::Plan::new(maps, size, &params)?;
        Ok(Self {
            size,
            maps,
            params,
            placed: on_device(&pages, stream)?,
            map: pages,
            originals: on_device(&vec![[size.width * 2, size.height * 2]; maps], stream)?,
            scratch: stream.alloc(plan.scratch())?,
            out: stream.alloc(plan.out())?,
            plan,
            expected: Vec::new(),
            buffers: Default::default(),
        })
    }
}

impl Op for Boxes {
    fn name(&self) -> &'static str {
        "db, all kernels"
    }

    fn case(&self) -> String {
        format!(
            "{} of {}, {LINES} lines{}",
            if self.maps == 1 { "map".into() } else { format!("{} maps", self.maps) },
            self.size,
            if self.params.use_dilation { ", dilated" } else { "" }
        )
    }

    /// The maps, and a label for each of their pixels written and read.
    fn bytes(&self) -> u64 {
        self.maps as u64 * self.size.area() * 12
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let (map, originals) = (self.placed.on_device()?, self.originals.on_device()?);
        db::cuda::boxes(stream, &self.plan, map, originals, &mut self.scratch.slice_mut(), &mut self.out.slice_mut())
    }

    fn whole(&mut self, stream: &Stream) -> Result<bool> {
        self.originals = on_device(&vec![[self.size.width * 2, self.size.height * 2]; self.maps], stream)?;
        self.on_gpu(stream)?;
        let out = download(self.out.slice(), stream, &mut Transfers::default())?;
        std::hint::black_box(db::cuda::read(out.on_host()?, &self.plan)?);
        Ok(true)
    }

    fn on_cpu(&mut self) -> Result<()> {
        let original = Size::new(self.size.width * 2, self.size.height * 2);
        let maps = self.map.chunks_exact(self.size.area() as usize).map(|data| ProbabilityMap { data, size: self.size, original });
        self.expected = maps.map(|map| db::cpu::boxes(map, &self.params, &mut self.buffers)).collect::<Result<_>>()?;
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let out = download(self.out.slice(), stream, &mut Transfers::default())?;
        let found = db::cuda::read(out.on_host()?, &self.plan)?;
        let same = |(a, b): &(&TextBox, &TextBox)| a.quad == b.quad && (a.score - b.score).abs() <= db::cuda::SCORE_TOLERANCE;
        let maps = found.iter().zip(&self.expected);
        // What one has more of than the other differs, too.
        let unlike = maps.map(|(a, b)| a.len().max(b.len()) - a.iter().zip(b).filter(same).count()).sum();
        Ok([unlike, self.expected.iter().map(Vec::len).sum()])
    }
}

/// A batch of lines.
struct Texts {
    batch: ctc::cuda::Batch,
    scores: Vec<f32>,
    placed: Storage<f32>,
    best: DeviceBuffer<u32>,
    value: DeviceBuffer<f32>,
    out: DeviceBuffer<u32>,
    expected: Vec<Decoded>,
}

impl Texts {
    fn new(stream: &Stream) -> Result<Self> {
        let batch = ctc::cuda::Batch { sequences: BATCH, steps: 40, classes: 6625 };
        let mut noise = Noise(5);
        let rows = batch.sequences * batch.steps;
        let mut scores: Vec<f32> = (0..rows * batch.classes).map(|_| noise.unit() * 4.0).collect();
        for row in scores.chunks_exact_mut(batch.classes) {
            let class = if noise.below(3) == 0 { 0 } else { noise.below(batch.classes as u32) };
            row[class as usize] = 12.0;
        }
        Ok(Self {
            placed: on_device(&scores, stream)?,
            scores,
            best: stream.alloc(rows)?,
            value: stream.alloc(rows)?,
            out: stream.alloc(batch.sequences * batch.row())?,
            expected: Vec::new(),
            batch,
        })
    }
}

impl Op for Texts {
    fn name(&self) -> &'static str {
        "ctc, all kernels"
    }

    fn case(&self) -> String {
        let ctc::cuda::Batch { sequences, steps, classes } = self.batch;
        format!("{sequences} lines of {steps} steps, {classes} classes")
    }

    fn bytes(&self) -> u64 {
        self.scores.len() as u64 * 4
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let mut scratch = ctc::cuda::Scratch { best: self.best.slice_mut(), value: self.value.slice_mut() };
        ctc::cuda::decode(stream, self.placed.on_device()?, self.batch, ScoreKind::Logits, &mut scratch, &mut self.out.slice_mut())
    }

    fn on_cpu(&mut self) -> Result<()> {
        let ctc::cuda::Batch { steps, classes, .. } = self.batch;
        let lines = self.scores.chunks_exact(steps * classes);
        self.expected = lines.map(|line| ctc::cpu::decode(line, steps, classes, ScoreKind::Logits)).collect();
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let out = download(self.out.slice(), stream, &mut Transfers::default())?;
        let found = ctc::cuda::read(out.on_host()?, self.batch)?;
        let same = |(a, b): &(&Decoded, &Decoded)| a.classes == b.classes && (a.score - b.score).abs() <= ctc::cuda::SCORE_TOLERANCE;
        let equal = found.iter().zip(&self.expected).filter(same).count();
        Ok([self.expected.len() - equal, self.expected.len()])
    }
}

/// What a detector of objects puts out for a batch.
struct Objects {
    batch: nms::cuda::Batch,
    boxes: Vec<[f32; 4]>,
    scores: Vec<f32>,
    placed: (Storage<[f32; 4]>, Storage<f32>),
    keys: DeviceBuffer<u64>,
    counts: DeviceBuffer<u32>,
    best: DeviceBuffer<u32>,
    out: DeviceBuffer<u32>,
    expected: Vec<Vec<Kept>>,
}

const NMS: NmsParams = NmsParams { score_threshold: 0.3, nms_threshold: 0.7, nms_top_k: 1000, keep_top_k: 300 };

impl Objects {
    fn new(stream: &Stream, pictures: usize, mode: nms::cuda::Classes) -> Result<Self> {
        let batch = nms::cuda::Batch { pictures, classes: 80, anchors: 8400, mode };
        let mut noise = Noise(9);
        let boxes: Vec<[f32; 4]> = (0..batch.pictures * batch.anchors)
            .map(|_| {
                let (x, y) = (noise.unit() * 600.0, noise.unit() * 600.0);
                [x, y, x + 4.0 + noise.unit() * 60.0, y + 4.0 + noise.unit() * 60.0]
            })
            .collect();
        // One candidate in five hundred, as detectors have it.
        let score = |noise: &mut Noise| noise.unit() * if noise.below(500) == 0 { 1.0 } else { 0.25 };
        let scores: Vec<f32> = (0..batch.pictures * batch.classes * batch.anchors).map(|_| score(&mut noise)).collect();
        Ok(Self {
            placed: (on_device(&boxes, stream)?, on_device(&scores, stream)?),
            boxes,
            scores,
            keys: stream.alloc(batch.keys())?,
            counts: stream.alloc(batch.counts())?,
            best: stream.alloc(batch.best())?,
            out: stream.alloc(batch.pictures * batch.stride(&NMS))?,
            expected: Vec::new(),
            batch,
        })
    }
}

impl Op for Objects {
    fn name(&self) -> &'static str {
        "nms, all kernels"
    }

    fn case(&self) -> String {
        let nms::cuda::Batch { pictures, classes, anchors, mode } = self.batch;
        let mode = if mode == nms::cuda::Classes::Apart { "apart" } else { "together" };
        format!("{pictures} pictures, {classes} classes {mode}, {anchors} boxes")
    }

    fn bytes(&self) -> u64 {
        (self.scores.len() * 4 + self.boxes.len() * 16) as u64
    }

    fn on_gpu(&mut self, stream: &Stream) -> Result<()> {
        let mut scratch = nms::cuda::Scratch { keys: self.keys.slice_mut(), counts: self.counts.slice_mut(), best: self.best.slice_mut() };
        let (boxes, scores) = (self.placed.0.on_device()?, self.placed.1.on_device()?);
        nms::cuda::suppress(stream, boxes, scores, self.batch, &NMS, &mut scratch, &mut self.out.slice_mut())
    }

    fn on_cpu(&mut self) -> Result<()> {
        let nms::cuda::Batch { classes, anchors, .. } = self.batch;
        let pictures = self.boxes.chunks_exact(anchors).zip(self.scores.chunks_exact(classes * anchors));
        let suppress = match self.batch.mode {
            nms::cuda::Classes::Apart => nms::cpu::multiclass,
            nms::cuda::Classes::Together => nms::cpu::class_agnostic,
        };
        self.expected = pictures.map(|(boxes, scores)| suppress(Candidates { boxes, scores }, &NMS)).collect::<Result<_>>()?;
        Ok(())
    }

    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]> {
        let out = download(self.out.slice(), stream, &mut Transfers::default())?;
        let found = nms::cuda::read(out.on_host()?, self.batch, &NMS)?;
        let unlike = found.iter().zip(&self.expected).filter(|(a, b)| a != b).count();
        Ok([unlike, self.expected.len()])
    }
}

/// Maps of several sizes, batches of maps, lines and object candidates.
pub(super) fn all() -> Vec<Recipe> {
    let boxes = [
        ("640", 1, Size::new(640, 640), false),
        ("960", 1, Size::new(960, 960), false),
        ("1080p", 1, Size::new(1920, 1080), false),
        ("1920", 1, Size::new(1920, 1920), false),
        ("4k", 1, Size::new(3840, 2160), false),
        ("batch-640", BATCH, Size::new(640, 640), false),
        ("batch-960", 8, Size::new(960, 960), false),
        ("dilated-960", 1, Size::new(960, 960), true),
    ];
    let objects = [
        ("apart", 8, nms::cuda::Classes::Apart),
        ("together", 8, nms::cuda::Classes::Together),
        ("batch", BATCH, nms::cuda::Classes::Apart),
    ];
    let boxes =
        boxes.map(|(name, maps, size, dilated)| recipe(format!("db-{name}"), move |stream| Boxes::new(stream, maps, size, dilated)));
    let objects = objects.map(|(name, pictures, mode)| recipe(format!("nms-{name}"), move |stream| Objects::new(stream, pictures, mode)));
    boxes.into_iter().chain([recipe("ctc", Texts::new)]).chain(objects).collect()
}

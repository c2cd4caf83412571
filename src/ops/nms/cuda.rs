//! The CUDA form, `kernels/nms.cu`: rows and their order are equal to those of [`super::cpu`].

use super::{Kept, NmsParams};
use crate::device::{DeviceSlice, DeviceSliceMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use bytemuck::{Pod, Zeroable};

const THREADS: u32 = 256;
/// Values of one row of the output.
const ROW: usize = 7;
/// The most blocks of a grid in y and z.
const MAX_GRID: usize = 65_535;
/// Shared memory every device has for a block, less what the kernels use themselves.
const MAX_SHARED: usize = 46 << 10;

/// Whether boxes of one class suppress those of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// Each class by itself, [`super::cpu::multiclass`].
    Apart,
    /// All together, [`super::cpu::class_agnostic`].
    Together,
}

/// Candidates of a batch: `[pictures, anchors]` boxes and `[pictures, classes, anchors]` scores.
#[derive(Clone, Copy, Debug)]
pub struct Batch {
    /// Pictures.
    pub pictures: usize,
    /// Classes with scores.
    pub classes: usize,
    /// Boxes per picture.
    pub anchors: usize,
    /// How classes go together.
    pub mode: Classes,
}

impl Batch {
    /// Lists of candidates per picture.
    fn lists(&self) -> usize {
        match self.mode {
            Classes::Apart => self.classes,
            Classes::Together => 1,
        }
    }

    /// Rows a picture may have.
    fn rows(&self, params: &NmsParams) -> usize {
        params.keep_top_k.min(self.lists() * self.anchors.min(params.nms_top_k))
    }

    /// Values of the output of one picture: the number of rows, and the rows.
    pub fn stride(&self, params: &NmsParams) -> usize {
        1 + ROW * self.rows(params)
    }

    /// Elements of [`Scratch::keys`].
    pub fn keys(&self) -> usize {
        self.pictures * self.lists() * self.anchors
    }

    /// Elements of [`Scratch::counts`].
    pub fn counts(&self) -> usize {
        self.pictures * self.lists()
    }

    /// Elements of [`Scratch::best`].
    pub fn best(&self) -> usize {
        match self.mode {
            Classes::Apart => 0,
            Classes::Together => self.pictures * self.anchors,
        }
    }
}

/// Device memory between the launches.
#[derive(Debug)]
pub struct Scratch<'a> {
    /// Candidates of every list; [`Batch::keys`].
    pub keys: DeviceSliceMut<'a, u64>,
    /// Length of every list; [`Batch::counts`].
    pub counts: DeviceSliceMut<'a, u32>,
    /// Best class of every box; [`Batch::best`].
    pub best: DeviceSliceMut<'a, u32>,
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    boxes: u64,
    scores: u64,
    keys: u64,
    counts: u64,
    best: u64,
    out: u64,
    score_threshold: f32,
    nms_threshold: f32,
    classes: u32,
    lists: u32,
    anchors: u32,
    nms_top_k: i32,
    keep_top_k: i32,
    out_stride: u32,
}

const _: () = assert!(size_of::<Args>() == 80);

/// Suppresses the candidates of `batch` into `out`, `batch.stride(params)` values per picture, which [`read`] understands.
///
/// # Errors
/// [`Error::Internal`] when a length does not fit the batch, or it is larger than a launch takes; those of the queue.
pub fn suppress(
    queue: &dyn Queue,
    boxes: DeviceSlice<[f32; 4]>,
    scores: DeviceSlice<f32>,
    batch: Batch,
    params: &NmsParams,
    scratch: &mut Scratch,
    out: &mut DeviceSliceMut<u32>,
) -> Result<()> {
    let Batch { pictures, classes, anchors, mode } = batch;
    if [pictures, classes, anchors].iter().any(|&n| i32::try_from(n).is_err()) {
        return Err(Error::internal("non-maximum suppression", format!("{batch:?} is more than a launch takes"))); // products would wrap
    }
    let (lists, stride) = (batch.lists(), batch.stride(params));
    let gone_bytes = anchors.min(params.nms_top_k).div_ceil(32) * size_of::<u32>();
    let fits = boxes.len() == pictures * anchors
        && scores.len() as u128 == [pictures, classes, anchors].iter().map(|&n| n as u128).product()
        && scratch.keys.len() >= batch.keys()
        && scratch.counts.len() >= batch.counts()
        && scratch.best.len() >= batch.best()
        && out.len() == pictures * stride
        && pictures.max(lists) <= MAX_GRID
        && gone_bytes.max(lists * size_of::<i32>()) <= MAX_SHARED
        && i32::try_from(lists.max(1) * anchors).is_ok();
    if !fits {
        let reason = format!("{} boxes, {} scores and {} values of output for {batch:?}", boxes.len(), scores.len(), out.len());
        return Err(Error::internal("non-maximum suppression", reason));
    }
    if pictures == 0 {
        return Ok(());
    }
    if classes == 0 || anchors == 0 {
        // SAFETY: the output is exclusively ours; a count of zero is no rows.
        return unsafe { queue.clear(out.address(), out.len() * size_of::<u32>()) };
    }
    let limit = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let args = Args {
        boxes: boxes.address(),
        scores: scores.address(),
        keys: scratch.keys.address(),
        counts: scratch.counts.address(),
        best: if mode == Classes::Together { scratch.best.address() } else { 0 },
        out: out.address(),
        score_threshold: params.score_threshold,
        nms_threshold: params.nms_threshold,
        classes: classes as u32,
        lists: lists as u32,
        anchors: anchors as u32,
        nms_top_k: limit(params.nms_top_k),
        keep_top_k: limit(params.keep_top_k),
        out_stride: stride as u32,
    };
    let launch = |kernel, grid: [usize; 3], shared_bytes: usize| {
        let grid = grid.map(|n| n as u32);
        let launch = Launch { kernel, grid, threads: THREADS, shared_bytes: shared_bytes as u32, args: bytemuck::bytes_of(&args) };
        // SAFETY: `Args` is the kernel's structure, checked for size on both sides, and all lengths were checked above.
        unsafe { queue.launch(launch) }
    };
    // SAFETY: the counts are exclusively ours.
    unsafe { queue.clear(scratch.counts.address(), batch.counts() * size_of::<u32>()) }?;
    let blocks = tiles(anchors as u32, THREADS) as usize;
    match mode {
        Classes::Apart => launch(Kernel::NmsCollect, [blocks, classes, pictures], 0)?,
        Classes::Together => launch(Kernel::NmsCollectBest, [blocks, pictures, 1], 0)?,
    }
    launch(Kernel::NmsSuppress, [lists, pictures, 1], gone_bytes)?;
    launch(Kernel::NmsGather, [pictures, 1, 1], lists * size_of::<i32>())
}

/// What [`suppress`] wrote, once it is in host memory: the rows of every picture.
///
/// # Errors
/// [`Error::Internal`] when it is no output of `batch`.
pub fn read(out: &[u32], batch: Batch, params: &NmsParams) -> Result<Vec<Vec<Kept>>> {
    let broken = || Error::internal("non-maximum suppression", format!("{} values of output for {batch:?}", out.len()));
    let stride = batch.stride(params);
    if out.len() != batch.pictures * stride {
        return Err(broken());
    }
    let kept = |&[class, anchor, score, ref rect @ ..]: &[u32; ROW]| Kept {
        class,
        anchor,
        score: f32::from_bits(score),
        rect: rect.map(f32::from_bits),
    };
    out.chunks_exact(stride)
        .map(|picture| {
            let rows = picture[1..].as_chunks::<ROW>().0;
            Ok(rows.get(..picture[0] as usize).ok_or_else(broken)?.iter().map(kept).collect())
        })
        .collect()
}

//! The CUDA form, `kernels/db.cu` and `kernels/db_box.cu`: all maps of a batch at once, in eight launches.
//!
//! Number and order of the boxes and their corners are equal to those of [`super::cpu`], scores agree within
//! [`SCORE_TOLERANCE`], as sums run in another order. Two things can differ: where several rectangles have nearly equal areas and
//! the border passes a pixel twice, the other one may be taken, as no border is followed here; and a device's
//! sine and arc tangent may differ from the C library's in the last bit, which moves a corner by a pixel where it rounds the other way.

use super::{DbParams, ScoreMode, TextBox};
use crate::device::{DeviceSlice, DeviceSliceMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use crate::image::{PointI, Size};
use bytemuck::{Pod, Zeroable};

/// Largest difference of a score to that of the CPU form.
pub const SCORE_TOLERANCE: f32 = 1e-6;

const THREADS: u32 = 256;
const BOX_THREADS: u32 = 64;
/// Values of a box in the output: corners and score.
const BOX: usize = 9;
/// Values of `Candidate` and `Box` in `kernels/db.cu`.
const CANDIDATE: usize = 5;
const FOUND: usize = 10;
/// Longest side of a map.
const MAX_SIDE: u32 = 8192;
/// Grown boxes have to stay within 14 bits and a sign.
const MAX_COORDINATE: f64 = 16_383.0;
/// The most blocks of a grid in y.
const MAX_GRID: usize = 65_535;
/// Shared memory every device has for a block, less what the kernel uses itself.
const MAX_SHARED: usize = 46 << 10;

/// Sizes that follow from a batch: how much memory it needs, and how it is launched.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    maps: usize,
    size: Size,
    params: DbParams,
    /// Rows and words per row of the plane of bits.
    rows: usize,
    words: usize,
    candidates: usize,
    /// Points of one side of a hull, of a hull, and of a grown box.
    chain: usize,
    hull: usize,
    ring: usize,
}

impl Plan {
    /// The plan for `maps` maps of one size.
    ///
    /// # Errors
    /// [`Error::Config`] for what the kernels do not do: the mean over the contour itself, and maps whose sides or growth
    /// are too large for them.
    pub fn new(maps: usize, size: Size, params: &DbParams) -> Result<Self> {
        if params.score_mode == ScoreMode::Slow {
            return Err(Error::config("score_mode", "`slow` runs on the CPU only; use `fast`, or device `cpu`"));
        }
        let (width, height) = (size.width as usize, size.height as usize);
        let (rows, words) = (height + 2, (width + 2).div_ceil(32));
        let candidates = params.max_candidates.min(width * height);
        // A rectangle of least area around a part of the map has at most the area of the map, and grows by area x ratio / perimeter:
        // none of that area by more than a square.
        let growth = params.unclip_ratio.max(0.0) * ((width * height) as f64).sqrt() / 4.0 + 1.0;
        let ring = (2.0 * std::f64::consts::PI / (1.0 - 0.25 / growth).acos()) as usize + 32;
        // Each of its corners lies on a circle over two points of the map.
        let (side, diagonal) = (width.max(height) as f64, (width as f64).hypot(height as f64));
        let (chain, extent) = (rows.max(ring), side + diagonal + 2.0 * growth);
        // A convex polygon of whole coordinates has few vertices: 3.6 times the side to the power of 2/3.
        let hull = (4.0 * extent.powf(2.0 / 3.0)) as usize + 16;
        let plan = Self { maps, size, params: *params, rows, words, candidates, chain, hull, ring };
        let fits = size.width.max(size.height) <= MAX_SIDE
            && side + diagonal / 2.0 + growth <= MAX_COORDINATE
            && plan.shared_bytes() <= MAX_SHARED;
        if !fits || maps > MAX_GRID || candidates > i32::MAX as usize {
            let reason = format!("{maps} maps of {size} that grow by {growth} pixels are too large for the GPU");
            return Err(Error::config("text detection", reason));
        }
        Ok(plan)
    }

    /// Values of memory the launches need between them.
    pub fn scratch(&self) -> usize {
        let plane = self.rows * self.words;
        let planes = if self.params.use_dilation { 2 } else { 1 };
        self.maps * (plane * (planes + 32) + self.rows + 2 + self.candidates * (CANDIDATE + FOUND))
    }

    /// Values of the output: faults, the number of boxes of each map, and room for all boxes, which lie one
    /// behind the other.
    pub fn out(&self) -> usize {
        1 + self.maps + self.maps * self.candidates * BOX
    }

    fn shared_bytes(&self) -> usize {
        (2 * self.chain + self.hull + self.ring) * size_of::<u32>()
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    maps: u64,
    originals: u64,
    bits: u64,
    undilated: u64,
    labels: u64,
    row_roots: u64,
    totals: u64,
    kept: u64,
    candidates: u64,
    boxes: u64,
    out: u64,
    box_thresh: f64,
    unclip_ratio: f64,
    thresh: f32,
    map_count: u32,
    width: u32,
    height: u32,
    rows: u32,
    words: u32,
    max_candidates: u32,
    chain_capacity: u32,
    hull_capacity: u32,
    ring_capacity: u32,
}

const _: () = assert!(size_of::<Args>() == 144);

/// Boxes of all maps of `plan` into `out`, which [`read`] understands. `maps` are `[maps, height, width]` probabilities,
/// `originals` width and height of the picture of each map.
///
/// # Errors
/// [`Error::Internal`] when a length does not fit the plan; those of the queue.
pub fn boxes(
    queue: &dyn Queue,
    plan: &Plan,
    maps: DeviceSlice<f32>,
    originals: DeviceSlice<[u32; 2]>,
    scratch: &mut DeviceSliceMut<u32>,
    out: &mut DeviceSliceMut<u32>,
) -> Result<()> {
    let Plan { maps: count, size, params, rows, words, candidates, .. } = *plan;
    let fits = maps.len() as u64 == count as u64 * size.area()
        && originals.len() == count
        && scratch.len() >= plan.scratch()
        && out.len() == plan.out();
    if !fits {
        let reason = format!("{} probabilities, {} values of scratch and {} of output for {plan:?}", maps.len(), scratch.len(), out.len());
        return Err(Error::internal("text detection", reason));
    }
    if count == 0 || size.area() == 0 || candidates == 0 {
        // SAFETY: the faults and the numbers of boxes at the start of the output are exclusively ours.
        return unsafe { queue.clear(out.address(), (1 + count) * size_of::<u32>()) };
    }
    let plane = rows * words;
    let mut rest = scratch.reborrow();
    let bits = rest.split_off(count * plane)?;
    let undilated = rest.split_off(if params.use_dilation { count * plane } else { 0 })?;
    let labels = rest.split_off(count * plane * 32)?;
    let counts = rest.split_off(count * (rows + 2))?;
    let found = rest.split_off(count * candidates * CANDIDATE)?;
    let boxes = rest.split_off(count * candidates * FOUND)?;
    let args = Args {
        maps: maps.address(),
        originals: originals.address(),
        bits: bits.address(),
        undilated: if undilated.is_empty() { 0 } else { undilated.address() },
        labels: labels.address(),
        row_roots: counts.address(),
        totals: counts.address() + (count * rows * size_of::<u32>()) as u64,
        kept: counts.address() + (count * (rows + 1) * size_of::<u32>()) as u64,
        candidates: found.address(),
        boxes: boxes.address(),
        out: out.address(),
        box_thresh: params.box_thresh,
        unclip_ratio: params.unclip_ratio,
        thresh: params.thresh,
        map_count: count as u32,
        width: size.width,
        height: size.height,
        rows: rows as u32,
        words: words as u32,
        max_candidates: candidates as u32,
        chain_capacity: plan.chain as u32,
        hull_capacity: plan.hull as u32,
        ring_capacity: plan.ring as u32,
    };
    let launch = |kernel, blocks: u32, threads, shared_bytes: usize| {
        let grid = [blocks, count as u32, 1];
        let launch = Launch { kernel, grid, threads, shared_bytes: shared_bytes as u32, args: bytemuck::bytes_of(&args) };
        // SAFETY: `Args` is the kernel's structure, checked for size on both sides; the parts of the scratch were cut to the
        // sizes the kernels use, the other lengths were checked above.
        unsafe { queue.launch(launch) }
    };
    let per_word = tiles(plane as u32, THREADS);
    launch(Kernel::DbThreshold, tiles(plane as u32, THREADS / 32), THREADS, 0)?;
    if params.use_dilation {
        launch(Kernel::DbDilate, per_word, THREADS, 0)?;
    }
    launch(Kernel::DbLabel, per_word, THREADS, 0)?;
    launch(Kernel::DbMerge, per_word, THREADS, 0)?;
    launch(Kernel::DbFlatten, per_word, THREADS, 0)?;
    launch(Kernel::DbNumber, tiles(rows as u32, THREADS / 32), THREADS, 0)?;
    launch(Kernel::DbExtents, per_word, THREADS, 0)?;
    launch(Kernel::DbBoxes, candidates as u32, BOX_THREADS, plan.shared_bytes())?;
    let gather =
        Launch { kernel: Kernel::DbGather, grid: [count as u32, 1, 1], threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: as for the other launches.
    unsafe { queue.launch(gather) }
}

/// The boxes of each map, out of what [`boxes`] wrote, once it is in host memory. Order as that of
/// [`super::cpu::boxes`].
///
/// # Errors
/// [`Error::Internal`] when values are missing or the kernels report that their memory did not suffice.
pub fn read(out: &[u32], plan: &Plan) -> Result<Vec<Vec<TextBox>>> {
    let missing = || Error::internal("text detection", format!("{} values of output for {plan:?}", out.len()));
    let (&faults, rest) = out.split_first().ok_or_else(missing)?;
    if faults != 0 {
        return Err(Error::internal("text detection", format!("a hull or a grown box outgrew its memory (faults {faults}), {plan:?}")));
    }
    let (counts, rows) = rest.split_at_checked(plan.maps).ok_or_else(missing)?;
    let mut rows = rows.as_chunks::<BOX>().0;
    counts
        .iter()
        .map(|&count| {
            let (own, others) = rows.split_at_checked(count as usize).ok_or_else(missing)?;
            rows = others;
            Ok(own.iter().map(text_box).collect())
        })
        .collect()
}

fn text_box(&[x0, y0, x1, y1, x2, y2, x3, y3, score]: &[u32; BOX]) -> TextBox {
    let quad = [(x0, y0), (x1, y1), (x2, y2), (x3, y3)].map(|(x, y)| PointI::new(x as i32, y as i32));
    TextBox { quad, score: f32::from_bits(score) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernels_do_not_do_is_said() {
        let params = DbParams::default();
        for size in [Size::new(960, 960), Size::new(2496, 3520), Size::new(4096, 4096)] {
            assert!(Plan::new(8, size, &params).is_ok(), "{size}");
        }
        let slow = DbParams { score_mode: ScoreMode::Slow, ..params };
        assert!(Plan::new(1, Size::new(32, 32), &slow).unwrap_err().to_string().contains("score_mode"));
        for (size, params) in [
            (Size::new(9000, 32), params),
            (Size::new(3300, 4700), params),
            (Size::new(960, 960), DbParams { unclip_ratio: 80.0, ..params }),
        ] {
            let error = Plan::new(1, size, &params).unwrap_err().to_string();
            assert!(error.contains("too large for the GPU"), "{error}");
        }
    }

    #[test]
    fn output_that_is_cut_off_or_reports_a_fault_is_refused() {
        let plan = Plan::new(2, Size::new(32, 32), &DbParams::default()).unwrap();
        let one = [0, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0.5f32.to_bits()];
        let found = read(&one, &plan).unwrap();
        assert_eq!((found[0].len(), found[1].len(), found[0][0].score, found[0][0].quad[3]), (1, 0, 0.5, PointI::new(7, 8)));
        for out in [&one[..11], &one[..2], &[][..], &[0, 1, 1, 0]] {
            assert!(read(out, &plan).is_err());
        }
        assert!(read(&[2, 0, 0], &plan).unwrap_err().to_string().contains("faults 2"));
    }
}

//! The CUDA form, `kernels/warp.cu`: crops, straight ones and such along a curve, resizes and normalises in one pass. Results are
//! equal to those of [`super::curve::warp`] followed by [`resize_norm::cpu`](crate::ops::resize_norm::cpu).

use super::curve::CurvePlan;
use super::plan::block;
use super::table::WEIGHTS;
use crate::device::{DeviceSlice, FloatsMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use crate::image::surface::SurfaceRow;
use crate::image::{Size, Surface};
use crate::ops::resize_norm::cuda::{NormalizeArgs, reversed, scale};
use crate::ops::resize_norm::{Interpolation, Params};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

const TILE: Size = Size::new(64, 16);
const THREADS: u32 = 256;
/// The most blocks of a grid in y and z.
const MAX_GRID: u32 = 65_535;

/// Taps of each of the 32 x 32 fractions of a pixel, in 15-bit fixed point.
pub type Taps = [i16; 16];

/// What [`run`] needs on the device, once for all batches.
pub fn weights() -> Vec<Taps> {
    let flat = |rows: &[[i16; 4]; 4]| std::array::from_fn(|i| rows[i / 4][i % 4]);
    WEIGHTS.iter().map(flat).collect()
}

/// One crop of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The frame it is cut from.
    pub src: Surface<'a>,
    /// Where it lies there.
    pub plan: &'a CurvePlan,
    /// Size after the resize; at most the canvas.
    pub resized: Size,
}

/// `Plan` of `kernels/warp.cu`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
struct PlanRow {
    inverse: [f64; 9],
    warped: [u32; 2],
    block: u32,
    turn: u32,
}

const _: () = assert!(size_of::<PlanRow>() == 88);

impl PlanRow {
    fn new(plan: &CurvePlan) -> Self {
        let (inverse, warped, turn) = match plan {
            CurvePlan::Rectangle(plan) => (plan.inverse, plan.warped, plan.turn),
            // A plain copy is a shift by whole pixels.
            CurvePlan::Window { origin, size } => {
                ([1.0, 0.0, f64::from(origin.x), 0.0, 1.0, f64::from(origin.y), 0.0, 0.0, 1.0], *size, false)
            }
            CurvePlan::Strips(strips) => {
                let (size, turn) = strips.before_turn();
                ([0.0; 9], size, turn)
            }
        };
        Self { inverse, warped: [warped.width, warped.height], block: block(warped), turn: u32::from(turn) }
    }
}

/// `Strip` of `kernels/warp.cu`. 88 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct StripRow {
    inverse: [f64; 9],
    size: [u32; 2],
    block: u32,
    padding: u32,
}

const _: () = assert!(size_of::<StripRow>() == 88);

/// A crop as the kernel reads it. 192 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    src: SurfaceRow,
    plan: PlanRow,
    /// Its strips: the first, and how many.
    strips: [u32; 2],
    scale_x: f64,
    scale_y: f64,
    resized: [u32; 2],
    reverse: u32,
    padding: u32,
}

const _: () = assert!(size_of::<Row>() == 192);

/// A checked batch as the kernel reads it; its rows, and its strips where there are any, have to be copied to the device.
#[derive(Debug)]
pub struct Table<'a> {
    rows: Vec<Row>,
    strips: Vec<StripRow>,
    params: Params,
    pictures: PhantomData<Surface<'a>>,
}

impl<'a> Table<'a> {
    /// Checks `items` against `params`; the resize is linear.
    ///
    /// # Errors
    /// [`Error::Input`] naming the index of a crop that has no pixels or is larger than the canvas after the resize;
    /// [`Error::Internal`] for another filter, and for more crops than a launch takes.
    pub fn new(items: &[Item<'a>], params: &Params) -> Result<Self> {
        let canvas = params.canvas;
        let mut strips = Vec::new();
        let rows = items.iter().enumerate().map(|(index, item)| row(index, item, params, &mut strips));
        let rows: Vec<Row> = rows.collect::<Result<_>>()?;
        let fits = rows.len() <= MAX_GRID as usize && tiles(canvas.height, TILE.height) <= MAX_GRID && canvas.area() > 0;
        if !fits || params.interpolation != Interpolation::Linear {
            return Err(Error::internal("crop", format!("{} crops, {params:?}", rows.len())));
        }
        Ok(Self { rows, strips, params: *params, pictures: PhantomData })
    }

    /// Of crops along a curve, what [`run`] needs on the device; empty where all are straight.
    pub fn strips(&self) -> &[StripRow] {
        &self.strips
    }

    /// What [`run`] needs on the device.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

fn row(index: usize, item: &Item, params: &Params, strips: &mut Vec<StripRow>) -> Result<Row> {
    let (from, to, canvas) = (item.plan.size(), item.resized, params.canvas);
    if item.plan.is_empty() || to.area() == 0 || to.width > canvas.width || to.height > canvas.height {
        let reason = format!("{from} pixels, {to} after the resize, do not fit the canvas of {canvas}");
        return Err(Error::input(format!("crop {index} of the batch"), reason));
    }
    let first = strips.len();
    if let CurvePlan::Strips(pieces) = item.plan {
        let strip = |(inverse, size): (&[f64; 9], Size)| StripRow {
            inverse: *inverse,
            size: [size.width, size.height],
            block: block(size),
            padding: 0,
        };
        strips.extend(pieces.each().map(strip));
    }
    Ok(Row {
        src: item.src.row(),
        plan: PlanRow::new(item.plan),
        strips: [first, strips.len() - first].map(|count| count as u32),
        scale_x: scale(from.width, to.width),
        scale_y: scale(from.height, to.height),
        resized: [to.width, to.height],
        reverse: u32::from(reversed(&item.src, params.planes)),
        padding: 0,
    })
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    rows: u64,
    strips: u64,
    weights: u64,
    out: u64,
    canvas: [u32; 2],
    normalize: NormalizeArgs,
    pad: f32,
    padding: u32,
}

const _: () = assert!(size_of::<Args>() == 80);

/// The crops of `table` into `out`, a tensor `[crops, 3, canvas.height, canvas.width]`. `rows` and `strips`, which
/// may be `None` where there are none, are the table's and `weights` those of [`weights`], on the device.
///
/// # Errors
/// [`Error::Internal`] when a length does not fit the table; those of the queue.
pub fn run(
    queue: &dyn Queue,
    table: &Table,
    rows: DeviceSlice<Row>,
    strips: Option<DeviceSlice<StripRow>>,
    weights: DeviceSlice<Taps>,
    out: &FloatsMut,
) -> Result<()> {
    let (params, count) = (&table.params, table.rows.len());
    let canvas = params.canvas;
    let known_strips = strips.map_or(0, DeviceSlice::len);
    if rows.len() != count
        || known_strips != table.strips.len()
        || weights.len() != WEIGHTS.len()
        || out.len() as u64 != count as u64 * 3 * canvas.area()
    {
        let reason = format!(
            "{} rows, {known_strips} strips and {} values of output for {count} crops on a canvas of {canvas}",
            rows.len(),
            out.len()
        );
        return Err(Error::internal("crop", reason));
    }
    if count == 0 {
        return Ok(());
    }
    let kernel = match out {
        FloatsMut::F32(_) => Kernel::WarpResizeNormF32,
        FloatsMut::F16(_) => Kernel::WarpResizeNormF16,
    };
    let args = Args {
        rows: rows.address(),
        strips: strips.map_or(0, DeviceSlice::address),
        weights: weights.address(),
        out: out.address(),
        canvas: [canvas.width, canvas.height],
        normalize: NormalizeArgs::new(&params.normalize),
        pad: params.pad,
        padding: 0,
    };
    let grid = [tiles(canvas.width, TILE.width), tiles(canvas.height, TILE.height), count as u32];
    let launch = Launch { kernel, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: `Args` is the kernel's structure, checked for size on both sides; the table was made from surfaces that
    // hold their pixels, the widths of strips sum up to that of their crop, the weights cover all fractions, and the output has a value for every pixel of every canvas.
    unsafe { queue.launch(launch) }
}

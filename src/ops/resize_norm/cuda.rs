//! The CUDA form, `kernels/resize_norm.cu`: results are equal to those of [`super::cpu`].

use super::{Interpolation, Normalize, Params, Planes, Scale, Window};
use crate::device::{DeviceSlice, FloatsMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use crate::image::surface::SurfaceRow;
use crate::image::{Size, Surface};
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

const TILE: Size = Size::new(64, 16);
const THREADS: u32 = 256;
/// The most blocks of a grid in y and z.
const MAX_GRID: u32 = 65_535;

/// One picture of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Source pixels.
    pub src: Surface<'a>,
    /// Size after the resize.
    pub resized: Size,
    /// What is kept of it; at most the canvas.
    pub window: Window,
}

/// A picture as the kernel reads it. 104 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    src: SurfaceRow,
    scale_x: f64,
    scale_y: f64,
    window: [u32; 4],
    reverse: u32,
    padding: u32,
}

const _: () = assert!(size_of::<Row>() == 104);

/// A checked batch as the kernel reads it; its rows have to be copied to the device.
#[derive(Debug)]
pub struct Table<'a> {
    rows: Vec<Row>,
    params: Params,
    pictures: PhantomData<Surface<'a>>,
}

impl<'a> Table<'a> {
    /// Checks `items` against `params`.
    ///
    /// # Errors
    /// [`Error::Input`] naming the index of an item whose window leaves the resized picture or the canvas;
    /// [`Error::Internal`] for more pictures than a launch takes.
    pub fn new(items: &[Item<'a>], params: &Params) -> Result<Self> {
        let canvas = params.canvas;
        let rows: Vec<Row> = items.iter().enumerate().map(|(index, item)| row(index, item, params)).collect::<Result<_>>()?;
        if rows.len() > MAX_GRID as usize || tiles(canvas.height, TILE.height) > MAX_GRID || canvas.area() == 0 {
            return Err(Error::internal("resize and normalise", format!("{} pictures on a canvas of {canvas}", rows.len())));
        }
        Ok(Self { rows, params: *params, pictures: PhantomData })
    }

    /// What [`run`] needs on the device.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }
}

fn row(index: usize, item: &Item, params: &Params) -> Result<Row> {
    let (from, to, canvas) = (item.src.size(), item.resized, params.canvas);
    let Window { x, y, size } = item.window;
    let inside = |from: u32, part: u32, whole: u32| part > 0 && from.checked_add(part).is_some_and(|end| end <= whole);
    if size.width > canvas.width || size.height > canvas.height || !inside(x, size.width, to.width) || !inside(y, size.height, to.height) {
        let reason = format!("the window of {size} at ({x}, {y}) of {to} after the resize does not fit the canvas of {canvas}");
        return Err(Error::input(format!("picture {index} of the batch"), reason));
    }
    Ok(Row {
        src: item.src.row(),
        scale_x: scale(from.width, to.width),
        scale_y: scale(from.height, to.height),
        window: [x, y, size.width, size.height],
        reverse: u32::from(reversed(&item.src, params.planes)),
        padding: 0,
    })
}

/// Source samples per target sample. In f64 and in this order: the positions of the kernel are OpenCV's only then.
pub(in crate::ops) fn scale(from: u32, to: u32) -> f64 {
    1.0 / (f64::from(to) / f64::from(from))
}

/// Whether the planes take the samples of a pixel from the last to the first.
pub(in crate::ops) fn reversed(src: &Surface, planes: Planes) -> bool {
    src.is_rgb() != (planes == Planes::Rgb)
}

/// `Normalize` of `kernels/sampling.cuh`.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub(in crate::ops) struct NormalizeArgs {
    scale: f32,
    mean: [f32; 3],
    std: [f32; 3],
    factors: u32,
}

const _: () = assert!(size_of::<NormalizeArgs>() == 32);

impl NormalizeArgs {
    pub(in crate::ops) fn new(n: &Normalize) -> Self {
        // Dividing by a power of two and multiplying by its reciprocal are the same, and the latter is much faster.
        let exact = |v: f32| v.to_bits() & 0x007f_ffff == 0 && v.is_normal() && v.recip().is_normal();
        let (scale, mut factors) = match n.scale {
            Scale::Times(factor) => (factor, 1),
            Scale::Over(divisor) => (divisor, 0),
        };
        let mut std = n.std;
        for (c, v) in std.iter_mut().enumerate() {
            if exact(*v) {
                (*v, factors) = (v.recip(), factors | 2 << c);
            }
        }
        Self { scale, mean: n.mean, std, factors }
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Args {
    rows: u64,
    out: u64,
    canvas: [u32; 2],
    normalize: NormalizeArgs,
    pad: f32,
    padding: u32,
}

const _: () = assert!(size_of::<Args>() == 64);

/// Resizes and normalises the pictures of `table` into `out`, a tensor `[pictures, 3, canvas.height, canvas.width]`.
/// `rows` are the table's, on the device.
///
/// # Errors
/// [`Error::Internal`] when `rows` or `out` does not fit the table; those of the queue.
pub fn run(queue: &dyn Queue, table: &Table, rows: DeviceSlice<Row>, out: &FloatsMut) -> Result<()> {
    let (params, count) = (&table.params, table.rows.len());
    let canvas = params.canvas;
    if rows.len() != count || out.len() as u64 != count as u64 * 3 * canvas.area() {
        let reason = format!("{} rows and {} values of output for {count} pictures on a canvas of {canvas}", rows.len(), out.len());
        return Err(Error::internal("resize and normalise", reason));
    }
    if count == 0 {
        return Ok(());
    }
    let kernel = match (params.interpolation, out) {
        (Interpolation::Linear, FloatsMut::F32(_)) => Kernel::ResizeNormLinearF32,
        (Interpolation::Linear, FloatsMut::F16(_)) => Kernel::ResizeNormLinearF16,
        (Interpolation::Cubic, FloatsMut::F32(_)) => Kernel::ResizeNormCubicF32,
        (Interpolation::Cubic, FloatsMut::F16(_)) => Kernel::ResizeNormCubicF16,
    };
    let args = Args {
        rows: rows.address(),
        out: out.address(),
        canvas: [canvas.width, canvas.height],
        normalize: NormalizeArgs::new(&params.normalize),
        pad: params.pad,
        padding: 0,
    };
    let grid = [tiles(canvas.width, TILE.width), tiles(canvas.height, TILE.height), count as u32];
    let launch = Launch { kernel, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: `Args` is the kernel's structure, checked for size on both sides; the table was made from surfaces that
    // hold their pixels, and the output has a value for every pixel of every canvas.
    unsafe { queue.launch(launch) }
}

//! The CUDA form, `kernels/mask.cu`: results are equal to those of [`super::cpu`].

use super::{MAX_CLASSES, Window};
use crate::device::{DeviceSlice, DeviceSliceMut, Kernel, Launch, Queue, tiles};
use crate::error::{Error, Result};
use crate::image::Size;
use bytemuck::{Pod, Zeroable};
use std::marker::PhantomData;

const TILE: Size = Size::new(64, 16);
const THREADS: u32 = 256;
/// The most blocks of a grid in y and z.
const MAX_GRID: usize = 65_535;

/// One instance whose mask is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// Low-resolution logits, `size.area()` of them.
    pub logits: DeviceSlice<'a, f32>,
    /// Width and height of the logits.
    pub size: Size,
    /// Width and height of the picture.
    pub picture: Size,
    /// The part of the picture that is wanted.
    pub window: Window,
}

/// An instance as the kernel reads it. 56 bytes.
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
#[repr(C)]
pub struct Row {
    logits: u64,
    offset: u64,
    ratio: [f32; 2],
    low: [u32; 2],
    window: [u32; 4],
    padding: [u32; 2],
}

const _: () = assert!(size_of::<Row>() == 56);

/// Checked instances as the kernel reads them; the rows have to be copied to the device.
#[derive(Debug)]
pub struct Table<'a> {
    rows: Vec<Row>,
    /// Blocks that cover the largest window.
    blocks: [u32; 2],
    bytes: u64,
    logits: PhantomData<DeviceSlice<'a, f32>>,
}

impl<'a> Table<'a> {
    /// Checks `items`. Their masks lie one behind the other in the output, each `window.size().area()` bytes.
    ///
    /// # Errors
    /// [`Error::Internal`] naming the index of an item without logits, with a wrong number of them or a window that leaves
    /// its picture, and for more items than a launch takes.
    pub fn new(items: &[Item<'a>]) -> Result<Self> {
        if items.len() > MAX_GRID {
            return Err(Error::internal("mask", format!("{} instances; at most {MAX_GRID} are possible", items.len())));
        }
        let (mut bytes, mut blocks, mut rows) = (0, [0; 2], Vec::with_capacity(items.len()));
        for (index, item) in items.iter().enumerate() {
            let Item { logits, size, picture, window } = *item;
            if logits.is_empty() || logits.len() as u64 != size.area() || window.x1 > picture.width || window.y1 > picture.height {
                let reason = format!("{} logits for a mask of {size}, {window:?} of a picture of {picture}", logits.len());
                return Err(Error::internal(format!("mask {index}"), reason));
            }
            // Paddle leaves the ratio 0 for a single target sample.
            let ratio = |from: u32, to: u32| if to > 1 { from as f32 / to as f32 } else { 0.0 };
            rows.push(Row {
                logits: logits.address(),
                offset: bytes,
                ratio: [ratio(size.width, picture.width), ratio(size.height, picture.height)],
                low: [size.width, size.height],
                window: [window.x0, window.y0, window.x1, window.y1],
                padding: [0; 2],
            });
            let Size { width, height } = window.size();
            blocks = [blocks[0].max(tiles(width, TILE.width)), blocks[1].max(tiles(height, TILE.height))];
            bytes += window.size().area();
        }
        Ok(Self { rows, blocks, bytes, logits: PhantomData })
    }

    /// What [`cut`] needs on the device.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Bytes of all masks.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct CutArgs {
    rows: u64,
    out: u64,
}

const _: () = assert!(size_of::<CutArgs>() == 16);

/// The masks of `table` into `out`, bytes of 0 or 1. `rows` are the table's, on the device.
///
/// # Errors
/// [`Error::Internal`] when a length does not fit the table; those of the queue.
pub fn cut(queue: &dyn Queue, table: &Table, rows: DeviceSlice<Row>, out: &mut DeviceSliceMut<u8>) -> Result<()> {
    if rows.len() != table.rows.len() || out.len() as u64 != table.bytes {
        let reason = format!("{} rows and {} bytes of output for {} bytes of masks", rows.len(), out.len(), table.bytes);
        return Err(Error::internal("mask", reason));
    }
    if table.bytes == 0 {
        return Ok(());
    }
    let args = CutArgs { rows: rows.address(), out: out.address() };
    let [x, y] = table.blocks;
    let grid = [x, y, table.rows.len() as u32];
    let launch = Launch { kernel: Kernel::MaskCut, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: `CutArgs` is the kernel's structure, checked for size on both sides; the table holds the logits, every
    // window lies in its picture, and the output has a byte for every pixel of every window.
    unsafe { queue.launch(launch) }
}

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct ClassArgs {
    scores: u64,
    labels: u64,
    colours: u64,
    pixels: u64,
    classes: u32,
    padding: u32,
}

const _: () = assert!(size_of::<ClassArgs>() == 40);

/// The class of every pixel of `pictures` pictures, from `[pictures, classes, pixels]` scores into `labels`.
///
/// # Errors
/// [`Error::Internal`] when a length does not fit or there are more than [`MAX_CLASSES`]; those of the queue.
pub fn argmax(queue: &dyn Queue, scores: DeviceSlice<f32>, pictures: usize, classes: usize, labels: &mut DeviceSliceMut<u8>) -> Result<()> {
    let pixels = labels.len().checked_div(pictures).unwrap_or(0);
    let fits = (1..=MAX_CLASSES).contains(&classes)
        && pictures <= MAX_GRID
        && labels.len() == pictures * pixels
        && scores.len() == classes * labels.len()
        && i32::try_from(pixels).is_ok();
    if !fits {
        let reason = format!("{} scores of {classes} classes for {} pixels of {pictures} pictures", scores.len(), labels.len());
        return Err(Error::internal("classes of pixels", reason));
    }
    if pixels == 0 {
        return Ok(());
    }
    let args = ClassArgs {
        scores: scores.address(),
        labels: labels.address(),
        colours: 0,
        pixels: pixels as u64,
        classes: classes as u32,
        padding: 0,
    };
    let grid = [tiles(pixels as u32, THREADS), pictures as u32, 1];
    let launch = Launch { kernel: Kernel::MaskArgmax, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: `ClassArgs` is the kernel's structure, checked for size on both sides, and the lengths were checked above.
    unsafe { queue.launch(launch) }
}

/// The colours of `labels`, three bytes (RGB) each, into `colours`.
///
/// # Errors
/// [`Error::Internal`] when the lengths do not fit; those of the queue.
pub fn colour(queue: &dyn Queue, labels: DeviceSlice<u8>, colours: &mut DeviceSliceMut<u8>) -> Result<()> {
    let pixels = labels.len();
    if colours.len() != pixels * 3 || i32::try_from(pixels).is_err() {
        return Err(Error::internal("colours of classes", format!("{} bytes for {pixels} pixels", colours.len())));
    }
    if pixels == 0 {
        return Ok(());
    }
    let args = ClassArgs {
        scores: 0,
        labels: labels.address(),
        colours: colours.address(),
        pixels: pixels as u64,
        classes: MAX_CLASSES as u32,
        padding: 0,
    };
    let grid = [tiles(pixels as u32, THREADS), 1, 1];
    let launch = Launch { kernel: Kernel::MaskColour, grid, threads: THREADS, shared_bytes: 0, args: bytemuck::bytes_of(&args) };
    // SAFETY: as in `argmax`.
    unsafe { queue.launch(launch) }
}

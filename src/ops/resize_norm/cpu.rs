//! The definition on the CPU: rows are resized one at a time and handed on while they are in the cache,
//! either interleaved again or normalised straight into the tensor. No float picture is kept in between.

use super::cubic::Cubic;
use super::linear::Linear;
use super::{Interpolation, Item, Normalize, Params, Planes, Scale, Window};
use crate::error::{Error, Result};
use crate::image::{ImageView, PixelFormat, Size};
use crate::ops::simd::Isa;

/// Buffers and the instruction set of the resizes of one thread; reused between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    isa: Isa,
    linear: Linear,
    cubic: Cubic,
    line: Vec<u8>,
}

impl Scratch {
    /// Scratch that uses the given instructions; `Scratch::default()` uses the best found.
    pub fn with_isa(isa: Isa) -> Self {
        Self { isa, ..Self::default() }
    }
}

/// Resizes `src` (1 or 3 channels) to `dst`, u8 to u8, into `out` of `dst.area() * channels` bytes, interleaved.
///
/// # Errors
/// [`Error::Input`] for a zero side or a length of `src.data` that does not fit; [`Error::Internal`] when `out` has the wrong length.
pub fn resize(src: ImageView, dst: Size, filter: Interpolation, out: &mut [u8], scratch: &mut Scratch) -> Result<()> {
    let channels = src.format.bytes();
    check(src, dst).map_err(|reason| Error::input("resize", reason))?;
    if out.len() as u64 != dst.area() * channels as u64 {
        return Err(Error::internal("resize", format!("{} bytes of output for {dst} with {channels} channels", out.len())));
    }
    if src.size == dst {
        out.copy_from_slice(src.data);
        return Ok(());
    }
    let width = dst.width as usize;
    rows(src, dst, Window::whole(dst), filter, scratch, |y, row| {
        let out = &mut out[y * width * channels..][..width * channels];
        match channels {
            1 => out.copy_from_slice(row),
            _ => interleave(row, out),
        }
    });
    Ok(())
}

/// Resizes and normalises `items` into `out`, a tensor `[items, 3, canvas.height, canvas.width]` of f32.
///
/// # Errors
/// [`Error::Input`] naming the index of an item that has no pixels, not three channels, or a window that leaves the
/// resized picture or the canvas; [`Error::Internal`] when `out` has the wrong length. `out` is unspecified then.
pub fn run(items: &[Item], params: &Params, out: &mut [f32], scratch: &mut Scratch) -> Result<()> {
    let canvas = params.canvas;
    let plane = canvas.area() as usize;
    if out.len() != items.len() * 3 * plane || plane == 0 {
        let reason = format!("{} values of output for {} pictures on a canvas of {canvas}", out.len(), items.len());
        return Err(Error::internal("resize and normalise", reason));
    }
    for (index, (item, out)) in items.iter().zip(out.chunks_exact_mut(3 * plane)).enumerate() {
        let fits = || {
            check(item.src, item.resized)?;
            if item.src.format.bytes() != 3 {
                return Err(format!("three channels expected, {:?} found", item.src.format));
            }
            let Window { x, y, size } = item.window;
            if size.width > canvas.width || size.height > canvas.height {
                return Err(format!("{size} after the resize does not fit the canvas of {canvas}"));
            }
            let inside = |from: u32, part: u32, whole: u32| part > 0 && from.checked_add(part).is_some_and(|end| end <= whole);
            if !inside(x, size.width, item.resized.width) || !inside(y, size.height, item.resized.height) {
                return Err(format!("the window of {size} at ({x}, {y}) is not inside the {} of the resized picture", item.resized));
            }
            Ok(())
        };
        fits().map_err(|reason| Error::input(format!("picture {index} of the batch"), reason))?;
        fill(item, params, out, scratch);
    }
    Ok(())
}

/// One item into its three planes.
fn fill(item: &Item, params: &Params, out: &mut [f32], scratch: &mut Scratch) {
    let (stride, plane) = (params.canvas.width as usize, params.canvas.area() as usize);
    let (width, height) = (item.window.size.width as usize, item.window.size.height as usize);
    let isa = scratch.isa;
    let reversed = (item.src.format == PixelFormat::Rgb) != (params.planes == Planes::Rgb);
    rows(item.src, item.resized, item.window, params.interpolation, scratch, |y, row| {
        for (sample, row) in row.chunks_exact(width).enumerate() {
            let c = if reversed { 2 - sample } else { sample };
            let (picture, padding) = out[c * plane + y * stride..][..stride].split_at_mut(width);
            normalize(isa, row, &params.normalize, c, picture);
            padding.fill(params.pad);
        }
    });
    for plane in out.chunks_exact_mut(plane) {
        plane[height * stride..].fill(params.pad);
    }
}

/// Calls `emit(y, row)` with every row of a window of the resized picture, planar; `y` counts from the window's top.
fn rows(src: ImageView, dst: Size, window: Window, filter: Interpolation, scratch: &mut Scratch, emit: impl FnMut(usize, &[u8])) {
    match src.format.bytes() {
        1 => rows_of::<1>(src, dst, window, filter, scratch, emit),
        _ => rows_of::<3>(src, dst, window, filter, scratch, emit),
    }
}

fn rows_of<const C: usize>(
    src: ImageView,
    dst: Size,
    window: Window,
    filter: Interpolation,
    s: &mut Scratch,
    mut emit: impl FnMut(usize, &[u8]),
) {
    if src.size == dst {
        let (left, width) = (window.x as usize * C, window.size.width as usize * C);
        s.line.resize(width, 0);
        let rows = src.data.chunks_exact(dst.width as usize * C).skip(window.y as usize).take(window.size.height as usize);
        for (y, row) in rows.enumerate() {
            s.isa.run(|| planar::<C>(&row[left..left + width], &mut s.line));
            emit(y, &s.line);
        }
    } else if filter == Interpolation::Cubic {
        s.cubic.rows::<C>(s.isa, src, dst, window, &mut s.line, emit);
    } else {
        s.linear.rows::<C>(s.isa, src, dst, window, &mut s.line, emit);
    }
}

/// What makes a resize of `src` to `dst` impossible, if anything does.
fn check(src: ImageView, dst: Size) -> Result<(), String> {
    let expected = src.size.area() * src.format.bytes() as u64;
    if src.size.area() == 0 || dst.area() == 0 {
        Err(format!("cannot resize {} to {dst}: a side is zero", src.size))
    } else if src.data.len() as u64 != expected {
        Err(format!("{} bytes for a {} {:?} picture of {expected}", src.data.len(), src.size, src.format))
    } else {
        Ok(())
    }
}

/// One plane at a time: of that the compiler makes vector code.
#[inline(always)]
fn planar<const C: usize>(row: &[u8], out: &mut [u8]) {
    let (pixels, _) = row.as_chunks::<C>();
    for (c, plane) in out.chunks_exact_mut(pixels.len()).enumerate() {
        for (sample, pixel) in plane.iter_mut().zip(pixels) {
            *sample = pixel[c];
        }
    }
}

fn interleave(row: &[u8], out: &mut [u8]) {
    let (c0, rest) = row.split_at(row.len() / 3);
    let (c1, c2) = rest.split_at(rest.len() / 2);
    for (((o, a), b), c) in out.chunks_exact_mut(3).zip(c0).zip(c1).zip(c2) {
        o.copy_from_slice(&[*a, *b, *c]);
    }
}

/// Normalises one channel of a row. Every step rounds to f32 as the reference's separate array operations do.
fn normalize(isa: Isa, row: &[u8], n: &Normalize, c: usize, out: &mut [f32]) {
    let (mean, std) = (n.mean[c], n.std[c]);
    // Dividing by a power of two and multiplying by its reciprocal are the same, and the latter is much faster.
    let exact = std.to_bits() & 0x007f_ffff == 0 && std.is_normal() && std.recip().is_normal();
    match (n.scale, exact) {
        (Scale::Times(k), true) => isa.run(|| map(row, out, |v| (v * k - mean) * std.recip())),
        (Scale::Times(k), false) => isa.run(|| map(row, out, |v| (v * k - mean) / std)),
        (Scale::Over(k), true) => isa.run(|| map(row, out, |v| (v / k - mean) * std.recip())),
        (Scale::Over(k), false) => isa.run(|| map(row, out, |v| (v / k - mean) / std)),
    }
}

#[inline(always)]
fn map(row: &[u8], out: &mut [f32], f: impl Fn(f32) -> f32) {
    for (o, &v) in out.iter_mut().zip(row) {
        *o = f(f32::from(v));
    }
}

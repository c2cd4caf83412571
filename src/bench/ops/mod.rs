//! Kernels of a GPU by themselves: time by events, bytes that have to be moved, what share of the copy bandwidth of the same run
//! that is, whether results equal those of the processor, and the time of the same operation on one core of it.

mod decode;
mod frames;
mod image;
mod pixels;
mod run;

pub use run::{Effort, OpRow, OpsReport, measure};

use crate::device::Stream;
use crate::error::Result;
use crate::image::Size;
use crate::tensor::storage::{Storage, stage};
use crate::trace::Transfers;

/// An operation on fixed data, in both forms. Everything it needs is there before it is timed.
trait Op {
    /// Which one.
    fn name(&self) -> &'static str;
    /// On what.
    fn case(&self) -> String;
    /// Bytes that are read or written at least once.
    fn bytes(&self) -> u64;
    /// Puts it into the stream.
    fn on_gpu(&mut self, stream: &Stream) -> Result<()>;
    /// Does it as its caller does, until the results are in host memory; `false` where they stay on the device.
    fn whole(&mut self, _stream: &Stream) -> Result<bool> {
        Ok(false)
    }
    /// Does it on one core.
    fn on_cpu(&mut self) -> Result<()>;
    /// Results of the two that differ by more than the operation allows, of how many.
    fn differences(&mut self, stream: &Stream) -> Result<[usize; 2]>;
}

/// An operation by name, with what makes it and its data.
type Recipe = (String, Box<dyn Fn(&Stream) -> Result<Box<dyn Op>>>);

/// Pictures, lines or masks of a batch.
const BATCH: usize = 32;

/// The operations that are measured, each on 640x640, 1080p, 4K and a batch of 32 unlike ones, where that is something:
/// - crops are cut out of a frame of any size, of which only they are read, and lines of text have no frame: batches only;
/// - what is compared or whitened is one frame or page: no batch;
/// - masks are always a batch of unlike ones, in a picture of each size;
/// - maps of text and classes of pixels are those of inputs of a network, which are of one size: a batch of maps is of like ones, and one
///   of classes is the same to the kernel as the larger picture;
/// - candidates for objects are as many as the network has anchors, 8400 for 640x640, whatever the picture: batches only.
fn all() -> Vec<Recipe> {
    image::all().into_iter().chain(frames::all()).chain(decode::all()).chain(pixels::all()).collect()
}

/// Recipes for what `make` makes for a picture of each size.
fn at_each_size<O: Op + 'static>(name: &str, make: fn(&Stream, Size) -> Result<O>) -> [Recipe; 3] {
    let sizes = [("640", Size::new(640, 640)), ("1080p", Size::new(1920, 1080)), ("4k", Size::new(3840, 2160))];
    sizes.map(|(at, size)| recipe(format!("{name}-{at}"), move |stream| make(stream, size)))
}

/// A recipe for what `make` makes.
fn recipe<O: Op + 'static>(name: impl Into<String>, make: impl Fn(&Stream) -> Result<O> + 'static) -> Recipe {
    (name.into(), Box::new(move |stream| Ok(Box::new(make(stream)?))))
}

fn on_device<T: bytemuck::Pod>(values: &[T], stream: &Stream) -> Result<Storage<T>> {
    stage(values, stream)?.upload(stream, &mut Transfers::default())
}

/// Numbers that look random and are the same everywhere.
struct Noise(u32);

impl Noise {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    /// 0..1.
    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1 << 24) as f32
    }

    fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }
}

//! Kernels of a GPU by themselves: time by events, bytes that have to be moved, what share of the copy bandwidth of the same run
//! that is, whether results equal those of the processor, and the time of the same operation on one core of it.

mod decode;
mod frames;
mod image;
mod run;

pub use run::{Effort, OpRow, OpsReport, measure};

use crate::device::Stream;
use crate::error::Result;

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

/// The operations that are measured.
fn all() -> Vec<Recipe> {
    image::all().into_iter().chain(frames::all()).chain(decode::all()).collect()
}

/// A recipe for what `make` makes.
fn recipe<O: Op + 'static>(name: impl Into<String>, make: impl Fn(&Stream) -> Result<O> + 'static) -> Recipe {
    (name.into(), Box::new(move |stream| Ok(Box::new(make(stream)?))))
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

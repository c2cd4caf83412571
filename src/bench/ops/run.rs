//! The measurement itself.

use super::{Op, Recipe, all};
use crate::bench::machine::{Machine, utc};
use crate::bench::stats::median;
use crate::device::{DeviceBuffer, Facts, Gpu, Nvml, Stream, probe};
use crate::error::{Error, Result};
use crate::trace::plural;
use serde::Serialize;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// How much is done.
#[derive(Clone, Debug, PartialEq)]
pub struct Effort {
    /// Samples of each operation.
    pub repeat: usize,
    /// Runs between two events: enough that the clock's step and the way to the device do not count.
    pub launches: usize,
    /// Parts of names of the operations wanted; all when there are none.
    pub only: Vec<String>,
}

/// Buffers of the copy, in bytes: more than any cache of a device holds.
const COPY_BYTES: usize = 256 << 20;

/// What came out, and where.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpsReport {
    /// Version of this form.
    pub schema_version: u32,
    /// Version of this program.
    pub hpinfer: String,
    /// When, in UTC.
    pub date: String,
    /// The host.
    pub machine: Machine,
    /// The device as `--device` names it, what it is, and its driver.
    pub device: String,
    /// Product name, compute capability, memory, UUID.
    pub gpu: String,
    /// Version of the driver, where NVML tells it.
    pub driver: Option<String>,
    /// The newest CUDA it serves.
    pub cuda: String,
    /// State of the device before, and at its worst right after operations were timed.
    pub state: [Option<Facts>; 2],
    /// Samples of each operation.
    pub repeat: usize,
    /// Runs in each sample.
    pub launches: usize,
    /// Microseconds between two events with nothing between them: what a time from cold caches has too much.
    pub event_us: f64,
    /// Bytes read and written per second by a copy within the device, in 10^9.
    pub copy_gb_per_s: f64,
    /// The operations.
    pub rows: Vec<OpRow>,
}

impl OpsReport {
    /// On what and how it was measured, for people.
    pub fn heading(&self) -> String {
        let Self { device, gpu, cuda, hpinfer, date, .. } = self;
        let driver = self.driver.as_ref().map_or_else(|| "driver unknown".into(), |driver| format!("driver {driver}"));
        let how = format!("{} of {}", plural(self.repeat, "sample"), plural(self.launches, "run"));
        let copy = format!("a copy within the device moves {:.0} GB/s", self.copy_gb_per_s);
        let state = self.state[1].as_ref().map_or(String::new(), |state| format!("\nright after operations: {state}"));
        format!("{device}: {gpu}; {driver}, CUDA {cuda}; hpinfer {hpinfer}, {date}\n{how}; {copy}; {}{state}", self.machine.cpu)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpRow {
    /// Which one.
    pub name: String,
    /// On what.
    pub case: String,
    /// Microseconds on the device, again and again on the same data: the median.
    pub gpu_us: f64,
    /// The same where its caches hold other data before each run.
    pub cold_us: f64,
    /// Microseconds from the call to results in host memory, everything included, for operations whose results come back: the median.
    pub whole_us: Option<f64>,
    /// Bytes that are read or written at least once.
    pub bytes: u64,
    /// Those per second from cold caches, in 10^9, without what events take: caches of newer devices hold all of a frame.
    pub gb_per_s: f64,
    /// Share of the bandwidth of the copy.
    pub share_of_copy: f64,
    /// Microseconds on one core of the processor: the median.
    pub cpu_us: f64,
    /// Results that differ from the processor's by more than the operation allows.
    pub differences: usize,
    /// Results that were compared.
    pub compared: usize,
}

/// Measures operations on `gpu`.
///
/// # Errors
/// [`Error::Config`] when there is none of the names; [`Error::Device`] when one fails.
pub fn measure(gpu: &Arc<Gpu>, effort: &Effort) -> Result<OpsReport> {
    let wanted = |name: &str| effort.only.is_empty() || effort.only.iter().any(|part| name.contains(part.as_str()));
    let (wanted, others): (Vec<_>, Vec<_>) = all().into_iter().partition(|(name, _)| wanted(name));
    if wanted.is_empty() {
        let known = others.into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
        return Err(Error::config("--only", format!("no operation has one of these in its name; known: {known}")));
    }
    let stream = Stream::new(gpu)?;
    let nvml = Nvml::open().ok();
    let state = || nvml.as_ref().and_then(|nvml| nvml.facts(gpu.info().uuid).ok());
    let before = state();
    let mut copy = Copy::new(&stream)?;
    let copy_gb_per_s = copy.gb_per_s(&stream, effort)?;
    let event_us = copy.cold_us(&stream, effort, || Ok(()))?;
    let mut after: Option<Facts> = None;
    let measured = |(_, make): Recipe| {
        row(make(&stream)?.as_mut(), &stream, effort, (&mut copy, copy_gb_per_s, event_us), || {
            after = state().map(|now| after.as_ref().map_or(now.clone(), |before| now.worst(before)));
        })
    };
    let rows = wanted.into_iter().map(measured).collect::<Result<_>>()?;
    Ok(OpsReport {
        schema_version: 1,
        hpinfer: env!("CARGO_PKG_VERSION").into(),
        date: utc(SystemTime::now()),
        machine: Machine::read(),
        device: gpu.to_string(),
        gpu: gpu.info().to_string(),
        driver: nvml.as_ref().and_then(Nvml::driver_version),
        cuda: probe().map_or_else(|_| String::new(), |gpus| gpus.cuda.to_string()),
        state: [before, after],
        repeat: effort.repeat,
        launches: effort.launches,
        event_us,
        copy_gb_per_s,
        rows,
    })
}

/// Microseconds of one run of `work` on the device: the median of all samples after one of warm-up.
fn time_us(stream: &Stream, effort: &Effort, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut samples = Vec::with_capacity(effort.repeat);
    for sample in 0..=effort.repeat {
        let watch = stream.stopwatch()?;
        for _ in 0..effort.launches {
            work()?;
        }
        let us = f64::from(watch.stop_ms()?) * 1e3 / effort.launches as f64;
        if sample > 0 {
            samples.push(us);
        }
    }
    Ok(median(&samples))
}

/// A copy of more than caches hold: what others are held against, and what takes their data out of the caches.
struct Copy {
    from: DeviceBuffer<u8>,
    to: DeviceBuffer<u8>,
}

impl Copy {
    fn new(stream: &Stream) -> Result<Self> {
        let [free, _] = stream.gpu().memory()?;
        let bytes = COPY_BYTES.min(free / 8);
        Ok(Self { from: stream.alloc(bytes)?, to: stream.alloc(bytes)? })
    }

    fn run(&mut self, stream: &Stream) -> Result<()> {
        stream.copy(self.from.slice(), &mut self.to.slice_mut())
    }

    fn gb_per_s(&mut self, stream: &Stream, effort: &Effort) -> Result<f64> {
        let us = time_us(stream, effort, || self.run(stream))?;
        Ok(2.0 * self.from.len() as f64 / us / 1e3)
    }

    /// Microseconds of one run of `work` behind a copy: the median.
    fn cold_us(&mut self, stream: &Stream, effort: &Effort, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
        let sample = |_| {
            self.run(stream)?;
            let watch = stream.stopwatch()?;
            work()?;
            Ok(f64::from(watch.stop_ms()?) * 1e3)
        };
        Ok(median(&(0..effort.repeat).map(sample).collect::<Result<Vec<_>>>()?))
    }
}

/// Calls `look` right after the device was busy for long.
fn row(
    op: &mut dyn Op,
    stream: &Stream,
    effort: &Effort,
    (copy, copy_gb_per_s, event_us): (&mut Copy, f64, f64),
    look: impl FnOnce(),
) -> Result<OpRow> {
    let gpu_us = time_us(stream, effort, || op.on_gpu(stream))?;
    let cold_us = copy.cold_us(stream, effort, || op.on_gpu(stream))?;
    look();
    let mut wholes = Vec::new();
    for sample in 0..=effort.repeat {
        stream.wait()?;
        let start = Instant::now();
        if !op.whole(stream)? {
            break;
        }
        if sample > 0 {
            wholes.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    let whole_us = (!wholes.is_empty()).then(|| median(&wholes));
    let mut samples = Vec::new();
    for _ in 0..effort.repeat.min(5) {
        let start = Instant::now();
        op.on_cpu()?;
        samples.push(start.elapsed().as_secs_f64() * 1e6);
    }
    let [differences, compared] = op.differences(stream)?;
    let (bytes, cpu_us) = (op.bytes(), median(&samples));
    let gb_per_s = bytes as f64 / (cold_us - event_us).max(gpu_us) / 1e3;
    let share_of_copy = gb_per_s / copy_gb_per_s;
    let (name, case) = (op.name().into(), op.case());
    Ok(OpRow { name, case, gpu_us, cold_us, whole_us, bytes, gb_per_s, share_of_copy, cpu_us, differences, compared })
}

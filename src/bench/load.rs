//! Load that does not wait for answers: pictures come at a steady rate, as from cameras, and their latency counts from
//! the moment they were due, so that a queue shows in it. The rate is raised until the pipeline no longer keeps up.

use super::inputs::Picture;
use super::report::Latency;
use super::resources::milliseconds;
use super::trace::{Calls, Part};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::pipeline::{Pipeline, process_one};
use crate::schedule;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Offered rates, as parts of what the pipeline does at most.
const PARTS: [f64; 7] = [0.25, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1];
/// While the highest rate is kept up with, the next one is so many times as high, a bounded number of times: what the pipeline
/// does at most was measured in another way.
const RISE: f64 = 1.2;
const RISES: usize = 8;
/// A rate is kept up with while the 99th percentile stays under so many medians of the lowest rate...
const KNEE: f64 = 2.5;
/// ...and at least this part of what comes is finished in its time.
const FINISHED: f64 = 0.95;

/// What one rate gave.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    /// Of what the pipeline does at most, 0 to 1 and more.
    pub part: f64,
    /// Pictures that came a second.
    pub offered_per_s: f64,
    /// Pictures finished a second, from the first one's coming to the last one's end or the time for the next.
    pub finished_per_s: f64,
    /// From the moment a picture was due to its result.
    pub latency: Latency,
}

/// What all rates gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// The rates, rising.
    pub rates: Vec<Offered>,
    /// Most pictures a second that were kept up with: the 99th percentile of the latency under 2.5 times the median at the lowest
    /// rate, and 95 in 100 finished in time. `None` when none was.
    pub knee_per_s: Option<f64>,
}

impl Load {
    /// The knee in words.
    pub fn knee(&self) -> String {
        self.knee_per_s.map_or("no rate was kept up with".into(), |knee| format!("knee at {knee:.2} pictures a second"))
    }
}

/// Offers `pictures`, again and again, at rising rates up to and over `most_per_s`, for `seconds` each.
pub fn sweep(pipeline: &dyn Pipeline, pictures: &[Picture], threads: usize, most_per_s: f64, seconds: f64, calls: &Calls) -> Result<Load> {
    let offer = |part| offer(pipeline, pictures, threads, (part, part * most_per_s), seconds, calls);
    let mut rates: Vec<Offered> = PARTS.into_iter().map(offer).collect::<Result<_>>()?;
    let limit = KNEE * rates[0].latency.p50_ms;
    let is_kept = |r: &&Offered| r.latency.p99_ms <= limit && r.finished_per_s >= FINISHED * r.offered_per_s;
    while let Some(last) = rates.last().filter(is_kept)
        && rates.len() < PARTS.len() + RISES
    {
        let part = last.part * RISE;
        rates.push(offer(part)?);
    }
    // Below the knee a rate may miss by an accident of the machine.
    Ok(Load { knee_per_s: rates.iter().rfind(is_kept).map(|r| r.offered_per_s), rates })
}

fn offer(
    pipeline: &dyn Pipeline,
    pictures: &[Picture],
    threads: usize,
    (part, per_s): (f64, f64),
    seconds: f64,
    calls: &Calls,
) -> Result<Offered> {
    let interval = 1.0 / per_s;
    if !interval.is_finite() {
        return Err(Error::internal("load", format!("{per_s} pictures a second")));
    }
    // Each picture as often as any other, so that rates differ in nothing else.
    let rounds = (per_s * seconds / pictures.len() as f64).ceil().max(1.0) as usize;
    let start = Instant::now();
    let due = |n: usize| start + Duration::from_secs_f64(n as f64 * interval);
    let items = (0..rounds).flat_map(|_| pictures.iter().enumerate()).enumerate().map(|(n, (place, picture))| {
        std::thread::sleep(due(n).saturating_duration_since(Instant::now()));
        (due(n), place, &picture.frame)
    });
    let work = |(due, place, frame): (Instant, usize, &Frame)| {
        let from = Instant::now();
        let (_, times) = process_one(pipeline, frame)?;
        let to = Instant::now();
        calls.add(Part::Load(part), place, from - due, (from, to), &times);
        Ok(milliseconds(to - due))
    };
    let mut samples = Vec::new();
    let mut failure = None;
    schedule::ordered(
        items,
        schedule::Limits::for_threads(threads),
        |group| group.into_iter().map(work).collect(),
        |outcome| match outcome {
            Ok(ms) => samples.push(ms),
            Err(e) => {
                failure.get_or_insert(e);
            }
        },
    );
    // The last picture's interval counts too: a pipeline that waits for pictures finishes as many as come.
    let seconds = start.elapsed().as_secs_f64().max(samples.len() as f64 * interval);
    match failure {
        Some(e) => Err(e),
        None => Ok(Offered { part, offered_per_s: per_s, finished_per_s: samples.len() as f64 / seconds, latency: Latency::of(&samples) }),
    }
}

//! One pipeline on several devices: each holds the networks, and frames go to the one with the fewest under way, or where they lie.

use super::Pipeline;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::image::{Frame, Picture};
use crate::result::{PipelineResult, RunRecord};
use crate::trace::{Stage, StageTimes};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

type Outcome = Result<(PipelineResult, StageTimes)>;

/// The same pipeline on several devices. Results say which device made them. When a device no longer answers, its frames
/// and all later ones go to the others.
pub struct Divided {
    parts: Vec<Part>,
    run: Vec<RunRecord>,
    turn: AtomicUsize,
}

/// The pipeline on one device.
struct Part {
    pipeline: Box<dyn Pipeline>,
    device: String,
    answers: Box<dyn Fn() -> bool + Send + Sync>,
    under_way: AtomicUsize,
    lost: AtomicBool,
}

impl Divided {
    /// Frames are divided among `parts`, each opened on its device. One part at least.
    pub fn new(parts: Vec<(Device, Box<dyn Pipeline>)>) -> Self {
        let part = |(device, pipeline): (Device, Box<dyn Pipeline>)| {
            let name = device.to_string();
            Part::new(name, pipeline, move || device.answers())
        };
        Self::of(parts.into_iter().map(part).collect())
    }

    fn of(parts: Vec<Part>) -> Self {
        let run = parts.iter().flat_map(|part| part.pipeline.run_records().to_vec()).collect();
        Self { parts, run, turn: AtomicUsize::new(0) }
    }

    /// The part for `frame`: that on the GPU where it lies, else the idlest.
    fn part_for(&self, frame: &Frame) -> Option<&Part> {
        let Some(gpu) = gpu_of(frame) else { return self.idlest() };
        self.parts.iter().find(|part| part.device == gpu && !part.lost.load(Ordering::Relaxed))
    }

    /// Which part takes which of the `open` ones of `frames`. One that none can take keeps the error that it has, or gets one.
    fn deal(&self, frames: &[Frame], mut open: Vec<usize>, outcomes: &mut [Option<Outcome>]) -> Vec<(&Part, Vec<usize>)> {
        let mut shares = Vec::new();
        while let Some(&first) = open.first() {
            let Some(part) = self.part_for(&frames[first]) else {
                let stage = gpu_of(&frames[first]).map_or("choosing one for a frame".into(), |gpu| format!("a frame in memory of {gpu}"));
                outcomes[first].get_or_insert_with(|| Err(Error::device("every device", stage, "none of them can take it and answers")));
                open.remove(0);
                continue;
            };
            let fits = |&i: &usize| gpu_of(&frames[i]).is_none_or(|gpu| gpu == part.device);
            let (mine, left): (Vec<usize>, Vec<usize>) = open.into_iter().partition(fits);
            shares.push((part, mine));
            open = left;
        }
        shares
    }

    /// The part with the fewest frames under way, of equal ones the next in turn.
    fn idlest(&self) -> Option<&Part> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let (before, from) = self.parts.split_at(turn % self.parts.len());
        let there = from.iter().chain(before).filter(|part| !part.lost.load(Ordering::Relaxed));
        there.min_by_key(|part| part.under_way.load(Ordering::Relaxed))
    }
}

/// What `work` makes of each of `shares`, of the first in this thread and of each other in one of its own.
fn side_by_side<S: Sync, R: Send>(shares: &[S], work: impl Fn(&S) -> R + Sync) -> Vec<R> {
    let Some((first, others)) = shares.split_first() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = others.iter().map(|share| scope.spawn(|| work(share))).collect();
        let first = work(first);
        let joined = others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        [first].into_iter().chain(joined).collect()
    })
}

/// The GPU in whose memory `frame` lies.
fn gpu_of(frame: &Frame) -> Option<String> {
    match &frame.image {
        Picture::Gpu(resident) => Some(resident.gpu().to_string()),
        Picture::Host(_) => None,
    }
}

impl Part {
    fn new(device: String, pipeline: Box<dyn Pipeline>, answers: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { pipeline, device, answers: Box::new(answers), under_way: AtomicUsize::new(0), lost: AtomicBool::new(false) }
    }

    fn process(&self, frames: &[Frame]) -> Vec<Outcome> {
        self.under_way.fetch_add(frames.len(), Ordering::Relaxed);
        let outcomes = self.pipeline.process(frames);
        self.under_way.fetch_sub(frames.len(), Ordering::Relaxed);
        outcomes
    }

    /// Whether the device is gone, given what became of some frames.
    fn is_lost(&self, outcomes: &[Outcome]) -> bool {
        let failed = outcomes.iter().any(|outcome| matches!(outcome, Err(Error::Device { .. })));
        if !failed || (self.answers)() {
            return false;
        }
        if !self.lost.swap(true, Ordering::Relaxed) {
            tracing::error!("{} answers no more: nothing else is given to it", self.device);
        }
        true
    }
}

impl Pipeline for Divided {
    fn process(&self, frames: &[Frame]) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = frames.iter().map(|_| None).collect();
        let mut open: Vec<usize> = (0..frames.len()).collect();
        while !open.is_empty() {
            let shares = self.deal(frames, open, &mut outcomes);
            let found = side_by_side(&shares, |(part, mine)| {
                let of_part: Vec<Frame> = mine.iter().map(|&i| frames[i].clone()).collect();
                part.process(&of_part)
            });
            open = Vec::new();
            for ((part, mine), found) in shares.into_iter().zip(found) {
                let lost = part.is_lost(&found);
                for (i, outcome) in mine.into_iter().zip(found) {
                    if lost && matches!(outcome, Err(Error::Device { .. })) {
                        open.push(i);
                    }
                    outcomes[i] = Some(outcome);
                }
            }
        }
        outcomes.into_iter().flatten().collect()
    }

    /// Those of all devices, one behind the other.
    fn run_records(&self) -> &[RunRecord] {
        &self.run
    }

    fn workers(&self) -> &rayon::ThreadPool {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        self.parts[turn % self.parts.len()].pipeline.workers()
    }

    fn stages(&self) -> &'static [Stage] {
        self.parts[0].pipeline.stages()
    }

    fn batch_size(&self) -> usize {
        self.parts.iter().map(|part| part.pipeline.batch_size()).max().unwrap_or(1)
    }

    fn groups_at_once(&self) -> usize {
        self.parts.iter().fold(0, |sum, part| sum.saturating_add(part.pipeline.groups_at_once()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{ImageBuf, PixelFormat, Size};
    use crate::pipeline::crew::Crew;
    use crate::result::{Header, OcrResult};
    use std::sync::{Arc, Barrier};

    /// Counts frames; from the `good_for`th on they fail.
    struct Counting {
        seen: Arc<AtomicUsize>,
        good_for: usize,
        meet: Option<Arc<Barrier>>,
        crew: Crew,
    }

    impl Pipeline for Counting {
        fn process(&self, frames: &[Frame]) -> Vec<Outcome> {
            if let Some(barrier) = &self.meet {
                barrier.wait();
            }
            let one = |frame: &Frame| match self.seen.fetch_add(1, Ordering::SeqCst) {
                n if n < self.good_for => {
                    let result = OcrResult { header: Header::new(&frame.id, &[]), ..OcrResult::default() };
                    Ok((result.into(), StageTimes::default()))
                }
                _ => Err(Error::device("gpu:0", "kernel k", "an illegal memory access")),
            };
            frames.iter().map(one).collect()
        }

        fn run_records(&self) -> &[RunRecord] {
            &[]
        }

        fn workers(&self) -> &rayon::ThreadPool {
            self.crew.workers()
        }

        fn stages(&self) -> &'static [Stage] {
            &Stage::OCR
        }
    }

    fn part(good_for: usize, answers: bool, meet: Option<Arc<Barrier>>) -> (Part, Arc<AtomicUsize>) {
        let seen = Arc::new(AtomicUsize::new(0));
        let pipeline = Counting { seen: seen.clone(), good_for, meet, crew: Crew::new(1).unwrap() };
        (Part::new("gpu:0".into(), Box::new(pipeline), move || answers), seen)
    }

    fn frames(count: usize) -> Vec<Frame> {
        let image = ImageBuf::new(vec![0; 3], Size::new(1, 1), PixelFormat::Bgr).unwrap();
        (0..count).map(|_| Frame::from_image(image.clone())).collect()
    }

    #[test]
    fn calls_side_by_side_go_to_different_devices() {
        let meet = Some(Arc::new(Barrier::new(2)));
        let (parts, seen): (Vec<_>, Vec<_>) = (0..2).map(|_| part(usize::MAX, true, meet.clone())).unzip();
        let divided = Divided::of(parts);
        // Neither call ends before the other has begun on the other device.
        std::thread::scope(|scope| {
            for count in [3, 2] {
                let divided = &divided;
                scope.spawn(move || assert!(divided.process(&frames(count)).iter().all(Result::is_ok)));
            }
        });
        let mut seen: Vec<usize> = seen.iter().map(|n| n.load(Ordering::SeqCst)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [2, 3]);
    }

    #[test]
    fn frames_of_a_lost_device_go_to_the_others() {
        let ((gone, tried), (well, done)) = (part(1, false, None), part(usize::MAX, true, None));
        let divided = Divided::of(vec![gone, well]);
        for count in [4, 5, 6] {
            assert!(divided.process(&frames(count)).iter().all(Result::is_ok));
        }
        assert_eq!([tried, done].map(|n| n.load(Ordering::SeqCst)), [4, 14], "the first frame was good, and is not done again");
    }

    #[test]
    fn a_device_that_answers_keeps_its_failures_and_its_turn() {
        let (part, _) = part(2, true, None);
        let divided = Divided::of(vec![part]);
        assert_eq!(divided.process(&frames(3)).iter().filter(|outcome| outcome.is_err()).count(), 1);
        let again = divided.process(&frames(1)).pop().unwrap().unwrap_err().to_string();
        assert!(again.contains("illegal memory access"), "{again}");
    }

    #[test]
    fn without_any_device_every_frame_has_its_error() {
        let (part, _) = part(0, false, None);
        let divided = Divided::of(vec![part]);
        let first = divided.process(&frames(1)).pop().unwrap().unwrap_err().to_string();
        assert!(first.contains("illegal memory access"), "{first}");
        let later = divided.process(&frames(2)).pop().unwrap().unwrap_err().to_string();
        assert!(later.contains("none of them can take it"), "{later}");
    }
}

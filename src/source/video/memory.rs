//! Memory for frames in flight: many streams of large frames would take more than there is before a result is out.

use crate::device::available_memory;
use crate::image::{PixelFormat, Size};
use crate::trace::plural;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The part of the memory of a process that frames may take: the rest is for networks and for ffmpeg.
const PART: u64 = 3;

/// Memory for the frames of streams on the host, each from when it is read until nothing holds it any more. A frame that does not fit
/// waits, and what it is read from with it, or is dropped.
#[derive(Clone, Debug)]
pub struct FrameMemory {
    bytes: u64,
    /// Frames that have to fit, as all but one of them may be kept.
    least: u64,
    /// Those that share it.
    streams: usize,
    drops: bool,
    taken: Arc<Taken>,
    told: Arc<AtomicBool>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: Mutex<u64>,
    freed: Condvar,
    is_short: AtomicBool,
}

impl Taken {
    fn bytes(&self) -> MutexGuard<'_, u64> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of a frame, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    bytes: u64,
    taken: Arc<Taken>,
}

impl Drop for Place {
    fn drop(&mut self) {
        *self.taken.bytes() -= self.bytes;
        self.taken.freed.notify_all();
    }
}

impl FrameMemory {
    /// So many bytes, for streams of which something may keep all but one of `least` frames.
    pub fn new(bytes: u64, least: usize) -> Self {
        Self { bytes, least: least.max(1) as u64, streams: 1, drops: false, taken: Arc::default(), told: Arc::default() }
    }

    /// A third of what this process may use; `None` where nothing tells that.
    pub fn of_process(least: usize) -> Option<Self> {
        available_memory().map(|bytes| Self::new(bytes / PART, least))
    }

    /// The share of one of so many streams, which takes nothing from the others.
    #[must_use]
    pub fn shared_by(&self, streams: usize) -> Self {
        let (bytes, streams) = (self.bytes / streams.max(1) as u64, self.streams * streams.max(1));
        Self { bytes, streams, taken: Arc::default(), ..self.clone() }
    }

    /// The same for streams that go on while a frame waits: one that does not fit is dropped.
    #[must_use]
    pub fn dropping(self) -> Self {
        Self { drops: true, ..self }
    }

    /// Whether a frame waits for its place.
    pub(super) fn is_short(&self) -> bool {
        self.taken.is_short.load(Relaxed)
    }

    /// A place for a frame of `size`, once there is one; `None` where the frame is to be dropped.
    ///
    /// # Errors
    /// In words, that there never is.
    pub(super) fn place(&self, size: Size) -> Result<Option<Place>, String> {
        let bytes = size.area().saturating_mul(PixelFormat::Bgr.bytes() as u64);
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        if bytes.saturating_mul(self.least) > self.bytes {
            let (frames, all) = (plural(self.least as usize, "frame"), mb(bytes.saturating_mul(self.least)));
            let need = if self.least == 1 { "needs" } else { "need" };
            let of = format!("{} of {}", mb(self.bytes), plural(self.streams, "stream"));
            return Err(format!(
                "{frames} of {size} at a time {need} {all}, and the memory for frames is {of}; give fewer streams or more memory"
            ));
        }
        let mut taken = self.taken.bytes();
        if *taken + bytes > self.bytes && !self.told.swap(true, Relaxed) {
            let (fit, streams) = (plural((self.bytes / bytes) as usize, "frame"), plural(self.streams, "stream"));
            tracing::warn!(
                "memory bounds the queues: of each of {streams} {fit} of {size} fit at a time, {}; others wait, or are dropped where --drop says so",
                mb(self.bytes)
            );
        }
        while *taken + bytes > self.bytes {
            if self.drops {
                return Ok(None);
            }
            self.taken.is_short.store(true, Relaxed);
            taken = self.taken.freed.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        self.taken.is_short.store(false, Relaxed);
        *taken += bytes;
        Ok(Some(Place { bytes, taken: self.taken.clone() }))
    }
}

/// Reads the `bytes` of a frame that is dropped; how many there were.
pub(super) fn read_away(pipe: impl Read, bytes: usize) -> io::Result<usize> {
    Ok(io::copy(&mut pipe.take(bytes as u64), &mut io::sink())? as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_frame_waits_for_its_place_and_one_that_never_fits_is_refused() {
        let size = Size::new(10, 10); // 300 bytes
        let memory = FrameMemory::new(2500, 2).shared_by(4);
        let (first, second) = (memory.place(size).expect("room"), memory.place(size).expect("room"));
        thread::scope(|scope| {
            let third = scope.spawn(|| memory.place(size).map(drop));
            while !memory.is_short() {
                thread::yield_now();
            }
            drop(first);
            assert_eq!(third.join().expect("no panic"), Ok(()));
        });
        assert!(!memory.is_short());
        let other = memory.clone();
        drop(second);
        assert!(other.place(size).is_ok_and(|place| place.is_some()));
        let refused = memory.place(Size::new(11, 10)).expect_err("two of 330 bytes in 625");
        assert_eq!(
            refused,
            "2 frames of 11x10 at a time need 0.0 MB, and the memory for frames is 0.0 MB of 4 streams; give fewer streams or more memory"
        );
    }
}

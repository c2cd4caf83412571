//! Results to standard output, and how much of it was taken.

use crate::schedule::stop::LAST_LINE;
use crate::trace::display;
use rustix::fs::fstat;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// Bytes that were taken of standard output.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Most bytes of a write. A pipe takes so many at once, or none.
const PIECE: usize = 4096;

/// Writes `text`. Progress bars make room on a terminal that they share with it, and wait meanwhile.
pub(super) fn put(text: &str) -> io::Result<()> {
    let written = || Pieces.write_all(text.as_bytes());
    if is_among_bars() { display().suspend(written) } else { written() }
}

fn is_among_bars() -> bool {
    let device = |stat: rustix::io::Result<rustix::fs::Stat>| stat.map(|stat| stat.st_rdev).ok();
    !display().is_hidden() && device(fstat(io::stdout())) == device(fstat(io::stderr()))
}

/// Standard output without a buffer, piece by piece.
struct Pieces;

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = rustix::io::write(io::stdout(), &bytes[..bytes.len().min(PIECE)])?;
        TAKEN.fetch_add(taken as u64, Relaxed);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How long it is waited for whoever reads.
#[derive(Default)]
pub(super) struct Patience(Option<(u64, Instant)>);

impl Patience {
    /// Whether nothing was taken for [`LAST_LINE`], from the first call on.
    pub fn is_over(&mut self) -> bool {
        let taken = TAKEN.load(Relaxed);
        let (_, since) = *self.0.insert(self.0.filter(|(before, _)| *before == taken).unwrap_or_else(|| (taken, Instant::now())));
        since.elapsed() >= LAST_LINE
    }
}

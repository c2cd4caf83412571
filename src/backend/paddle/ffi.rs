//! Memory that two processes share.

use memmap2::MmapMut;
use std::fs::File;
use std::io;

/// Maps all of `file` for reading and writing.
pub(super) fn map(file: &File) -> io::Result<MmapMut> {
    // SAFETY: `file` is an anonymous file that this program made. It is sealed against getting shorter. One child knows it besides,
    // which writes to it only between a question and its answer; in that time no slice of the mapping exists
    // here, because asking takes the session mutably.
    unsafe { MmapMut::map_mut(file) }
}

//! A piece of memory shared with a child: an anonymous file, which the child opens by its place in `/proc`, mapped on
//! both sides. It grows when a tensor needs more room and never shrinks.

use super::ffi;
use crate::error::{Error, Result};
use memmap2::MmapMut;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// The shared memory, and this side's view of it.
pub(super) struct Region {
    file: File,
    view: Option<MmapMut>,
}

impl Region {
    /// An empty region.
    pub fn new() -> Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create(c"hpinfer-tensor", flags).map_err(|e| fault(&e.into()))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::SEAL).map_err(|e| fault(&e.into()))?;
        Ok(Self { file: file.into(), view: None })
    }

    /// Where another process of this user opens it.
    pub fn place(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    /// Its first `length` bytes, made when there are fewer; what they hold is left over from earlier use.
    pub fn bytes_mut(&mut self, length: usize) -> Result<&mut [u8]> {
        if self.view.as_ref().is_none_or(|view| view.len() < length) {
            self.view = None;
            let now = self.length()?;
            if now < length as u64 {
                self.file.set_len(length.max(4096) as u64).map_err(|e| fault(&e))?;
            }
            self.view = Some(ffi::map(&self.file).map_err(|e| fault(&e))?);
        }
        self.view.as_mut().and_then(|view| view.get_mut(..length)).ok_or_else(|| Error::internal("shared memory", "it cannot be mapped"))
    }

    /// Brings all that the child made it grow to into view: `length` bytes at least.
    pub fn refresh(&mut self, length: usize) -> Result<()> {
        if self.length()? < length as u64 {
            return Err(Error::internal("shared memory", format!("the child promised {length} bytes, and there are {}", self.length()?)));
        }
        self.bytes_mut(length).map(|_| ())
    }

    /// What is in view.
    pub fn bytes(&self) -> &[u8] {
        self.view.as_deref().unwrap_or_default()
    }

    fn length(&self) -> Result<u64> {
        self.file.metadata().map(|meta| meta.len()).map_err(|e| fault(&e))
    }
}

fn fault(error: &io::Error) -> Error {
    Error::device("cpu (paddle_infer)", "shared memory", error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;

    #[test]
    fn both_sides_see_what_the_other_writes_and_it_grows() {
        let mut region = Region::new().unwrap();
        region.bytes_mut(10).unwrap().copy_from_slice(b"0123456789");
        let other = OpenOptions::new().read(true).write(true).open(region.place()).unwrap();
        let mut seen = [0; 10];
        other.read_exact_at(&mut seen, 0).unwrap();
        assert_eq!(&seen, b"0123456789");

        other.set_len(100_000).unwrap();
        other.write_at(b"end", 99_997).unwrap();
        region.refresh(100_000).unwrap();
        assert_eq!(&region.bytes()[99_997..], b"end");
        assert_eq!(&region.bytes_mut(3).unwrap()[..], b"012");
        assert_eq!(region.bytes_mut(200_000).unwrap().len(), 200_000);
        assert_eq!(&region.bytes()[99_997..100_000], b"end");
        assert!(region.refresh(200_001).unwrap_err().to_string().contains("promised 200001"));
        assert!(region.bytes_mut(0).unwrap().is_empty());
    }
}

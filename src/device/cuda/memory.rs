//! Memory of a device, and host memory that its copy engine reaches. Both belong to a stream and go back to it: whoever gets
//! them next works behind what was put into the stream before, so that nothing has to wait.

use super::stream::{Shared, Stream};
use crate::device::queue::{DeviceSlice, DeviceSliceMut};
use crate::error::Result;
use bytemuck::Pod;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A piece of memory of either kind: where it starts, how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub address: u64,
    pub bytes: usize,
}

/// `len` elements in the memory of a device. What they hold at first is left over.
pub struct DeviceBuffer<T> {
    block: Block,
    len: usize,
    home: Arc<Shared>,
    of: PhantomData<T>,
}

impl<T: Pod> DeviceBuffer<T> {
    pub(super) fn new(block: Block, len: usize, home: Arc<Shared>) -> Self {
        Self { block, len, home, of: PhantomData }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The stream that the memory belongs to.
    pub fn stream(&self) -> Stream {
        Stream::of(self.home.clone())
    }

    /// The elements, to be read by launches.
    pub fn slice(&self) -> DeviceSlice<'_, T> {
        // SAFETY: the memory is there as long as the borrow; it goes back to its stream, behind the work that uses it.
        unsafe { DeviceSlice::from_raw(self.block.address, self.len) }
    }

    /// The elements, to be written by launches.
    pub fn slice_mut(&mut self) -> DeviceSliceMut<'_, T> {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { DeviceSliceMut::from_raw(self.block.address, self.len) }
    }
}

impl<T> Drop for DeviceBuffer<T> {
    fn drop(&mut self) {
        self.home.give_back_device(self.block);
    }
}

/// `len` elements of page-locked host memory. Reading or filling them waits until the transfers they take part in are done.
pub struct Pinned<T> {
    block: Block,
    len: usize,
    home: Arc<Shared>,
    /// Work of the stream after which nothing touches them any more.
    busy_until: AtomicU64,
    of: PhantomData<T>,
}

impl<T: Pod> Pinned<T> {
    pub(super) fn new(block: Block, len: usize, home: Arc<Shared>) -> Self {
        Self { block, len, home, busy_until: AtomicU64::new(0), of: PhantomData }
    }

    /// Whether it belongs to `stream`: it knows of no work elsewhere.
    pub(super) fn is_of(&self, stream: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.home, stream)
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn address(&self) -> u64 {
        self.block.address
    }

    pub(super) fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// A transfer was put into the stream as its work number `work`.
    pub(super) fn used_by(&self, work: u64) {
        self.busy_until.fetch_max(work, Ordering::Relaxed);
    }

    /// The elements.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when work of the stream has failed.
    pub fn read(&self) -> Result<&[T]> {
        self.home.wait_for(self.busy_until.load(Ordering::Relaxed))?;
        // SAFETY: the block is at least this large, aligned to a page and zeroed when it was made; no transfer is under way,
        // and any later one takes a borrow that ends this one or only reads.
        Ok(unsafe { std::slice::from_raw_parts(self.block.address as *const T, self.len) })
    }

    /// The elements, to be filled.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn fill(&mut self) -> Result<&mut [T]> {
        self.home.wait_for(self.busy_until.load(Ordering::Relaxed))?;
        // SAFETY: as in `read`, and the borrow is exclusive.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.block.address as *mut T, self.len) })
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        self.home.give_back_pinned(self.block, self.busy_until.load(Ordering::Relaxed));
    }
}

impl Stream {
    /// Has memory of so many bytes each, of the device and page-locked, lie ready for whoever asks this stream first.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when there is too little; what there was lies ready.
    pub fn reserve(&self, device: &[usize], pinned: &[usize]) -> Result<()> {
        let device = device.iter().map(|&bytes| self.alloc::<u8>(bytes)).collect::<Result<Vec<_>>>()?;
        let pinned = pinned.iter().map(|&bytes| self.pinned::<u8>(bytes)).collect::<Result<Vec<_>>>()?;
        drop((device, pinned)); // not before all are there: each is to be another
        Ok(())
    }
}

/// All sizes in which memory for up to `most` bytes comes.
pub fn sizes_up_to(most: usize) -> impl Iterator<Item = usize> + Clone {
    std::iter::successors(Some(size_class(0)), |&size| Some(size_class(size + 1))).take_while(move |&size| size <= size_class(most))
}

/// What is allocated for `bytes`: sizes a quarter of a power of two apart, so that buffers of nearly equal use serve each other.
pub(super) fn size_class(bytes: usize) -> usize {
    const LEAST: usize = 512;
    if bytes <= LEAST {
        return LEAST;
    }
    bytes.next_multiple_of((1 << (bytes - 1).ilog2()) / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_up_by_less_than_a_quarter() {
        for bytes in (1..3000).chain([4096, 4097, 1_000_003, 6_220_800, (1 << 31) + 1]) {
            let class = size_class(bytes);
            assert!(class >= bytes && size_class(class) == class, "{bytes}: {class}");
            assert_eq!(sizes_up_to(bytes).last(), Some(class), "{bytes}");
            assert!(bytes < 513 || (class - bytes) * 4 < bytes, "{bytes}: {class}");
        }
    }
}

//! The seam between operations and a device: work that runs in order, and memory it works on.
//! A CUDA stream is one queue; the tests run the same kernels on the processor behind another.

use super::kernels::Kernel;
use crate::error::{Error, Result};
use bytemuck::Pod;
use std::marker::PhantomData;
use std::ops::Range;

/// One launch of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Which one.
    pub kernel: Kernel,
    /// Blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block, in bytes.
    pub shared_bytes: u32,
    /// The kernel's structure of arguments.
    pub args: &'a [u8],
}

/// Work of one device in order: a launch sees the results of all before it.
pub trait Queue {
    /// Adds a launch. It may run after the call has returned.
    ///
    /// # Errors
    /// [`Error::Device`] naming the kernel when the device refuses the launch or an earlier one has failed.
    ///
    /// # Safety
    /// `args` is the structure the kernel expects, and every address in it names memory of this queue's device that is
    /// large enough and stays allocated until the launch has run. Memory is given back in the order of the queue.
    unsafe fn launch(&self, launch: Launch) -> Result<()>;

    /// Adds the clearing of `bytes` bytes from `address` to zero.
    ///
    /// # Errors
    /// As [`Queue::launch`].
    ///
    /// # Safety
    /// They are memory of this queue's device that stays allocated until it is done.
    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()>;
}

/// Elements in the memory of a queue's device.
#[derive(Debug)]
pub struct DeviceSlice<'a, T> {
    address: u64,
    len: usize,
    of: PhantomData<&'a [T]>,
}

/// Elements in the memory of a queue's device that nothing else uses meanwhile.
#[derive(Debug)]
pub struct DeviceSliceMut<'a, T> {
    address: u64,
    len: usize,
    of: PhantomData<&'a mut [T]>,
}

impl<T> Clone for DeviceSlice<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for DeviceSlice<'_, T> {}

impl<'a, T: Pod> DeviceSlice<'a, T> {
    /// The `len` elements at `address`.
    ///
    /// # Safety
    /// They lie in the memory of the device whose queue they are given to, initialised by the work before, for as long as `'a`.
    pub unsafe fn from_raw(address: u64, len: usize) -> Self {
        Self { address, len, of: PhantomData }
    }

    /// The address of the first element on the device.
    pub fn address(self) -> u64 {
        self.address
    }

    /// Number of elements.
    pub fn len(self) -> usize {
        self.len
    }

    /// True when there are no elements.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// A part of the elements.
    ///
    /// # Errors
    /// [`Error::Internal`] when the range goes beyond the end.
    pub fn part(self, range: Range<usize>) -> Result<Self> {
        let (address, len) = part::<T>(self.address, self.len, range)?;
        Ok(Self { address, len, of: PhantomData })
    }

    /// The same memory as elements of another type.
    ///
    /// # Errors
    /// [`Error::Internal`] when the address or the size is no multiple of theirs.
    pub fn cast<U: Pod>(self) -> Result<DeviceSlice<'a, U>> {
        Ok(DeviceSlice { address: self.address, len: cast::<T, U>(self.address, self.len)?, of: PhantomData })
    }
}

impl<'a, T: Pod> DeviceSliceMut<'a, T> {
    /// The `len` elements at `address`.
    ///
    /// # Safety
    /// They lie in the memory of the device whose queue they are given to, for as long as `'a`, and no other slice names them.
    pub unsafe fn from_raw(address: u64, len: usize) -> Self {
        Self { address, len, of: PhantomData }
    }

    /// The address of the first element on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True when there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The same elements to be read by the launches that follow.
    pub fn as_ref(&self) -> DeviceSlice<'_, T> {
        DeviceSlice { address: self.address, len: self.len, of: PhantomData }
    }

    /// The same elements for a shorter time.
    pub fn reborrow(&mut self) -> DeviceSliceMut<'_, T> {
        DeviceSliceMut { address: self.address, len: self.len, of: PhantomData }
    }

    /// Takes `count` elements off the front.
    ///
    /// # Errors
    /// [`Error::Internal`] when there are fewer.
    pub fn split_off(&mut self, count: usize) -> Result<DeviceSliceMut<'a, T>> {
        let (address, len) = part::<T>(self.address, self.len, 0..count)?;
        self.address += (count * size_of::<T>()) as u64;
        self.len -= count;
        Ok(DeviceSliceMut { address, len, of: PhantomData })
    }

    /// The same memory as elements of another type.
    ///
    /// # Errors
    /// [`Error::Internal`] when the address or the size is no multiple of theirs.
    pub fn cast<U: Pod>(self) -> Result<DeviceSliceMut<'a, U>> {
        Ok(DeviceSliceMut { address: self.address, len: cast::<T, U>(self.address, self.len)?, of: PhantomData })
    }
}

fn part<T>(address: u64, len: usize, range: Range<usize>) -> Result<(u64, usize)> {
    if range.start > range.end || range.end > len {
        return Err(Error::internal("device memory", format!("elements {range:?} of {len}")));
    }
    Ok((address + (range.start * size_of::<T>()) as u64, range.len()))
}

/// Number of elements of type `U` in the place of `len` of type `T`.
fn cast<T, U>(address: u64, len: usize) -> Result<usize> {
    let bytes = len * size_of::<T>();
    if size_of::<U>() == 0 || !bytes.is_multiple_of(size_of::<U>()) || !address.is_multiple_of(align_of::<U>() as u64) {
        return Err(Error::internal("device memory", format!("{bytes} bytes at {address:#x} as elements of {} bytes", size_of::<U>())));
    }
    Ok(bytes / size_of::<U>())
}

/// Floats an engine reads, in one of its two precisions.
#[derive(Debug)]
pub enum FloatsMut<'a> {
    /// 32-bit.
    F32(DeviceSliceMut<'a, f32>),
    /// 16-bit, as bits.
    F16(DeviceSliceMut<'a, u16>),
}

impl FloatsMut<'_> {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(s) => s.len(),
            Self::F16(s) => s.len(),
        }
    }

    /// True when there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The address of the first value on the device.
    pub fn address(&self) -> u64 {
        match self {
            Self::F32(s) => s.address(),
            Self::F16(s) => s.address(),
        }
    }
}

/// Blocks of `tile` that cover `extent`.
pub fn tiles(extent: u32, tile: u32) -> u32 {
    extent.div_ceil(tile)
}

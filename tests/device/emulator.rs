//! Kernels on the host: a queue that runs each launch at once.

use hpinfer::device::{DeviceSlice, DeviceSliceMut, Kernel, Launch, Queue};
use hpinfer::{Error, Result};
use libloading::Library;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::sync::{Mutex, MutexGuard, OnceLock};

use super::library::kernels;
use crate::random::Random;

type Emulate = unsafe extern "C" fn(*const c_char, *const u32, *const u32, usize, *const u8, usize, u64) -> *const c_char;

fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    // SAFETY: the library was built from this tree; loading it runs nothing.
    LIBRARY.get_or_init(|| unsafe { Library::new(kernels()) }.expect("the library just built"))
}

/// A queue of host memory. The emulation has one processor: tests take turns.
pub struct Emulator {
    seeds: RefCell<Random>,
    _turn: MutexGuard<'static, ()>,
}

impl Emulator {
    /// Waits for its turn. The seed decides in which order blocks and threads run.
    pub fn new(seed: u64) -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        Self { seeds: RefCell::new(Random::new(seed)), _turn: turn }
    }
}

impl Queue for Emulator {
    unsafe fn launch(&self, launch: Launch) -> Result<()> {
        let name = CString::new(launch.kernel.name()).expect("a plain name");
        let block = [launch.threads, 1, 1];
        let (args, seed) = (launch.args, self.seeds.borrow_mut().next());
        // SAFETY: the signature is that of `emulate` in kernels.cpp; the addresses are the caller's promise.
        let failure = unsafe {
            let emulate = library().get::<Emulate>(b"emulate\0").expect("it is exported");
            let shared = launch.shared_bytes as usize;
            let failure = emulate(name.as_ptr(), launch.grid.as_ptr(), block.as_ptr(), shared, args.as_ptr(), args.len(), seed);
            (!failure.is_null()).then(|| CStr::from_ptr(failure).to_string_lossy().into_owned())
        };
        match failure {
            None => Ok(()),
            Some(reason) => Err(Error::device("emulation", launch.kernel.name(), reason)),
        }
    }

    unsafe fn clear(&self, address: u64, bytes: usize) -> Result<()> {
        // SAFETY: the caller's promise.
        unsafe { std::ptr::write_bytes(address as *mut u8, 0, bytes) };
        Ok(())
    }
}

/// Host memory in the part of device memory, with a fence on both sides that shows stray writes.
pub struct Memory<T> {
    elements: Vec<T>,
    len: usize,
}

/// Elements of a fence.
const FENCE: usize = 64;

impl<T: bytemuck::Pod> Memory<T> {
    /// A copy of `values`.
    pub fn of(values: &[T]) -> Self {
        let mut memory = Self::new(values.len());
        memory.elements[FENCE..FENCE + values.len()].copy_from_slice(values);
        memory
    }

    /// `len` elements that hold garbage.
    pub fn new(len: usize) -> Self {
        let mut elements = vec![T::zeroed(); len + 2 * FENCE];
        bytemuck::cast_slice_mut::<T, u8>(&mut elements).fill(0xa5);
        Self { elements, len }
    }

    pub fn slice(&self) -> DeviceSlice<'_, T> {
        // SAFETY: the elements are there for as long as the borrow, and the queue is the emulation's.
        unsafe { DeviceSlice::from_raw(self.elements[FENCE..].as_ptr() as u64, self.len) }
    }

    pub fn slice_mut(&mut self) -> DeviceSliceMut<'_, T> {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { DeviceSliceMut::from_raw(self.elements[FENCE..].as_mut_ptr() as u64, self.len) }
    }

    /// The elements, once the fences are found whole.
    pub fn read(&self) -> &[T] {
        let (before, rest) = self.elements.split_at(FENCE);
        let (values, behind) = rest.split_at(self.len);
        let whole = |fence: &[T]| bytemuck::cast_slice::<T, u8>(fence).iter().all(|&b| b == 0xa5);
        assert!(whole(before), "written before the start of {} elements", self.len);
        assert!(whole(behind), "written behind the end of {} elements", self.len);
        values
    }
}

#[test]
fn every_kernel_is_in_the_emulation_and_checks_its_arguments() {
    let queue = Emulator::new(1);
    for kernel in Kernel::ALL {
        let launch = Launch { kernel, grid: [0, 1, 1], threads: 32, shared_bytes: 0, args: &[0; 3] };
        // SAFETY: arguments of another size are refused.
        let error = unsafe { queue.launch(launch) }.unwrap_err().to_string();
        assert!(error.contains("the arguments have another size"), "{error}");
    }
}

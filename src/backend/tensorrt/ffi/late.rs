//! Outputs whose size depends on data: the library asks for their memory in the middle of a run, when it knows.

use crate::backend::tensorrt::memory::Buffer;
use crate::backend::tensorrt::sys::{TRS_MAX_RANK, trs_output_fn, trs_shape_fn};
use crate::error::{Error, Result};
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::null_mut;
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The maker of one output's memory, at an address that does not change.
pub(super) struct Late<B>(Arc<Mutex<State<B>>>);

struct State<B> {
    make: Box<dyn Fn(usize) -> Result<B> + Send>,
    buffer: Option<B>,
    dims: Option<Vec<usize>>,
    failed: Option<Error>,
}

impl<B: Buffer> Late<B> {
    pub fn new(make: impl Fn(usize) -> Result<B> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State { make: Box::new(make), buffer: None, dims: None, failed: None })))
    }

    /// The functions the library calls, and what it hands to them: they may be called as long as this is there.
    pub fn callbacks(&self) -> (trs_output_fn, trs_shape_fn, *mut c_void) {
        (Some(memory::<B>), Some(shape::<B>), Arc::as_ptr(&self.0).cast_mut().cast())
    }

    /// Before a run, with the memory of the run before.
    pub fn begin(&self, buffer: Option<B>) {
        let mut state = lock(&self.0);
        (state.buffer, state.dims, state.failed) = (buffer, None, None);
    }

    /// The memory after a run.
    pub fn end(&self) -> Result<Option<B>> {
        let mut state = lock(&self.0);
        state.failed.take().map_or_else(|| Ok(state.buffer.take()), Err)
    }

    /// The dimensions in the last run.
    pub fn dims(&self) -> Option<Vec<usize>> {
        lock(&self.0).dims.clone()
    }
}

impl<B: Buffer> State<B> {
    /// Memory of at least `bytes` bytes: what is there, or new.
    fn of(&mut self, bytes: usize) -> Result<*mut c_void> {
        let bytes = bytes.max(1); // null would mean that there is none
        if self.buffer.as_ref().is_none_or(|buffer| buffer.bytes() < bytes) {
            self.buffer = None;
            let made = (self.make)(bytes)?;
            if made.bytes() < bytes {
                return Err(Error::internal("tensorrt", format!("{} bytes were made for an output of {bytes}", made.bytes())));
            }
            self.buffer = Some(made);
        }
        Ok(self.buffer.as_ref().map_or(null_mut(), Buffer::address))
    }
}

fn lock<B>(state: &Mutex<State<B>>) -> MutexGuard<'_, State<B>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// # Safety
/// `user` is that of [`Late::callbacks`].
unsafe extern "C" fn memory<B: Buffer>(user: *mut c_void, bytes: u64) -> *mut c_void {
    // SAFETY: the caller's promise.
    let mut state = lock(unsafe { &*user.cast::<Mutex<State<B>>>() });
    let made = catch_unwind(AssertUnwindSafe(|| state.of(usize::try_from(bytes).unwrap_or(usize::MAX))));
    match made.unwrap_or_else(|_| Err(Error::internal("tensorrt", "the memory of an output: a panic"))) {
        Ok(address) => address,
        Err(e) => {
            state.failed = Some(e);
            null_mut()
        }
    }
}

/// # Safety
/// `user` is that of [`Late::callbacks`], and `dims` points at `rank` dimensions.
unsafe extern "C" fn shape<B: Buffer>(user: *mut c_void, dims: *const i64, rank: i32) {
    let Some(rank) = usize::try_from(rank).ok().filter(|&rank| rank <= TRS_MAX_RANK as usize && !dims.is_null()) else { return };
    // SAFETY: the caller's promise.
    let (state, dims) = unsafe { (&*user.cast::<Mutex<State<B>>>(), slice::from_raw_parts(dims, rank)) };
    lock(state).dims = dims.iter().map(|&d| usize::try_from(d).ok()).collect();
}

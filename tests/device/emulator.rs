//! Kernels on the host: a queue of host memory that runs each launch at once.

use hpinfer::device::{Kernel, Launch, Queue};
use hpinfer::{Error, Result};
use libloading::Library;
use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::library::kernels;
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

#[test]
fn every_kernel_is_in_the_emulation_and_checks_its_arguments() {
    if std::env::var_os(super::queue::VARIABLE).is_some() {
        return; // there may be no compiler
    }
    let queue = Emulator::new(1);
    for kernel in Kernel::ALL {
        let launch = Launch { kernel, grid: [0, 1, 1], threads: 32, shared_bytes: 0, args: &[0; 3] };
        // SAFETY: arguments of another size are refused.
        let error = unsafe { queue.launch(launch) }.unwrap_err().to_string();
        assert!(error.contains("the arguments have another size"), "{error}");
    }
}

//! One native session for all workers. The safe API of `ort` asks for exclusive access to run; ONNX Runtime's
//! `Run` is thread-safe for the CPU execution provider, the only one used here, so sharing saves a copy of the
//! weights per worker.

use crate::error::{Error, Result};
use ort::AsPointer;
use ort::environment::Environment;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::Session;
use ort::value::{DynValue, TensorRef};
use std::ffi::{CString, c_char};
use std::ptr::{self, NonNull};

/// Gives `environment` an arena of the processor's memory that sessions with `session.use_env_allocators` share.
pub fn share_arena(environment: &Environment) -> Result<(), String> {
    let memory = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Arena, MemoryType::Default).map_err(|e| e.to_string())?;
    // SAFETY: both are live for the call; no arena configuration asks for the library's own one. The library registers an allocator
    // under a lock of its own, so an environment that is shared may get one.
    let status = unsafe { (ort::api().CreateAndRegisterAllocator)(environment.ptr().cast_mut(), memory.ptr(), ptr::null()) };
    // SAFETY: the status comes from the call above and is consumed once.
    unsafe { ort::Error::result_from_status(status) }.map_err(|e| e.to_string())
}

/// A loaded network on the CPU execution provider.
pub struct SharedSession {
    session: Session,
    input_names: Vec<CString>,
    output_names: Vec<CString>,
}

impl SharedSession {
    /// Takes over `session`, which must use no execution provider but the CPU's.
    pub fn new(session: Session) -> Result<Self> {
        let names = |outlets: &[ort::value::Outlet]| {
            let names = outlets.iter().map(|o| CString::new(o.name()));
            names.collect::<Result<Vec<_>, _>>().map_err(|e| Error::internal("onnx_runtime tensor names", e.to_string()))
        };
        Ok(Self { input_names: names(session.inputs())?, output_names: names(session.outputs())?, session })
    }

    /// Runs the network on `inputs`, in graph order; returns all outputs in graph order.
    pub fn run(&self, inputs: &[TensorRef<'_, f32>]) -> Result<Vec<DynValue>, String> {
        if inputs.len() != self.input_names.len() {
            return Err(format!("{} inputs for a network of {}", inputs.len(), self.input_names.len()));
        }
        let c_names = |names: &[CString]| names.iter().map(|n| n.as_ptr()).collect::<Vec<*const c_char>>();
        let (input_names, output_names) = (c_names(&self.input_names), c_names(&self.output_names));
        let values: Vec<_> = inputs.iter().map(|t| t.ptr()).collect();
        let mut outputs = vec![ptr::null_mut(); output_names.len()];
        // SAFETY: names and values are live for the call and as many as stated; `Run` does not change the session
        // (OrtSession is documented as safe for concurrent runs), so a shared reference suffices; outputs start
        // as null, which asks the library to allocate them.
        let status = unsafe {
            (ort::api().Run)(
                self.session.ptr().cast_mut(),
                ptr::null(),
                input_names.as_ptr(),
                values.as_ptr(),
                values.len(),
                output_names.as_ptr(),
                output_names.len(),
                outputs.as_mut_ptr(),
            )
        };
        // SAFETY: the status comes from the call above and is consumed once.
        unsafe { ort::Error::result_from_status(status) }.map_err(|e| e.to_string())?;
        let own = |p: *mut ort::sys::OrtValue| {
            let p = NonNull::new(p).ok_or("an output is missing")?;
            // SAFETY: a successful run hands ownership of each output to the caller; it came from the session's allocator.
            Ok(unsafe { DynValue::from_ptr(p, Some(self.session.allocator())) })
        };
        outputs.into_iter().map(own).collect::<Result<_, &str>>().map_err(str::to_owned)
    }
}

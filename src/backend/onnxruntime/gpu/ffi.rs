//! Binding device memory to inputs and outputs. The safe way of `ort` copies a borrowed tensor first, and locks itself up
//! while it does; the calls below it do not.

use crate::device::{DeviceSlice, Stream};
use crate::tensor::device::{DeviceData, DeviceTensor};
use crate::tensor::{DType, Shape};
use ort::AsPointer;
use ort::memory::{AllocationDevice, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::{DynTensor, DynTensorValueType, TensorRefMut};
use std::ffi::CString;
use std::path::Path;

/// Loads a library with its names visible to others, and keeps it.
pub(super) fn keep_loaded(library: &Path) -> Result<(), String> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
    // SAFETY: a library of CUDA's, from the checked wheel; it stays loaded.
    let opened = unsafe { Library::open(Some(library), RTLD_NOW | RTLD_GLOBAL) }.map_err(|e| e.to_string())?;
    std::mem::forget(opened);
    Ok(())
}

/// Lets the provider work in `stream`.
pub(super) fn in_stream(cuda: ort::ep::CUDA, stream: &Stream) -> ort::ep::CUDA {
    // SAFETY: whoever makes a session of it keeps the stream for longer.
    unsafe { cuda.with_compute_stream(stream.raw().cast()) }
}

/// A session with its bindings, and the outputs of the last run.
pub(super) struct Bound {
    outputs: Vec<DynTensor>,
    binding: IoBinding,
    session: Session,
    /// The library does not wait for the stream at the end of a run: what follows lies behind it.
    options: RunOptions,
    /// The same, and the library gives back what memory it has no use for.
    shrinking: RunOptions,
    memory: MemoryInfo<'static>,
    input_names: Vec<CString>,
    output_names: Vec<String>,
    output_types: Vec<DType>,
}

// SAFETY: all of it is used by one thread at a time, and none of it belongs to a thread.
unsafe impl Send for Bound {}

impl Bound {
    /// Bindings for `session`, whose outputs are of these types, to memory of device `number`; `None` is the processor.
    pub fn new(session: Session, number: Option<u32>, output_types: Vec<DType>) -> Result<Self, String> {
        let text = |e: ort::Error| e.to_string();
        let (device, id, arena) = match number {
            Some(number) => (AllocationDevice::CUDA, number as i32, format!("gpu:{number}")),
            None => (AllocationDevice::CPU, 0, "cpu:0".to_owned()),
        };
        let memory = MemoryInfo::new(device, id, AllocatorType::Device, MemoryType::Default).map_err(text)?;
        let names = session.inputs().iter().map(|i| CString::new(i.name()).map_err(|e| e.to_string()));
        let input_names = names.collect::<Result<_, _>>()?;
        let output_names = session.outputs().iter().map(|o| o.name().to_owned()).collect();
        let binding = session.create_binding().map_err(text)?;
        let options = || {
            let mut options = RunOptions::new().map_err(text)?;
            options.disable_device_sync().map_err(text)?;
            Ok::<_, String>(options)
        };
        let mut shrinking = options()?;
        shrinking.set("memory.enable_memory_arena_shrinkage", arena).map_err(text)?;
        let options = options()?;
        Ok(Self { outputs: Vec::new(), binding, session, options, shrinking, memory, input_names, output_names, output_types })
    }

    /// Puts a run on `inputs`, in graph order, into the stream of the session. With `shrink` the library gives back memory after it.
    pub fn run(&mut self, inputs: &[(Shape, DeviceSlice<'_, f32>)], shrink: bool) -> Result<(), String> {
        let text = |e: ort::Error| e.to_string();
        self.outputs.clear(); // back to the library's arena, behind the work on them
        self.binding.clear();
        for (name, (shape, slice)) in self.input_names.iter().zip(inputs) {
            let dims: Vec<i64> = shape.dims().iter().map(|&d| d as i64).collect();
            // SAFETY: the memory is of this device, holds the elements of the shape (the caller lends no more), and lives until the
            // next run at least, when it is bound anew.
            let tensor = unsafe { TensorRefMut::<f32>::from_raw(self.memory.clone(), slice.address() as *mut _, dims.into()) };
            let tensor = tensor.map_err(text)?;
            // SAFETY: all three are live; the binding takes a reference of its own to the tensor.
            let status = unsafe { (ort::api().BindInput)(self.binding.ptr().cast_mut(), name.as_ptr(), tensor.ptr()) };
            // SAFETY: the status comes from the call above and is consumed once.
            unsafe { ort::Error::result_from_status(status) }.map_err(text)?;
        }
        for name in &self.output_names {
            self.binding.bind_output_to_device(name, &self.memory).map_err(text)?;
        }
        let options = if shrink { &self.shrinking } else { &self.options };
        let mut outputs = self.session.run_binding_with_options(&self.binding, options).map_err(text)?;
        let tensor = |name: &String| {
            let value = outputs.remove(name).ok_or_else(|| format!("output `{name}` is missing"))?;
            value.downcast::<DynTensorValueType>().map_err(|e| e.to_string())
        };
        self.outputs = self.output_names.iter().map(tensor).collect::<Result<_, String>>()?;
        Ok(())
    }

    /// Output `index` of the last run, on the device.
    pub fn output(&self, index: usize) -> Result<DeviceTensor<'_>, String> {
        let count = self.outputs.len();
        let found = self.outputs.get(index).zip(self.output_types.get(index));
        let (tensor, dtype) = found.ok_or_else(|| format!("output {index} of {count}"))?;
        if tensor.memory_info().allocation_device() != self.memory.allocation_device() {
            return Err(format!("output {index} is in {:?} memory, not on the device", tensor.memory_info().allocation_device()));
        }
        let dims: Vec<usize> = tensor.shape().iter().map(|&d| d as usize).collect();
        let shape = Shape::try_from_slice(&dims).map_err(|e| e.to_string())?;
        let (address, len) = (tensor.data_ptr() as u64, shape.elements());
        // SAFETY: the library says that they are there, of the type that its graph says; the value lives as long as the borrow.
        let data = unsafe {
            match dtype {
                DType::F32 => DeviceData::F32(DeviceSlice::from_raw(address, len)),
                DType::I32 => DeviceData::I32(DeviceSlice::from_raw(address, len)),
                DType::I64 => DeviceData::I64(DeviceSlice::from_raw(address, len)),
            }
        };
        Ok(DeviceTensor { shape, data })
    }
}

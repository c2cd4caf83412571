//! JPEG files to pictures in the memory of a GPU, by NVIDIA's nvJPEG: compressed bytes in, BGR out, and no pixel on the host. What
//! it refuses is not judged here: another decoder is to have it. Not run on hardware yet.

mod ffi;
mod interface;

use super::cuda::{DeviceBuffer, Gpu, Stream};
use super::probe::probe;
use crate::error::{Error, Result};
use ffi::Functions;
use std::ffi::{c_int, c_void};
use std::fmt;
use std::path::Path;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a pixel.
const BGR: usize = 3;

/// A decoder on one GPU, for any number of threads.
pub struct NvJpeg {
    gpu: Arc<Gpu>,
    functions: &'static Functions,
    handle: *mut c_void,
    /// States that no thread uses.
    idle: Mutex<Vec<State>>,
}

// SAFETY: the library takes calls on a handle from any thread, each with a state of its own.
unsafe impl Send for NvJpeg {}
// SAFETY: as above.
unsafe impl Sync for NvJpeg {}

/// What one file at a time is decoded with.
struct State {
    functions: &'static Functions,
    raw: *mut c_void,
    stream: Stream,
}

// SAFETY: the handle is used by whoever has the state, with the context in place.
unsafe impl Send for State {}

/// What became of a file.
pub enum JpegOutcome {
    /// Its rows of blue, green, red, without anything between them.
    Pixels(DeviceBuffer<u8>),
    /// The library does not decode it, and says so.
    Refused(String),
}

impl NvJpeg {
    /// Whether the library is there, in the system's folders or at the path `installed`: why not, with the next step.
    ///
    /// # Errors
    /// [`Error::Missing`]; [`Error::Backend`] without a driver.
    pub fn available(installed: Option<&Path>) -> Result<()> {
        Self::library(installed).map(|_| ())
    }

    fn library(installed: Option<&Path>) -> Result<&'static Functions> {
        let gpus = probe().map_err(|unavailable| unavailable.error("gpu"))?;
        ffi::library(gpus.cuda.major(), installed).map_err(|(name, reason)| {
            let next_step = "run `hpinfer runtime install gpu`, which brings it, or install CUDA's own; or decode on the host";
            Error::missing(name, format!("it decodes JPEG files on a GPU ({reason})"), next_step)
        })
    }

    /// A decoder on `gpu`, by the library that [`available`](Self::available) finds.
    ///
    /// # Errors
    /// [`Error::Missing`] without the library; [`Error::Device`] when it refuses.
    pub fn open(gpu: &Arc<Gpu>, installed: Option<&Path>) -> Result<Arc<Self>> {
        let functions = Self::library(installed)?;
        gpu.make_current()?;
        let mut decoder = Self { gpu: gpu.clone(), functions, handle: ptr::null_mut(), idle: Mutex::default() };
        let mut create = |flags| {
            // SAFETY: the type is that of the interface; without allocators the library uses CUDA's.
            unsafe { (functions.create)(ffi::BACKEND_DEFAULT, ptr::null_mut(), ptr::null_mut(), flags, &raw mut decoder.handle) }
        };
        let made = match create(ffi::BITSTREAM_STRICT | ffi::UPSAMPLING_WITH_INTERPOLATION) {
            ffi::INVALID_PARAMETER => create(ffi::BITSTREAM_STRICT), // 12.0 knows one of the two
            made => made,
        };
        if made != ffi::SUCCESS {
            decoder.handle = ptr::null_mut();
            return Err(decoder.fault("opening it", made));
        }
        Ok(Arc::new(decoder))
    }

    /// The device.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.gpu
    }

    /// Decodes a file whose header says `[width, height]`; it returns when the pixels are there.
    ///
    /// # Errors
    /// [`Error::Device`] where it is not the file that is to blame.
    pub fn decode(&self, bytes: &[u8], [width, height]: [u32; 2]) -> Result<JpegOutcome> {
        self.gpu.make_current()?;
        let (mut components, mut subsampling, mut widths, mut heights) = (0, 0, [0; ffi::CHANNELS], [0; ffi::CHANNELS]);
        // SAFETY: the file outlives the call, and there is room for all channels.
        let asked = unsafe {
            let (widths, heights) = (widths.as_mut_ptr(), heights.as_mut_ptr());
            (self.functions.image_info)(
                self.handle,
                bytes.as_ptr(),
                bytes.len(),
                &raw mut components,
                &raw mut subsampling,
                widths,
                heights,
            )
        };
        if let Some(refusal) = self.refusal("reading a header", asked)? {
            return Ok(JpegOutcome::Refused(refusal));
        }
        // Memory is made for what this program read, and written as the library read.
        let [wide, high] = [widths, heights].map(|sides| sides.into_iter().max().unwrap_or_default());
        if [wide, high].map(i64::from) != [width, height].map(i64::from) {
            return Ok(JpegOutcome::Refused(format!("nvJPEG reads {wide}x{high} pixels")));
        }
        let state = self.state()?;
        let pitch = width as usize * BGR;
        let mut memory = state.stream.alloc::<u8>(pitch * height as usize)?;
        let mut image = ffi::Image { channel: [ptr::null_mut(); ffi::CHANNELS], pitch: [0; ffi::CHANNELS] };
        (image.channel[0], image.pitch[0]) = (memory.slice_mut().address() as *mut u8, pitch);
        let (file, stream) = (bytes.as_ptr(), state.stream.raw());
        // SAFETY: the file outlives the work, which is waited for here or when the state is dropped; the memory has all rows of
        // the picture, and belongs to the stream.
        let decoded =
            unsafe { (self.functions.decode)(self.handle, state.raw, file, bytes.len(), ffi::OUTPUT_BGRI, &raw mut image, stream) };
        if let Some(refusal) = self.refusal("decoding a file", decoded)? {
            return Ok(JpegOutcome::Refused(refusal)); // and the state goes: who knows what is left in it
        }
        state.stream.wait()?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(state);
        Ok(JpegOutcome::Pixels(memory))
    }

    /// A state that is idle, or a new one.
    fn state(&self) -> Result<State> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(state) = idle {
            return Ok(state);
        }
        let mut state = State { functions: self.functions, raw: ptr::null_mut(), stream: Stream::new(&self.gpu)? };
        // SAFETY: the type is that of the interface.
        match unsafe { (self.functions.create_state)(self.handle, &raw mut state.raw) } {
            ffi::SUCCESS => Ok(state),
            code => {
                state.raw = ptr::null_mut();
                Err(self.fault("making a state", code))
            }
        }
    }

    /// Why the library does not decode a file, after a call that ended with `code`; an error where the device is to blame.
    fn refusal(&self, stage: &str, code: c_int) -> Result<Option<String>> {
        match code {
            ffi::SUCCESS => Ok(None),
            ffi::NOT_INITIALIZED | ffi::ALLOCATOR_FAILURE | ffi::ARCH_MISMATCH => Err(self.fault(stage, code)),
            // Damaged files end in errors of any name.
            _ if self.gpu.memory().is_ok() => Ok(Some(format!("nvJPEG: {}", meaning(code)))),
            _ => Err(self.fault(stage, code)),
        }
    }

    fn fault(&self, stage: &str, code: c_int) -> Error {
        Error::device(self.gpu.to_string(), format!("nvJPEG, {stage}"), meaning(code))
    }
}

impl Drop for NvJpeg {
    fn drop(&mut self) {
        self.idle.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        if !self.handle.is_null() {
            let _ = self.gpu.make_current();
            // SAFETY: made by `open`; its states are gone.
            unsafe { (self.functions.destroy)(self.handle) };
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = self.stream.wait(); // work on a file that was refused
        if !self.raw.is_null() {
            let _ = self.stream.gpu().make_current();
            // SAFETY: made by the library, and no work uses it any more.
            unsafe { (self.functions.destroy_state)(self.raw) };
        }
    }
}

impl fmt::Debug for NvJpeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nvJPEG on {}", self.gpu)
    }
}

/// A status in words.
fn meaning(code: c_int) -> String {
    let name = match code {
        ffi::NOT_INITIALIZED => "not initialised",
        ffi::INVALID_PARAMETER => "invalid parameter",
        ffi::BAD_JPEG => "bad JPEG",
        ffi::JPEG_NOT_SUPPORTED => "JPEG of a kind that it does not support",
        ffi::ALLOCATOR_FAILURE => "no memory",
        ffi::EXECUTION_FAILED => "execution failed",
        ffi::ARCH_MISMATCH => "not for this GPU",
        ffi::INTERNAL_ERROR => "internal error",
        ffi::IMPLEMENTATION_NOT_SUPPORTED => "not implemented",
        ffi::INCOMPLETE_BITSTREAM => "incomplete file",
        _ => "unknown error",
    };
    format!("{name} (status {code})")
}

//! The part of nvJPEG (`nvjpeg.h`) that this program calls. `tests/gpu/nvjpeg_header.rs` holds it against NVIDIA's headers of the
//! versions that are installed, 12.4.0.76 and 13.0.1.86; those of 12.0.0.28 and 13.3.2.43 were compared by the same test.

use std::ffi::{c_int, c_uint};

/// `nvjpegStatus_t`.
pub const SUCCESS: c_int = 0;
pub const NOT_INITIALIZED: c_int = 1;
pub const INVALID_PARAMETER: c_int = 2;
pub const BAD_JPEG: c_int = 3;
pub const JPEG_NOT_SUPPORTED: c_int = 4;
pub const ALLOCATOR_FAILURE: c_int = 5;
pub const EXECUTION_FAILED: c_int = 6;
pub const ARCH_MISMATCH: c_int = 7;
pub const INTERNAL_ERROR: c_int = 8;
pub const IMPLEMENTATION_NOT_SUPPORTED: c_int = 9;
pub const INCOMPLETE_BITSTREAM: c_int = 10;

/// `NVJPEG_BACKEND_DEFAULT`: the library chooses for each file.
pub const BACKEND_DEFAULT: c_int = 0;
/// `NVJPEG_OUTPUT_BGRI`: interleaved in the first channel.
pub const OUTPUT_BGRI: c_int = 6;
/// Flags: what is against the format is an error; chroma is interpolated, as libjpeg has it (12.1 and later).
pub const BITSTREAM_STRICT: c_uint = 1 << 2;
pub const UPSAMPLING_WITH_INTERPOLATION: c_uint = 1 << 5;

/// `NVJPEG_MAX_COMPONENT`.
pub const CHANNELS: usize = 4;

/// `nvjpegImage_t`.
#[repr(C)]
pub struct Image {
    pub channel: [*mut u8; CHANNELS],
    pub pitch: [usize; CHANNELS],
}

/// Hands the functions to the macro `$with`: our name, theirs, and the types of arguments. All return a status.
macro_rules! functions {
    ($with:ident) => {
        $with! {
            create: "nvjpegCreateEx" fn(c_int, *mut c_void, *mut c_void, c_uint, *mut *mut c_void),
            destroy: "nvjpegDestroy" fn(*mut c_void),
            create_state: "nvjpegJpegStateCreate" fn(*mut c_void, *mut *mut c_void),
            destroy_state: "nvjpegJpegStateDestroy" fn(*mut c_void),
            image_info: "nvjpegGetImageInfo" fn(*mut c_void, *const u8, usize, *mut c_int, *mut c_int, *mut c_int, *mut c_int),
            decode: "nvjpegDecode" fn(*mut c_void, *mut c_void, *const u8, usize, c_int, *mut Image, *mut c_void),
        }
    };
}
pub(crate) use functions;

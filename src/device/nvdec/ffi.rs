//! The part of NVIDIA's interface to its video decoders (`libnvcuvid`, as the headers of Video Codec SDK 11.1 to 13.0 declare
//! it, which are alike in what stands here) that this program calls. Sizes and places were compared with those headers.

use crate::device::loader_says;
use libloading::Library;
use std::ffi::{c_int, c_uint, c_ulong, c_void};
use std::mem::{offset_of, size_of};
use std::sync::OnceLock;

/// Name for the loader. The driver brings it, where the container lets its video part in.
const LIBRARY: &str = "libnvcuvid.so.1";

/// `cudaVideoCodec`.
pub const H264: c_int = 4;
pub const HEVC: c_int = 8;
/// `cudaVideoChromaFormat_420`.
pub const CHROMA_420: c_int = 1;
/// `cudaVideoSurfaceFormat_NV12`.
pub const SURFACE_NV12: c_int = 0;
/// `cudaVideoCreate_PreferCUVID`: the decoder's own engines.
pub const PREFER_CUVID: c_ulong = 4;
/// Flags of `CUVIDSOURCEDATAPACKET`.
pub const END_OF_STREAM: c_ulong = 1;
pub const HAS_TIMESTAMP: c_ulong = 2;
pub const END_OF_PICTURE: c_ulong = 8;

/// Left, top, right, bottom.
#[derive(Clone, Copy, Default)]
#[repr(C)]
pub struct Area<T> {
    pub left: T,
    pub top: T,
    pub right: T,
    pub bottom: T,
}

/// `CUVIDEOFORMAT`.
#[repr(C)]
pub struct Format {
    pub codec: c_int,
    frame_rate: [c_uint; 2],
    progressive: u8,
    pub luma_bits_minus_8: u8,
    pub chroma_bits_minus_8: u8,
    pub least_surfaces: u8,
    pub coded: [c_uint; 2],
    pub display: Area<c_int>,
    pub chroma: c_int,
    bit_rate: c_uint,
    aspect: [c_int; 2],
    /// Bit 3 is the flag of full range.
    pub signal: u8,
    primaries: u8,
    transfer: u8,
    pub matrix: u8,
    more_bytes: c_uint,
}

/// `CUVIDDECODECAPS`.
#[derive(Default)]
#[repr(C)]
pub struct Caps {
    pub codec: c_int,
    pub chroma: c_int,
    pub bits_minus_8: c_uint,
    pub reserved: [c_uint; 3],
    pub supported: u8,
    pub decoders: u8,
    pub outputs: u16,
    pub most: [c_uint; 2],
    pub most_macroblocks: c_uint,
    pub least: [u16; 2],
    pub histogram: [u8; 2],
    pub histogram_bins: u16,
    pub reserved_too: [c_uint; 10],
}

/// `CUVIDPARSERPARAMS`.
#[repr(C)]
pub struct ParserParams {
    pub codec: c_int,
    pub most_surfaces: c_uint,
    pub clock_rate: c_uint,
    pub error_threshold: c_uint,
    pub display_delay: c_uint,
    pub bits: c_uint,
    pub reserved: [c_uint; 4],
    pub user: *mut c_void,
    pub sequence: unsafe extern "C" fn(*mut c_void, *mut Format) -> c_int,
    pub decode: unsafe extern "C" fn(*mut c_void, *mut PictureParams) -> c_int,
    pub display: unsafe extern "C" fn(*mut c_void, *mut DisplayInfo) -> c_int,
    pub more: [*mut c_void; 8],
}

/// `CUVIDPICPARAMS`: made by the parser, handed to the decoder.
#[repr(C)]
pub struct PictureParams {
    opaque: [u8; 0],
}

/// `CUVIDPARSERDISPINFO`.
#[repr(C)]
pub struct DisplayInfo {
    pub picture: c_int,
    pub progressive: c_int,
    pub top_field_first: c_int,
    pub repeat_first_field: c_int,
    pub timestamp: i64,
}

/// `CUVIDSOURCEDATAPACKET`.
#[repr(C)]
pub struct Packet {
    pub flags: c_ulong,
    pub len: c_ulong,
    pub data: *const u8,
    pub timestamp: i64,
}

/// `CUVIDDECODECREATEINFO`.
#[derive(Default)]
#[repr(C)]
pub struct CreateInfo {
    pub coded: [c_ulong; 2],
    pub surfaces: c_ulong,
    pub codec: c_int,
    pub chroma: c_int,
    pub flags: c_ulong,
    pub bits_minus_8: c_ulong,
    pub intra_only: c_ulong,
    pub most: [c_ulong; 2],
    pub reserved: c_ulong,
    pub display: Area<i16>,
    pub output: c_int,
    pub deinterlace: c_int,
    pub target: [c_ulong; 2],
    pub output_surfaces: c_ulong,
    pub lock: usize,
    pub target_area: Area<i16>,
    pub histogram: c_ulong,
    pub reserved_too: [c_ulong; 4],
}

/// `CUVIDPROCPARAMS`.
#[repr(C)]
pub struct ProcessParams {
    pub progressive: c_int,
    pub second_field: c_int,
    pub top_field_first: c_int,
    pub unpaired_field: c_int,
    pub raw: [u64; 5],
    pub stream: *mut c_void,
    pub reserved: [u64; 25],
}

const _: () = assert!(size_of::<Format>() == 64 && offset_of!(Format, display) == 24 && offset_of!(Format, signal) == 56);
const _: () = assert!(size_of::<Caps>() == 88 && offset_of!(Caps, outputs) == 26 && offset_of!(Caps, least) == 40);
const _: () = assert!(size_of::<ParserParams>() == 136 && offset_of!(ParserParams, user) == 40);
const _: () = assert!(size_of::<DisplayInfo>() == 24 && size_of::<Packet>() == 32);
const _: () = assert!(size_of::<CreateInfo>() == 176 && offset_of!(CreateInfo, output) == 88 && offset_of!(CreateInfo, lock) == 120);
const _: () = assert!(size_of::<ProcessParams>() == 264 && offset_of!(ProcessParams, stream) == 56);

/// Declares the functions once: as fields, and as symbols to look up.
macro_rules! functions {
    ($($field:ident: $symbol:literal fn($($argument:ty),*)),* $(,)?) => {
        /// The opened library. It stays loaded: it has threads.
        pub struct Cuvid {
            $(pub $field: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl Cuvid {
            fn open() -> Result<Self, String> {
                // SAFETY: the driver's library by name; loading it is what every program that decodes does.
                let library = unsafe { Library::new(LIBRARY) }.map_err(|e| loader_says(&e))?;
                let library: &'static Library = Box::leak(Box::new(library));
                // SAFETY: the types are those of the interface, and the library is never closed.
                Ok(Self { $($field: *unsafe { library.get($symbol) }.map_err(|e| loader_says(&e))?,)* })
            }
        }
    };
}

functions! {
    create_parser: "cuvidCreateVideoParser" fn(*mut *mut c_void, *mut ParserParams),
    parse: "cuvidParseVideoData" fn(*mut c_void, *mut Packet),
    destroy_parser: "cuvidDestroyVideoParser" fn(*mut c_void),
    caps: "cuvidGetDecoderCaps" fn(*mut Caps),
    create_decoder: "cuvidCreateDecoder" fn(*mut *mut c_void, *mut CreateInfo),
    destroy_decoder: "cuvidDestroyDecoder" fn(*mut c_void),
    decode: "cuvidDecodePicture" fn(*mut c_void, *mut PictureParams),
    map: "cuvidMapVideoFrame64" fn(*mut c_void, c_int, *mut u64, *mut c_uint, *mut ProcessParams),
    unmap: "cuvidUnmapVideoFrame64" fn(*mut c_void, u64),
}

/// The library, opened at the first call; or what the loader says.
pub fn library() -> Result<&'static Cuvid, &'static str> {
    static OPENED: OnceLock<Result<Cuvid, String>> = OnceLock::new();
    OPENED.get_or_init(Cuvid::open).as_ref().map_err(String::as_str)
}

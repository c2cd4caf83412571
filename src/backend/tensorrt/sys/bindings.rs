pub const TRS_MAX_RANK: u32 = 8;
pub const TRS_OK: trs_status = 0;
pub const TRS_DLOPEN: trs_status = 1;
pub const TRS_SYMBOL: trs_status = 2;
pub const TRS_VERSION: trs_status = 3;
pub const TRS_NO_DEVICE: trs_status = 4;
pub const TRS_CREATE: trs_status = 5;
pub const TRS_PARSE: trs_status = 6;
pub const TRS_BUILD: trs_status = 7;
pub const TRS_CANCELLED: trs_status = 8;
pub const TRS_UNSUPPORTED: trs_status = 9;
pub const TRS_DESERIALIZE: trs_status = 10;
pub const TRS_ARGUMENT: trs_status = 11;
pub const TRS_ENQUEUE: trs_status = 12;
pub const TRS_EXCEPTION: trs_status = 13;
pub type trs_status = ::std::os::raw::c_uint;
pub const TRS_FLOAT: trs_dtype = 0;
pub const TRS_HALF: trs_dtype = 1;
pub const TRS_INT8: trs_dtype = 2;
pub const TRS_INT32: trs_dtype = 3;
pub const TRS_BOOL: trs_dtype = 4;
pub const TRS_UINT8: trs_dtype = 5;
pub const TRS_INT64: trs_dtype = 8;
pub const TRS_OTHER: trs_dtype = -1;
pub type trs_dtype = ::std::os::raw::c_int;
#[repr(C)]
#[derive(Debug)]
pub struct trs_lib {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct trs_blob {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct trs_engine {
    _unused: [u8; 0],
}
#[repr(C)]
#[derive(Debug)]
pub struct trs_context {
    _unused: [u8; 0],
}
pub type trs_log_fn =
    ::std::option::Option<unsafe extern "C" fn(user: *mut ::std::os::raw::c_void, severity: i32, text: *const ::std::os::raw::c_char)>;
pub const TRS_PHASE_START: trs_progress_event = 0;
pub const TRS_PHASE_STEP: trs_progress_event = 1;
pub const TRS_PHASE_END: trs_progress_event = 2;
pub type trs_progress_event = ::std::os::raw::c_uint;
pub type trs_progress_fn = ::std::option::Option<
    unsafe extern "C" fn(
        user: *mut ::std::os::raw::c_void,
        event: trs_progress_event,
        phase: *const ::std::os::raw::c_char,
        parent: *const ::std::os::raw::c_char,
        steps: i32,
    ) -> i32,
>;
pub type trs_output_fn =
    ::std::option::Option<unsafe extern "C" fn(user: *mut ::std::os::raw::c_void, bytes: u64) -> *mut ::std::os::raw::c_void>;
pub type trs_shape_fn = ::std::option::Option<unsafe extern "C" fn(user: *mut ::std::os::raw::c_void, dims: *const i64, rank: i32)>;
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct trs_versions {
    pub major: i32,
    pub minor: i32,
    pub patch: i32,
    pub build: i32,
    pub abi: i32,
    pub has_builder: i32,
    pub host_memory: i32,
    pub checked: i32,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of trs_versions"][::std::mem::size_of::<trs_versions>() - 32usize];
    ["Alignment of trs_versions"][::std::mem::align_of::<trs_versions>() - 4usize];
    ["Offset of field: trs_versions::major"][::std::mem::offset_of!(trs_versions, major) - 0usize];
    ["Offset of field: trs_versions::minor"][::std::mem::offset_of!(trs_versions, minor) - 4usize];
    ["Offset of field: trs_versions::patch"][::std::mem::offset_of!(trs_versions, patch) - 8usize];
    ["Offset of field: trs_versions::build"][::std::mem::offset_of!(trs_versions, build) - 12usize];
    ["Offset of field: trs_versions::abi"][::std::mem::offset_of!(trs_versions, abi) - 16usize];
    ["Offset of field: trs_versions::has_builder"][::std::mem::offset_of!(trs_versions, has_builder) - 20usize];
    ["Offset of field: trs_versions::host_memory"][::std::mem::offset_of!(trs_versions, host_memory) - 24usize];
    ["Offset of field: trs_versions::checked"][::std::mem::offset_of!(trs_versions, checked) - 28usize];
};
unsafe extern "C" {
    pub fn trs_open(
        infer: *const ::std::os::raw::c_char,
        parser: *const ::std::os::raw::c_char,
        log: trs_log_fn,
        user: *mut ::std::os::raw::c_void,
        out: *mut *mut trs_lib,
        message: *mut ::std::os::raw::c_char,
        room: usize,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_version(lib: *const trs_lib, out: *mut trs_versions);
}
unsafe extern "C" {
    pub fn trs_close(lib: *mut trs_lib);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct trs_range {
    pub input: *const ::std::os::raw::c_char,
    pub rank: i32,
    pub min: [i64; 8usize],
    pub opt: [i64; 8usize],
    pub max: [i64; 8usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of trs_range"][::std::mem::size_of::<trs_range>() - 208usize];
    ["Alignment of trs_range"][::std::mem::align_of::<trs_range>() - 8usize];
    ["Offset of field: trs_range::input"][::std::mem::offset_of!(trs_range, input) - 0usize];
    ["Offset of field: trs_range::rank"][::std::mem::offset_of!(trs_range, rank) - 8usize];
    ["Offset of field: trs_range::min"][::std::mem::offset_of!(trs_range, min) - 16usize];
    ["Offset of field: trs_range::opt"][::std::mem::offset_of!(trs_range, opt) - 80usize];
    ["Offset of field: trs_range::max"][::std::mem::offset_of!(trs_range, max) - 144usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct trs_profile {
    pub ranges: *const trs_range,
    pub count: usize,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of trs_profile"][::std::mem::size_of::<trs_profile>() - 16usize];
    ["Alignment of trs_profile"][::std::mem::align_of::<trs_profile>() - 8usize];
    ["Offset of field: trs_profile::ranges"][::std::mem::offset_of!(trs_profile, ranges) - 0usize];
    ["Offset of field: trs_profile::count"][::std::mem::offset_of!(trs_profile, count) - 8usize];
};
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct trs_build_options {
    pub struct_size: usize,
    pub profiles: *const trs_profile,
    pub profile_count: usize,
    pub fp16: i32,
    pub strongly_typed: i32,
    pub tf32: i32,
    pub version_compatible: i32,
    pub ampere_plus: i32,
    pub optimization_level: i32,
    pub compute_capability: i32,
    pub workspace: u64,
    pub timing: *const ::std::os::raw::c_void,
    pub timing_size: usize,
    pub progress: trs_progress_fn,
    pub progress_user: *mut ::std::os::raw::c_void,
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of trs_build_options"][::std::mem::size_of::<trs_build_options>() - 96usize];
    ["Alignment of trs_build_options"][::std::mem::align_of::<trs_build_options>() - 8usize];
    ["Offset of field: trs_build_options::struct_size"][::std::mem::offset_of!(trs_build_options, struct_size) - 0usize];
    ["Offset of field: trs_build_options::profiles"][::std::mem::offset_of!(trs_build_options, profiles) - 8usize];
    ["Offset of field: trs_build_options::profile_count"][::std::mem::offset_of!(trs_build_options, profile_count) - 16usize];
    ["Offset of field: trs_build_options::fp16"][::std::mem::offset_of!(trs_build_options, fp16) - 24usize];
    ["Offset of field: trs_build_options::strongly_typed"][::std::mem::offset_of!(trs_build_options, strongly_typed) - 28usize];
    ["Offset of field: trs_build_options::tf32"][::std::mem::offset_of!(trs_build_options, tf32) - 32usize];
    ["Offset of field: trs_build_options::version_compatible"][::std::mem::offset_of!(trs_build_options, version_compatible) - 36usize];
    ["Offset of field: trs_build_options::ampere_plus"][::std::mem::offset_of!(trs_build_options, ampere_plus) - 40usize];
    ["Offset of field: trs_build_options::optimization_level"][::std::mem::offset_of!(trs_build_options, optimization_level) - 44usize];
    ["Offset of field: trs_build_options::compute_capability"][::std::mem::offset_of!(trs_build_options, compute_capability) - 48usize];
    ["Offset of field: trs_build_options::workspace"][::std::mem::offset_of!(trs_build_options, workspace) - 56usize];
    ["Offset of field: trs_build_options::timing"][::std::mem::offset_of!(trs_build_options, timing) - 64usize];
    ["Offset of field: trs_build_options::timing_size"][::std::mem::offset_of!(trs_build_options, timing_size) - 72usize];
    ["Offset of field: trs_build_options::progress"][::std::mem::offset_of!(trs_build_options, progress) - 80usize];
    ["Offset of field: trs_build_options::progress_user"][::std::mem::offset_of!(trs_build_options, progress_user) - 88usize];
};
unsafe extern "C" {
    pub fn trs_build(
        lib: *mut trs_lib,
        onnx: *const ::std::os::raw::c_void,
        size: usize,
        options: *const trs_build_options,
        plan: *mut *mut trs_blob,
        timing: *mut *mut trs_blob,
        message: *mut ::std::os::raw::c_char,
        room: usize,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_blob_data(blob: *const trs_blob) -> *const ::std::os::raw::c_void;
}
unsafe extern "C" {
    pub fn trs_blob_size(blob: *const trs_blob) -> usize;
}
unsafe extern "C" {
    pub fn trs_blob_free(blob: *mut trs_blob);
}
unsafe extern "C" {
    pub fn trs_engine_load(
        lib: *mut trs_lib,
        plan: *const ::std::os::raw::c_void,
        size: usize,
        out: *mut *mut trs_engine,
        message: *mut ::std::os::raw::c_char,
        room: usize,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_engine_free(engine: *mut trs_engine);
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct trs_io {
    pub name: [::std::os::raw::c_char; 256usize],
    pub is_input: i32,
    pub dtype: i32,
    pub rank: i32,
    pub dims: [i64; 8usize],
}
#[allow(clippy::unnecessary_operation, clippy::identity_op)]
const _: () = {
    ["Size of trs_io"][::std::mem::size_of::<trs_io>() - 336usize];
    ["Alignment of trs_io"][::std::mem::align_of::<trs_io>() - 8usize];
    ["Offset of field: trs_io::name"][::std::mem::offset_of!(trs_io, name) - 0usize];
    ["Offset of field: trs_io::is_input"][::std::mem::offset_of!(trs_io, is_input) - 256usize];
    ["Offset of field: trs_io::dtype"][::std::mem::offset_of!(trs_io, dtype) - 260usize];
    ["Offset of field: trs_io::rank"][::std::mem::offset_of!(trs_io, rank) - 264usize];
    ["Offset of field: trs_io::dims"][::std::mem::offset_of!(trs_io, dims) - 272usize];
};
unsafe extern "C" {
    pub fn trs_engine_io_count(engine: *const trs_engine) -> i32;
}
unsafe extern "C" {
    pub fn trs_engine_io(engine: *const trs_engine, index: i32, out: *mut trs_io) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_engine_profiles(engine: *const trs_engine) -> i32;
}
unsafe extern "C" {
    pub fn trs_engine_range(
        engine: *const trs_engine,
        input: *const ::std::os::raw::c_char,
        profile: i32,
        out: *mut trs_range,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_engine_scratch(engine: *const trs_engine) -> i64;
}
unsafe extern "C" {
    pub fn trs_context_new(
        engine: *mut trs_engine,
        user_scratch: i32,
        out: *mut *mut trs_context,
        message: *mut ::std::os::raw::c_char,
        room: usize,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_free(context: *mut trs_context);
}
unsafe extern "C" {
    pub fn trs_context_scratch_needed(context: *mut trs_context) -> usize;
}
unsafe extern "C" {
    pub fn trs_context_scratch(context: *mut trs_context, memory: *mut ::std::os::raw::c_void, size: i64) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_profile(context: *mut trs_context, profile: i32, stream: *mut ::std::os::raw::c_void) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_set_shape(
        context: *mut trs_context,
        input: *const ::std::os::raw::c_char,
        dims: *const i64,
        rank: i32,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_infer_shapes(context: *mut trs_context, message: *mut ::std::os::raw::c_char, room: usize) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_shape(
        context: *mut trs_context,
        tensor: *const ::std::os::raw::c_char,
        dims: *mut i64,
        rank: *mut i32,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_bind(
        context: *mut trs_context,
        tensor: *const ::std::os::raw::c_char,
        address: *mut ::std::os::raw::c_void,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_output(
        context: *mut trs_context,
        tensor: *const ::std::os::raw::c_char,
        memory: trs_output_fn,
        shape: trs_shape_fn,
        user: *mut ::std::os::raw::c_void,
    ) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_context_enqueue(context: *mut trs_context, stream: *mut ::std::os::raw::c_void) -> trs_status;
}
unsafe extern "C" {
    pub fn trs_self_check() -> i32;
}
#[repr(C)]
#[derive(Debug, Copy, Clone)]
pub struct trs_device {
    pub name: [::std::os::raw::c_char; 256usize],
    pub capability_major: i32,
    pub capability_minor: i32,
    pub driver: i32,
}
unsafe extern "C" {
    pub fn trs_device_info(index: i32, out: *mut trs_device, message: *mut ::std::os::raw::c_char, room: usize) -> trs_status;
}

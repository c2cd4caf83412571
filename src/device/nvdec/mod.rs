//! The video decoders of a GPU: access units in, NV12 pictures in its memory out, in the order of their display. A picture is
//! copied within the device once, out of the decoder's few surfaces, so that nobody has to hurry.

mod ffi;

use super::cuda::{DeviceBuffer, Gpu, Stream};
use super::queue::DeviceSlice;
use crate::error::{Error, Result};
use ffi::{Area, Caps, CreateInfo, Cuvid, DisplayInfo, Format, Packet, ParserParams, PictureParams, ProcessParams};
use std::collections::VecDeque;
use std::ffi::{c_int, c_ulong, c_void};
use std::fmt;
use std::ptr;
use std::sync::Arc;

/// Surfaces beyond those that the stream needs: the engine goes on while pictures are copied.
const MORE_SURFACES: c_ulong = 2;
/// Damaged pictures in a row that a stream may have.
const MOST_FAILURES: u32 = 100;
/// The most surfaces that may be mapped at a time.
const OUTPUT_SURFACES: c_ulong = 2;

/// What is decoded there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VideoCodec {
    /// AVC.
    H264,
    /// H.265.
    Hevc,
}

impl VideoCodec {
    /// The codec that FFmpeg calls so.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "h264" => Some(Self::H264),
            "hevc" => Some(Self::Hevc),
            _ => None,
        }
    }

    fn number(self) -> c_int {
        match self {
            Self::H264 => ffi::H264,
            Self::Hevc => ffi::HEVC,
        }
    }
}

/// As FFmpeg calls it.
impl fmt::Display for VideoCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::H264 => "h264",
            Self::Hevc => "hevc",
        })
    }
}

/// A decoded picture: rows of luma, then rows of U, V pairs at `luma_rows`, all `pitch` bytes apart.
pub struct VideoPicture {
    /// The samples.
    pub memory: DeviceBuffer<u8>,
    /// Bytes from one row to the next.
    pub pitch: u32,
    /// Rows of luma.
    pub luma_rows: u32,
    /// Width and height of what is to be seen.
    pub size: [u32; 2],
    /// What its samples mean: `matrix_coefficients` of ITU-T H.273.
    pub matrix: u8,
    /// Samples use all of 0..=255.
    pub full_range: bool,
    /// The number that its access unit came with.
    pub timestamp: i64,
}

/// A decoder of one stream. Pictures are ready for work that comes behind that of [`stream`](Self::stream).
pub struct VideoDecoder {
    parser: *mut c_void,
    /// From a box, which the parser's calls reach too.
    state: *mut State,
}

// SAFETY: the handles are used by whoever has the decoder, with the context in place; the library takes calls from any thread.
unsafe impl Send for VideoDecoder {}

/// What the parser's calls work on.
struct State {
    cuvid: &'static Cuvid,
    stream: Stream,
    codec: VideoCodec,
    most_pixels: u64,
    decoder: *mut c_void,
    /// Of the sequence: what is to be seen, and of how many rows and columns pictures are for it.
    size: [u32; 2],
    target: [u32; 2],
    matrix: u8,
    full_range: bool,
    pictures: VecDeque<VideoPicture>,
    error: Option<Error>,
    /// Pictures in a row that could not be decoded or shown.
    failures: u32,
}

impl VideoDecoder {
    /// Whether such decoders can be had: why not, with the next step.
    ///
    /// # Errors
    /// [`Error::Missing`].
    pub fn available() -> Result<()> {
        let missing = |reason: &str| {
            let next_step =
                "let the driver's video part in (in containers NVIDIA_DRIVER_CAPABILITIES=compute,utility,video), or give --decode host";
            Error::missing("libnvcuvid.so.1", format!("it decodes videos on a GPU ({reason})"), next_step)
        };
        ffi::library().map(|_| ()).map_err(missing)
    }

    /// A decoder on `gpu` for pictures of at most `most_pixels`.
    ///
    /// # Errors
    /// [`Error::Missing`] without the library; [`Error::Device`] when it refuses.
    pub fn new(gpu: &Arc<Gpu>, codec: VideoCodec, most_pixels: u64) -> Result<Self> {
        Self::available()?;
        let cuvid = ffi::library().map_err(|reason| Error::internal("video decoder", reason))?;
        let stream = Stream::new(gpu)?;
        gpu.make_current()?;
        let state = State {
            cuvid,
            stream,
            codec,
            most_pixels,
            decoder: ptr::null_mut(),
            size: [0; 2],
            target: [0; 2],
            matrix: 0,
            full_range: false,
            pictures: VecDeque::new(),
            error: None,
            failures: 0,
        };
        let user = Box::into_raw(Box::new(state));
        let mut decoder = Self { parser: ptr::null_mut(), state: user };
        let mut params = ParserParams {
            codec: codec.number(),
            most_surfaces: 1, // the call for a sequence says how many
            clock_rate: 0,
            error_threshold: 100, // what is damaged is decoded as well as it can be, as on the host
            display_delay: 0,
            bits: 0,
            reserved: [0; 4],
            user: user.cast(),
            sequence,
            decode,
            display,
            more: [ptr::null_mut(); 8],
        };
        // SAFETY: both structures are those of the interface; the state outlives the parser, which goes first.
        let made = unsafe { (cuvid.create_parser)(&raw mut decoder.parser, &raw mut params) };
        decoder.state().check("making a video parser", made)?;
        Ok(decoder)
    }

    fn state(&self) -> &State {
        // SAFETY: it is there as long as this is, and the parser's calls have it within `take` only.
        unsafe { &*self.state }
    }

    fn state_mut(&mut self) -> &mut State {
        // SAFETY: as above.
        unsafe { &mut *self.state }
    }

    /// The stream behind whose work pictures are there.
    pub fn stream(&self) -> &Stream {
        &self.state().stream
    }

    /// Takes the access unit `unit` (Annex B), or the end of the stream where it is empty. Pictures that are ready then come by
    /// [`next_picture`](Self::next_picture).
    ///
    /// # Errors
    /// [`Error::Input`] for a stream that this GPU does not decode; [`Error::Device`].
    pub fn take(&mut self, unit: &[u8], timestamp: i64) -> Result<()> {
        self.state().stream.gpu().make_current()?;
        let flags = if unit.is_empty() { ffi::END_OF_STREAM } else { ffi::END_OF_PICTURE };
        let mut packet = Packet { flags: flags | ffi::HAS_TIMESTAMP, len: unit.len() as c_ulong, data: unit.as_ptr(), timestamp };
        // SAFETY: the packet and its bytes outlive the call, during which alone the parser calls back.
        let parsed = unsafe { (self.state().cuvid.parse)(self.parser, &raw mut packet) };
        match self.state_mut().error.take() {
            Some(error) => Err(error),
            None => self.state().check("taking an access unit", parsed),
        }
    }

    /// The next picture that is ready.
    pub fn next_picture(&mut self) -> Option<VideoPicture> {
        self.state_mut().pictures.pop_front()
    }
}

impl Drop for VideoDecoder {
    fn drop(&mut self) {
        let _ = self.state().stream.gpu().make_current();
        // SAFETY: the parser was made by `new`, where it is there, and nothing uses it or the state any more.
        unsafe {
            if !self.parser.is_null() {
                (self.state().cuvid.destroy_parser)(self.parser);
            }
            drop(Box::from_raw(self.state));
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.close();
    }
}

/// The state behind `user`, for the time of a call.
///
/// # Safety
/// `user` is that of `VideoDecoder::new`, and nothing else uses the state meanwhile: the parser calls within `take` only.
unsafe fn state_of<'a>(user: *mut c_void) -> &'a mut State {
    // SAFETY: the caller's promise.
    unsafe { &mut *user.cast::<State>() }
}

/// The parser's call for a new sequence: the surfaces it is to use, or 0 for a failure.
unsafe extern "C" fn sequence(user: *mut c_void, format: *mut Format) -> c_int {
    // SAFETY: both are the parser's.
    let (state, format) = unsafe { (state_of(user), &*format) };
    let opened = state.open(format);
    state.keep(opened).unwrap_or(0)
}

/// The parser's call for a picture to decode.
unsafe extern "C" fn decode(user: *mut c_void, picture: *mut PictureParams) -> c_int {
    // SAFETY: the parser's.
    let state = unsafe { state_of(user) };
    if state.decoder.is_null() {
        return 0; // its sequence was refused
    }
    // SAFETY: the decoder is open.
    let decoded = unsafe { (state.cuvid.decode)(state.decoder, picture) };
    let checked = state.check("decoding a picture", decoded).map(|()| 1);
    state.endure(checked)
}

/// The parser's call for a picture to show; without one at the end of a stream.
unsafe extern "C" fn display(user: *mut c_void, info: *mut DisplayInfo) -> c_int {
    // SAFETY: both are the parser's.
    let (state, info) = unsafe { (state_of(user), info.as_ref()) };
    let Some(info) = info else { return 1 };
    if state.decoder.is_null() {
        return 0;
    }
    let shown = state.show(info).map(|()| 1);
    state.endure(shown)
}

impl State {
    /// Keeps the first error for the caller of `take`.
    fn keep<T>(&mut self, outcome: Result<T>) -> Option<T> {
        outcome.map_err(|error| self.error.get_or_insert(error)).ok()
    }

    /// Lets a damaged picture go, as ffmpeg does, but not many in a row and not a device that is gone.
    fn endure(&mut self, outcome: Result<c_int>) -> c_int {
        self.failures = if outcome.is_ok() { 0 } else { self.failures + 1 };
        match outcome {
            Err(error) if self.failures <= MOST_FAILURES && self.stream.gpu().memory().is_ok() => {
                tracing::debug!("left out: {error}");
                1
            }
            outcome => self.keep(outcome).unwrap_or(0),
        }
    }

    fn check(&self, stage: &str, code: c_int) -> Result<()> {
        let gpu = self.stream.gpu();
        if code == 0 { Ok(()) } else { Err(Error::device(gpu.to_string(), stage, format!("{}: CUDA error {code}", self.codec))) }
    }

    /// A decoder for pictures of `format`; the number of its surfaces.
    fn open(&mut self, format: &Format) -> Result<c_int> {
        self.close();
        let bits = format.luma_bits_minus_8.max(format.chroma_bits_minus_8);
        let mut caps = Caps { codec: format.codec, chroma: format.chroma, bits_minus_8: bits.into(), ..Caps::default() };
        // SAFETY: the structure is that of the interface.
        let asked = unsafe { (self.cuvid.caps)(&raw mut caps) };
        self.check("asking what it decodes", asked)?;
        let [width, height] = format.coded;
        let within = |side: u32, least: u16, most: u32| (u32::from(least)..=most).contains(&side);
        let fits = within(width, caps.least[0], caps.most[0])
            && within(height, caps.least[1], caps.most[1])
            && u64::from(width) * u64::from(height) / 256 <= u64::from(caps.most_macroblocks);
        let nv12 = caps.outputs & 1 << ffi::SURFACE_NV12 != 0 && format.chroma == ffi::CHROMA_420;
        if caps.supported == 0 || !fits || !nv12 {
            let chroma = ["4:0:0", "4:2:0", "4:2:2", "4:4:4"].get(format.chroma as usize).unwrap_or(&"unknown chroma");
            let (codec, gpu) = (self.codec, self.stream.gpu());
            return Err(Error::input(
                "video",
                format!("{gpu} does not decode {codec} of {width}x{height} pixels, {} bits, {chroma}", bits + 8),
            ));
        }
        let Area { left, top, right, bottom } = format.display;
        let side = |from: c_int, to: c_int| u32::try_from(to - from).ok().filter(|side| *side > 0);
        let size = side(left, right).zip(side(top, bottom)).filter(|(w, h)| u64::from(*w) * u64::from(*h) <= self.most_pixels);
        let (w, h) = size.ok_or_else(|| {
            Error::input("video", format!("a frame of {}x{} pixels; the limit is {} in all", right - left, bottom - top, self.most_pixels))
        })?;
        // Sides of surfaces are even. Nothing is scaled: an odd picture brings a row or column with it that nobody sees.
        (self.size, self.target) = ([w, h], [w.next_multiple_of(2), h.next_multiple_of(2)]);
        (self.matrix, self.full_range) = (format.matrix, format.signal & 8 != 0);
        let short = |side: c_int| side as i16;
        let display = Area {
            left: short(left),
            top: short(top),
            right: short(left + self.target[0] as c_int),
            bottom: short(top + self.target[1] as c_int),
        };
        let surfaces = c_ulong::from(format.least_surfaces) + MORE_SURFACES;
        let mut info = CreateInfo {
            coded: format.coded.map(c_ulong::from),
            surfaces,
            codec: format.codec,
            chroma: format.chroma,
            flags: ffi::PREFER_CUVID,
            bits_minus_8: bits.into(),
            most: format.coded.map(c_ulong::from),
            display,
            output: ffi::SURFACE_NV12,
            target: self.target.map(c_ulong::from),
            output_surfaces: OUTPUT_SURFACES,
            ..CreateInfo::default()
        };
        // SAFETY: the structure is that of the interface.
        let made = unsafe { (self.cuvid.create_decoder)(&raw mut self.decoder, &raw mut info) };
        if made != 0 {
            let (codec, gpu) = (self.codec, self.stream.gpu());
            let reason = format!("{gpu} has no decoder for {codec} of {width}x{height} pixels to spare: CUDA error {made}");
            return Err(Error::input("video", reason));
        }
        Ok(surfaces as c_int)
    }

    /// Copies the picture out of the decoder.
    fn show(&mut self, info: &DisplayInfo) -> Result<()> {
        let mut params = ProcessParams {
            progressive: info.progressive,
            second_field: info.repeat_first_field + 1,
            top_field_first: info.top_field_first,
            unpaired_field: c_int::from(info.repeat_first_field < 0),
            raw: [0; 5],
            stream: self.stream.raw(),
            reserved: [0; 25],
        };
        let (mut address, mut pitch) = (0, 0);
        // SAFETY: the decoder is open, the structure that of the interface, and the stream outlives the mapping.
        let mapped = unsafe { (self.cuvid.map)(self.decoder, info.picture, &raw mut address, &raw mut pitch, &raw mut params) };
        self.check("mapping a picture", mapped)?;
        let copied = self.copy(address, pitch, info.timestamp);
        // SAFETY: mapped above, and the copy is done or was never begun.
        let unmapped = unsafe { (self.cuvid.unmap)(self.decoder, address) };
        self.pictures.push_back(copied?);
        self.check("giving a picture back", unmapped)
    }

    fn copy(&self, address: u64, pitch: u32, timestamp: i64) -> Result<VideoPicture> {
        let luma_rows = self.target[1];
        let bytes = pitch as usize * luma_rows as usize / 2 * 3;
        let mut memory = self.stream.alloc(bytes)?;
        // SAFETY: a mapped surface has its rows of luma and, behind them, half as many of chroma.
        let surface = unsafe { DeviceSlice::from_raw(address, bytes) };
        self.stream.copy(surface, &mut memory.slice_mut())?;
        self.stream.wait()?;
        let (size, matrix, full_range) = (self.size, self.matrix, self.full_range);
        Ok(VideoPicture { memory, pitch, luma_rows, size, matrix, full_range, timestamp })
    }

    fn close(&mut self) {
        if !self.decoder.is_null() {
            let _ = self.stream.gpu().make_current();
            // SAFETY: made by `open`, and no surface of it is mapped.
            unsafe { (self.cuvid.destroy_decoder)(self.decoder) };
            self.decoder = ptr::null_mut();
        }
    }
}

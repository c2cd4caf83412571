//! Video that ffmpeg only takes out of its container, for the decoders of a GPU. Two outputs of one child: a line for each
//! access unit (the muxer `framecrc`: its times and its bytes) on a pipe in the place of standard input, and behind it the unit
//! itself (Annex B, or a JPEG file) on standard output. So a unit is whole as soon as it is there, and brings its time along.

use super::child::Decoded;
use crate::device::{Gpu, NvJpeg, VideoCodec, VideoDecoder, VideoPicture};
use crate::error::{Error, Result};
use crate::image::decode::{Decoder, Limits};
use crate::image::nv12::{YuvColours, YuvMatrix};
use crate::image::{Picture, Plane, Planes, Resident, Size};
use crossbeam::channel::Sender;
use std::collections::BTreeSet;
use std::io::{BufRead, Lines, Read};
use std::sync::Arc;

/// Damaged pictures in a row that a stream of JPEG files may have.
const MOST_FAILURES: u32 = 100;

/// What decodes units on a GPU.
#[derive(Clone, Debug)]
pub(super) enum UnitDecoder {
    /// Its decoders of videos.
    Video(Arc<Gpu>, VideoCodec),
    /// nvJPEG: a unit of Motion JPEG is a file.
    Jpeg(Arc<NvJpeg>),
}

impl UnitDecoder {
    /// Arguments of ffmpeg for its outputs.
    pub fn outputs(&self) -> Vec<String> {
        match self {
            Self::Video(_, codec) => outputs(Some(*codec)),
            Self::Jpeg(_) => outputs(None),
        }
    }
}

/// Arguments of ffmpeg for the outputs of a video, of Motion JPEG where it has no codec. The lines go first: where one thread
/// writes both, it is never stuck behind bytes that nobody takes yet.
fn outputs(codec: Option<VideoCodec>) -> Vec<String> {
    let (format, filter) = match codec {
        // Parameter sets stand before each key frame, also of streams that send them apart.
        Some(codec) => (codec.to_string(), format!("{codec}_mp4toannexb,dump_extra")),
        // The usual tables stand in each file, also of cameras that leave them out.
        None => ("mjpeg".into(), "mjpeg2jpeg".into()),
    };
    let output = |format: &str, pipe: &str| {
        ["-map", "0:v:0", "-c", "copy", "-bsf:v", &filter, "-flush_packets", "1", "-f", format, pipe].map(str::to_owned)
    };
    [output("framecrc", "pipe:0"), output(&format, "pipe:1")].concat()
}

/// Decodes the units on `bits` that `lines` announce. Ends with them, or when nobody takes frames any more.
///
/// # Errors
/// [`Error::Input`] for a stream that the GPU does not decode, or not any more; those of the decoder.
pub(super) fn decode(
    lines: impl BufRead,
    bits: impl Read,
    (decoder, max_pixels): (&UnitDecoder, u64),
    frames: &Sender<Decoded>,
) -> Result<()> {
    let units = Units { lines: lines.lines(), bits, seconds: 1.0, bytes: Vec::new() };
    match decoder {
        UnitDecoder::Video(gpu, codec) => decode_video(units, (gpu, *codec, max_pixels), frames),
        UnitDecoder::Jpeg(nvjpeg) => decode_files(units, nvjpeg, max_pixels, frames),
    }
}

fn decode_video(
    mut units: Units<impl BufRead, impl Read>,
    (gpu, codec, max_pixels): (&Arc<Gpu>, VideoCodec, u64),
    frames: &Sender<Decoded>,
) -> Result<()> {
    let gone = |error: Error| match gpu.memory() {
        Ok(_) => error,
        Err(_) => Error::input("video", format!("{gpu} answers no more: {error}")),
    };
    let refused = |error: Error| Error::input("video", error.to_string());
    let (mut decoder, mut hidden) = (VideoDecoder::new(gpu, codec, max_pixels).map_err(refused)?, BTreeSet::new());
    while let Some(Unit { time, is_hidden, .. }) = units.next() {
        let time = time.ok_or_else(|| Error::input("video", "the GPU is not given a stream without times"))?;
        if is_hidden {
            hidden.insert(time);
        }
        let taken = decoder.take(&units.bytes, time).map_err(gone);
        if !hand_on(&mut decoder, &mut hidden, units.seconds, frames)? {
            return Ok(());
        }
        taken?;
    }
    decoder.take(&[], 0).map_err(gone)?;
    hand_on(&mut decoder, &mut hidden, units.seconds, frames).map(|_| ())
}

/// Damaged files are left out, as ffmpeg does; a stream of which nvJPEG does not take a whole one is ffmpeg's.
fn decode_files(mut units: Units<impl BufRead, impl Read>, nvjpeg: &Arc<NvJpeg>, max_pixels: u64, frames: &Sender<Decoded>) -> Result<()> {
    let limits = Limits { max_pixels, ..Limits::default() };
    let decoder = Decoder { limits, nvjpeg: Some(nvjpeg.clone()), ..Decoder::default() };
    let mut failures = 0;
    while let Some(unit) = units.next() {
        if unit.is_hidden {
            continue;
        }
        // An end and a beginning: two fields.
        if units.bytes.windows(4).any(|bytes| bytes == [0xff, 0xd9, 0xff, 0xd8]) {
            return Err(Error::input("video", "its pictures are interlaced"));
        }
        let picture = match decoder.picture(&units.bytes, "video") {
            Ok(picture @ Picture::Gpu(_)) => picture,
            Ok(Picture::Host(_)) => return Err(Error::input("video", "nvJPEG does not decode its pictures")),
            Err(error) if failures < MOST_FAILURES => {
                tracing::debug!("left out: {error}");
                failures += 1;
                continue;
            }
            Err(error) => return Err(error),
        };
        failures = 0;
        let timestamp_ms = unit.time.map(|time| time as f64 * units.seconds * 1e3);
        if frames.send(Decoded { timestamp_ms, picture: Some(picture) }).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Units as they come.
struct Units<L, B> {
    lines: Lines<L>,
    bits: B,
    /// Length of a unit of time.
    seconds: f64,
    /// Those of the last unit.
    bytes: Vec<u8>,
}

impl<L: BufRead, B: Read> Units<L, B> {
    /// The next unit that has bytes, once they are there.
    fn next(&mut self) -> Option<Unit> {
        while let Some(Ok(line)) = self.lines.next() {
            if let Some(base) = time_base(&line) {
                self.seconds = base;
            }
            let Some(unit) = Unit::read(&line).filter(|unit| unit.bytes > 0) else { continue }; // none would stand for the end
            self.bytes.resize(unit.bytes, 0);
            // Announced, but not delivered: the end of the process says why.
            return self.bits.read_exact(&mut self.bytes).is_ok().then_some(unit);
        }
        None
    }
}

/// Hands the pictures on that are ready, but for those of the times that are `hidden`; whether somebody takes them.
fn hand_on(decoder: &mut VideoDecoder, hidden: &mut BTreeSet<i64>, seconds: f64, frames: &Sender<Decoded>) -> Result<bool> {
    while let Some(picture) = decoder.next_picture() {
        if hidden.remove(&picture.timestamp) {
            continue;
        }
        let timestamp_ms = Some(picture.timestamp as f64 * seconds * 1e3);
        let picture = resident(decoder, picture)?.into();
        if frames.send(Decoded { timestamp_ms, picture: Some(picture) }).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn resident(decoder: &VideoDecoder, picture: VideoPicture) -> Result<Resident> {
    let matrix = match picture.matrix {
        1 => YuvMatrix::Bt709,
        9 | 10 => YuvMatrix::Bt2020,
        _ => YuvMatrix::Bt601, // also where the stream says nothing, as ffmpeg has it
    };
    let (address, pitch) = (picture.memory.slice().address(), picture.pitch);
    let chroma = Plane { address: address + u64::from(pitch) * u64::from(picture.luma_rows), pitch };
    let colours = YuvColours { matrix, full_range: picture.full_range };
    let planes = Planes::Nv12 { luma: Plane { address, pitch }, chroma, colours };
    let [width, height] = picture.size;
    // SAFETY: the memory has the rows of both planes, was written by the decoder's stream, and goes with the picture.
    unsafe { Resident::from_raw(decoder.stream(), planes, Size::new(width, height), picture.memory) }
}

/// The flag of a unit that is not to be shown.
const DISCARD: u32 = 4;

/// An access unit as a line announces it.
#[derive(Debug, PartialEq)]
struct Unit {
    /// When it is shown, in units of the stream.
    time: Option<i64>,
    bytes: usize,
    /// The container has it for others to refer to, not to be shown.
    is_hidden: bool,
}

impl Unit {
    /// `0,  -1024,  0,  512,  5009, 0x950635a0, F=0x4`: stream, time of decoding, time of showing, duration, bytes, checksum, and
    /// flags where there are others than that of a key frame.
    fn read(line: &str) -> Option<Self> {
        let mut fields = line.split(',').map(str::trim);
        let (stream, _decoded, shown) = (fields.next()?, fields.next()?, fields.next()?);
        let bytes = fields.nth(1)?.parse().ok()?;
        let time = shown.parse().ok().filter(|time| *time != i64::MIN);
        let flags = fields.find_map(|field| u32::from_str_radix(field.strip_prefix("F=0x")?, 16).ok());
        (stream == "0").then_some(Self { time, bytes, is_hidden: flags.unwrap_or(0) & DISCARD != 0 })
    }
}

/// Seconds of a unit of time, from `#tb 0: 1/12800`.
fn time_base(line: &str) -> Option<f64> {
    let (over, under) = line.strip_prefix("#tb 0: ")?.trim().split_once('/')?;
    let (over, under): (f64, f64) = (over.parse().ok()?, under.parse().ok()?);
    Some(over / under).filter(|base| base.is_finite() && *base > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::video::child::codec as codec_of;
    use std::io::{BufReader, Write};
    use std::path::Path;
    use std::process::{Command, Stdio};

    #[test]
    fn units_are_told_from_other_lines() {
        // Lines of ffmpeg 5.1.
        let unit = |time, bytes, is_hidden| Some(Unit { time, bytes, is_hidden });
        assert_eq!(Unit::read("0,      -1024,          0,      512,     5009, 0x950635a0"), unit(Some(0), 5009, false));
        assert_eq!(Unit::read("0,       -512,       1536,      512,     2033, 0x9c53eaf2, F=0x0"), unit(Some(1536), 2033, false));
        assert_eq!(Unit::read("0,      -7168,      -6656,      512,      949, 0xd1fad922, F=0x5"), unit(Some(-6656), 949, true));
        let without = "0, -9223372036854775808, -9223372036854775808,    48000,     5009, 0x950635a0";
        assert_eq!(Unit::read(without), unit(None, 5009, false));
        assert_eq!(Unit::read("0,         40,     NOPTS,         1,       17, 0x00000000"), unit(None, 17, false));
        for line in ["#extradata 0:       39, 0xa3970a35", "#dimensions 0: 320x240", "1, 0, 0, 512, 12, 0x0", "0, 0", ""] {
            assert_eq!(Unit::read(line), None, "{line}");
        }
        assert_eq!((time_base("#tb 0: 1/12800"), time_base("#tb 1: 1/5"), time_base("#tb 0: 1/0")), (Some(1.0 / 12800.0), None, None));
    }

    /// Frames of 2 MB each, which no pipe holds: neither side may wait for the other.
    #[test]
    fn a_real_ffmpeg_announces_every_byte() {
        let ffmpeg = std::env::var_os("HPINFER_FFMPEG").unwrap_or("ffmpeg".into());
        let skipped = |reason: &str| drop(writeln!(std::io::stderr(), "skipped: {}: {reason}", ffmpeg.display())); // a print would be kept
        if let Err(error) = Command::new(&ffmpeg).arg("-version").output() {
            return skipped(&format!("it cannot be run: {error}"));
        }
        let folder = tempfile::tempdir().unwrap();
        let annex_b: &[&[u8]] = &[&[0, 0, 0, 1], &[0, 0, 1]];
        for (codec, encoder, begins) in [
            (Some(VideoCodec::H264), &["libx264", "-preset", "ultrafast", "-bf", "2", "-qp", "4", "-pix_fmt", "yuv420p"][..], annex_b),
            (Some(VideoCodec::Hevc), &["libx265", "-preset", "ultrafast", "-bf", "2", "-qp", "4", "-pix_fmt", "yuv420p"], annex_b),
            (None, &["mjpeg", "-huffman", "optimal", "-q:v", "2", "-pix_fmt", "yuvj420p"], &[&[0xff, 0xd8, 0xff]]),
        ] {
            let path = folder.path().join("video.mp4");
            let noise = "nullsrc=s=1280x720:r=25:d=0.4,geq=random(1)*255:128:128";
            let encode = ["-loglevel", "error", "-y", "-f", "lavfi", "-i", noise, "-c:v"];
            if !Command::new(&ffmpeg).args(encode).args(encoder).arg(&path).stderr(Stdio::null()).status().unwrap().success() {
                skipped(&format!("it encodes no {}", encoder[0]));
                continue;
            }
            let input = ["-i".to_owned(), format!("file:{}", path.display())];
            let name = codec_of(Path::new(&ffmpeg), &input, || false).unwrap();
            let encoder = encoder[0];
            assert_eq!(name, Some((codec.map_or("mjpeg".into(), |codec| codec.to_string()), false)));
            let (lines, write) = std::io::pipe().unwrap();
            let mut command = Command::new(&ffmpeg);
            command.args(["-nostdin", "-loglevel", "error"]).args(&input).args(outputs(codec)).stdin(write).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            drop(command);
            let (mut bits, mut unit, mut times, mut base) = (child.stdout.take().unwrap(), Vec::new(), Vec::new(), 0.0);
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                base = time_base(&line).unwrap_or(base);
                let Some(Unit { time: Some(time), bytes, .. }) = Unit::read(&line) else { continue };
                unit.resize(bytes, 0);
                bits.read_exact(&mut unit).unwrap();
                assert!(begins.iter().any(|begin| unit.starts_with(begin)), "{encoder}: {:?}", &unit[..8]);
                times.push((time as f64 * base * 1e3).round() as i64);
            }
            assert!(child.wait().unwrap().success() && bits.read(&mut [0]).unwrap() == 0, "{encoder}: bytes that nobody announced");
            times.sort_unstable(); // units come in the order of decoding
            assert_eq!(times, (0..10).map(|frame| frame * 40).collect::<Vec<_>>(), "{encoder}");
        }
    }
}

//! Who decodes: of videos the decoders of the GPU or ffmpeg, of JPEG files nvJPEG or the decoder of the host.

use super::inputs::{is_video, may_hold_jpeg};
use crate::cache::Cache;
use crate::cli::nvjpeg;
use crate::cli::pictures::{JpegArg, PictureArgs};
use crate::cli::plan::Plan;
use crate::device::{Gpu, VideoDecoder};
use crate::error::{Error, Result};
use crate::image::decode::Decoder;
use std::fmt;
use std::sync::Arc;

/// Value of `--decode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum DecodeArg {
    #[default]
    Auto,
    Gpu,
    Host,
}

/// Who decodes videos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decoders {
    /// ffmpeg.
    Host,
    /// The GPU that works on the frames, else ffmpeg.
    Gpu,
    /// That GPU only.
    GpuOnly,
}

impl fmt::Display for Decoders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Host { "host" } else { "gpu, where it can" })
    }
}

/// Who decodes what.
pub(super) struct Decoding {
    /// The GPUs that networks run on.
    pub gpus: Vec<Arc<Gpu>>,
    pub videos: Decoders,
    /// Of pictures, dealt out to the streams: with nvJPEG one on each of the GPUs.
    pub pictures: Vec<Decoder>,
}

impl Decoding {
    /// What `--decode` and `--jpeg-decoder`, which wins for pictures, mean for `inputs` on the devices of `plan`.
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Missing`] where a GPU is to decode and cannot.
    pub fn new((asked, pictures): (DecodeArg, &PictureArgs), inputs: &[String], plan: &Plan, cache: &Cache) -> Result<Self> {
        let gpus = plan.gpus();
        let on_host = |gpus| Ok(Self { gpus, videos: Decoders::Host, pictures: pictures.decoders(plan, cache)? });
        match asked {
            DecodeArg::Gpu if gpus.is_empty() => {
                return Err(Error::config("--decode gpu", "networks run on the processor; give --device gpu:0 as well"));
            }
            DecodeArg::Auto if gpus.is_empty() => return on_host(gpus),
            DecodeArg::Host => return on_host(gpus),
            DecodeArg::Gpu | DecodeArg::Auto => {}
        }
        // Without its library the host has to do it, if that is allowed.
        let excused = |error: Error| match asked {
            DecodeArg::Gpu => Err(error),
            DecodeArg::Auto | DecodeArg::Host => {
                tracing::warn!("decode: host: {error}");
                Ok(())
            }
        };
        // What a video holds is known when it is opened; nvJPEG decodes Motion JPEG.
        let able = VideoDecoder::available().or_else(|error| nvjpeg::available(cache).map_err(|_| error));
        let videos = match (able, asked) {
            (Ok(()), DecodeArg::Gpu) => Decoders::GpuOnly,
            (Ok(()), _) => Decoders::Gpu,
            (Err(error), _) if inputs.iter().any(|name| is_video(name)) => excused(error).map(|()| Decoders::Host)?,
            (Err(_), _) => Decoders::Host,
        };
        let pictures = if pictures.jpeg_decoder.is_none() && inputs.iter().any(|name| may_hold_jpeg(name)) {
            let on_gpu = PictureArgs { jpeg_decoder: Some(JpegArg::Nvjpeg), ..pictures.clone() };
            on_gpu.decoders(plan, cache).or_else(|error| excused(error).map(|()| vec![pictures.host_decoder()]))?
        } else {
            pictures.decoders(plan, cache)?
        };
        Ok(Self { gpus, videos, pictures })
    }
}

//! Flags of how pictures are decoded and what one may cost, the decoders they stand for, and the fonts that texts are drawn with.

use super::nvjpeg;
use super::plan::Plan;
use crate::cache::Cache;
use crate::device::available_memory;
use crate::error::{Error, Result};
use crate::image::decode::{Decoder, JpegDecoder, Limits};
use crate::result::render::font::Fonts;
use crate::runtime;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// JPEG decoders by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum JpegArg {
    /// Equal to libjpeg-turbo, and so to the reference, in every sample; has unsafe vector code.
    Turbo,
    /// Memory-safe before fast; differs by some levels.
    Zune,
    /// NVIDIA's library, on the GPU that the networks run on. Not run on hardware yet.
    Nvjpeg,
}

/// Bytes of a decoded pixel.
const BYTES: u64 = 3;

/// How pictures are decoded.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub struct PictureArgs {
    /// JPEG decoder. turbo equals the reference; zune is memory-safe before fast, and differs by some levels; nvjpeg decodes on the GPU of
    /// --device, where the picture stays, and leaves what it does not take (CMYK, RGB, pictures to be turned) to turbo [default: turbo;
    /// in `hpinfer stream` as --decode says]
    #[arg(long, value_name = "NAME")]
    pub jpeg_decoder: Option<JpegArg>,
    /// Refuse pictures, pages and frames with more pixels, in millions [default: 180; fewer where a decoded picture would take more than
    /// half of the memory of the machine or container]
    #[arg(long, value_name = "MEGAPIXELS")]
    pub max_pixels: Option<u64>,
    /// Refuse picture and PDF files larger than this, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512)]
    pub max_file_size: u64,
}

impl PictureArgs {
    /// What a picture may cost.
    pub fn limits(&self) -> Limits {
        let usual = || available_memory().map_or(u64::MAX, |bytes| bytes / 2 / BYTES).min(Limits::default().max_pixels);
        let max_pixels = self.max_pixels.map_or_else(usual, |millions| millions.saturating_mul(1_000_000));
        Limits { max_pixels, max_file_bytes: self.max_file_size.saturating_mul(1 << 20) }
    }

    /// The decoder on the host.
    pub fn host_decoder(&self) -> Decoder {
        let jpeg = if self.jpeg_decoder == Some(JpegArg::Zune) { JpegDecoder::Zune } else { JpegDecoder::default() };
        Decoder { jpeg, limits: self.limits(), nvjpeg: None }
    }

    /// What decodes JPEG files where no `--decode` says, by its name as a flag.
    pub fn jpeg_name(&self) -> String {
        let value = self.jpeg_decoder.unwrap_or(JpegArg::Turbo).to_possible_value();
        value.map_or(String::new(), |value| value.get_name().to_owned())
    }

    /// What decodes pictures: where that is nvJPEG, one for each GPU of `plan`.
    pub fn decoders(&self, plan: &Plan, cache: &Cache) -> Result<Vec<Decoder>> {
        let host = self.host_decoder();
        if self.jpeg_decoder != Some(JpegArg::Nvjpeg) {
            return Ok(vec![host]);
        }
        let opened = nvjpeg::open(&plan.gpus(), cache)?;
        if opened.is_empty() {
            let reason = "networks run on the processor; give --device gpu:0 as well, or another decoder";
            return Err(Error::config("--jpeg-decoder nvjpeg", reason));
        }
        Ok(opened.into_iter().map(|nvjpeg| Decoder { nvjpeg: Some(nvjpeg), ..host.clone() }).collect())
    }
}

/// Fonts for texts in pictures: the user's, the system's, or the one that is installed then.
pub(super) fn fonts(named: Option<&Path>, cache: &Cache) -> Result<Fonts> {
    let cache = cache.clone();
    Ok(Fonts::new(named)?.with_installer(Box::new(move || runtime::font::install(&cache))))
}

//! `hpinfer runtime list | install`.

use super::table::{write_json, write_table};
use crate::cache::Cache;
use crate::device;
use crate::error::{Error, Result};
use crate::runtime::gpu::CudaRelease;
use crate::runtime::{self, Found, Library, Origin, PaddlePart, PaddleRuntime, Status, font};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::str::FromStr;

/// What to do with native libraries.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RuntimeCommand {
    /// List the native libraries and the font for pictures, and which copy a run would use
    List {
        /// Print a JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Install them into the cache, even when the system has some; damaged ones are replaced
    Install {
        /// onnx_runtime, openvino, font (for saved pictures); all three when none is given. Also paddle (the engine
        /// paddle_infer) and paddle2onnx (Paddle's own model formats), 0.2 GB to download and 0.7 GB installed; and gpu, ONNX
        /// Runtime for the GPU with CUDA's libraries, nvJPEG among them, as the driver here can run them, 1.5 GB (CUDA 13) or 1.9 GB (CUDA 12)
        names: Vec<Part>,
    },
}

/// Something `runtime install` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// An inference library.
    Library(Library),
    /// The font for saved pictures.
    Font,
    /// Paddle Inference.
    Paddle,
    /// The converters of Paddle's formats to ONNX.
    Paddle2Onnx,
    /// ONNX Runtime for the GPU of this machine.
    Gpu,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Library(Library::OnnxRuntime), Self::Library(Library::OpenVino), Self::Font, Self::Paddle, Self::Paddle2Onnx, Self::Gpu];

    /// What a run with default settings may need.
    const USUAL: [Self; 3] = [Self::Library(Library::OnnxRuntime), Self::Library(Library::OpenVino), Self::Font];

    fn name(self) -> &'static str {
        match self {
            Self::Library(library) => library.name(),
            Self::Font => font::NAME,
            Self::Paddle => PaddlePart::Inference.name(),
            Self::Paddle2Onnx => PaddlePart::PirConverter.name(),
            Self::Gpu => "gpu",
        }
    }

    fn install(self, cache: &Cache) -> Result<Vec<[String; 4]>> {
        let paddle = |parts: &[PaddlePart]| parts.iter().map(|&part| Ok(paddle_row(part, Ok(Some(part.ensure(cache)?))))).collect();
        match self {
            Self::Library(library) => runtime::install(library, cache).map(|found| vec![found_row(library, &found)]),
            Self::Font => font::install(cache).map(|path| vec![font_row(Some(&path))]),
            Self::Paddle => paddle(&[PaddlePart::Inference]),
            Self::Paddle2Onnx => paddle(&[PaddlePart::PdmodelConverter, PaddlePart::PirConverter]),
            Self::Gpu => {
                let gpus = device::probe().map_err(|unavailable| unavailable.error("gpu"))?;
                gpus.select(&[])?;
                let release = CudaRelease::for_driver(gpus.cuda.major());
                let library = release.install(cache)?.library;
                release.install_jpeg_library(cache)?;
                Ok(vec![["gpu".into(), library.version.unwrap_or_default(), "cache".into(), library.path.display().to_string()]])
            }
        }
    }
}

impl FromStr for Part {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::config("runtime", format!("`{name}` is nothing this program installs; known: {known}"))
        })
    }
}

const HEADINGS: [&str; 4] = ["NAME", "VERSION", "FROM", "WHERE"];
const NOT_INSTALLED: &str = "not installed; the first run that needs it installs it";

impl RuntimeCommand {
    /// Runs the command on the libraries of this machine and `cache`, and writes what it found to `out`.
    ///
    /// # Errors
    /// What [`runtime::install`] reports; [`Error::Io`] when `out` cannot be written.
    pub fn run(&self, cache: &Cache, out: &mut impl Write) -> Result<()> {
        match self {
            Self::List { json: true } => {
                let fonts = [json!({"name": font::NAME, "path": font::locate(cache)})];
                let paddle = PaddlePart::ALL.iter().map(|part| paddle_entry(*part, cache));
                write_json(out, &runtime::list(cache).iter().map(entry).chain(fonts).chain(paddle).collect::<Vec<_>>())
            }
            Self::List { json: false } => {
                let paddle = PaddlePart::ALL.iter().map(|part| paddle_row(*part, part.locate(cache)));
                let font = [font_row(font::locate(cache).as_deref())];
                let rows: Vec<_> = runtime::list(cache).iter().map(row).chain(font).chain(paddle).collect();
                write_table(out, HEADINGS, &rows)
            }
            Self::Install { names } => {
                let parts = if names.is_empty() { &Part::USUAL[..] } else { names };
                let cache = cache.clone().comparing_contents();
                let installed: Result<Vec<_>> = parts.iter().map(|part| part.install(&cache)).collect();
                write_table(out, HEADINGS, &installed?.concat())
            }
        }
    }
}

fn row(status: &Status) -> [String; 4] {
    let library = status.library;
    match &status.found {
        Ok(Some(found)) => found_row(library, found),
        Ok(None) => [library.name().into(), library.pinned_version().into(), "-".into(), NOT_INSTALLED.into()],
        Err(e) => [library.name().into(), "-".into(), "-".into(), format!("unusable: {e}")],
    }
}

fn found_row(library: Library, found: &Found) -> [String; 4] {
    let origin = match found.origin {
        Origin::Explicit => "configuration",
        Origin::Environment => library.variable(),
        Origin::System => "system",
        Origin::Cache => "cache",
    };
    [library.name().into(), found.version.clone().unwrap_or_else(|| "unknown".into()), origin.into(), found.path.display().to_string()]
}

fn font_row(path: Option<&Path>) -> [String; 4] {
    let place = path.map_or(NOT_INSTALLED.into(), |path| path.display().to_string());
    [font::NAME.into(), "-".into(), if path.is_some() { "cache" } else { "-" }.into(), place]
}

fn paddle_row(part: PaddlePart, found: Result<Option<PaddleRuntime>>) -> [String; 4] {
    let row = |origin: &str, place: String| [part.name().into(), part.version().into(), origin.into(), place];
    match found {
        Ok(Some(found)) => row("cache", found.folder().display().to_string()),
        Ok(None) => row("-", NOT_INSTALLED.into()),
        Err(e) => row("-", format!("unusable: {e}")),
    }
}

fn paddle_entry(part: PaddlePart, cache: &Cache) -> Value {
    let found = part.locate(cache);
    let path = found.as_ref().ok().and_then(|found| found.as_ref().map(|found| &found.module));
    json!({
        "name": part.name(),
        "path": path,
        "installs": part.version(),
        "error": found.as_ref().err().map(ToString::to_string),
    })
}

fn entry(status: &Status) -> Value {
    let found = status.found.as_ref().ok().and_then(Option::as_ref);
    json!({
        "name": status.library,
        "path": found.map(|found| &found.path),
        "version": found.and_then(|found| found.version.as_deref()),
        "origin": found.map(|found| found.origin),
        "installs": status.library.pinned_version(),
        "variable": status.library.variable(),
        "error": status.found.as_ref().err().map(ToString::to_string),
    })
}

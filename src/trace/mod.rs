//! Where time goes: the stages of the work and their durations; `events`, files of what happened when; `nvtx`, the same for
//! profilers of NVIDIA's; and what people see of it on standard error, log lines and progress bars, those on `terminal`.

pub mod events;
#[cfg(feature = "nvtx")]
mod nvtx;
mod terminal;

use indicatif::{MultiProgress, ProgressDrawTarget};
use std::io::{self, IsTerminal, Write};
use std::sync::LazyLock;
use std::time::{Duration, Instant};
use terminal::{Terminal, moves_cursor};

/// A step of a pipeline, as `timings_ms` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// File bytes to pixels.
    Decode,
    /// Resize and normalise for detection.
    DetPre,
    /// Detection engine.
    DetInfer,
    /// Map to boxes and their order.
    DetPost,
    /// Perspective crops.
    Crop,
    /// Resize and normalise for recognition.
    RecPre,
    /// Recognition engine.
    RecInfer,
    /// Class scores to text.
    RecPost,
    /// Resize and normalise, where there is one network.
    Pre,
    /// The engine.
    Infer,
    /// Its output to a result.
    Post,
}

impl Stage {
    const COUNT: usize = 11;
    /// Stages of OCR, in the order in which they run.
    pub const OCR: [Self; 8] =
        [Self::Decode, Self::DetPre, Self::DetInfer, Self::DetPost, Self::Crop, Self::RecPre, Self::RecInfer, Self::RecPost];
    /// Stages of a pipeline with one network, in the order in which they run.
    pub const ONE_NETWORK: [Self; 4] = [Self::Decode, Self::Pre, Self::Infer, Self::Post];

    /// Stages of a document pipeline; those of layout and table networks are summed, as are those of all texts.
    pub const DOCUMENT: [Self; 11] = [
        Self::Decode,
        Self::Pre,
        Self::Infer,
        Self::Post,
        Self::DetPre,
        Self::DetInfer,
        Self::DetPost,
        Self::Crop,
        Self::RecPre,
        Self::RecInfer,
        Self::RecPost,
    ];

    /// Every stage but decoding, which benchmarks measure by itself; in the order of [`DOCUMENT`](Self::DOCUMENT).
    pub const AFTER_DECODE: &[Self] = Self::DOCUMENT.split_at(1).1;

    /// The name in `timings_ms`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::DetPre => "det_pre",
            Self::DetInfer => "det_infer",
            Self::DetPost => "det_post",
            Self::Crop => "crop",
            Self::RecPre => "rec_pre",
            Self::RecInfer => "rec_infer",
            Self::RecPost => "rec_post",
            Self::Pre => "pre",
            Self::Infer => "infer",
            Self::Post => "post",
        }
    }

    /// Whether an engine works in this stage.
    pub const fn is_engine(self) -> bool {
        matches!(self, Self::DetInfer | Self::RecInfer | Self::Infer)
    }
}

/// What was moved between the host and a device for one picture. Of what is moved for several at once each has its share.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Transfers {
    /// Pictures brought to the device.
    pub frames: f64,
    /// Transfers to the device, those of pictures included: tables of pictures and crops are the others.
    pub uploads: f64,
    /// Their bytes.
    pub uploaded_bytes: f64,
    /// Transfers to the host.
    pub downloads: f64,
    /// Their bytes.
    pub downloaded_bytes: f64,
}

impl Transfers {
    /// All of it by name, rounded to thousandths.
    pub fn entries(&self) -> [(&'static str, f64); 5] {
        let Self { frames, uploads, uploaded_bytes, downloads, downloaded_bytes } = *self;
        [
            ("frames", frames),
            ("uploads", uploads),
            ("uploaded_bytes", uploaded_bytes),
            ("downloads", downloads),
            ("downloaded_bytes", downloaded_bytes),
        ]
        .map(|(name, count)| (name, (count * 1e3).round() / 1e3))
    }

    fn add_share(&mut self, other: &Self, share: f64) {
        self.frames += other.frames * share;
        self.uploads += other.uploads * share;
        self.uploaded_bytes += other.uploaded_bytes * share;
        self.downloads += other.downloads * share;
        self.downloaded_bytes += other.downloaded_bytes * share;
    }
}

/// A set of networks; or of engines and their profiles, of those that were given a number because a network may run on one or the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineSet(u64);

impl EngineSet {
    /// The network, engine or profile of this number. There are 64 numbers: enough for ten networks of a pipeline.
    pub const fn one(number: u32) -> Self {
        Self(1 << (number % u64::BITS))
    }

    /// Takes those of `other` in.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether one of `other` is in it.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Time spent per stage and transfers made, summed over the work of one picture, and which networks and engines did it.
#[derive(Clone, Copy, Debug, Default)]
pub struct StageTimes {
    times: [Duration; Stage::COUNT],
    /// What was moved to and from a device.
    pub transfers: Transfers,
    /// What ran, of the engines that have a number.
    pub ran: EngineSet,
    /// The networks that ran.
    pub networks: EngineSet,
}

impl StageTimes {
    /// Runs `work` and books its wall time under `stage`.
    pub fn measure<T>(&mut self, stage: Stage, work: impl FnOnce() -> T) -> T {
        self.moving(stage, |_| work())
    }

    /// As [`measure`](Self::measure), for work that moves data to or from a device.
    pub fn moving<T>(&mut self, stage: Stage, work: impl FnOnce(&mut Transfers) -> T) -> T {
        #[cfg(feature = "nvtx")]
        let _range = nvtx::Range::new(stage.as_str());
        let start = Instant::now();
        let out = work(&mut self.transfers);
        self.add(stage, start.elapsed());
        out
    }

    /// Books `time` under `stage`.
    pub fn add(&mut self, stage: Stage, time: Duration) {
        self.times[stage as usize] += time;
    }

    /// Adds `share` (0..1) of every stage of `other`: how the cost of a batch is split over its pictures.
    pub fn add_share(&mut self, other: &Self, share: f64) {
        for (a, b) in self.times.iter_mut().zip(other.times) {
            *a += b.mul_f64(share);
        }
        self.transfers.add_share(&other.transfers, share);
        self.ran.insert(other.ran);
        self.networks.insert(other.networks);
    }

    /// Time booked under `stage`.
    pub fn get(&self, stage: Stage) -> Duration {
        self.times[stage as usize]
    }

    /// Milliseconds booked under `stage`, rounded to microseconds.
    pub fn ms(&self, stage: Stage) -> f64 {
        rounded_ms(self.get(stage))
    }

    /// Milliseconds per stage of `stages` by name, and `total`: the wall time given by the caller. In this order.
    pub fn to_ms(&self, stages: &[Stage], total: Duration) -> Vec<(&'static str, f64)> {
        stages.iter().map(|&stage| (stage.as_str(), self.ms(stage))).chain([("total", rounded_ms(total))]).collect()
    }
}

fn rounded_ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// How log lines look on standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends log lines to standard error. `HPINFER_LOG`, else `RUST_LOG`, sets the level and wins over `default_level`.
pub fn init_logging(format: LogFormat, default_level: &str) {
    use tracing_subscriber::EnvFilter;
    let given = ["HPINFER_LOG", "RUST_LOG"].iter().find_map(|variable| Some((variable, std::env::var(variable).ok()?)));
    let (filter, refused) = match given.map(|(variable, level)| (variable, EnvFilter::try_new(level))) {
        Some((_, Ok(filter))) => (Some(filter), None),
        Some((variable, Err(reason))) => (None, Some((variable, reason))),
        None => (None, None),
    };
    let filter = filter.unwrap_or_else(|| EnvFilter::new(format!("{default_level},ort=error")));
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| AboveBars).with_ansi(colours).with_target(false);
    // Where nobody can be told, there is nobody to tell that.
    let builder = builder.log_internal_errors(false);
    // A logger that the embedding program installed earlier stays.
    let _ = match format {
        LogFormat::Text => builder.without_time().try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    if let Some((variable, reason)) = refused {
        tracing::warn!("{variable} is passed over: {reason}");
    }
}

/// Target of log lines that are shown unless the user wants none.
pub(crate) const NOTE: &str = "hpinfer::note";

/// The one display of all progress bars: bars of several threads stand below each other, and what is written
/// inside its `suspend` stands above them. It shows nothing before [`show_progress`], and never on a standard error that is no terminal.
pub fn display() -> &'static MultiProgress {
    static DISPLAY: LazyLock<MultiProgress> = LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::hidden()));
    &DISPLAY
}

/// How often progress bars are drawn at most.
const DRAWN_PER_S: u8 = 20;

/// Has progress bars drawn on standard error, as the command does; not on a terminal that cannot move its cursor.
pub fn show_progress() {
    if io::stderr().is_terminal() && moves_cursor(std::env::var_os("TERM").as_deref()) {
        display().set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(Terminal::default()), DRAWN_PER_S));
    }
}

/// A line for people on standard error; lost where that cannot be written. What a terminal would take for a command is shown as text: names
/// may be anybody's.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&line.to_string(), &['\n']));
}

/// `text` with all control characters but `kept` as escapes.
pub(crate) fn printable(text: &str, kept: &[char]) -> String {
    text.chars().map(|c| if c.is_control() && !kept.contains(&c) { c.escape_default().to_string() } else { c.into() }).collect()
}

/// So many of a thing.
pub(crate) fn plural(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Standard error with the progress bars out of the way.
struct AboveBars;

impl io::Write for AboveBars {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        display().suspend(|| io::stderr().write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

//! `hpinfer stream`: a pipeline over moving pictures, many streams at once. `anchors` remembers lines of text, `decoding` says who decodes,
//! `inputs` turns what was named into feeds, `stages` is the work on a frame, `line` what is written about it, `webhook` sends that on, `record` the videos of drawn
//! frames, `trace` where the time went, `progress` the figures meanwhile, `stdout` takes the lines.

mod anchors;
mod decoding;
mod inputs;
mod line;
mod progress;
mod record;
mod stages;
mod stdout;
mod trace;
mod webhook;

use super::args::{EngineArgs, GlobalArgs, counted};
use super::outputs;
use super::pdf::PdfArgs;
use super::pictures::{PictureArgs, fonts};
use super::plan::{self, Plan};
use super::{ALL_DONE, SOME_FAILED};
use crate::cache::without_secrets;
use crate::error::{Error, Result};
use crate::extract::Retries;
use crate::image::Size;
use crate::result::json::Schema;
use crate::result::render::save::{PICTURE_SUFFIX, Saver};
use crate::schedule::Batching;
use crate::schedule::gauges::Gauges;
use crate::schedule::graph::{self, Settings};
use crate::schedule::stop::Stop;
use crate::source::video::{FrameMemory, RawFormat, RawLayout, VideoOptions};
use crate::source::{NamedInputs, SourceOptions};
use crate::trace::plural;
use decoding::{DecodeArg, Decoding};
use inputs::Inputs;
use record::Recorder;
use stages::{FrameStages, Output};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use stdout::StandardOutput;
use trace::Trace;
use webhook::Webhook;

/// Most pixels of the frames of a batch together, 32 of 1080p.
const BATCH_PIXELS: u64 = 64 << 20;

/// Frames of a stream that have to fit into memory with --carry-over: the one that is looked at, the one that it is compared with, and those
/// that lines are remembered of, one more of them while it is added.
const CARRIED: usize = 2 + anchors::MOST + 1;

/// Fewest files of patterns that are read side by side.
const LEAST_FILES: usize = 4;

/// Has [`LAST_LINE`](crate::schedule::stop::LAST_LINE) in words.
const ON_SIGNALS: &str = "\
The first SIGINT, SIGTERM or SIGHUP ends the reading: what is under way is finished, and its results are written as long as someone reads. Where \
nothing is taken of standard output for 5 seconds, the rest is left out, and their number is told: exit status 1; where nothing is taken of \
standard error for so long, the program ends without a word. A second SIGINT or SIGTERM ends the program at once.";

/// `hpinfer stream`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = ON_SIGNALS)]
pub struct StreamArgs {
    /// Pipeline name or pipeline file; a path that exists wins over a name
    #[arg(long, value_name = "NAME|FILE")]
    pipeline: Option<String>,
    /// Video file, RTSP or HTTP address, /dev/videoN or camera:N, PDF, folder or glob of pictures, or `-` for raw frames on
    /// standard input. Given several times: streams side by side. So is a glob of videos: each file that it matches with the suffix
    /// of one is a stream, by their names, as many at a time as there are --threads and one more, at least 4; the pictures that it matches
    /// as well are one stream after them. -v tells their numbers
    #[arg(short, long, value_name = "INPUT", required = true)]
    input: Vec<String>,
    /// Frames that come too fast. block: the source waits. latest: the oldest waiting frame is dropped. every:N: only every
    /// Nth is looked at [default: latest for cameras and live streams; block for the rest and for all that is read by HTTP, as only the
    /// server knows whether it is live]
    #[arg(long, value_name = "POLICY")]
    drop: Option<String>,
    /// Frames of a stream that may wait, where memory has room for them [default: 1 where a stream drops its oldest, else 4]
    #[arg(long, value_name = "N", value_parser = super::args::one_or_more())]
    queue: Option<usize>,
    /// How long a frame may wait for others to share its batch, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    batch_delay: u64,
    /// Take the result of the last frame looked at for a frame that differs from it by at most so many levels (0 to 255), as
    /// the mean over the 32 x 32 pixels that differ most. 0.25 suits screens: a digit of small print that becomes another one is worth 0.5
    /// to 2, and the noise of cameras 1 and more. Of other frames OCR takes over lines of earlier ones around which nothing differs by more
    /// than an eighth of that, and reads the rest: `rec_source` says which [default: off]
    #[arg(long, value_name = "LEVELS")]
    carry_over: Option<f32>,
    /// Folder for every frame that is looked at with its result drawn in: DIR/STREAM/frame_NNNNNNNN.jpg
    #[arg(long, value_name = "DIR")]
    save_frames: Option<PathBuf>,
    /// Video of every stream with its results drawn in, of document pipelines with the regions of pages: a file (.mp4, .mov, .mkv) for one
    /// stream, or DIR/STREAM.mp4. Frames keep their times; where their size changes, a further file begins
    #[arg(long, value_name = "FILE|DIR")]
    save_video: Option<PathBuf>,
    /// Address that every result line is posted to as well (application/x-ndjson, several lines a request where they wait). What is not
    /// taken is tried again three times; where that does not help the exit status is 1
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// File for where the time of every frame went, to be opened in Perfetto or Chrome: a row a thread, and the times of the
    /// stages in each frame's arguments
    #[arg(long, value_name = "FILE.json")]
    trace: Option<PathBuf>,
    /// The ffmpeg program that decodes videos and streams, and encodes those of --save-video
    #[arg(long, value_name = "PATH", env = "HPINFER_FFMPEG", default_value = "ffmpeg")]
    ffmpeg: PathBuf,
    /// Who decodes: the GPU that networks run on, whose frames then never come to the host (videos of h264 and hevc by its decoders,
    /// JPEG files and Motion JPEG by nvJPEG), or ffmpeg and the JPEG decoder on the host. auto: the GPU where it can
    #[arg(long, value_enum, default_value_t)]
    decode: DecodeArg,
    /// Report and reconnect a live stream that is silent for so many seconds; for its first frame it has 15 at least
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    stall: f64,
    /// Attempts in a row to reach a stream, or to read a file over which ffmpeg was killed
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    attempts: u32,
    /// Size of raw frames, as 1920x1080
    #[arg(long, value_name = "WxH")]
    raw_size: Option<String>,
    /// Samples of raw frames: bgr24, rgb24, gray, nv12
    #[arg(long, value_name = "FORMAT", default_value = "bgr24")]
    raw_format: String,
    /// Frames a second of raw frames and picture sequences, for their timestamps
    #[arg(long, value_name = "N", default_value_t = 25.0)]
    fps: f64,
    /// Cores to work on, over all pools and the ffmpeg of each stream [default: all this process may use]
    #[arg(long, value_name = "N", env = "HPINFER_THREADS", value_parser = counted())]
    threads: Option<usize>,
    /// Font for the texts in saved frames and videos [default: the system's, else one is installed]
    #[arg(long, value_name = "FILE", env = "PADDLE_PDX_LOCAL_FONT_FILE_PATH")]
    font: Option<PathBuf>,
    /// Key names of results
    #[arg(long, value_name = "VERSION", default_value = "3.0-beta1")]
    schema: Schema,
    #[command(flatten)]
    pictures: PictureArgs,
    #[command(flatten)]
    pdf: PdfArgs,
    #[command(flatten)]
    engine: EngineArgs,
}

impl StreamArgs {
    fn video(&self, stop: &Stop) -> Result<VideoOptions> {
        let stall = Duration::try_from_secs_f64(self.stall).ok().filter(|stall| !stall.is_zero());
        let stall = stall.ok_or_else(|| Error::config("--stall", format!("{} is no number of seconds above 0", self.stall)))?;
        let max_pixels = self.pictures.limits().max_pixels;
        let (ffmpeg, stop, attempts) = (self.ffmpeg.clone(), stop.flag(), self.attempts);
        Ok(VideoOptions { ffmpeg, stop, stall, attempts, max_pixels, ..VideoOptions::default() })
    }

    fn recorder(&self, inputs: &[String], video: &VideoOptions) -> Result<Option<Recorder>> {
        let Some(target) = &self.save_video else { return Ok(None) };
        video.ffmpeg_version()?;
        Recorder::new(target, inputs, (&self.ffmpeg, video.threads), self.trace.as_deref()).map(Some)
    }

    fn raw(&self) -> Result<Option<RawLayout>> {
        if !(self.fps.is_finite() && self.fps > 0.0) {
            return Err(Error::config("--fps", format!("{} is no number above 0", self.fps)));
        }
        let format: RawFormat = self.raw_format.parse()?;
        let Some(text) = &self.raw_size else { return Ok(None) };
        let size = text.split_once('x').and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)));
        let size = size.filter(|size| size.area() > 0);
        let size = size.ok_or_else(|| Error::config("--raw-size", format!("{text:?} is no size such as 1920x1080")))?;
        let most = self.pictures.limits().max_pixels;
        if size.area() > most {
            return Err(Error::config("--raw-size", format!("{text} is {} pixels, the limit is {most} (--max-pixels)", size.area())));
        }
        Ok(Some(RawLayout { size, format, rate: self.fps }))
    }
}

/// Says that the run is over when it is dropped, by a panic too: who shows its progress waits for that.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Says which part of the threads does what.
fn tell_threads(plan: &Plan, settings: &Settings, (moving, each): (usize, usize)) {
    let (threads, Settings { decoders, finishers, .. }) = (plan.loader.threads, settings);
    let engines = match (plan.gpus().is_empty(), threads) {
        (false, _) => "engines on the GPU".into(),
        (true, 1) => "engines 1 stream of 1".into(),
        (true, _) => format!("engines 1 stream of {threads} for a lone frame, else {threads} of 1"),
    };
    let ffmpeg = if moving > 0 { format!(", {each} in the ffmpeg of each of {}", plural(moving, "stream")) } else { String::new() };
    tracing::info!(
        "the work of {}, each part at most: {engines}; decoding {decoders} here{ffmpeg}; finishing {finishers}",
        plural(threads, "core")
    );
}

/// Runs the command.
pub fn run(args: &StreamArgs, global: &GlobalArgs) -> Result<u8> {
    let plan = Plan::new(plan::required_pipeline(args.pipeline.as_deref())?, args.threads, &args.engine)?.serving_at_once(&args.engine);
    if args.carry_over.is_some_and(|levels| !(0.0..=255.0).contains(&levels)) {
        return Err(Error::config("--carry-over", "a number of levels is 0 to 255"));
    }
    let named = inputs::streams(&args.input);
    outputs::check(&[("--trace", args.trace.as_deref())], &named)?;
    let stop = Stop::default();
    let cache = plan::cache(global)?;
    let threads = plan.loader.threads;
    let memory = FrameMemory::of_process(if args.carry_over.is_some() { CARRIED } else { 1 });
    let video = VideoOptions { nvjpeg: super::nvjpeg::installed(&cache), threads, memory, ..args.video(&stop)? };
    let decoding = Decoding::new((args.decode, &args.pictures), &named, &plan, &cache)?;
    let decoders = decoding.pictures.clone();
    let limits = args.pictures.limits();
    let source = SourceOptions {
        offline: global.offline,
        limits,
        pdf: args.pdf.options(args.font.as_deref(), &cache)?,
        numbered: true,
        ..SourceOptions::default()
    };
    let decoding_time = video.ffmpeg_time.clone();
    let inputs = Inputs::new(&named, args.drop.as_deref(), video, args.raw()?, args.fps, decoding, source)?;
    let webhook = args.webhook.as_deref().map(|address| Webhook::open(address, Retries::default(), global.offline, &stop)).transpose()?;
    let at_once = (threads + 1).max(LEAST_FILES);
    let (moving, each) = inputs.side_by_side(&args.input, at_once);
    let recorder = args.recorder(&named, &each)?;
    let fonts = || fonts(args.font.as_deref(), &cache);
    let pipeline = plan.open(global)?;
    stop.on_signals(|| std::process::exit(SOME_FAILED.into()))?;
    let saver = |folder: &Path| {
        let inputs = NamedInputs::new(&named);
        if folder.exists() && !folder.is_dir() {
            return Err(Error::config("--save-frames", format!("{} is a file; give a folder", folder.display())));
        }
        outputs::check_folder("--save-frames", folder)?;
        Ok(Saver::new(folder, fonts()?, args.schema, PICTURE_SUFFIX)?.sparing(move |path| inputs.contains(path)))
    };
    let saver = args.save_frames.as_deref().map(|folder| Ok::<_, Error>((saver(folder)?, folder))).transpose()?;
    let drawing = recorder.as_ref().map(|_| fonts()).transpose()?;
    let names: Vec<_> = named.iter().map(|name| without_secrets(name)).collect();
    names.iter().enumerate().for_each(|(stream, name)| tracing::info!("stream {stream}: {name}"));
    let ffmpeg_times = [decoding_time, recorder.as_ref().map(Recorder::ffmpeg_time).unwrap_or_default()];
    let stages = FrameStages::new(pipeline.as_ref(), &names, decoders, args.carry_over, saver, drawing, ffmpeg_times);
    let delay = Duration::from_millis(args.batch_delay);
    let batching = Batching { items: pipeline.batch_size(), cost: BATCH_PIXELS, delay };
    let is_finite = inputs.is_finite();
    let mut settings = if inputs.drop_oldest() { Settings::latest(threads, batching) } else { Settings::new(threads + 1, batching) };
    settings = settings.at_most(pipeline.groups_at_once());
    if args.carry_over.is_some() {
        settings.decoders = 1; // the comparison needs each stream in its order
    }
    settings.queue = args.queue.unwrap_or(settings.queue);
    tell_threads(&plan, &settings, (moving, each.threads));
    let gauges = Gauges::new(named.len());
    let (failed, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let counts = progress::Told::default();
    let mut lines = line::Lines::new(named.len(), args.schema);
    let (mut out, mut recorder) = (StandardOutput::new(&stop), recorder);
    let mut trace = args.trace.as_deref().map(|path| Trace::new(path, pipeline.stages())).transpose()?;
    std::thread::scope(|scope| {
        scope.spawn(|| progress::show(&gauges, &counts, &over, global.quiet));
        let _over = Over(&over);
        graph::run(&stages, inputs.feeds(&args.input, at_once), &settings, &gauges, &stop, |delivery| {
            if let Some(trace) = &mut trace {
                trace.add(&delivery);
            }
            let Some(mut output) = delivery.output else { return };
            failed.fetch_or(matches!(output, Output::Failed(..)), Ordering::Relaxed);
            if let Some(recorder) = &mut recorder {
                recorder.add(&delivery.tag, &mut output);
            }
            let Some((line, told)) = lines.line(&delivery.tag, output) else { return };
            counts.add(told.is_some());
            if let Some(webhook) = &webhook {
                webhook.send(&line);
            }
            if !out.write(line, told) {
                stop.set(); // nobody reads any further
            }
        });
    });
    let written = out.finish();
    if stop.is_set() && matches!(written, Ok(true)) {
        tracing::warn!("stopped by a signal: what was under way is done, and no more was read");
        failed.fetch_or(is_finite, Ordering::Relaxed);
    }
    let told = |done: Result<()>| {
        if let Err(error) = done {
            tracing::error!("{error}");
            failed.store(true, Ordering::Relaxed);
        }
    };
    told(trace.map_or(Ok(()), Trace::finish));
    told(written.map(drop));
    failed.fetch_or(!stages.all_saved(), Ordering::Relaxed);
    failed.fetch_or(webhook.is_some_and(|webhook| !webhook.finish()), Ordering::Relaxed);
    failed.fetch_or(recorder.is_some_and(|recorder| !recorder.finish()), Ordering::Relaxed);
    Ok(if failed.into_inner() { SOME_FAILED } else { ALL_DONE })
}

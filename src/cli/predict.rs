//! Running a pipeline over inputs: one result per input, in input order, as soon as it is there.

use super::args::{GlobalArgs, OutputForm, PredictArgs, ReadArgs};
use super::bench::paddlex;
use super::outputs;
use super::pictures::fonts;
use super::plan::{self, Plan};
use super::report::Report;
use super::taken::Patience;
use super::{ALL_DONE, NOTHING_RAN, SOME_FAILED};
use crate::error::{Error, Result};
use crate::image::Frame;
use crate::image::decode::Decoder;
use crate::image::mark::is_marked;
use crate::pipeline::{Pipeline, PipelineName};
use crate::result::PipelineResult;
use crate::result::render::save::{self, Saver, Slot};
use crate::schedule;
use crate::schedule::stop::{GLANCE, INTERRUPTED, LAST_LINE, is_impatient, signals, wait_until_unheard, watch};
use crate::source::{InputItem, InputKind, NamedInputs, STANDARD_INPUT, Source, SourceOptions};
use crate::trace::{NOTE, Stage, StageTimes, plural, say};
use rayon::prelude::*;
use signal_hook::consts::SIGHUP;
use signal_hook::flag;
use signal_hook::low_level::emulate_default_handler;
use std::ffi::{OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once, PoisonError, RwLock};
use std::thread;
use std::time::Instant;

/// An input with the names its files will have.
struct Job {
    item: InputItem,
    slot: Option<Slot>,
}

/// What became of an input.
pub struct Outcome {
    /// The input as named by the user.
    pub name: String,
    /// Page, from 0, of an input that has pages.
    pub page_index: Option<u32>,
    /// Result or error.
    pub result: Result<PipelineResult>,
    /// Why the result was not saved that was to be.
    pub unsaved: Option<Error>,
}

/// `hpinfer --pipeline … --input …`, and the other top-level flags.
pub fn run(args: &PredictArgs, global: &GlobalArgs) -> Result<u8> {
    if args.serve {
        return Err(Error::config("--serve", "serving over HTTP is not in this version"));
    }
    if args.install.is_some() {
        let reason = "PaddleX's plugin installer is not in this version; libraries and models install themselves (see `hpinfer runtime`)";
        return Err(Error::config("--install", reason));
    }
    if let Some(name) = &args.get_pipeline_config {
        return write_pipeline_config(name, args.read.save_path.as_deref());
    }
    if args.pipeline.is_none() && args.read.input.is_empty() {
        say(super::args::Cli::definition().render_help().to_string().trim_end());
        return Ok(NOTHING_RAN);
    }
    if paddlex::asked() {
        return paddlex::run(args, global, &mut io::stdout().lock());
    }
    let plan = Plan::new(plan::required_pipeline(args.pipeline.as_deref())?, args.read.threads, &args.read.engine)?;
    let reading = Reading::open(&args.read, args.timings, &plan, global)?;
    let form = args.format.unwrap_or(if io::stdout().is_terminal() { OutputForm::Text } else { OutputForm::Jsonl });
    let mut report = Report::new(form, args.read.schema, global.quiet);
    let failed = AtomicBool::new(false);
    let under_way = reading.under_way.clone();
    end_on_signals(under_way.clone(), global.quiet, || {})?;
    reading.run(|outcome| {
        failed.fetch_or(outcome.result.is_err() || outcome.unsaved.is_some(), Ordering::Relaxed);
        if let Err(e) = report.show(&outcome) {
            // Nobody reads any further: a closed pipe is a reader that has what it wanted.
            report.clear();
            if !under_way.end() {
                under_way.leave();
            }
            let code = if e.kind() == io::ErrorKind::BrokenPipe { ALL_DONE } else { SOME_FAILED };
            if code != ALL_DONE {
                tracing::error!("cannot write to standard output: {e}; the rest of the inputs is left out");
            }
            std::process::exit(code.into());
        }
    });
    under_way.leave();
    report.clear();
    Ok(if failed.into_inner() { SOME_FAILED } else { ALL_DONE })
}

/// What of a run is under way.
#[derive(Default)]
pub(super) struct UnderWay {
    /// Read while inputs are worked on.
    working: RwLock<()>,
    /// Nothing more is taken up.
    is_ending: AtomicBool,
    /// Outcomes that there are, and of these the ones that the sink has had.
    made: AtomicUsize,
    shown: AtomicUsize,
}

impl UnderWay {
    /// Has nothing more taken up, and waits until nothing is worked on: no engine is left in the middle of a run. Whether this is the
    /// first call, whose caller is to end the program.
    fn end(&self) -> bool {
        let is_first = !self.is_ending.swap(true, Ordering::SeqCst);
        drop(self.working.write().unwrap_or_else(PoisonError::into_inner));
        is_first
    }

    /// Waits until the sink has had all outcomes, as long as anything is taken of standard output: a reader that does not read holds up its
    /// line for good. How many it has not had.
    fn wait_until_shown(&self) -> usize {
        let mut patience = Patience::default();
        loop {
            let left = self.made.load(Ordering::SeqCst) - self.shown.load(Ordering::SeqCst);
            if left == 0 || patience.is_over() {
                return left;
            }
            thread::sleep(GLANCE);
        }
    }

    /// Returns where the run came to its end by itself; after a signal the program ends here, by that signal.
    pub fn leave(&self) {
        while self.is_ending.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}

/// From now on [`signals`] end the program once what is under way is saved and shown; the second at once. Whoever started it sees
/// that the signal ended it, as a shell must that is to leave its loop. The last thing done is `parting`.
pub(super) fn end_on_signals(under_way: Arc<UnderWay>, is_quiet: bool, parting: impl FnOnce() + Send + 'static) -> Result<()> {
    let (seen, which) = (Arc::<AtomicBool>::default(), Arc::new(AtomicUsize::new(SIGHUP as usize)));
    for signal in signals() {
        let handled = || {
            if is_impatient(signal) {
                // In this order: the second finds that there was one. It is the first that names the end, also where SIGHUP comes after it.
                flag::register_conditional_default(signal, seen.clone())?;
                flag::register_usize(signal, which.clone(), signal as usize)?;
            }
            flag::register(signal, seen.clone())
        };
        handled().map_err(|e| Error::internal("signals", format!("signal {signal} cannot be handled: {e}")))?;
    }
    let (heard, first) = (seen.clone(), which.clone());
    watch(move || {
        wait_until_unheard(&heard);
        end_by(&first);
    })?;
    watch(move || {
        while !seen.load(Ordering::SeqCst) {
            thread::sleep(GLANCE);
        }
        if !is_quiet {
            say("hpinfer: interrupted; what is under way is finished first, a second signal ends it at once");
        }
        under_way.end();
        let left = under_way.wait_until_shown();
        if left > 0 {
            let (seconds, left) = (LAST_LINE.as_secs(), plural(left, "result"));
            say(format_args!("hpinfer: nothing was taken of standard output for {seconds} s after the signal: {left} not delivered"));
        }
        parting();
        end_by(&which);
    })
}

/// Ends the program by the signal `which`.
fn end_by(which: &AtomicUsize) {
    let _ = emulate_default_handler(which.load(Ordering::SeqCst) as i32);
    std::process::exit(INTERRUPTED); // not reached: by default these signals end a program
}

/// Results of earlier runs where this one saves. Only who names one means it.
struct EarlierResults {
    /// Where this run saves, with all links resolved.
    folder: PathBuf,
    /// The inputs of this run.
    typed: Vec<OsString>,
    told: Once,
}

impl EarlierResults {
    /// Whether `item` is one of them, and no input for that; it is told once.
    fn hold(&self, item: &InputItem) -> bool {
        let InputKind::File(path) = &item.kind else { return false };
        let is_meant = self.typed.iter().any(|typed| typed == path.as_os_str() || typed == STANDARD_INPUT);
        let is_below = || path.canonicalize().is_ok_and(|path| path.starts_with(&self.folder));
        let is_one = !is_meant && is_marked(path) && is_below();
        if is_one {
            self.told.call_once(|| tracing::info!(target: NOTE, "{}: an earlier run saved it, it is no input; so are others", item.name));
        }
        is_one
    }
}

/// An open pipeline and the inputs before it.
pub(super) struct Reading {
    pipeline: Box<dyn Pipeline>,
    source: Source,
    /// One for each GPU, or one.
    decoders: Vec<Decoder>,
    saver: Option<Saver>,
    /// Where results lie among inputs.
    earlier: Option<EarlierResults>,
    timings: bool,
    limits: schedule::Limits,
    /// Whether one worker does all the work, and waits for no GPU.
    lone_worker: bool,
    /// How far its run is.
    pub under_way: Arc<UnderWay>,
}

impl Reading {
    /// Opens the pipeline of `plan`.
    pub fn open(args: &ReadArgs, timings: bool, plan: &Plan, global: &GlobalArgs) -> Result<Self> {
        if args.input.is_empty() {
            return Err(Error::config("--input", "no input; give a file, folder, glob or URL, or - for a list on standard input"));
        }
        let decoders = args.pictures.decoders(plan, &plan::cache(global)?)?;
        let fonts = fonts(args.font.as_deref(), &plan::cache(global)?)?;
        let suffix = match plan.config.name() {
            PipelineName::Ocr => save::OCR_SUFFIX,
            PipelineName::Picture(_) | PipelineName::Document(_) => save::PICTURE_SUFFIX,
        };
        let named = NamedInputs::new(&args.input);
        let saver = args.save_path.as_deref().map(|path| {
            outputs::check_folder("--save_path", path)?;
            Saver::new(path, fonts, args.schema, suffix)
        });
        let earlier = args.save_path.as_deref().and_then(|path| named.reached(path));
        let earlier = earlier.map(|folder| EarlierResults { folder, typed: args.input.clone(), told: Once::new() });
        let saver = saver.transpose()?.map(|saver| {
            let saver = if earlier.is_some() { saver.remembering() } else { saver };
            saver.sparing(move |path| named.contains(path))
        });
        let limits = args.pictures.limits();
        let source_options = SourceOptions {
            offline: global.offline,
            limits,
            pdf: args.pdf.options(args.font.as_deref(), &plan::cache(global)?)?,
            ..SourceOptions::default()
        };
        let source = Source::new(&args.input, source_options);
        let pipeline = plan.open(global)?;
        for run in pipeline.run_records() {
            tracing::info!("{} runs on {} {} ({}, {})", run.model, run.backend, run.version, run.device, run.precision);
        }
        let threads = plan.loader.threads;
        let limits = schedule::Limits::for_threads(threads).at_most(pipeline.groups_at_once()).with_batch(pipeline.batch_size());
        let lone_worker = threads == 1 && plan.devices.iter().all(|device| device.gpu().is_none());
        Ok(Self { pipeline, source, decoders, saver, earlier, timings, limits, lone_worker, under_way: Arc::default() })
    }

    /// Hands the outcome of each input to `sink`, in input order.
    pub fn run(self, mut sink: impl FnMut(Outcome)) {
        let Self { pipeline, source, decoders, saver, earlier, timings, limits, lone_worker, under_way } = self;
        let is_ending = || under_way.is_ending.load(Ordering::SeqCst);
        let jobs = source.take_while(|_| !is_ending()).filter_map(|item| {
            let own = |saver: &Saver| matches!(&item.kind, InputKind::File(path) if saver.wrote(path));
            if saver.as_ref().is_some_and(own) {
                return None; // it was saved since the run began
            }
            if earlier.as_ref().is_some_and(|earlier| earlier.hold(&item)) {
                return None;
            }
            let slot = saver.as_ref().map(|s| s.reserve(&item.frame_id(), &item.relative_dir));
            Some(Job { item, slot })
        });
        let turn = AtomicUsize::new(0);
        let run = |jobs: Vec<Job>| {
            let decoder = &decoders[turn.fetch_add(1, Ordering::Relaxed) % decoders.len()];
            run_jobs(pipeline.as_ref(), jobs, decoder, saver.as_ref(), timings)
        };
        // A lone worker gets a job whole: handed to it step by step, the job waits for it at each.
        let work = |jobs: Vec<Job>| {
            let _working = under_way.working.read().unwrap_or_else(PoisonError::into_inner);
            if is_ending() {
                return Vec::new();
            }
            let items: Vec<InputItem> = jobs.iter().map(|job| job.item.clone()).collect();
            let ran = catch_unwind(AssertUnwindSafe(|| if lone_worker { pipeline.workers().install(|| run(jobs)) } else { run(jobs) }));
            let outcomes = ran.unwrap_or_else(|_| {
                let lost = |item: InputItem| {
                    let error = Error::internal("pipeline", format!("a panic while {} was worked on", item.name));
                    Outcome { page_index: item.page_index(), name: item.name, result: Err(error), unsaved: None }
                };
                items.into_iter().map(lost).collect()
            });
            under_way.made.fetch_add(outcomes.len(), Ordering::SeqCst);
            outcomes
        };
        schedule::ordered(jobs, limits, work, |outcome| {
            sink(outcome);
            under_way.shown.fetch_add(1, Ordering::SeqCst);
        });
    }
}

/// Outcomes of `jobs`, in their order. Decoding and saving run side by side on the pipeline's own cores.
fn run_jobs(pipeline: &dyn Pipeline, jobs: Vec<Job>, decoder: &Decoder, saver: Option<&Saver>, timings: bool) -> Vec<Outcome> {
    let start = Instant::now();
    let decode = |job: &Job| {
        let mut times = StageTimes::default();
        times.measure(Stage::Decode, || job.item.load(decoder)).map(|frame| (frame, times))
    };
    let decoded: Vec<Result<(Frame, StageTimes)>> = pipeline.workers().install(|| jobs.par_iter().with_max_len(1).map(decode).collect());
    let frames: Vec<Frame> = decoded.iter().flatten().map(|(frame, _)| frame.clone()).collect();
    let mut results = pipeline.process(&frames).into_iter();
    let mut finished = Vec::with_capacity(jobs.len());
    for (job, decoded) in jobs.into_iter().zip(decoded) {
        let result = decoded.and_then(|(frame, decode)| {
            let next = results.next().unwrap_or_else(|| Err(Error::internal("pipeline", "no result for a frame")));
            let (mut result, mut times) = next?;
            if timings {
                times.add_share(&decode, 1.0);
                let header = result.header_mut();
                header.timings_ms = Some(times.to_ms(pipeline.stages(), start.elapsed()));
                header.transfers = header.run.iter().any(|run| run.device != "cpu").then_some(times.transfers);
            }
            Ok((result, frame))
        });
        finished.push((job, result));
    }
    let save = |(job, result): (Job, Result<(PipelineResult, Frame)>)| {
        let unsaved = match (&result, saver, &job.slot) {
            (Ok((result, frame)), Some(saver), Some(slot)) => saver.write(slot, result, frame.image.view()).err(),
            _ => None,
        };
        Outcome { page_index: job.item.page_index(), name: job.item.name, result: result.map(|(result, _)| result), unsaved }
    };
    pipeline.workers().install(|| finished.into_par_iter().with_max_len(1).map(save).collect())
}

/// Writes the shipped configuration to `place`, a folder or a YAML file; asks before it replaces a file, as the reference does.
fn write_pipeline_config(name: &str, place: Option<&Path>) -> Result<u8> {
    let config = PipelineName::find(name, "--get-pipeline-config")?.shipped_config();
    let place = place.unwrap_or(Path::new("."));
    let is_yaml = |suffix: &OsStr| ["yaml", "yml"].iter().any(|yaml| suffix.eq_ignore_ascii_case(yaml));
    let is_folder = place.as_os_str().as_encoded_bytes().ends_with(b"/") || place.is_dir();
    let is_file = !is_folder && place.extension().is_some_and(is_yaml);
    let path = if is_file { place.to_owned() } else { place.join(format!("{name}.yaml")) };
    let folder = path.parent().unwrap_or(place);
    std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    if path.exists() && !confirmed(&format!("{} exists; replace it? [y/N] ", path.display())) {
        return Err(Error::config("--get-pipeline-config", format!("{} exists and was left as it is", path.display())));
    }
    crate::cache::write_atomic(&path, config.as_bytes())?;
    say(format_args!("hpinfer: wrote {}", path.display()));
    Ok(ALL_DONE)
}

fn confirmed(question: &str) -> bool {
    let _ = write!(io::stderr(), "{question}").and_then(|()| io::stderr().flush());
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

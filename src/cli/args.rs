//! What was typed: flags and subcommands as one definition, from which help, completions and the manual page
//! come. Every hyphenated flag is also taken with underscores, as PaddleX spells them. Nothing is checked against
//! the outside world here; `plan` does that.

use super::bench::BenchCommand;
use super::cache::CacheCommand;
use super::engine::EngineCommand;
use super::extract::ExtractCommand;
use super::foreign;
use super::model::ModelCommand;
use super::pdf::PdfArgs;
use super::pictures::PictureArgs;
use super::runtime::RuntimeCommand;
use super::stream::StreamArgs;
use super::verify::VerifyArgs;
use crate::backend::EngineBuild;
use crate::error::{Error, Result};
use crate::model::LimitType;
use crate::modules::batch::Padding;
use crate::modules::loader::MOST_THREADS;
use crate::result::json::Schema;
use crate::trace::LogFormat;
use clap::builder::RangedU64ValueParser;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  hpinfer --pipeline OCR --input page.png
  hpinfer --pipeline image_classification --model ResNet50 --input photo.jpg
  hpinfer --pipeline OCR --input scans/ --save-path output --threads 8
  find . -name '*.jpg' | hpinfer --pipeline ./OCR.yaml --input - > results.jsonl

Exit status: 0 all inputs done, 1 some inputs failed, 2 nothing ran (usage, configuration, missing parts). In shells \
130, 143 and 129: ended by SIGINT, SIGTERM and SIGHUP, once what was under way was done, or nothing was taken of standard output for 5 seconds.";

/// Runs PaddleX vision and document pipelines at the speed of the hardware.
#[derive(Debug, Parser)]
#[command(name = "hpinfer", version, about, after_help = EXAMPLES, max_term_width = 110, args_override_self = true)]
pub struct Cli {
    /// What to do instead of running a pipeline.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Running a pipeline.
    #[command(flatten)]
    pub predict: PredictArgs,
    /// Settings of every command.
    #[command(flatten)]
    pub global: GlobalArgs,
}

impl Cli {
    /// What was typed to this program, which ends here where it makes no sense.
    pub fn typed() -> Self {
        let mut definition = Self::definition();
        let matches = definition.try_get_matches_from_mut(std::env::args_os()).unwrap_or_else(|error| foreign::explained(error).exit());
        Self::from_arg_matches(&matches).unwrap_or_else(|e| e.format(&mut definition).exit())
    }

    /// All flags and subcommands.
    pub fn definition() -> clap::Command {
        as_typed(Self::command())
    }

    /// What is behind `command`, such as `bench streams`; all of it for no word.
    ///
    /// # Errors
    /// [`Error::Config`] with the commands there are.
    pub(super) fn definition_of(command: &[String]) -> Result<clap::Command> {
        let mut found = Self::definition();
        found.build(); // so that each has its whole name
        for word in command {
            found = found.find_subcommand(word).cloned().ok_or_else(|| {
                let known: Vec<_> = found.get_subcommands().filter(|known| !known.is_hide_set()).map(clap::Command::get_name).collect();
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                Error::config("man", format!("{} has no command {word:?}; known: {known}", found.get_bin_name().unwrap_or("hpinfer")))
            })?;
        }
        Ok(found)
    }
}

/// Takes every hyphenated flag of `command` and its subcommands with underscores, too, and a negative number as the value that it is:
/// what refuses it names the flag.
fn as_typed(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| match arg.get_long().map(|long| long.replace('-', "_")) {
        Some(name) if arg.get_long() != Some(&name) => arg.alias(name),
        _ => arg,
    });
    let command = command.mut_args(|arg| match arg.get_action().takes_values() {
        true => arg.allow_negative_numbers(true),
        false => arg,
    });
    command.mut_subcommands(as_typed)
}

/// Settings of every command.
#[derive(Clone, Debug, Args)]
pub struct GlobalArgs {
    /// Folder for libraries, models and compiled engines [default: $XDG_CACHE_HOME/hpinfer]
    #[arg(long, value_name = "DIR", env = "HPINFER_HOME", global = true)]
    pub cache_dir: Option<PathBuf>,
    /// Use what is on this machine; download nothing
    #[arg(long, global = true)]
    pub offline: bool,
    /// Form of log lines on standard error
    #[arg(long, value_name = "FORM", default_value = "text", global = true)]
    pub log_format: LogFormat,
    /// More log lines (-v: what was chosen and why, -vv: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
    /// No progress bars, no notes; errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List, fetch and check models
    #[command(subcommand)]
    Model(ModelCommand),
    /// List and install the inference libraries
    #[command(subcommand)]
    Runtime(RuntimeCommand),
    /// Show what the cache folder holds, and remove it
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Build, list, move and check TensorRT engines
    #[command(subcommand)]
    Engine(EngineCommand),
    /// Show what this machine has, what would run, and what to do about what is missing
    Doctor(DoctorArgs),
    /// Run models on every backend with the same inputs and compare what comes out
    Verify(VerifyArgs),
    /// Ask a language model about documents: read their pages, choose the text, ask
    #[command(subcommand)]
    Extract(Box<ExtractCommand>),
    /// Run a pipeline over videos, network streams, cameras and raw frames
    Stream(Box<StreamArgs>),
    /// Measure a pipeline and the floor under it
    Bench(Box<BenchCommand>),
    /// Print a shell completion script
    Completions {
        /// Shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page of this program or of a command (roff): `hpinfer man bench streams`
    Man {
        /// The command; each page names those below it
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Renders the pages of one document, described on standard input; a step of reading PDF inputs itself
    #[command(hide = true)]
    RenderPdf,
    /// Opens a native library and runs a small network on it; a step of `doctor`
    #[command(hide = true)]
    TryLibrary {
        /// Its name
        library: String,
        /// Its file
        path: Option<PathBuf>,
    },
}

/// `hpinfer doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// The device in question
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Threads of the runs in question [default: every core this process may use]
    #[arg(long, value_name = "N", env = "HPINFER_THREADS", value_parser = counted())]
    pub threads: Option<usize>,
    /// One JSON object instead of text
    #[arg(long)]
    pub json: bool,
    /// Give a library up that does not open within this time, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    pub library_timeout: u64,
}

/// How results appear on standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputForm {
    /// A listing for people.
    Text,
    /// One JSON object a line.
    Jsonl,
}

/// Yes or no, as PaddleX's users write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Truth {
    /// Yes.
    True,
    /// No.
    False,
}

/// Most of anything that is counted: cores, items of a batch, of a queue.
const MOST: u64 = MOST_THREADS as u64;

/// Reads a number that something is made for at once.
pub(super) fn counted() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(0..=MOST)
}

/// Reads a number of which there has to be one at least.
pub(super) fn one_or_more() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=MOST)
}

/// Steps that PaddleX 3.x lets a user switch off. To switch one on is to name its model.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub struct Switches {
    /// Finds how a page is turned
    #[arg(long, hide = true, value_parser = off("--doc-image-ori-cls-model NAME takes that step in document pipelines"))]
    pub use_doc_orientation_classify: Option<bool>,
    /// Makes pages flat
    #[arg(long, hide = true, value_parser = off("--doc-image-unwarp-model NAME takes that step in document pipelines"))]
    pub use_doc_unwarping: Option<bool>,
    /// Both of these
    #[arg(long, hide = true, value_parser = off("--doc-image-ori-cls-model and --doc-image-unwarp-model take these steps in document pipelines"))]
    pub use_doc_preprocessor: Option<bool>,
    /// Finds lines that are upside down
    #[arg(long, hide = true, value_parser = off("turned lines are not looked for in this version: leave it out"))]
    pub use_textline_orientation: Option<bool>,
    /// Finds regions
    #[arg(long, hide = true, value_parser = off("--layout-model NAME names the model"))]
    pub use_layout_detection: Option<bool>,
    /// Reads tables
    #[arg(long, hide = true, value_parser = off("--table-model NAME names the model"))]
    pub use_table_recognition: Option<bool>,
    /// Reads seals
    #[arg(long, hide = true, value_parser = off("--seal-text-det-model NAME names the model"))]
    pub use_seal_recognition: Option<bool>,
    /// Boxes of words
    #[arg(long, hide = true, value_parser = off("boxes of words are not in this version: leave it out"))]
    pub return_word_box: Option<bool>,
}

/// Reads the word for "no"; whoever says something else is told to do `instead`.
fn off(instead: &'static str) -> impl Fn(&str) -> Result<bool, String> + Clone {
    move |word| if word.eq_ignore_ascii_case("false") { Ok(false) } else { Err(format!("only False is taken here: {instead}")) }
}

/// Where the probabilities of a text box are averaged for its score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum ScoreModeArg {
    /// Over its rectangle, as the reference does.
    Fast,
    /// Over the outline of the text, which finds thin tilted lines that the other loses.
    Slow,
}

/// Flags that choose engines; shared by prediction and benchmarks.
#[derive(Clone, Debug, Args, Serialize, Deserialize)]
pub struct EngineArgs {
    /// cpu, gpu, gpu:0, gpu:GPU-5c3ea0c5, or several as gpu:0,1, which share the inputs; auto: the first GPU that can be
    /// used, else the processor (-v says which). Nothing has run on a GPU of hardware yet [default: the pipeline file's, else cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,
    /// Inference engine: openvino, onnx_runtime, paddle_infer, tensorrt, paddle_tensorrt [default: the faster one of the
    /// first two here, measured once]
    #[arg(long, value_name = "NAME")]
    pub backend: Option<String>,
    /// Engine and options of all networks as PaddleX's hpi_config, in JSON: {"backend": "openvino", "backend_config":
    /// {"cpu_num_threads": 4}}; wins over the pipeline file, --backend and --threads win over it
    #[arg(long, value_name = "JSON")]
    pub hpi_config: Option<String>,
    /// When TensorRT engines that are not there yet are built [default: background for streams, blocking for the rest]
    #[arg(long, value_name = "WHEN")]
    pub engine_build: Option<EngineBuild>,
    /// Recognition in bfloat16 where the processor has it and gains by it, on narrow line inputs of few widths: texts may
    /// differ slightly
    #[arg(long)]
    pub fast: bool,
    /// The model of a pipeline with one network: a name or a model folder [default: the pipeline file's]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<String>,
    /// Pictures that share a run of a pipeline with one network; results do not depend on it [default: the pipeline file's]
    #[arg(long, value_name = "N", value_parser = counted())]
    pub batch_size: Option<usize>,
    /// Classes that a classification names [default: the pipeline file's, else the model's]
    #[arg(long, value_name = "K")]
    pub topk: Option<usize>,
    /// Score that an object needs to exceed, 0 to 1 [default: the pipeline file's, else the model's]
    #[arg(long, value_name = "SCORE")]
    pub threshold: Option<f32>,
    /// Layout model of a document pipeline: a name or a model folder; of seal_recognition `none` takes every picture for one seal
    /// [default: the pipeline file's]
    #[arg(long, value_name = "MODEL")]
    pub layout_model: Option<String>,
    /// Table structure model: a name or a model folder; of PP-ChatOCRv3-doc `none` reads tables as other text [default: the
    /// pipeline file's]
    #[arg(long, value_name = "MODEL")]
    pub table_model: Option<String>,
    /// Detection model for the seals of a page: a name or a model folder; of PP-ChatOCRv3-doc `none` reads them as other text
    /// [default: the pipeline file's]
    #[arg(long, value_name = "MODEL")]
    pub seal_text_det_model: Option<String>,
    /// Model that finds how a page is turned: a name or a model folder; `none` leaves pages as they are
    /// [default: the pipeline file's; those that come with this program have none]
    #[arg(long, value_name = "MODEL")]
    pub doc_image_ori_cls_model: Option<String>,
    /// Model that makes photographs of pages flat: a name or a model folder; `none` leaves pages as they are
    /// [default: the pipeline file's; those that come with this program have none]
    #[arg(long, value_name = "MODEL")]
    pub doc_image_unwarp_model: Option<String>,
    /// Steps of PaddleX 3.x.
    #[command(flatten)]
    pub switches: Switches,
    /// Text detection model: a name or a model folder [default: the pipeline file's]
    #[arg(long, value_name = "MODEL")]
    pub text_det_model: Option<String>,
    /// Text recognition model: a name or a model folder [default: the pipeline file's]
    #[arg(long, value_name = "MODEL")]
    pub text_rec_model: Option<String>,
    /// Lines that share a recognition run; results do not depend on it unless --text-rec-padding says so
    #[arg(long, value_name = "N", value_parser = counted())]
    pub text_rec_batch_size: Option<usize>,
    /// How lines of unlike width share a recognition run: not at all, or 6 neighbours in aspect ratio (or --text-rec-batch-size)
    /// padded, which changes some texts
    #[arg(long, value_name = "RULE", default_value = "own")]
    pub text_rec_padding: Padding,
    /// Where the probabilities of a text box are averaged for its score [default: the pipeline file's, else the model's]
    #[arg(long, value_name = "MODE")]
    pub text_det_score_mode: Option<ScoreModeArg>,
    /// Side limit of the detector's input, in pixels; this and the next five win over the pipeline file, and that over the model
    #[arg(long, value_name = "PIXELS", hide_short_help = true)]
    pub text_det_limit_side_len: Option<u32>,
    /// Which side that limits
    #[arg(long, value_name = "SIDE", hide_short_help = true)]
    pub text_det_limit_type: Option<LimitType>,
    /// Probability from which a pixel is text, 0 to 1
    #[arg(long, value_name = "P", hide_short_help = true)]
    pub text_det_thresh: Option<f32>,
    /// Least score of a text region, 0 to 1
    #[arg(long, value_name = "SCORE", hide_short_help = true)]
    pub text_det_box_thresh: Option<f64>,
    /// Growth of text regions
    #[arg(long, value_name = "RATIO", hide_short_help = true)]
    pub text_det_unclip_ratio: Option<f64>,
    /// Least score of a text, 0 to 1
    #[arg(long, value_name = "SCORE", hide_short_help = true)]
    pub text_rec_score_thresh: Option<f32>,
}

/// What is read, and how.
#[derive(Clone, Debug, Args)]
pub struct ReadArgs {
    /// Picture, PDF, folder, glob or URL; may be given several times. `-` reads one path a line from standard input
    #[arg(short, long, value_name = "PATH", num_args = 1..)]
    pub input: Vec<OsString>,
    /// Folder for a JSON file and a picture per input; a name that ends in .json, .png or .jpg is the one file to write
    #[arg(long, value_name = "DIR")]
    pub save_path: Option<PathBuf>,
    /// Cores to work on, over all pools [default: all this process may use]
    #[arg(long, value_name = "N", env = "HPINFER_THREADS", value_parser = counted())]
    pub threads: Option<usize>,
    /// Engines and models.
    #[command(flatten)]
    pub engine: EngineArgs,
    /// Key names of results
    #[arg(long, value_name = "VERSION", default_value = "3.0-beta1")]
    pub schema: Schema,
    /// Font for the texts in saved pictures [default: the system's, else one is installed]
    #[arg(long, value_name = "FILE", env = "PADDLE_PDX_LOCAL_FONT_FILE_PATH")]
    pub font: Option<PathBuf>,
    /// Pictures.
    #[command(flatten)]
    pub pictures: PictureArgs,
    /// Documents.
    #[command(flatten)]
    pub pdf: PdfArgs,
}

/// Running a pipeline.
#[derive(Clone, Debug, Args)]
pub struct PredictArgs {
    /// Pipeline name or pipeline file; a path that exists wins over a name
    #[arg(long, value_name = "NAME|FILE")]
    pub pipeline: Option<String>,
    /// Inputs and engines.
    #[command(flatten)]
    pub read: ReadArgs,
    /// Add `timings_ms` to every result, and `transfers` where a GPU ran
    #[arg(long)]
    pub timings: bool,
    /// Form of results on standard output [default: text on a terminal, jsonl otherwise]
    #[arg(long, value_name = "FORM")]
    pub format: Option<OutputForm>,
    /// Write the shipped configuration of a pipeline into the folder --save-path, or as that file where its name ends in .yaml
    /// or .yml [default: here]
    #[arg(long, value_name = "NAME")]
    pub get_pipeline_config: Option<String>,
    /// Accepted for compatibility: this program is always the accelerated one
    #[arg(long, value_name = "BOOL", num_args = 0..=1, hide_short_help = true, ignore_case = true)]
    pub use_hpip: Option<Option<Truth>>,
    /// Accepted for compatibility: no licence is needed
    #[arg(long, value_name = "S", hide_short_help = true)]
    pub serial_number: Option<String>,
    /// Accepted for compatibility: no licence is needed
    #[arg(long, value_name = "BOOL", num_args = 0..=1, hide_short_help = true, ignore_case = true)]
    pub update_license: Option<Option<Truth>>,
    /// Not in this version: serving over HTTP
    #[arg(long, hide_short_help = true)]
    pub serve: bool,
    /// Address for --serve
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0", hide_short_help = true, requires = "serve")]
    pub host: String,
    /// Port for --serve
    #[arg(long, value_name = "PORT", default_value_t = 8080, hide_short_help = true, requires = "serve")]
    pub port: u16,
    /// Not in this version: PaddleX's plugin installer
    #[arg(long, value_name = "PLUGIN", num_args = 0.., hide_short_help = true)]
    pub install: Option<Vec<String>>,
    /// What PaddleX's users give with it.
    #[command(flatten)]
    pub installer: InstallerArgs,
}

/// Flags of PaddleX's plugin installer: taken, so that the answer to --install is reached.
#[derive(Clone, Debug, Args)]
pub struct InstallerArgs {
    /// Where it fetches from
    #[arg(long, value_name = "HOST", hide = true, requires = "install")]
    pub platform: Option<String>,
    /// Without what the plugin needs
    #[arg(long, hide = true, requires = "install")]
    pub no_deps: bool,
    /// Without questions
    #[arg(short, long, hide = true, requires = "install")]
    pub yes: bool,
    /// From what was fetched before
    #[arg(long, hide = true, requires = "install")]
    pub use_local_repos: bool,
    /// Other versions of what the plugin needs
    #[arg(long, value_name = "NAME", num_args = 1.., hide = true, requires = "install")]
    pub deps_to_replace: Vec<String>,
}

impl EngineArgs {
    /// The first flag given that is about OCR.
    pub(super) fn first_of_ocr(&self) -> Option<&'static str> {
        first_given(&[
            ("--fast", self.fast),
            ("--text-det-model", self.text_det_model.is_some()),
            ("--text-rec-model", self.text_rec_model.is_some()),
            ("--text-rec-batch-size", self.text_rec_batch_size.is_some()),
            ("--text-rec-padding", self.text_rec_padding != Padding::default()),
            ("--text-det-score-mode", self.text_det_score_mode.is_some()),
            ("--text-det-limit-side-len", self.text_det_limit_side_len.is_some()),
            ("--text-det-limit-type", self.text_det_limit_type.is_some()),
            ("--text-det-thresh", self.text_det_thresh.is_some()),
            ("--text-det-box-thresh", self.text_det_box_thresh.is_some()),
            ("--text-det-unclip-ratio", self.text_det_unclip_ratio.is_some()),
            ("--text-rec-score-thresh", self.text_rec_score_thresh.is_some()),
        ])
    }

    /// The first flag given that is about documents alone.
    pub(super) fn first_of_document(&self) -> Option<&'static str> {
        first_given(&[
            ("--layout-model", self.layout_model.is_some()),
            ("--table-model", self.table_model.is_some()),
            ("--seal-text-det-model", self.seal_text_det_model.is_some()),
            ("--doc-image-ori-cls-model", self.doc_image_ori_cls_model.is_some()),
            ("--doc-image-unwarp-model", self.doc_image_unwarp_model.is_some()),
        ])
    }

    /// The first flag given that is about pipelines with one network.
    pub(super) fn first_of_picture(&self) -> Option<&'static str> {
        first_given(&[
            ("--model", self.model.is_some()),
            ("--batch-size", self.batch_size.is_some()),
            ("--topk", self.topk.is_some()),
            ("--threshold", self.threshold.is_some()),
        ])
    }
}

fn first_given(flags: &[(&'static str, bool)]) -> Option<&'static str> {
    flags.iter().find_map(|&(flag, given)| given.then_some(flag))
}

impl PredictArgs {
    /// A flag that only makes sense when a pipeline runs, if one was given.
    pub(super) fn first_of_a_run(&self) -> Option<&'static str> {
        first_given(&[
            ("--pipeline", self.pipeline.is_some()),
            ("--input", !self.read.input.is_empty()),
            ("--save-path", self.read.save_path.is_some()),
            ("--get-pipeline-config", self.get_pipeline_config.is_some()),
            ("--serve", self.serve),
            ("--install", self.install.is_some()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command) {
        for arg in command.get_arguments() {
            let Some(long) = arg.get_long().filter(|long| long.contains('-')) else { continue };
            let aliases = arg.get_all_aliases().unwrap_or_default();
            assert_eq!(aliases.iter().filter(|alias| **alias == long.replace('-', "_")).count(), 1, "{} --{long}", command.get_name());
        }
        command.get_subcommands().for_each(check);
    }

    #[test]
    fn every_flag_is_taken_with_underscores() {
        Cli::definition().debug_assert();
        check(&Cli::definition());
        let typed = ["hpinfer", "--log_format", "json", "--max_pixels=7", "--max_file_size", "3"];
        let cli = Cli::from_arg_matches(&Cli::definition().get_matches_from(typed)).expect("they are taken");
        let pictures = cli.predict.read.pictures;
        assert_eq!((pictures.max_pixels, pictures.max_file_size), (Some(7), 3));
    }
}

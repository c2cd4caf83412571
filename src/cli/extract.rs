//! `hpinfer extract`: the steps of PP-ChatOCRv3-doc, each with its result as JSON, and one command that does them all.

mod output;

use super::args::{GlobalArgs, ReadArgs};
use super::plan::{self, Plan};
use super::predict::{Outcome, Reading, end_on_signals};
use super::{ALL_DONE, SOME_FAILED};
use crate::error::{Error, Result};
use crate::extract::{
    ChatResult, Extractor, Guidance, KEY_VARIABLE, KeySource, Keys, LlmSettings, MIN_CHARACTERS, PageText, Prompts, Retrieval, Vector,
};
use crate::pipeline::config::Questions;
use crate::pipeline::{DocumentConfig, DocumentTask, PipelineConfig};
use crate::result::PipelineResult;
use crate::result::page::VisualInfo;
use clap::{Args, Subcommand};
use output::OutputArg;
use serde::de::DeserializeOwned;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const EXAMPLES: &str = "\
Examples:
  export HPINFER_LLM_BASE_URL=http://127.0.0.1:8000/v1 HPINFER_LLM_API_KEY=...
  hpinfer extract run --input contract.pdf --keys 'Party A,Party B,date' --llm-name my-model
Step by step, the first without a language model:
  hpinfer extract visual --input contract.pdf --output visual.json
  hpinfer extract build-vector --visual-info visual.json --output vector.json
  hpinfer extract chat --visual-info visual.json --vector vector.json --keys 'Party A' --llm-name my-model";

/// The steps.
#[derive(Clone, Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum ExtractCommand {
    /// Read the pages of a document (all inputs together) and write what the other steps need; no language model is asked
    Visual(Box<VisualArgs>),
    /// Make the text ready: short text stays text, long text becomes a store of embedded chunks
    BuildVector(BuildVectorArgs),
    /// Take the text that is nearest to each key
    Retrieve(RetrieveArgs),
    /// Ask for the values of the keys
    Chat(ChatArgs),
    /// All of it: read the pages, make the text ready, ask
    Run(Box<RunArgs>),
}

/// Which pipeline file the models are from.
#[derive(Clone, Debug, Args)]
struct PipelineArg {
    /// PP-ChatOCRv3-doc, or a pipeline file of it with models and llm_params
    #[arg(long, value_name = "NAME|FILE", default_value = "PP-ChatOCRv3-doc")]
    pipeline: String,
}

/// The language model. Its key is in the environment variable HPINFER_LLM_API_KEY, in a file, or in the pipeline file; it is no flag,
/// because other users of a machine can see those.
#[derive(Clone, Debug, Args)]
struct LlmArgs {
    /// Name of the model that answers [default: the pipeline file's, else ernie-3.5]
    #[arg(long, value_name = "MODEL", env = "HPINFER_LLM_NAME")]
    llm_name: Option<String>,
    /// Address of a service that speaks OpenAI's protocol, up to what /chat/completions follows; often ends in /v1 [default: the
    /// pipeline file's]
    #[arg(long, value_name = "URL", env = "HPINFER_LLM_BASE_URL", hide_env_values = true)]
    llm_base_url: Option<String>,
    /// File that holds the key alone; wins over HPINFER_LLM_API_KEY, which wins over the pipeline file
    #[arg(long, value_name = "FILE", env = "HPINFER_LLM_KEY_FILE")]
    llm_key_file: Option<PathBuf>,
    /// Model of the same endpoint that embeds long texts; `none` leaves them text
    #[arg(long, value_name = "MODEL", env = "HPINFER_LLM_EMBEDDING_MODEL")]
    embedding_model: Option<String>,
    /// Longest time of a request [default: 120]
    #[arg(long, value_name = "SECONDS")]
    llm_timeout: Option<f64>,
    /// Requests after the first that failed for a reason that may pass [default: 3]
    #[arg(long, value_name = "N")]
    llm_retries: Option<u32>,
    /// Words of the questions, as PaddleX's file of that name [default: the pipeline file's, else those that ship]
    #[arg(long, value_name = "FILE")]
    task_prompt_yaml: Option<PathBuf>,
    /// Task, rules and examples in the place of all others, as PaddleX's file of that name
    #[arg(long, value_name = "FILE")]
    user_prompt_yaml: Option<PathBuf>,
}

/// The keys.
#[derive(Clone, Debug, Args)]
struct KeysArg {
    /// What to look for, separated by commas; may be given several times
    #[arg(long, value_name = "KEY,...", required = true, aliases = ["key", "key_list"])]
    keys: Vec<String>,
}

/// What the user adds to questions.
#[derive(Clone, Debug, Args)]
struct GuidanceArgs {
    /// In the place of the task of questions about text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true, aliases = ["user_task_description", "user-task-description"])]
    task_description: String,
    /// Rules for the answer
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    rules: String,
    /// Examples
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    few_shot: String,
    /// Add the questions to the result
    #[arg(long)]
    save_prompt: bool,
}

#[derive(Clone, Debug, Args)]
struct MinCharacters {
    /// Characters of text from which on it is embedded and searched
    #[arg(long, value_name = "N", default_value_t = MIN_CHARACTERS)]
    min_characters: usize,
}

/// Flags of pipelines with one network are refused by the commands that read pages, and no part of their help.
fn of_documents(arg: clap::Arg) -> clap::Arg {
    let is_other = ["model", "batch_size", "topk", "threshold"].contains(&arg.get_id().as_str());
    if is_other { arg.hide(true) } else { arg }
}

/// `hpinfer extract visual`.
#[derive(Clone, Debug, Args)]
#[command(mut_args(of_documents))]
pub struct VisualArgs {
    #[command(flatten)]
    pipeline: PipelineArg,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// `hpinfer extract build-vector`.
#[derive(Clone, Debug, Args)]
pub struct BuildVectorArgs {
    /// What `visual` wrote; `-`: standard input
    #[arg(long, value_name = "FILE")]
    visual_info: PathBuf,
    #[command(flatten)]
    pipeline: PipelineArg,
    #[command(flatten)]
    min: MinCharacters,
    #[command(flatten)]
    llm: LlmArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// `hpinfer extract retrieve`.
#[derive(Clone, Debug, Args)]
pub struct RetrieveArgs {
    /// What `build-vector` wrote; `-`: standard input
    #[arg(long, value_name = "FILE")]
    vector: PathBuf,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    pipeline: PipelineArg,
    #[command(flatten)]
    llm: LlmArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// `hpinfer extract chat`.
#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    /// What `visual` wrote; `-`: standard input
    #[arg(long, value_name = "FILE")]
    visual_info: PathBuf,
    /// What `build-vector` wrote: its text nearest to the keys is asked about, in the place of all text
    #[arg(long, value_name = "FILE", conflicts_with = "retrieval")]
    vector: Option<PathBuf>,
    /// What `retrieve` wrote: asked about in the place of all text
    #[arg(long, value_name = "FILE", aliases = ["retrieval_result", "retrieval-result"])]
    retrieval: Option<PathBuf>,
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    guidance: GuidanceArgs,
    #[command(flatten)]
    pipeline: PipelineArg,
    #[command(flatten)]
    llm: LlmArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// `hpinfer extract run`.
#[derive(Clone, Debug, Args)]
#[command(mut_args(of_documents))]
pub struct RunArgs {
    #[command(flatten)]
    keys: KeysArg,
    #[command(flatten)]
    guidance: GuidanceArgs,
    #[command(flatten)]
    min: MinCharacters,
    #[command(flatten)]
    pipeline: PipelineArg,
    #[command(flatten)]
    llm: LlmArgs,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    output: OutputArg,
}

/// Runs the command; exit status 1 when pages could not be read, or keys not be asked for.
pub fn run(command: &ExtractCommand, global: &GlobalArgs, out: &mut impl Write) -> Result<u8> {
    match command {
        ExtractCommand::Visual(args) => {
            args.output.check(&args.read.input, &args.pipeline, None)?;
            let (info, failed) = visual(&args.pipeline, &args.read, global)?;
            args.output.write(&info, out)?;
            Ok(if failed == 0 { ALL_DONE } else { SOME_FAILED })
        }
        ExtractCommand::BuildVector(args) => {
            args.output.check(&[&args.visual_info], &args.pipeline, Some(&args.llm))?;
            let extractor = args.llm.extractor(&args.pipeline, global)?;
            let vector = extractor.build_vector(&read(&args.visual_info, "visual")?, args.min.min_characters)?;
            args.output.write(&vector, out).map(|()| ALL_DONE)
        }
        ExtractCommand::Retrieve(args) => {
            args.output.check(&[&args.vector], &args.pipeline, Some(&args.llm))?;
            let extractor = args.llm.extractor(&args.pipeline, global)?;
            let retrieval = extractor.retrieve(&Keys::parse(&args.keys.keys)?, &read(&args.vector, "build-vector")?)?;
            args.output.write(&retrieval, out).map(|()| ALL_DONE)
        }
        ExtractCommand::Chat(args) => {
            let inputs = [Some(&args.visual_info), args.vector.as_ref(), args.retrieval.as_ref()];
            args.output.check(&inputs.into_iter().flatten().collect::<Vec<_>>(), &args.pipeline, Some(&args.llm))?;
            let extractor = args.llm.extractor(&args.pipeline, global)?;
            let keys = Keys::parse(&args.keys.keys)?;
            let info: VisualInfo = read(&args.visual_info, "visual")?;
            let vector: Option<Vector> = args.vector.as_deref().map(|path| read(path, "build-vector")).transpose()?;
            let retrieval: Option<Retrieval> = args.retrieval.as_deref().map(|path| read(path, "retrieve")).transpose()?;
            let text = match (&vector, &retrieval) {
                (_, Some(retrieval)) => PageText::Retrieved(&retrieval.retrieval),
                (Some(vector), None) => PageText::Vector(vector),
                (None, None) => PageText::All,
            };
            args.output.write_answer(&extractor.chat(&keys, &info, text, &args.guidance.guidance())?, out)
        }
        ExtractCommand::Run(args) => {
            // What is wrong with the flags is said before pages are read.
            let keys = Keys::parse(&args.keys.keys)?;
            let extractor = args.llm.extractor(&args.pipeline, global)?;
            extractor.check()?;
            args.output.check(&args.read.input, &args.pipeline, Some(&args.llm))?;
            let (info, failed) = visual(&args.pipeline, &args.read, global)?;
            let result = extractor.extract(&keys, &info, args.min.min_characters, &args.guidance.guidance());
            if !result.as_ref().is_ok_and(ChatResult::is_whole) {
                keep(&info, "the pages were read");
            }
            let code = args.output.write_answer(&result?, out)?;
            Ok(if failed == 0 { code } else { SOME_FAILED })
        }
    }
}

/// Keeps what was read where the questions failed, or a signal came: reading may have taken long. `what` says how much it is.
fn keep(info: &VisualInfo, what: &str) {
    if *info == VisualInfo::default() {
        return;
    }
    let file = tempfile::Builder::new().prefix("hpinfer-visual-").suffix(".json").tempfile();
    let kept = file.and_then(|mut file| {
        serde_json::to_writer(&mut file, info)?;
        Ok(file.keep()?.1)
    });
    match kept {
        Ok(path) => tracing::error!("{what}: go on with `hpinfer extract chat --visual-info {}`", path.display()),
        Err(e) => tracing::error!("what was read of the pages cannot be kept: {e}"),
    }
}

/// Reads the pages of all inputs; says how many could not be read. It is an error when none could.
fn visual(pipeline: &PipelineArg, read: &ReadArgs, global: &GlobalArgs) -> Result<(VisualInfo, usize)> {
    document(&pipeline.pipeline)?;
    let plan = Plan::new(&pipeline.pipeline, read.threads, &read.engine)?;
    let reading = Reading::open(read, false, &plan, global)?;
    let info = Arc::new(Mutex::new(VisualInfo::default()));
    let read_so_far = info.clone();
    let under_way = reading.under_way.clone();
    end_on_signals(under_way.clone(), global.quiet, move || {
        keep(&read_so_far.lock().unwrap_or_else(PoisonError::into_inner), "some pages were read");
    })?;
    let (mut pages, mut failed, mut last) = (0, 0, None);
    reading.run(|Outcome { name, result, unsaved, .. }| {
        if let Ok(PipelineResult::Page(page)) = &result {
            pages += 1;
            info.lock().unwrap_or_else(PoisonError::into_inner).add(page);
        }
        if let Some(e) = result.err().or(unsaved) {
            failed += 1;
            // Errors of inputs name them.
            let named = if let Error::Input { .. } = e { e.to_string() } else { format!("{name}: {e}") };
            tracing::error!("{}", super::listing::printable(&named));
            last = Some(e);
        }
    });
    under_way.leave();
    match last {
        Some(e) if pages == 0 => Err(e),
        _ => Ok((info.lock().unwrap_or_else(PoisonError::into_inner).clone(), failed)),
    }
}

/// The configuration of the document pipeline meant by a name or a file.
fn document(pipeline: &str) -> Result<DocumentConfig> {
    match plan::pipeline_config(pipeline)? {
        PipelineConfig::Document(config) if config.task == DocumentTask::Pages => Ok(config),
        other => {
            let reason = format!("{} reads no whole pages; give {} or a file of it", other.name(), DocumentTask::Pages);
            Err(Error::config("--pipeline", reason))
        }
    }
}

impl LlmArgs {
    /// The steps with the model and words of the pipeline file, where no flag names others.
    fn extractor(&self, pipeline: &PipelineArg, global: &GlobalArgs) -> Result<Extractor> {
        let Questions { llm, words, task_prompt_yaml, user_prompt_yaml } = *document(&pipeline.pipeline)?.questions;
        let LlmSettings { llm_name, mut params, .. } = llm;
        let is_dropped = self.llm_base_url.clone().is_some_and(|url| params.set_base_url(url));
        if let Some(file) = &self.llm_key_file {
            params.set_key(KeySource::File(file.clone()));
        } else if std::env::var_os(KEY_VARIABLE).is_some_and(|key| !key.is_empty()) {
            params.set_key(KeySource::Variable(KEY_VARIABLE.into()));
        } else if is_dropped {
            tracing::warn!(
                "the key of the pipeline file is for another host and stays out; {KEY_VARIABLE} or --llm-key-file names one for --llm-base-url"
            );
        }
        params.embedding_model = self.embedding_model.clone().or(params.embedding_model);
        params.timeout = self.llm_timeout.or(params.timeout);
        params.max_retries = self.llm_retries.or(params.max_retries);
        let settings = LlmSettings { llm_name: self.llm_name.clone().unwrap_or(llm_name), params, offline: global.offline };
        let task = self.task_prompt_yaml.as_deref().or(task_prompt_yaml.as_deref());
        let user = self.user_prompt_yaml.as_deref().or(user_prompt_yaml.as_deref());
        let prompts = Prompts::open(task, user)?;
        let prompts = match words.filter(|_| task.is_none()) {
            Some(words) => prompts.saying(&words),
            None => prompts,
        };
        Ok(Extractor::new(settings, prompts))
    }
}

impl GuidanceArgs {
    fn guidance(&self) -> Guidance {
        let Self { task_description, rules, few_shot, save_prompt } = self.clone();
        Guidance { task_description, rules, few_shot, save_prompt }
    }
}

/// What an earlier step wrote.
fn read<T: DeserializeOwned>(path: &Path, step: &str) -> Result<T> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map_err(Error::io("read", Path::new("standard input")))?;
    } else {
        text = std::fs::read_to_string(path).map_err(Error::io("read", path))?;
    }
    serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(|e| {
        Error::config(path.display().to_string(), format!("is not what the step before writes (`hpinfer extract {step}`): {e}"))
    })
}

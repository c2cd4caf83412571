//! What the flags mean here: the validated plan of a run. Flags win over the pipeline file, the file over defaults.

use super::NOTE;
use super::args::{EngineArgs, GlobalArgs, ScoreModeArg};
use crate::backend::EngineBuild;
use crate::cache::{Cache, Network};
use crate::device::{self, Device, DeviceSpec, Gpu};
use crate::error::{Error, Result};
use crate::model::HpiConfig;
use crate::modules::batch::{BatchLimits, Padding};
use crate::modules::{CoreLimits, LoaderOptions};
use crate::ops::db::ScoreMode;
use crate::pipeline::{DocumentConfig, OcrConfig, PictureConfig, Pipeline, PipelineConfig, PipelineName};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Lines a recognition run in the pipeline file that PaddleX 3.x ships.
const PADDLEX_REC_BATCH: usize = 6;

/// What a pipeline runs with.
#[derive(Clone)]
pub struct Plan {
    /// Models, engines and thresholds.
    pub config: PipelineConfig,
    /// What they run on.
    pub devices: Vec<Device>,
    /// How networks are opened on each.
    pub loader: LoaderOptions,
    /// The pipeline file, where one was given.
    file: Option<PathBuf>,
}

impl Plan {
    /// Validates the flags of a run of `pipeline` (a name, or a pipeline file) on `threads` cores, by default all.
    pub fn new(pipeline: &str, threads: Option<usize>, engine: &EngineArgs) -> Result<Self> {
        let mut config = pipeline_config(pipeline)?;
        let name = config.name();
        let foreign = match &mut config {
            PipelineConfig::Ocr(config) => engine.apply_to_ocr(config).map(|()| engine.first_of_picture().or(engine.first_of_document())),
            PipelineConfig::Picture(config) => {
                engine.apply_to_picture(config).map(|()| engine.first_of_ocr().or(engine.first_of_document()))
            }
            PipelineConfig::Document(config) => engine.apply_to_document(config).map(|()| engine.first_of_picture()),
        }?;
        if let Some(flag) = foreign {
            return Err(Error::config(flag, format!("{name} does not have this setting; leave it out")));
        }
        let devices = open_devices(engine.device.as_deref().or(config.device()))?;
        let core_limits = if threads.is_some() { CoreLimits::Overruled } else { CoreLimits::Heeded };
        let threads = cores(threads)?;
        let backend = engine.backend.as_deref().map(str::parse).transpose()?;
        let hpi = engine.hpi_config.as_deref().map_or(Ok(HpiConfig::default()), |json| HpiConfig::from_flag(json, "--hpi-config"))?;
        let (fast, engine_build) = (engine.fast, engine.engine_build.unwrap_or_default());
        let loader = LoaderOptions { threads, backend, hpi, core_limits, fast, engine_build, ..LoaderOptions::default() };
        let file = Some(PathBuf::from(pipeline)).filter(|path| path.is_file());
        Ok(Self { config, devices, loader, file })
    }

    /// Builds engines in the background where `engine` does not say when: a source that does not wait is to be served at once.
    #[must_use]
    pub fn serving_at_once(mut self, engine: &EngineArgs) -> Self {
        self.loader.engine_build = engine.engine_build.unwrap_or(EngineBuild::Background);
        self
    }

    /// The GPUs among the devices.
    pub fn gpus(&self) -> Vec<Arc<Gpu>> {
        self.devices.iter().filter_map(Device::gpu).cloned().collect()
    }

    /// Opens the pipeline.
    ///
    /// # Errors
    /// [`Error::Config`] where the system lets this process start too few threads: libraries would wait for them for ever.
    pub fn open(&self, global: &GlobalArgs) -> Result<Box<dyn Pipeline>> {
        let wanted = 2 * self.loader.threads + OTHER_THREADS;
        let able = startable(wanted);
        if able < wanted {
            let reason = format!(
                "{wanted} threads are needed for {} cores, and the system starts {able} more (ulimit -u, or the limit of a container); give fewer",
                self.loader.threads
            );
            return Err(Error::config("--threads", reason));
        }
        let opened = self.config.open_on(&self.devices, &cache(global)?, &self.loader);
        opened.map_err(|e| match &self.file {
            Some(file) => PipelineConfig::placed(e, file),
            None => e,
        })
    }
}

/// Threads of a run besides two for each core: engines start one for each, and so does this program.
const OTHER_THREADS: usize = 8;
/// Stack of a thread that only waits: it is threads that are counted, not memory.
const SMALL_STACK: usize = 64 << 10;

/// How many of `wanted` threads the system starts at one time.
fn startable(wanted: usize) -> usize {
    let (hold, held) = crossbeam::channel::bounded::<()>(0);
    std::thread::scope(|scope| {
        let started = (0..wanted).take_while(|_| {
            let held = held.clone();
            std::thread::Builder::new().stack_size(SMALL_STACK).spawn_scoped(scope, move || held.recv()).is_ok()
        });
        let count = started.count();
        drop(hold);
        count
    })
}

impl EngineArgs {
    fn apply_to_ocr(&self, config: &mut OcrConfig) -> Result<()> {
        for (choice, flag) in [(&mut config.text_det_model, &self.text_det_model), (&mut config.text_rec_model, &self.text_rec_model)] {
            if let Some(name) = flag {
                choice.rename(name);
            }
        }
        if let Some(items) = self.text_rec_batch_size {
            if items == 0 {
                return Err(Error::config("--text-rec-batch-size", "0 lines a run; give 1 or more"));
            }
            config.batch = Some(BatchLimits { items, cost: usize::MAX });
        }
        if self.text_rec_padding == Padding::Widest {
            config.padding = Padding::Widest;
            let items = self.text_rec_batch_size.unwrap_or(PADDLEX_REC_BATCH);
            config.batch = Some(BatchLimits { items, cost: usize::MAX });
        }
        if let Some(mode) = self.text_det_score_mode {
            config.detection.score_mode = Some(match mode {
                ScoreModeArg::Fast => ScoreMode::Fast,
                ScoreModeArg::Slow => ScoreMode::Slow,
            });
        }
        let detection = &mut config.detection;
        detection.limit_side_len = self.text_det_limit_side_len.or(detection.limit_side_len);
        detection.limit_type = self.text_det_limit_type.or(detection.limit_type);
        detection.thresh = self.text_det_thresh.or(detection.thresh);
        detection.box_thresh = self.text_det_box_thresh.or(detection.box_thresh);
        detection.unclip_ratio = self.text_det_unclip_ratio.or(detection.unclip_ratio);
        config.score_thresh = self.text_rec_score_thresh.unwrap_or(config.score_thresh);
        config.check(TYPED).map_err(|e| of_flag(e, |key| if key == "score-thresh" { "--text-rec-" } else { "--text-det-" }))
    }

    fn apply_to_document(&self, config: &mut DocumentConfig) -> Result<()> {
        self.apply_to_ocr(&mut config.text)?;
        if self.text_det_score_mode.is_some() {
            config.seal_detection.score_mode = config.text.detection.score_mode;
        }
        for (flag, key, name) in [
            ("--layout-model", "layout_model", &self.layout_model),
            ("--table-model", "table_model", &self.table_model),
            ("--seal-text-det-model", "seal_text_det_model", &self.seal_text_det_model),
            ("--doc-image-ori-cls-model", "doc_image_ori_cls_model", &self.doc_image_ori_cls_model),
            ("--doc-image-unwarp-model", "doc_image_unwarp_model", &self.doc_image_unwarp_model),
        ] {
            if let Some(name) = name {
                config.set_model(key, Some(name), flag)?;
            }
        }
        let off = &self.switches;
        for (flag, key, given) in [
            ("--use_layout_detection", "layout_model", off.use_layout_detection),
            ("--use_table_recognition", "table_model", off.use_table_recognition),
            ("--use_seal_recognition", "seal_text_det_model", off.use_seal_recognition),
            ("--use_doc_orientation_classify", "doc_image_ori_cls_model", off.use_doc_orientation_classify.or(off.use_doc_preprocessor)),
            ("--use_doc_unwarping", "doc_image_unwarp_model", off.use_doc_unwarping.or(off.use_doc_preprocessor)),
        ] {
            if given.is_some() {
                config.set_model(key, None, flag)?;
            }
        }
        Ok(())
    }

    fn apply_to_picture(&self, config: &mut PictureConfig) -> Result<()> {
        if let Some(name) = &self.model {
            config.model.rename(name);
        }
        config.batch_size = self.batch_size.unwrap_or(config.batch_size);
        config.topk = self.topk.or(config.topk);
        if let (Some(threshold), rules) = (self.threshold, &mut config.rules) {
            config.threshold = Some(threshold);
            rules.iter_mut().for_each(|rules| rules.thresholds = None);
        }
        config.check(TYPED).map_err(|e| of_flag(e, |_| "--"))
    }
}

/// Place of numbers that were typed. Those of a pipeline file were checked when it was read.
const TYPED: &str = "command line";

/// `error` of a key of pipeline files as that of the flag of this name, which follows what `before` gives.
fn of_flag(error: Error, before: impl Fn(&str) -> &'static str) -> Error {
    let Error::Config { place, reason } = &error else { return error };
    let Some((key, reason)) = reason.split_once(": ").filter(|_| place == TYPED) else { return error };
    let name = key.replace('_', "-");
    Error::config(before(&name).to_owned() + &name, reason)
}

/// The cache folder of this run.
pub fn cache(global: &GlobalArgs) -> Result<Cache> {
    let network = if global.offline { Network::Offline } else { Network::Online };
    Ok(Cache::open(global.cache_dir.as_deref())?.with_network(network))
}

/// The name given, or an error that lists the names.
pub fn required_pipeline(pipeline: Option<&str>) -> Result<&str> {
    pipeline.ok_or_else(|| Error::config("--pipeline", format!("which one? known: {}; see --help", PipelineName::known())))
}

/// The cores to work on: as many as `--threads` says, by default all that this process may use.
pub(super) fn cores(threads: Option<usize>) -> Result<usize> {
    match threads {
        Some(0) => Err(Error::config("--threads", "0 cores; give 1 or more, or leave it out for all")),
        Some(threads) => Ok(threads),
        None => Ok(device::available_threads()),
    }
}

/// The configuration meant by a name, or by a pipeline file.
pub(super) fn pipeline_config(name_or_file: &str) -> Result<PipelineConfig> {
    let path = Path::new(name_or_file);
    if path.exists() && !path.is_file() && !path.is_dir() {
        return Err(Error::config("--pipeline", format!("{name_or_file} is no regular file; some commands read it more than once")));
    }
    if path.is_file() {
        let (config, dialect) = PipelineConfig::read(path)?;
        tracing::info!(target: NOTE, "{name_or_file}: read as a {dialect} pipeline file");
        return Ok(config);
    }
    PipelineName::find(name_or_file, "--pipeline").map(PipelineConfig::of)
}

/// Opens the devices of a run.
fn open_devices(device: Option<&str>) -> Result<Vec<Device>> {
    Device::open(&device.map_or(Ok(DeviceSpec::default()), str::parse)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Cli;
    use clap::FromArgMatches;

    fn typed(flags: &[&str]) -> EngineArgs {
        let matches = Cli::definition().get_matches_from(["hpinfer"].iter().chain(flags));
        Cli::from_arg_matches(&matches).expect("they are taken").predict.read.engine
    }

    #[test]
    fn a_threshold_that_is_typed_stands_for_those_of_all_classes() {
        let file = "pipeline_name: object_detection\nSubModules:\n  ObjectDetection: {model_name: PicoDet-S, threshold: {0: 0.4}}\n";
        let Ok((PipelineConfig::Picture(mut config), _)) = PipelineConfig::parse(file, "p.yaml") else { panic!("refused") };
        for (flags, expected) in [(&[][..], true), (&["--threshold", "0.3"], false)] {
            typed(flags).apply_to_picture(&mut config).expect("taken");
            let by_class = config.rules.as_ref().is_some_and(|rules| rules.thresholds.is_some());
            assert_eq!((by_class, config.threshold.is_none()), (expected, expected), "{flags:?}");
        }
    }

    #[test]
    fn the_score_mode_is_that_of_seals_too() {
        let mut config = DocumentConfig::new(crate::pipeline::DocumentTask::Pages);
        typed(&["--text-det-score-mode", "slow"]).apply_to_document(&mut config).expect("taken");
        assert_eq!([config.text.detection.score_mode, config.seal_detection.score_mode], [Some(ScoreMode::Slow); 2]);
    }
}

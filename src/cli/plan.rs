//! What the flags mean here: the validated plan of a run. Flags win over the pipeline file, the file over defaults.

use super::args::{EngineArgs, GlobalArgs, PaddingArg, ScoreModeArg};
use crate::cache::{Cache, Network};
use crate::device::{self, DeviceSpec};
use crate::error::{Error, Result};
use crate::modules::batch::{BatchLimits, Padding};
use crate::modules::{Loader, LoaderOptions};
use crate::ops::db::ScoreMode;
use crate::pipeline::{Ocr, OcrConfig};
use std::path::Path;

/// Pipelines of PaddleX's plugin; those not in this version are told apart from misspelt names.
const PIPELINES: [&str; 8] = [
    "image_classification",
    "object_detection",
    "semantic_segmentation",
    "instance_segmentation",
    "OCR",
    "seal_recognition",
    "table_recognition",
    "PP-ChatOCRv3-doc",
];

/// Lines a recognition run in the pipeline file that PaddleX 3.x ships.
const PADDLEX_REC_BATCH: usize = 6;

/// What a pipeline runs with.
#[derive(Clone)]
pub struct Plan {
    /// Models, engines and thresholds.
    pub config: OcrConfig,
    /// How networks are opened.
    pub loader: LoaderOptions,
}

impl Plan {
    /// Validates the flags of a run of `pipeline` (a name, or a pipeline file) on `threads` cores, by default all.
    pub fn new(pipeline: &str, threads: Option<usize>, engine: &EngineArgs) -> Result<Self> {
        let mut config = pipeline_config(pipeline)?;
        for (choice, flag) in [(&mut config.text_det_model, &engine.text_det_model), (&mut config.text_rec_model, &engine.text_rec_model)] {
            if let Some(name) = flag {
                choice.name_or_dir.clone_from(name);
            }
        }
        if let Some(items) = engine.text_rec_batch_size {
            if items == 0 {
                return Err(Error::config("--text-rec-batch-size", "0 lines a run; give 1 or more"));
            }
            config.batch = BatchLimits { items, cost: usize::MAX };
        }
        if engine.text_rec_padding == PaddingArg::Widest {
            config.padding = Padding::Widest;
            config.batch.items = engine.text_rec_batch_size.unwrap_or(PADDLEX_REC_BATCH);
        }
        if let Some(mode) = engine.text_det_score_mode {
            config.detection.score_mode = Some(match mode {
                ScoreModeArg::Fast => ScoreMode::Fast,
                ScoreModeArg::Slow => ScoreMode::Slow,
            });
        }
        check_device(engine.device.as_deref().or(config.device.as_deref()))?;
        let threads = match threads {
            Some(0) => return Err(Error::config("--threads", "0 cores; give 1 or more, or leave it out for all")),
            Some(n) => n,
            None => device::available_threads(),
        };
        let backend = engine.backend.as_deref().map(str::parse).transpose()?;
        Ok(Self { config, loader: LoaderOptions { threads, backend, fast: engine.fast, ..LoaderOptions::default() } })
    }

    /// Opens the pipeline.
    pub fn open(&self, global: &GlobalArgs) -> Result<Ocr> {
        Ocr::open(&self.config, &Loader::new(cache(global)?, self.loader.clone())?)
    }
}

/// The cache folder of this run.
pub fn cache(global: &GlobalArgs) -> Result<Cache> {
    let network = if global.offline { Network::Offline } else { Network::Online };
    Ok(Cache::open(global.cache_dir.as_deref())?.with_network(network))
}

/// The name given, or an error that lists the names.
pub fn required_pipeline(pipeline: Option<&str>) -> Result<&str> {
    pipeline.ok_or_else(|| Error::config("--pipeline", format!("which one? known: {}; see --help", PIPELINES.join(", "))))
}

fn pipeline_config(name_or_file: &str) -> Result<OcrConfig> {
    let path = Path::new(name_or_file);
    if path.is_file() {
        let (config, dialect) = OcrConfig::read(path)?;
        tracing::info!("{name_or_file}: read as a {dialect} pipeline file");
        return Ok(config);
    }
    check_pipeline(name_or_file)?;
    Ok(OcrConfig::default())
}

/// Whether this version has the pipeline `name`.
pub fn check_pipeline(name: &str) -> Result<()> {
    if name == "OCR" {
        Ok(())
    } else if PIPELINES.contains(&name) {
        Err(Error::config("--pipeline", format!("`{name}` is not in this version; known: OCR")))
    } else {
        let reason = format!("the pipeline `{name}` does not exist; give a name ({}) or the path of a pipeline file", PIPELINES.join(", "));
        Err(Error::config("--pipeline", reason))
    }
}

fn check_device(device: Option<&str>) -> Result<()> {
    match device.map(str::parse).transpose()? {
        None | Some(DeviceSpec::Cpu) => Ok(()),
        Some(gpu) => Err(Error::backend(gpu.to_string(), "this version runs on the CPU only", "leave --device out, or give cpu")),
    }
}

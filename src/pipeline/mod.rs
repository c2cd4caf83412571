//! Pipelines by PaddleX name: a struct of modules and straight-line steps over a batch of frames, run on one
//! pool of workers. [`Pipeline`] is what they have in common, `config` reads pipeline files. There is one file per pipeline;
//! those with one network share `picture`, `divided` is any of them on several devices; those for documents share `doc_preprocessor` (pages),
//! `layout` (regions), `reader` (text) and `tables`. All are `staffed`: they work through a `crew` on `engine_streams`, and `runs` says which
//! engines made a result.

pub mod config;
mod crew;
mod divided;
mod doc_preprocessor;
mod engine_streams;
mod image_classification;
mod instance_segmentation;
mod layout;
mod name;
mod object_detection;
pub mod ocr;
mod page;
mod picture;
mod reader;
mod runs;
mod seal_recognition;
mod semantic_segmentation;
mod staffed;
mod table_recognition;
mod tables;

pub use config::{DocumentConfig, OcrConfig, PictureConfig, PipelineConfig};
pub use divided::Divided;
pub use doc_preprocessor::DocPreprocessor;
pub use engine_streams::EngineStreams;
pub use image_classification::ImageClassification;
pub use instance_segmentation::InstanceSegmentation;
pub use name::{DocumentTask, PipelineName, Task};
pub use object_detection::ObjectDetection;
pub use ocr::Ocr;
pub use page::{PageModules, Pages};
pub use picture::{PictureModuleResult, PicturePipeline};
pub use seal_recognition::SealRecognition;
pub use semantic_segmentation::SemanticSegmentation;
pub use staffed::{Staffed, Steps};
pub use table_recognition::TableRecognition;

use crate::error::{Error, Result};
use crate::image::Frame;
use crate::result::{PipelineResult, RunRecord};
use crate::trace::{Stage, StageTimes};

/// An open pipeline, whatever it finds. Calls from several threads share its workers.
pub trait Pipeline: Send + Sync {
    /// Results for `frames` (BGR), in their order, with the time each spent in each stage. A frame that fails leaves the
    /// others untouched.
    fn process(&self, frames: &[Frame]) -> Vec<Result<(PipelineResult, StageTimes)>>;

    /// Which engine runs each model.
    fn run_records(&self) -> &[RunRecord];

    /// The pool that does this pipeline's work; decode on it to keep within one thread count.
    fn workers(&self) -> &rayon::ThreadPool;

    /// The streams of its engines, where they are on the host's cores.
    fn engine_streams(&self) -> Option<&EngineStreams> {
        None
    }

    /// The stages it times, in the order in which they run.
    fn stages(&self) -> &'static [Stage];

    /// Frames that [`process`](Self::process) gains from having at once.
    fn batch_size(&self) -> usize {
        1
    }

    /// Most calls of [`process`](Self::process) with so many frames that are worth having at a time. More would wait for a
    /// device, with all their frames in memory.
    fn groups_at_once(&self) -> usize {
        usize::MAX
    }
}

/// Results for one frame.
pub fn process_one(pipeline: &dyn Pipeline, frame: &Frame) -> Result<(PipelineResult, StageTimes)> {
    let only = pipeline.process(std::slice::from_ref(frame)).pop();
    only.unwrap_or_else(|| Err(Error::internal("pipeline", "no result for a frame")))
}

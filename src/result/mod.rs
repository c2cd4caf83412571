//! Results: plain data in pixels of the input picture. No tensor, no engine. There is one type per pipeline;
//! [`PipelineResult`] is any of them. `json` writes the reference's keys, `render` draws the reference's pictures.

mod classification;
mod detection;
pub mod json;
mod ocr;
pub mod page;
pub mod render;
mod seal;
mod segmentation;
pub mod table;

pub use classification::ClassificationResult;
pub use detection::{DetectedBox, DetectionResult, InstanceResult, Mask};
pub use ocr::{OcrResult, TextSource};
pub use page::PageResult;
pub use seal::{Seal, SealResult};
pub use segmentation::{LabelMap, SegmentationResult};
pub use table::{Table, TableResult};

use crate::image::FrameId;
use crate::trace::Transfers;
use serde::{Deserialize, Serialize};

/// What every result says besides what was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Header {
    /// The input as named by the user; `None` for pixels handed in by a caller.
    pub input_path: Option<String>,
    /// Zero-based page, for inputs with pages.
    pub page_index: Option<u32>,
    /// What ran, one entry per model; two for one that went over to another engine meanwhile.
    pub run: Vec<RunRecord>,
    /// Milliseconds per stage in the order of the stages, `total` last, when asked for.
    pub timings_ms: Option<Vec<(&'static str, f64)>>,
    /// What was moved to and from a device, when asked for and one was used.
    pub transfers: Option<Transfers>,
}

impl Header {
    /// The header of a result for the picture `id`, made by `run`.
    pub fn new(id: &FrameId, run: &[RunRecord]) -> Self {
        Self { input_path: id.input_path.clone(), page_index: id.page_index, run: run.to_vec(), timings_ms: None, transfers: None }
    }

    /// The picture that the result is about.
    pub fn frame_id(&self) -> FrameId {
        FrameId { input_path: self.input_path.clone(), page_index: self.page_index }
    }
}

/// Which engine ran a model: part of every result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Model name.
    pub model: String,
    /// Backend, by PaddleX's name.
    pub backend: String,
    /// Version of the engine's library.
    pub version: String,
    /// Device, as in `--device`.
    pub device: String,
    /// Arithmetic: `float32`, `bfloat16`, `float16`, or `float32, products in float16`.
    pub precision: String,
    /// Format of the network that was read, where it was not ONNX: `pdmodel`, `pir`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// `tight` where lines of text were read on inputs of other widths than the reference's, as `--fast` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widths: Option<String>,
    /// Names of the engines of TensorRT, as `hpinfer engine list` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub engines: Vec<String>,
    /// The shapes of inputs that each of these was built for, one text for each profile that the result came by.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<String>,
}

/// The result of any pipeline.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum PipelineResult {
    /// Of OCR.
    Ocr(OcrResult),
    /// Of image classification.
    Classification(ClassificationResult),
    /// Of object detection.
    Detection(DetectionResult),
    /// Of semantic segmentation.
    Segmentation(SegmentationResult),
    /// Of instance segmentation.
    Instances(InstanceResult),
    /// Of seal recognition.
    Seals(SealResult),
    /// Of table recognition.
    Tables(TableResult),
    /// Of PP-ChatOCRv3-doc: a whole page.
    Page(PageResult),
}

impl PipelineResult {
    /// What every result says.
    pub fn header(&self) -> &Header {
        match self {
            Self::Ocr(r) => &r.header,
            Self::Classification(r) => &r.header,
            Self::Detection(r) => &r.header,
            Self::Segmentation(r) => &r.header,
            Self::Instances(r) => &r.header,
            Self::Seals(r) => &r.header,
            Self::Tables(r) => &r.header,
            Self::Page(r) => &r.header,
        }
    }

    /// What every result says, to be changed.
    pub fn header_mut(&mut self) -> &mut Header {
        match self {
            Self::Ocr(r) => &mut r.header,
            Self::Classification(r) => &mut r.header,
            Self::Detection(r) => &mut r.header,
            Self::Segmentation(r) => &mut r.header,
            Self::Instances(r) => &mut r.header,
            Self::Seals(r) => &mut r.header,
            Self::Tables(r) => &mut r.header,
            Self::Page(r) => &mut r.header,
        }
    }
}

impl From<OcrResult> for PipelineResult {
    fn from(result: OcrResult) -> Self {
        Self::Ocr(result)
    }
}

impl From<ClassificationResult> for PipelineResult {
    fn from(result: ClassificationResult) -> Self {
        Self::Classification(result)
    }
}

impl From<DetectionResult> for PipelineResult {
    fn from(result: DetectionResult) -> Self {
        Self::Detection(result)
    }
}

impl From<SegmentationResult> for PipelineResult {
    fn from(result: SegmentationResult) -> Self {
        Self::Segmentation(result)
    }
}

impl From<InstanceResult> for PipelineResult {
    fn from(result: InstanceResult) -> Self {
        Self::Instances(result)
    }
}

impl From<SealResult> for PipelineResult {
    fn from(result: SealResult) -> Self {
        Self::Seals(result)
    }
}

impl From<TableResult> for PipelineResult {
    fn from(result: TableResult) -> Self {
        Self::Tables(result)
    }
}

impl From<PageResult> for PipelineResult {
    fn from(result: PageResult) -> Self {
        Self::Page(result)
    }
}

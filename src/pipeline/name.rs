//! Pipelines by PaddleX's names.

use crate::error::{Error, Result};
use std::fmt;

/// A pipeline of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PipelineName {
    /// Text detection, then recognition.
    Ocr,
    /// One network on whole pictures.
    Picture(Task),
    /// Layout, then what its regions hold.
    Document(DocumentTask),
}

/// What a pipeline for documents does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DocumentTask {
    /// Reads the seals of a page.
    Seals,
    /// Reads the text and the tables of a page.
    Tables,
    /// Reads all of a page, in reading order.
    Pages,
}

/// What a pipeline with one network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Task {
    /// Names the classes of a picture.
    ImageClassification,
    /// Finds the objects of a picture.
    ObjectDetection,
    /// Gives every pixel a class.
    SemanticSegmentation,
    /// Finds the objects of a picture and their shapes.
    InstanceSegmentation,
}

impl PipelineName {
    /// The pipelines of this version.
    pub const ALL: [Self; 8] = [
        Self::Picture(Task::ImageClassification),
        Self::Picture(Task::ObjectDetection),
        Self::Picture(Task::SemanticSegmentation),
        Self::Picture(Task::InstanceSegmentation),
        Self::Ocr,
        Self::Document(DocumentTask::Seals),
        Self::Document(DocumentTask::Tables),
        Self::Document(DocumentTask::Pages),
    ];

    /// The name as PaddleX writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ocr => "OCR",
            Self::Picture(Task::ImageClassification) => "image_classification",
            Self::Picture(Task::ObjectDetection) => "object_detection",
            Self::Picture(Task::SemanticSegmentation) => "semantic_segmentation",
            Self::Picture(Task::InstanceSegmentation) => "instance_segmentation",
            Self::Document(DocumentTask::Seals) => "seal_recognition",
            Self::Document(DocumentTask::Tables) => "table_recognition",
            Self::Document(DocumentTask::Pages) => "PP-ChatOCRv3-doc",
        }
    }

    /// The configuration that `--get_pipeline_config` writes.
    pub const fn shipped_config(self) -> &'static str {
        match self {
            Self::Ocr => include_str!("shipped/OCR.yaml"),
            Self::Picture(Task::ImageClassification) => include_str!("shipped/image_classification.yaml"),
            Self::Picture(Task::ObjectDetection) => include_str!("shipped/object_detection.yaml"),
            Self::Picture(Task::SemanticSegmentation) => include_str!("shipped/semantic_segmentation.yaml"),
            Self::Picture(Task::InstanceSegmentation) => include_str!("shipped/instance_segmentation.yaml"),
            Self::Document(DocumentTask::Seals) => include_str!("shipped/seal_recognition.yaml"),
            Self::Document(DocumentTask::Tables) => include_str!("shipped/table_recognition.yaml"),
            Self::Document(DocumentTask::Pages) => include_str!("shipped/PP-ChatOCRv3-doc.yaml"),
        }
    }

    /// The pipeline called `name`; `place` is where the name stands, for the error.
    pub fn find(name: &str, place: &str) -> Result<Self> {
        if let Some(found) = Self::ALL.into_iter().find(|known| known.as_str() == name) {
            return Ok(found);
        }
        let plain = |name: &str| name.to_lowercase().replace(['-', ' '], "_");
        let near = Self::ALL.into_iter().find(|known| plain(known.as_str()) == plain(name));
        let meant = near.map_or(String::new(), |near| format!(", you may mean {near}"));
        let reason = format!("the pipeline `{name}` does not exist{meant}; give a name ({}) or the path of a pipeline file", Self::known());
        Err(Error::config(place, reason))
    }

    /// All names, for messages.
    pub fn known() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl Task {
    /// The model of the reference's pipeline file; for instance segmentation Mask-RT-DETR-L, because Mask-RT-DETR-S, which the
    /// reference names there, is none of the models its plugin accelerates.
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::ImageClassification => "PP-LCNet_x0_5",
            Self::ObjectDetection => "PicoDet-S",
            Self::SemanticSegmentation => "PP-LiteSeg-T",
            Self::InstanceSegmentation => "Mask-RT-DETR-L",
        }
    }

    /// Whether results name classes of whole pictures.
    pub const fn has_classes(self) -> bool {
        matches!(self, Self::ImageClassification)
    }

    /// Whether results are objects with scores.
    pub const fn has_scores(self) -> bool {
        matches!(self, Self::ObjectDetection | Self::InstanceSegmentation)
    }
}

impl fmt::Display for DocumentTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PipelineName::Document(*self).as_str())
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PipelineName::Picture(*self).as_str())
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

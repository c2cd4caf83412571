//! Pipelines by PaddleX's names.

use crate::error::{Error, Result};
use std::fmt;

/// A pipeline of this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PipelineName {
    /// Text detection, then recognition.
    Ocr,
    /// One network on whole pictures.
    Picture(Task),
}

/// What a pipeline with one network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// Names the classes of a picture.
    ImageClassification,
}

impl PipelineName {
    /// The pipelines of this version.
    pub const ALL: [Self; 2] = [Self::Picture(Task::ImageClassification), Self::Ocr];

    /// Pipelines of PaddleX's plugin that are not in this version, to be told apart from misspelt names.
    const ABSENT: [&str; 6] =
        ["object_detection", "semantic_segmentation", "instance_segmentation", "seal_recognition", "table_recognition", "PP-ChatOCRv3-doc"];

    /// The name as PaddleX writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ocr => "OCR",
            Self::Picture(Task::ImageClassification) => "image_classification",
        }
    }

    /// The configuration that `--get_pipeline_config` writes.
    pub const fn shipped_config(self) -> &'static str {
        match self {
            Self::Ocr => include_str!("shipped/OCR.yaml"),
            Self::Picture(Task::ImageClassification) => include_str!("shipped/image_classification.yaml"),
        }
    }

    /// The pipeline called `name`; `place` is where the name stands, for the error.
    pub fn find(name: &str, place: &str) -> Result<Self> {
        if let Some(found) = Self::ALL.into_iter().find(|known| known.as_str() == name) {
            return Ok(found);
        }
        if Self::ABSENT.contains(&name) {
            return Err(Error::config(place, format!("the pipeline `{name}` is not in this version; known: {}", Self::known())));
        }
        let reason = format!("the pipeline `{name}` does not exist; give a name ({}) or the path of a pipeline file", Self::known());
        Err(Error::config(place, reason))
    }

    /// All names, for messages.
    pub fn known() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

impl Task {
    /// The model of the reference's pipeline file.
    pub const fn default_model(self) -> &'static str {
        match self {
            Self::ImageClassification => "PP-LCNet_x0_5",
        }
    }

    /// Whether results name classes of whole pictures.
    pub const fn has_classes(self) -> bool {
        matches!(self, Self::ImageClassification)
    }

    /// Whether results are objects with scores.
    pub const fn has_scores(self) -> bool {
        false
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

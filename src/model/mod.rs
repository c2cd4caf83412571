//! Models: what they are called, where they come from, how their inputs and outputs are prepared. A model is
//! an ONNX file and a [`ModelSpec`]; the [`Store`] turns a known name or a folder of the user's into both.

mod catalog;
mod inference_yml;
mod metadata;
mod spec;
mod store;
mod yaml;

pub use spec::{
    Canvas, ClassResize, ClassificationSpec, DetResize, DetectionSpec, LimitType, ModelSpec, Module, SegResize, SegmentationSpec,
    TextDetectionSpec, TextRecognitionSpec,
};
pub use store::{Integrity, ModelStatus, ResolvedModel, Store};

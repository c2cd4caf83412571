//! Models: what they are called, where they come from, how their inputs and outputs are prepared. A model is
//! a network in one or several formats ([`ModelFiles`]) and a [`ModelSpec`]; the [`Store`] turns a known name or a
//! folder of the user's into both.

mod archive;
mod catalog;
mod files;
mod folder;
mod hpi;
mod inference_yml;
mod kind;
mod labels;
mod metadata;
mod near;
mod spec;
mod store;
pub(crate) mod yaml;

pub use crate::backend::{DynamicShapes, ShapeRange};
pub use catalog::Published;
pub use files::ModelFiles;
pub use folder::{ResolvedModel, stated_name};
pub use hpi::{HpiConfig, HpiHints, HpiOptions, HpiPrecision, PerDevice, RankedBackend};
pub use spec::{
    BoxType, Canvas, CellScale, ClassResize, ClassificationSpec, DetResize, DetectionSpec, DetectorHead, LimitType, ModelSpec, Module,
    SegResize, SegSize, SegmentationSpec, TableSpec, TextDetectionSpec, TextRecognitionSpec, UnwarpingSpec,
};
pub use store::{Integrity, ModelInfo, ModelStatus, Store};

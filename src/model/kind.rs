//! What an engine is told of a network besides its graph.

use super::folder::ResolvedModel;
use super::spec::{Canvas, ClassResize, ModelSpec, SegSize};
use crate::backend::{FixedSize, NetworkKind};

impl ResolvedModel {
    /// Its module, and the size of its pictures where its specification states one.
    pub fn kind(&self) -> NetworkKind {
        NetworkKind { module: self.module.as_str().to_owned(), size: fixed_size(&self.spec) }
    }
}

fn fixed_size(spec: &ModelSpec) -> FixedSize {
    let size = match spec {
        ModelSpec::TextRecognition(s) => return FixedSize { height: Some(s.image_shape[1] as usize), width: None },
        ModelSpec::Classification(s) => match (s.crop, s.resize) {
            (Some(size), _) | (None, ClassResize::Fixed(size)) => Some(size),
            (None, ClassResize::Short(_)) => None,
        },
        ModelSpec::Detection(s) => match s.canvas {
            Canvas::Fixed { size, .. } => Some(size),
            _ if s.keep_ratio => None,
            _ => Some(s.target),
        },
        ModelSpec::Segmentation(s) => match s.resize.map(|r| r.rule) {
            Some(SegSize::Fixed(size)) => Some(size),
            _ => None,
        },
        _ => None,
    };
    FixedSize { height: size.map(|s| s.height as usize), width: size.map(|s| s.width as usize) }
}

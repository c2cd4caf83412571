//! What is wanted of the engines for a model, in the terms of the [selector](super::select).

use super::{BackendName, DynamicShapes, Format, LoadOptions, PaddleProgram, PaddleRunMode, Parallelism, Precision, RunInfo};
use crate::device::Device;
use std::collections::BTreeMap;

/// Which backend a model is to run on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The user's choice: there or not at all.
    pub backend: Option<BackendName>,
    /// The format of the network that OpenVINO is to read; `None` takes `.pdmodel` where there is no ONNX.
    pub format: Option<Format>,
    /// What the makers of the model found best: preferred among nearly equal ones.
    pub hint: Option<BackendName>,
    /// What single backends are told in place of what all of them are.
    pub adjustments: BTreeMap<BackendName, Adjustment>,
}

/// What a configuration asks of one backend.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Adjustment {
    /// Most threads inside one run.
    pub most_threads: Option<usize>,
    /// Shapes to build an engine for.
    pub shapes: DynamicShapes,
    /// Arithmetic, in place of that of the command.
    pub precision: Option<Precision>,
    /// How Paddle Inference runs.
    pub run_mode: Option<PaddleRunMode>,
}

impl Adjustment {
    fn apply(&self, options: &LoadOptions) -> LoadOptions {
        let Parallelism { streams, threads_per_stream } = options.parallelism;
        let most = self.most_threads.unwrap_or(usize::MAX).max(1);
        let mut options =
            LoadOptions { parallelism: Parallelism { streams, threads_per_stream: threads_per_stream.min(most) }, ..options.clone() };
        if !self.shapes.is_empty() {
            options.shapes.clone_from(&self.shapes);
        }
        options.precision = self.precision.unwrap_or(options.precision);
        if let (Some(program), Some(run_mode)) = (&mut options.paddle, self.run_mode) {
            program.run_mode = run_mode;
        }
        options
    }
}

impl Wanted {
    /// This backend or none.
    pub const fn exactly(backend: BackendName) -> Self {
        Self { backend: Some(backend), format: None, hint: None, adjustments: BTreeMap::new() }
    }

    /// The backend and the form of the network that `info` is of.
    #[must_use]
    pub fn as_in(self, info: &RunInfo) -> Self {
        Self { backend: Some(info.backend), format: Some(info.format), ..self }
    }

    /// Whether the backend that is asked for reads `model`, which is there as `program` only, without conversion.
    pub(super) fn reads(&self, model: &str, program: &PaddleProgram) -> bool {
        match self.backend {
            Some(BackendName::PaddleInfer) => true,
            Some(BackendName::OpenVino) if self.format != Some(Format::Onnx) => match program.files.for_openvino() {
                Ok(_) => true,
                Err(reason) => {
                    tracing::info!("{model}: openvino gets it as ONNX, since {reason}");
                    false
                }
            },
            _ => false,
        }
    }

    /// The backends to choose from, in order of preference: the hint, then ONNX Runtime, which needs a fraction of the
    /// memory and no preparation for new shapes.
    ///
    /// The same where bfloat16 is allowed: some processors have it and gain nothing by it. TensorRT is among them where it has an
    /// engine: to build one takes minutes.
    pub(super) fn candidates(&self, device: &Device, has_engine: bool) -> Vec<BackendName> {
        let mut candidates = match device {
            Device::Gpu(_) => vec![BackendName::OnnxRuntime],
            Device::Cpu => vec![BackendName::OnnxRuntime, BackendName::OpenVino],
        };
        candidates.extend(has_engine.then_some(BackendName::TensorRt));
        candidates.sort_by_key(|name| Some(*name) != self.hint); // stable: the rest keeps its order
        candidates
    }

    /// `options` as `backend` is to be told them: ONNX Runtime has float32 only.
    pub(crate) fn adjusted(&self, backend: BackendName, options: &LoadOptions) -> LoadOptions {
        let mut options = self.adjustments.get(&backend).map_or_else(|| options.clone(), |adjustment| adjustment.apply(options));
        if backend == BackendName::OnnxRuntime {
            options.precision = Precision::Float32;
        }
        options
    }
}

impl From<Option<BackendName>> for Wanted {
    fn from(backend: Option<BackendName>) -> Self {
        Self { backend, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ShapeRange;
    use crate::onnx::Cut;

    #[test]
    fn a_hint_goes_first_and_adds_nothing() {
        use BackendName::{OnnxRuntime, OpenVino, PaddleInfer, TensorRt};
        let order = |hint| Wanted { hint, ..Wanted::default() }.candidates(&Device::Cpu, false);
        assert_eq!(order(None), [OnnxRuntime, OpenVino]);
        assert_eq!(order(Some(OpenVino)), [OpenVino, OnnxRuntime]);
        assert_eq!(order(Some(PaddleInfer)), [OnnxRuntime, OpenVino]);
        let built = Wanted { hint: Some(TensorRt), ..Wanted::default() }.candidates(&Device::Cpu, true);
        assert_eq!(built, [TensorRt, OnnxRuntime, OpenVino]);
    }

    #[test]
    fn a_backend_is_told_what_was_asked_of_it() {
        let range = ShapeRange::new([vec![1, 3, 8, 8], vec![1, 3, 8, 8], vec![4, 3, 8, 8]]).unwrap().unwrap();
        let options = LoadOptions {
            model: "m".into(),
            kind: Default::default(),
            onnx: None,
            paddle: None,
            model_sha256: String::new(),
            is_pinned: false,
            remedy: None,
            rewrite: true,
            precision: Precision::Float32,
            parallelism: Parallelism { streams: 2, threads_per_stream: 6 },
            cut: Cut::Nothing,
            shapes: DynamicShapes::new(),
            cache_dir: None,
        };
        let few = Adjustment { most_threads: Some(4), ..Adjustment::default() };
        let shaped = Adjustment { most_threads: Some(64), shapes: [("x".to_owned(), range)].into(), ..Adjustment::default() };
        let wanted =
            Wanted { adjustments: [(BackendName::OpenVino, few), (BackendName::TensorRt, shaped.clone())].into(), ..Wanted::default() };
        let told = |name| wanted.adjusted(name, &options);
        assert_eq!(told(BackendName::OpenVino).parallelism, Parallelism { streams: 2, threads_per_stream: 4 });
        assert_eq!(told(BackendName::OnnxRuntime).parallelism, options.parallelism);
        let reduced = LoadOptions { precision: Precision::Bfloat16, ..options.clone() };
        let precision = |name| wanted.adjusted(name, &reduced).precision;
        assert_eq!([BackendName::OnnxRuntime, BackendName::OpenVino].map(precision), [Precision::Float32, Precision::Bfloat16]);
        assert_eq!((told(BackendName::TensorRt).parallelism, told(BackendName::TensorRt).shapes), (options.parallelism, shaped.shapes));
    }
}

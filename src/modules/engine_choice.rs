//! Which engine a network is to run on, and with what options, out of what says so: the command line, then `hpi_config`, then
//! the model's own `Hpi` block, which only gives hints. Nothing is opened here.

use crate::backend::select::{Adjustment, Wanted};
use crate::backend::{BackendName, PaddleRunMode, Precision};
use crate::error::{Error, Result};
use crate::model::{HpiConfig, HpiHints, HpiOptions, HpiPrecision, ResolvedModel};

/// Whether `cpu_num_threads` of a configuration or a model limits the threads of a network. It never raises them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CoreLimits {
    /// It does: nobody has said anything else.
    #[default]
    Heeded,
    /// It does not: the number of threads was given on the command line.
    Overruled,
}

/// What the user, or else the model, wants of engines. `flag` is the engine of the command line, `config` the rest of what
/// the user said.
///
/// # Errors
/// [`Error::Config`] for a wish of the user's that cannot be met. A hint of the model's that cannot is left out.
pub(crate) fn wanted(
    model: &ResolvedModel,
    flag: Option<BackendName>,
    config: &HpiConfig,
    limits: CoreLimits,
    on_gpu: bool,
) -> Result<Wanted> {
    let asked = Asked::of(&model.name, config, flag)?;
    let mut backend = flag.or(asked.backend);
    if on_gpu && asked.run_mode.is_some() && backend == Some(BackendName::PaddleInfer) {
        let reason = "run_mode is one of Paddle Inference, which is here for the processor only; leave it out, or give --device cpu";
        return Err(Error::config(format!("hpi_config of model {}", model.name), reason));
    }
    if config.auto_paddle2onnx == Some(false) && model.files.onnx.is_none() {
        match backend {
            None | Some(BackendName::PaddleInfer) => backend = Some(BackendName::PaddleInfer),
            Some(BackendName::OpenVino) if model.files.paddle.as_ref().is_some_and(|files| files.for_openvino().is_ok()) => {}
            Some(other) => {
                let reason = format!("model {} is in Paddle's own format, auto_paddle2onnx is False, and {other} needs ONNX", model.name);
                return Err(Error::config("hpi_config", reason));
            }
        }
    }
    if asked.float16 && backend.is_none_or(|backend| asked.counts_for(backend) && engine_of(backend) != BackendName::TensorRt) {
        let reason = "precision fp16 is to be had from tensorrt only; name it as backend, write fp32, or leave it out";
        return Err(Error::config(format!("hpi_config of model {}", model.name), reason));
    }
    let adjustments = BackendName::PUBLIC.map(|name| (name, asked.adjustment(name, &model.hpi, limits)));
    Ok(Wanted {
        backend,
        format: None,
        hint: if on_gpu { model.hpi.selected.gpu.map(engine_of) } else { model.hpi.selected.cpu },
        adjustments: adjustments.into_iter().filter(|(_, adjustment)| *adjustment != Adjustment::default()).collect(),
    })
}

/// What the user said.
struct Asked<'a> {
    backend: Option<BackendName>,
    options: Option<&'a HpiOptions>,
    run_mode: Option<PaddleRunMode>,
    float16: bool,
}

impl<'a> Asked<'a> {
    fn of(model: &str, config: &'a HpiConfig, flag: Option<BackendName>) -> Result<Self> {
        let refused = |reason: String| Err(Error::config(format!("hpi_config of model {model}"), reason));
        let options = config.backend_config.as_deref();
        let (mut backend, mut run_mode) = (config.backend, None);
        let mut float16 = options.is_some_and(|options| options.precision == Some(HpiPrecision::Fp16));
        match options.and_then(|options| options.run_mode.as_deref()) {
            None => {}
            Some(mode) if !matches!(backend, None | Some(BackendName::PaddleInfer | BackendName::PaddleTensorRt)) => {
                return refused(format!("run_mode `{mode}` is one of Paddle Inference"));
            }
            Some("paddle") => (backend, run_mode) = (backend.or(Some(BackendName::PaddleInfer)), Some(PaddleRunMode::Paddle)),
            Some("mkldnn") => (backend, run_mode) = (backend.or(Some(BackendName::PaddleInfer)), Some(PaddleRunMode::Mkldnn)),
            Some("trt_fp32") => backend = Some(BackendName::PaddleTensorRt),
            Some("trt_fp16") => (backend, float16) = (Some(BackendName::PaddleTensorRt), true),
            Some(mode) => return refused(format!("run_mode `{mode}` is unknown; known: paddle, mkldnn, trt_fp32, trt_fp16")),
        }
        // Another engine on the command line takes the options away with the engine that they are of.
        let stands = |backend: &BackendName| flag.is_none_or(|flag| engine_of(flag) == engine_of(*backend));
        let takes_every_size = |backend: &BackendName| matches!(backend, BackendName::OpenVino | BackendName::OnnxRuntime);
        if let Some(other) = config.backend.filter(|backend| takes_every_size(backend) && stands(backend))
            && options.is_some_and(|options| !options.dynamic_shapes.is_empty())
        {
            return refused(format!("dynamic_shapes are of tensorrt, {other} takes every size; leave them out"));
        }
        if backend.is_some_and(|backend| engine_of(backend) == BackendName::TensorRt && stands(&backend))
            && options.is_some_and(|options| options.use_dynamic_shapes == Some(false))
        {
            let reason =
                "use_dynamic_shapes: False is not in this version; leave it out, or give dynamic_shapes whose least and greatest are equal";
            return refused(reason.into());
        }
        if options.is_some_and(|options| options.max_batch_size.is_some()) {
            return refused("max_batch_size is not in this version: dynamic_shapes say how large batches get; leave it out".into());
        }
        if options.and_then(|options| options.cpu_num_threads) == Some(0) {
            return refused("cpu_num_threads: 0 threads; give 1 or more, or leave it out".into());
        }
        Ok(Self { backend, options, run_mode, float16 })
    }

    /// What the user said of `name`: without a name, what is said counts for whichever engine is chosen.
    fn options(&self, name: BackendName) -> Option<&'a HpiOptions> {
        self.options.filter(|_| self.counts_for(name))
    }

    fn counts_for(&self, name: BackendName) -> bool {
        self.backend.is_none_or(|backend| engine_of(backend) == engine_of(name))
    }

    fn adjustment(&self, name: BackendName, hints: &HpiHints, limits: CoreLimits) -> Adjustment {
        let (own, hinted) = (self.options(name), hints.options.get(&name));
        let threads = |options: Option<&HpiOptions>| options.and_then(|options| options.cpu_num_threads).filter(|&threads| threads > 0);
        let wanted_shapes = own.filter(|options| options.use_dynamic_shapes != Some(false)).map(|options| &options.dynamic_shapes);
        let shapes = match engine_of(name) {
            BackendName::TensorRt => wanted_shapes.filter(|shapes| !shapes.is_empty()).or(hints.dynamic_shapes()),
            _ => None,
        };
        Adjustment {
            most_threads: match limits {
                CoreLimits::Heeded => threads(own).or(threads(hinted)),
                CoreLimits::Overruled => None,
            },
            shapes: shapes.cloned().unwrap_or_default(),
            precision: (self.float16 && engine_of(name) == BackendName::TensorRt && self.counts_for(name)).then_some(Precision::Float16),
            run_mode: self.run_mode.filter(|_| name == BackendName::PaddleInfer),
        }
    }
}

/// The engine behind a name.
fn engine_of(name: BackendName) -> BackendName {
    match name {
        BackendName::PaddleTensorRt => BackendName::TensorRt,
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Cache;
    use crate::model::Store;
    use std::fs;

    const YML: &str = "
Global: {model_name: m}
Hpi:
  selected_backends: {cpu: openvino, gpu: paddle_tensorrt}
  backend_config:
    openvino: {cpu_num_threads: 8}
    paddle_infer: {cpu_num_threads: 6}
    tensorrt: {dynamic_shapes: {x: [[1, 3, 8, 8], [1, 3, 8, 8], [1, 3, 8, 8]]}, precision: fp16}
PreProcess: {transform_ops: [{ResizeImage: {resize_short: 8}}, {CropImage: {size: 8}}, {NormalizeImage: {scale: 1.0/255.0, mean: [0, 0, 0], std: [1, 1, 1], order: ''}}, {ToCHWImage: null}]}
PostProcess: {Topk: {topk: 1, label_list: [a, b]}}
";

    fn model(file: &str) -> ResolvedModel {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("inference.yml", YML), (file, ""), ("inference.pdiparams", "")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let store = Store::new(&Cache::open(Some(folder.path())).unwrap());
        store.resolve(folder.path().to_str().unwrap()).unwrap()
    }

    fn config(json: &str) -> HpiConfig {
        HpiConfig::from_flag(json, "--hpi-config").unwrap()
    }

    #[test]
    fn the_users_word_comes_before_the_models() {
        use BackendName::{OnnxRuntime, OpenVino, PaddleInfer, PaddleTensorRt, TensorRt};
        let model = model("inference.onnx");
        let choose = |flag, json| wanted(&model, flag, &config(json), CoreLimits::Heeded, false).unwrap();
        let none = choose(None, "{}");
        assert_eq!((none.backend, none.hint), (None, Some(OpenVino)));
        assert_eq!(none.adjustments[&OpenVino].most_threads, Some(8));
        assert_eq!(none.adjustments[&PaddleInfer].most_threads, Some(6));
        assert_eq!(none.adjustments[&TensorRt].shapes["x"].max, [1, 3, 8, 8]);
        assert_eq!(none.adjustments[&PaddleTensorRt].shapes, none.adjustments[&TensorRt].shapes);
        assert!(!none.adjustments.contains_key(&OnnxRuntime));

        let own = r#"{"backend": "openvino", "backend_config": {"cpu_num_threads": 3}}"#;
        assert_eq!((choose(None, own).backend, choose(Some(OnnxRuntime), own).backend), (Some(OpenVino), Some(OnnxRuntime)));
        assert_eq!(choose(None, own).adjustments[&OpenVino].most_threads, Some(3));
        assert!(!choose(Some(OnnxRuntime), own).adjustments.contains_key(&OnnxRuntime), "options stay with their engine");
        let overruled = wanted(&model, None, &config(own), CoreLimits::Overruled, false).unwrap();
        assert!(!overruled.adjustments.contains_key(&OpenVino));

        let any = choose(None, r#"{"backend_config": {"cpu_num_threads": 2}}"#);
        assert_eq!([OnnxRuntime, OpenVino].map(|name| any.adjustments[&name].most_threads), [Some(2); 2]);

        let shaped =
            r#"{"backend": "paddle_tensorrt", "backend_config": {"dynamic_shapes": {"x": [[1, 3, 4, 4], [2, 3, 4, 4], [4, 3, 4, 4]]}}}"#;
        assert_eq!(choose(None, shaped).adjustments[&TensorRt].shapes["x"].max, [4, 3, 4, 4]);

        let fast = choose(None, r#"{"backend": "paddle", "backend_config": {"run_mode": "mkldnn"}}"#);
        assert_eq!((fast.backend, fast.adjustments[&PaddleInfer].run_mode), (Some(PaddleInfer), Some(PaddleRunMode::Mkldnn)));
        assert_eq!(choose(None, r#"{"backend": "paddle", "backend_config": {"run_mode": "trt_fp32"}}"#).backend, Some(PaddleTensorRt));
        assert_eq!(choose(None, r#"{"backend_config": {"run_mode": "mkldnn"}}"#).backend, Some(PaddleInfer), "only Paddle has run modes");

        // The model's own fp16 is a hint that nobody takes: only the user gives precision away.
        let half = r#"{"backend": "tensorrt", "backend_config": {"precision": "fp16"}}"#;
        assert_eq!(
            (choose(None, half).adjustments[&TensorRt].precision, none.adjustments[&TensorRt].precision),
            (Some(Precision::Float16), None)
        );
        assert_eq!(choose(Some(OnnxRuntime), half).backend, Some(OnnxRuntime), "another engine on the command line takes its options away");
        let fixed = r#"{"backend": "tensorrt", "backend_config": {"use_dynamic_shapes": false}}"#;
        assert_eq!(choose(Some(OnnxRuntime), fixed).backend, Some(OnnxRuntime));
        let modes = r#"{"backend": "paddle", "backend_config": {"run_mode": "trt_fp16"}}"#;
        assert_eq!(choose(None, modes).adjustments[&TensorRt].precision, Some(Precision::Float16));
    }

    #[test]
    fn wishes_that_cannot_be_met_are_refused() {
        let model = model("inference.onnx");
        for (json, says) in [
            (r#"{"backend": "openvino", "backend_config": {"precision": "fp16"}}"#, "fp16 is to be had from tensorrt only"),
            (r#"{"backend_config": {"precision": "fp16"}}"#, "name it as backend"),
            (r#"{"backend": "paddle", "backend_config": {"run_mode": "trt_int8"}}"#, "known: paddle, mkldnn"),
            (r#"{"backend": "openvino", "backend_config": {"run_mode": "paddle"}}"#, "Paddle Inference"),
            (r#"{"backend_config": {"cpu_num_threads": 0}}"#, "0 threads"),
            (r#"{"backend": "openvino", "backend_config": {"dynamic_shapes": {"x": [[1], [1], [1]]}}}"#, "openvino takes every size"),
            (r#"{"backend": "tensorrt", "backend_config": {"max_batch_size": 8}}"#, "dynamic_shapes say how large"),
            (r#"{"backend": "tensorrt", "backend_config": {"use_dynamic_shapes": false}}"#, "least and greatest are equal"),
        ] {
            let message = wanted(&model, None, &config(json), CoreLimits::Heeded, false).unwrap_err().to_string();
            assert!(message.contains(says) && message.contains("model m"), "{message}");
        }
    }

    #[test]
    fn without_conversion_paddle_infer_remains() {
        let model = model("inference.json");
        let choose = |flag| wanted(&model, flag, &config(r#"{"auto_paddle2onnx": false}"#), CoreLimits::Heeded, false);
        assert_eq!(choose(None).unwrap().backend, Some(BackendName::PaddleInfer));
        assert!(choose(Some(BackendName::OpenVino)).unwrap_err().to_string().contains("auto_paddle2onnx"));
        let model = self::model("inference.pdmodel");
        let choose = |flag| wanted(&model, flag, &config(r#"{"auto_paddle2onnx": false}"#), CoreLimits::Heeded, false);
        assert_eq!(choose(Some(BackendName::OpenVino)).unwrap().backend, Some(BackendName::OpenVino), "it reads the program itself");
        assert!(choose(Some(BackendName::OnnxRuntime)).unwrap_err().to_string().contains("auto_paddle2onnx"));
    }
}

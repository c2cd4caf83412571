//! What a model says of engines: the `Hpi` block of its `inference.yml`, typed. It is a hint, which a choice of the
//! user's and a measurement override.
//!
//! Two forms are read: PaddleX 3.0-beta1 (`selected_backends`, `supported_backends`, `backend_config`) and later releases
//! (`backend_configs`); and [`HpiConfig`], the `hpi_config` of later releases' pipeline files.

use super::yaml::{self, Unknown};
use crate::backend::{BackendName, DynamicShapes, ShapeRange};
use crate::error::{Error, Result};
use serde::de::{Deserializer, Error as _, IgnoredAny};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An engine with its settings, as the tables of later releases rank them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RankedBackend {
    /// Paddle Inference.
    Paddle,
    /// Paddle Inference with oneDNN.
    PaddleMkldnn,
    /// Paddle Inference with TensorRT sub-graphs.
    PaddleTensorrt,
    /// The same in half precision.
    PaddleTensorrtFp16,
    /// OpenVINO.
    #[serde(rename = "openvino")]
    OpenVino,
    /// ONNX Runtime.
    #[serde(rename = "onnxruntime")]
    OnnxRuntime,
    /// TensorRT.
    #[serde(rename = "tensorrt")]
    TensorRt,
    /// TensorRT in half precision.
    #[serde(rename = "tensorrt_fp16")]
    TensorRtFp16,
}

/// A value for each kind of device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct PerDevice<T> {
    /// On the processor.
    #[serde(default)]
    pub cpu: T,
    /// On a graphics card.
    #[serde(default)]
    pub gpu: T,
}

/// Arithmetic asked of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum HpiPrecision {
    /// 32-bit floats.
    #[serde(alias = "FP32")]
    Fp32,
    /// 16-bit floats.
    #[serde(alias = "FP16")]
    Fp16,
}

/// Options of one engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct HpiOptions {
    /// Processor threads; `cpu_threads` in options of Paddle Inference.
    #[serde(default, alias = "cpu_threads", skip_serializing_if = "Option::is_none")]
    pub cpu_num_threads: Option<usize>,
    /// Arithmetic.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<HpiPrecision>,
    /// Whether the shapes below count (later releases; they do unless this says no).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_dynamic_shapes: Option<bool>,
    /// Shapes to build an engine for.
    #[serde(default, alias = "trt_dynamic_shapes", deserialize_with = "shapes", skip_serializing_if = "BTreeMap::is_empty")]
    pub dynamic_shapes: DynamicShapes,
    /// Largest batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_batch_size: Option<usize>,
    /// Mode of Paddle Inference (later releases): `paddle`, `mkldnn`, `trt_fp32`, `trt_fp16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_mode: Option<String>,
    /// Concerns what Paddle Inference prints.
    #[serde(default, rename = "enable_log_info", skip_serializing)]
    _enable_log_info: Option<bool>,
    /// Input values for the collection of inner shapes, which no engine of this program needs.
    #[serde(default, rename = "trt_dynamic_shape_input_data", skip_serializing)]
    _input_data: Option<Ignored>,
    /// Options that mean nothing here: an error in what the user asks for, and not in what a model says.
    #[serde(flatten, deserialize_with = "names", skip_serializing)]
    unknown: Vec<String>,
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Unknown::deserialize(deserializer).map(|unknown| unknown.into_keys().collect())
}

/// Options that the user asks for.
fn asked_for<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<HpiOptions>>, D::Error> {
    let options = Option::<Box<HpiOptions>>::deserialize(deserializer)?;
    match options.as_ref().and_then(|options| options.unknown.first()) {
        Some(unknown) => Err(D::Error::custom(format!(
            "unknown field `{unknown}`, expected one of `cpu_num_threads`, `precision`, `dynamic_shapes`, `use_dynamic_shapes`, `run_mode`"
        ))),
        None => Ok(options),
    }
}

/// A value that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ignored;

impl<'de> Deserialize<'de> for Ignored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

pub(super) fn shapes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DynamicShapes, D::Error> {
    let given = Option::<BTreeMap<String, Option<[Vec<usize>; 3]>>>::deserialize(deserializer)?.unwrap_or_default();
    let mut shapes = DynamicShapes::new();
    for (name, range) in given {
        let Some(range) = range else { continue };
        if let Some(range) = ShapeRange::new(range).map_err(|reason| D::Error::custom(format!("shapes of `{name}`: {reason}")))? {
            shapes.insert(name, range);
        }
    }
    Ok(shapes)
}

/// What a model says of engines. Empty where it says nothing. Engines, devices and options that this program does not know are no
/// errors: a model may be made for other programs, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(from = "Option<Written>")]
pub struct HpiHints {
    /// The engine its makers chose.
    #[serde(rename = "selected_backends")]
    pub selected: PerDevice<Option<BackendName>>,
    /// The engines that worked for them.
    #[serde(rename = "supported_backends")]
    pub supported: PerDevice<Vec<BackendName>>,
    /// Options by engine.
    #[serde(rename = "backend_config")]
    pub options: BTreeMap<BackendName, HpiOptions>,
    /// What means nothing here.
    #[serde(skip)]
    pub unknown: Vec<String>,
}

/// The block as it is written.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Written {
    selected_backends: Option<BTreeMap<String, Option<String>>>,
    supported_backends: Option<BTreeMap<String, Option<Vec<String>>>>,
    #[serde(alias = "backend_configs")]
    backend_config: Option<BTreeMap<String, Option<HpiOptions>>>,
    #[serde(flatten, deserialize_with = "names")]
    unknown: Vec<String>,
}

impl From<Option<Written>> for HpiHints {
    fn from(written: Option<Written>) -> Self {
        let Written { selected_backends, supported_backends, backend_config, mut unknown } = written.unwrap_or_default();
        let mut known = |name: String| name.parse::<BackendName>().inspect_err(|_| unknown.push(name)).ok();
        let (mut selected, mut supported) = (selected_backends.unwrap_or_default(), supported_backends.unwrap_or_default());
        let selected = ["cpu", "gpu"].map(|device| selected.remove(device).flatten().and_then(&mut known));
        let mut all = |names: Option<Vec<String>>| names.into_iter().flatten().filter_map(&mut known).collect();
        let supported = ["cpu", "gpu"].map(|device| all(supported.remove(device).flatten()));
        let mut options = BTreeMap::new();
        for (name, given) in backend_config.unwrap_or_default() {
            if let Some(name) = known(name) {
                options.insert(name, given.unwrap_or_default());
            }
        }
        unknown.extend(options.values().flat_map(|options| options.unknown.clone()));
        let ([cpu, gpu], [on_cpu, on_gpu]) = (selected, supported);
        Self { selected: PerDevice { cpu, gpu }, supported: PerDevice { cpu: on_cpu, gpu: on_gpu }, options, unknown }
    }
}

impl HpiHints {
    /// The shapes an engine of fixed shapes is to be built for: those given for TensorRT, else for its sub-graphs.
    pub fn dynamic_shapes(&self) -> Option<&DynamicShapes> {
        [BackendName::TensorRt, BackendName::PaddleTensorRt, BackendName::PaddleInfer]
            .iter()
            .filter_map(|backend| self.options.get(backend))
            .filter(|options| options.use_dynamic_shapes != Some(false))
            .map(|options| &options.dynamic_shapes)
            .find(|shapes| !shapes.is_empty())
    }
}

/// The `hpi_config` of a pipeline, of a module or of a command (later releases): a choice of the user's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HpiConfig {
    /// Whether only known-good choices are allowed; has no effect here, where every choice is checked.
    pub auto_config: Option<bool>,
    /// The engine; `None` leaves the choice open.
    pub backend: Option<BackendName>,
    /// Options of that engine.
    #[serde(deserialize_with = "asked_for")]
    pub backend_config: Option<Box<HpiOptions>>,
    /// Whether Paddle's own formats are converted to ONNX for engines that need it; they are unless this says no.
    pub auto_paddle2onnx: Option<bool>,
}

impl HpiConfig {
    /// What stands here, and what `general` says where nothing does: the deeper place wins. Options stay with the engine that they
    /// were written for.
    pub fn over(&self, general: &Self) -> Self {
        let same_engine = self.backend.is_none() || general.backend.is_none() || self.backend == general.backend;
        Self {
            auto_config: self.auto_config.or(general.auto_config),
            backend: self.backend.or(general.backend),
            backend_config: self.backend_config.clone().or_else(|| general.backend_config.clone().filter(|_| same_engine)),
            auto_paddle2onnx: self.auto_paddle2onnx.or(general.auto_paddle2onnx),
        }
    }

    /// Reads a command-line flag named `place`: JSON, or what PaddleX takes there, a mapping as Python writes it.
    ///
    /// # Errors
    /// [`Error::Config`] naming the flag.
    pub fn from_flag(text: &str, place: &str) -> Result<Self> {
        if !text.trim_start().starts_with('{') {
            let reason =
                format!("{text:?} is no mapping such as {{\"backend\": \"openvino\", \"backend_config\": {{\"cpu_num_threads\": 4}}}}");
            return Err(Error::config(place, reason));
        }
        // Both are YAML, but for Python's word for nothing.
        yaml::parse(&text.replace(": None", ": null"), place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<HpiHints> {
        yaml::parse(text, "inference.yml")
    }

    #[test]
    fn the_block_of_the_first_release() {
        let text = "
selected_backends: {cpu: onnx_runtime, gpu: paddle_tensorrt}
supported_backends:
  cpu: [paddle_infer, openvino, onnx_runtime]
  gpu: [paddle_infer, paddle_tensorrt, onnx_runtime, tensorrt]
backend_config:
  onnx_runtime: {cpu_num_threads: 8}
  paddle_infer: {cpu_num_threads: 8, enable_log_info: false}
  paddle_tensorrt:
    dynamic_shapes: {image: [[1, 3, 64, 64], [1, 3, 64, 96], [8, 3, 64, 128]], scale_factor: null}
    max_batch_size: 1
  tensorrt: {dynamic_shapes: {x: [[], [], []]}, max_batch_size: null}";
        let hints = read(text).unwrap();
        assert_eq!(hints.selected, PerDevice { cpu: Some(BackendName::OnnxRuntime), gpu: Some(BackendName::PaddleTensorRt) });
        assert_eq!(hints.supported.gpu.len(), 4);
        assert_eq!(hints.options[&BackendName::PaddleInfer].cpu_num_threads, Some(8));
        assert!(hints.options[&BackendName::TensorRt].dynamic_shapes.is_empty(), "no size is no shape");
        let shapes = hints.dynamic_shapes().unwrap();
        assert_eq!(shapes.len(), 1);
        assert_eq!(shapes["image"].max, [8, 3, 64, 128]);
    }

    #[test]
    fn the_block_of_later_releases() {
        let text = "
backend_configs:
  paddle_infer:
    trt_dynamic_shapes: &shapes {x: [[1, 3, 32, 32], [1, 3, 64, 448], [8, 3, 488, 488]]}
    trt_dynamic_shape_input_data: {scale_factor: [[2, 2], [1, 1], [0.67, 0.67]]}
  tensorrt: {dynamic_shapes: *shapes, precision: fp16}";
        let hints = read(text).unwrap();
        assert_eq!(hints.selected, PerDevice::default());
        assert_eq!(hints.options[&BackendName::TensorRt].precision, Some(HpiPrecision::Fp16));
        assert_eq!(hints.options[&BackendName::PaddleInfer].dynamic_shapes, *hints.dynamic_shapes().unwrap());
    }

    #[test]
    fn shapes_that_are_not_to_be_used_are_none() {
        let text =
            "backend_config: {tensorrt: {use_dynamic_shapes: False, dynamic_shapes: {x: [[1, 3, 8, 8], [1, 3, 8, 8], [1, 3, 8, 9]]}}}";
        assert_eq!(read(text).unwrap().dynamic_shapes(), None);
        assert_eq!(read(&text.replace("False", "True")).unwrap().dynamic_shapes().unwrap()["x"].max, [1, 3, 8, 9]);
    }

    #[test]
    fn a_choice_in_a_pipeline_file() {
        let config: HpiConfig = yaml::parse("{backend: paddle, backend_config: {run_mode: mkldnn, cpu_threads: 4}}", "p").unwrap();
        assert_eq!(config.backend, Some(BackendName::PaddleInfer));
        let options = config.backend_config.unwrap();
        assert_eq!((options.run_mode.as_deref(), options.cpu_num_threads), (Some("mkldnn"), Some(4)));
        let json = HpiConfig::from_flag(r#"{"backend": "onnxruntime", "auto_config": false}"#, "--hpi_config").unwrap();
        assert_eq!((json.backend, json.auto_config), (Some(BackendName::OnnxRuntime), Some(false)));
        let message = HpiConfig::from_flag("{backend: [}", "--hpi_config").unwrap_err().to_string();
        assert!(message.starts_with("--hpi_config:"), "{message}");
        let python = "{'backend': 'openvino', 'auto_config': False, 'backend_config': {'cpu_num_threads': '4', 'precision': None}}";
        let python = HpiConfig::from_flag(python, "--hpi_config").unwrap();
        assert_eq!((python.backend, python.auto_config), (Some(BackendName::OpenVino), Some(false)));
        assert_eq!(python.backend_config.unwrap().cpu_num_threads, Some(4));
        let message = HpiConfig::from_flag("openvino", "--hpi_config").unwrap_err().to_string();
        assert!(message.contains("is no mapping such as {\"backend\""), "{message}");
    }

    #[test]
    fn the_deeper_place_wins_and_options_stay_with_their_engine() {
        let config = |text| yaml::parse::<HpiConfig>(text, "p").unwrap();
        let general = config("{backend: onnxruntime, backend_config: {cpu_num_threads: 2}, auto_paddle2onnx: false}");
        assert_eq!(HpiConfig::default().over(&general), general);
        let own = config("{backend: openvino}").over(&general);
        assert_eq!((own.backend, &own.backend_config, own.auto_paddle2onnx), (Some(BackendName::OpenVino), &None, Some(false)));
        let own = config("{backend_config: {cpu_num_threads: 1}}").over(&general);
        assert_eq!((own.backend, own.backend_config.unwrap().cpu_num_threads), (Some(BackendName::OnnxRuntime), Some(1)));
    }

    #[test]
    fn what_makes_no_sense_says_where() {
        for (text, expected) in [
            ("backend_config: {tensorrt: {dynamic_shapes: {x: [[2], [1], [3]]}}}", "shapes of `x`"),
            ("backend_config: {tensorrt: {dynamic_shapes: {x: [[1], [1, 1], [3]]}}}", "shapes of `x`"),
            ("backend_config: {tensorrt: {dynamic_shapes: {x: [[1], [1]]}}}", "inference.yml:1:"),
            ("backend_config: {tensorrt: {precision: int8}}", "unknown variant `int8`"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        let message = yaml::parse::<HpiConfig>("{backend_config: {workspace: 1}}", "p").unwrap_err().to_string();
        assert!(message.contains("unknown field `workspace`, expected one of `cpu_num_threads`"), "{message}");
    }

    #[test]
    fn what_a_model_says_to_other_programs_is_passed_over() {
        let text = "
selected_backends: {cpu: openvino, gpu: onnx, npu: om}
supported_backends: {cpu: null, gpu: [tensorrt, om]}
backend_configs: {openvino: {cpu_num_threads: 8, num_streams: 2}, om: {a: 1}, tensorrt: null}
bar: 1";
        let hints = read(text).unwrap();
        assert_eq!(hints.selected, PerDevice { cpu: Some(BackendName::OpenVino), gpu: None });
        assert_eq!(hints.supported, PerDevice { cpu: Vec::new(), gpu: vec![BackendName::TensorRt] });
        assert_eq!(hints.options[&BackendName::OpenVino].cpu_num_threads, Some(8));
        assert_eq!(hints.unknown, ["bar", "onnx", "om", "om", "num_streams"]);
        assert_eq!(read("null").unwrap(), HpiHints::default());
    }
}

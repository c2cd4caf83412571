//! The zoo on this machine: graphs of the known models with generated weights, and values to check runs against.

use super::graph;
use hpinfer::tensor::Shape;
use hpinfer::verify::Output;
use hpinfer::verify::inputs::{Input, picture};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with `graphs/`, `yml/` and `expected/`.
pub struct Zoo(PathBuf);

/// `expected/NAME.json`.
#[derive(Deserialize)]
pub struct Expected {
    pub materialized_sha256: String,
    pub inputs: BTreeMap<String, Vec<usize>>,
    pub outputs: Vec<CheckValues>,
}

/// What is known of an output, from ONNX Runtime on one thread.
#[derive(Deserialize)]
pub struct CheckValues {
    pub name: String,
    pub shape: Vec<usize>,
    pub dtype: String,
    pub mean: f64,
    pub std: f64,
    pub first5: Vec<f64>,
    pub absmax: f64,
}

impl Zoo {
    /// The zoo at `$HPINFER_ZOO`, else beside this crate; `None` when there is none.
    pub fn find() -> Option<Self> {
        let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/zoo");
        let folder = std::env::var_os("HPINFER_ZOO").map_or_else(beside, PathBuf::from);
        folder.join("graphs").is_dir().then_some(Self(folder))
    }

    /// Names of its models.
    pub fn names(&self) -> Vec<String> {
        let files = fs::read_dir(self.0.join("graphs")).expect("a readable zoo");
        let names = files.filter_map(|f| Some(f.ok()?.file_name().to_str()?.strip_suffix(".onnx.xz")?.to_owned()));
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// The ONNX file of a model, with its weights.
    pub fn onnx(&self, name: &str) -> Vec<u8> {
        graph::restore(&self.unpack("graphs", name, "onnx"))
    }

    /// The `inference.yml` of a model.
    pub fn description(&self, name: &str) -> Vec<u8> {
        self.unpack("yml", name, "yml")
    }

    /// Inputs and outputs of a model.
    pub fn expected(&self, name: &str) -> Expected {
        let path = self.0.join("expected").join(format!("{name}.json"));
        serde_json::from_slice(&fs::read(path).expect("check values")).expect("check values in JSON")
    }

    /// A model in Paddle's format, as the zoo packs it.
    pub fn paddle(&self, name: &str) -> String {
        String::from_utf8(self.unpack("paddle", name, "json")).expect("JSON")
    }

    /// The same in the older form, with which some are packed too.
    pub fn pdmodel(&self, name: &str) -> Option<String> {
        let legacy = format!("{name}.legacy");
        let packed = self.0.join(format!("paddle/{legacy}.json.xz")).is_file();
        packed.then(|| String::from_utf8(self.unpack("paddle", &legacy, "json")).expect("JSON"))
    }

    fn unpack(&self, folder: &str, name: &str, extension: &str) -> Vec<u8> {
        let path = self.0.join(folder).join(format!("{name}.{extension}.xz"));
        let mut file = std::io::BufReader::new(fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        let mut bytes = Vec::new();
        lzma_rs::xz_decompress(&mut file, &mut bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        bytes
    }
}

impl Expected {
    /// The inputs that belong to the check values.
    pub fn make_inputs(&self) -> Vec<Input> {
        let inputs = self.inputs.iter().map(|(name, dims)| {
            let seed = |kind: &str| fnv1a(&format!("zoo-input-{kind}/{name}"));
            let data = match (name.as_str(), dims[..].try_into()) {
                ("scale_factor", _) => vec![1.0; dims.iter().product()],
                ("im_shape", _) => [self.inputs["image"][2] as f32, self.inputs["image"][3] as f32].repeat(dims[0]),
                (_, Ok(dims)) => picture(dims, seed("coarse"), seed("fine")),
                (name, _) => panic!("input {name} is no picture"),
            };
            Input { name: name.clone(), shape: Shape::new(dims), data }
        });
        inputs.collect()
    }
}

impl CheckValues {
    /// The greatest difference from `output`, of what is known, relative to the greatest known value; infinite for
    /// another shape or type.
    pub fn error(&self, output: &Output) -> f64 {
        let dtype = if output.values.are_integers() { "int32" } else { "float32" };
        if output.shape.dims() != self.shape || dtype != self.dtype || output.name != self.name {
            return f64::INFINITY;
        }
        let n = output.values.len().max(1) as f64;
        let mean = output.values.iter().sum::<f64>() / n;
        let std = (output.values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
        let absmax = output.values.iter().map(f64::abs).fold(0.0, f64::max);
        let pairs = [(mean, self.mean), (std, self.std), (absmax, self.absmax)].into_iter();
        let pairs = pairs.chain(output.values.iter().zip(self.first5.iter().copied()));
        let error = pairs.map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() / self.absmax });
        error.fold(0.0, |most, e| if e.is_nan() { f64::INFINITY } else { most.max(e) })
    }
}

fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01B3))
}

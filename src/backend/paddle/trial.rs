//! Whether OpenVINO runs a program of Paddle's as it is. Its reader takes most of them, but some end the process, in the
//! first run or only when memory is given back. So a child reads, compiles and runs a program first, and ends in order. What
//! came of it is kept in the cache under the content of the program and the weights, the version of the library and the processor.

use super::child::{Child, Fault, told};
use super::program::{PaddleFiles, file_name, read_io};
use super::verdict::Verdict;
use crate::backend::openvino::hint;
use crate::backend::{BackendName, FixedSize, IoSpec, LoadOptions, TensorSpec};
use crate::cache::rooms::TRIALS;
use crate::cache::{Cache, Progress, sha256, sha256_file};
use crate::device::CpuInfo;
use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The child's program.
const SCRIPT: &str = include_str!("trial.py");

/// Grows whenever a trial asks more of a program than before.
const TRIAL_VERSION: u32 = 1;

/// How long a trial may take, by the clock and in processor time of all cores; the largest models take half a minute.
const LIMIT: Duration = Duration::from_secs(300);
const PROCESSOR_SECONDS: u64 = 1800;

/// How long the child may take to end.
const END: Duration = Duration::from_secs(30);

/// Height and width of a picture where neither program nor model states one. Every network of the list takes multiples of 32.
const USUAL_PX: usize = 320;

/// What is added to both for another run.
const MORE_PX: usize = 64;

/// The library that is tried, and where findings are kept.
pub struct Trials {
    cache: Cache,
    library: PathBuf,
    version: String,
}

/// What came of a trial.
#[derive(Deserialize)]
struct Outcome {
    refused: Option<String>,
}

impl Trials {
    /// Trials of `library`, of version `version`.
    pub fn new(cache: Cache, library: PathBuf, version: String) -> Self {
        Self { cache, library, version }
    }

    /// The one of `files` that this process may let the library read.
    ///
    /// # Errors
    /// [`Error::Backend`] when the library refuses or crashed; [`Error::Missing`] without Python for the child;
    /// those of reading the files.
    pub fn require<'a>(&self, options: &LoadOptions, files: &'a PaddleFiles) -> Result<&'a Path> {
        let model = &options.model;
        let refused = |reason: String| {
            let what =
                format!("model {model} ({}) does not run as it is: {reason}", files.pdmodel.as_deref().unwrap_or(&files.params).display());
            let next_step = "choose onnx_runtime, which takes the model converted to ONNX, or paddle_infer";
            Error::backend("openvino", what, next_step)
        };
        let program = files.for_openvino().map_err(refused)?;
        let key = self.key(options, program)?;
        let path = self.cache.root().join(TRIALS).join(format!("{}.json", file_name(model, &key)));
        if let Some(verdict) = Verdict::read(&path) {
            return verdict.heed(&path).map(|()| program).map_err(refused);
        }
        let io = read_io(program)?; // a file that is no program is told before anything is started
        io.require_float_inputs(BackendName::OpenVino, model)?;
        // Where nothing can be written each run makes the trial, and `keep` says so.
        let _lock = self.cache.lock(&format!("trial-{}", &key[..16])).ok();
        if let Some(verdict) = Verdict::read(&path) {
            return verdict.heed(&path).map(|()| program).map_err(refused); // of another process, while this one waited
        }
        let _progress = Progress::spinner(format!("trying whether OpenVINO reads {model}"));
        let found = self.attempt(options, files, program, &io);
        let refusal = match found {
            Ok(()) => None,
            Err(Fault::Crashed(reason)) => Some(format!("in a trial {reason}")),
            Err(Fault::Refused(reason)) => Some(reason),
            Err(Fault::Lost(reason)) => return Err(refused(format!("in a trial {reason}"))),
        };
        let verdict = Verdict { model: model.clone(), by: format!("openvino {}", self.version), refused: refusal };
        verdict.keep(&path);
        match verdict.refused {
            None => {
                tracing::info!("{model}: openvino {} read and ran {} in a trial", self.version, program.display());
                Ok(program)
            }
            Some(reason) => Err(refused(reason)),
        }
    }

    /// What a finding depends on. The file's length stands for the version of a library that does not tell it.
    fn key(&self, options: &LoadOptions, program: &Path) -> Result<String> {
        let length = self.library.metadata().map(|meta| meta.len()).map_err(Error::io("read", &self.library))?;
        let key = (
            &options.model_sha256,
            sha256_file(program)?,
            (&self.version, length, options.precision.to_string()),
            (CpuInfo::read().model, TRIAL_VERSION),
        );
        Ok(sha256(format!("{key:?}").as_bytes()))
    }

    /// Reads, compiles and runs the program in a child.
    fn attempt(&self, options: &LoadOptions, files: &PaddleFiles, program: &Path, io: &IoSpec) -> Result<(), Fault> {
        let say = |e: Error| Fault::Lost(format!("did not start: {e}"));
        let mut child = Child::start(self.cache.python(), SCRIPT, options.parallelism.threads_per_stream).map_err(say)?;
        let open = json!({
            "do": "open",
            "library": told(&self.library).map_err(say)?,
            "precision": hint(options.precision).map_err(Fault::Lost)?,
            "seconds": PROCESSOR_SECONDS,
            "memory": files.memory_bound(program).map_err(say)?,
        });
        // A library that does not open is no fault of the program's.
        child.ask::<Value>(&open, LIMIT).map_err(|fault| Fault::Lost(format!("the library did not open: {}", fault.reason())))?;
        let runs = runs(io, options.kind.size);
        let (program, params) = (told(program).map_err(say)?, told(&files.params).map_err(say)?);
        let question = json!({"do": "try", "program": program, "params": params, "runs": runs, "outputs": io.outputs.len()});
        let outcome: Outcome = child.ask(&question, LIMIT).map_err(|fault| match fault {
            Fault::Refused(reason) => Fault::Lost(format!("went wrong: {reason}")),
            fault => fault,
        })?;
        child.finish(END)?;
        outcome.refused.map_or(Ok(()), |reason| Err(Fault::Refused(reason)))
    }
}

/// Inputs of the runs of a trial: one picture, then two, of another size where any is taken.
fn runs(io: &IoSpec, size: FixedSize) -> Vec<Vec<Value>> {
    let batches = io.inputs.iter().all(|input| matches!(input.dims.first(), Some(None)));
    let run = |batch: usize, more: usize| {
        let dims = |spec: &TensorSpec| {
            let free = |axis: usize| match axis {
                0 => batch,
                2 => size.height.unwrap_or(USUAL_PX + more),
                3 => size.width.unwrap_or(USUAL_PX + more),
                _ => USUAL_PX,
            };
            spec.dims.iter().enumerate().map(|(axis, dim)| dim.unwrap_or_else(|| free(axis))).collect::<Vec<_>>()
        };
        let picture = io.inputs.iter().map(dims).find(|dims| dims.len() == 4).unwrap_or_else(|| vec![USUAL_PX; 4]);
        let input = |spec: &TensorSpec| {
            let values = match spec.name.as_str() {
                "scale_factor" => vec![1.0],
                "im_shape" => vec![picture[2] as f32, picture[3] as f32],
                _ => Vec::new(),
            };
            json!({"name": spec.name, "dims": dims(spec), "values": values})
        };
        io.inputs.iter().map(input).collect()
    };
    let mut runs: Vec<Vec<Value>> = vec![run(1, 0), run(if batches { 2 } else { 1 }, MORE_PX)];
    runs.dedup();
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;
    use std::process::Command;

    /// A library that does to a program what the file's content says.
    const LIBRARY: &str = include_str!("trial_double.c");

    /// A program of the one input `x` and the one output `y`, with `act` in its last byte.
    fn program(act: u8) -> Vec<u8> {
        fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
            [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()][..], bytes].concat()
        }
        let var = |name: &str| {
            let tensor = [8, 5, 16, 1, 16, 3, 16, 8, 16, 8]; // float32, [1, 3, 8, 8]
            field(3, &[field(1, name.as_bytes()), field(2, &[vec![8, 7], field(3, &field(1, &tensor))].concat())].concat())
        };
        let op = |kind: &str, slot: u8, name: &str| {
            let slot = field(slot, &[field(1, b"X"), field(2, name.as_bytes())].concat());
            field(4, &[slot, field(3, kind.as_bytes())].concat())
        };
        let block = [var("x"), var("y"), op("feed", 2, "x"), op("fetch", 1, "y")].concat();
        [field(1, &block), field(15, &[act])].concat() // field 15 is nobody's
    }

    fn options() -> LoadOptions {
        LoadOptions { model_sha256: "0".into(), ..LoadOptions::new("m") }
    }

    #[test]
    fn what_came_of_a_trial_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let [source, library, params] = ["library.c", "library.so", "inference.pdiparams"].map(|name| folder.path().join(name));
        std::fs::write(&source, LIBRARY).unwrap();
        std::fs::write(&params, "").unwrap();
        let mut compiler = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".into()));
        let compiled = compiler.args(["-x", "c", "-O0", "-fPIC", "-shared", "-o"]).arg(&library).arg(&source).status();
        assert!(compiled.expect("a C++ compiler").success());
        let cache = Cache::open(Some(&folder.path().join("home"))).unwrap();
        let trials = Trials::new(cache, library.clone(), "1".into());
        for (act, says) in [
            (b'o', ""),
            (b's', ""),
            (b'r', "Exception from here: no conversion rule for `x`"),
            (b'c', "in a trial it crashed (segmentation fault)"),
            (b'e', "in a trial it crashed (abort)"),
        ] {
            let path = folder.path().join(format!("{}.pdmodel", act as char));
            std::fs::write(&path, program(act)).unwrap();
            let files = PaddleFiles { pdmodel: Some(path.clone()), pir: None, params: params.clone() };
            let ask = || trials.require(&options(), &files).map(|_| ()).map_err(|e| e.to_string());
            let first = ask();
            if says.is_empty() {
                assert_eq!((first, ask()), (Ok(()), Ok(())));
                continue;
            }
            let message = first.unwrap_err();
            assert!(message.contains(says) && message.contains("model m") && !message.contains("found before"), "{message}");
            // The finding is what answers now.
            let again = ask().unwrap_err();
            assert!(again.contains(says) && again.contains("found before; delete"), "{again}");
        }
        // Where nothing can be kept it is found anew.
        let nowhere = Trials::new(Cache::open(Some(&params)).unwrap(), library, "1".into());
        let path = folder.path().join("o.pdmodel");
        let files = PaddleFiles { pdmodel: Some(path.clone()), pir: None, params };
        assert_eq!(nowhere.require(&options(), &files).map_err(|e| e.to_string()), Ok(&*path));
    }

    #[test]
    fn a_library_that_does_not_open_says_nothing_of_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let [library, path, params] = ["library.so", "a.pdmodel", "a.pdiparams"].map(|name| folder.path().join(name));
        for (path, bytes) in [(&library, vec![]), (&params, vec![]), (&path, program(b'o'))] {
            std::fs::write(path, bytes).unwrap();
        }
        let trials = Trials::new(Cache::open(Some(folder.path())).unwrap(), library, "1".into());
        let files = PaddleFiles { pdmodel: Some(path.clone()), pir: None, params };
        let message = trials.require(&options(), &files).unwrap_err().to_string();
        assert!(message.contains("the library did not open"), "{message}");
        assert!(!folder.path().join(TRIALS).exists());
    }

    #[test]
    fn runs_have_the_sizes_that_a_network_takes() {
        let spec = |name: &str, dims: &[Option<usize>]| TensorSpec { name: name.into(), dtype: DType::F32, dims: dims.to_vec() };
        let io = |inputs: Vec<TensorSpec>| IoSpec { inputs, outputs: Vec::new() };
        let dims = |runs: &[Vec<Value>]| {
            runs.iter().map(|run| run.iter().map(|i| i["dims"].to_string()).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        let any = io(vec![spec("x", &[None, Some(3), None, None])]);
        assert_eq!(dims(&runs(&any, FixedSize::default())), ["[1,3,320,320]", "[2,3,384,384]"]);
        let size = FixedSize { height: Some(48), width: None };
        assert_eq!(dims(&runs(&any, size)), ["[1,3,48,320]", "[2,3,48,384]"]);
        let detector = [spec("im_shape", &[None, Some(2)]), spec("image", &[None, Some(3), Some(64), Some(32)])];
        let made = runs(&io(detector.to_vec()), FixedSize::default());
        assert_eq!(dims(&made), ["[1,2] [1,3,64,32]", "[2,2] [2,3,64,32]"]);
        assert_eq!(made[0][0]["values"], json!([64.0, 32.0]));
        let lone = io(vec![spec("image", &[None, Some(3), Some(64), Some(32)]), spec("scale_factor", &[Some(1), Some(2)])]);
        assert_eq!(dims(&runs(&lone, FixedSize::default())), ["[1,3,64,32] [1,2]"]);
    }
}

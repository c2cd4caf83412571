//! Opening a pipeline with one network on a model folder, beside the creation of a session of that network as its file has it; ONNX Runtime
//! with one thread. Arguments: `engine`, `hpinfer` or `both`, the pipeline, and the folder. Printed are milliseconds of processor time, of
//! all threads.
//!
//! `engine` and `hpinfer` open once, the library too, in a process that has opened nothing yet. `both` opens in turn where the library is
//! open, and prints the medians of the engine and of hpinfer, and their ratio.

use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::{Backend, BackendName, LoadOptions, Onnx};
use hpinfer::cache::Cache;
use hpinfer::device::Device;
use hpinfer::modules::LoaderOptions;
use hpinfer::pipeline::{PipelineConfig, PipelineName};
use hpinfer::runtime::{self, Library};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::path::Path;

const ROUNDS: usize = 21;

type Outcome = Result<(), Box<dyn Error>>;

fn engine(library: &Path, folder: &str) -> Outcome {
    let onnx = Some(Onnx::File(Path::new(folder).join("inference.onnx")));
    OnnxRuntime::open(library, None)?.load(&LoadOptions { onnx, rewrite: false, ..LoadOptions::new("model") })?;
    Ok(())
}

fn hpinfer(pipeline: &str, folder: &str) -> Outcome {
    let PipelineConfig::Picture(mut config) = PipelineConfig::of(PipelineName::find(pipeline, "pipeline")?) else {
        return Err("a pipeline with one network is expected".into());
    };
    config.model.rename(folder);
    let options = LoaderOptions { threads: 1, backend: Some(BackendName::OnnxRuntime), ..LoaderOptions::default() };
    PipelineConfig::Picture(config).open_on(&[Device::Cpu], &Cache::open(None)?, &options)?;
    Ok(())
}

fn processor_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

fn main() -> Outcome {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, pipeline, folder] = &arguments[..] else { return Err("engine, hpinfer or both; a pipeline; a model folder".into()) };
    let library = runtime::ensure(Library::OnnxRuntime, &Cache::open(None)?, None)?.path;
    let ms = |work: &dyn Fn() -> Outcome| {
        let start = processor_ms();
        work().map(|()| processor_ms() - start)
    };
    let (of_engine, of_hpinfer) = (|| engine(&library, folder), || hpinfer(pipeline, folder));
    match what.as_str() {
        "engine" => println!("{:.1}", ms(&of_engine)?),
        "hpinfer" => println!("{:.1}", ms(&of_hpinfer)?),
        _ => {
            hpinfer(pipeline, folder)?;
            let mut times = [Vec::new(), Vec::new()];
            for _ in 0..ROUNDS {
                times[0].push(ms(&of_engine)?);
                times[1].push(ms(&of_hpinfer)?);
            }
            times.iter_mut().for_each(|times| times.sort_by(f64::total_cmp));
            let [engine, hpinfer] = times.map(|times| times[ROUNDS / 2]);
            println!("{engine:.1} {hpinfer:.1} {:.2}", hpinfer / engine);
        }
    }
    Ok(())
}

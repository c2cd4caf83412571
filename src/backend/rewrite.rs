//! Rewritten forms of a model: of a file, made once and kept in the cache folder under the model's content hash; else, and where that
//! folder takes nothing, in memory.

use super::joined::Joined;
use super::reference::Feed;
use super::{BackendName, Engine, IoSpec, LoadOptions, Onnx, sample};
use crate::cache::{safe_name, sha256, warn_not_kept, write_atomic, write_json};
use crate::error::{Error, Result};
use crate::onnx::surgery::decoder::{self, Decoder, Rules};
use crate::onnx::surgery::same_in_all_steps::move_products;
use crate::onnx::surgery::{self, Run, Surgery};
use crate::onnx::{Classifier, Cut, Model, OutputKind, REWRITE_VERSION, Target};
use crate::tensor::Shape;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A graph to load, and what its first output holds.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The network.
    pub onnx: Onnx,
    /// What was left out at the end.
    pub output: OutputKind,
    /// Whether what it makes of an item depends on the others of the run, which is then to have no others.
    alone: bool,
    /// Where this is the encoder of a network that decodes in a Loop, the other part.
    steps: Option<Steps>,
}

/// How a network that decodes in a Loop runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// As one graph.
    Whole,
    /// As an encoder and a step, which take less time on the processor (`benches/results/2026-11-30-slanet-cpu-avx512.md`).
    InSteps,
}

/// What follows an encoder.
#[derive(Clone, Debug)]
struct Steps {
    step: Onnx,
    rules: Rules,
    /// The network that both parts are made of, as long as they were not compared with it.
    untried: Option<Onnx>,
}

impl Graph {
    fn new(onnx: Onnx, output: OutputKind) -> Self {
        Self { onnx, output, alone: false, steps: None }
    }

    /// What `load` makes of it, or of both parts as one.
    ///
    /// # Errors
    /// Those of `load`; [`Error::Backend`] for parts that give something else than the whole.
    pub fn engine(mut self, load: impl Fn(Self) -> Result<Arc<dyn Engine>>) -> Result<Arc<dyn Engine>> {
        let Some(Steps { step, rules, untried }) = self.steps.take() else { return load(self) };
        let (encoder, step) = (load(self)?, load(Self::new(step, OutputKind::Original))?);
        let info = encoder.info().clone();
        let joined = Joined::new(encoder, step, &rules, info)?;
        if let Some(whole) = untried {
            let whole = load(Self::new(whole, OutputKind::Original))?;
            if let Some(what) = joined.differs_from(&*whole, &some_input(&*whole)?)? {
                let info = whole.info();
                return Err(Error::backend(info.backend.as_str(), format!("model {}: {what}", info.model), "report this"));
            }
        }
        Ok(Arc::new(joined))
    }

    /// What modules are to know of the inputs and outputs `found`.
    pub fn io(&self, found: IoSpec) -> IoSpec {
        if self.alone { found.one_by_one() } else { found }
    }
}

/// Noise for every input: two items, and small pictures.
fn some_input(engine: &dyn Engine) -> Result<Feed> {
    let mut noise = sample::noise();
    let inputs = engine.io().inputs.iter().map(|input| {
        let dims: Vec<usize> = input.dims.iter().enumerate().map(|(axis, d)| d.unwrap_or(if axis == 0 { 2 } else { 64 })).collect();
        let shape = Shape::try_from_slice(&dims)?;
        Ok((input.name.clone(), shape, (0..shape.elements()).map(|_| noise()).collect()))
    });
    inputs.collect()
}

/// What `load` makes of the form of the model that `target` runs fastest: the original where no rewrite is wanted, or where the graph
/// cannot be rewritten or does not load then, which is slower, not wrong. A kept form that does not load is made again, once. `run`
/// runs graphs where a change asks for values. By `loops`, two graphs of a network that decodes in a Loop, which [`Graph::engine`] compares
/// with the whole when they are new.
///
/// # Errors
/// Those of `load`, and of `run` where a graph has to be changed to load; [`Error::Input`](crate::Error::Input) for a file that holds no
/// graph, or one that lacks a tensor.
pub fn load<T>(options: &LoadOptions, target: Target, loops: Loops, run: Run<'_>, load: impl Fn(Graph) -> Result<T>) -> Result<T> {
    let onnx = options.require_onnx(target.into())?;
    let original = Graph::new(onnx.clone(), OutputKind::Original);
    if !options.rewrite {
        return load(original);
    }
    let kept = match (onnx, &options.cache_dir) {
        (Onnx::File(_), Some(folder)) => Some(Kept::new(options, target, loops, folder)),
        _ => None,
    };
    if let Some(graph) = kept.as_ref().and_then(Kept::find) {
        match load(graph.clone()) {
            Err(e) => {
                tracing::warn!("{}: {} does not load and is made again (-vv says why)", options.model, graph.onnx);
                tracing::debug!("{e}");
            }
            loaded => return loaded,
        }
    }
    let mut model = match onnx {
        Onnx::File(path) => read(path, options),
        Onnx::Bytes(bytes) => Model::decode(bytes, &options.model),
    }?;
    model.require_tensors()?;
    if model.is_quantised_by_run() {
        // A last bit decides there what a number is rounded to: any other order of operations gives another result.
        return load(Graph { alone: true, ..original });
    }
    let needed = match target {
        Target::OnnxRuntime | Target::Cuda => &[],
        Target::OpenVino => Surgery::for_openvino(&model.proto),
    };
    let as_it_is = |e: &Error| tracing::warn!("{}: the graph is used as it is: {e}", options.model);
    if let Err(e) = model.refuse_external_weights() {
        return load(original).inspect(|_| as_it_is(&e));
    }
    match surgery::apply(&mut model.proto, needed, run) {
        Ok(changes) => changes.iter().for_each(|(change, count)| tracing::debug!("{}: {change:?} in {count} places", options.model)),
        Err(e) => {
            // What lacks an operator refuses the original too, and says less of what to do.
            let loaded = load(original).inspect_err(|refused| tracing::debug!("{}: {refused}", options.model));
            return loaded.inspect(|_| as_it_is(&e)).map_err(|_| e);
        }
    }
    if loops == Loops::InSteps && decoder::has_loop(&model.proto) {
        let parts = decoder::cut(&model.proto);
        match parts.map(|decoder| in_steps(decoder, onnx, options, target, kept.as_ref(), &load)) {
            None => tracing::info!("{}: its Loop is none that writes a row of each output in a step: it runs as one graph", options.model),
            Some(Err(e)) => tracing::warn!("{}: it decodes as one graph, which takes longer: {e}", options.model),
            Some(loaded) => return loaded,
        }
    }
    let (bytes, report) = model.prepare(target, options.cut)?;
    tracing::debug!("{}: {:?}", options.model, report.counts);
    let keep = |kept: &Kept| kept.keep(&report.output, &bytes).inspect_err(|e| warn_not_kept(kept.folder(), e)).ok();
    let rewritten = kept.as_ref().and_then(keep);
    let rewritten = rewritten.unwrap_or_else(|| Graph::new(Onnx::Bytes(Arc::new(bytes)), report.output));
    load(rewritten).or_else(|refused| {
        kept.iter().for_each(Kept::remove); // what does not load is of no use to later runs
        let loaded = load(original)?;
        tracing::warn!("{}: the graph is used as it is, its faster form does not load: {refused}", options.model);
        Ok(loaded)
    })
}

/// What `load` makes of the two parts of the network in `onnx`, which are kept once they were compared with it.
fn in_steps<T>(
    mut decoder: Decoder,
    onnx: &Onnx,
    options: &LoadOptions,
    target: Target,
    kept: Option<&Kept>,
    load: impl Fn(Graph) -> Result<T>,
) -> Result<T> {
    let moved = move_products(&mut decoder);
    let Decoder { encoder, step, rules } = decoder;
    tracing::info!("{}: as an encoder and a step, {moved} products of each step made once", options.model);
    let prepare = |proto| Ok(Model::from_proto(proto, &options.model).prepare(target, Cut::Nothing)?.0);
    let parts = [prepare(encoder)?, prepare(step)?];
    let keep = |kept: &Kept| kept.keep_parts(&parts).inspect_err(|e| warn_not_kept(kept.folder(), e)).ok();
    let files = kept.and_then(keep);
    let kept = kept.filter(|_| files.is_some());
    let [encoder, step] = files.unwrap_or_else(|| parts.map(|bytes| Onnx::Bytes(Arc::new(bytes))));
    let steps = Steps { step, rules: rules.clone(), untried: Some(onnx.clone()) };
    let loaded = load(Graph { steps: Some(steps), ..Graph::new(encoder, OutputKind::Original) });
    match &loaded {
        Ok(_) => kept.iter().for_each(|kept| kept.keep_rules(&rules)),
        Err(_) => kept.iter().for_each(|kept| kept.remove()),
    }
    loaded
}

/// The graph in a file; one that is pinned has to be what it ought to be.
fn read(path: &Path, options: &LoadOptions) -> Result<Model> {
    let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
    if options.is_pinned && sha256(&bytes) != options.model_sha256 {
        let reason = format!("it is not the network of {0}, its SHA-256 is another; `hpinfer model pull {0}` fetches that", options.model);
        return Err(Error::input(path.display().to_string(), reason));
    }
    Model::decode(&bytes, path)
}

impl From<Target> for BackendName {
    fn from(target: Target) -> Self {
        match target {
            Target::OnnxRuntime | Target::Cuda => Self::OnnxRuntime,
            Target::OpenVino => Self::OpenVino,
        }
    }
}

/// The places of one model's rewritten form. What might be cut is part of the name: a graph without a final softmax answers
/// all wishes the same.
struct Kept {
    stem: PathBuf,
    /// Start of its names, up to the version of the rewrites.
    before_version: String,
}

impl Kept {
    fn new(options: &LoadOptions, target: Target, loops: Loops, folder: &Path) -> Self {
        let key = options.model_sha256.get(..16).unwrap_or(&options.model_sha256);
        let before_version = format!("{}-{key}-{target:?}", safe_name(&options.model));
        Self { stem: folder.join(format!("{before_version}{REWRITE_VERSION}-{:?}-{loops:?}", options.cut)), before_version }
    }

    fn folder(&self) -> &Path {
        self.stem.parent().unwrap_or(&self.stem)
    }

    fn path(&self, kind: &str) -> PathBuf {
        let mut path = self.stem.clone().into_os_string();
        path.push(kind);
        path.into()
    }

    fn graph(&self, output: OutputKind) -> Graph {
        let path = match output {
            OutputKind::Original => self.path("-whole.onnx"),
            OutputKind::Logits => self.path("-logits.onnx"),
            OutputKind::Features(_) => self.path("-features.onnx"),
        };
        Graph::new(Onnx::File(path), output)
    }

    fn classifier(&self) -> PathBuf {
        self.path("-classifier.onnx")
    }

    /// The parts of a network that decodes in a Loop.
    fn parts(&self) -> [PathBuf; 2] {
        ["-encoder.onnx", "-step.onnx"].map(|kind| self.path(kind))
    }

    /// How they are run; only there where they give what the whole gives.
    fn rules(&self) -> PathBuf {
        self.path("-rules.json")
    }

    fn find_parts(&self) -> Option<Graph> {
        let rules = serde_json::from_slice(&std::fs::read(self.rules()).ok()?).ok()?;
        let [encoder, step] = self.parts().map(Onnx::File);
        let steps = Steps { step, rules, untried: None };
        Some(Graph { steps: Some(steps), ..Graph::new(encoder, OutputKind::Original) })
    }

    fn find(&self) -> Option<Graph> {
        if let Some(parts) = self.find_parts() {
            return Some(parts);
        }
        let there = |graph: &Graph| matches!(&graph.onnx, Onnx::File(path) if path.is_file());
        let known = [OutputKind::Logits, OutputKind::Original].map(|kind| self.graph(kind));
        known.into_iter().find(there).or_else(|| {
            let classifier = Classifier::read(&self.classifier()).ok()?;
            Some(self.graph(OutputKind::Features(Arc::new(classifier)))).filter(there)
        })
    }

    fn keep(&self, output: &OutputKind, bytes: &[u8]) -> Result<Graph> {
        if let OutputKind::Features(classifier) = output {
            write_atomic(&self.classifier(), &classifier.to_bytes())?;
        }
        let graph = self.graph(output.clone());
        if let Onnx::File(path) = &graph.onnx {
            write_atomic(path, bytes)?;
        }
        self.remove_earlier();
        Ok(graph)
    }

    fn keep_parts(&self, parts: &[Vec<u8>; 2]) -> Result<[Onnx; 2]> {
        let paths = self.parts();
        for (path, bytes) in paths.iter().zip(parts) {
            write_atomic(path, bytes)?;
        }
        self.remove_earlier();
        Ok(paths.map(Onnx::File))
    }

    fn keep_rules(&self, rules: &Rules) {
        if let Err(e) = write_json(&self.rules(), rules) {
            warn_not_kept(self.folder(), e);
        }
    }

    fn remove(&self) {
        let names = ["-whole.onnx", "-logits.onnx", "-features.onnx", "-classifier.onnx", "-encoder.onnx", "-step.onnx", "-rules.json"];
        names.into_iter().for_each(|kind| drop(std::fs::remove_file(self.path(kind))));
    }

    /// Removes what earlier versions made of the same model for the same engine, which nobody looks for any more.
    fn remove_earlier(&self) {
        let earlier = |name: &str| {
            let version = name.strip_prefix(&self.before_version)?.split('-').next()?;
            version.parse::<u32>().ok().filter(|version| *version < REWRITE_VERSION)
        };
        for entry in std::fs::read_dir(self.folder()).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(|name| earlier(name).is_some()) {
                let _ = std::fs::remove_file(entry.path()); // it takes space, nothing worse
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::TensorSpec;
    use crate::onnx::sample;
    use crate::onnx::surgery::no_run;
    use crate::tensor::DType;
    use std::cell::Cell;

    fn load<T>(options: &LoadOptions, target: Target, run: Run<'_>, load: impl Fn(Graph) -> Result<T>) -> Result<T> {
        super::load(options, target, Loops::InSteps, run, load)
    }

    #[test]
    fn a_kept_form_that_does_not_load_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let original = folder.path().join("inference.onnx");
        let options = LoadOptions {
            onnx: Some(Onnx::File(original.clone())),
            model_sha256: "0123456789abcdef".into(),
            cache_dir: Some(folder.path().join("compiled")),
            ..LoadOptions::new("sample")
        };
        let tries = Cell::new(0);
        let open = || {
            tries.set(0);
            load(&options, Target::OnnxRuntime, &no_run, |graph| {
                tries.set(tries.get() + 1);
                let Onnx::File(path) = graph.onnx else { panic!("a file") };
                Model::read(&path).map(|_| path)
            })
        };
        std::fs::write(&original, b"no graph at all").unwrap();
        let message = open().unwrap_err().to_string();
        assert!(message.contains("inference.onnx") && tries.get() == 0, "{message}");
        std::fs::write(&original, sample::bytes()).unwrap();
        let pinned = LoadOptions { is_pinned: true, ..options.clone() };
        let message = load(&pinned, Target::OnnxRuntime, &no_run, |_| Ok(())).unwrap_err().to_string();
        assert!(message.contains("inference.onnx") && message.contains("model pull sample"), "{message}");
        std::fs::create_dir(folder.path().join("compiled")).unwrap();
        let kept = open().unwrap();
        assert!(kept.starts_with(folder.path().join("compiled")) && tries.get() == 1);
        assert_eq!((open().unwrap(), tries.get()), (kept.clone(), 1));
        let whole = std::fs::read(&kept).unwrap();
        std::fs::write(&kept, &whole[..whole.len() / 2]).unwrap();
        assert_eq!((open().unwrap(), tries.get()), (kept.clone(), 2));
        assert_eq!(std::fs::read(&kept).unwrap(), whole);
    }

    #[test]
    fn a_graph_that_rounds_by_what_is_in_a_run_stays_and_gets_one_item() {
        let mut model = Model::decode(&sample::bytes(), "sample").unwrap();
        model.proto.graph.as_mut().unwrap().node[1].op_type = Some("DynamicQuantizeLinear".into());
        let bytes = model.to_bytes();
        let options = LoadOptions { onnx: Some(Onnx::Bytes(Arc::new(bytes.clone()))), ..LoadOptions::new("sample") };
        let input = TensorSpec { name: "x".into(), dtype: DType::F32, dims: vec![None, Some(4)] };
        let io = IoSpec { inputs: vec![input], outputs: Vec::new() };
        let loaded = load(&options, Target::OnnxRuntime, &no_run, |graph| {
            let Onnx::Bytes(loaded) = &graph.onnx else { panic!("bytes") };
            Ok((**loaded == bytes, graph.io(io.clone()).most_items()))
        });
        assert_eq!(loaded.unwrap(), (true, 1));
        let options = LoadOptions { onnx: Some(Onnx::Bytes(Arc::new(sample::bytes()))), ..LoadOptions::new("sample") };
        assert_eq!(load(&options, Target::OnnxRuntime, &no_run, |graph| Ok(graph.io(io.clone()).most_items())).unwrap(), usize::MAX);
    }

    #[test]
    fn a_form_that_no_engine_takes_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (original, compiled) = (folder.path().join("inference.onnx"), folder.path().join("compiled"));
        std::fs::write(&original, sample::bytes()).unwrap();
        let options = LoadOptions {
            onnx: Some(Onnx::File(original)),
            model_sha256: "0123456789abcdef".into(),
            cache_dir: Some(compiled.clone()),
            ..LoadOptions::new("sample")
        };
        let refused = load(&options, Target::OnnxRuntime, &no_run, |_| Err::<(), _>(Error::input("sample", "refused")));
        assert!(refused.is_err() && std::fs::read_dir(compiled).unwrap().next().is_none());
    }

    #[test]
    fn what_earlier_versions_made_of_the_same_model_goes() {
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions { model_sha256: "0123456789abcdef".into(), ..LoadOptions::new("sample") };
        let kept = Kept::new(&options, Target::OnnxRuntime, Loops::InSteps, folder.path());
        let name = |start: &str, version: u32| folder.path().join(format!("{start}{version}-Softmax-classifier.onnx"));
        let of_others = ["sample-0123456789abcdef-OpenVino", "sample-ffff456789abcdef-OnnxRuntime"].map(|start| name(start, 1));
        let [earlier, later] = [1, REWRITE_VERSION + 1].map(|version| name("sample-0123456789abcdef-OnnxRuntime", version));
        for path in of_others.iter().chain([&earlier, &later]) {
            std::fs::write(path, b"x").unwrap();
        }
        let Onnx::File(made) = kept.keep(&OutputKind::Original, b"graph").unwrap().onnx else { panic!("a file") };
        assert!(!earlier.exists() && of_others.iter().chain([&later, &made]).all(|path| path.exists()));
    }

    #[test]
    fn a_form_that_cannot_be_kept_is_made_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let (original, taken) = (folder.path().join("inference.onnx"), folder.path().join("compiled"));
        std::fs::write(&original, sample::bytes()).unwrap();
        std::fs::write(&taken, b"no folder").unwrap();
        let options = LoadOptions {
            onnx: Some(Onnx::File(original.clone())),
            model_sha256: "0123456789abcdef".into(),
            cache_dir: Some(taken),
            ..LoadOptions::new("sample")
        };
        let in_memory = || load(&options, Target::OnnxRuntime, &no_run, |graph| Ok(matches!(graph.onnx, Onnx::Bytes(_)))).unwrap();
        assert!(in_memory() && in_memory());
    }

    #[test]
    fn a_graph_whose_faster_form_does_not_load_is_used_as_it_is() {
        let options = LoadOptions { onnx: Some(Onnx::Bytes(Arc::new(sample::bytes()))), ..LoadOptions::new("sample") };
        let refuse_unless = |is_taken: fn(&[u8]) -> bool| {
            load(&options, Target::OnnxRuntime, &no_run, |graph| match graph.onnx {
                Onnx::Bytes(bytes) if is_taken(&bytes) => Ok(()),
                _ => Err(Error::input("sample", "refused")),
            })
        };
        assert!(refuse_unless(|bytes| bytes == sample::bytes()).is_ok());
        assert!(refuse_unless(|_| false).unwrap_err().to_string().contains("refused"));
    }
}

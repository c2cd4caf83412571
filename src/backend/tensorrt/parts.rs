//! The engines that a model takes: one, or two where it decodes step by step and the library takes no Loop.

use super::builder::Source;
use super::ffi::{BuildOptions, Range};
use super::recipe;
use crate::backend::joined::Joined;
use crate::backend::reference::{self, Feed};
use crate::backend::{Backend, Onnx, sample};
use crate::cache::sha256;
use crate::error::{Error, Result};
use crate::onnx::Model;
use crate::onnx::surgery::decoder::{self, Decoder, Rules};
use crate::tensor::TensorRef;
use std::sync::Arc;

/// One engine to build.
pub struct Part {
    /// Its network.
    pub source: Source,
    /// How it is built.
    pub options: BuildOptions,
}

/// Everything before the Loop, and one step of it.
pub struct CutLoop {
    /// The parts in this order.
    pub parts: [Part; 2],
    /// How the second is run.
    pub rules: Rules,
}

/// The parts of `source` with the network `model`, which `options` are for; `None` where it does not decode in a Loop. `known` are the
/// shapes of the step, where the parts were compared with the whole before.
///
/// # Errors
/// [`Error::Backend`] where the parts give something else than the whole in `reference`.
pub fn cut(
    source: &Source,
    model: &Model,
    options: &BuildOptions,
    known: Option<Vec<Vec<Range>>>,
    reference: &dyn Fn() -> Result<Arc<dyn Backend>>,
) -> Result<Option<CutLoop>> {
    let Some(Decoder { encoder, step, rules }) = decoder::cut(&model.proto) else { return Ok(None) };
    let name = &source.model;
    tracing::info!("{name}: Decoder in 1 places, as an encoder and a step");
    let [encoder, step] = [encoder, step].map(|proto| Model::from_proto(proto, name));
    let profiles = match known {
        Some(profiles) => profiles,
        None => {
            let reference = reference()?;
            compare(name, model, [&encoder, &step], &rules, options, &*reference)?;
            profiles(name, &encoder, &step, options, &*reference)?
        }
    };
    let step_options = BuildOptions { profiles, ..options.clone() };
    let part = |model: &Model, which: &str, options| {
        let (bytes, sha256) = (Onnx::Bytes(Arc::new(model.to_bytes())), sha256(format!("{} {which}", source.sha256).as_bytes()));
        Part { source: Source::new(format!("{name}.{which}"), bytes, sha256), options }
    };
    Ok(Some(CutLoop { parts: [part(&encoder, "encoder", options.clone()), part(&step, "step", step_options)], rules }))
}

/// The shapes of a step: those that the encoder gives at the ends of each of its own profiles.
fn profiles(name: &str, encoder: &Model, step: &Model, options: &BuildOptions, reference: &dyn Backend) -> Result<Vec<Vec<Range>>> {
    let engine = reference::load(name, encoder, reference)?;
    let inputs = recipe::inputs(step);
    let profile = |at: usize| {
        let feeds = reference::ENDS.map(|end| reference::zeros(encoder, options, at, end));
        let feeds: Vec<Feed> = feeds.into_iter().collect::<Result<_>>()?;
        let shape = |_: &str, tensor: TensorRef<'_>| tensor.shape.dims().iter().map(|d| *d as i64).collect::<Vec<_>>();
        let ends = reference::outputs(&*engine, &feeds, shape)?;
        let range = |(index, input): (usize, &recipe::Input)| {
            let [min, opt, max] = [0, 1, 2].map(|end: usize| ends[end][index].clone());
            Range { input: input.name.clone(), min, opt, max }
        };
        Ok(inputs.iter().enumerate().map(range).collect())
    };
    (0..options.profiles.len()).map(profile).collect()
}

/// Refuses parts that give something else than the whole on noise of the least shape.
fn compare(name: &str, whole: &Model, parts: [&Model; 2], rules: &Rules, options: &BuildOptions, reference: &dyn Backend) -> Result<()> {
    let whole = reference::load(name, whole, reference)?;
    let [encoder, step] = [reference::load(name, parts[0], reference)?, reference::load(name, parts[1], reference)?];
    let joined = Joined::new(encoder, step, rules, whole.info().clone())?;
    let mut noise = sample::noise();
    let mut feed = reference::zeros(parts[0], options, 0, reference::ENDS[0])?;
    feed.iter_mut().flat_map(|(_, _, values)| values).for_each(|v| *v = noise());
    match joined.differs_from(&*whole, &feed)? {
        None => Ok(()),
        Some(what) => Err(Error::backend("tensorrt", format!("model {name}: {what}"), "choose onnx_runtime for this model")),
    }
}

//! Half precision: the graph is converted, and what it gives is compared with what the original gives, in ONNX Runtime on the processor,
//! before an engine is built of it. A model that loses more than its recipe allows is refused.
//!
//! ONNX Runtime has few float16 steps for the processor: it does most in float32 and leaves the rounding between them out. What counts is
//! therefore a graph that rounds by itself; the converted one runs too, so that it is known to be whole. Whether values leave the range of
//! float16 is measured in the original graph; values that do stay in float32.

use super::cache::Float16;
use super::ffi::BuildOptions;
use super::recipe::{self, HalfRules};
use crate::backend::Backend;
use crate::backend::reference::{self, Feed, Output, difference};
use crate::error::{Error, Result};
use crate::onnx::Model;
use crate::onnx::half::{Converted, Keep, convert, observed, rounded};
use crate::onnx::surgery;
use std::collections::HashSet;

/// Greatest absolute value that may be float16: its limit, less a margin for inputs that are louder than those tried.
const MOST: f32 = 65504.0 / 4.0;

/// A graph in float16.
pub struct Half {
    /// The graph.
    pub model: Model,
    /// What came of the comparison.
    pub check: Float16,
}

/// Converts `model` by `rules` and compares the two in `reference` on inputs of the usual shapes of `options`.
///
/// # Errors
/// [`Error::Config`] for a model that loses more than the rules allow.
pub fn convert_checked(name: &str, model: &Model, rules: &HalfRules, options: &BuildOptions, reference: &dyn Backend) -> Result<Half> {
    // What follows a suppression, or the masks at full size, depends on which side of a threshold a score falls: the engines of both
    // are compared before that. It is converted, or not, with the rest.
    let mut checked = model.proto.clone();
    surgery::apply(&mut checked, &surgery::DETECTIONS, &surgery::no_run)?;
    let feeds = reference::feeds(&recipe::inputs(&Model::from_proto(checked.clone(), name)), options)?;
    let run = |proto| run(name, Model::from_proto(proto, name), reference, &feeds);
    let mut keep = Keep { operators: rules.float32.clone(), values: HashSet::new() };
    let wide = {
        let Converted { values, .. } = convert(&checked, &keep);
        let outputs = checked.graph.as_ref().map_or(0, |graph| graph.output.len());
        let ranges = run(observed(&checked, &values))?;
        let too_wide =
            |index: &usize| ranges.iter().any(|run| run[outputs + index].1.first().is_none_or(|most| most.is_nan() || *most > MOST));
        (0..values.len()).filter(too_wide).map(|index| values[index].clone()).collect::<HashSet<_>>()
    };
    keep.values = wide;
    let expected = run(checked.clone())?;
    let found = [run(rounded(&checked, &keep))?, run(convert(&checked, &keep).model)?];
    let error = found.iter().map(|found| difference(&expected, found)).fold(0.0, f32::max);
    if error > rules.error {
        let reason = format!("model {name}: float16 changes its outputs by {error:.3} of the greatest, {:.3} is allowed", rules.error);
        return Err(Error::config("precision fp16", format!("{reason}; leave it in fp32")));
    }
    let Converted { model, values, casts } = convert(&model.proto, &keep);
    if values.is_empty() {
        let reason = format!("model {name}: nothing in its graph can be float16; leave it in fp32");
        return Err(Error::config("precision fp16", reason));
    }
    let check = Float16 { error, values: values.len(), kept: keep.values.len() };
    let Float16 { values, kept, .. } = check;
    tracing::info!("{name}: {values} values in float16, {casts} casts, {kept} too large for it; it changes outputs by {error:.1e}");
    Ok(Half { model: Model::from_proto(model, name), check })
}

/// Outputs of each run.
fn run(name: &str, model: Model, reference: &dyn Backend, feeds: &[Feed]) -> Result<Vec<Vec<Output>>> {
    reference::run(name, &model, reference, feeds, |_, tensor| reference::elements(tensor))
}

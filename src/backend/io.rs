//! What a network takes and gives, by name, type and dimensions, and what modules ask of that.

use super::BackendName;
use crate::error::{Error, Result};
use crate::tensor::DType;
use crate::trace::plural;

/// Name, element type and dimensions of one input or output; `None` marks a free dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Name in the graph.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions, outermost first; none where even their number is only known after a run.
    pub dims: Vec<Option<usize>>,
}

/// Inputs and outputs of a network, in graph order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoSpec {
    /// Inputs.
    pub inputs: Vec<TensorSpec>,
    /// Outputs.
    pub outputs: Vec<TensorSpec>,
}

/// What to do with a network whose tensors are of types that sessions do not have.
pub(super) const TYPES: &str =
    "convert the model with inputs of float32 and outputs of float32, int32 or int64 (keep_io_types of float16 converters)";

impl IoSpec {
    /// The same of a network that gets one item a run.
    pub(super) fn one_by_one(mut self) -> Self {
        self.inputs.iter_mut().filter_map(|input| input.dims.first_mut()).for_each(|items| *items = Some(1));
        self
    }

    /// Most items that can share a run: the least of the fixed first dimensions of the inputs.
    pub fn most_items(&self) -> usize {
        let fixed = self.inputs.iter().filter_map(|input| input.dims.first().copied().flatten());
        fixed.min().unwrap_or(usize::MAX).max(1)
    }

    /// Height and width that the pictures `[N, 3, H, W]` of input `index` have to have.
    pub fn picture_sides(&self, index: usize) -> [Option<usize>; 2] {
        let side = |axis: usize| self.inputs.get(index).and_then(|input| input.dims.get(axis).copied().flatten());
        [side(2), side(3)]
    }

    /// Why the inputs are no pictures, as many as are wanted, or what goes with them; `None` when they are.
    pub fn takes_no_pictures(&self) -> Option<String> {
        let of_input = |TensorSpec { name, dims, .. }: &TensorSpec| match dims[..] {
            [Some(items @ 2..), ..] => Some(format!("input `{name}` takes {items} items a run, no fewer; export it for 1 or any number")),
            [_, channels, _, Some(3)] if channels != Some(3) => {
                Some(format!("input `{name}` has its channels last; export it for [N, 3, height, width]"))
            }
            [_, Some(channels), _, _] if channels != 3 => {
                Some(format!("input `{name}` has {}, 3 are expected: it is that of another model", plural(channels, "channel")))
            }
            _ => None,
        };
        self.inputs.iter().find_map(of_input)
    }

    /// Refuses inputs that [`Session::input`](super::Session::input) cannot lend.
    pub(super) fn require_float_inputs(&self, backend: BackendName, model: &str) -> Result<()> {
        match self.inputs.iter().find(|spec| spec.dtype != DType::F32) {
            Some(spec) => {
                Err(Error::backend(backend.as_str(), format!("model {model}: input `{}` is of type {:?}", spec.name, spec.dtype), TYPES))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_that_are_no_pictures_say_why() {
        let io = |dims: &[Option<usize>]| {
            let input = TensorSpec { name: "x".into(), dtype: DType::F32, dims: dims.to_vec() };
            IoSpec { inputs: vec![input], outputs: Vec::new() }
        };
        let why = |dims: &[Option<usize>]| io(dims).takes_no_pictures().unwrap_or_default();
        for taken in [&[None; 4][..], &[Some(1), Some(3), Some(640), Some(3)], &[None, None, None, None], &[Some(1), Some(2)], &[]] {
            assert_eq!(why(taken), "");
        }
        assert!(why(&[Some(4), Some(3), None, None]).contains("takes 4 items a run"));
        assert!(why(&[Some(4), Some(2)]).contains("takes 4 items a run"));
        assert!(why(&[None, Some(224), Some(224), Some(3)]).contains("channels last"));
        assert!(why(&[None, None, None, Some(3)]).contains("channels last"));
        assert!(why(&[None, Some(1), Some(224), Some(224)]).contains("1 channel, 3 are expected"));
        let one_by_one = io(&[None; 4]).one_by_one();
        assert_eq!((one_by_one.most_items(), io(&[None; 4]).most_items()), (1, usize::MAX));
        assert_eq!(io(&[None, Some(3), Some(48), None]).picture_sides(0), [Some(48), None]);
    }
}

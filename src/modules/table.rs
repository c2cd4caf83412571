//! Table structure: the picture of a table → structure tokens and cell corners.

use super::feed::Placed;
use super::network::{Engines, Network, Share};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{PictureRef, Size};
use crate::model::{CellScale, TableSpec};
use crate::ops::resize_norm::{self, Interpolation, Params, Planes};
use crate::ops::table::{self, Scale, Structure};
use crate::tensor::Shape;
use crate::trace::{Stage, StageTimes};

/// Values of a step in the output of cell corners.
const CORNER_VALUES: usize = 8;

/// A loaded recogniser of table structure, shared by workers.
pub struct TableStructure {
    spec: TableSpec,
    network: Network<resize_norm::cpu::Scratch>,
}

impl TableStructure {
    /// A recogniser that runs `engines` by the rules of `spec`.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has other inputs or outputs than recognisers of table structure, takes another size, or
    /// has other classes than the dictionary.
    pub fn new(engines: impl Into<Engines>, spec: TableSpec) -> Result<Self> {
        let network = Network::new(engines);
        let floats = || network.no_floats(0).or_else(|| network.no_floats(1));
        let size = || network.wrong_size(0, spec.canvas);
        let classes = || {
            let mut last = network.io().outputs.iter().take(2).filter_map(|output| output.dims.last().copied().flatten());
            let (classes, known) = (last.find(|&last| last != CORNER_VALUES)?, spec.tokens.len());
            (classes != known).then(|| format!("the dictionary gives {known} tokens for the {classes} classes of the network"))
        };
        if let Some(reason) =
            network.other_inputs().or_else(|| network.other_outputs(&[&[3], &[3]])).or_else(floats).or_else(size).or_else(classes)
        {
            return Err(Error::config(format!("model {}", network.info().model), reason));
        }
        Ok(Self { spec, network })
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        self.network.info()
    }

    /// The structure of the table that fills `image` (BGR). The number of steps of the decoder depends on the picture, so
    /// tables do not share runs.
    pub fn recognise(&self, image: PictureRef<'_>, share: Share, times: &mut StageTimes) -> Result<Structure> {
        self.network.with(share, |worker| {
            times.moving(Stage::Pre, |transfers| {
                // A decoder in steps has its data on the host, on whichever device it runs.
                let is_fed_there = self.info().device == "cpu" || worker.session.on_gpu().is_some();
                let image = if is_fed_there { image } else { image.on_host(transfers)?.into() };
                let (canvas, normalize) = (self.spec.canvas, self.spec.normalize);
                let params = Params { canvas, interpolation: Interpolation::Linear, normalize, pad: 0.0, planes: Planes::Bgr };
                worker.feed_pictures(0, &[Placed::whole(image, self.resized(image.size()))], &params, share, transfers)
            })?;
            worker.run(Stage::Infer, times)?;
            times.moving(Stage::Post, |transfers| {
                let outputs = worker.outputs(2, transfers)?;
                let (first, second) = (outputs[0].tensor()?, outputs[1].tensor()?);
                let is_corners = |shape: &Shape| shape.dims().last() == Some(&CORNER_VALUES);
                let (corners, probabilities) = if is_corners(&first.shape) { (first, second) } else { (second, first) };
                let steps = |shape: &Shape, values: usize| match *shape.dims() {
                    [1, steps, last] if last == values => Some(steps),
                    _ => None,
                };
                let classes = self.spec.tokens.len();
                let (cells, tokens) = (steps(&corners.shape, CORNER_VALUES), steps(&probabilities.shape, classes));
                if cells.is_none() || cells != tokens {
                    let found = format!("outputs {} and {}", corners.shape, probabilities.shape);
                    return Err(self.network.fault(format!("{found}; [1 x steps x 8] and [1 x steps x {classes}] are expected")));
                }
                let scale = match self.spec.cells {
                    CellScale::Picture => Scale::of_picture(image.size()),
                    CellScale::Canvas => Scale::of_canvas(self.spec.canvas, image.size()),
                };
                table::decode(probabilities.as_f32()?, corners.as_f32()?, &self.spec.tokens, scale)
            })
        })
    }

    /// The longer side at its length, both rounded half to even.
    fn resized(&self, picture: Size) -> Size {
        let ratio = f64::from(self.spec.max_len) / f64::from(picture.width.max(picture.height).max(1));
        let side = |side: u32, most: u32| ((f64::from(side) * ratio).round_ties_even() as u32).clamp(1, most);
        Size::new(side(picture.width, self.spec.canvas.width), side(picture.height, self.spec.canvas.height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::fake::FakeEngine;
    use crate::ops::resize_norm::Normalize;
    use std::sync::Arc;

    #[test]
    fn the_longer_side_has_its_length_and_the_other_is_rounded_half_to_even() {
        let (tokens, cells) = (vec!["eos".to_owned()], CellScale::Picture);
        let spec = TableSpec { max_len: 488, normalize: Normalize::IMAGENET, canvas: Size::new(488, 488), tokens, cells };
        let engine = FakeEngine::with_io("table", &[("x", &[None; 4])], 2, |_| Ok(Vec::new()));
        let table = TableStructure::new(Arc::new(engine), spec).unwrap();
        for (picture, expected) in [((300, 100), (488, 163)), ((976, 101), (488, 50)), ((103, 976), (52, 488)), ((9000, 1), (488, 1))] {
            assert_eq!(table.resized(Size::new(picture.0, picture.1)), Size::new(expected.0, expected.1), "{picture:?}");
        }
    }
}

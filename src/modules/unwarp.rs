//! Unwarping: the photograph of a page → the page made flat.

use super::feed::Placed;
use super::network::{Engines, Network, Share};
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, PictureRef, PixelFormat};
use crate::model::UnwarpingSpec;
use crate::ops::resize_norm::{self, Interpolation, Params, Planes};
use crate::trace::{Stage, StageTimes};

/// A loaded network that flattens pages, shared by workers.
pub struct Unwarp {
    spec: UnwarpingSpec,
    network: Network<resize_norm::cpu::Scratch>,
}

impl Unwarp {
    /// One that runs `engines` by the rules of `spec`.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has other inputs or outputs than those that give a picture for a picture.
    pub fn new(engines: impl Into<Engines>, spec: UnwarpingSpec) -> Result<Self> {
        let network = Network::new(engines);
        match network.other_inputs().or_else(|| network.other_outputs(&[&[3, 4]])).or_else(|| network.no_floats(0)) {
            Some(reason) => Err(Error::config(format!("model {}", network.info().model), reason)),
            None => Ok(Self { spec, network }),
        }
    }

    /// What runs.
    pub fn info(&self) -> &RunInfo {
        self.network.info()
    }

    /// The page on `image`, flat: BGR, of the same size. Values outside of 0..1 are clamped, which the reference leaves out; the
    /// colours are those of the picture, which depend on the way to the file there.
    pub fn flatten(&self, image: PictureRef<'_>, share: Share, times: &mut StageTimes) -> Result<ImageBuf> {
        let size = image.size();
        self.network.with(share, |worker| {
            times.moving(Stage::Pre, |transfers| {
                let (interpolation, normalize) = (Interpolation::Linear, self.spec.normalize);
                let params = Params { canvas: size, interpolation, normalize, pad: 0.0, planes: Planes::Rgb };
                worker.feed_pictures(0, &[Placed::whole(image, size)], &params, share, transfers)
            })?;
            worker.run(Stage::Infer, times)?;
            times.moving(Stage::Post, |transfers| {
                let outputs = worker.outputs(1, transfers)?;
                let output = outputs[0].tensor()?;
                let area = size.area() as usize;
                if output.shape.elements() != 3 * area {
                    return Err(self.network.fault(format!("output {} for a picture of {size}; the same size is expected", output.shape)));
                }
                let planes = output.as_f32()?;
                let sample = |v: f32| (v * 255.0).clamp(0.0, 255.0) as u8;
                let data = (0..area).flat_map(|at| [2, 1, 0].map(|plane| sample(planes[plane * area + at]))).collect();
                ImageBuf::new(data, size, PixelFormat::Bgr)
            })
        })
    }
}

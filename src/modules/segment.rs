//! Semantic segmentation: a picture → the class of every pixel.

use super::feed::{PictureWorker, Placed};
use super::network::{Engines, Network, Share};
use super::picture::PictureModule;
use super::{bounded, factor_within, long, scaled, short};
use crate::backend::{Format, RunInfo};
use crate::error::{Error, Result};
use crate::image::{PictureRef, Size};
use crate::model::{SegResize, SegSize, SegmentationSpec};
use crate::ops::mask;
use crate::ops::resize_norm::{self, Interpolation, Params, Planes};
use crate::result::LabelMap;
use crate::tensor::Data;
use crate::tensor::device::DeviceData;
use crate::tensor::storage::download;
use crate::trace::{Stage, StageTimes, Transfers};

/// A loaded segmenter, shared by workers.
pub struct Segment {
    spec: SegmentationSpec,
    network: Network<resize_norm::cpu::Scratch>,
}

impl Segment {
    /// A segmenter that runs `engines` by the rules of `spec`.
    ///
    /// # Errors
    /// [`Error::Config`] when the network has other inputs or outputs than segmenters.
    pub fn new(engines: impl Into<Engines>, spec: SegmentationSpec) -> Result<Self> {
        let network = Network::new(engines);
        match network.other_inputs().or_else(|| network.other_outputs(&[&[3, 4]])) {
            Some(reason) => Err(Error::config(format!("model {}", network.info().model), reason)),
            None => Ok(Self { spec, network }),
        }
    }

    fn predict_with(
        &self,
        worker: &mut PictureWorker,
        images: &[PictureRef<'_>],
        share: Share,
        times: &mut StageTimes,
    ) -> Result<Vec<LabelMap>> {
        let Some(canvas) = images.first().map(|image| self.fed_size(image.size())) else { return Ok(Vec::new()) };
        times.moving(Stage::Pre, |transfers| {
            let items: Vec<Placed<PictureRef>> = images.iter().map(|&src| Placed::whole(src, canvas)).collect();
            let interpolation = self.spec.resize.map_or(Interpolation::Linear, |resize| resize.interpolation);
            let params = Params { canvas, interpolation, normalize: self.spec.normalize, pad: 0.0, planes: Planes::Rgb };
            worker.feed_pictures(0, &items, &params, share, transfers)
        })?;
        worker.run(Stage::Infer, times)?;
        times.moving(Stage::Post, |transfers| {
            let labels = self.labels(worker, images.len(), canvas, transfers)?;
            let maps = labels.chunks_exact(canvas.area() as usize).zip(images);
            maps.map(|(labels, image)| LabelMap::new(image.size(), restored(labels, canvas, image.size()))).collect()
        })
    }

    /// The classes of the pixels of `pictures` pictures of the size `fed`: those of the graph, or where it leaves the choice
    /// out the one with the greatest score, of equal ones the lowest.
    fn labels(&self, worker: &mut PictureWorker, pictures: usize, fed: Size, transfers: &mut Transfers) -> Result<Vec<u8>> {
        let (height, width, pixels) = (fed.height as usize, fed.width as usize, fed.area() as usize);
        if let Some(session) = worker.session.on_gpu() {
            let stream = session.stream().clone();
            let output = session.outputs(1)?[0];
            if let (DeviceData::F32(scores), &[n, classes, h, w]) = (output.data, output.shape.dims())
                && (n, h, w) == (pictures, height, width)
                && classes > 1
            {
                let mut labels = stream.alloc(pictures * pixels)?;
                mask::cuda::argmax(&stream, scores, pictures, classes, &mut labels.slice_mut())?;
                return Ok(download(labels.slice(), &stream, transfers)?.on_host()?.to_vec());
            }
        }
        let outputs = worker.outputs(1, transfers)?;
        let output = outputs[0].tensor()?;
        let dims = output.shape.dims();
        match (output.data, dims) {
            (Data::I32(data), [n, h, w] | [n, 1, h, w]) if (*n, *h, *w) == (pictures, height, width) => {
                data.iter().map(|&v| self.label(v.into())).collect()
            }
            (Data::I64(data), [n, h, w] | [n, 1, h, w]) if (*n, *h, *w) == (pictures, height, width) => {
                data.iter().map(|&v| self.label(v)).collect()
            }
            (Data::F32(data), [n, classes, h, w]) if *classes > 1 && (*n, *h, *w) == (pictures, height, width) => {
                let mut labels = vec![0; pictures * pixels];
                for (scores, labels) in data.chunks_exact(classes * pixels).zip(labels.chunks_exact_mut(pixels)) {
                    mask::cpu::argmax(scores, *classes, labels)?;
                }
                Ok(labels)
            }
            _ => {
                let expected = format!(
                    "classes [{pictures}x{height}x{width}], or scores [{pictures} x classes x {height}x{width}] of two or more classes, are expected"
                );
                Err(self.network.fault(format!("output {}; {expected}", output.shape)))
            }
        }
    }

    fn label(&self, class: i64) -> Result<u8> {
        u8::try_from(class).map_err(|_| self.network.fault(format!("a pixel of class {class}; classes are 0 to {}", u8::MAX)))
    }

    fn fed_size(&self, picture: Size) -> Size {
        self.spec.resize.map_or(picture, |resize| resized(resize, picture))
    }
}

impl PictureModule for Segment {
    type Output = LabelMap;

    fn info(&self) -> &RunInfo {
        self.network.info()
    }

    fn max_batch(&self) -> usize {
        self.network.max_batch()
    }

    fn input_size(&self, picture: Size) -> Result<Size> {
        let fed = self.fed_size(picture);
        bounded(&self.info().model, picture, fed, "a ResizeByLong in its inference.yml bounds it")?;
        match self.network.wrong_size(0, fed) {
            None => Ok(fed),
            Some(reason) => {
                let info = self.info();
                // Only a converted form has lost what the model's own takes.
                let other = if info.format == Format::Onnx { "choose a backend that runs the model's own form, or " } else { "" };
                let cure = "add a Resize to the transforms of its inference.yml";
                Err(Error::input("picture", format!("model {}: {reason}; {other}{cure}", info.model)))
            }
        }
    }

    fn predict(&self, images: &[PictureRef<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<LabelMap>> {
        self.network.with(share, |worker| self.predict_with(worker, images, share, times))
    }
}

fn resized(resize: SegResize, picture: Size) -> Size {
    let size = match resize.rule {
        SegSize::Fixed(size) => size,
        SegSize::Within(size) => scaled(picture, factor_within(picture, size)),
        SegSize::Long(side) => scaled(picture, f64::from(side) / long(picture)),
        SegSize::Short(side) => scaled(picture, f64::from(side) / short(picture)),
    };
    let step = resize.size_divisor.unwrap_or(1).max(1);
    let up = |side: u32| side.checked_next_multiple_of(step).unwrap_or(side); // sides of that size are refused
    Size::new(up(size.width), up(size.height))
}

/// A map of size `from` brought to the size of its picture: OpenCV's `INTER_NEAREST`, as PaddleX 3.x does; 3.0-beta1
/// leaves the map at the size of the network's input.
fn restored(labels: &[u8], from: Size, to: Size) -> Vec<u8> {
    if from == to {
        return labels.to_vec();
    }
    let nearest = |from: u32, to: u32| -> Vec<usize> {
        let step = 1.0 / (f64::from(to) / f64::from(from));
        (0..to).map(|d| ((f64::from(d) * step).floor() as usize).min(from as usize - 1)).collect()
    };
    let (columns, rows) = (nearest(from.width, to.width), nearest(from.height, to.height));
    let width = from.width as usize;
    rows.into_iter().flat_map(|y| columns.iter().map(move |x| labels[y * width + x])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_are_brought_up_to_the_divisor() {
        let picture = Size::new(101, 50);
        for (rule, expected) in [
            (SegSize::Fixed(Size::new(70, 64)), Size::new(96, 64)),
            (SegSize::Within(Size::new(202, 202)), Size::new(224, 128)),
            (SegSize::Long(64), Size::new(64, 32)),
            (SegSize::Short(33), Size::new(96, 64)),
        ] {
            let resize = SegResize { rule, interpolation: Interpolation::Linear, size_divisor: Some(32) };
            assert_eq!(resized(resize, picture), expected, "{rule:?}");
        }
    }
}

//! Instance segmentation: a picture → boxes with classes and the shape inside of each.

use super::detect::Detect;
use super::masks::{Wanted, masks};
use super::network::{Engines, Share};
use super::picture::PictureModule;
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::{PictureRef, Size};
use crate::model::DetectionSpec;
use crate::ops::mask::Window;
use crate::result::{DetectedBox, Mask};
use crate::trace::StageTimes;

/// What is in a picture; the lists have one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instances {
    /// Boxes with classes.
    pub boxes: Vec<DetectedBox>,
    /// The shape inside of each box.
    pub masks: Vec<Mask>,
}

/// A loaded instance segmenter, shared by workers. It is a detector with a third output, of which `masks` makes the shapes.
pub struct SegmentInstances {
    detect: Detect,
}

impl SegmentInstances {
    /// A segmenter that runs `engines` by the rules of `spec`.
    ///
    /// # Errors
    /// As [`Detect::new`].
    pub fn new(engines: impl Into<Engines>, spec: DetectionSpec) -> Result<Self> {
        Ok(Self { detect: Detect::new(engines, spec)? })
    }
}

impl PictureModule for SegmentInstances {
    type Output = Instances;

    fn info(&self) -> &RunInfo {
        self.detect.info()
    }

    /// One: the exported graphs resize all masks to the size of the first picture.
    fn max_batch(&self) -> usize {
        1
    }

    fn input_size(&self, picture: Size) -> Result<Size> {
        self.detect.input_size(picture)
    }

    fn predict(&self, images: &[PictureRef<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Instances>> {
        let of_one = |image: &PictureRef<'_>| {
            self.detect.run(&[*image], share, times, |worker, rows, transfers| {
                let kept = self.detect.kept(rows.of_pictures().next().unwrap_or_default(), image.size())?;
                if kept.is_empty() {
                    return Ok(Instances::default());
                }
                let wanted =
                    |(row, found): &(usize, DetectedBox)| Wanted { row: *row, window: Window::of_box(found.coordinate, image.size()) };
                let wanted: Vec<Wanted> = kept.iter().map(wanted).collect();
                let masks = masks(worker, &wanted, image.size(), transfers, |found| self.detect.network().fault(found))?;
                Ok(Instances { boxes: kept.into_iter().map(|(_, found)| found).collect(), masks })
            })
        };
        images.iter().map(of_one).collect()
    }
}

//! Instance segmentation: a picture → boxes with classes and the shape inside of each.

use super::detect::Detect;
use super::network::{Engines, Share};
use super::picture::PictureModule;
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::{ImageView, Size};
use crate::model::DetectionSpec;
use crate::ops::mask::Window;
use crate::result::{DetectedBox, Mask};
use crate::tensor::{Data, TensorRef};
use crate::trace::StageTimes;

/// What is in a picture; the lists have one length.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instances {
    /// Boxes with classes.
    pub boxes: Vec<DetectedBox>,
    /// The shape inside of each box.
    pub masks: Vec<Mask>,
}

/// A loaded instance segmenter, shared by workers. It is a detector with a third output: for every row a map of 0 and 1 of
/// the picture's size.
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

    /// The part of map `number` inside of a box.
    fn cut(&self, maps: &TensorRef<'_>, number: usize, picture: Size, found: &DetectedBox) -> Result<Mask> {
        let fits =
            |dims: &[usize]| matches!(dims, [n, h, w] if *n > number && (*w, *h) == (picture.width as usize, picture.height as usize));
        if !fits(maps.shape.dims()) {
            let expected = format!("a map of {picture} for every row is expected");
            return Err(self.detect.network().fault(format!("masks {}; {expected}", maps.shape)));
        }
        let window = Window::of_box(found.coordinate, picture);
        let start = number * picture.area() as usize;
        let inside = match maps.data {
            Data::I32(data) => rows(&data[start..], picture, window).map(|&v| u8::from(v != 0)).collect(),
            Data::I64(data) => rows(&data[start..], picture, window).map(|&v| u8::from(v != 0)).collect(),
            Data::F32(data) => rows(&data[start..], picture, window).map(|&v| u8::from(v > 0.5)).collect(),
        };
        Mask::new(window.size(), inside)
    }
}

/// The elements of `window` of a map of size `picture`, row by row.
fn rows<T>(map: &[T], picture: Size, window: Window) -> impl Iterator<Item = &T> {
    let width = picture.width as usize;
    let (left, columns) = (window.x0 as usize, window.size().width as usize);
    (window.y0 as usize..window.y1 as usize).flat_map(move |y| &map[y * width + left..][..columns])
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

    fn predict(&self, images: &[ImageView<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Instances>> {
        let of_one = |image: &ImageView<'_>| {
            self.detect.run(&[*image], share, times, |session, rows| {
                let mut found = Instances::default();
                for (number, kept) in self.detect.kept(rows.of_pictures().next().unwrap_or_default(), image.size)? {
                    found.masks.push(self.cut(&session.output(2)?, number, image.size, &kept)?);
                    found.boxes.push(kept);
                }
                Ok(found)
            })
        };
        images.iter().map(of_one).collect()
    }
}

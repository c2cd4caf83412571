//! Regions of pages: found on all frames, cut out by their class.

use super::crew::Turn;
use crate::error::Result;
use crate::image::{Frame, ImageBuf};
use crate::modules::{Detect, PictureModule};
use crate::result::DetectedBox;
use crate::trace::StageTimes;
use std::sync::Arc;

/// The regions of a page, with the time they took.
pub(super) type Layout = Result<(Vec<DetectedBox>, StageTimes)>;

/// A region that has pixels, cut out of its frame.
pub(super) struct Part {
    /// Number of the frame.
    pub frame: usize,
    /// Left, top, right, bottom in whole pixels.
    pub bbox: [i32; 4],
    /// The pixels, with the identity of the frame.
    pub picture: Frame,
}

/// The regions of each of `frames`.
pub(super) fn find(turn: Turn, layout: &Detect, frames: &[Frame]) -> Vec<Layout> {
    turn.each(frames, |frame, share| {
        let mut times = StageTimes::default();
        let found = layout.predict(&[frame.image.view()], share, &mut times)?;
        Ok((found.into_iter().flatten().collect(), times))
    })
}

/// The regions of class `label` (in small letters), frame by frame in the order of the layout. A region without pixels is
/// left out; the reference fails on one.
pub(super) fn parts(frames: &[Frame], layouts: &[Layout], label: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    for (index, (frame, layout)) in frames.iter().zip(layouts).enumerate() {
        let boxes = layout.as_ref().map_or(&[][..], |(boxes, _)| boxes);
        for found in boxes.iter().filter(|found| found.label.to_lowercase() == label) {
            if let Some((bbox, pixels)) = cut(&frame.image, found)? {
                parts.push(Part { frame: index, bbox, picture: Frame { id: frame.id.clone(), image: Arc::new(pixels) } });
            }
        }
    }
    Ok(parts)
}

/// The pixels of a region, its sides cut to whole ones; `None` when there are none.
pub(super) fn cut(image: &ImageBuf, found: &DetectedBox) -> Result<Option<([i32; 4], ImageBuf)>> {
    let bbox = found.coordinate.map(|side| side as i32);
    Ok(image.view().part(bbox)?.map(|pixels| (bbox, pixels)))
}

//! Networks with their two halves: *prepare* (pictures to an input tensor) and *interpret* (output tensor to
//! typed values), both read from the model's specification. A module is shared by workers; each call takes an
//! idle session with its buffers (`network`), and `feed` brings it pictures and gets its outputs, on the processor and on a GPU alike. `picture` is what modules for whole pictures have in common, `page_picture` pages whose parts are read, `batch` decides
//! which lines share a run, `loader` finds and opens networks.

pub mod batch;
pub mod classify;
pub mod detect;
mod engine_choice;
mod feed;
pub mod instances;
pub mod loader;
mod masks;
pub mod network;
mod page_picture;
pub mod picture;
pub mod segment;
mod suppress;
pub mod table;
pub mod text_detect;
pub mod text_recognise;
pub mod unwarp;

use crate::error::{Error, Result};
use crate::image::Size;
use crate::tensor::Shape;
use std::sync::atomic::{AtomicBool, Ordering};

pub use classify::Classify;
pub use detect::Detect;
pub use engine_choice::CoreLimits;
pub(crate) use engine_choice::wanted;
pub use instances::SegmentInstances;
pub use loader::{Loader, LoaderOptions};
pub use page_picture::PagePicture;
pub use picture::PictureModule;
pub use segment::Segment;
pub use table::TableStructure;
pub use text_detect::TextDetect;
pub use text_recognise::TextRecognise;
pub use unwarp::Unwarp;

/// Notices that a network gives no probabilities: it was exported without its last step.
#[derive(Debug, Default)]
struct OddScores(AtomicBool);

impl OddScores {
    /// Looks at a score of `model`; says once what is wrong.
    fn look(&self, model: &str, score: f32) {
        if !(-1e-3..=1.001).contains(&score) && !self.0.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{model}: a score of {score} is no probability; export the network with its Softmax (results stand as they are)"
            );
        }
    }
}

/// Shape of `pictures` pictures of `size`, with three channels each.
fn shape_of(pictures: usize, size: Size) -> Shape {
    Shape::new(&[pictures, 3, size.height as usize, size.width as usize])
}

/// `picture` with both sides times `factor`, rounded half to even and at least 1.
fn scaled(picture: Size, factor: f64) -> Size {
    let side = |side: u32| ((f64::from(side) * factor).round_ties_even() as u32).max(1);
    Size::new(side(picture.width), side(picture.height))
}

fn long(size: Size) -> f64 {
    f64::from(size.width.max(size.height))
}

fn short(size: Size) -> f64 {
    f64::from(size.width.min(size.height).max(1))
}

/// The factor that makes `picture` as large as may be: its longer side no longer than that of `limits`, nor the shorter one.
fn factor_within(picture: Size, limits: Size) -> f64 {
    (long(limits) / long(picture)).min(short(limits) / short(picture))
}

/// Most pixels that a picture may have for a network, which needs a hundred times as many bytes.
const MOST_PIXELS: u64 = 1 << 26;

/// Refuses a picture that the rule of `model` makes too large; `cure` says what bounds it.
fn bounded(model: &str, picture: Size, fed: Size, cure: &str) -> Result<()> {
    if fed.area() <= MOST_PIXELS {
        return Ok(());
    }
    let reason = format!("{picture} becomes {fed} for model {model}, more than {} megapixels; {cure}", MOST_PIXELS >> 20);
    Err(Error::input("picture", reason))
}

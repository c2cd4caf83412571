//! What the modules for whole pictures have in common.

use super::network::Share;
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::{PictureRef, Size};
use crate::trace::StageTimes;

/// A network that takes whole pictures, several at a time where it can.
pub trait PictureModule: Send + Sync {
    /// What it says of one picture.
    type Output: Send;

    /// What runs.
    fn info(&self) -> &RunInfo;

    /// Most pictures that can share a run; results do not depend on how many do.
    fn max_batch(&self) -> usize;

    /// Size of the network's input for a picture of size `picture`. Only pictures of one input size can share a run.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) for a picture the network cannot take.
    fn input_size(&self, picture: Size) -> Result<Size>;

    /// Runs the network on `images`, all of one input size and at most [`max_batch`](Self::max_batch); outputs in their order.
    fn predict(&self, images: &[PictureRef<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Self::Output>>;
}

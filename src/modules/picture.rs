//! What the modules for whole pictures have in common.

use super::network::Share;
use crate::backend::RunInfo;
use crate::error::Result;
use crate::image::{ImageView, Size};
use crate::ops::resize_norm::{self, Item, Params};
use crate::trace::StageTimes;
use rayon::prelude::*;

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
    fn predict(&self, images: &[ImageView<'_>], share: Share, times: &mut StageTimes) -> Result<Vec<Self::Output>>;
}

/// Fills `input` with the prepared pictures, side by side where the work has all cores.
pub(super) fn fill(
    items: &[Item],
    params: &Params,
    input: &mut [f32],
    scratch: &mut resize_norm::cpu::Scratch,
    share: Share,
) -> Result<()> {
    if share == Share::OneCore || items.len() < 2 {
        return resize_norm::cpu::run(items, params, input, scratch);
    }
    let each = 3 * params.canvas.area() as usize;
    let parts = input.par_chunks_exact_mut(each).zip(items);
    parts
        .try_for_each_init(resize_norm::cpu::Scratch::default, |scratch, (out, item)| resize_norm::cpu::run(&[*item], params, out, scratch))
}

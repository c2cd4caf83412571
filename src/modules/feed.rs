//! Inputs and outputs of networks on pictures, wherever they work. On the processor pictures are prepared into the memory of
//! the session. On a GPU each is brought there by one transfer, prepared there, and outputs come to the host when they are asked for.

use super::network::{Share, Worker};
use super::shape_of;
use crate::backend::GpuSession;
use crate::backend::host::{self, Output};
use crate::device::FloatsMut;
use crate::error::Result;
use crate::image::{PictureRef, Resident, Size};
use crate::ops::resize_norm::cuda::{self, Table};
use crate::ops::resize_norm::{self, Item, Params, Window};
use crate::tensor::Shape;
use crate::tensor::storage::stage;
use crate::trace::Transfers;
use rayon::prelude::*;

/// A worker of a network on pictures.
pub(super) type PictureWorker = Worker<resize_norm::cpu::Scratch>;

impl PictureWorker {
    /// Fills input `index` with the prepared pictures, a tensor `[pictures, 3, canvas.height, canvas.width]`; on the processor
    /// side by side where the work has all cores.
    pub(super) fn feed_pictures(
        &mut self,
        index: usize,
        pictures: &[Placed<PictureRef<'_>>],
        params: &Params,
        share: Share,
        transfers: &mut Transfers,
    ) -> Result<()> {
        self.fed = Some(shape_of(pictures.len(), params.canvas));
        let Some(session) = self.session.on_gpu() else {
            let items = pictures.iter().map(|p| Ok(Item { src: p.picture.pixels()?, resized: p.resized, window: p.window }));
            let items: Vec<Item> = items.collect::<Result<_>>()?;
            let input = self.session.input(index, shape_of(items.len(), params.canvas))?;
            return fill(&items, params, input, &mut self.scratch, share);
        };
        let stream = session.stream().clone();
        let residents = pictures.iter().map(|p| Resident::bring(p.picture, p.picture.size(), &stream, transfers));
        self.held = residents.collect::<Result<_>>()?;
        let placed = self.held.iter().zip(pictures);
        let placed: Vec<Placed<&Resident>> =
            placed.map(|(resident, p)| Placed { picture: &**resident, resized: p.resized, window: p.window }).collect();
        prepare_on_gpu(session, index, &placed, params, transfers)
    }

    /// Fills input `index` with `values`.
    pub(super) fn feed(&mut self, index: usize, shape: Shape, values: &[f32], transfers: &mut Transfers) -> Result<()> {
        host::feed(&mut *self.session, index, shape, values, transfers)
    }

    /// The first `count` outputs of the last run, in graph order.
    pub(super) fn outputs(&mut self, count: usize, transfers: &mut Transfers) -> Result<Vec<Output<'_>>> {
        host::outputs(&mut *self.session, count, transfers)
    }
}

/// A picture, and how it becomes a part of an input.
pub(super) struct Placed<P> {
    /// The picture.
    pub picture: P,
    /// Size after the resize.
    pub resized: Size,
    /// What is kept of it.
    pub window: Window,
}

impl<P> Placed<P> {
    /// All of `picture`, at the size `resized`.
    pub(super) fn whole(picture: P, resized: Size) -> Self {
        Self { picture, resized, window: Window::whole(resized) }
    }
}

/// Puts the preparation of `pictures` into the stream of `session`, whose input `index` it fills.
pub(super) fn prepare_on_gpu(
    session: &mut dyn GpuSession,
    index: usize,
    pictures: &[Placed<&Resident>],
    params: &Params,
    transfers: &mut Transfers,
) -> Result<()> {
    let stream = session.stream().clone();
    let items = pictures.iter().map(|p| Ok(cuda::Item { src: p.picture.canvas()?, resized: p.resized, window: p.window }));
    let items: Vec<cuda::Item> = items.collect::<Result<_>>()?;
    let table = Table::new(&items, params)?;
    let rows = stage(table.rows(), &stream)?.upload(&stream, transfers)?;
    let input = session.input(index, shape_of(pictures.len(), params.canvas))?;
    cuda::run(&stream, &table, rows.on_device()?, &FloatsMut::F32(input))
}

/// Fills `input` with the prepared pictures, side by side where the work has all cores.
fn fill(items: &[Item], params: &Params, input: &mut [f32], scratch: &mut resize_norm::cpu::Scratch, share: Share) -> Result<()> {
    if share == Share::OneCore || items.len() < 2 {
        return resize_norm::cpu::run(items, params, input, scratch);
    }
    let each = 3 * params.canvas.area() as usize;
    let parts = input.par_chunks_exact_mut(each).zip(items);
    parts
        .try_for_each_init(resize_norm::cpu::Scratch::default, |scratch, (out, item)| resize_norm::cpu::run(&[*item], params, out, scratch))
}

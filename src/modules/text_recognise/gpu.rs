//! Recognition on a GPU: crops are cut out of the pictures that lie there, and the classes of all lines come back in one small
//! copy.

use super::{Ending, Line, Scratch, Text, TextRecognise, USUAL_LINES, WidthRule};
use crate::backend::GpuSession;
use crate::device::{FloatsMut, Stream, sizes_up_to};
use crate::error::{Error, Result};
use crate::image::Resident;
use crate::ops::ctc::cuda::{self as ctc, Batch};
use crate::ops::warp::cuda::{self as warp, Item, Table, Taps};
use crate::tensor::storage::{Storage, download, stage};
use crate::trace::{Stage, StageTimes, Transfers};
use std::sync::Arc;

impl TextRecognise {
    /// Has sessions on a GPU begin with the memory for [`USUAL_LINES`] lines, and for fewer.
    pub(super) fn reserve(&self) {
        if self.info().device == "cpu" {
            return;
        }
        let width = if let WidthRule::Fixed(width) = self.rule { width } else { self.spec.image_shape[2] };
        let input = self.input_shape(self.together(USUAL_LINES, width), width);
        if !self.network.runs_itself(input) {
            return;
        }
        self.network.reserve(move |session| {
            // Crops and classes of so many lines are smaller than the weights of the cubic curve, which are kept.
            let sizes = sizes_up_to(warp::weights().len() * size_of::<Taps>());
            let times = |count| (0..count).flat_map(|_| sizes.clone()).collect::<Vec<_>>();
            session.stream().reserve(&times(4), &times(2))?;
            session.input(0, input).map(drop)
        });
    }

    pub(super) fn recognise_on_gpu(
        &self,
        session: &mut dyn GpuSession,
        scratch: &mut Scratch,
        lines: &[Line<'_>],
        width: u32,
        times: &mut StageTimes,
    ) -> Result<Vec<Text>> {
        let stream = session.stream().clone();
        let params = self.params(width);
        // Kept until the results are there: their memory is for others then.
        let _pictures = times.moving(Stage::RecPre, |transfers| {
            let pictures = pictures(lines, &stream, transfers)?;
            let items = pictures.iter().zip(lines).map(|(picture, Line { crop, .. })| {
                Ok(Item { src: picture.surface()?, plan: crop, resized: self.resized(crop.size(), params.canvas) })
            });
            let items: Vec<Item<'_>> = items.collect::<Result<_>>()?;
            let table = Table::new(&items, &params)?;
            let rows = stage(table.rows(), &stream)?.upload(&stream, transfers)?;
            let strips = match table.strips() {
                [] => None,
                strips => Some(stage(strips, &stream)?.upload(&stream, transfers)?),
            };
            let strips = strips.as_ref().map(Storage::on_device).transpose()?;
            let taps = match &mut scratch.taps {
                Some(taps) => taps,
                // Once for the worker: not of these lines.
                none => none.insert(stage(&warp::weights(), &stream)?.upload(&stream, &mut Transfers::default())?),
            };
            let input = session.input(0, self.input_shape(lines.len(), width))?;
            warp::run(&stream, &table, rows.on_device()?, strips, taps.on_device()?, &FloatsMut::F32(input))?;
            drop((items, table));
            Ok::<_, Error>(pictures)
        })?;
        self.read_on_gpu(session, lines.len(), times)
    }

    /// Runs the network on `count` lines and reads what it says.
    fn read_on_gpu(&self, session: &mut dyn GpuSession, count: usize, times: &mut StageTimes) -> Result<Vec<Text>> {
        let stream = session.stream().clone();
        times.measure(Stage::RecInfer, || session.run())?;
        times.moving(Stage::RecPost, |transfers| {
            let output = session.outputs(1)?[0];
            let Ending::Decode(kind) = self.ending else {
                return Err(Error::internal(
                    "text recognition",
                    "the network's last layer is left to the processor, but its input is on the GPU",
                ));
            };
            let [steps, classes] = self.steps_and_depth(output.shape, count)?;
            let batch = Batch { sequences: count, steps, classes };
            let rows = batch.sequences * batch.steps;
            let (mut best, mut value) = (stream.alloc(rows)?, stream.alloc(rows)?);
            let mut out = stream.alloc(batch.sequences * batch.row())?;
            let mut scratch = ctc::Scratch { best: best.slice_mut(), value: value.slice_mut() };
            ctc::decode(&stream, output.as_f32()?, batch, kind, &mut scratch, &mut out.slice_mut())?;
            let out = download(out.slice(), &stream, transfers)?;
            let decoded = ctc::read(out.on_host()?, batch)?; // waits for all of the above
            Ok(decoded.iter().map(|decoded| self.text(decoded)).collect())
        })
    }
}

/// The pictures of `lines` on the device of `stream`. Those that are not there yet are brought, one for all lines of it that
/// follow each other.
fn pictures(lines: &[Line<'_>], stream: &Stream, transfers: &mut Transfers) -> Result<Vec<Arc<Resident>>> {
    let mut pictures: Vec<Arc<Resident>> = Vec::with_capacity(lines.len());
    for (at, line) in lines.iter().enumerate() {
        let before = at.checked_sub(1).filter(|&before| lines[before].image.is(line.image));
        pictures.push(match (line.resident, before) {
            (Some(resident), _) => resident.clone(),
            (None, Some(before)) => pictures[before].clone(),
            (None, None) => Resident::bring(line.image, line.image.size(), stream, transfers)?,
        });
    }
    Ok(pictures)
}

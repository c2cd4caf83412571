//! Recognition wholly on a GPU: crops are cut out of the pictures that lie there, and the classes of all lines come back in one
//! small copy.

use super::{Ending, Line, Text, TextRecognise};
use crate::backend::GpuSession;
use crate::device::FloatsMut;
use crate::error::{Error, Result};
use crate::image::Size;
use crate::ops::ctc::cuda::{self as ctc, Batch, Scratch};
use crate::ops::warp::cuda::{self as warp, Item, Table, Taps};
use crate::ops::warp::curve::CurvePlan;
use crate::tensor::Shape;
use crate::tensor::storage::{Storage, download, stage};
use crate::trace::{Stage, StageTimes, Transfers};

impl TextRecognise {
    pub(super) fn recognise_on_gpu(
        &self,
        session: &mut dyn GpuSession,
        taps: &mut Option<Storage<Taps>>,
        lines: &[Line<'_>],
        width: u32,
        times: &mut StageTimes,
    ) -> Result<Vec<Text>> {
        let stream = session.stream().clone();
        let mut transfers = times.transfers;
        times.measure(Stage::RecPre, || {
            let params = self.params(width);
            let items: Vec<Item<'_>> = lines.iter().map(|line| self.crop_item(line, params.canvas)).collect::<Result<_>>()?;
            let table = Table::new(&items, &params)?;
            let rows = stage(table.rows(), &stream)?.upload(&stream, &mut transfers)?;
            let taps = match taps {
                Some(taps) => taps,
                // Once for the worker: not of these lines.
                none => none.insert(stage(&warp::weights(), &stream)?.upload(&stream, &mut Transfers::default())?),
            };
            let shape = Shape::new(&[lines.len(), 3, params.canvas.height as usize, params.canvas.width as usize]);
            let input = session.input(0, shape)?;
            warp::run(&stream, &table, rows.on_device()?, taps.on_device()?, &FloatsMut::F32(input))
        })?;
        times.measure(Stage::RecInfer, || session.run())?;
        let texts = times.measure(Stage::RecPost, || {
            let (shape, scores) = session.output(0)?;
            let Ending::Decode(kind) = self.ending else {
                return Err(Error::internal(
                    "text recognition",
                    "the network's last layer is left to the processor, but its input is on the GPU",
                ));
            };
            let [steps, classes] = self.steps_and_depth(shape, lines.len())?;
            let batch = Batch { sequences: lines.len(), steps, classes };
            let rows = batch.sequences * batch.steps;
            let (mut best, mut value) = (stream.alloc(rows)?, stream.alloc(rows)?);
            let mut out = stream.alloc(batch.sequences * batch.row())?;
            let mut scratch = Scratch { best: best.slice_mut(), value: value.slice_mut() };
            ctc::decode(&stream, scores, batch, kind, &mut scratch, &mut out.slice_mut())?;
            let out = download(out.slice(), &stream, &mut transfers)?;
            let decoded = ctc::read(out.on_host()?, batch)?; // waits for all of the above
            Ok::<_, Error>(decoded.iter().map(|decoded| self.text(decoded)).collect())
        })?;
        times.transfers = transfers;
        Ok(texts)
    }

    /// How a line is cut out of its picture and resized for an input of the size `canvas`.
    fn crop_item<'a>(&self, line: &Line<'a>, canvas: Size) -> Result<Item<'a>> {
        match (line.crop, line.resident) {
            (CurvePlan::Rectangle(plan), Some(resident)) => {
                Ok(Item { src: resident.surface()?, plan: *plan, resized: self.resized(plan.size(), canvas) })
            }
            (CurvePlan::Rectangle(_), None) => Err(Error::internal("text recognition", "the picture is in host memory, not on the GPU")),
            _ => Err(Error::config("text recognition", "curved text runs on the CPU only; use device `cpu`")),
        }
    }
}

//! Recognition on a GPU: crops are cut out of the pictures that lie there, and the classes of all lines come back in one small
//! copy. Lines that are not cut out as rectangles are straightened by the processor, and brought to the device as pictures.

use super::{Ending, Line, Scratch, Text, TextRecognise};
use crate::backend::GpuSession;
use crate::device::FloatsMut;
use crate::error::{Error, Result};
use crate::image::{ImageView, PixelFormat, Resident, Size};
use crate::modules::feed::{Placed, prepare_on_gpu};
use crate::ops::ctc::cuda::{self as ctc, Batch};
use crate::ops::resize_norm::Params;
use crate::ops::warp::cuda::{self as warp, Item, Table};
use crate::ops::warp::curve::{self, CurvePlan};
use crate::tensor::Shape;
use crate::tensor::storage::{download, stage};
use crate::trace::{Stage, StageTimes, Transfers};

impl TextRecognise {
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
        if !lines.iter().all(|line| matches!(line.crop, CurvePlan::Rectangle(_)) && line.resident.is_some()) {
            self.feed_straightened(session, scratch, lines, &params, times)?;
            return self.read_on_gpu(session, lines.len(), times);
        }
        times.moving(Stage::RecPre, |transfers| {
            let items: Vec<Item<'_>> = lines.iter().map(|line| self.crop_item(line, params.canvas)).collect::<Result<_>>()?;
            let table = Table::new(&items, &params)?;
            let rows = stage(table.rows(), &stream)?.upload(&stream, transfers)?;
            let taps = match &mut scratch.taps {
                Some(taps) => taps,
                // Once for the worker: not of these lines.
                none => none.insert(stage(&warp::weights(), &stream)?.upload(&stream, &mut Transfers::default())?),
            };
            let shape = Shape::new(&[lines.len(), 3, params.canvas.height as usize, params.canvas.width as usize]);
            let input = session.input(0, shape)?;
            warp::run(&stream, &table, rows.on_device()?, taps.on_device()?, &FloatsMut::F32(input))
        })?;
        self.read_on_gpu(session, lines.len(), times)
    }

    /// Brings lines to the GPU that the processor has cut out of their pictures.
    fn feed_straightened(
        &self,
        session: &mut dyn GpuSession,
        scratch: &mut Scratch,
        lines: &[Line<'_>],
        params: &Params,
        times: &mut StageTimes,
    ) -> Result<()> {
        let stream = session.stream().clone();
        let mut residents = Vec::with_capacity(lines.len());
        for line in lines {
            let image = times.moving(Stage::Crop, |transfers| line.image.on_host(transfers))?;
            times.measure(Stage::Crop, || curve::warp(image, line.crop, &mut scratch.crop, &mut scratch.warp))?;
            let crop = ImageView { data: &scratch.crop, size: line.crop.size(), format: PixelFormat::Bgr };
            residents.push(times.moving(Stage::RecPre, |transfers| Resident::bring(crop.into(), crop.size, &stream, transfers))?);
        }
        let placed = residents.iter().zip(lines);
        let placed: Vec<Placed<&Resident>> =
            placed.map(|(resident, line)| Placed::whole(&**resident, self.resized(line.crop.size(), params.canvas))).collect();
        times.moving(Stage::RecPre, |transfers| prepare_on_gpu(session, 0, &placed, params, transfers))
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

    /// How a line is cut out of its picture and resized for an input of the size `canvas`.
    fn crop_item<'a>(&self, line: &Line<'a>, canvas: Size) -> Result<Item<'a>> {
        match (line.crop, line.resident) {
            (CurvePlan::Rectangle(plan), Some(resident)) => {
                Ok(Item { src: resident.surface()?, plan: *plan, resized: self.resized(plan.size(), canvas) })
            }
            _ => Err(Error::internal("text recognition", "the line is no rectangle of a picture on the GPU")),
        }
    }
}

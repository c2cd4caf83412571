//! Detection wholly on a GPU: one upload of the picture, one small copy back with all boxes.

use super::{Detected, TextDetect, canvas_of, in_reading_order};
use crate::backend::GpuSession;
use crate::device::FloatsMut;
use crate::error::Result;
use crate::image::{ImageView, Resident, Size};
use crate::ops::db::cuda::{self as db, Plan};
use crate::ops::resize_norm::cuda::{self as resize_norm, Item, Table};
use crate::ops::resize_norm::{Interpolation, Params, Planes, Window};
use crate::tensor::Shape;
use crate::tensor::storage::{download, stage};
use crate::trace::{Stage, StageTimes};

/// Boxes that come with the first copy; a second is made for a page with more.
const FIRST_BOXES: usize = 256;

impl TextDetect {
    pub(super) fn detect_on_gpu(&self, session: &mut dyn GpuSession, image: ImageView<'_>, times: &mut StageTimes) -> Result<Detected> {
        let stream = session.stream().clone();
        let mut transfers = times.transfers;
        let (resident, canvas) = times.measure(Stage::DetPre, || {
            let resident = Resident::upload(image, canvas_of(image.size), &stream, &mut transfers)?;
            let src = resident.canvas()?;
            let canvas = self.spec.resize.target(src.size());
            let (interpolation, normalize) = (Interpolation::Linear, self.spec.normalize);
            let params = Params { canvas, interpolation, normalize, pad: 0.0, planes: Planes::Bgr };
            let table = Table::new(&[Item { src, resized: canvas, window: Window::whole(canvas) }], &params)?;
            let rows = stage(table.rows(), &stream)?.upload(&stream, &mut transfers)?;
            let input = session.input(0, Shape::new(&[1, 3, canvas.height as usize, canvas.width as usize]))?;
            resize_norm::run(&stream, &table, rows.on_device()?, &FloatsMut::F32(input))?;
            Ok::<_, crate::Error>((resident, canvas))
        })?;
        times.measure(Stage::DetInfer, || session.run())?;
        let boxes = times.measure(Stage::DetPost, || {
            let (shape, map) = session.output(0)?;
            if shape.elements() as u64 != canvas.area() {
                let found = format!("output {shape} for a {canvas} input; one probability per pixel is expected");
                return Err(self.network.fault(found));
            }
            let plan = Plan::new(1, canvas, &self.spec.db)?;
            let Size { width, height } = resident.canvas()?.size();
            let originals = stage(&[[width, height]], &stream)?.upload(&stream, &mut transfers)?;
            let (mut scratch, mut out) = (stream.alloc(plan.scratch())?, stream.alloc(plan.out())?);
            db::boxes(&stream, &plan, map, originals.on_device()?, &mut scratch.slice_mut(), &mut out.slice_mut())?;
            let first = plan.out_for(FIRST_BOXES).min(plan.out());
            let head = download(out.slice().part(0..first)?, &stream, &mut transfers)?;
            let values = head.on_host()?; // waits for all of the above
            let needed = plan.out_for(values.get(1).map_or(0, |&boxes| boxes as usize)).min(plan.out());
            if needed <= first {
                return db::read(values, &plan);
            }
            let all = download(out.slice().part(0..needed)?, &stream, &mut transfers)?;
            db::read(all.on_host()?, &plan)
        })?;
        times.transfers = transfers;
        Ok(Detected { regions: in_reading_order(boxes.into_iter().flatten().collect()), resident: Some(resident) })
    }
}

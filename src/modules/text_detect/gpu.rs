//! Detection on a GPU: one upload of the picture, one small copy back with all boxes. Curved regions, and scores of exact
//! polygons, are found by the processor in a copy of the map.

use super::{Detected, TextDetect, canvas_of, in_reading_order};
use crate::backend::GpuSession;
use crate::error::Result;
use crate::image::{PictureRef, Resident};
use crate::model::BoxType;
use crate::modules::feed::{Placed, prepare_on_gpu};
use crate::ops::db::cpu::DbScratch;
use crate::ops::db::cuda::{self as db, Plan};
use crate::ops::db::{ProbabilityMap, ScoreMode};
use crate::ops::resize_norm::{Interpolation, Params, Planes};
use crate::tensor::storage::{download, stage};
use crate::trace::{Stage, StageTimes};

/// Boxes that come with the first copy; a second is made for a page with more.
const FIRST_BOXES: usize = 256;

impl TextDetect {
    pub(super) fn detect_on_gpu(
        &self,
        session: &mut dyn GpuSession,
        scratch: &mut DbScratch,
        image: PictureRef<'_>,
        times: &mut StageTimes,
    ) -> Result<Detected> {
        let stream = session.stream().clone();
        let (resident, canvas) = times.moving(Stage::DetPre, |transfers| {
            let resident = Resident::bring(image, canvas_of(image.size()), &stream, transfers)?;
            let canvas = self.spec.resize.target_within(resident.canvas()?.size(), self.spec.max_side);
            let (interpolation, normalize) = (Interpolation::Linear, self.spec.normalize);
            let params = Params { canvas, interpolation, normalize, pad: 0.0, planes: Planes::Bgr };
            prepare_on_gpu(session, 0, &[Placed::whole(&*resident, canvas)], &params, transfers)?;
            Ok::<_, crate::Error>((resident, canvas))
        })?;
        times.measure(Stage::DetInfer, || session.run())?;
        let regions = times.moving(Stage::DetPost, |transfers| {
            let output = session.outputs(1)?[0];
            self.check(&output.shape, canvas)?;
            let picture = resident.canvas()?.size();
            if self.spec.boxes == BoxType::Poly || self.spec.db.score_mode == ScoreMode::Slow {
                let copy = output.download(&stream, transfers)?;
                let map = ProbabilityMap { data: copy.on_host()?.as_f32()?, size: canvas, original: picture };
                return self.regions(map, scratch);
            }
            let plan = Plan::new(1, canvas, &self.spec.db)?;
            let originals = stage(&[[picture.width, picture.height]], &stream)?.upload(&stream, transfers)?;
            let (mut scratch, mut out) = (stream.alloc(plan.scratch())?, stream.alloc(plan.out())?);
            db::boxes(&stream, &plan, output.as_f32()?, originals.on_device()?, &mut scratch.slice_mut(), &mut out.slice_mut())?;
            let first = plan.out_for(FIRST_BOXES).min(plan.out());
            let head = download(out.slice().part(0..first)?, &stream, transfers)?;
            let values = head.on_host()?; // waits for all of the above
            let needed = plan.out_for(values.get(1).map_or(0, |&boxes| boxes as usize)).min(plan.out());
            let boxes = match needed <= first {
                true => db::read(values, &plan)?,
                false => db::read(download(out.slice().part(0..needed)?, &stream, transfers)?.on_host()?, &plan)?,
            };
            Ok(in_reading_order(boxes.into_iter().flatten().collect()))
        })?;
        Ok(Detected { regions, resident: Some(resident) })
    }
}

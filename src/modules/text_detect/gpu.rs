//! Detection on a GPU: one upload of each picture, one small copy back with all boxes of a group. Curved regions, scores of exact
//! polygons, and boxes of maps that are too large for the kernels are found by the processor in a copy of the map.

use super::{Detected, GROUP, TextDetect, canvas_of, in_reading_order, within};
use crate::backend::GpuSession;
use crate::error::{Error, Result};
use crate::image::{PictureRef, PixelFormat, Resident, Size};
use crate::model::BoxType;
use crate::modules::feed::{Placed, prepare_on_gpu};
use crate::modules::shape_of;
use crate::ops::db::cpu::DbScratch;
use crate::ops::db::cuda::{self as db, Plan};
use crate::ops::db::{ProbabilityMap, ScoreMode, TextPolygon};
use crate::tensor::storage::{download, stage};
use crate::trace::{Stage, StageTimes};
use std::sync::{Arc, Once};

/// The frames that memory lies ready for before the first comes: those of most videos.
const USUAL_FRAME: Size = Size::new(1920, 1080);

/// Says once that boxes are found by the processor, and why.
fn told_once(reason: &Error) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| tracing::warn!("boxes of such pictures are found by the processor: {reason}"));
}

impl TextDetect {
    /// Has sessions on a GPU begin with the memory for usual frames, one alone and as many as share a run.
    pub(super) fn reserve(&self) {
        let canvas = self.input_size(USUAL_FRAME);
        let Some(most) = (1..=GROUP).rev().find(|&count| self.takes(count, canvas)) else { return };
        // Tables of frames and of their sizes take the least there is.
        let [mut device, mut pinned] = [vec![1; 2], vec![1; 2]];
        for plan in (1..=most).filter_map(|count| self.plan(count, canvas)?.ok()) {
            device.extend([plan.scratch(), plan.out()].map(|values| values * size_of::<u32>()));
            pinned.push(plan.out() * size_of::<u32>());
        }
        self.network.reserve(move |session| {
            let frames = vec![USUAL_FRAME.area() as usize * PixelFormat::Bgr.bytes(); most];
            session.stream().gpu().pictures()?.reserve(&frames, &frames)?;
            session.stream().reserve(&device, &pinned)?;
            session.input(0, shape_of(most, canvas)).map(drop)
        });
    }

    /// How the kernels find the boxes of `count` maps of `size`; `None` where that is left to the processor.
    fn plan(&self, count: usize, size: Size) -> Option<Result<Plan>> {
        let is_for_host = self.spec.boxes == BoxType::Poly || self.spec.db.score_mode == ScoreMode::Slow;
        (!is_for_host).then(|| Plan::new(count, size, &self.spec.db))
    }

    pub(super) fn detect_on_gpu(
        &self,
        session: &mut dyn GpuSession,
        scratch: &mut DbScratch,
        images: &[PictureRef<'_>],
        times: &mut StageTimes,
    ) -> Result<Vec<Detected>> {
        let (stream, count) = (session.stream().clone(), images.len());
        let Some(canvas) = images.first().map(|image| self.input_size(image.size())) else { return Ok(Vec::new()) };
        let residents = times.moving(Stage::DetPre, |transfers| {
            let brought = images.iter().map(|image| Resident::bring(*image, canvas_of(image.size()), &stream, transfers));
            let residents: Vec<Arc<Resident>> = brought.collect::<Result<_>>()?;
            let placed: Vec<_> = residents.iter().map(|resident| Placed::whole(&**resident, canvas)).collect();
            prepare_on_gpu(session, 0, &placed, &self.preparation(canvas), transfers)?;
            Ok::<_, Error>(residents)
        })?;
        times.measure(Stage::DetInfer, || session.run())?;
        let regions: Vec<Vec<TextPolygon>> = times.moving(Stage::DetPost, |transfers| {
            let output = session.outputs(1)?[0];
            self.check(&output.shape, count, canvas)?;
            let originals: Vec<Size> = residents.iter().map(|resident| Ok(resident.canvas()?.size())).collect::<Result<_>>()?;
            let Some(plan) = self.plan(count, canvas).and_then(|plan| plan.inspect_err(told_once).ok()) else {
                let copy = output.download(&stream, transfers)?;
                let maps = copy.on_host()?.as_f32()?.chunks(canvas.area() as usize).zip(originals);
                return maps.map(|(data, original)| self.regions(ProbabilityMap { data, size: canvas, original }, scratch)).collect();
            };
            let originals: Vec<[u32; 2]> = originals.iter().map(|size| [size.width, size.height]).collect();
            let originals = stage(&originals, &stream)?.upload(&stream, transfers)?;
            let (mut scratch, mut out) = (stream.alloc(plan.scratch())?, stream.alloc(plan.out())?);
            db::boxes(&stream, &plan, output.as_f32()?, originals.on_device()?, &mut scratch.slice_mut(), &mut out.slice_mut())?;
            // All there is room for, 36 KB a picture: to ask how much is used takes longer.
            let boxes = download(out.slice(), &stream, transfers)?;
            Ok(db::read(boxes.on_host()?, &plan)?.into_iter().map(in_reading_order).collect()) // waits for all of the above
        })?;
        let found = regions.into_iter().zip(residents).zip(images);
        let detected = |((regions, resident), image): ((_, _), &PictureRef<'_>)| Detected {
            regions: within(regions, image.size()),
            resident: Some(resident),
        };
        Ok(found.map(detected).collect())
    }
}

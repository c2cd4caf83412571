//! What runs the networks of a pipeline, and what of that made one result.

use crate::backend::{Format, RunInfo, StandIn};
use crate::image::FrameId;
use crate::result::{Header, RunRecord};
use crate::trace::{EngineSet, StageTimes};

/// A record for each network of a pipeline, in the order of its work.
pub struct Runs {
    records: Vec<RunRecord>,
    /// For each, what may run in its place.
    stand_ins: Vec<Option<Box<StandIn>>>,
}

impl Runs {
    /// Networks that are run by these engines.
    pub fn of<'a>(infos: impl IntoIterator<Item = &'a RunInfo>) -> Self {
        let (records, stand_ins) = infos.into_iter().map(|info| (record(info), info.stand_in.clone())).unzip();
        Self { records, stand_ins }
    }

    /// The engines that run when all are built.
    pub fn records(&self) -> &[RunRecord] {
        &self.records
    }

    /// The header of a result about the picture `id`.
    pub fn header(&self, id: &FrameId, times: &StageTimes) -> Header {
        Header::new(id, &self.made(times))
    }

    /// What made the result that `times` belong to. A network that two engines ran is there twice, one
    /// that did not run is there with the engine that was there from the start, if any.
    pub fn made(&self, times: &StageTimes) -> Vec<RunRecord> {
        let one = |(built, stand_in): (&RunRecord, &Option<Box<StandIn>>)| match stand_in {
            None => vec![built.clone()],
            Some(stand_in) => {
                let other = stand_in.info.get().filter(|_| times.ran.has(stand_in.own)).map(record);
                let idle = stand_in.spare && other.is_none();
                let built = (idle || times.ran.has(stand_in.built)).then(|| in_profiles(built, stand_in, times.ran));
                other.into_iter().chain(built).collect()
            }
        };
        self.records.iter().zip(&self.stand_ins).flat_map(one).collect()
    }
}

/// `built` with those of its profiles that were used, where that is known.
fn in_profiles(built: &RunRecord, stand_in: &StandIn, ran: EngineSet) -> RunRecord {
    let mut built = built.clone();
    let is_used = |profile: usize| stand_in.profiles.get(profile).is_some_and(|mark| ran.has(*mark));
    if (0..built.profiles.len()).any(is_used) {
        let mut number = 0..;
        built.profiles.retain(|_| number.next().is_some_and(is_used));
    }
    built
}

fn record(info: &RunInfo) -> RunRecord {
    RunRecord {
        model: info.model.clone(),
        backend: info.backend.to_string(),
        version: info.version.clone(),
        device: info.device.clone(),
        precision: info.precision.to_string(),
        format: Some(info.format).filter(|format| *format != Format::Onnx).map(|format| format.to_string()),
        engines: info.engines.clone(),
        profiles: info.profiles.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::BackendName;
    use std::sync::Arc;

    #[test]
    fn a_result_names_what_made_it() {
        let info = |model: &str, backend| RunInfo::new(model, backend, "1", "cpu");
        let (own, built) = (EngineSet::one(2), EngineSet::one(3));
        let stand_in = StandIn {
            info: Arc::new(info("b", BackendName::OnnxRuntime).into()),
            spare: false,
            own,
            built,
            profiles: [4, 5, 6, 7].map(EngineSet::one),
        };
        let with = |stand_in| RunInfo { stand_in: Some(Box::new(stand_in)), ..info("b", BackendName::TensorRt) };
        let spare = with(StandIn { spare: true, ..stand_in.clone() });
        assert_eq!(Runs::of([&spare]).made(&StageTimes::default())[0].backend, "tensorrt", "there, and not needed");
        let changing = with(stand_in);
        let runs = Runs::of([&info("a", BackendName::OpenVino), &changing]);
        for (ran, expected) in [
            (vec![own], &["openvino", "onnx_runtime"][..]),
            (vec![built], &["openvino", "tensorrt"]),
            (vec![built, own], &["openvino", "onnx_runtime", "tensorrt"]),
            (vec![], &["openvino"]),
            (vec![EngineSet::one(0)], &["openvino"]),
        ] {
            let mut times = StageTimes::default();
            ran.iter().for_each(|mark| times.ran.insert(*mark));
            assert_eq!(runs.made(&times).iter().map(|run| &*run.backend).collect::<Vec<_>>(), expected);
        }
        assert_eq!(runs.records().len(), 2);

        let several = RunInfo { profiles: ["8x8", "16x16", "32x32"].map(str::to_owned).to_vec(), ..changing };
        let runs = Runs::of([&several]);
        for (used, expected) in [(&[][..], &["8x8", "16x16", "32x32"][..]), (&[5], &["16x16"]), (&[4, 6], &["8x8", "32x32"])] {
            let mut times = StageTimes::default();
            used.iter().chain(&[3]).for_each(|mark| times.ran.insert(EngineSet::one(*mark)));
            assert_eq!(runs.made(&times)[0].profiles, expected);
        }
    }
}

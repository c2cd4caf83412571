//! What runs the networks of a pipeline, and what of that made one result.

use crate::backend::{Format, RunInfo, StandIn};
use crate::image::FrameId;
use crate::result::{Header, RunRecord};
use crate::trace::{EngineSet, StageTimes};

/// A record for each network of a pipeline, in the order of its work.
pub struct Runs {
    records: Vec<RunRecord>,
    /// For each, what its runs are told by, and what may run in its place.
    marks: Vec<(EngineSet, Option<Box<StandIn>>)>,
}

impl Runs {
    /// Networks that are run by these engines.
    pub fn of<'a>(infos: impl IntoIterator<Item = &'a RunInfo>) -> Self {
        let (records, marks) = infos.into_iter().map(|info| (record(info), (info.network, info.stand_in.clone()))).unzip();
        Self { records, marks }
    }

    /// The engines that run when all are built.
    pub fn records(&self) -> &[RunRecord] {
        &self.records
    }

    /// The header of a result about the picture `id`.
    pub fn header(&self, id: &FrameId, times: &StageTimes) -> Header {
        Header::new(id, &self.made(times))
    }

    /// What made the result that `times` belong to: the networks that ran for it. One that two engines ran is there twice.
    pub fn made(&self, times: &StageTimes) -> Vec<RunRecord> {
        let ran = |(_, (network, _)): &(&RunRecord, &(EngineSet, _))| times.networks.has(*network);
        let one = |(built, (_, stand_in)): (&RunRecord, &(_, Option<Box<StandIn>>))| match stand_in {
            None => vec![built.clone()],
            Some(stand_in) => {
                let other = stand_in.info.get().filter(|_| times.ran.has(stand_in.own));
                let other = other.map(|info| RunRecord { widths: built.widths.clone(), ..record(info) });
                let built = times.ran.has(stand_in.built).then(|| in_profiles(built, stand_in, times.ran));
                other.into_iter().chain(built).collect()
            }
        };
        self.records.iter().zip(&self.marks).filter(ran).flat_map(one).collect()
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
        widths: info.widths.map(str::to_owned),
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
        let network = EngineSet::one(1);
        let info = |model: &str, backend| RunInfo { network, ..RunInfo::new(model, backend, "1", "cpu") };
        let (own, built) = (EngineSet::one(2), EngineSet::one(3));
        let stand_in =
            StandIn { info: Arc::new(info("b", BackendName::OnnxRuntime).into()), own, built, profiles: [4, 5, 6, 7].map(EngineSet::one) };
        let with = |stand_in| RunInfo { stand_in: Some(Box::new(stand_in)), ..info("b", BackendName::TensorRt) };
        let changing = with(stand_in);
        let idle = RunInfo { network: EngineSet::one(2), ..info("c", BackendName::OpenVino) };
        let runs = Runs::of([&info("a", BackendName::OpenVino), &changing, &idle]);
        for (ran, expected) in [
            (vec![own], &["openvino", "onnx_runtime"][..]),
            (vec![built], &["openvino", "tensorrt"]),
            (vec![built, own], &["openvino", "onnx_runtime", "tensorrt"]),
            (vec![], &["openvino"]),
            (vec![EngineSet::one(0)], &["openvino"]),
        ] {
            let mut times = StageTimes::default();
            times.networks.insert(network);
            ran.iter().for_each(|mark| times.ran.insert(*mark));
            assert_eq!(runs.made(&times).iter().map(|run| &*run.backend).collect::<Vec<_>>(), expected);
        }
        assert!(runs.records().len() == 3 && runs.made(&StageTimes::default()).is_empty());

        let several = RunInfo { profiles: ["8x8", "16x16", "32x32"].map(str::to_owned).to_vec(), ..changing };
        let runs = Runs::of([&several]);
        for (used, expected) in [(&[][..], &["8x8", "16x16", "32x32"][..]), (&[5], &["16x16"]), (&[4, 6], &["8x8", "32x32"])] {
            let mut times = StageTimes::default();
            times.networks.insert(network);
            used.iter().chain(&[3]).for_each(|mark| times.ran.insert(EngineSet::one(*mark)));
            assert_eq!(runs.made(&times)[0].profiles, expected);
        }
    }
}

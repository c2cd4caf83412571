//! What PaddleX calls the document preprocessor: pages are set upright, then made flat, before anything is read of them.

use super::config::DocumentConfig;
use crate::backend::RunInfo;
use crate::error::{Error, Result};
use crate::image::{ImageBuf, turn};
use crate::modules::network::Share;
use crate::modules::{Classify, Loader, PictureModule, Unwarp};
use crate::result::page::{Orientation, PreparedPage};
use crate::trace::StageTimes;
use std::sync::Arc;

/// Networks that prepare pages; without any a page stays as it is.
#[derive(Default)]
pub struct DocPreprocessor {
    /// Finds how a page is turned.
    pub orientation: Option<Classify>,
    /// Makes a photograph of a page flat.
    pub unwarp: Option<Unwarp>,
}

impl DocPreprocessor {
    /// Finds, fetches and opens the networks of `config`.
    pub(super) fn open(config: &DocumentConfig, loader: &Loader) -> Result<Self> {
        let orientation =
            config.doc_image_ori_cls_model.as_ref().map(|choice| loader.classify(choice, Some(1)).and_then(of_angles)).transpose()?;
        let unwarp = config.doc_image_unwarp_model.as_ref().map(|choice| loader.unwarp(choice)).transpose()?;
        Ok(Self { orientation, unwarp })
    }

    /// What runs, in its order.
    pub(super) fn infos(&self) -> impl Iterator<Item = &RunInfo> {
        self.orientation.iter().map(|m| m.info()).chain(self.unwarp.iter().map(|m| m.info()))
    }

    /// What becomes of `page`; `None` where nothing prepares pages.
    pub(super) fn page(&self, page: &Arc<ImageBuf>, share: Share, times: &mut StageTimes) -> Result<Option<PreparedPage>> {
        let mut picture = page.clone();
        let (mut found, mut quarters) = (None, 0);
        if let Some(classify) = &self.orientation {
            let (orientation, turns) = orientation(classify, &picture, share, times)?;
            quarters = turns;
            if quarters > 0 {
                picture = Arc::new(turn::counter_clockwise(&picture, quarters)?);
            }
            found = Some(orientation);
        }
        let upright = (found.is_some() && self.unwarp.is_some()).then(|| picture.clone());
        if let Some(unwarp) = &self.unwarp {
            picture = Arc::new(unwarp.flatten(picture.view().into(), share, times)?);
        }
        let is_unwarped = self.unwarp.is_some();
        Ok((is_unwarped || found.is_some()).then_some(PreparedPage { picture, orientation: found, quarters, is_unwarped, upright }))
    }
}

/// `classify`, if its classes are angles.
fn of_angles(classify: Classify) -> Result<Classify> {
    match classify.labels().iter().find(|label| quarters(label).is_none()) {
        None => Ok(classify),
        Some(other) => {
            let reason =
                format!("its class `{other}` is no angle in quarter turns; give a model of page orientation as doc_image_ori_cls_model");
            Err(Error::config(&classify.info().model, reason))
        }
    }
}

/// The quarter turns that a class stands for.
fn quarters(label: &str) -> Option<u32> {
    label.parse().ok().filter(|angle: &u32| angle.is_multiple_of(90)).map(|angle| angle / 90)
}

/// How `picture` is turned, and by how many quarters counter-clockwise it gets upright.
fn orientation(classify: &Classify, picture: &ImageBuf, share: Share, times: &mut StageTimes) -> Result<(Orientation, u32)> {
    let classes = classify.predict(&[picture.view().into()], share, times)?.into_iter().next();
    let classes = classes.ok_or_else(|| Error::internal("orientation", "no answer for a page"))?;
    let turns = classes.label_names.first().and_then(|name| quarters(name)).ok_or_else(|| {
        let names = classes.label_names.join(", ");
        Error::config(
            "doc_image_ori_cls_model",
            format!("the class `{names}` is no angle in quarter turns; give a model of page orientation"),
        )
    })?;
    let (class_ids, scores, label_names) = (classes.class_ids, classes.scores, classes.label_names);
    Ok((Orientation { class_ids, scores, label_names }, turns))
}

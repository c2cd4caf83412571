//! A page and its parts as pictures, on the processor or on the GPU that reads them: one that was brought there is cut there.

use super::network::{Network, Share};
use super::text_detect::canvas_of;
use crate::error::Result;
use crate::image::{ImageBuf, Picture, PictureRef, PixelFormat, Resident, Size};
use crate::ops::whiten::{self, White};
use crate::tensor::storage::stage;
use crate::trace::{StageTimes, Transfers};
use std::sync::Arc;

/// A page of which parts are read.
pub struct PagePicture {
    image: Arc<ImageBuf>,
    /// On the GPU that reads it.
    resident: Option<Arc<Resident>>,
}

impl PagePicture {
    /// A page for the processor, or for a GPU that is brought each part.
    pub fn on_host(image: Arc<ImageBuf>) -> Self {
        Self { image, resident: None }
    }

    /// The page where `network` runs: on a GPU it is brought there, once, unless it lies there in interleaved samples.
    pub(super) fn place<S: Default>(
        network: &Network<S>,
        picture: &Picture,
        image: Arc<ImageBuf>,
        share: Share,
        times: &mut StageTimes,
    ) -> Result<Self> {
        if network.info().device == "cpu" || !is_taken(image.size()) || image.format() != PixelFormat::Bgr {
            return Ok(Self::on_host(image));
        }
        let resident = network.with(share, |worker| {
            let Some(session) = worker.session.on_gpu() else { return Ok(None) };
            let stream = session.stream().clone();
            let picture = match picture {
                Picture::Gpu(resident) if resident.is_interleaved() && Arc::ptr_eq(resident.gpu(), stream.gpu()) => {
                    PictureRef::Gpu(resident)
                }
                _ => image.view().into(),
            };
            Resident::bring(picture, image.size(), &stream, &mut times.transfers).map(Some)
        })?;
        Ok(Self { image, resident })
    }

    /// The page in host memory.
    pub fn image(&self) -> &Arc<ImageBuf> {
        &self.image
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.image.size()
    }

    /// The page where it is read.
    pub fn picture(&self) -> Picture {
        match &self.resident {
            Some(resident) => Picture::Gpu(resident.clone()),
            None => Picture::Host(self.image.clone()),
        }
    }

    /// The pixels of a region (left, top, right, bottom) as far as they lie on the page; `None` when there are none.
    pub fn part(&self, region: [i32; 4]) -> Result<Option<Picture>> {
        let Some(inside) = self.size().inside(region) else { return Ok(None) };
        let [left, top, right, bottom] = inside;
        let resident = self.resident.as_ref().filter(|_| is_taken(Size::new(right - left, bottom - top)));
        Ok(match resident {
            Some(resident) => Some(resident.part(inside)?.into()),
            None => self.image.view().part(region)?.map(Picture::from),
        })
    }

    /// The page with white where `white` says of `regions`.
    pub fn whitened(&self, regions: &[[i32; 4]], white: White, transfers: &mut Transfers) -> Result<Picture> {
        let Some(resident) = &self.resident else { return Ok(whiten::cpu::run(self.image.view(), regions, white)?.into()) };
        let (stream, size) = (resident.gpu().pictures()?, self.size());
        let page = Resident::bring(PictureRef::Gpu(resident), size, stream, transfers)?;
        let regions = stage(regions, stream)?.upload(stream, transfers)?;
        let mut pixels = stream.alloc(size.area() as usize * 3)?;
        whiten::cuda::run(stream, &page.surface()?, regions.on_device()?, white, &mut pixels.slice_mut())?;
        Resident::from_rows(pixels, size).map(Picture::from)
    }
}

/// Whether text detection takes a picture of this size as it is. It puts the smallest on a canvas of their own, for which there is no
/// room in a page.
fn is_taken(size: Size) -> bool {
    canvas_of(size) == size
}

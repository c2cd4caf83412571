//! The pixels of a drawing, painted through coverage masks which are as small as the painted shape.

use crate::image::{ImageBuf, ImageView, PixelFormat, Size};
use crate::{Error, Result};
use tiny_skia::{FillRule, Mask, Path, Transform};

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// A picture to draw on; where there is a page, it lies to the right of it and is white. RGB.
pub(super) struct Canvas<'a> {
    source: ImageView<'a>,
    panels: u32,
    data: Vec<u8>,
}

/// Where on a canvas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    /// On the picture.
    Picture,
    /// On the white page.
    Page,
}

/// Coverage 0..255 of a shape, over its bounding box cut to a panel.
pub(super) struct Stencil {
    mask: Mask,
    x0: u32,
    y0: u32,
}

impl Stencil {
    /// Antialiased inside of `path` (coordinates of a panel; pixel (0, 0) spans 0..1). `None` when nothing of it
    /// lies on the panel.
    pub fn fill(path: Path, panel: Size) -> Option<Self> {
        let bounds = path.bounds();
        // `as` saturates, hence cuts huge and negative coordinates to the panel.
        let (x0, y0) = (bounds.left().floor() as u32, bounds.top().floor() as u32);
        let x1 = (bounds.right().ceil() as u32).min(panel.width);
        let y1 = (bounds.bottom().ceil() as u32).min(panel.height);
        let mut mask = Mask::new(x1.checked_sub(x0)?, y1.checked_sub(y0)?)?;
        let path = path.transform(Transform::from_translate(-(x0 as f32), -(y0 as f32)))?;
        mask.fill_path(&path, FillRule::Winding, true, Transform::identity());
        Some(Self { mask, x0, y0 })
    }

    /// Takes away what lies outside `path`.
    pub fn cut(mut self, path: &Path) -> Self {
        self.mask.intersect_path(path, FillRule::Winding, true, Transform::from_translate(-(self.x0 as f32), -(self.y0 as f32)));
        self
    }

    /// Rows as (x, y, coverages).
    fn rows(&self) -> impl Iterator<Item = (u32, u32, &[u8])> {
        let rows = self.mask.data().chunks_exact(self.mask.width() as usize);
        (self.y0..).zip(rows).map(|(y, row)| (self.x0, y, row))
    }
}

impl<'a> Canvas<'a> {
    /// The picture alone.
    pub fn new(source: ImageView<'a>) -> Result<Self> {
        Self::with_panels(source, 1)
    }

    /// The picture, and a white page of its size.
    pub fn with_page(source: ImageView<'a>) -> Result<Self> {
        Self::with_panels(source, 2)
    }

    fn with_panels(source: ImageView<'a>, panels: u32) -> Result<Self> {
        let (width, samples) = (source.size.width as usize, source.format.bytes());
        if source.data.len() != source.size.area() as usize * samples || source.data.is_empty() {
            return Err(Error::input("image", format!("{} bytes for a {} {:?} picture", source.data.len(), source.size, source.format)));
        }
        let mut data = vec![255; source.data.len() / samples * 3 * panels as usize];
        for (row, out) in source.data.chunks_exact(width * samples).zip(data.chunks_exact_mut(width * 3 * panels as usize)) {
            for (pixel, out) in row.chunks_exact(samples).zip(out.as_chunks_mut::<3>().0) {
                *out = rgb(pixel, source.format);
            }
        }
        Ok(Self { source, panels, data })
    }

    /// Width and height of a panel.
    pub fn size(&self) -> Size {
        self.source.size
    }

    /// On the picture: half of it, half `colour`. Where shapes overlap the last one counts.
    pub fn tint(&mut self, shape: &Stencil, colour: Colour) {
        let (format, samples, width) = (self.source.format, self.source.format.bytes(), self.source.size.width as usize);
        for (x, y, coverages) in shape.rows() {
            let start = y as usize * width + x as usize;
            let source = self.source.data[start * samples..].chunks_exact(samples);
            for ((out, source), &coverage) in self.row(Panel::Picture, x, y).iter_mut().zip(source).zip(coverages) {
                let source = rgb(source, format);
                let half = std::array::from_fn(|i| (u16::from(source[i]) + u16::from(colour[i])).div_ceil(2) as u8);
                blend(out, half, coverage);
            }
        }
    }

    /// `colour` over what is there.
    pub fn paint(&mut self, panel: Panel, shape: &Stencil, colour: Colour) {
        for (x, y, coverages) in shape.rows() {
            for (out, &coverage) in self.row(panel, x, y).iter_mut().zip(coverages) {
                blend(out, colour, coverage);
            }
        }
    }

    /// On the picture: `share` of `colour` in the pixels of a map of 0 and 1 whose top-left pixel lies at `corner`. What leaves
    /// the picture is left out.
    pub fn mix(&mut self, (left, top): (u32, u32), map: Size, inside: &[u8], colour: Colour, share: f32) -> Result<()> {
        if inside.len() as u64 != map.area() {
            return Err(Error::internal("drawing", format!("{} values of a map of {map}", inside.len())));
        }
        let over = colour.map(|c| f32::from(c) * share);
        for (y, row) in (top..self.source.size.height).zip(inside.chunks_exact((map.width as usize).max(1))) {
            if left >= self.source.size.width {
                break;
            }
            let room = (self.source.size.width - left) as usize;
            for (out, _) in self.row(Panel::Picture, left, y).iter_mut().zip(row).take(room).filter(|(_, inside)| **inside == 1) {
                *out = std::array::from_fn(|c| (f32::from(out[c]) * (1.0 - share) + over[c]) as u8);
            }
        }
        Ok(())
    }

    /// The finished picture, RGB.
    pub fn finish(self) -> Result<ImageBuf> {
        let size = Size::new(self.source.size.width * self.panels, self.source.size.height);
        ImageBuf::new(self.data, size, PixelFormat::Rgb)
    }

    /// Pixels of row `y` of `panel` from column `x` on.
    fn row(&mut self, panel: Panel, x: u32, y: u32) -> &mut [[u8; 3]] {
        let width = (self.source.size.width * self.panels) as usize;
        let left = if panel == Panel::Page { self.source.size.width } else { 0 };
        let start = y as usize * width + (left + x) as usize;
        &mut self.data.as_chunks_mut().0[start..(y as usize + 1) * width]
    }
}

fn rgb(pixel: &[u8], format: PixelFormat) -> Colour {
    match format {
        PixelFormat::Bgr => [pixel[2], pixel[1], pixel[0]],
        PixelFormat::Rgb => [pixel[0], pixel[1], pixel[2]],
        PixelFormat::Gray => [pixel[0]; 3],
    }
}

fn blend(out: &mut Colour, over: Colour, coverage: u8) {
    if coverage == 0 {
        return;
    }
    let a = u16::from(coverage);
    for (out, over) in out.iter_mut().zip(over) {
        *out = ((u16::from(*out) * (255 - a) + u16::from(over) * a + 127) / 255) as u8;
    }
}

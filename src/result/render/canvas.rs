//! The pixels of a two-panel picture, painted through coverage masks which are as small as the painted shape.

use crate::image::{ImageBuf, ImageView, PixelFormat, Size};
use crate::{Error, Result};
use tiny_skia::{FillRule, Mask, Path, Transform};

/// Red, green, blue.
pub(super) type Colour = [u8; 3];

/// Left panel: the picture. Right panel: a white page. RGB.
pub(super) struct Canvas<'a> {
    source: ImageView<'a>,
    data: Vec<u8>,
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
    /// A panel with the picture and a white one.
    pub fn new(source: ImageView<'a>) -> Result<Self> {
        let (width, samples) = (source.size.width as usize, source.format.bytes());
        if source.data.len() != source.size.area() as usize * samples || source.data.is_empty() {
            return Err(Error::input("image", format!("{} bytes for a {} {:?} picture", source.data.len(), source.size, source.format)));
        }
        let mut data = vec![255; source.data.len() / samples * 6];
        for (row, out) in source.data.chunks_exact(width * samples).zip(data.chunks_exact_mut(width * 6)) {
            for (pixel, out) in row.chunks_exact(samples).zip(out.as_chunks_mut::<3>().0) {
                *out = rgb(pixel, source.format);
            }
        }
        Ok(Self { source, data })
    }

    /// Left panel: half the picture, half `colour`. Where shapes overlap the last one counts.
    pub fn tint(&mut self, shape: &Stencil, colour: Colour) {
        let (format, samples, width) = (self.source.format, self.source.format.bytes(), self.source.size.width as usize);
        for (x, y, coverages) in shape.rows() {
            let start = y as usize * width + x as usize;
            let source = self.source.data[start * samples..].chunks_exact(samples);
            for ((out, source), &coverage) in self.row(0, x, y).iter_mut().zip(source).zip(coverages) {
                let source = rgb(source, format);
                let half = std::array::from_fn(|i| (u16::from(source[i]) + u16::from(colour[i])).div_ceil(2) as u8);
                blend(out, half, coverage);
            }
        }
    }

    /// Right panel: `colour` over what is there.
    pub fn paint(&mut self, shape: &Stencil, colour: Colour) {
        for (x, y, coverages) in shape.rows() {
            for (out, &coverage) in self.row(self.source.size.width, x, y).iter_mut().zip(coverages) {
                blend(out, colour, coverage);
            }
        }
    }

    /// The finished picture: twice the width, RGB.
    pub fn finish(self) -> Result<ImageBuf> {
        let size = Size::new(self.source.size.width * 2, self.source.size.height);
        ImageBuf::new(self.data, size, PixelFormat::Rgb)
    }

    /// Pixels of row `y` from column `x` of the panel that begins at column `panel`.
    fn row(&mut self, panel: u32, x: u32, y: u32) -> &mut [[u8; 3]] {
        let width = self.source.size.width as usize * 2;
        let start = y as usize * width + (panel + x) as usize;
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

//! One document, its pages rendered on demand: with `glyphs` and `damage` the only files that know the renderer.

use super::damage::{content_is_lost, holds_damaged_image};
use super::glyphs;
use super::text::Layer;
use crate::image::{ImageBuf, PixelFormat, Size};
use hayro::hayro_interpret::font::{FontData, FontQuery};
use hayro::hayro_interpret::util::TransformExt;
use hayro::hayro_interpret::{InterpreterSettings, InterpreterWarning};
use hayro::hayro_syntax::object::dict::keys::{ANNOTS, AP, COUNT, F, FT, PAGES, PARENT, RECT, USER_UNIT, V};
use hayro::hayro_syntax::object::{self, Array, Dict, Name, Rect};
use hayro::hayro_syntax::page::Page;
use hayro::hayro_syntax::{DecryptionError, LoadPdfError, Pdf};
use hayro::kurbo::Affine;
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::vello_cpu::{PixmapMut, RasterizerSettings, RenderContext, Resources, TargetInit};
use hayro::{RenderCache, RenderSettings, render_into};
use serde::{Deserialize, Serialize};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// Points per inch, the unit of a page.
const POINTS: f64 = 72.0;
/// A page whose visible part has a side of fewer points has none: what the renderer draws then is clipped to nothing.
const NO_SIDE: f64 = 1.0 / 4096.0;
/// Parts of a pixel that do not make another one; what MuPDF allows for the rounding of coordinates.
const SLACK: f64 = 0.001;

/// What a renderer must know of a document besides its bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Setup {
    pub dpi: u32,
    pub password: Option<String>,
    /// Largest page in pixels.
    pub max_pixels: u64,
    /// Whether text layers are wanted.
    pub text: bool,
    /// A font for letters of many scripts that the document does not bring: its file, and the face in it.
    pub font: Option<(PathBuf, u32)>,
}

/// What a renderer says: first the number of pages, then one answer per page asked for.
pub(super) enum Answer {
    Pages(u32),
    Picture(Drawn),
    Failed(String),
}

/// A page.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Drawn {
    pub image: ImageBuf,
    pub layer: Option<Layer>,
    pub lost: Lost,
}

/// What was left out of a page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lost {
    /// Letters of a composite font that is neither in the document nor here, if they are not Latin. A renderer tells it of the first page
    /// with the font.
    pub letters: bool,
    /// A picture that cannot be decoded, or a part of one.
    pub images: bool,
    /// Values of form fields that say nothing of how they look.
    pub fields: bool,
}

/// Opens the document and renders `pages` (indices from 0). Returns when they end, when the document cannot be opened, or
/// when `answer` says that nobody listens any more.
pub(super) fn serve(bytes: Arc<Vec<u8>>, setup: &Setup, pages: impl Iterator<Item = u32>, mut answer: impl FnMut(Answer) -> bool) {
    const BROKEN: &str = "the renderer failed on it, the file is damaged";
    // A password that is given for one of several documents is no reason to refuse those that need none.
    let open = |bytes: Arc<Vec<u8>>| match &setup.password {
        None => Pdf::new(bytes),
        Some(word) => Pdf::new_with_password(bytes.clone(), word).or_else(|error| Pdf::new(bytes).map_err(|_| error)),
    };
    let opened = catch_unwind(AssertUnwindSafe(|| open(bytes)));
    let pdf = match opened.map(|opened| opened.map_err(|error| explain(error, setup))) {
        Ok(Ok(pdf)) => pdf,
        Ok(Err(reason)) => {
            answer(Answer::Failed(reason));
            return;
        }
        Err(_) => {
            answer(Answer::Failed(BROKEN.into()));
            return;
        }
    };
    if pdf.pages().is_empty() {
        answer(Answer::Failed("the document has no pages; it is damaged or cut off".into()));
        return;
    }
    let found = pdf.pages().len();
    let listed = listed(&pdf).filter(|&listed| listed > found);
    // One page more stands for all that are not there, so that they are missed.
    let count = found + usize::from(listed.is_some());
    let mut listening = answer(Answer::Pages(count.try_into().unwrap_or(u32::MAX)));
    let mut cache = RenderCache::new();
    let fonts = Arc::new(Substitute { file: setup.font.clone(), read: OnceLock::new(), lacking: AtomicBool::new(false) });
    for index in pages {
        if !listening {
            return;
        }
        let page = pdf.pages().get(index as usize);
        let rendered = catch_unwind(AssertUnwindSafe(|| match page {
            Some(page) => render(page, &cache, setup, &fonts),
            None => Err(listed.map_or("there is no such page".into(), |listed| {
                let how = "numbered as if they were all; it is damaged or cut off";
                format!("of the {listed} pages that the document lists only {found} can be found, {how}")
            })),
        }));
        listening = answer(match rendered {
            Ok(Ok(drawn)) => Answer::Picture(drawn),
            Ok(Err(reason)) => Answer::Failed(reason),
            Err(_) => {
                cache = RenderCache::new();
                Answer::Failed(BROKEN.into())
            }
        });
    }
}

/// How many pages the document says that it has.
fn listed(pdf: &Pdf) -> Option<usize> {
    let root: Dict<'_> = pdf.xref().get(pdf.xref().root_id())?;
    let pages: Dict<'_> = root.get(PAGES)?;
    pages.get::<u32>(COUNT)?.try_into().ok()
}

fn explain(error: LoadPdfError, setup: &Setup) -> String {
    match error {
        LoadPdfError::Invalid => "not a readable PDF document; it is damaged or cut off".into(),
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) if setup.password.is_none() => {
            "the document is encrypted; give its password with --pdf-password".into()
        }
        LoadPdfError::Decryption(DecryptionError::PasswordProtected) => {
            "the document is encrypted, and the password given does not open it (in files before PDF 2.0 only the user's does)".into()
        }
        LoadPdfError::Decryption(DecryptionError::UnsupportedAlgorithm) => "the document is encrypted in a way that cannot be read".into(),
        LoadPdfError::Decryption(_) => "the document is encrypted, and the record of how is damaged".into(),
    }
}

/// The font that stands for those of composite fonts, the ones of Chinese, Japanese and Korean above all, that a document does not bring.
struct Substitute {
    file: Option<(PathBuf, u32)>,
    read: OnceLock<Option<FontData>>,
    /// Whether it is not here and was looked for.
    lacking: AtomicBool,
}

impl Substitute {
    fn resolve(&self, query: &FontQuery) -> Option<(FontData, u32)> {
        let (data, face) = match query {
            FontQuery::Standard(font) => return Some(font.get_font_data()),
            FontQuery::Fallback(font) if font.character_collection.is_none() => return Some(font.pick_standard_font().get_font_data()),
            FontQuery::Fallback(font) => match &self.file {
                None => {
                    self.lacking.store(true, Ordering::Relaxed);
                    return Some(font.pick_standard_font().get_font_data());
                }
                Some((path, face)) => (self.read.get_or_init(|| Some(Arc::new(std::fs::read(path).ok()?))), *face),
            },
        };
        data.clone().map(|data| (data, face))
    }
}

/// Renders one page on white, with its rotation, cut to its crop box; its text layer where that is wanted. Sides are rounded up as MuPDF rounds them.
fn render<'a>(page: &'a Page<'a>, cache: &RenderCache<'a>, setup: &Setup, fonts: &Arc<Substitute>) -> Result<Drawn, String> {
    let unit = page.raw().get::<f64>(USER_UNIT).filter(|unit| unit.is_finite() && *unit > 0.0).unwrap_or(1.0);
    let scale = f64::from(setup.dpi) / POINTS * unit;
    let visible = page.intersected_crop_box();
    if visible.width().min(visible.height()) <= NO_SIDE {
        return Err("its MediaBox, or what its CropBox leaves of that, has no area; save the document anew with another program".into());
    }
    let (width, height) = page.render_dimensions();
    let size = size_in_pixels(f64::from(width) * scale, f64::from(height) * scale, setup)?;
    if content_is_lost(page) {
        return Err("its content is damaged or cut off".into());
    }

    let image_lost = Arc::new(AtomicBool::new(false));
    let (lost, resolver) = (Arc::clone(&image_lost), Arc::clone(fonts));
    let settings = InterpreterSettings {
        font_resolver: Arc::new(move |query| resolver.resolve(query)),
        warning_sink: Arc::new(move |warning| match warning {
            InterpreterWarning::ImageDecodeFailure => lost.store(true, Ordering::Relaxed),
            other => tracing::debug!("PDF page: {other:?}"),
        }),
        ..InterpreterSettings::default()
    };
    let (columns, rows) = (size.width as u16, size.height as u16);
    let transform = Affine::scale(scale) * page.initial_transform(true).to_kurbo();
    let layer = setup.text.then(|| glyphs::layer(page, &settings, transform, size));
    let mut context = RenderContext::new(columns, rows);
    // Hinting fits glyphs to whole pixels; without it they look as PDFium and MuPDF draw them.
    let drawing = RenderSettings { hinting: false, ..RenderSettings::default() };
    render_into(page, cache, &settings, &drawing, &mut context, transform);
    context.flush();
    let mut pixels = vec![0; size.area() as usize * 4];
    let target = PixmapMut::new(columns, rows, &mut pixels).ok_or("its canvas is of another size")?;
    let settings = RasterizerSettings { target_init: TargetInit::Clear(WHITE), ..RasterizerSettings::default() };
    context.render_with(target, &mut Resources::default(), settings);
    drop(context); // with the pictures in it

    // The renderer leaves out what it cannot decode. A page that shows something else may do without; a blank one may not.
    let is_blank = pixels.iter().all(|&v| v == u8::MAX);
    let images = image_lost.load(Ordering::Relaxed) || holds_damaged_image(page, is_blank);
    if is_blank && images {
        return Err("the picture on it is damaged, and there is nothing else".into());
    }
    // The page is opaque, hence the samples are not scaled by alpha.
    let bgr = to_bgr(pixels);
    let lost = Lost { letters: fonts.lacking.swap(false, Ordering::Relaxed), images, fields: holds_unseen_field(page) };
    Ok(Drawn { image: ImageBuf::new(bgr, size, PixelFormat::Bgr).map_err(|e| e.to_string())?, layer, lost })
}

/// The BGR samples of RGBA pixels, in the same memory.
fn to_bgr(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for pixel in 0..count {
        let (from, to) = (4 * pixel, 3 * pixel);
        let [r, g, b] = [pixels[from], pixels[from + 1], pixels[from + 2]];
        pixels[to..to + 3].copy_from_slice(&[b, g, r]);
    }
    pixels.truncate(3 * count);
    pixels.shrink_to_fit();
    pixels
}

/// Whether a field of the page for text or a choice has a value, and no appearance.
fn holds_unseen_field(page: &Page<'_>) -> bool {
    const UNSEEN: u32 = 1 << 1 | 1 << 5; // hidden, or not for the screen
    let is_unseen = |field: &Dict<'_>| {
        let parent = field.get::<Dict<'_>>(PARENT);
        let of_either = [Some(field), parent.as_ref()];
        let is_written =
            of_either.iter().flatten().find_map(|field| field.get::<Name<'_>>(FT)).is_some_and(|kind| matches!(&*kind, b"Tx" | b"Ch"));
        let has_value = of_either.iter().flatten().any(|field| field.get::<object::String<'_>>(V).is_some_and(|value| !value.is_empty()));
        let has_area = field.get::<Rect>(RECT).is_some_and(|rect| rect.width() > 0.0 && rect.height() > 0.0);
        !field.contains_key(AP) && field.get::<u32>(F).unwrap_or(0) & UNSEEN == 0 && is_written && has_value && has_area
    };
    page.raw().get::<Array<'_>>(ANNOTS).is_some_and(|annotations| annotations.iter::<Dict<'_>>().any(|field| is_unseen(&field)))
}

fn size_in_pixels(width: f64, height: f64, setup: &Setup) -> Result<Size, String> {
    let (width, height) = ((width - SLACK).ceil().max(1.0), (height - SLACK).ceil().max(1.0));
    let pixels = width * height;
    let told = format!("{width:.0}x{height:.0} at {} dpi", setup.dpi);
    if pixels > setup.max_pixels as f64 {
        return Err(format!("{told} is {pixels:.0} pixels, the limit is {} (lower --dpi, or raise --max-pixels)", setup.max_pixels));
    }
    // The renderer counts pixels of a side in 16 bits.
    if width.max(height) > f64::from(u16::MAX) {
        return Err(format!("{told} has a side of more than {} pixels (lower --dpi)", u16::MAX));
    }
    Ok(Size::new(width as u32, height as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_change_places_in_their_own_memory() {
        let pixels = (0..16).collect();
        assert_eq!(to_bgr(pixels), [2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12]);
    }

    #[test]
    fn sides_are_rounded_up_and_bounded() {
        let setup = Setup { dpi: 144, password: None, max_pixels: 10_000_000, text: false, font: None };
        let size = |w, h| size_in_pixels(w, h, &setup);
        assert_eq!(size(1190.55, 1683.78), Ok(Size::new(1191, 1684)));
        assert_eq!(size(1224.0005, 0.2), Ok(Size::new(1224, 1)));
        for (width, height) in [(4000.0, 4000.0), (f64::INFINITY, 1.0), (70_000.0, 10.0), (1e300, 1e300)] {
            assert!(size(width, height).unwrap_err().contains("lower --dpi"));
        }
        assert!(size(f64::NAN, f64::NAN).is_ok_and(|s| s == Size::new(1, 1)));
    }
}

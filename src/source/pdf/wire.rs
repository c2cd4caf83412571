//! A renderer in a process of its own, and how one talks to it: lines of JSON, bytes after those that announce them.
//!
//! To the renderer: an [`Opening`], the document's bytes, then a page index a line. From it: a [`Header`] per answer, and
//! after that of a picture its BGR samples and its text layer. The end of its input ends it, so that it never outlives who started it.

use super::render::{self, Answer, Drawn, Lost, Setup};
use super::worker::STACK;
use crate::device::available_memory;
use crate::image::{ImageBuf, PixelFormat, Size};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, mpsc};
use std::thread;

/// Memory of a renderer beyond what its pictures take: the document, fonts, pictures inside it.
const BASE_MEMORY: u64 = 2 << 30;
/// Bytes per pixel of the largest page: the canvas, a layer, the samples sent.
const PIXEL_MEMORY: u64 = 16;

#[derive(Serialize, Deserialize)]
struct Opening {
    setup: Setup,
    /// Length of the document, which follows.
    bytes: u64,
}

#[derive(Serialize, Deserialize)]
enum Header {
    Pages(u32),
    /// `text`: length of the text layer, which follows the samples.
    Picture {
        width: u32,
        height: u32,
        text: Option<u64>,
        lost: Lost,
    },
    Failed(String),
}

/// Hands the document and then `pages` to a renderer behind these pipes, and its answers on. Returns when either side ends.
pub(super) fn relay(
    mut to: impl Write,
    from: impl Read,
    bytes: &[u8],
    setup: &Setup,
    mut pages: impl Iterator<Item = u32>,
    mut answer: impl FnMut(Answer) -> bool,
) {
    let mut from = BufReader::new(from);
    let opening = Opening { setup: setup.clone(), bytes: bytes.len() as u64 };
    let opened = write_line(&mut to, &opening).and_then(|()| to.write_all(bytes)).and_then(|()| to.flush());
    if opened.is_err() {
        return;
    }
    while let Ok(Some(given)) = read_answer(&mut from, setup) {
        if !answer(given) {
            return;
        }
        let Some(page) = pages.next() else { return };
        if write_line(&mut to, &page).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// Serves one document on these streams until `input` ends: the renderer's side.
///
/// # Errors
/// When the streams fail, or what arrives is no document.
pub fn serve(input: impl Read, mut output: impl Write + Send + 'static) -> io::Result<()> {
    // Whoever asked is told; a message of the panic itself would go nowhere.
    std::panic::set_hook(Box::new(|_| ()));
    let mut input = BufReader::new(input);
    let Some(Opening { setup, bytes: length }) = read_line(&mut input)? else { return Ok(()) };
    let needed = BASE_MEMORY.saturating_add(length).saturating_add(setup.max_pixels.saturating_mul(PIXEL_MEMORY));
    limit_memory(available_memory().map_or(needed, |most| needed.min(most)));
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    input.by_ref().take(length).read_to_end(&mut bytes)?;
    let (ask, asked) = mpsc::channel();
    let work = move || render::serve(Arc::new(bytes), &setup, asked.into_iter(), |a| write_answer(&mut output, &a).is_ok());
    // Rendering has a thread of its own so that the end of the input is noticed at any time.
    thread::Builder::new().name("pdf".into()).stack_size(STACK).spawn(work)?;
    while let Some(page) = read_line::<u32>(&mut input)? {
        let _ = ask.send(page);
    }
    Ok(())
}

/// Refuses this process more memory than `bytes`, where the system can.
fn limit_memory(bytes: u64) {
    let maximum = getrlimit(Resource::As).maximum;
    let limit = Rlimit { current: Some(maximum.map_or(bytes, |m| m.min(bytes))), maximum };
    if let Err(error) = setrlimit(Resource::As, limit) {
        tracing::debug!("memory stays unlimited: {error}");
    }
}

fn write_answer(to: &mut impl Write, answer: &Answer) -> io::Result<()> {
    match answer {
        Answer::Pages(count) => write_line(to, &Header::Pages(*count))?,
        Answer::Failed(reason) => write_line(to, &Header::Failed(reason.clone()))?,
        Answer::Picture(Drawn { image, layer, lost }) => {
            let Size { width, height } = image.size();
            let layer = layer.as_ref().map(serde_json::to_vec).transpose()?;
            write_line(to, &Header::Picture { width, height, text: layer.as_ref().map(|layer| layer.len() as u64), lost: *lost })?;
            to.write_all(image.data())?;
            to.write_all(layer.as_deref().unwrap_or_default())?;
        }
    }
    to.flush()
}

/// The next answer; `None` at the end of the stream.
fn read_answer(from: &mut impl BufRead, setup: &Setup) -> io::Result<Option<Answer>> {
    let Some(header) = read_line(from)? else { return Ok(None) };
    Ok(Some(match header {
        Header::Pages(count) => Answer::Pages(count),
        Header::Failed(reason) => Answer::Failed(reason),
        Header::Picture { width, height, text, lost } => {
            let size = Size::new(width, height);
            if size.area() > setup.max_pixels {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut bgr = vec![0; size.area() as usize * 3];
            from.read_exact(&mut bgr)?;
            let mut json = Vec::new();
            from.take(text.unwrap_or(0)).read_to_end(&mut json)?;
            let layer = text.map(|_| serde_json::from_slice(&json)).transpose()?;
            Answer::Picture(Drawn { image: ImageBuf::new(bgr, size, PixelFormat::Bgr).map_err(io::Error::other)?, layer, lost })
        }
    }))
}

fn write_line(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line)
}

/// Reads one line of at most 64 KiB; `None` at the end of the stream.
fn read_line<T: for<'de> Deserialize<'de>>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    from.take(1 << 16).read_until(b'\n', &mut line)?;
    if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&line)?)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::PointF;
    use crate::image::page_text::Glyph;
    use crate::source::pdf::text::Layer;

    #[test]
    fn answers_survive_the_way() {
        let setup = Setup { dpi: 144, password: None, max_pixels: 6, text: true, font: None };
        let image = ImageBuf::new((0..18).collect(), Size::new(3, 2), PixelFormat::Bgr).unwrap();
        let glyph = Glyph { text: "ﬁ".into(), quad: [PointF::new(0.5, 1.5); 4], along: PointF::new(1.0, 0.0) };
        let layer = Layer { glyphs: vec![(glyph, true)], pictures: 0.25, is_full: true };
        let lost = Lost { letters: true, images: false, fields: true };
        let drawn = Drawn { image, layer: Some(layer), lost };
        let plain = Drawn { layer: None, lost: Lost::default(), ..drawn.clone() };
        let mut stream = Vec::new();
        for answer in [Answer::Pages(7), Answer::Picture(drawn.clone()), Answer::Picture(plain.clone()), Answer::Failed("a\nb".into())] {
            write_answer(&mut stream, &answer).unwrap();
        }
        let mut from = stream.as_slice();
        assert!(matches!(read_answer(&mut from, &setup).unwrap(), Some(Answer::Pages(7))));
        for expected in [drawn, plain] {
            assert!(matches!(read_answer(&mut from, &setup).unwrap(), Some(Answer::Picture(read)) if read == expected));
        }
        assert!(matches!(read_answer(&mut from, &setup).unwrap(), Some(Answer::Failed(reason)) if reason == "a\nb"));
        assert!(read_answer(&mut from, &setup).unwrap().is_none());
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let setup = Setup { dpi: 144, password: None, max_pixels: 6, text: true, font: None };
        for stream in [
            &b"nonsense\n"[..],
            b"{\"Picture\":{\"width\":3,\"height\":2,\"lost\":{\"letters\":false,\"images\":false,\"fields\":false}}}\nshort",
            b"{\"Picture\":{\"width\":9999,\"height\":9999,\"lost\":{\"letters\":false,\"images\":false,\"fields\":false}}}\n",
        ] {
            assert!(read_answer(&mut &*stream, &setup).is_err());
        }
    }
}

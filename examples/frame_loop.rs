//! Frames of a program's own decoder, one after the other: `cargo run --release --example frame_loop`
//! Here they are drawn: a bright bar that moves over a dark ground.

use hpinfer::image::{Frame, ImageBuf, PixelFormat, Size};
use hpinfer::modules::Loader;
use hpinfer::pipeline::{Ocr, OcrConfig};

fn main() -> hpinfer::Result<()> {
    let ocr = Ocr::open(&OcrConfig::default(), &Loader::from_env()?)?;
    let size = Size::new(640, 360);
    for number in 0..10usize {
        // Blue, green, red, row by row without padding.
        let mut pixels = vec![16; size.area() as usize * 3];
        for row in pixels.chunks_exact_mut(size.width as usize * 3) {
            row[number * 60..number * 60 + 30].fill(235);
        }
        let frame = Frame::from_image(ImageBuf::new(pixels, size, PixelFormat::Bgr)?);
        for result in ocr.predict(&[frame]) {
            println!("frame {number}: {:?}", result?.rec_text);
        }
    }
    Ok(())
}

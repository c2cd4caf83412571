//! Frames of a program's own decoder, one after the other, in host memory or left on a GPU:
//! `cargo run --release --example frame_loop` or `... --example frame_loop -- gpu:0`
//! Here they are drawn: a bright bar that moves over a dark ground.

use hpinfer::cache::Cache;
use hpinfer::device::{Device, Stream};
use hpinfer::image::{Frame, ImageBuf, PixelFormat, Plane, Planes, Resident, Size};
use hpinfer::modules::{Loader, LoaderOptions};
use hpinfer::pipeline::{Ocr, OcrConfig};

const SIZE: Size = Size::new(640, 360);

fn main() -> hpinfer::Result<()> {
    let device = Device::open_one(&std::env::args().nth(1).unwrap_or("cpu".into()).parse()?)?;
    let options = LoaderOptions { device: device.clone(), ..LoaderOptions::default() };
    let ocr = Ocr::open(&OcrConfig::default(), &Loader::new(Cache::open(None)?, options)?)?;
    let stream = device.gpu().map(Stream::new).transpose()?;
    for number in 0..10 {
        let frame = match &stream {
            Some(stream) => left_on_gpu(number, stream)?,
            None => Frame::from_image(ImageBuf::new(drawn(number), SIZE, PixelFormat::Bgr)?),
        };
        for result in ocr.predict(&[frame]) {
            println!("frame {number}: {:?}", result?.rec_text);
        }
    }
    Ok(())
}

/// Blue, green, red, row by row without padding.
fn drawn(number: usize) -> Vec<u8> {
    let mut pixels = vec![16; SIZE.area() as usize * 3];
    for row in pixels.chunks_exact_mut(SIZE.width as usize * 3) {
        row[number * 60..number * 60 + 30].fill(235);
    }
    pixels
}

/// A frame whose pixels lie on the GPU. A decoder would have put them there: only their address is handed over.
fn left_on_gpu(number: usize, stream: &Stream) -> hpinfer::Result<Frame> {
    let pixels = drawn(number);
    let (mut staged, mut memory) = (stream.pinned(pixels.len())?, stream.alloc(pixels.len())?);
    staged.fill()?.copy_from_slice(&pixels);
    stream.upload(&staged, &mut memory)?;
    let plane = Plane { address: memory.slice().address(), pitch: SIZE.width * 3 };
    // SAFETY: the memory has all rows, `stream` writes them, and the frame keeps it.
    let picture = unsafe { Resident::from_raw(stream, Planes::Interleaved(PixelFormat::Bgr, plane), SIZE, memory) }?;
    Ok(Frame::from_image(picture))
}

//! Two streams side by side: `cargo run --release --example two_streams -- lobby.mp4 rtsp://camera/stream`

use hpinfer::image::Frame;
use hpinfer::modules::Loader;
use hpinfer::pipeline::{Ocr, OcrConfig};
use hpinfer::result::OcrResult;
use hpinfer::schedule::gauges::Gauges;
use hpinfer::schedule::graph::{self, Feed, Offer, Settings, Stages};
use hpinfer::schedule::{Batching, DropPolicy, stop::Stop};
use hpinfer::source::video::{Video, VideoEvent, VideoKind, VideoOptions};

struct Read(Ocr);

impl Stages for Read {
    type Tag = f64; // milliseconds
    type Raw = Frame;
    type Ready = Frame;
    type Done = hpinfer::Result<OcrResult>;
    type Out = hpinfer::Result<OcrResult>;
    type Worker = ();

    fn decode(&self, _: &mut f64, frame: Frame) -> Result<Frame, Self::Out> {
        Ok(frame)
    }
    fn cost(&self, frame: &Frame) -> u64 {
        frame.size().area()
    }
    fn worker(&self, _: usize) -> hpinfer::Result<()> {
        Ok(())
    }
    fn work(&self, (): &mut (), batch: &[Frame]) -> Vec<Self::Done> {
        self.0.predict(batch)
    }
    fn finish(&self, _: &f64, _: Frame, done: Self::Done) -> Self::Out {
        done
    }
    fn fault(&self, _: &f64, reason: String) -> Self::Out {
        Err(hpinfer::Error::internal("a frame", reason))
    }
}

fn main() -> hpinfer::Result<()> {
    let read = Read(Ocr::open(&OcrConfig::default(), &Loader::from_env()?)?);
    let stop = Stop::default();
    stop.on_signals(|| std::process::exit(1))?;
    let inputs: Vec<String> = std::env::args().skip(1).collect();
    let offer = |event| match event {
        VideoEvent::Frame(moment, image) => Offer::Item(moment.timestamp_ms, Frame::from_image(image)),
        VideoEvent::Dropped(moment) => Offer::Dropped(moment.timestamp_ms),
        VideoEvent::Fault(moment, error) => Offer::Output(moment.timestamp_ms, Err(error)),
    };
    let video = |input: &String| Video::new(input, VideoOptions { stop: stop.flag(), ..VideoOptions::default() }).map(offer);
    let policy = |input: &String| if VideoKind::of(input).is_live() { DropPolicy::LATEST } else { DropPolicy::BLOCK };
    let feeds = inputs.iter().map(|input| Feed { offers: Box::new(video(input)), policy: policy(input) }).collect();
    graph::run(&read, feeds, &Settings::new(2, Batching::default()), &Gauges::new(inputs.len()), &stop, |frame| match frame.output {
        Some(Ok(page)) => println!("stream {} at {} ms: {:?}", frame.stream, frame.tag, page.rec_text),
        Some(Err(error)) => eprintln!("stream {}: {error}", frame.stream),
        None => {} // dropped: a newer one was there
    });
    Ok(())
}

//! Reads the text of pictures, folders or URLs: `cargo run --release --example ocr -- demo/delivery_note.png`

use hpinfer::image::decode::Decoder;
use hpinfer::modules::Loader;
use hpinfer::pipeline::{Ocr, OcrConfig};
use hpinfer::source::Source;

fn main() -> hpinfer::Result<()> {
    let ocr = Ocr::open(&OcrConfig::default(), &Loader::from_env()?)?;
    let inputs: Vec<String> = std::env::args().skip(1).collect();
    for item in Source::new(&inputs, Default::default()) {
        match item.load(&Decoder::default()).and_then(|frame| ocr.predict(&[frame]).remove(0)) {
            Ok(page) => page.rec_text.iter().zip(&page.rec_score).for_each(|(text, score)| println!("{score:.2}  {text}")),
            Err(error) => eprintln!("{error}"), // the others go on
        }
    }
    Ok(())
}

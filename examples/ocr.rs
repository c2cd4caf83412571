//! Reads the text of pictures, folders or URLs: `cargo run --release --example ocr -- demo/delivery_note.png`

use hpinfer::image::decode::Decoder;
use hpinfer::modules::Loader;
use hpinfer::pipeline::{Ocr, OcrConfig};
use hpinfer::source::Source;

fn main() -> hpinfer::Result<()> {
    let ocr = Ocr::open(&OcrConfig::default(), &Loader::from_env()?)?;
    let inputs: Vec<String> = std::env::args().skip(1).collect();
    let frames: hpinfer::Result<Vec<_>> = Source::new(&inputs, Default::default()).map(|item| item.load(&Decoder::default())).collect();
    for page in ocr.predict(&frames?) {
        let page = page?;
        for (text, score) in page.rec_text.iter().zip(&page.rec_score) {
            println!("{score:.2}  {text}");
        }
    }
    Ok(())
}

//! Pages against those that PDFium renders.

use super::{fixture, load, only_error, processes};
use hpinfer::image::decode::Decoder;
use hpinfer::image::{Frame, ImageBuf};
use hpinfer::source::PdfOptions;
use hpinfer::source::pdf::Password;
use hpinfer::trace::Transfers;
use std::fs;

/// Largest mean difference of a sample. Edges are smoothed and glyphs placed in other ways, which shows along outlines:
/// measured 0.2 to 2.1 on these pages, while a glyph or shape in the wrong place costs more than 5.
const MEAN_TOLERANCE: f64 = 3.0;
/// Most samples, in a hundred, that differ by more than a quarter of the range.
const FAR_TOLERANCE: f64 = 2.5;

fn picture(name: &str) -> ImageBuf {
    Decoder::default().decode(&fs::read(fixture(name)).unwrap(), name).unwrap()
}

#[test]
fn pages_look_as_pdfium_renders_them() {
    for (name, pages) in [("text", 1), ("vector", 1), ("scan", 2), ("turned", 5)] {
        let frames = load(&fixture(&format!("{name}.pdf")), &PdfOptions::default());
        assert_eq!(frames.len(), pages, "{name}");
        for (index, frame) in frames.into_iter().enumerate() {
            let frame = frame.unwrap();
            assert_eq!(frame.id.page_index, Some(index as u32));
            let expected = picture(&format!("{name}_{index}.png"));
            assert_eq!(frame.size(), expected.size(), "{name} page {index}");
            let differences = frame.image.view().pixels().unwrap().data.iter().zip(expected.data()).map(|(a, b)| a.abs_diff(*b));
            let count = expected.data().len() as f64;
            let mean = differences.clone().map(f64::from).sum::<f64>() / count;
            let far = differences.filter(|d| *d > 64).count() as f64 * 100.0 / count;
            println!("{name} page {index}: mean difference {mean:.3}, far {far:.3} %");
            if let Some(folder) = std::env::var_os("HPINFER_PDF_PICTURES") {
                let path = std::path::Path::new(&folder).join(format!("{name}_{index}.ppm"));
                let mut ppm = format!("P6 {} {} 255\n", frame.size().width, frame.size().height).into_bytes();
                ppm.extend(frame.image.view().pixels().unwrap().data.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0]]));
                fs::write(path, ppm).unwrap();
            }
            assert!(mean < MEAN_TOLERANCE && far < FAR_TOLERANCE, "{name} page {index}: mean {mean}, far {far} %");
        }
    }
}

#[test]
fn packed_encrypted_and_isolated_documents_look_the_same() {
    let pixels = |frame: Frame| frame.image.on_host(&mut Transfers::default()).unwrap();
    let plain = |options: &PdfOptions| pixels(load(&fixture("text.pdf"), options).remove(0).unwrap());
    let expected = plain(&PdfOptions::default());
    assert!(plain(&processes()) == expected, "rendered in another process");
    assert!(pixels(load(&fixture("packed.pdf"), &PdfOptions::default()).remove(0).unwrap()) == expected);
    for name in ["rc4.pdf", "aes128.pdf", "aes256.pdf"] {
        // Only documents of the newest kind let their owner's password be used for reading.
        let passwords = if name == "aes256.pdf" { &["Geheimnis", "owner"][..] } else { &["Geheimnis"] };
        for &password in passwords {
            for options in [PdfOptions::default(), processes()] {
                let frames = load(&fixture(name), &PdfOptions { password: Some(Password(password.into())), ..options });
                let image = pixels(frames.into_iter().next().unwrap().unwrap());
                assert!(image == expected, "{name} with {password}");
            }
        }
        assert!(only_error(load(&fixture(name), &PdfOptions::default())).contains("is encrypted; give its password with --pdf-password"));
        let wrong = PdfOptions { password: Some(Password("geheimnis".into())), ..processes() };
        assert!(only_error(load(&fixture(name), &wrong)).contains("the password given does not open it"));
        assert!(!format!("{wrong:?}").contains("geheimnis"));
    }
}

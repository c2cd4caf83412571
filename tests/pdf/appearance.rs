//! Pages against those that PDFium renders.

use super::write::document_with;
use super::{fixture, load, only_error, processes};
use hpinfer::cache::Cache;
use hpinfer::image::decode::{Decoder, Limits};
use hpinfer::image::{Frame, ImageBuf, Size};
use hpinfer::source::PdfOptions;
use hpinfer::source::pdf::{Document, FontFinder, Password};
use hpinfer::trace::Transfers;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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
                let path = Path::new(&folder).join(format!("{name}_{index}.ppm"));
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
    let needless = PdfOptions { password: Some(Password("Geheimnis".into())), ..processes() };
    assert!(plain(&needless) == expected, "a password is for those documents that have one");
    for options in [PdfOptions::default(), needless] {
        let frame = load(&fixture("locked.pdf"), &options).remove(0);
        assert!(pixels(frame.unwrap()) == expected, "only its owner needs one: {:?}", options.password);
    }
}

/// Columns with ink, the first and the last.
fn ink(image: &ImageBuf) -> Option<(usize, usize)> {
    let width = image.size().width as usize;
    let mut columns: Vec<usize> = (0..image.data().len() / 3).filter(|at| image.data()[at * 3] < 128).map(|at| at % width).collect();
    columns.sort_unstable();
    Some((*columns.first()?, *columns.last()?))
}

/// A contract of a Chinese office program: its font is expected to be wherever it is read.
#[test]
fn letters_of_fonts_that_are_not_in_the_document_are_drawn() {
    // Two characters of 20 points from the tenth on, by their codes in GBK.
    let bytes = document_with(&["BT /F 20 Tf 10 15 Td <BACFCDAC> Tj ET"; 3], "/MediaBox [0 0 100 50]", |writer| {
        let system = "<< /Registry (Adobe) /Ordering (GB1) /Supplement 2 >>";
        let below = writer.add(format!("<< /Type /Font /Subtype /CIDFontType2 /BaseFont /SimSun /CIDSystemInfo {system} /DW 1000 >>"));
        let head = "/Type /Font /Subtype /Type0 /BaseFont /SimSun /Encoding /GBK-EUC-H";
        let font = writer.add(format!("<< {head} /DescendantFonts [{below} 0 R] >>"));
        format!("/Font << /F {font} 0 R >>")
    });
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let font = hpinfer::runtime::font::install(&Cache::open(Some(&home)).unwrap()).unwrap();
    for options in [PdfOptions::default(), processes()] {
        let open = |font| Document::open(bytes.clone(), &PdfOptions { font, ..options.clone() }, &Limits::default()).unwrap();
        let without = open(None);
        let [first, second] = [0, 1].map(|index| without.render(index).unwrap());
        assert!(first.lost.len() == 1 && first.lost[0].contains("letters of a font"), "{:?}", first.lost);
        let beside = std::thread::scope(|scope| {
            [2, 0]
                .map(|index| {
                    let without = without.clone();
                    scope.spawn(move || without.render(index).unwrap().lost.len())
                })
                .map(|r| r.join().unwrap())
        });
        assert_eq!(beside, [0, 0], "of the document it is told once");
        assert_eq!((ink(&first.image), ink(&second.image), second.lost.len()), (None, None, 0), "it is told once");
        let asked = Arc::new(AtomicUsize::new(0));
        let (font, count) = (font.clone(), asked.clone());
        let finder = FontFinder::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Some((font, 0))
        });
        let with = &open(Some(finder));
        // Several threads come upon the font at once.
        let pages: Vec<_> = std::thread::scope(|scope| {
            let rendered: Vec<_> = [2, 0, 1, 2, 1, 0].map(|index| scope.spawn(move || with.render(index).unwrap())).into();
            rendered.into_iter().map(|page| page.join().unwrap()).collect()
        });
        for page in pages {
            let (left, right) = ink(&page.image).expect("letters");
            assert!(page.lost.is_empty() && (20..30).contains(&left) && (88..100).contains(&right), "{left} to {right}, {:?}", page.lost);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}

#[test]
fn what_a_page_loses_is_told_and_its_unit_counts() {
    let field = "/Annots [<< /Subtype /Widget /FT /Tx /Rect [5 5 50 20] /V (value) >>]";
    let garbage = "/Subtype /Image /Width 9 /Height 9 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /DCTDecode";
    let open = |content: &str, entries: &str| {
        let bytes = document_with(&[content], &format!("/MediaBox [0 0 100 50] {entries}"), |writer| {
            format!("/XObject << /X {} 0 R >>", writer.stream(garbage, b"no picture of any kind"))
        });
        Document::open(bytes, &PdfOptions::default(), &Limits::default()).unwrap().render(0).unwrap()
    };
    let square = "0 g 5 5 10 10 re f";
    let sound = open(square, "/UserUnit 1.5");
    assert_eq!((sound.image.size(), &*sound.lost), (Size::new(300, 150), &[][..]));
    let damaged = open(&format!("{square} q 50 0 0 50 50 0 cm /X Do Q"), field);
    assert!(
        damaged.lost.len() == 2 && damaged.lost[0].contains("picture") && damaged.lost[1].contains("form fields"),
        "{:?}",
        damaged.lost
    );
}

//! Documents that are damaged, or made to harm.

use super::write::{BLACK, Writer, document, document_with, slow_then_black};
use super::{fixture, load, load_bytes, load_bytes_with, only_error, processes};
use hpinfer::image::decode::Limits;
use hpinfer::source::pdf::{Document, Isolation};
use hpinfer::source::{PdfOptions, SourceOptions};
use std::fs;
use std::io::Write;
use std::time::{Duration, Instant};

/// Documents that must come to an end in this time, whatever is in them; far above what any of them takes.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn what_is_no_document_is_one_error() {
    let no_pages = {
        let mut writer = Writer::default();
        let root = writer.add("<< /Type /Catalog /Pages 2 0 R >>");
        writer.add("<< /Type /Pages /Count 0 /Kids [] >>");
        writer.finish(root)
    };
    for bytes in [&b"%PDF-1.7"[..], b"%PDF-1.7\nnothing of the kind\n%%EOF", &[b"%PDF-1.4\n".as_slice(), &[0xA5; 5000]].concat(), &no_pages]
    {
        for options in [PdfOptions::default(), processes()] {
            let message = only_error(load_bytes(bytes, &options));
            assert!(message.contains("damaged"), "{message}");
        }
    }
}

#[test]
fn a_page_without_an_area_is_an_error() {
    for boxes in
        ["[0 0 0 50]", "[0 0 0 0] /Rotate 90", "[7 7 100 7]", "[0 0 100 50] /CropBox [200 200 300 300]", "[0 0 100 50] /CropBox [0 0 0 0]"]
    {
        let message =
            only_error(load_bytes(&document_with(&[BLACK], &format!("/MediaBox {boxes}"), |_| String::new()), &PdfOptions::default()));
        assert!(message.contains("page 1: its MediaBox, or what its CropBox leaves of that, has no area"), "{boxes}: {message}");
    }
}

#[test]
fn a_renderer_that_cannot_be_started_is_no_fault_of_the_document() {
    let isolation = Isolation::Process { program: "/nowhere/hpinfer".into(), arguments: Vec::new() };
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("doc.pdf");
    fs::write(&path, document(&[BLACK])).unwrap();
    let outcomes = load(&path, &PdfOptions { isolation, ..PdfOptions::default() });
    let [Err(error)] = &outcomes[..] else { panic!("{} outcomes", outcomes.len()) };
    assert_eq!(error.kind(), "io");
    assert!(error.to_string().starts_with("cannot start the renderer /nowhere/hpinfer: "), "{error}");
}

#[test]
fn a_renderer_that_is_killed_is_no_fault_of_the_document() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("doc.pdf");
    fs::write(&path, [&document(&[BLACK, BLACK])[..], b"\n"].concat()).unwrap();
    let outcomes = |script: &str| {
        let isolation = Isolation::Process { program: "/bin/sh".into(), arguments: vec!["-c".into(), format!("ulimit -c 0\n{script}")] };
        let outcomes = load(&path, &PdfOptions { isolation, ..PdfOptions::default() });
        outcomes.into_iter().map(|outcome| outcome.map_err(|e| (e.kind(), e.to_string())).unwrap_err()).collect::<Vec<_>>()
    };
    let name = path.display();
    let no_memory = "ended by signal 9, probably out of memory; lower --dpi, use fewer --threads, or give it more memory";
    let own = |n| format!("{name}: page 1: the renderer broke down over it (signal {n}); the file is damaged, or needs too much memory");
    for (signal, expected) in [
        ("KILL", ("device_fault", format!("PDF renderer, {name}, page 1: {no_memory}"))),
        ("TERM", ("device_fault", format!("PDF renderer, {name}, page 1: ended by signal 15, from outside; run it again"))),
        ("SEGV", ("bad_input", own(11))),
        ("ABRT", ("bad_input", own(6))),
    ] {
        // After the document, a line a page.
        let answer = format!("case $line in 0) kill -{signal} $$;; 1) echo '{{\"Failed\":\"seen\"}}';; esac");
        let found = outcomes(&format!("echo '{{\"Pages\":2}}'\nwhile read -r line; do {answer}; done"));
        assert_eq!(found, [expected, ("bad_input", format!("{name}: page 2: seen"))]);
    }
    assert_eq!(outcomes("kill -KILL $$"), [("device_fault", format!("PDF renderer, {name}: {no_memory}"))]);
}

#[test]
fn a_page_that_fails_leaves_the_others() {
    let pages = [BLACK, "", BLACK];
    let sound = document(&pages);
    // The second page becomes larger than any limit.
    let text = String::from_utf8_lossy(&sound).into_owned();
    let second = text.match_indices("[0 0 100 50]").nth(1).unwrap().0;
    let mut bytes = sound.clone();
    bytes[second..second + 12].copy_from_slice(b"[0 0 9e9 50]");
    let huge = String::from_utf8_lossy(&bytes).replace("9e9", "99999999");
    let outcomes = load_bytes(huge.as_bytes(), &PdfOptions::default());
    let told: Vec<_> =
        outcomes.iter().map(|o| o.as_ref().map(|f| f.image.view().pixels().unwrap().data[0]).map_err(ToString::to_string)).collect();
    assert_eq!((&told[0], &told[2]), (&Ok(0), &Ok(0)));
    let message = told[1].as_ref().unwrap_err();
    assert!(message.contains(": page 2: ") && message.contains("the limit is 180000000 (lower --dpi"), "{message}");
}

#[test]
fn references_in_circles_come_to_an_end() {
    let own_kid = {
        let mut writer = Writer::default();
        let root = writer.add("<< /Type /Catalog /Pages 2 0 R >>");
        writer.add("<< /Type /Pages /Count 99 /Kids [2 0 R 3 0 R 2 0 R] /Parent 3 0 R >>");
        writer.add("<< /Type /Pages /Count 99 /Kids [2 0 R 3 0 R] >>");
        writer.finish(root)
    };
    let own_form = document_with(&["/X Do"], "/MediaBox [0 0 100 50]", |writer| {
        let number = writer.objects() + 1;
        let form = format!("/Subtype /Form /BBox [0 0 100 50] /Resources << /XObject << /X {number} 0 R >> >>");
        writer.stream(&form, b"/X Do /X Do /X Do");
        format!("/XObject << /X {number} 0 R >>")
    });
    let own_length = String::from_utf8_lossy(&document(&[BLACK])).replace("/Length 19", "/Length 4 0 R").into_bytes();
    let previous = String::from_utf8_lossy(&document(&[BLACK])).replace("trailer << ", "trailer << /Prev 9 /XRefStm 9 ").into_bytes();
    for bytes in [own_kid, own_form, own_length, previous] {
        let started = Instant::now();
        let options = PdfOptions { page_time: Duration::from_secs(5), ..processes() };
        assert!(!load_bytes(&bytes, &options).is_empty());
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn a_page_beyond_its_time_is_stopped_and_the_next_one_rendered() {
    let bytes = slow_then_black();
    let started = Instant::now();
    let outcomes = load_bytes(&bytes, &PdfOptions { page_time: Duration::from_secs(2), ..processes() });
    let message = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(message.contains(": page 1: not rendered within 2 s"), "{message}");
    assert_eq!(outcomes[1].as_ref().unwrap().image.view().pixels().unwrap().data[0], 0);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn a_page_that_needs_too_much_memory_ends_its_renderer_alone() {
    // 4 GB of zeros, packed by repeating the packed form of one megabyte, and that packed again.
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    let mut megabyte = || {
        let before = packer.get_ref().len();
        packer.write_all(&[0; 1 << 20]).and_then(|()| packer.flush()).unwrap();
        packer.get_ref()[before..].to_vec()
    };
    let first = megabyte();
    let packed = deflate(&[first, megabyte().repeat(4000)].concat());
    let filters = "/FlateDecode /FlateDecode";
    let bytes = document_with(&["/I Do", BLACK], "/MediaBox [0 0 100 50]", |writer| {
        let entries = format!("/Subtype /Image /Width 65000 /Height 65000 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter [{filters}]");
        let number = writer.stream(&entries, &packed);
        format!("/XObject << /I {number} 0 R >>")
    });
    assert!(bytes.len() < 1 << 20);
    // A renderer may use 2 GiB and what the largest page takes.
    let options =
        SourceOptions { pdf: processes(), limits: Limits { max_pixels: 1 << 20, ..Limits::default() }, ..SourceOptions::default() };
    let outcomes = load_bytes_with(&bytes, &options);
    assert_eq!(outcomes.len(), 2);
    let message = outcomes[0].as_ref().unwrap_err().to_string();
    assert!(message.contains(": page 1: "), "{message}");
    assert_eq!(outcomes[1].as_ref().unwrap().image.view().pixels().unwrap().data[0], 0);
}

#[test]
fn thousands_of_pages_are_rendered_one_by_one() {
    let pages = vec![BLACK; 3000];
    let options = PdfOptions { dpi: 18, pages: "1,250-500,2999-".parse().unwrap(), ..PdfOptions::default() };
    let outcomes = load_bytes(&document(&pages), &options);
    assert_eq!(outcomes.len(), 1 + 251 + 2);
    assert!(outcomes.iter().all(|frame| frame.as_ref().is_ok_and(|f| f.image.view().pixels().unwrap().data[0] == 0)));
    assert_eq!(outcomes.last().unwrap().as_ref().unwrap().id.page_index, Some(2999));
}

#[test]
fn a_picture_that_is_lost_is_no_blank_page() {
    let bytes = document_with(&["100 0 0 50 0 0 cm /I Do"], "/MediaBox [0 0 100 50]", |writer| {
        let entries = "/Subtype /Image /Width 10 /Height 10 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /DCTDecode";
        format!("/XObject << /I {} 0 R >>", writer.stream(entries, b"no JPEG at all"))
    });
    let message = only_error(load_bytes(&bytes, &PdfOptions::default()));
    assert!(message.contains("page 1: the picture on it is damaged"), "{message}");
    let bytes = document_with(&["100 0 0 50 0 0 cm /I Do"], "/MediaBox [0 0 100 50]", |writer| {
        let entries = "/Subtype /Image /Width 10 /Height 10 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter /FlateDecode";
        format!("/XObject << /I {} 0 R >>", writer.stream(entries, &[0x78, 0x9c, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]))
    });
    let message = only_error(load_bytes(&bytes, &PdfOptions::default()));
    assert!(message.contains("page 1: the picture on it is damaged"), "{message}");
    // Hexadecimal digits that end before they start.
    let bytes = document(&[">00000000000000000"]);
    let bytes = String::from_utf8_lossy(&bytes).replace("/Length 18", "/Filter /ASCIIHexDecode /Length 18").into_bytes();
    let message = only_error(load_bytes(&bytes, &PdfOptions::default()));
    assert!(message.contains("page 1: its content is damaged"), "{message}");
}

#[test]
fn a_picture_that_is_cut_off_or_packed_in_an_unknown_way_is_told() {
    let grey = image::GrayImage::from_fn(64, 64, |x, y| image::Luma([(x * y) as u8]));
    let mut jpeg = Vec::new();
    image::codecs::jpeg::JpegEncoder::new(&mut jpeg).encode_image(&grey).unwrap();
    // A page of white, and the head of a region that is not there any more.
    let jbig2 =
        [&[0, 0, 0, 0, 0x30, 0, 1, 0, 0, 0, 19, 0, 0, 0, 64, 0, 0, 0, 64][..], &[0; 11], &[0, 0, 0, 1, 0x26, 0, 1, 0, 0, 1, 0, 9, 9]]
            .concat();
    let lost = |filter: &str, data: &[u8], drawn: &str| {
        let content = format!("{BLACK} {drawn}");
        let bytes = document_with(&[&content], "/MediaBox [0 0 100 50]", |writer| {
            let entries = format!("/Subtype /Image /Width 64 /Height 64 /BitsPerComponent 8 /ColorSpace /DeviceGray /Filter {filter}");
            format!("/XObject << /I {} 0 R >>", writer.stream(&entries, data))
        });
        Document::open(bytes, &PdfOptions::default(), &Limits::default()).unwrap().render(0).unwrap().lost
    };
    let draw = "q 50 0 0 50 0 0 cm /I Do Q";
    assert!(lost("/DCTDecode", &jpeg, draw).is_empty());
    let cut = &jpeg[..jpeg.len() * 2 / 3];
    for (filter, data) in [("/DCTDecode", cut), ("/JBIG2Decode", &jbig2), ("[/FlateDecode /Unheard]", &deflate(&[0; 4096]))] {
        assert!(lost(filter, data, draw).iter().any(|what| what.contains("picture")), "{filter}");
        assert!(lost(filter, data, "").is_empty(), "{filter}: it is not on the page");
    }
    let blank = document_with(&[draw], "/MediaBox [0 0 100 50]", |writer| {
        let entries = "/Subtype /Image /Width 64 /Height 64 /BitsPerComponent 1 /ColorSpace /DeviceGray /Filter /JBIG2Decode";
        format!("/XObject << /I {} 0 R >>", writer.stream(entries, &jbig2))
    });
    let message = only_error(load_bytes(&blank, &PdfOptions::default()));
    assert!(message.contains("page 1: the picture on it is damaged"), "{message}");
}

#[test]
fn a_page_whose_content_is_not_there_is_no_blank_page() {
    let sound = String::from_utf8(document(&[BLACK])).unwrap();
    let (before, after) = sound.split_once("/Contents ").unwrap();
    let (number, rest) = after.split_once(" 0 R").unwrap();
    // The same length, so that what points into the file still does.
    let nowhere = "9".repeat(number.len());
    let bytes = format!("{before}/Contents {nowhere} 0 R{rest}");
    let message = only_error(load_bytes(bytes.as_bytes(), &PdfOptions::default()));
    assert!(message.contains("page 1: its content is damaged or cut off"), "{message}");
}

#[test]
fn a_page_that_is_not_there_is_missed() {
    let sound = String::from_utf8(document(&[BLACK, BLACK, BLACK])).unwrap();
    let bytes = sound.replace("/Kids [3 0 R 5 0 R 7 0 R ]", "/Kids [3 0 R 9 0 R 7 0 R ]"); // the contents are 4, 6 and 8
    assert_ne!(bytes, sound);
    let outcomes = load_bytes(bytes.as_bytes(), &PdfOptions::default());
    assert!(outcomes.len() == 3 && outcomes[0].is_ok() && outcomes[1].is_ok(), "{outcomes:?}");
    let message = outcomes[2].as_ref().unwrap_err().to_string();
    assert!(message.contains("of the 3 pages that the document lists only 2 can be found"), "{message}");
    let first = load_bytes(bytes.as_bytes(), &PdfOptions { pages: "1".parse().unwrap(), ..PdfOptions::default() });
    assert!(first.len() == 1 && first[0].is_ok(), "who asks for a page that is there gets it");
}

#[test]
fn cut_and_altered_documents_end_in_pictures_or_errors() {
    altered(60);
}

#[test]
#[ignore = "minutes: 1000 altered documents"]
fn a_thousand_altered_documents_end_in_pictures_or_errors() {
    altered(1000);
}

fn altered(count: u64) {
    let seed = std::env::var("HPINFER_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| u64::from(std::process::id()));
    println!("HPINFER_SEED={seed}");
    let mut random = Random(seed | 1);
    let sound: Vec<_> =
        ["text", "vector", "scan", "turned", "packed", "rc4", "aes256"].map(|n| fs::read(fixture(&format!("{n}.pdf"))).unwrap()).into();
    let options = PdfOptions { page_time: Duration::from_secs(10), ..processes() };
    let (mut pictures, mut errors) = (0, 0);
    for _ in 0..count {
        let mut bytes = sound[random.below(sound.len())].clone();
        for _ in 0..=random.below(12) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes.truncate(at.max(9)),
                1 => bytes[at] = random.below(256) as u8,
                2 => bytes[at] ^= 1 << random.below(8),
                3 => drop(bytes.drain(at..(at + random.below(40)).min(bytes.len()))),
                _ => {
                    let end = (at + random.below(60)).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = random.below(bytes.len());
                    bytes.splice(to..to, piece);
                }
            }
        }
        bytes.splice(0..0, *b"%PDF-1.7\n");
        let started = Instant::now();
        for outcome in load_bytes(&bytes, &options) {
            match outcome {
                Ok(_) => pictures += 1,
                Err(_) => errors += 1,
            }
        }
        assert!(started.elapsed() < PATIENCE);
    }
    println!("{count} documents: {pictures} pages, {errors} errors");
    assert!(pictures > 0 && errors > 0, "every change hurt, or none did");
}

/// A small generator of numbers (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).unwrap();
    packer.finish().unwrap()
}

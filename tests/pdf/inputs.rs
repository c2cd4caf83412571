//! Which pages come, under which names.

use super::write::{BLACK, document};
use super::{load_bytes, only_error};
use hpinfer::image::decode::{Decoder, Limits};
use hpinfer::source::{InputKind, PdfOptions, Source, SourceOptions};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

fn indices(bytes: &[u8], pages: &str) -> Vec<u32> {
    let options = PdfOptions { pages: pages.parse().unwrap(), dpi: 36, ..PdfOptions::default() };
    load_bytes(bytes, &options).into_iter().map(|frame| frame.unwrap().id.page_index.unwrap()).collect()
}

#[test]
fn the_pages_asked_for_come_in_order() {
    let bytes = document(&["", BLACK, "", BLACK, ""]);
    assert_eq!(indices(&bytes, "1-"), [0, 1, 2, 3, 4]);
    assert_eq!(indices(&bytes, "5,2-3,9"), [1, 2, 4]);
    let options = PdfOptions { pages: "7-9".parse().unwrap(), ..PdfOptions::default() };
    assert!(only_error(load_bytes(&bytes, &options)).contains("has 5 pages, none of them among 7-9"));
    let options = PdfOptions { max_pages: 3, ..PdfOptions::default() };
    assert!(only_error(load_bytes(&bytes, &options)).contains("5 pages, the limit is 3 (choose fewer with --pages"));
    let options = PdfOptions { max_pages: 3, pages: "1-3".parse().unwrap(), dpi: 36, ..PdfOptions::default() };
    let shades: Vec<u8> =
        load_bytes(&bytes, &options).into_iter().map(|frame| frame.unwrap().image.view().pixels().unwrap().data[0]).collect();
    assert_eq!(shades, [255, 0, 255]);
}

#[test]
fn resolution_decides_the_size() {
    for (dpi, size) in [(72, (100, 50)), (144, (200, 100)), (300, (417, 209)), (1, (2, 1))] {
        let frame = load_bytes(&document(&[BLACK]), &PdfOptions { dpi, ..PdfOptions::default() }).remove(0).unwrap();
        assert_eq!((frame.size().width, frame.size().height), size, "{dpi} dpi");
    }
}

#[test]
fn documents_are_told_by_content_and_share_folders_with_pictures() {
    let folder = tempfile::TempDir::new().unwrap();
    let png = fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/decode/pictures/png_rgb8.png")).unwrap();
    let two = document(&[BLACK, ""]);
    let with_junk = [b"HTTP/1.0 200 OK\r\n\r\n".as_slice(), &two].concat();
    for (name, bytes) in [("a.png", &two), ("b.pdf", &png), ("c/d.PDF", &with_junk), ("c/e.png", &png)] {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    let mut found = Vec::new();
    for item in Source::new(&[folder.path()], SourceOptions::default()) {
        let frame = item.load(&Decoder::default()).unwrap();
        assert_eq!(frame.id, item.frame_id());
        assert_eq!(frame.id.input_path.as_deref(), Some(item.name.as_str()));
        found.push((item.relative_dir.join(item.name.rsplit('/').next().unwrap()).display().to_string(), frame.id.page_index));
    }
    let expected = [("a.png", Some(0)), ("a.png", Some(1)), ("b.pdf", None), ("c/d.PDF", Some(0)), ("c/d.PDF", Some(1)), ("c/e.png", None)];
    assert_eq!(found, expected.map(|(name, page)| (name.to_owned(), page)));
}

#[test]
fn an_open_document_is_not_needed_on_disk_and_its_pages_render_in_any_order() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("doc.pdf");
    fs::write(&path, document(&[BLACK, "", BLACK])).unwrap();
    let items: Vec<_> = Source::new(&[&path], SourceOptions::default()).collect();
    drop(folder);
    let shade = |i: usize| items[i].load(&Decoder::default()).unwrap().image.view().pixels().unwrap().data[0];
    std::thread::scope(|scope| {
        let threads: Vec<_> = [2, 1, 0, 2].map(|i| scope.spawn(move || shade(i))).into_iter().collect();
        let shades: Vec<u8> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(shades, [0, 255, 0, 0]);
    });
}

#[test]
fn large_documents_are_refused_before_reading() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("sparse.pdf");
    let mut file = fs::File::create(&path).unwrap();
    file.write_all(b"%PDF-1.7\n").unwrap();
    file.set_len(1 << 40).unwrap();
    let options = SourceOptions { limits: Limits { max_file_bytes: 1000, ..Limits::default() }, ..SourceOptions::default() };
    let item = Source::new(&[&path], options).next().unwrap();
    assert!(item.load(&Decoder::default()).unwrap_err().to_string().contains("1099511627776 bytes or more, the limit is 1000"));
}

#[test]
fn an_address_that_names_no_picture_may_lead_to_a_document() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let body = document(&[BLACK, ""]);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(&body);
        }
    });
    let load = |path: &str| {
        let items = Source::new(&[format!("{server}{path}")], SourceOptions::default());
        items.map(|item| item.load(&Decoder::default())).collect::<Vec<_>>()
    };
    for path in ["/documents/7", "/x.pdf?page=a.png", "/"] {
        let pages: Vec<_> = load(path).into_iter().map(|frame| frame.unwrap().id.page_index).collect();
        assert_eq!(pages, [Some(0), Some(1)], "{path}");
    }
    assert!(only_error(load("/x.png")).contains("a PDF document has pages, it is no picture"));
    let offline = SourceOptions { offline: true, ..SourceOptions::default() };
    assert!(matches!(Source::new(&[format!("{server}/7")], offline).next().unwrap().kind, InputKind::Refused(_)));
}

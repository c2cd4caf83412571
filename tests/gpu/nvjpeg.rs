//! JPEG files decoded by a stand-in for nvJPEG (nvjpeg.cpp), which has the pixels that a test gives it for a file.

use super::nvdec::{events, options};
use super::ocr::{Networks, compare};
use super::stub::{self, Loaded};
use crate::random::Random;
use hpinfer::device::{Gpu, GpuId, NvJpeg};
use hpinfer::image::decode::{Decoder, JpegDecoder, Limits};
use hpinfer::image::{Frame, ImageBuf, Picture, PixelFormat, Size};
use hpinfer::source::video::{VideoEvent, VideoOptions};
use hpinfer::trace::Transfers;
use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, RgbImage};
use std::ffi::{CString, c_char};
use std::path::Path;
use std::sync::OnceLock;

/// The stand-in in this process, and the files that it has pixels of.
struct NvJpegStub {
    library: &'static libloading::Library,
    pixels: tempfile::TempDir,
}

impl NvJpegStub {
    fn get() -> Self {
        static LOADED: OnceLock<libloading::Library> = OnceLock::new();
        Loaded::get();
        let library = LOADED.get_or_init(|| {
            let library = stub::library("gpu/nvjpeg.cpp", &["-Wl,-soname,libnvjpeg.so.12"]);
            // SAFETY: built from this tree; loading it runs nothing.
            unsafe { libloading::Library::new(library) }.expect("it loads")
        });
        let stub = Self { library, pixels: tempfile::tempdir().expect("a folder") };
        stub.words("");
        stub
    }

    /// Knobs besides the folder of pixels.
    fn words(&self, words: &str) {
        let words = CString::new(format!("pixels={} {words}", self.pixels.path().display())).expect("no zero");
        // SAFETY: the function has this type and copies the text.
        unsafe { self.library.get::<unsafe extern "C" fn(*const c_char)>(b"stub_nvjpeg_setup").expect("exported")(words.as_ptr()) };
    }

    /// What is open, and how many files were decoded.
    fn counts(&self) -> [i64; 2] {
        let mut counts = [0; 2];
        // SAFETY: the function has this type and fills two numbers.
        unsafe { self.library.get::<unsafe extern "C" fn(*mut i64)>(b"stub_nvjpeg_counts").expect("exported")(counts.as_mut_ptr()) };
        counts
    }

    /// Gives it the pixels of `file`: those of the decoder on the host, each a level away from them.
    fn know(&self, file: &[u8]) -> ImageBuf {
        known(self.pixels.path(), file)
    }

    fn decoder(&self) -> Decoder {
        let nvjpeg = NvJpeg::open(&Gpu::open(None).expect("the stand-in opens"), None).expect("the library opens");
        Decoder { nvjpeg: Some(nvjpeg), ..Decoder::default() }
    }
}

/// Writes the pixels of `file` into `folder`, as the stand-in reads them.
pub fn known(folder: &Path, file: &[u8]) -> ImageBuf {
    let image = Decoder::default().decode(file, "a test's").expect("a picture");
    let pixels: Vec<u8> = image.data().iter().map(|sample| sample ^ 1).collect();
    let hash = file.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    std::fs::write(folder.join(format!("{hash:016x}")), &pixels).expect("written");
    ImageBuf::new(pixels, image.size(), PixelFormat::Bgr).expect("a picture")
}

/// A file of a picture with smooth random colours.
pub fn file(random: &mut Random, size: Size) -> Vec<u8> {
    let base = [random.next() as u32, random.next() as u32];
    let image =
        RgbImage::from_fn(size.width, size.height, |x, y| image::Rgb([x + base[0], 2 * y + base[1], x + y].map(|level| level as u8)));
    encoded(image.as_raw(), size, ExtendedColorType::Rgb8)
}

fn encoded(samples: &[u8], size: Size, colour: ExtendedColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 90).encode(samples, size.width, size.height, colour).expect("encoded");
    bytes
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/decode/pictures").join(name)).expect("there")
}

/// `file` with a segment behind its first marker.
fn with_segment(file: &[u8], code: u8, body: &[u8]) -> Vec<u8> {
    [&file[..2], &[0xff, code], &(body.len() as u16 + 2).to_be_bytes(), body, &file[2..]].concat()
}

#[test]
fn pixels_are_made_on_the_device_from_one_upload() {
    let _turn = Loaded::turn();
    let (stub, driver, mut random) = (NvJpegStub::get(), Loaded::get(), Random::fresh("nvjpeg"));
    let decoder = stub.decoder();
    let grey = encoded(&vec![77; 90 * 40], Size::new(90, 40), ExtendedColorType::L8);
    for bytes in [file(&mut random, Size::new(97, 61)), file(&mut random, Size::new(40, 200)), grey] {
        let expected = stub.know(&bytes);
        let before = driver.counts();
        let picture = decoder.picture(&bytes, "a.jpg").expect("a picture");
        let counts = driver.counts();
        assert!(matches!(picture, Picture::Gpu(_)) && picture.size() == expected.size(), "{picture:?}");
        assert_eq!((counts.uploads, counts.uploaded_bytes), (before.uploads + 1, before.uploaded_bytes + bytes.len() as u64));
        assert_eq!((counts.downloads, counts.allocations[1]), (before.downloads, before.allocations[1]), "pixels on the host");
        assert!(*picture.on_host(&mut Transfers::default()).expect("a copy") == expected);
    }
    // What was given back is lent again.
    let bytes = file(&mut random, Size::new(97, 61));
    stub.know(&bytes);
    decoder.picture(&bytes, "a.jpg").expect("a picture");
    let before = driver.counts().allocations;
    decoder.picture(&bytes, "a.jpg").expect("a picture");
    assert_eq!(driver.counts().allocations, before);
    let [open, decoded] = stub.counts();
    assert_eq!((open, decoded > 0), (2, true), "a handle and a state");
    drop(decoder);
    assert_eq!(stub.counts()[0], 0, "something of the library was left open");
}

#[test]
fn a_picture_lies_on_the_gpu_of_its_decoder() {
    let _turn = Loaded::turn();
    let (stub, mut random) = (NvJpegStub::get(), Random::fresh("nvjpeg"));
    let bytes = file(&mut random, Size::new(64, 64));
    stub.know(&bytes);
    for number in [0, 1] {
        let gpu = Gpu::open(Some(&GpuId::Number(number))).expect("the stand-in opens");
        let decoder = Decoder { nvjpeg: Some(NvJpeg::open(&gpu, None).expect("the library opens")), ..Decoder::default() };
        let Ok(Picture::Gpu(resident)) = decoder.picture(&bytes, "a.jpg") else { panic!("on the host") };
        assert_eq!(resident.gpu().to_string(), format!("gpu:{number}"));
    }
}

#[test]
fn threads_decode_side_by_side() {
    let _turn = Loaded::turn();
    let (stub, mut random) = (NvJpegStub::get(), Random::fresh("nvjpeg"));
    let decoder = stub.decoder();
    let files: Vec<Vec<u8>> = (0..6).map(|i| file(&mut random, Size::new(64 + i, 48))).collect();
    let expected: Vec<ImageBuf> = files.iter().map(|file| stub.know(file)).collect();
    std::thread::scope(|scope| {
        for (file, expected) in files.iter().zip(&expected) {
            let decoder = &decoder;
            scope.spawn(move || {
                for _ in 0..5 {
                    let picture = decoder.picture(file, "a.jpg").expect("a picture");
                    assert!(
                        matches!(picture, Picture::Gpu(_)) && *picture.on_host(&mut Transfers::default()).expect("a copy") == *expected
                    );
                }
            });
        }
    });
    drop(decoder);
    assert_eq!(stub.counts()[0], 0);
}

#[test]
fn what_it_does_not_take_is_decoded_on_the_host() {
    let _turn = Loaded::turn();
    let (stub, mut random) = (NvJpegStub::get(), Random::fresh("nvjpeg"));
    let decoder = stub.decoder();
    let usual = file(&mut random, Size::new(80, 60));
    stub.know(&usual);
    let on_host = |words: &str, bytes: &[u8], jpeg| {
        stub.words(words);
        let found = Decoder { jpeg, ..decoder.clone() }.picture(bytes, "a.jpg").expect("a picture");
        let expected = Decoder { jpeg, ..Decoder::default() }.decode(bytes, "a.jpg").expect("a picture");
        let Picture::Host(found) = found else { panic!("{words}: {found:?}") };
        assert!(*found == expected, "{words}");
    };
    let decoded = stub.counts()[1];
    // Statuses of files, and those where the device is to blame.
    for code in 1..=11 {
        on_host(&format!("fail=nvjpegDecode code={code}"), &usual, JpegDecoder::Zune);
        on_host(&format!("fail=nvjpegGetImageInfo code={code}"), &usual, JpegDecoder::Turbo);
    }
    on_host("wide=1", &usual, JpegDecoder::Zune);
    let turned = with_segment(&usual, 0xe1, b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0");
    stub.know(&turned);
    on_host("", &turned, JpegDecoder::Zune);
    let tiny = file(&mut random, Size::new(20, 30));
    stub.know(&tiny);
    on_host("", &tiny, JpegDecoder::Zune);
    for name in ["jpeg_cmyk.jpg", "jpeg_ycck.jpg", "jpeg_rgb.jpg", "jpeg_rgb_by_ids.jpg", "jpeg_padded_markers.jpg"] {
        on_host("", &fixture(name), JpegDecoder::Zune);
    }
    on_host("", &fixture("png_rgb8.png"), JpegDecoder::Zune);
    assert_eq!(stub.counts()[1], decoded, "the library was given what it must not decode");
    // A state that failed is not used again, and the next file is decoded.
    stub.words("");
    assert!(matches!(decoder.picture(&usual, "a.jpg"), Ok(Picture::Gpu(_))));
    // A library that cannot make a state, then.
    drop(decoder);
    let decoder = stub.decoder();
    stub.words("fail=nvjpegJpegStateCreate code=5");
    assert!(matches!(decoder.picture(&usual, "a.jpg"), Ok(Picture::Host(_))));
    drop(decoder);
    assert_eq!(stub.counts()[0], 0);
}

#[test]
fn damage_and_limits_are_told_as_on_the_host() {
    let _turn = Loaded::turn();
    let (stub, driver, mut random) = (NvJpegStub::get(), Loaded::get(), Random::fresh("nvjpeg"));
    let decoder = stub.decoder();
    let whole = file(&mut random, Size::new(120, 90));
    stub.know(&whole);
    let mut headless = whole.clone();
    let frame = headless.windows(2).position(|marker| marker == [0xff, 0xc0]).expect("a frame");
    headless[frame + 9] = 77; // components
    let cases = [
        (whole[..whole.len() / 2].to_vec(), Limits::default()),
        (headless, Limits::default()),
        (fixture("jpeg_truncated.jpg"), Limits::default()),
        (whole.clone(), Limits { max_pixels: 120 * 90 - 1, ..Limits::default() }),
    ];
    for (bytes, limits) in cases {
        let (before, decoded) = (driver.counts(), stub.counts()[1]);
        let found = Decoder { limits, ..decoder.clone() }.picture(&bytes, "page 7.jpg").expect_err("an error");
        let expected = Decoder { limits, ..Decoder::default() }.decode(&bytes, "page 7.jpg").expect_err("an error");
        assert!(found.to_string() == expected.to_string() && found.kind() == "bad_input", "{found}\n{expected}");
        assert!(found.to_string().starts_with("page 7.jpg: JPEG: "), "{found}");
        assert_eq!((driver.counts(), stub.counts()[1]), (before, decoded), "memory was made for it");
    }
    // What only the library finds damaged is judged by the decoder on the host.
    let mut changed = whole.clone();
    let at = changed.len() - 20;
    changed[at] ^= 1;
    match (decoder.picture(&changed, "a.jpg"), Decoder::default().decode(&changed, "a.jpg")) {
        (Ok(Picture::Host(found)), Ok(expected)) => assert!(*found == expected),
        (Err(found), Err(expected)) => assert_eq!(found.to_string(), expected.to_string()),
        (found, expected) => panic!("{found:?} {expected:?}"),
    }
}

#[test]
fn an_older_library_is_used_without_what_it_lacks() {
    let _turn = Loaded::turn();
    let stub = NvJpegStub::get();
    stub.words("flags=4");
    drop(stub.decoder());
    let open = || NvJpeg::open(&Gpu::open(None).expect("the stand-in opens"), None).map(|_| ()).expect_err("refused");
    for (words, says) in [
        ("flags=0", "gpu:0, nvJPEG, opening it: invalid parameter (status 2)"),
        ("fail=nvjpegCreateEx code=7", "gpu:0, nvJPEG, opening it: not for this GPU (status 7)"),
    ] {
        stub.words(words);
        assert_eq!(open().to_string(), says);
    }
    stub.words("");
    assert_eq!(stub.counts()[0], 0);
}

#[test]
fn decoded_files_are_read_without_a_frame_on_the_host() {
    let _turn = Loaded::turn();
    let (stub, networks) = (NvJpegStub::get(), Networks::open());
    let page = super::ocr::picture("demo/delivery_note.png");
    let page = page.image.on_host(&mut Transfers::default()).expect("on the host");
    let rgb: Vec<u8> = page.data().as_chunks::<3>().0.iter().flat_map(|[b, g, r]| [*r, *g, *b]).collect();
    let bytes = encoded(&rgb, page.size(), ExtendedColorType::Rgb8);
    let expected = networks.on_cpu().predict(&[Frame::from_image(stub.know(&bytes))]).pop().expect("one").expect("a result");
    let frame = Frame::from_image(stub.decoder().picture(&bytes, "a.jpg").expect("a picture"));
    let (found, times) = networks.on_gpu(2).predict_timed(&[frame]).pop().expect("one").expect("a result");
    compare(&found, &expected);
    assert!(!found.rec_text.is_empty() && times.transfers.frames == 0.0, "{:?}", times.transfers);
}

#[test]
fn motion_jpeg_is_decoded_frame_by_frame() {
    let _turn = Loaded::turn();
    let (stub, mut random) = (NvJpegStub::get(), Random::fresh("nvjpeg"));
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path.display().to_string()
    };
    let files = [Size::new(96, 64), Size::new(96, 64), Size::new(81, 49)].map(|size| file(&mut random, size));
    let expected = files.each_ref().map(|file| stub.know(file));
    let [one, two, three] = ["1.jpg", "2.jpg", "3.jpg"].map(|name| folder.path().join(name).display().to_string());
    for (path, file) in [&one, &two, &three].into_iter().zip(&files) {
        std::fs::write(path, file).expect("written");
    }
    let cut = written("cut.jpg", &files[0][..files[0].len() / 2]);
    // What is damaged, or not to be seen, is left out.
    let host = "frame 96 64 0\nframe 96 64 0.04\n";
    let script = format!("stream mjpeg\nfile {one} 0\nfile {cut} 40\nfile {two} 80\nfile {one} 120 , F=0x4\nfile {three} 160\n{host}");
    let found = events(&script, options(&gpu));
    assert_eq!(found.len(), 3, "{found:?}");
    for (index, ((event, expected), time)) in found.iter().zip(&expected).zip([0.0, 80.0, 160.0]).enumerate() {
        let VideoEvent::Frame(moment, picture @ Picture::Gpu(_)) = event else { panic!("{event:?}") };
        assert_eq!((moment.frame_id, moment.timestamp_ms), (index as u64, time));
        assert!(*picture.on_host(&mut Transfers::default()).expect("a copy") == *expected, "frame {index}");
    }
    // A whole file that nvJPEG does not take is the end of it: the stream is decoded by ffmpeg, and no frame comes twice.
    let unknown = written("unknown.jpg", &file(&mut random, Size::new(97, 64)));
    let interlaced = written("interlaced.jpg", &[&files[0][..], &files[1][..]].concat());
    for (other, reason) in [(unknown, "nvJPEG does not decode its pictures"), (interlaced, "its pictures are interlaced")] {
        let script = format!("stream mjpeg\nfile {one} 0\nfile {other} 40\n{host}");
        let found = events(&script, options(&gpu));
        let [VideoEvent::Frame(_, Picture::Gpu(_)), VideoEvent::Frame(moment, Picture::Host(_))] = &found[..] else { panic!("{found:?}") };
        assert_eq!((moment.frame_id, moment.timestamp_ms), (1, 40.0));
        let found = events(&script, VideoOptions { gpu_only: true, ..options(&gpu) });
        let [VideoEvent::Frame(..), VideoEvent::Fault(_, error)] = &found[..] else { panic!("{found:?}") };
        assert!(error.to_string().contains(reason), "{error}");
    }
    drop(found);
    assert_eq!(stub.counts()[0], 0, "something of the library was left open");
}

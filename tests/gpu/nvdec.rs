//! Videos decoded by a stand-in for the decoders of a GPU (nvcuvid.cpp), out of containers that a stand-in for ffmpeg opens.

use super::ocr::{Networks, compare};
use super::stub::{self, Loaded};
use hpinfer::device::{Gpu, VideoDecoder};
use hpinfer::image::nv12::{self, Nv12View, YuvColours, YuvMatrix};
use hpinfer::image::{Frame, ImageBuf, Picture, Size};
use hpinfer::source::video::{Video, VideoEvent, VideoOptions};
use hpinfer::trace::Transfers;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The stand-in of the decoders, in this process.
fn decoders() -> &'static libloading::Library {
    static LOADED: OnceLock<libloading::Library> = OnceLock::new();
    LOADED.get_or_init(|| {
        Loaded::get();
        let library = stub::library("gpu/nvcuvid.cpp", &["-Wl,-soname,libnvcuvid.so.1"]);
        // SAFETY: built from this tree; loading it runs nothing.
        unsafe { libloading::Library::new(library) }.expect("it loads")
    })
}

/// What is open of parsers, decoders and pictures.
fn open() -> i64 {
    // SAFETY: the function has this type.
    unsafe { decoders().get::<unsafe extern "C" fn() -> i64>(b"stub_cuvid_open").expect("exported")() }
}

pub fn options(gpu: &Arc<Gpu>) -> VideoOptions {
    VideoOptions {
        ffmpeg: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/stream/ffmpeg"),
        stall: Duration::from_secs(5),
        attempts: 2,
        pause: Duration::from_millis(1),
        gpu: Some(gpu.clone()),
        ..VideoOptions::default()
    }
}

pub fn events(script: &str, options: VideoOptions) -> Vec<VideoEvent> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script");
    std::fs::write(&path, script).expect("written");
    Video::new(&path.display().to_string(), options).collect()
}

/// What picture `order` of the stand-in looks like.
fn expected(order: usize, size: Size, colours: YuvColours) -> ImageBuf {
    let (width, height) = (size.width as usize, size.height as usize);
    let luma: Vec<u8> = (0..height).flat_map(|y| (0..width).map(move |x| (order * 10 + x + y) as u8)).collect();
    let chroma_pitch = width.next_multiple_of(2);
    let chroma = [100 + order as u8, 150 - order as u8].repeat(chroma_pitch / 2 * height.div_ceil(2));
    nv12::to_bgr(Nv12View { luma: &luma, luma_pitch: width, chroma: &chroma, chroma_pitch, size, colours }).expect("a picture")
}

#[test]
fn pictures_come_in_the_order_of_display_and_stay_on_the_device() {
    let _turn = Loaded::turn();
    decoders();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    // The second picture is shown last of three; then the size changes, to an odd one with other colours.
    let script = "stream h264\nseq 96 64 1 0 8 1\npic 0 0\npic 2 80\npic 1 40\nseq 81 49 6 1 8 1\npic 0 120\npic 1 160\n";
    let found = events(script, options(&gpu));
    let (wide, odd) = (Size::new(96, 64), Size::new(81, 49));
    let of = |matrix, full_range| YuvColours { matrix, full_range };
    let (hd, full) = (of(YuvMatrix::Bt709, false), of(YuvMatrix::Bt601, true));
    let wanted = [(0, wide, hd), (1, wide, hd), (2, wide, hd), (0, odd, full), (1, odd, full)];
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    for (index, (event, (order, size, colours))) in found.iter().zip(wanted).enumerate() {
        let VideoEvent::Frame(moment, picture @ Picture::Gpu(_)) = event else { panic!("{event:?}") };
        assert_eq!((moment.frame_id, moment.timestamp_ms), (index as u64, index as f64 * 40.0));
        let copy = picture.on_host(&mut Transfers::default()).expect("a copy");
        assert!(*copy == expected(order, size, colours), "frame {index}");
    }
    drop(found);
    assert_eq!(open(), 0, "something of the decoders was left open");
}

#[test]
fn what_a_gpu_does_not_decode_is_decoded_on_the_host_or_is_an_error() {
    let _turn = Loaded::turn();
    decoders();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let host = "frame 64 48 0\nframe 64 48 0.04\n";
    for (stream, reason) in [
        ("stream h264 90.00\nseq 64 48 1 0 8 1\npic 0 0\n", "its pictures are to be turned"),
        ("stream h264\nseq 64 48 1 0 8 1\npic 0 NOPTS\n", "the GPU is not given a stream without times"),
        ("stream vp9\n", "gpu:0 is given h264, hevc and mjpeg, not vp9"),
        ("stream hevc\nseq 64 48 1 0 10 1\npic 0 0\n", "gpu:0 does not decode hevc of 64x48 pixels, 10 bits, 4:2:0"),
        ("stream h264\nseq 64 48 1 0 8 3\npic 0 0\n", "gpu:0 does not decode h264 of 64x48 pixels, 8 bits, 4:4:4"),
        ("stream h264\nseq 5000 48 1 0 8 1\npic 0 0\n", "gpu:0 does not decode h264 of 5008x48 pixels"),
    ] {
        let found = events(&format!("{stream}{host}"), options(&gpu));
        let on_host = |event: &VideoEvent| matches!(event, VideoEvent::Frame(_, Picture::Host(_)));
        assert!(found.len() == 2 && found.iter().all(on_host), "{stream}: {found:?}");
        let found = events(&format!("{stream}{host}"), VideoOptions { gpu_only: true, ..options(&gpu) });
        let [VideoEvent::Fault(_, error)] = &found[..] else { panic!("{stream}: {found:?}") };
        assert!(error.to_string().contains(reason), "{stream}: {error}");
    }
    // Pictures of a sequence that is refused later come from the host, and none before it twice.
    let script = "stream h264\nseq 64 48 1 0 8 1\npic 0 0\npic 1 40\nseq 64 48 1 0 8 2\npic 0 80\n";
    let found = events(&format!("{script}{host}frame 64 48 0.08\n"), options(&gpu));
    let [VideoEvent::Frame(_, Picture::Gpu(_)), VideoEvent::Frame(_, Picture::Gpu(_)), VideoEvent::Frame(moment, Picture::Host(_))] =
        &found[..]
    else {
        panic!("{found:?}")
    };
    assert_eq!((moment.frame_id, moment.timestamp_ms), (2, 80.0));
    // Pictures that nobody is to see.
    let found = events("stream h264\nseq 64 48 1 0 8 1\npic 0 0 , F=0x5\npic 1 40 , F=0x4\npic 2 80\n", options(&gpu));
    let [VideoEvent::Frame(moment, Picture::Gpu(_))] = &found[..] else { panic!("{found:?}") };
    assert_eq!((moment.frame_id, moment.timestamp_ms), (0, 80.0));
    // What stops in the middle for another reason is told as ever, and no frame comes twice.
    let found = events("stream h264\nseq 64 48 1 0 8 1\npic 0 0\npic 1 40\nsay [mov] [error] moov atom not found\nexit 1\n", options(&gpu));
    let [VideoEvent::Frame(..), VideoEvent::Frame(..), VideoEvent::Fault(moment, error)] = &found[..] else { panic!("{found:?}") };
    assert!(moment.frame_id == 2 && error.to_string().contains("moov atom not found"), "{error}");
    assert_eq!(open(), 0, "something of the decoders was left open");
}

#[test]
fn decoded_pictures_are_read_without_a_frame_on_the_host() {
    let _turn = Loaded::turn();
    decoders();
    VideoDecoder::available().expect("the stand-in");
    let networks = Networks::open();
    let ocr = networks.on_gpu(2);
    let found = events("stream h264\nseq 320 96 1 0 8 1\npic 0 0\npic 1 40\n", options(&Gpu::open(None).expect("it opens")));
    let frames: Vec<Frame> = found
        .into_iter()
        .map(|event| match event {
            VideoEvent::Frame(_, picture) => Frame::from_image(picture),
            VideoEvent::Dropped(moment) => panic!("{moment:?} is dropped"),
            VideoEvent::Fault(_, error) => panic!("{error}"),
        })
        .collect();
    let read = ocr.predict_timed(&frames);
    let copies: Vec<Frame> =
        frames.iter().map(|frame| Frame::from_image(frame.image.on_host(&mut Transfers::default()).expect("a copy"))).collect();
    for (found, expected) in read.into_iter().zip(networks.on_cpu().predict(&copies)) {
        let (found, times) = found.expect("a result");
        compare(&found, &expected.expect("a result"));
        // Room for a thousand boxes, and a few characters.
        assert!(times.transfers.frames == 0.0 && times.transfers.downloaded_bytes < 40_000.0, "{:?}", times.transfers);
    }
}

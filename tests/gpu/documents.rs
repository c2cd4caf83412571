//! Pages on a GPU: a page is brought there once, and its parts are cut out and read there.

#[path = "../documents/layout.rs"]
mod layout;

use super::emulated::Emulated;
use super::ocr::{Networks, compare, picture};
use super::stub::Loaded;
use hpinfer::backend::Engine;
use hpinfer::device::Gpu;
use hpinfer::modules::Detect;
use hpinfer::pipeline::{DocPreprocessor, DocumentConfig, DocumentTask, PageModules, Pages};
use hpinfer::trace::StageTimes;
use std::sync::Arc;

const LABELS: [&str; 3] = ["Text", "Seal", "Figure"];
/// Of the demo picture: an address, what stands for a seal, a figure that overlaps it, one that leaves the page.
const REGIONS: [[f32; 5]; 4] = [
    [0.0, 40.4, 140.0, 575.9, 270.0],
    [1.0, 470.0, 620.0, 860.0, 720.0],
    [2.0, 560.0, 20.0, 860.0, 290.0],
    [0.0, -30.0, 470.0, 420.0, 4000.0],
];

#[test]
fn parts_of_pages_are_cut_and_read_on_the_device() {
    let _turn = Loaded::turn();
    let networks = Networks::open();
    Loaded::get();
    let gpu = Gpu::open(None).expect("the stand-in opens");
    let frames = [picture("demo/delivery_note.png")];
    let pages = |regions: &[[f32; 5]], recovery: bool, on_gpu: bool| {
        let (layout, engines): (Arc<dyn Engine>, _) = match on_gpu {
            true => (Emulated::on(Arc::new(layout::network(regions)), &gpu), networks.emulated(&gpu)),
            false => (Arc::new(layout::network(regions)), networks.engines.clone()),
        };
        let layout = Detect::new(layout, layout::spec(&LABELS)).expect("a layout detector");
        let (text, recognise) = networks.text(engines);
        let modules = PageModules { preprocessor: DocPreprocessor::default(), layout, structure: None, text, seals: None, recognise };
        let config = DocumentConfig { recovery, ..DocumentConfig::new(DocumentTask::Pages) };
        Pages::new(modules, &config, 2).expect("a pipeline").predict_timed(&frames).remove(0).expect("a result")
    };
    let same = |regions: &[[f32; 5]], recovery: bool| -> StageTimes {
        let ((found, times), (expected, _)) = (pages(regions, recovery, true), pages(regions, recovery, false));
        assert_eq!((&found.layout, &found.blocks, found.page.data()), (&expected.layout, &expected.blocks, expected.page.data()));
        compare(&found.ocr, &expected.ocr);
        assert_eq!(found.seals.len(), expected.seals.len());
        found.seals.iter().zip(&expected.seals).for_each(|(found, expected)| compare(&found.text, &expected.text));
        assert!(found.ocr.rec_text.len() >= 10 && !found.seals[0].text.rec_text.is_empty(), "{:?}", found.ocr.rec_text);
        times
    };
    for recovery in [false, true] {
        let moved = same(&REGIONS, recovery).transfers;
        assert!(moved.frames == 1.0 && moved.uploaded_bytes < frames[0].size().area() as f64 * 3.0 + 100_000.0, "{moved:?}");
    }
    // One that text detection puts on a canvas of its own.
    let smallest = [REGIONS.to_vec(), vec![[0.0, 100.0, 100.0, 130.0, 120.0]]].concat();
    assert_eq!(same(&smallest, false).transfers.frames, 2.0);
}

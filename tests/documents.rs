//! Pipelines for documents, on networks whose outputs are known: every stage is made of drawn pixels, so that what
//! comes out says which pixels went where.

#[path = "documents/orientation.rs"]
mod orientation;
#[path = "documents/refusals.rs"]
mod refusals;
#[path = "documents/rules.rs"]
mod rules;
#[path = "documents/layout.rs"]
mod shared;

use hpinfer::backend::fake::{FakeEngine, Input, Output};
use hpinfer::image::page_text::{Glyph, TextUse};
use hpinfer::image::{Frame, ImageBuf, PageText, PixelFormat, PointF, Size};
use hpinfer::model::{BoxType, CellScale, DetResize, LimitType, TableSpec, TextDetectionSpec, TextRecognitionSpec, UnwarpingSpec};
use hpinfer::modules::batch::BatchLimits;
use hpinfer::modules::network::Share;
use hpinfer::modules::text_detect::DetectionOverrides;
use hpinfer::modules::text_recognise::{Line, WidthRule};
use hpinfer::modules::{Detect, PictureModule, TableStructure, TextDetect, TextRecognise, Unwarp};
use hpinfer::ops::db::DbParams;
use hpinfer::ops::layout::regions::{Merge, MergeMode, RegionRules};
use hpinfer::ops::resize_norm::Normalize;
use hpinfer::pipeline::{DocPreprocessor, DocumentConfig, DocumentTask, PageModules, Pages, SealRecognition, TableRecognition};
use hpinfer::result::json::{Schema, to_line};
use hpinfer::result::page::VisualInfo;
use hpinfer::result::render::draw_one;
use hpinfer::result::render::font::Fonts;
use hpinfer::result::render::save::Saver;
use hpinfer::result::{PipelineResult, TextSource};
use hpinfer::tensor::Shape;
use hpinfer::trace::StageTimes;
use orientation::orientation;
use serde_json::Value;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// Sides are multiples of 32, which text detection leaves as they are.
const PAGE: Size = Size::new(416, 320);
/// Grey of ink, and the text that the recogniser reads in it.
const INKS: [(u8, &str); 3] = [(0, "one"), (40, "<script>&"), (80, "three")];

/// A white page with bars of ink: left, top, width, height, grey.
fn page(bars: &[(u32, u32, u32, u32, u8)]) -> Frame {
    let mut data = vec![255; PAGE.area() as usize * 3];
    for &(left, top, width, height, grey) in bars {
        for y in top..top + height {
            let at = ((y * PAGE.width + left) * 3) as usize;
            data[at..at + width as usize * 3].fill(grey);
        }
    }
    Frame::from_image(ImageBuf::new(data, PAGE, PixelFormat::Bgr).expect("a page"))
}

fn layout(regions: &[[f32; 5]]) -> Detect {
    Detect::new(Arc::new(shared::network(regions)), shared::spec(&["Text", "Table", "Seal", "Figure"])).expect("a layout detector")
}

/// Text wherever there is ink.
fn detector(boxes: BoxType) -> TextDetect {
    limited_detector(boxes, None, Arc::default())
}

/// The same, with a limit of the longer side; tells the size of its last input.
fn limited_detector(boxes: BoxType, max_side: Option<u32>, last: Arc<Mutex<Vec<usize>>>) -> TextDetect {
    let spec = DetectionOverrides { max_side, ..DetectionOverrides::default() }.apply(text_detection(boxes));
    TextDetect::new(Arc::new(FakeEngine::new("det", ink(last))), spec).expect("a detector")
}

/// Where there is ink, as probabilities; `last` gets the size of the input.
fn ink(last: Arc<Mutex<Vec<usize>>>) -> impl Fn(&[Input]) -> hpinfer::Result<(Shape, Vec<f32>)> + Send + Sync {
    move |inputs| {
        let (shape, data) = &inputs[0];
        *last.lock().expect("a shape") = shape.dims().to_vec();
        let &[_, _, height, width] = shape.dims() else { panic!("{shape}") };
        let map = data[..height * width].iter().map(|&v| if v < 0.0 { 0.9 } else { 0.0 }).collect();
        Ok((Shape::new(&[1, 1, height, width]), map))
    }
}

fn text_detection(boxes: BoxType) -> TextDetectionSpec {
    TextDetectionSpec {
        resize: DetResize::Limit { side_len: 960, limit_type: LimitType::Max },
        max_side: None,
        normalize: Normalize::IMAGENET,
        db: DbParams { unclip_ratio: if boxes == BoxType::Poly { 0.5 } else { 1.5 }, ..DbParams::default() },
        boxes,
        is_from_top: false,
    }
}

/// The text of a line by the grey in its middle.
fn recogniser() -> TextRecognise {
    counting_recogniser(Arc::default())
}

/// The same; tells how many lines each of its runs has.
fn counting_recogniser(runs: Arc<Mutex<Vec<usize>>>) -> TextRecognise {
    let classes = INKS.len() + 2;
    let network = move |inputs: &[Input]| {
        let (shape, data) = &inputs[0];
        let &[lines, 3, height, width] = shape.dims() else { panic!("{shape}") };
        runs.lock().expect("runs").push(lines);
        let plane = height * width;
        let mut out = vec![0.0; lines * 2 * classes];
        for (line, out) in data.chunks_exact(3 * plane).zip(out.chunks_exact_mut(2 * classes)) {
            let grey = (line[height / 2 * width + 40] + 1.0) * 127.5;
            let nearest = (0..INKS.len()).min_by_key(|&i| (f32::from(INKS[i].0) - grey).abs() as i32).expect("inks");
            out[nearest + 1] = 0.95;
            out[classes] = 0.9; // a blank
        }
        Ok((Shape::new(&[lines, 2, classes]), out))
    };
    let characters = std::iter::once("blank").chain(INKS.map(|(_, text)| text)).chain([" "]).map(String::from).collect();
    let spec = TextRecognitionSpec { image_shape: [3, 48, 320], characters };
    TextRecognise::new(Arc::new(FakeEngine::new("rec", network)), spec, WidthRule::Reference)
}

/// A head over two cells.
fn structure() -> TableStructure {
    const TOKENS: [&str; 12] =
        ["sos", "<thead>", "</thead>", "<tr>", "</tr>", "<td", ">", "</td>", " colspan=\"2\"", "<td></td>", "<tbody>", "eos"];
    let steps = [3, 5, 8, 6, 7, 4, 3, 9, 9, 4, 11];
    let cells = [(1, [0.0, 0.0, 1.0, 0.5]), (7, [0.0, 0.5, 0.5, 1.0]), (8, [0.5, 0.5, 1.0, 1.0])];
    let network = move |_: &[Input]| {
        let mut tokens = vec![0.0; steps.len() * TOKENS.len()];
        steps.iter().enumerate().for_each(|(step, &token)| tokens[step * TOKENS.len() + token] = 0.9);
        let mut corners = vec![0.0; steps.len() * 8];
        for (step, [x1, y1, x2, y2]) in cells {
            corners[step * 8..step * 8 + 8].copy_from_slice(&[x1, y1, x2, y1, x2, y2, x1, y2]);
        }
        Ok(vec![Output::f32(&[1, steps.len(), 8], corners), Output::f32(&[1, steps.len(), TOKENS.len()], tokens)])
    };
    let spec = table_spec(&TOKENS);
    TableStructure::new(Arc::new(FakeEngine::with_io("table", &[("x", &[None; 4])], 2, network)), spec).expect("a recogniser of tables")
}

fn table_spec(tokens: &[&str]) -> TableSpec {
    TableSpec {
        max_len: 488,
        normalize: Normalize::IMAGENET,
        canvas: Size::new(488, 488),
        tokens: tokens.iter().map(|&token| token.into()).collect(),
        cells: CellScale::Picture,
    }
}

fn prepared_tables(preprocessor: DocPreprocessor, regions: &[[f32; 5]]) -> TableRecognition {
    let config = DocumentConfig::new(DocumentTask::Tables);
    TableRecognition::new(preprocessor, layout(regions), structure(), detector(BoxType::Quad), recogniser(), &config, 2)
        .expect("a pipeline")
}

fn tables(regions: &[[f32; 5]]) -> TableRecognition {
    prepared_tables(DocPreprocessor::default(), regions)
}

fn json(result: PipelineResult) -> Value {
    serde_json::from_str(&to_line(&result, Schema::V3Beta1)).expect("JSON")
}

fn keys(value: &Value) -> Vec<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

/// Names of the files in `folder`, sorted.
fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries.map(|e| e.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn texts_of_a_table_stand_in_its_cells_and_the_others_outside() {
    // Outside; then the head, the left and the right cell of the table.
    let frame = page(&[(32, 16, 80, 20, 80), (110, 72, 80, 20, 40), (70, 124, 60, 20, 0), (180, 124, 60, 20, 80)]);
    let table = [1.0, 64.0, 64.0, 256.0, 160.0];
    let outcome = tables(&[[0.0, 20.0, 10.0, 130.0, 40.0], table]).predict(&[frame.clone(), frame.clone()]);
    for result in outcome {
        let result = result.expect("a result");
        assert_eq!(result.ocr.rec_text, ["three", "<script>&", "one", "three"]);
        assert_eq!(result.tables.len(), 1);
        assert_eq!(result.tables[0].texts, ["<script>&", "one", "three"]);
        assert_eq!(result.tables[0].layout_bbox, [64, 64, 256, 160]);
        let heads: Vec<_> = result.ocr.dt_polys.iter().map(|polygon| polygon[0]).collect();
        for (found, (x, y)) in heads.iter().zip([(32, 16), (110, 72), (70, 124), (180, 124)]) {
            assert!((x - 12..=x).contains(&found.x) && (y - 12..=y).contains(&found.y), "{found:?} for {x}, {y}");
        }
        let value = json(result.into());
        assert_eq!(keys(&value), ["input_path", "layout_result", "ocr_result", "table_result", "schema_version", "run"]);
        assert_eq!(keys(&value["layout_result"]), ["input_path", "boxes"]);
        assert_eq!(keys(&value["ocr_result"]), ["input_path", "dt_polys", "rec_text", "rec_score"]);
        assert_eq!(keys(&value["table_result"][0]), ["input_path", "layout_bbox", "bbox", "img_idx", "html"]);
        assert_eq!(value["table_result"][0]["bbox"][0], serde_json::json!([64.0, 64.0, 256.0, 64.0, 256.0, 112.0, 64.0, 112.0]));
        let html = "<html><body><table><tr><td colspan=\"2\">&lt;script&gt;&amp;</td></tr><tr><td>one</td><td>three</td></tr></table></body></html>";
        assert_eq!(value["table_result"][0]["html"], html);
    }
}

#[test]
fn a_result_names_the_networks_that_ran_for_it() {
    let table = [1.0, 64.0, 64.0, 256.0, 160.0];
    let (blank, bar) = (page(&[]), page(&[(32, 16, 80, 20, 80)]));
    // Together, and each alone: the work of one names nothing in the result of another.
    for together in [2, 1] {
        for (regions, with_bar) in [(&[][..], &["layout", "det", "rec"][..]), (&[table], &["layout", "table", "det", "rec"])] {
            let pipeline = tables(regions);
            let frames = [blank.clone(), bar.clone()];
            let results: Vec<_> = frames.chunks(together).flat_map(|frames| pipeline.predict(frames)).collect();
            let ran: Vec<Vec<String>> =
                results.iter().map(|r| r.as_ref().expect("a result").header.run.iter().map(|run| run.model.clone()).collect()).collect();
            let without: Vec<&str> = with_bar.iter().copied().filter(|name| *name != "rec").collect();
            assert_eq!(ran, [without, with_bar.to_vec()]);
        }
    }
}

#[test]
fn no_line_of_a_page_is_read_twice_and_all_share_runs() {
    let frame = page(&[(32, 16, 80, 20, 80), (110, 72, 80, 20, 40), (70, 124, 60, 20, 0), (180, 124, 60, 20, 80)]);
    let table = [1.0, 64.0, 64.0, 256.0, 160.0];
    let runs = Arc::<Mutex<Vec<usize>>>::default();
    let config = |task| {
        let mut config = DocumentConfig::new(task);
        config.text.batch = Some(BatchLimits { items: 8, cost: 8 * 320 });
        config
    };
    let recogniser = counting_recogniser(runs.clone());
    let tables = config(DocumentTask::Tables);
    let pipeline =
        TableRecognition::new(DocPreprocessor::default(), layout(&[table]), structure(), detector(BoxType::Quad), recogniser, &tables, 2)
            .expect("a pipeline");
    let result = pipeline.predict(std::slice::from_ref(&frame)).pop().expect("one").expect("a result");
    let taken = || std::mem::take(&mut *runs.lock().expect("runs"));
    assert_eq!((result.ocr.rec_text.len(), taken()), (4, vec![4]), "the reference reads those of the table with the page too");
    let modules = PageModules {
        preprocessor: DocPreprocessor::default(),
        layout: layout(&[table, [3.0, 20.0, 4.0, 400.0, 44.0]]),
        structure: Some(structure()),
        text: detector(BoxType::Quad),
        seals: None,
        recognise: counting_recogniser(runs.clone()),
    };
    let pipeline = Pages::new(modules, &config(DocumentTask::Pages), 2).expect("a pipeline");
    let result = pipeline.predict(&[frame]).pop().expect("one").expect("a result");
    assert_eq!((result.blocks.len(), taken()), (2, vec![4]), "the reference reads those of a figure twice");
}

#[test]
fn pages_read_together_are_as_each_alone() {
    let modules = PageModules {
        preprocessor: DocPreprocessor::default(),
        layout: layout(&[[0.0, 20.0, 4.0, 400.0, 60.0], [1.0, 64.0, 64.0, 256.0, 160.0], [2.0, 112.0, 170.0, 304.0, 256.0]]),
        structure: Some(structure()),
        text: detector(BoxType::Quad),
        seals: Some(detector(BoxType::Poly)),
        recognise: recogniser(),
    };
    let pipeline = Pages::new(modules, &DocumentConfig::new(DocumentTask::Pages), 2).expect("a pipeline");
    // Ink in a text, a table, a seal, and outside of all; in each page elsewhere.
    let spots = [(32, 16, 80, 20, 0), (110, 72, 80, 20, 40), (130, 190, 80, 20, 0), (20, 290, 80, 20, 0)];
    let pages = [page(&spots), page(&spots[..2]), page(&[]), page(&spots[2..])];
    let together: Vec<_> = pipeline.predict(&pages).into_iter().map(|result| json(result.expect("a result").into())).collect();
    let alone = |page: &Frame| json(pipeline.predict(std::slice::from_ref(page)).remove(0).expect("a result").into());
    assert_eq!(together, pages.iter().map(alone).collect::<Vec<_>>());
    let lines = together.iter().map(|result| result["ocr_result"]["rec_text"].as_array().map(Vec::len));
    assert_eq!(lines.collect::<Vec<_>>(), [2, 1, 0, 1].map(Some), "of texts and outside of regions");
}

#[test]
fn every_table_has_its_own_files() {
    let frame = page(&[(110, 72, 80, 20, 40), (110, 232, 80, 20, 0)]);
    let two = [[1.0, 64.0, 64.0, 256.0, 160.0], [1.0, 64.0, 200.0, 256.0, 296.0], [1.0, 300.0, 20.0, 300.4, 60.0]];
    let result = tables(&two).predict(std::slice::from_ref(&frame)).pop().expect("one").expect("a result");
    assert_eq!(result.tables.len(), 2, "the one without pixels is left out");
    let folder = tempfile::tempdir().expect("a folder");
    let saver = Saver::new(folder.path(), Fonts::new(None).expect("fonts"), Schema::V3Beta1, "_res").expect("a saver");
    saver.save(&result.into(), frame.image.view(), Path::new("")).expect("saved");
    let mut expected = vec!["image.json", "image_layout.jpg", "image_ocr.jpg"];
    expected.extend(["image_table_0.html", "image_table_0.jpg", "image_table_0.xlsx"]);
    expected.extend(["image_table_1.html", "image_table_1.jpg", "image_table_1.xlsx", "image_tables.xlsx"]);
    assert_eq!(files(folder.path()), expected);
    let html = std::fs::read_to_string(folder.path().join("image_table_0.html")).expect("HTML");
    assert!(html.contains("&lt;script&gt;&amp;") && !html.contains("<script"), "{html}");
    assert!(std::fs::read(folder.path().join("image_table_1.xlsx")).expect("a workbook").starts_with(b"PK"));
}

#[test]
fn a_page_without_tables_is_read_as_ocr_reads_it() {
    let result = tables(&[]).predict(&[page(&[(32, 16, 80, 20, 0)])]).pop().expect("one").expect("a result");
    let value = json(result.into());
    assert_eq!(keys(&value["ocr_result"]), ["input_path", "dt_polys", "dt_scores", "rec_text", "rec_score"]);
    assert_eq!(value["table_result"], serde_json::json!([]));
}

/// Half a ring of ink, 20 pixels thick.
fn seal() -> Frame {
    let mut data = vec![255; PAGE.area() as usize * 3];
    for y in 0..PAGE.height {
        for x in 0..PAGE.width {
            let (dx, dy) = (f64::from(x) - 208.0, f64::from(y) - 176.0);
            if (60.0..80.0).contains(&dx.hypot(dy)) && dy < 0.0 {
                data[((y * PAGE.width + x) * 3) as usize..][..3].fill(40);
            }
        }
    }
    Frame::from_image(ImageBuf::new(data, PAGE, PixelFormat::Bgr).expect("a page"))
}

#[test]
fn text_that_is_known_goes_where_it_stands() {
    let bars = [(32, 16, 80, 20, 80), (110, 72, 80, 20, 40), (70, 124, 60, 20, 0), (180, 124, 60, 20, 80)];
    let known = |usage, words: &[&str]| {
        let word = |(&text, &(x, y, width, height, _)): (&&str, &(u32, u32, u32, u32, u8))| {
            let corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)];
            let quad = corners.map(|(x, y)| PointF::new(x as f32, y as f32));
            Glyph { text: text.into(), quad, along: PointF::new(1.0, 0.0) }
        };
        let glyphs = words.iter().zip(&bars).map(word).collect();
        Frame { text: Some(Arc::new(PageText { glyphs, usage })), ..page(&bars) }
    };
    let read = |frame: Frame| {
        let result = tables(&[[1.0, 64.0, 64.0, 256.0, 160.0]]).predict(&[frame]).pop().expect("one").expect("a result");
        (result.ocr.rec_text, result.tables[0].texts.clone(), result.ocr.rec_source)
    };
    let (all, cells, sources) = read(known(TextUse::Lines, &["outside", "head", "left", "right"]));
    assert_eq!(
        (&all[..], &cells[..]),
        (&["outside", "head", "left", "right"].map(String::from)[..], &["head", "left", "right"].map(String::from)[..])
    );
    assert_eq!(sources, [TextSource::Pdf; 4]);
    let (all, cells, sources) = read(known(TextUse::Check, &["outside", "head"]));
    assert_eq!(
        (&all[..], &cells[..]),
        (&["outside", "head", "one", "three"].map(String::from)[..], &["head", "one", "three"].map(String::from)[..])
    );
    assert_eq!(sources, [TextSource::Pdf, TextSource::Pdf, TextSource::Ocr, TextSource::Ocr]);
    let (all, _, sources) = read(known(TextUse::Lines, &[]));
    assert!(all.is_empty() && sources.is_empty(), "a page without text is not read: {all:?}");
}

#[test]
fn curved_text_of_a_seal_is_read_in_pixels_of_the_seal() {
    let config = DocumentConfig::new(DocumentTask::Seals);
    let layout = layout(&[[0.0, 5.0, 5.0, 60.0, 20.0], [2.0, 112.0, 64.0, 304.0, 256.0]]);
    let pipeline = SealRecognition::new(DocPreprocessor::default(), Some(layout), detector(BoxType::Poly), recogniser(), &config, 2)
        .expect("a pipeline");
    let frame = seal();
    let result = pipeline.predict(std::slice::from_ref(&frame)).pop().expect("one").expect("a result");
    assert_eq!((result.layout.len(), result.seals.len()), (2, 1));
    let text = &result.seals[0].text;
    assert_eq!(text.rec_text, ["<script>&"]);
    assert!(text.dt_polys[0].len() > 8, "{:?}", text.dt_polys);
    assert!(text.dt_polys[0].iter().all(|p| (0..=192).contains(&p.x) && (0..=192).contains(&p.y)), "{:?}", text.dt_polys);
    let folder = tempfile::tempdir().expect("a folder");
    let saver = Saver::new(folder.path(), Fonts::new(None).expect("fonts"), Schema::V3Beta1, "_res").expect("a saver");
    let result = PipelineResult::from(result);
    saver.save(&result, frame.image.view(), Path::new("")).expect("saved");
    assert_eq!(files(folder.path()), ["image.json", "image_0_seal_ocr.jpg", "image_layout.jpg"]);
    let value = json(result);
    assert_eq!(keys(&value), ["input_path", "layout_result", "ocr_result", "schema_version", "run"]);
    assert_eq!(keys(&value["ocr_result"][0]), ["input_path", "dt_polys", "dt_scores", "rec_text", "rec_score"]);
}

/// As PaddleX 3.x sorts them; 3.0-beta1 leaves them as they are found, from the bottom.
#[test]
fn lines_of_a_seal_come_from_the_top_where_that_is_asked_for() {
    for is_from_top in [false, true] {
        let spec = TextDetectionSpec { is_from_top, ..text_detection(BoxType::Poly) };
        let detect = TextDetect::new(Arc::new(FakeEngine::new("det", ink(Arc::default()))), spec).expect("a detector");
        let page = page(&[(40, 40, 120, 30, 0), (200, 120, 120, 30, 40), (60, 220, 120, 30, 80)]);
        let found = detect.detect(&[page.image.view()], Share::Whole, &mut StageTimes::default()).expect("regions").remove(0);
        let tops: Vec<_> = found.regions.iter().map(|region| region.points.iter().map(|p| p.y).min().expect("points")).collect();
        assert!(tops.len() == 3 && (tops[0] < tops[2]) == is_from_top && tops.is_sorted() == is_from_top, "{tops:?}");
    }
}

/// As PaddleOCR reads networks that were exported for one size.
#[test]
fn networks_of_one_size_get_pictures_and_lines_of_that() {
    let fixed = |height, width| [Some(1), Some(3), Some(height), Some(width)];
    let ink = ink(Arc::default());
    let engine = FakeEngine::with_io("det", &[("x", &fixed(320, 256))], 1, move |inputs| {
        assert_eq!(inputs[0].0.dims(), [1, 3, 320, 256]);
        let (shape, map) = ink(inputs)?;
        Ok(vec![Output::f32(shape.dims(), map)])
    });
    let detect = TextDetect::new(Arc::new(engine), text_detection(BoxType::Quad)).expect("a detector");
    let page = page(&[(20, 40, 40, 30, 0), (20, 120, 340, 20, 40)]);
    let found = detect.detect(&[page.image.view()], Share::Whole, &mut StageTimes::default()).expect("regions").remove(0);
    assert_eq!(found.regions.len(), 2);
    let engine = FakeEngine::with_io("rec", &[("x", &fixed(48, 320))], 1, |inputs| {
        assert_eq!(inputs[0].0.dims(), [1, 3, 48, 320]);
        Ok(vec![Output::f32(&[1, 1, 3], vec![0.1, 0.8, 0.1])])
    });
    let spec = TextRecognitionSpec { image_shape: [3, 48, 320], characters: ["blank", "a", " "].map(String::from).to_vec() };
    let recognise = TextRecognise::new(Arc::new(engine), spec, WidthRule::Tight(64));
    for region in &found.regions {
        let crop = detect.crop(region, PAGE).expect("a crop");
        let width = recognise.input_width(crop.size());
        assert_eq!((width, recognise.together(5, width)), (320, 1), "{}", crop.size());
        let line = Line { image: page.image.view(), resident: None, crop: &crop };
        assert_eq!(recognise.recognise(&[line], width, &mut StageTimes::default()).expect("a text")[0].text, "a");
    }
}

#[test]
fn without_a_layout_a_picture_is_one_seal() {
    let config = DocumentConfig { layout_model: None, ..DocumentConfig::new(DocumentTask::Seals) };
    let pipeline =
        SealRecognition::new(DocPreprocessor::default(), None, detector(BoxType::Poly), recogniser(), &config, 1).expect("a pipeline");
    for result in pipeline.predict(&[seal(), page(&[])]).into_iter().zip([1, 0]) {
        let (result, texts) = (result.0.expect("a result"), result.1);
        assert_eq!((result.layout.len(), result.seals.len(), result.seals[0].text.rec_text.len()), (0, 1, texts));
    }
}

/// Blue is the first plane of what networks are fed, wherever it stands in the picture.
#[test]
fn the_order_of_channels_is_that_of_the_picture() {
    let config = DocumentConfig { layout_model: None, ..DocumentConfig::new(DocumentTask::Seals) };
    let texts = [(PixelFormat::Bgr, [40, 90, 200]), (PixelFormat::Rgb, [200, 90, 40])].map(|(format, ink)| {
        let mut data = page(&[(60, 60, 160, 40, 0)]).image.view().pixels().expect("pixels").data.to_vec();
        data.as_chunks_mut::<3>().0.iter_mut().filter(|pixel| **pixel == [0; 3]).for_each(|pixel| *pixel = ink);
        let frame = Frame::from_image(ImageBuf::new(data, PAGE, format).expect("a page"));
        let detect = detector(BoxType::Quad);
        let pipeline = SealRecognition::new(DocPreprocessor::default(), None, detect, recogniser(), &config, 1).expect("a pipeline");
        pipeline.predict(&[frame]).pop().expect("one").expect("a result").seals.remove(0).text.rec_text
    });
    assert_eq!(texts, [["<script>&"]; 2]);
}

#[test]
fn numbers_that_make_no_sense_are_refused_from_the_library_too() {
    for unclip_ratio in [f64::NAN, -1.0, 1e16] {
        let mut config = DocumentConfig::new(DocumentTask::Seals);
        config.text.detection.unclip_ratio = Some(unclip_ratio);
        let message = config.check("configuration").expect_err("refused").to_string();
        assert!(message.contains("unclip_ratio"), "{message}");
    }
    assert!(ImageBuf::new(vec![0; 26], Size::new(2_154_230_017, 2_854_344_542), PixelFormat::Bgr).is_err(), "no product is so small");
}

#[test]
fn the_longer_side_of_a_detectors_input_has_a_limit() {
    let config = DocumentConfig { layout_model: None, ..DocumentConfig::new(DocumentTask::Seals) };
    for (limit, expected) in [(None, [1, 3, 320, 416]), (Some(416), [1, 3, 320, 416]), (Some(200), [1, 3, 160, 192])] {
        let last = Arc::<Mutex<Vec<usize>>>::default();
        let detect = limited_detector(BoxType::Quad, limit, last.clone());
        let pipeline = SealRecognition::new(DocPreprocessor::default(), None, detect, recogniser(), &config, 1).expect("a pipeline");
        let result = pipeline.predict(&[page(&[(60, 60, 160, 40, 80)])]).pop().expect("one").expect("a result");
        assert_eq!(result.seals[0].text.rec_text, ["three"], "places are in pixels of the picture");
        assert_eq!(*last.lock().expect("a shape"), expected, "{limit:?}");
    }
}

#[test]
fn pipeline_files_name_models_and_refuse_what_has_no_place() {
    use hpinfer::pipeline::PipelineConfig;
    let file = |name: &str, rest: &str| format!("Global:\n  pipeline_name: {name}\nPipeline:\n{rest}");
    let parse = |text: &str| PipelineConfig::parse(text, "p.yaml").map(|(config, _)| config);
    let read = parse(&file("table_recognition", "  table_model: SLANet\n  table_batch_size: 1\n  text_rec_batch_size: 4\n"));
    let Ok(PipelineConfig::Document(config)) = read else { panic!("{read:?}") };
    let names: Vec<String> = config.models().into_iter().map(|model| model.name_or_dir).collect();
    assert_eq!(names, ["PicoDet_layout_1x", "SLANet", "PP-OCRv4_mobile_det", "PP-OCRv4_mobile_rec"]);
    for (name, rest, says) in [
        ("seal_recognition", "  table_model: SLANet\n", "seal_recognition has no `table_model`"),
        ("table_recognition", "  layout_model: none\n", "needs a `layout_model`"),
        ("table_recognition", "  colour: red\n", "colour"),
    ] {
        let error = parse(&file(name, rest)).expect_err("refused").to_string();
        assert!(error.contains(says), "{error}");
    }
    for shipped in hpinfer::pipeline::PipelineName::ALL {
        let config = parse(shipped.shipped_config()).expect("what ships is read");
        assert_eq!(config, PipelineConfig::of(shipped), "what ships are the defaults");
    }
}

/// A network that takes every page for flat.
fn flat() -> Unwarp {
    let network = |inputs: &[Input]| Ok(inputs[0].clone());
    let scale = hpinfer::ops::resize_norm::Scale::Times(1.0 / 255.0);
    let normalize = Normalize { scale, mean: [0.0; 3], std: [1.0; 3] };
    Unwarp::new(Arc::new(FakeEngine::new("unwarp", network)), UnwarpingSpec { normalize }).expect("one that makes flat")
}

#[test]
fn a_page_is_set_upright_and_read_in_order() {
    // A title; a loose line; a table of two texts; a seal, here a bar; a figure with text in it.
    let bars = [
        (60, 8, 80, 20, 0),
        (230, 40, 80, 20, 80),
        (110, 72, 80, 20, 40),
        (70, 124, 60, 20, 0),
        (40, 200, 60, 20, 40),
        (250, 260, 80, 20, 0),
    ];
    let regions = [
        [1.0, 64.0, 64.0, 256.0, 160.0],
        [3.0, 240.0, 240.0, 400.0, 300.0],
        [0.0, 20.0, 4.0, 400.0, 32.0],
        [2.0, 32.25, 180.5, 160.0, 244.0],
    ];
    for recovery in [true, false] {
        let config = DocumentConfig { recovery, ..DocumentConfig::new(DocumentTask::Pages) };
        let modules = PageModules {
            preprocessor: DocPreprocessor { orientation: Some(orientation(1)), unwarp: Some(flat()) },
            layout: layout(&regions),
            structure: Some(structure()),
            text: detector(BoxType::Quad),
            seals: Some(detector(BoxType::Poly)),
            recognise: recogniser(),
        };
        let pipeline = Pages::new(modules, &config, 2).expect("a pipeline");
        let frame = page(&bars);
        let lying = Frame::from_image(
            hpinfer::image::turn::counter_clockwise(&frame.image.on_host(&mut Default::default()).unwrap(), 3).expect("turned"),
        );
        let result = pipeline.predict(&[lying]).pop().expect("one").expect("a result");
        let off = result.page.data().iter().zip(frame.image.view().pixels().unwrap().data).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(off <= Some(1), "upright, and flat as it was: {off:?}");
        let ran: Vec<&str> = result.header.run.iter().map(|run| run.model.as_str()).collect();
        assert_eq!(ran, ["orientation", "unwarp", "layout", "table", "det", "rec", "det"]);
        let mut info = VisualInfo::default();
        info.add(&result);
        let texts = serde_json::to_value(&info).expect("JSON");
        let expected = serde_json::json!([{"text": "one", "words in text block": "three\n one", "印章": "<script>&"}]);
        assert_eq!(texts["ocr_text"], expected);
        assert_eq!(texts["table_text"], serde_json::json!(["<script>& one "]));
        let folder = tempfile::tempdir().expect("a folder");
        let saver = Saver::new(folder.path(), Fonts::new(None).expect("fonts"), Schema::V3Beta1, "_res").expect("a saver");
        let result = PipelineResult::from(result);
        saver.save(&result, frame.image.view(), Path::new("")).expect("saved");
        let expected = [
            "image.json",
            "image.md",
            "image_curve_0.jpg",
            "image_layout.jpg",
            "image_ocr.jpg",
            "image_oricls.jpg",
            "image_table_0.html",
            "image_table_0.jpg",
            "image_table_0.xlsx",
            "image_uvdoc.jpg",
        ];
        assert_eq!(files(folder.path()), expected);
        let markdown = std::fs::read_to_string(folder.path().join("image.md")).expect("Markdown");
        assert!(markdown.contains("&lt;script&gt;&amp;") && !markdown.contains("<script"), "{markdown}");
        let value = json(result);
        let found = ["input_path", "layout_result", "ocr_result", "table_ocr_result", "table_result", "layout_parsing_result"];
        assert_eq!(keys(&value)[..6], found);
        assert_eq!(keys(&value)[6..], ["oricls_result", "unwarp_result", "curve_result", "schema_version", "run"]);
        let blocks = value["layout_parsing_result"]["parsing_result"].as_array().expect("blocks");
        let order: Vec<&str> = blocks.iter().map(|block| keys(block)[1]).collect();
        // A title over both columns; the left one with table and seal; the right one with the loose lines.
        assert_eq!(order[0], "text");
        assert_eq!(order.len(), 5, "{order:?}");
        let places: Vec<&serde_json::Value> = blocks.iter().map(|block| &block["layout_bbox"]).collect();
        assert!(places.contains(&&serde_json::json!([32.25, 180.5, 160.0, 244.0])), "a seal stands where it was found: {places:?}");
        assert_eq!(value["ocr_result"]["dt_scores"].as_array().map(Vec::len), Some(3), "one for each polygon");
        assert_eq!(value["ocr_result"]["rec_text"], serde_json::json!(["three", "one", "one"]));
        let first = &value["ocr_result"]["dt_polys"][2][0];
        assert!((40..=60).contains(&first[0].as_i64().expect("x")) && (0..=8).contains(&first[1].as_i64().expect("y")), "{first}");
    }
}

#[test]
fn pages_of_tables_and_seals_are_prepared_first() {
    let preprocessor = |unwarp| DocPreprocessor { orientation: Some(orientation(1)), unwarp };
    let turned = |frame: &Frame| {
        Frame::from_image(
            hpinfer::image::turn::counter_clockwise(&frame.image.on_host(&mut Default::default()).unwrap(), 3).expect("turned"),
        )
    };
    let saved = |result: PipelineResult, image: &Frame| {
        let folder = tempfile::tempdir().expect("a folder");
        let saver = Saver::new(folder.path(), Fonts::new(None).expect("fonts"), Schema::V3Beta1, "_res").expect("a saver");
        saver.save(&result, image.image.view(), Path::new("")).expect("saved");
        let layout = image::open(folder.path().join("image_layout.jpg")).expect("a picture");
        // As a frame of a video it is the same picture.
        let one = draw_one(image.image.view().pixels().expect("on the host"), &result, &Fonts::new(None).expect("fonts")).expect("drawn");
        let near = one.data().iter().zip(layout.to_rgb8().as_raw()).filter(|(a, b)| a.abs_diff(**b) > 40).count();
        assert!((one.size().width, one.size().height) == (layout.width(), layout.height()) && near * 50 < one.data().len(), "{near}");
        (files(folder.path()), Size::new(layout.width(), layout.height()), json(result))
    };
    let upright = page(&[(32, 16, 80, 20, 80), (110, 72, 80, 20, 40)]);
    let lying = turned(&upright);
    let found = prepared_tables(preprocessor(None), &[[1.0, 64.0, 64.0, 256.0, 160.0]]).predict(std::slice::from_ref(&lying));
    let result = found.into_iter().next().expect("one").expect("a result");
    let prepared = result.prepared.as_ref().expect("a prepared page");
    assert!(prepared.picture.data() == upright.image.view().pixels().unwrap().data && !prepared.is_unwarped, "upright");
    assert_eq!(result.ocr.rec_text, ["three", "<script>&"]);
    let ran: Vec<&str> = result.header.run.iter().map(|run| run.model.as_str()).collect();
    assert_eq!(ran, ["orientation", "layout", "table", "det", "rec"]);
    let (names, drawn, value) = saved(result.into(), &lying);
    assert!(names.contains(&"image_oricls.jpg".into()), "{names:?}");
    assert_eq!((drawn, value["oricls_result"]["label_names"][0].as_str()), (PAGE, Some("90")));
    assert_eq!(value["unwarp_result"], serde_json::json!({}));

    let (upright, config) = (seal(), DocumentConfig::new(DocumentTask::Seals));
    let lying = turned(&upright);
    for regions in [Some([[2.0, 112.0, 64.0, 304.0, 256.0]]), None] {
        let layout = regions.map(|regions| layout(&regions));
        let preprocessor = preprocessor(Some(flat()));
        let pipeline = SealRecognition::new(preprocessor, layout, detector(BoxType::Poly), recogniser(), &config, 2).expect("a pipeline");
        let found = pipeline.predict(std::slice::from_ref(&lying));
        let result = found.into_iter().next().expect("one").expect("a result");
        assert_eq!(result.seals[0].text.rec_text, ["<script>&"]);
        assert_eq!(result.seals[0].bbox, regions.map_or([0, 0, 416, 320], |_| [112, 64, 304, 256]));
        let (names, drawn, value) = saved(result.into(), &lying);
        assert!(["image_uvdoc.jpg", "image_oricls.jpg"].iter().all(|name| names.iter().any(|n| n == name)), "{names:?}");
        assert_eq!((drawn, &value["unwarp_result"]["doctr_img"]), (PAGE, &serde_json::json!("...")));
    }
}

#[test]
fn options_say_which_regions_are_used() {
    let regions = [[2.0, 112.0, 64.0, 304.0, 256.0], [2.0, 120.0, 70.0, 200.0, 160.0], [2.0, 10.0, 10.0, 60.0, 40.0]];
    let config = DocumentConfig::new(DocumentTask::Seals);
    let boxes = |rules: Option<RegionRules>| {
        let layout = layout(&regions).with_rules(rules).expect("rules on its classes");
        let pipeline = SealRecognition::new(DocPreprocessor::default(), Some(layout), detector(BoxType::Poly), recogniser(), &config, 1)
            .expect("a pipeline");
        let result = pipeline.predict(&[seal()]).pop().expect("one").expect("a result");
        result.seals.iter().map(|seal| seal.bbox).collect::<Vec<_>>()
    };
    let [outer, inner, apart] = [[112, 64, 304, 256], [120, 70, 200, 160], [10, 10, 60, 40]];
    assert_eq!(boxes(None), [outer, inner, apart]);
    let merge = |mode| Some(RegionRules { merge: Merge::All(mode), ..RegionRules::default() });
    assert_eq!(boxes(merge(MergeMode::Large)), [outer, apart]);
    assert_eq!(boxes(merge(MergeMode::Small)), [inner, apart]);
    let thresholds = Some([(2, 0.95)].into());
    assert!(boxes(Some(RegionRules { thresholds, ..RegionRules::default() })).is_empty());
    let unknown = RegionRules { thresholds: Some([(4, 0.5)].into()), ..RegionRules::default() };
    let message = layout(&regions).with_rules(Some(unknown)).err().expect("refused").to_string();
    assert!(message.contains("class 4") && message.contains("Text, Table, Seal, Figure"), "{message}");
}

#[test]
fn without_a_table_model_the_tables_of_pages_are_other_text() {
    let modules = PageModules {
        preprocessor: DocPreprocessor::default(),
        layout: layout(&[[1.0, 64.0, 64.0, 256.0, 160.0]]),
        structure: None,
        text: detector(BoxType::Quad),
        seals: None,
        recognise: recogniser(),
    };
    let config = DocumentConfig { table_model: None, ..DocumentConfig::new(DocumentTask::Pages) };
    let pipeline = Pages::new(modules, &config, 1).expect("a pipeline");
    let result = pipeline.predict(&[page(&[(110, 72, 80, 20, 40)])]).pop().expect("one").expect("a result");
    assert!(result.tables.is_empty());
    assert_eq!((result.layout[0].label.to_lowercase().as_str(), result.ocr.rec_text.len()), ("table", 1));
    let [block] = &result.blocks[..] else { panic!("{} blocks", result.blocks.len()) };
    let hpinfer::result::page::BlockContent::Region { label, lines } = &block.content else { panic!("a region of text") };
    assert_eq!((label.as_str(), lines), ("text", &result.ocr.rec_text));
}

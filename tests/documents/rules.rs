//! Rules of the reference that show in single lines of a result.

use super::*;

const TABLE: [f32; 5] = [1.0, 64.0, 64.0, 256.0, 160.0];
/// Outside of the table, and in its head.
const BARS: [(u32, u32, u32, u32, u8); 2] = [(32, 16, 80, 20, 80), (110, 72, 80, 20, 40)];

/// What is made of a page with these regions, without a model of tables unless there is one.
fn read(regions: &[[f32; 5]], structure: Option<TableStructure>, page: Frame) -> Value {
    let modules = PageModules {
        preprocessor: DocPreprocessor::default(),
        layout: layout(regions),
        structure,
        text: detector(BoxType::Quad),
        seals: None,
        recognise: recogniser(),
    };
    let pipeline = Pages::new(modules, &DocumentConfig::new(DocumentTask::Pages), 1).expect("a pipeline");
    json(pipeline.predict(&[page]).pop().expect("one").expect("a result").into())
}

/// A page of this bar, of which its document says that it is the word `stated`.
fn stated(bar: (u32, u32, u32, u32, u8)) -> Frame {
    let (left, top, width, height, _) = bar;
    let corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)];
    let quad = corners.map(|(x, y)| PointF::new(x as f32, y as f32));
    let glyphs = vec![Glyph { text: "stated".into(), quad, along: PointF::new(1.0, 0.0) }];
    Frame { text: Some(Arc::new(PageText { glyphs, usage: TextUse::Lines })), ..page(&[bar]) }
}

/// Scores of regions are those of the page as it was found: with a table they are left out, even if nothing is in it.
#[test]
fn scores_of_regions_are_left_out_beside_a_table() {
    let result = tables(&[TABLE]).predict(&[page(&BARS[..1])]).pop().expect("one").expect("a result");
    let value = json(result.into());
    assert_eq!(
        (&value["ocr_result"]["rec_text"], value["table_result"].as_array().map(Vec::len)),
        (&serde_json::json!(["three"]), Some(1))
    );
    assert_eq!(keys(&value["ocr_result"]), ["input_path", "dt_polys", "rec_text", "rec_score"]);
}

#[test]
fn a_score_at_the_threshold_is_enough() {
    for (score_thresh, lines) in [(0.0, 1), (0.95, 1), (0.951, 0)] {
        let mut config = DocumentConfig::new(DocumentTask::Tables);
        config.text.score_thresh = score_thresh;
        let (text, none) = (detector(BoxType::Quad), DocPreprocessor::default());
        let pipeline = TableRecognition::new(none, layout(&[]), structure(), text, recogniser(), &config, 1).expect("a pipeline");
        let result = pipeline.predict(&[page(&BARS[..1])]).pop().expect("one").expect("a result");
        assert_eq!(result.ocr.rec_text.len(), lines, "{score_thresh}");
    }
}

/// What a document says of its letters is of the page as it was, not of what is made of it.
#[test]
fn a_page_that_is_made_flat_is_read_whatever_its_document_says() {
    let frame = stated(BARS[0]);
    for (unwarp, text, source) in [(None, "stated", TextSource::Pdf), (Some(flat()), "three", TextSource::Ocr)] {
        let preprocessor = DocPreprocessor { orientation: None, unwarp };
        let result = prepared_tables(preprocessor, &[]).predict(std::slice::from_ref(&frame)).pop().expect("one").expect("a result");
        assert_eq!((&result.ocr.rec_text[..], &result.ocr.rec_source[..]), (&[text.to_owned()][..], &[source][..]));
    }
}

#[test]
fn tables_of_a_page_are_numbered() {
    let value = read(&[TABLE, [1.0, 64.0, 200.0, 256.0, 296.0]], Some(structure()), page(&BARS));
    let numbers: Vec<_> = value["table_result"].as_array().expect("tables").iter().map(|table| table["img_idx"].as_u64()).collect();
    assert_eq!(numbers, [Some(0), Some(1)]);
}

/// Engines are free in the order of the rows; the reference's is by class, and in a class by score.
#[test]
fn boxes_of_a_class_come_by_their_scores() {
    let rows = [[0.0, 0.6, 0.0, 0.0, 9.0, 9.0], [0.0, 0.9, 10.0, 0.0, 19.0, 9.0], [1.0, 0.95, 0.0, 10.0, 9.0, 19.0]];
    let network = move |_: &[Input]| Ok(vec![Output::f32(&[3, 6], rows.as_flattened().to_vec()), Output::i32(&[1], vec![3])]);
    let inputs: [(&str, &[Option<usize>]); 2] = [("image", &[None; 4]), ("scale_factor", &[None; 2])];
    let engine = Arc::new(FakeEngine::with_io("boxes", &inputs, 2, network));
    let detect = Detect::new(engine, shared::spec(&["Text", "Table"])).expect("a detector");
    let found = detect.predict(&[page(&[]).image.view()], Share::Whole, &mut StageTimes::default()).expect("boxes").remove(0);
    assert_eq!(found.iter().map(|found| (found.cls_id, found.score)).collect::<Vec<_>>(), [(0, 0.9), (0, 0.6), (1, 0.95)]);
}

/// Seals are pictures, also in documents with text.
#[test]
fn what_a_document_says_of_a_seal_is_not_believed() {
    let value = read(&[[2.0, 32.0, 180.0, 160.0, 244.0]], None, stated((40, 200, 60, 20, 40)));
    assert_eq!(value["curve_result"][0]["rec_text"], serde_json::json!(["<script>&"]));
}

/// The reference fails on a table without cells.
#[test]
fn texts_of_a_table_without_cells_are_kept() {
    let network = |_: &[Input]| Ok(vec![Output::f32(&[1, 1, 8], vec![0.0; 8]), Output::f32(&[1, 1, 2], vec![0.1, 0.9])]);
    let engine = FakeEngine::with_io("table", &[("x", &[None; 4])], 2, network);
    let structure = TableStructure::new(Arc::new(engine), table_spec(&["sos", "eos"])).expect("a recogniser of tables");
    let value = read(&[TABLE], Some(structure), page(&BARS[1..]));
    assert_eq!((&value["table_result"], &value["ocr_result"]["rec_text"]), (&serde_json::json!([]), &serde_json::json!(["<script>&"])));
    assert_eq!(value["layout_parsing_result"]["parsing_result"][0]["text"], "<script>&");
}

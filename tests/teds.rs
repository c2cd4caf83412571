//! Tables drawn with known texts, read by the real text networks, with their structure and cells given: what comes out is scored
//! against what was drawn by TEDS (tree edit distance based similarity, Zhong et al. 2020), and must be the same.

#[path = "documents/orientation.rs"]
mod orientation;
#[path = "documents/layout.rs"]
mod shared;
mod teds {
    pub mod tree;
}

use hpinfer::backend::fake::{FakeEngine, Input, Output};
use hpinfer::cache::Cache;
use hpinfer::image::Frame;
use hpinfer::image::Size;
use hpinfer::image::decode::Decoder;
use hpinfer::model::{CellScale, TableSpec};
use hpinfer::modules::loader::ModelChoice;
use hpinfer::modules::text_detect::DetectionOverrides;
use hpinfer::modules::{Detect, Loader, LoaderOptions, TableStructure};
use hpinfer::ops::resize_norm::Normalize;
use hpinfer::pipeline::{DocPreprocessor, DocumentConfig, DocumentTask, PageModules, Pages, TableRecognition};
use hpinfer::result::json::Schema;
use hpinfer::result::render::font::Fonts;
use hpinfer::result::render::html;
use hpinfer::result::render::save::Saver;
use hpinfer::result::{PipelineResult, Table};
use orientation::orientation;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use teds::tree::{Node, teds};

#[derive(Deserialize)]
struct Page {
    name: String,
    turns: u32,
    title: String,
    tables: Vec<Drawn>,
}

#[derive(Clone, Deserialize)]
struct Drawn {
    region: [f32; 4],
    cells: Vec<[f32; 4]>,
    tokens: Vec<String>,
    html: String,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tables")
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> T {
    serde_json::from_slice(&std::fs::read(fixtures().join(name)).expect("a fixture")).expect("JSON")
}

/// A layout network that finds the tables of `page`.
fn layout(page: &Page) -> Detect {
    let regions: Vec<_> = page.tables.iter().map(|Drawn { region: [x1, y1, x2, y2], .. }| [0.0, *x1, *y1, *x2, *y2]).collect();
    Detect::new(Arc::new(shared::network(&regions)), shared::spec(&["Table"])).expect("a layout detector")
}

/// A structure network that gives the tables of `page` one after the other; one worker asks it.
fn structure(page: &Page) -> TableStructure {
    let mut names: Vec<String> = vec!["sos".into()];
    names.extend(page.tables.iter().flat_map(|table| table.tokens.clone()));
    names.sort();
    names.dedup();
    names.retain(|name| name != "sos");
    names.insert(0, "sos".into());
    names.push("eos".into());
    let (tables, vocabulary, next) = (page.tables.clone(), names.clone(), AtomicUsize::new(0));
    let network = move |_: &[Input]| {
        let table = &tables[next.fetch_add(1, Ordering::SeqCst) % tables.len()];
        let [left, top, right, bottom] = table.region;
        let steps = table.tokens.len() + 1;
        let mut tokens = vec![0.0; steps * vocabulary.len()];
        let mut corners = vec![0.0; steps * 8];
        let mut cells = table.cells.iter();
        for (step, token) in table.tokens.iter().map(String::as_str).chain(["eos"]).enumerate() {
            let at = vocabulary.iter().position(|name| name == token).expect("a token");
            tokens[step * vocabulary.len() + at] = 0.9;
            if ["<td></td>", "<td"].contains(&token) {
                let [x1, y1, x2, y2] = *cells.next().expect("a cell");
                let x = |x: f32| (x - left) / (right - left);
                let y = |y: f32| (y - top) / (bottom - top);
                corners[step * 8..step * 8 + 8].copy_from_slice(&[x(x1), y(y1), x(x2), y(y1), x(x2), y(y2), x(x1), y(y2)]);
            }
        }
        Ok(vec![Output::f32(&[1, steps, 8], corners), Output::f32(&[1, steps, vocabulary.len()], tokens)])
    };
    let spec =
        TableSpec { max_len: 488, normalize: Normalize::IMAGENET, canvas: Size::new(488, 488), tokens: names, cells: CellScale::Picture };
    TableStructure::new(Arc::new(FakeEngine::with_io("table", &[("x", &[None; 4])], 2, network)), spec).expect("a recogniser of tables")
}

fn result(page: &Page, frame: Frame, loader: &Loader) -> PipelineResult {
    let model = |name: &str| ModelChoice::named(name);
    let detect = || loader.text_detect(&model("PP-OCRv4_mobile_det"), &DetectionOverrides::default()).expect("a detector");
    let recognise = loader.text_recognise(&model("PP-OCRv4_mobile_rec")).expect("a recogniser");
    if page.turns == 0 {
        let config = DocumentConfig::new(DocumentTask::Tables);
        let pipeline = TableRecognition::new(DocPreprocessor::default(), layout(page), structure(page), detect(), recognise, &config, 1)
            .expect("a pipeline");
        return pipeline.predict(&[frame]).pop().expect("one").expect("a result").into();
    }
    let modules = PageModules {
        preprocessor: DocPreprocessor { orientation: Some(orientation(page.turns)), unwarp: None },
        layout: layout(page),
        structure: Some(structure(page)),
        text: detect(),
        seals: None,
        recognise,
    };
    let pipeline = Pages::new(modules, &DocumentConfig::new(DocumentTask::Pages), 1).expect("a pipeline");
    pipeline.predict(&[frame]).pop().expect("one").expect("a result").into()
}

fn tables(result: &PipelineResult) -> (&[Table], &[String]) {
    match result {
        PipelineResult::Tables(result) => (&result.tables, &result.ocr.rec_text),
        PipelineResult::Page(result) => (&result.tables, &result.ocr.rec_text),
        _ => panic!("no tables"),
    }
}

#[test]
fn drawn_tables_come_back_as_they_were_drawn() {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let backend = Some(hpinfer::backend::BackendName::OpenVino);
    let loader = Loader::new(cache, LoaderOptions { backend, threads: 1, ..LoaderOptions::default() }).expect("a loader");
    let mut faults = Vec::new();
    for page in read::<Vec<Page>>("tables.json") {
        let file = fixtures().join(format!("{}.png", page.name));
        let image = Decoder::default().decode(&std::fs::read(file).expect("a picture"), &page.name).expect("decoded");
        let frame = Frame::from_image(image);
        let result = result(&page, frame.clone(), &loader);
        // To be looked at.
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tables").join(&page.name);
        let saver = Saver::new(&folder, Fonts::new(None).expect("fonts"), Schema::V3Beta1, "_res").expect("a saver");
        saver.save(&result, frame.image.view(), Path::new("")).expect("saved");
        let (found, texts) = tables(&result);
        assert_eq!(found.len(), page.tables.len(), "{}", page.name);
        assert!(page.title.is_empty() || texts.contains(&page.title), "{}: {texts:?}", page.name);
        for (index, (found, drawn)) in found.iter().zip(&page.tables).enumerate() {
            let file = std::fs::read_to_string(folder.join(format!("image_table_{index}.html"))).expect("a file");
            let found = html::element(found);
            assert!(file.contains(&found), "{file}");
            let score = teds(&Node::parse(&found), &Node::parse(&drawn.html));
            println!("{} {index}: {} cells, TEDS {score}", page.name, drawn.cells.len());
            if score < 1.0 {
                faults.push(format!("{} {index}: TEDS {score}\n{found}\n{}", page.name, drawn.html));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn scores_are_those_of_another_program() {
    let cases: Vec<(Node, Node, f64)> = read("teds.json");
    assert!(cases.len() >= 40 && cases.iter().any(|case| case.2 < 0.5) && cases.iter().any(|case| case.2 > 0.5));
    for (a, b, expected) in cases {
        let score = teds(&a, &b);
        assert!((score - expected).abs() < 1e-9, "{score}, not {expected}: {a:?} {b:?}");
        assert!(teds(&a, &a) == 1.0);
    }
}

#[test]
fn a_changed_cell_lowers_the_score() {
    let of = |html: &str| Node::parse(html);
    let whole = of("<table><tbody><tr><td>a &amp; b</td><td colspan=\"2\">c</td></tr></tbody></table>");
    assert_eq!(teds(&whole, &of("<table><tbody><tr><td>a &amp; x</td><td colspan=\"2\">c</td></tr></tbody></table>")), 1.0 - 0.2 / 5.0);
    assert_eq!(teds(&whole, &of("<table><tbody><tr><td>a &amp; b</td><td>c</td></tr></tbody></table>")), 1.0 - 1.0 / 5.0);
}

//! The known models, as graphs with generated weights: every one through the program's own sessions, on every engine, and
//! the committed table of what came of it. The zoo is no part of this repository: it is looked for at `$HPINFER_ZOO`, else
//! beside the clone. Each model runs in a process of its own, so that one that crashes an engine is a row of the table.
//!
//! The whole zoo, some minutes per hundred models:
//!
//! ```sh
//! cargo test --test zoo -- --ignored every_model --nocapture                 # compares with engines/status.csv
//! ZOO_WRITE=1 cargo test --test zoo -- --ignored every_model --nocapture     # writes it; both of some models only with ZOO_MODELS
//! ```
//!
//! What Paddle Inference and the converter make of the same models in Paddle's format is written by
//!
//! ```sh
//! ZOO_MODELS=ResNet18,PicoDet-S cargo test --test zoo -- --ignored paddle_forms --nocapture     # all without ZOO_MODELS
//! ```
//!
//! what OpenVINO makes of those that are there as `.pdmodel` by the same with `pdmodels` in place of `paddle_forms`. What the
//! builder of TensorRT-RTX makes of a sixth of them for one of two kinds of GPU is compared with `engines/tensorrt-support.csv` in every
//! run; of all for both, with what it makes of the graphs as they are, it is compared, or written, by the first two with `engines` in place of
//! `every_model`. How long networks that decode in a Loop take whole and step by step is printed by
//!
//! ```sh
//! cargo test --release --test zoo -- --ignored decoders --nocapture
//! ```

mod zoo {
    pub mod check;
    pub mod cut;
    pub mod graph;
    pub mod paddle;
    pub mod pdmodel;
    pub mod steps;
    pub mod store;
    pub mod table;
    pub mod tensorrt;
}

#[path = "inputs/random.rs"]
mod random;
#[path = "inputs/say.rs"]
mod say;
#[path = "inputs/tensorrt_rtx.rs"]
mod tensorrt_rtx;

use hpinfer::cache::Cache;
use hpinfer::model::Store;
use random::Random;
use say::say;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use zoo::check::check;
use zoo::store::Zoo;
use zoo::table::{COLUMNS, PADDLE_COLUMNS, PDMODEL_COLUMNS, Row, Table, differences};
use zoo::tensorrt::{Extent, TARGETS};

/// One model of each family of architectures, the smallest that shows what is special about it.
const FAMILIES: [&str; 33] = [
    "CLIP_vit_base_patch16_224",
    "ConvNeXt_tiny",
    "MobileNetV1_x0_25",
    "MobileNetV2_x0_25",
    "MobileNetV3_small_x0_35",
    "PP-HGNet_tiny",
    "PP-HGNetV2-B0",
    "PP-LCNet_x0_25",
    "PP-LCNet_x1_0_doc_ori",
    "PP-LCNetV2_small",
    "ResNet18",
    "ResNet18_vd",
    "SwinTransformer_tiny_patch4_window7_224",
    "PP-OCRv4_mobile_det",
    "PP-OCRv4_mobile_rec",
    "PP-OCRv4_server_det",
    "PP-OCRv4_server_rec",
    "PP-OCRv4_mobile_seal_det",
    "ch_RepSVTR_rec",
    "ch_SVTRv2_rec",
    "SLANet",
    "UVDoc",
    "PP-YOLOE_plus-S",
    "PicoDet-S",
    "RT-DETR-R18",
    "YOLOX-N",
    "YOLOv3-MobileNetV3",
    "Mask-RT-DETR-L",
    "Deeplabv3-R50",
    "OCRNet_HRNet-W18",
    "PP-LiteSeg-T",
    "SeaFormer_tiny",
    "SegFormer-B0",
];

const STATUS: &str = "status.csv";
const SUPPORT: &str = "tensorrt-support.csv";

/// A model for each kind of change that graphs need for TensorRT-RTX, of those that build in seconds: those that are tried without
/// in every run; all with `engines`.
const CHANGED: [&str; 6] =
    ["PP-LCNet_x0_25", "PicoDet-S", "SLANet", "YOLOv3-ResNet50_vd_DCN", "SwinTransformer_tiny_patch4_window7_224", "Mask-RT-DETR-L"];

/// Fewer models than this in a zoo that is there means that it is damaged.
const LEAST: usize = 15;

fn cache() -> Cache {
    Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache")
}

/// Not a test: the body of the processes that the tests start.
#[test]
#[ignore = "run by the other tests"]
fn one_model() {
    let Ok(name) = std::env::var("ZOO_MODEL") else { return };
    let row = check(&Zoo::find().expect("a zoo"), &name, &cache());
    println!("\nROW {}", serde_json::to_string(&row).expect("a row"));
}

/// Not a test: the same for a model in Paddle's format.
#[test]
#[ignore = "run by the other tests"]
fn one_paddle_form() {
    let Ok(name) = std::env::var("ZOO_MODEL") else { return };
    let row = zoo::paddle::check(&Zoo::find().expect("a zoo"), &name, &cache());
    println!("\nROW {}", serde_json::to_string(&row).expect("a row"));
}

/// Not a test: the same for a model as `.pdmodel`.
#[test]
#[ignore = "run by the other tests"]
fn one_pdmodel() {
    let Ok(name) = std::env::var("ZOO_MODEL") else { return };
    let row = zoo::pdmodel::check(&Zoo::find().expect("a zoo"), &name, &cache());
    println!("\nROW {}", serde_json::to_string(&row).expect("a row"));
}

/// The row that `test` makes of a model, from a process of its own.
fn made_by(test: &str, name: &str) -> Row {
    let program = std::env::current_exe().expect("this test");
    let args = ["--ignored", "--exact", test, "--nocapture"];
    let ran = Command::new(program).args(args).env("ZOO_MODEL", name).output().expect("a process");
    let text = String::from_utf8_lossy(&ran.stdout);
    match text.lines().find_map(|line| line.strip_prefix("ROW ")) {
        Some(row) => serde_json::from_str(row).expect("a row"),
        None => panic!("{name}: no row; {}\n{text}\n{}", ran.status, String::from_utf8_lossy(&ran.stderr)),
    }
}

/// Fresh cells of these models, as `test` makes them, against the committed ones.
fn compare_with_the_table(test: &str, names: &[&str]) {
    let table = Table::read(STATUS);
    let mut faults = Vec::new();
    for name in names {
        let fresh = made_by(test, name);
        let row = table.row(name).cloned().unwrap_or_default();
        faults.extend(differences(&row, &fresh).into_iter().map(|fault| format!("{name}: {fault}")));
    }
    assert!(faults.is_empty(), "not as engines/status.csv has it:\n{}", faults.join("\n"));
}

#[test]
fn one_model_of_each_family_is_as_the_table_says() {
    let Some(zoo) = Zoo::find() else {
        say("zoo: SKIPPED, no model graphs at $HPINFER_ZOO or ../shared/zoo; nothing was run");
        return;
    };
    let there = zoo.names();
    let names: Vec<&str> = FAMILIES.into_iter().filter(|name| there.iter().any(|t| t == name)).collect();
    assert!(names.len() >= LEAST, "the zoo holds {} of the {} families", names.len(), FAMILIES.len());
    compare_with_the_table("one_model", &names);
    say(&format!("zoo: {} models ran on every engine", names.len()));
}

/// One of a network that is converted and read by OpenVINO as it is, and one of a detector that OpenVINO is kept from.
#[test]
fn models_in_paddles_formats_are_as_the_table_says() {
    let Some(_) = Zoo::find() else { return say("zoo: SKIPPED, no model graphs at $HPINFER_ZOO or ../shared/zoo; Paddle ran nothing") };
    ["one_paddle_form", "one_pdmodel"].iter().for_each(|test| compare_with_the_table(test, &["ResNet18", "PicoDet-S"]));
}

#[test]
#[ignore = "an hour; see above"]
fn every_model() {
    if std::env::var_os("ZOO_WRITE").is_some() {
        return write_rows("one_model");
    }
    let names = wanted(&Zoo::find().expect("a zoo at $HPINFER_ZOO or ../shared/zoo"));
    compare_with_the_table("one_model", &names.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
#[ignore = "hours; see above"]
fn paddle_forms() {
    write_rows("one_paddle_form");
}

/// Every sixth model is built as the table says for one of the kinds of GPU, in turn; those of each kind of change for both, and without it
/// they are refused as the table says.
#[test]
fn engines_build_as_the_table_says() {
    let Some(zoo) = Zoo::find() else { return say("zoo: SKIPPED, no model graphs at $HPINFER_ZOO or ../shared/zoo; no engine was built") };
    let Some(libraries) = tensorrt_rtx::libraries() else { return };
    let first = Random::fresh("engines_build_as_the_table_says").place(6 * TARGETS.len());
    let is_changed = |name: &str| CHANGED.contains(&name);
    let names = wanted(&zoo).into_iter().enumerate().filter(|(index, name)| (index + first).is_multiple_of(6) || is_changed(name));
    let names: Vec<String> = names.map(|(_, name)| name).collect();
    let extent = |index: usize| match is_changed(&names[index]) {
        true => Extent::Whole,
        false => Extent::Built((index + first / 6) % TARGETS.len()),
    };
    compare_engines(&zoo, &names, &libraries, extent);
    say(&format!("zoo: {} models were built by TensorRT-RTX", names.len()));
}

#[test]
#[ignore = "half an hour; see above"]
fn engines() {
    let zoo = Zoo::find().expect("a zoo at $HPINFER_ZOO or ../shared/zoo");
    let libraries = tensorrt_rtx::libraries().expect("the builder");
    if std::env::var_os("ZOO_WRITE").is_none() {
        return compare_engines(&zoo, &wanted(&zoo), &libraries, |_| Extent::Whole);
    }
    let mut table = Table::read(SUPPORT);
    for name in wanted(&zoo) {
        table.update(zoo::tensorrt::check(&zoo, &name, &libraries, Extent::Whole));
    }
}

/// What the builder makes of models now against the same cells of the table. Two are built at a time: the largest takes gigabytes.
fn compare_engines(zoo: &Zoo, names: &[String], libraries: &[PathBuf; 2], extent: impl Fn(usize) -> Extent + Sync) {
    let (table, left, faults) = (Table::read(SUPPORT), Mutex::new(names.iter().enumerate()), Mutex::new(Vec::new()));
    let compare = || {
        while let Some((index, name)) = { left.lock().expect("no panic").next() } {
            let row = zoo::tensorrt::check(zoo, name, libraries, extent(index));
            let known = table.row(name);
            if !row.iter().all(|(column, cell)| known.and_then(|known| known.get(column)) == Some(cell)) {
                faults.lock().expect("no panic").push(format!("{name}: was {known:?}, is {row:?}"));
            }
        }
    };
    thread::scope(|scope| [(); 2].map(|()| scope.spawn(compare)).map(|thread| thread.join().expect("models are built")));
    let faults = faults.into_inner().expect("no panic");
    assert!(faults.is_empty(), "not as engines/{SUPPORT} has it:\n{}", faults.join("\n"));
}

/// Not a test: see above.
#[test]
#[ignore = "a measurement"]
fn decoders() {
    let zoo = Zoo::find().expect("a zoo at $HPINFER_ZOO or ../shared/zoo");
    for (threads, steps) in [(1, 501), (1, 101), (2, 501)] {
        ["SLANet", "SLANet_plus"].iter().for_each(|name| zoo::steps::measure(&zoo, name, threads, steps, &cache()));
    }
}

#[test]
#[ignore = "minutes; see above"]
fn pdmodels() {
    write_rows("one_pdmodel");
}

/// The models that the user wants.
fn wanted(zoo: &Zoo) -> Vec<String> {
    let wanted = std::env::var("ZOO_MODELS").ok();
    let is_wanted = |name: &String| wanted.as_ref().is_none_or(|list| list.split(',').any(|wanted| wanted == name));
    zoo.names().into_iter().filter(is_wanted).collect()
}

/// Puts the cells that `test` makes into the table, of the models that the user wants.
fn write_rows(test: &str) {
    let mut table = Table::read(STATUS);
    for name in wanted(&Zoo::find().expect("a zoo at $HPINFER_ZOO or ../shared/zoo")) {
        let row = made_by(test, &name);
        say(&format!("zoo: {name}: {row:?}"));
        table.update(row);
    }
}

#[test]
fn openvino_reads_what_cannot_be_converted_and_not_what_damages_it() {
    let Some(zoo) = Zoo::find() else {
        say("zoo: SKIPPED, no model graphs at $HPINFER_ZOO or ../shared/zoo; no .pdmodel was read");
        return;
    };
    // Nothing is known here from an earlier run but the libraries.
    let _ = std::fs::remove_dir_all(cache().root().join("trials"));
    zoo::pdmodel::any_size(&zoo, &cache());
    zoo::pdmodel::dangerous(&zoo, &cache());
}

#[test]
fn the_table_has_a_row_for_every_known_model() {
    let table = Table::read(STATUS);
    let rows: BTreeSet<&str> = table.rows.iter().map(|row| row["model"].as_str()).collect();
    assert_eq!((rows.len(), table.rows.len()), (123, 123), "one row for each");
    for model in Store::new(&cache()).list().expect("the recipes") {
        let row = table.row(&model.name).unwrap_or_else(|| panic!("{} has no row", model.name));
        assert_eq!(row["module"], model.module.as_str(), "{}", model.name);
    }
    let columns = || COLUMNS.iter().chain(&PADDLE_COLUMNS).chain(&PDMODEL_COLUMNS);
    assert!(columns().all(|column| table.columns.iter().any(|c| c == column)), "{:?}", table.columns);
    for row in &table.rows {
        assert!(["yes", "no", "not run"].contains(&row["paddle_infer"].as_str()), "{row:?}");
        let explained = |column: &String| ["reason", "paddle_reason", "pdmodel_reason"].iter().any(|reason| row[*reason].contains(column));
        let unexplained = row.iter().any(|(column, cell)| cell == "no" && !explained(column));
        assert!(!unexplained, "{}: a `no` without a reason", row["model"]);
    }
}

/// Four of the kinds of suppression; all that have one with `ZOO_MODELS`.
#[test]
fn detectors_find_the_same_without_the_end_of_their_graphs() {
    let Some(zoo) = Zoo::find() else { return say("zoo: SKIPPED, no model graphs at $HPINFER_ZOO or ../shared/zoo; no graph was cut") };
    let named = std::env::var("ZOO_MODELS").unwrap_or_else(|_| "PicoDet-S,PP-YOLOE_plus-S,YOLOX-N,YOLOv3-MobileNetV3".into());
    named.split(',').for_each(|name| zoo::cut::check(&zoo, name, &cache()));
}

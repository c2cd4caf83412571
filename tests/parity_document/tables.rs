//! Table structure, cell contents and the reading order of blocks.

use hpinfer::image::{PointI, Size};
use hpinfer::ops::layout::{Columns, reading_order};
use hpinfer::ops::table::{Scale, cell_texts, decode, nearest_cells};
use hpinfer::result::render::html;
use hpinfer::result::table::Table;
use serde_json::Value;
use std::path::Path;

/// The mean is taken in f64 here, in f32 there.
const SCORE_TOLERANCE: f64 = 1e-5;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

fn read(path: &Path) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn classes() -> Vec<String> {
    let spans = |name: &'static str| (2..=20).map(move |n| format!(" {name}=\"{n}\""));
    let tags = ["sos", "<thead>", "</thead>", "<tbody>", "</tbody>", "<tr>", "</tr>", "<td", ">", "</td>"].map(String::from);
    tags.into_iter().chain(spans("colspan")).chain(spans("rowspan")).chain(["<td></td>".into(), "eos".into()]).collect()
}

fn unescaped(html: &str) -> String {
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    pairs.iter().fold(html.to_owned(), |text, (reference, plain)| text.replace(reference, plain))
}

/// `html` without each `>` that ends a tag here, before a text, and that `expected` leaves open.
fn left_open(html: &str, expected: &str) -> String {
    html.chars().fold(String::new(), |mut out, c| {
        let is_open = out.rfind('<') > out.rfind('>');
        if c != '>' || !is_open || expected.get(out.len()..).is_none_or(|rest| rest.starts_with('>')) {
            out.push(c);
        }
        out
    })
}

fn compare_tables(path: &Path) {
    let classes = classes();
    let cases = read(path);
    let mut cells_seen = 0;
    for (index, case) in cases.iter().enumerate() {
        let (mut probabilities, mut corners) = (Vec::new(), Vec::new());
        for step in case["steps"].as_array().unwrap() {
            let (class, probability) = (step[0].as_u64().unwrap() as usize, step[1].as_f64().unwrap());
            let others = ((1.0 - probability) / (classes.len() - 1) as f64) as f32;
            probabilities.extend((0..classes.len()).map(|i| if i == class { probability as f32 } else { others }));
        }
        case["corners"].as_array().unwrap().iter().for_each(|row| corners.extend(numbers(row).iter().map(|v| *v as f32)));
        let size = numbers(&case["picture"]);
        let picture = Size::new(size[0] as u32, size[1] as u32);
        let scale = match case["model"].as_str().unwrap() {
            "SLANet" => Scale::of_picture(picture),
            _ => Scale::of_canvas(Size::new(488, 488), picture),
        };
        let found = decode(&probabilities, &corners, &classes, scale).unwrap();
        assert_eq!(found.tokens, strings(&case["tokens"]), "table {index}");
        let cells: Vec<Vec<f64>> = found.cells.iter().map(|c| c.iter().flat_map(|p| [f64::from(p.x), f64::from(p.y)]).collect()).collect();
        let expected: Vec<Vec<f64>> = case["cells"].as_array().unwrap().iter().map(numbers).collect();
        assert_eq!(cells, expected, "table {index} of {}", case["model"]);
        if let Some(score) = case["score"].as_f64() {
            assert!((f64::from(found.score) - score).abs() < SCORE_TOLERANCE, "table {index}: {} and {score}", found.score);
        }
        cells_seen += cells.len();

        let polygon = |v: &Value| {
            v.as_array().unwrap().iter().map(|p| PointI::new(p[0].as_i64().unwrap() as i32, p[1].as_i64().unwrap() as i32)).collect()
        };
        let regions: Vec<Vec<PointI>> = case["polygons"].as_array().unwrap().iter().map(polygon).collect();
        let places = nearest_cells(&found.cells, &regions);
        let closings = found.tokens.iter().filter(|token| token.contains("</td>")).count();
        let texts = cell_texts(&strings(&case["texts"]), &places, closings);
        let table = Table { structure: found.tokens, texts, ..Table::default() };
        let expected = case["html"].as_str().unwrap();
        assert_eq!(left_open(&unescaped(&html::table(&table)), expected), expected, "table {index}");
        table.grid();
    }
    println!("{}: {} tables, {cells_seen} cells", path.display(), cases.len());
    assert!(cells_seen > 100);
}

fn compare_order(path: &Path) {
    for (index, case) in read(path).iter().enumerate() {
        let blocks: Vec<[f64; 4]> = case["blocks"].as_array().unwrap().iter().map(|b| numbers(b).try_into().unwrap()).collect();
        let found = reading_order(&blocks, case["width"].as_f64().unwrap());
        let order: Vec<f64> = found.iter().map(|(i, _)| *i as f64).collect();
        assert_eq!(order, numbers(&case["order"]), "page {index}");
        let layout: Vec<_> = found.iter().map(|(_, c)| if *c == Columns::Single { "single" } else { "double" }).collect();
        assert_eq!(layout, strings(&case["layout"]), "page {index}");
    }
}

#[test]
fn drawn_tables_and_pages() {
    compare_tables(&crate::fixtures().join("tables.json"));
    compare_order(&crate::fixtures().join("order.json"));
}

#[test]
#[ignore = "needs fresh tables, see make_tables.py"]
fn fresh_tables_and_pages() {
    let folder = std::env::var("HPINFER_PARITY_TABLES").expect("path of a folder");
    compare_tables(&Path::new(&folder).join("tables.json"));
    compare_order(&Path::new(&folder).join("order.json"));
}

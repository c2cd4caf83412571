//! Tables in `engines/`: what is known of every model, a row each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Columns that a run makes, in their order in the file. Columns of others stay as they are.
pub const COLUMNS: [&str; 10] = [
    "model",
    "module",
    "inference_yml",
    "onnx_runtime",
    "onnx_runtime_error",
    "rewritten",
    "rewritten_error",
    "openvino",
    "openvino_error",
    "reason",
];

/// Columns that a run of the model in Paddle's format makes; cells of models that were not run say so.
pub const PADDLE_COLUMNS: [&str; 4] = ["paddle_infer", "converter", "converter_error", "paddle_reason"];

/// Columns that a run of the model as `.pdmodel` on OpenVINO makes.
pub const PDMODEL_COLUMNS: [&str; 3] = ["openvino_pdmodel", "openvino_pdmodel_error", "pdmodel_reason"];

/// Columns of which a machine's arithmetic changes nothing.
const CERTAIN: [&str; 8] =
    ["module", "inference_yml", "onnx_runtime", "rewritten", "openvino", "paddle_infer", "converter", "openvino_pdmodel"];

/// Error columns, in which another processor changes the last digits.
const ERRORS: [&str; 5] = ["onnx_runtime_error", "rewritten_error", "openvino_error", "converter_error", "openvino_pdmodel_error"];

/// Errors grow by no more than this factor, or to [`SMALL`].
const GROWTH: f64 = 10.0;

/// Errors of this size are rounding whatever they were before.
const SMALL: f64 = 2e-5;

/// One row: cells by column.
pub type Row = BTreeMap<String, String>;

/// A committed table.
pub struct Table {
    file: &'static str,
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

impl Table {
    fn path(file: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("engines").join(file)
    }

    pub fn read(file: &'static str) -> Self {
        let text = std::fs::read_to_string(Self::path(file)).unwrap_or_else(|e| panic!("engines/{file}: {e}"));
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let columns: Vec<String> = lines.next().expect("a heading").split(',').map(str::to_owned).collect();
        let cells = |line: &str| line.splitn(columns.len(), ',').map(str::to_owned).collect::<Vec<_>>();
        let rows = lines.map(|line| columns.iter().cloned().zip(cells(line)).collect()).collect();
        Self { file, columns, rows }
    }

    pub fn row(&self, model: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row["model"] == model)
    }

    /// Puts fresh cells into the row of their model, and writes the file. Comment lines stay.
    pub fn update(&mut self, fresh: Row) {
        match self.rows.iter_mut().find(|row| row["model"] == fresh["model"]) {
            Some(row) => row.extend(fresh),
            None => self.rows.push(fresh),
        }
        self.rows.sort_by(|a, b| a["model"].cmp(&b["model"]));
        let old = std::fs::read_to_string(Self::path(self.file)).unwrap_or_default();
        let comments = old.lines().filter(|line| line.starts_with('#')).map(str::to_owned);
        let cells = |row: &Row| self.columns.iter().map(|c| row.get(c).cloned().unwrap_or_default()).collect::<Vec<_>>().join(",");
        let lines: Vec<String> = comments.chain([self.columns.join(",")]).chain(self.rows.iter().map(cells)).collect();
        std::fs::write(Self::path(self.file), lines.join("\n") + "\n").expect("the table is written");
    }
}

/// How the cells of a fresh row differ from the committed ones, beyond what another processor explains.
pub fn differences(committed: &Row, fresh: &Row) -> Vec<String> {
    let cell = |row: &Row, column: &str| row.get(column).cloned().unwrap_or_default();
    let changed = |column: &&str| {
        let (old, new) = (cell(committed, column), cell(fresh, column));
        (old != new).then(|| format!("{column}: was `{old}`, is `{new}`"))
    };
    let grown = |column: &&str| {
        let (old, new) = (cell(committed, column), cell(fresh, column));
        let numbers = |text: &str| text.split("; ").map(leading_number).collect::<Vec<_>>();
        let more = |(old, new): (&f64, &f64)| *new > (GROWTH * old).max(SMALL);
        let (a, b) = (numbers(&old), numbers(&new));
        (a.len() != b.len() || a.iter().zip(&b).any(more)).then(|| format!("{column}: was {old}, is {new}"))
    };
    let is_fresh = |column: &&&str| fresh.contains_key(**column);
    CERTAIN.iter().filter(is_fresh).filter_map(changed).chain(ERRORS.iter().filter(is_fresh).filter_map(grown)).collect()
}

/// The number that a cell starts with; 0 for what counts rows, which the verdict judges.
fn leading_number(text: &str) -> f64 {
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

#[test]
fn cells_are_compared_by_what_they_mean() {
    let row = |cells: &[(&str, &str)]| cells.iter().map(|(c, v)| ((*c).to_owned(), (*v).to_owned())).collect::<Row>();
    let old = row(&[("openvino", "yes"), ("openvino_error", "3e-5; 299/300 boxes"), ("onnx_runtime_error", "1e-7")]);
    let same = row(&[("openvino", "yes"), ("openvino_error", "2e-4; 297/300 boxes"), ("onnx_runtime_error", "9e-6")]);
    assert_eq!(differences(&old, &same), [""; 0]);
    let worse = row(&[("openvino", "no"), ("openvino_error", "4e-4; 299/300 boxes"), ("onnx_runtime_error", "3e-5")]);
    assert_eq!(differences(&old, &worse).len(), 3, "{:?}", differences(&old, &worse));
    let lost = row(&[("openvino", "yes"), ("openvino_error", ""), ("onnx_runtime_error", "1e-7")]);
    assert_eq!(differences(&old, &lost).len(), 1);
}

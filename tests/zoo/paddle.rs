//! One model in Paddle's own format: on Paddle Inference, and converted to ONNX and run by ONNX Runtime, with the same inputs.

use super::check::{one_line, options, summary};
use super::store::Zoo;
use super::table::Row;
use hpinfer::backend::paddle::PaddleFiles;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, LoadOptions};
use hpinfer::cache::Cache;
use hpinfer::verify::inputs::uniform;
use hpinfer::verify::report::{Feed, verify};
use serde::Deserialize;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Runs a model of the zoo in Paddle's format; cells of [`super::table::PADDLE_COLUMNS`].
pub fn check(zoo: &Zoo, name: &str, cache: &Cache) -> Row {
    let folder = tempfile::tempdir().expect("a folder");
    let files = write_pir(&zoo.paddle(name), folder.path());
    let expected = zoo.expected(name);
    let sha256 = format!("zoo-{name}-{}", expected.materialized_sha256);
    let options = LoadOptions { paddle: Some(files.into()), ..options(name, sha256) };
    let selector = Selector::new(cache.clone(), Libraries::default());
    let backends = [BackendName::PaddleInfer, BackendName::OnnxRuntime];
    let report = verify(&selector, &backends, &options, &Feed::Inputs(&expected.make_inputs()), 0).expect("inputs for the model");
    // The reference and the converted form; without a reference that form also as it is.
    let [paddle, .., converted] = &report.runs[..] else { panic!("two runs") };
    let yes = |ran: bool| if ran { "yes" } else { "no" }.to_owned();
    let reasons = [("paddle_infer", &paddle.reason), ("converter", &converted.reason)];
    let reasons: Vec<String> =
        reasons.into_iter().filter_map(|(who, reason)| Some(format!("{who}: {}", one_line(reason.as_ref()?)))).collect();
    let converter = match (&converted.ran, &report.reference, super::check::verdict(converted)) {
        (None, ..) => "no",
        // Without Paddle's own outputs nothing says whether they agree.
        (Some(_), None, _) => "yes",
        (Some(_), Some(_), verdict) => verdict,
    };
    let cells = [
        ("model", name.to_owned()),
        ("paddle_infer", yes(report.reference.is_some())),
        ("converter", converter.to_owned()),
        ("converter_error", summary(&converted.differences)),
        ("paddle_reason", reasons.join(" | ")),
    ];
    cells.map(|(column, cell)| (column.to_owned(), cell)).into()
}

/// Weights of a packed program.
#[derive(Deserialize)]
struct Param {
    dims: Vec<usize>,
    /// The descriptor of the tensor, in base64.
    head: String,
    /// The numbers, in base64; else they are made from the rest.
    data: Option<String>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    scale_exp: i32,
    #[serde(default)]
    offset: f32,
}

/// Writes a packed PIR program as Paddle saves it.
fn write_pir(packed: &str, folder: &Path) -> PaddleFiles {
    // The program goes on as the text it is: reading and writing it could change its numbers.
    let packed = packed.strip_prefix("{\"program\":").and_then(|text| text.strip_suffix('}')).expect("a PIR program");
    let (program, params) = packed.rsplit_once(",\"params\":").expect("weights");
    let pir = folder.join("inference.json");
    fs::write(&pir, program).expect("a program");
    PaddleFiles { pdmodel: None, pir: Some(pir), params: write_weights(serde_json::from_str(params).expect("weights"), folder) }
}

/// Writes a packed program of the older form as Paddle saves it.
pub fn write_pdmodel(packed: &str, folder: &Path) -> PaddleFiles {
    #[derive(Deserialize)]
    struct Packed {
        pdmodel: String,
        params: Vec<Param>,
    }
    let Packed { pdmodel, params } = serde_json::from_str(packed).expect("a program and its weights");
    let path = folder.join("inference.pdmodel");
    fs::write(&path, base64(&pdmodel)).expect("a program");
    PaddleFiles { pdmodel: Some(path), pir: None, params: write_weights(params, folder) }
}

fn write_weights(params: Vec<Param>, folder: &Path) -> PathBuf {
    let weights = folder.join("inference.pdiparams");
    let mut file = BufWriter::new(File::create(&weights).expect("a file"));
    for param in params {
        let head = base64(&param.head);
        let data = param.data.as_deref().map_or_else(|| param.made(), base64);
        for part in [&[0; 16][..], &(head.len() as u32).to_le_bytes(), &head, &data] {
            file.write_all(part).expect("written");
        }
    }
    file.flush().expect("written");
    weights
}

impl Param {
    fn made(&self) -> Vec<u8> {
        let scale = 2f32.powi(self.scale_exp);
        let element = |i| {
            let scaled = uniform(self.seed, i) * scale;
            if self.offset == 0.0 { scaled } else { scaled + self.offset }.to_le_bytes()
        };
        (0..self.dims.iter().product::<usize>() as u64).flat_map(element).collect()
    }
}

fn base64(text: &str) -> Vec<u8> {
    let digit = |c: u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".iter().position(|&d| d == c);
    let digits: Vec<u32> = text.bytes().filter(|&c| c != b'=').map(|c| digit(c).expect("base64") as u32).collect();
    let group = |digits: &[u32]| {
        let bits = digits.iter().enumerate().fold(0, |bits, (i, digit)| bits | digit << (18 - 6 * i));
        bits.to_be_bytes()[1..digits.len()].to_vec()
    };
    digits.chunks(4).flat_map(group).collect()
}

#[test]
fn base64_is_read() {
    for (text, bytes) in [("", &b""[..]), ("TQ==", b"M"), ("TWE=", b"Ma"), ("TWFu", b"Man"), ("+/8A", &[0xfb, 0xff, 0])] {
        assert_eq!(base64(text), bytes);
    }
}

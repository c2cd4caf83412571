//! Documents as inputs: what their pages look like, which of them come, and what becomes of documents that are damaged or hostile.

#[path = "pdf/appearance.rs"]
mod appearance;
#[path = "pdf/commands.rs"]
mod commands;
#[path = "pdf/hostile.rs"]
mod hostile;
#[path = "pdf/inputs.rs"]
mod inputs;
#[path = "pdf/many.rs"]
mod many;
#[path = "pdf/text.rs"]
mod text;
#[path = "pdf/write.rs"]
mod write;

use hpinfer::Result;
use hpinfer::image::Frame;
use hpinfer::image::decode::Decoder;
use hpinfer::source::pdf::Isolation;
use hpinfer::source::{PdfOptions, Source, SourceOptions};
use std::fs;
use std::path::{Path, PathBuf};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pdf").join(name)
}

/// Renders in processes of the real program.
fn processes() -> PdfOptions {
    let isolation = Isolation::Process { program: env!("CARGO_BIN_EXE_hpinfer").into(), arguments: vec!["render-pdf".into()] };
    PdfOptions { isolation, ..PdfOptions::default() }
}

fn load(path: &Path, pdf: &PdfOptions) -> Vec<Result<Frame>> {
    load_with(path, &SourceOptions { pdf: pdf.clone(), ..SourceOptions::default() })
}

fn load_with(path: &Path, options: &SourceOptions) -> Vec<Result<Frame>> {
    Source::new(&[path], options.clone()).map(|item| item.load(&Decoder::default())).collect()
}

/// As [`load`], from a file that holds `bytes`.
fn load_bytes(bytes: &[u8], pdf: &PdfOptions) -> Vec<Result<Frame>> {
    load_bytes_with(bytes, &SourceOptions { pdf: pdf.clone(), ..SourceOptions::default() })
}

fn load_bytes_with(bytes: &[u8], options: &SourceOptions) -> Vec<Result<Frame>> {
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("doc.pdf");
    fs::write(&path, bytes).unwrap();
    let outcomes = load_with(&path, options);
    for error in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
        let message = error.to_string();
        assert!(error.kind() == "bad_input" && message.starts_with(&format!("{}: ", path.display())), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
    outcomes
}

/// The message of the only outcome, an error.
#[track_caller]
fn only_error(outcomes: Vec<Result<Frame>>) -> String {
    assert_eq!(outcomes.len(), 1);
    match outcomes.into_iter().next() {
        Some(Err(error)) => error.to_string(),
        Some(Ok(frame)) => panic!("a picture of {}, and no error", frame.size()),
        None => panic!("no outcome"),
    }
}

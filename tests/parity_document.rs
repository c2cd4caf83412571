//! Parts of the document pipelines against PaddleX 3.0-beta1's own code.
//! The fixtures lie with the scripts that made them in `tests/fixtures/document`.

mod parity_document {
    mod curves;
    mod polygons;
    mod tables;
}

fn fixtures() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/document")
}

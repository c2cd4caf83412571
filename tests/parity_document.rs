//! Parts of the document pipelines against the own code of PaddleX 3.0-beta1 and, of its options on regions, 3.7.2.
//! The fixtures lie with the scripts that made them in `tests/fixtures/document`.

mod parity_document {
    mod curves;
    mod polygons;
    mod regions;
    mod tables;
}

fn fixtures() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/document")
}

//! One model as `.pdmodel`, which OpenVINO reads itself, beside ONNX Runtime with the same weights as ONNX.

use super::check::{one_line, options, summary};
use super::paddle::write_pdmodel;
use super::store::Zoo;
use super::table::Row;
use hpinfer::Result;
use hpinfer::backend::paddle::PaddleFiles;
use hpinfer::backend::select::{Libraries, Selector, Wanted};
use hpinfer::backend::{BackendName, Engine, Format, LoadOptions, Onnx};
use hpinfer::cache::Cache;
use hpinfer::tensor::Shape;
use hpinfer::verify::compare::compare;
use hpinfer::verify::inputs::{Input, picture};
use hpinfer::verify::report::FLOAT32_TOLERANCE;
use hpinfer::verify::run;
use std::sync::Arc;
use tempfile::TempDir;

/// A model of the zoo on OpenVINO as `.pdmodel`, and the folder of its files; `None` where the zoo has no such form of it.
pub fn load(zoo: &Zoo, name: &str, cache: &Cache, wanted: Wanted) -> Option<(TempDir, Result<Arc<dyn Engine>>)> {
    let packed = zoo.pdmodel(name)?;
    let folder = tempfile::tempdir().expect("a folder");
    let files = write_pdmodel(&packed, folder.path());
    let sha256 = format!("zoo-pdmodel-{name}-{}", zoo.expected(name).materialized_sha256);
    let options = LoadOptions { paddle: Some(files.into()), ..options(name, sha256) };
    let engine = Selector::new(cache.clone(), Libraries::default()).load(wanted, &options, &[]);
    Some((folder, engine))
}

/// Cells of [`super::table::PDMODEL_COLUMNS`].
pub fn check(zoo: &Zoo, name: &str, cache: &Cache) -> Row {
    let expected = zoo.expected(name);
    let inputs = expected.make_inputs();
    let loaded = load(zoo, name, cache, Wanted::exactly(BackendName::OpenVino));
    let ran = loaded.map(|(folder, engine)| {
        let [program, params] = ["inference.pdmodel", "inference.pdiparams"].map(|file| folder.path().join(file));
        PaddleFiles { pdmodel: Some(program), pir: None, params }.for_openvino()?;
        engine.and_then(|engine| run(&*engine, &inputs, 0)).map_err(|e| e.to_string())
    });
    let (verdict, error, reason) = match ran {
        None => ("not packed", String::new(), String::new()),
        Some(Err(reason)) => ("no", String::new(), format!("openvino_pdmodel: {}", one_line(&reason))),
        Some(Ok(ran)) => {
            let onnx = Onnx::Bytes(Arc::new(zoo.onnx(name)));
            let options = LoadOptions { onnx: Some(onnx), ..options(name, expected.materialized_sha256.clone()) };
            let selector = Selector::new(cache.clone(), Libraries::default());
            let reference = selector.load(Wanted::exactly(BackendName::OnnxRuntime), &options, &[]).expect("the reference");
            let reference = run(&*reference, &inputs, 0).expect("the reference");
            match compare(&reference.outputs, &ran.outputs) {
                Ok(differences) => {
                    let agrees = differences.iter().all(|d| d.within(FLOAT32_TOLERANCE));
                    (if agrees { "yes" } else { "differs" }, summary(&differences), String::new())
                }
                Err(reason) => ("differs", String::new(), format!("openvino_pdmodel: {}", one_line(&reason))),
            }
        }
    };
    let cells = [
        ("model", name.to_owned()),
        ("openvino_pdmodel", verdict.to_owned()),
        ("openvino_pdmodel_error", error),
        ("pdmodel_reason", reason.replace(&std::env::temp_dir().display().to_string(), "")),
    ];
    cells.map(|(column, cell)| (column.to_owned(), cell)).into()
}

/// A segmenter of which the ONNX form takes 512x512 only and that cannot be converted by itself: without a wish OpenVINO
/// runs it, on a picture of any size.
pub fn any_size(zoo: &Zoo, cache: &Cache) {
    let (_folder, engine) = load(zoo, "PP-LiteSeg-T", cache, Wanted::default()).expect("the model");
    let engine = engine.expect("an engine");
    assert_eq!((engine.info().backend, engine.info().format), (BackendName::OpenVino, Format::Pdmodel));
    for (height, width) in [(512, 512), (352, 480), (256, 736)] {
        let data = picture([1, 3, height, width], 1, 2);
        let inputs = [Input { name: "x".into(), shape: Shape::new(&[1, 3, height, width]), data }];
        let ran = run(&*engine, &inputs, 0).unwrap_or_else(|e| panic!("{height}x{width}: {e}"));
        assert_eq!(ran.outputs[0].shape.dims(), [1, height, width]);
    }
}

/// Detectors that damage OpenVINO's memory as they are: they get there as ONNX, whether it takes that or not.
pub fn dangerous(zoo: &Zoo, cache: &Cache) {
    for name in ["PP-YOLOE_plus-S", "PicoDet-S"] {
        let (_folder, engine) = load(zoo, name, cache, Wanted::exactly(BackendName::OpenVino)).expect("the model");
        match engine {
            Ok(engine) => assert_eq!((engine.info().backend, engine.info().format), (BackendName::OpenVino, Format::Onnx), "{name}"),
            Err(e) => assert!(e.to_string().contains(".onnx): "), "{e}"),
        }
    }
}

//! The reader of `inference.yml` against the files that the official exporters write for all 123 models, and the catalogue
//! against both. The files are not part of this repository: `$HPINFER_ZOO`, else `../shared/zoo`, has them.

use hpinfer::cache::Cache;
use hpinfer::model::{ModelSpec, Module, Store};
use std::fs;
use std::path::{Path, PathBuf};

fn zoo() -> Option<PathBuf> {
    let named = std::env::var_os("HPINFER_ZOO").map(PathBuf::from);
    let zoo = named.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/zoo"));
    if zoo.join("yml").is_dir() {
        return Some(zoo);
    }
    assert!(named.is_none(), "$HPINFER_ZOO has no folder yml");
    println!("skipped: there is no zoo beside this clone");
    None
}

/// A model folder with this description and a network of no bytes.
fn folder(root: &Path, name: &str, description: &[u8]) -> String {
    let folder = root.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("inference.yml"), description).unwrap();
    for file in ["inference.pdmodel", "inference.pdiparams"] {
        fs::write(folder.join(file), b"").unwrap();
    }
    folder.display().to_string()
}

fn unpack(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    lzma_rs::xz_decompress(&mut std::io::BufReader::new(fs::File::open(path).unwrap()), &mut bytes).unwrap();
    bytes
}

#[test]
fn every_description_means_what_the_catalogue_says() {
    let Some(zoo) = zoo() else { return };
    let temp = tempfile::tempdir().unwrap();
    let store = Store::new(&Cache::open(Some(&temp.path().join("cache"))).unwrap());
    let mut wrong = Vec::new();
    let models = store.list().unwrap();
    for model in &models {
        let description = unpack(&zoo.join("yml").join(format!("{}.yml.xz", model.name)));
        let found = store.resolve(&folder(temp.path(), &model.name, &description)).unwrap();
        let mut differs = |what: &str, found: String, expected: String| {
            if found != expected {
                wrong.push(format!("{}, {what}: the file says {found:.300}, the catalogue {expected:.300}", model.name));
            }
        };
        let catalogue = store.describe(&model.name).unwrap();
        differs("name", found.name.clone(), model.name.clone());
        differs("module", found.module.as_str().into(), model.module.as_str().into());
        differs("spec", format!("{:?}", found.spec), format!("{:?}", catalogue.spec));
        differs(
            "engines",
            format!("{:?} {:?}", found.hpi.selected, found.hpi.supported),
            format!("{:?} {:?}", model.hpi.selected, model.hpi.supported),
        );
        // The usual shape of the file is the usual shape of the catalogue, where the file has one.
        for (input, range) in found.hpi.dynamic_shapes().into_iter().flatten().filter(|(input, _)| model.shapes.contains_key(*input)) {
            differs(&format!("shape of {input}"), format!("{:?}", range.opt), format!("{:?}", model.shapes[input].opt));
        }
    }
    assert_eq!(models.len(), 123);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} descriptions read", models.len());
}

#[test]
fn the_catalogue_carries_the_published_facts() {
    let Some(zoo) = zoo() else { return };
    let path = zoo.join("../reference/models.yaml");
    let Ok(text) = fs::read_to_string(&path) else { return println!("skipped: there is no {}", path.display()) };
    let facts: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    let temp = tempfile::tempdir().unwrap();
    let store = Store::new(&Cache::open(Some(temp.path())).unwrap());
    let models = store.list().unwrap();
    assert_eq!(models.len(), facts["models"].as_object().unwrap().len());
    for model in models {
        let fact = &facts["models"][&model.name];
        let published = &fact["published"];
        let same = |what: &str, ours: serde_json::Value, theirs: &serde_json::Value| assert_eq!(&ours, theirs, "{}: {what}", model.name);
        same("module", serde_json::json!(model.module), &fact["module"]);
        same("pipelines", serde_json::json!(model.pipelines), &fact["pipelines"]);
        same("archive", serde_json::json!(model.archive_url), &fact["model_url"]);
        for (what, ours) in [
            ("value", Some(model.published.value)),
            ("gpu_ms", model.published.gpu_ms),
            ("cpu_ms", model.published.cpu_ms),
            ("size_mb", Some(model.published.size_mb)),
        ] {
            assert_eq!(ours, published[what].as_f64(), "{}: {what}", model.name);
        }
        same("metric", serde_json::json!(model.published.metric), &published["metric"]);
        same("dataset", serde_json::json!(model.published.dataset), &published["dataset"]);
        same("ranking on the CPU", serde_json::json!(model.ranking.cpu), &fact["later_release_backend_ranking"]["cpu_x64"]);
        same("ranking on the GPU", serde_json::json!(model.ranking.gpu), &fact["later_release_backend_ranking"]["gpu_cuda118_cudnn89"]);
        let hpi = &fact["hpi"];
        if !hpi["selected_backends"].is_null() {
            same("selected", serde_json::json!(model.hpi.selected), &hpi["selected_backends"]);
            same("supported", serde_json::json!(model.hpi.supported), &hpi["supported_backends"]);
        }
        for (input, range) in fact["later_release_dynamic_shapes"].as_object().into_iter().flatten() {
            let ours = &model.shapes[input];
            same(input, serde_json::json!([ours.min, ours.opt, ours.max]), range);
        }
    }
}

#[test]
fn modules_of_the_catalogue_have_their_own_specification() {
    let temp = tempfile::tempdir().unwrap();
    let store = Store::new(&Cache::open(Some(temp.path())).unwrap());
    let spec = |name: &str| store.describe(name).unwrap();
    assert_eq!(spec("PP-LCNet_x1_0_doc_ori").module, Module::DocOrientation);
    assert!(matches!(spec("PP-LCNet_x1_0_doc_ori").spec, ModelSpec::Classification(spec) if spec.labels == ["0", "90", "180", "270"]));
    assert_eq!(spec("RT-DETR-H_layout_3cls").module, Module::LayoutDetection);
    assert_eq!(spec("PP-OCRv4_server_seal_det").module, Module::SealTextDetection);
}

//! What is kept of a conversion to ONNX.

use super::model;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A conversion that is kept is looked at when it is taken: one that is cut off or changed is made again, with one warning.
#[test]
fn a_damaged_conversion_is_made_again() {
    let (home, folder) = (Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"), tempfile::tempdir().expect("a folder"));
    for file in ["inference.pdmodel", "inference.pdiparams"] {
        std::fs::copy(model("pdmodel").join(file), folder.path().join(file)).expect("copied");
    }
    let text = std::fs::read_to_string(model("pdmodel").join("inference.yml")).expect("a description");
    let text = text.replace("miniature_classify", "miniature_damaged"); // no other test uses its conversion
    std::fs::write(folder.path().join("inference.yml"), text).expect("written");
    let convert = |home: &Path| {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("hpinfer"));
        let ran = command.env("HPINFER_HOME", home).args(["model", "convert"]).arg(folder.path()).output().expect("the command starts");
        (ran.status.code(), PathBuf::from(String::from_utf8_lossy(&ran.stdout).trim()), String::from_utf8_lossy(&ran.stderr).into_owned())
    };
    let warnings = |said: &str| said.matches("is not as it was made; miniature_damaged is converted again").count();
    let (_, onnx, said) = convert(&home);
    let whole = std::fs::read(&onnx).unwrap_or_else(|e| panic!("{e}: {said}"));
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() / 2], &changed] {
        std::fs::write(&onnx, damaged).expect("written");
        for expected in [1, 0] {
            let (code, path, said) = convert(&home);
            assert_eq!((code, &path, warnings(&said)), (Some(0), &onnx, expected), "{said}");
            assert!(std::fs::read(&onnx).expect("a file") == whole);
        }
    }

    let lacking = tempfile::tempdir().expect("a folder");
    let converted = lacking.path().join("converted");
    std::fs::create_dir(&converted).expect("a folder");
    std::fs::write(converted.join(onnx.file_name().expect("a name")), changed).expect("written");
    std::fs::write(lacking.path().join("runtime"), "").expect("written"); // nothing can be installed
    let (code, _, said) = convert(lacking.path());
    assert!(code == Some(2) && warnings(&said) == 1 && said.contains("set HPINFER_HOME to a folder you can write to"), "{said}");
}

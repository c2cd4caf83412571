//! The import direction of the crate: a file may use only modules that stand above its own in this table.
//! Modules in one row are siblings: neither may use the other, nor a row below.

use std::fs;
use std::path::{Path, PathBuf};

/// From the foundations upwards.
const LAYERS: &[&[&str]] = &[
    &["error"],
    &["trace"],
    &["cache", "onnx"],
    &["device", "runtime"],
    &["tensor"],
    &["image", "result"],
    &["ops", "backend", "extract"],
    &["model"],
    &["modules"],
    &["pipeline"],
    &["source"],
    &["schedule"],
    &["bench", "verify"],
    &["cli"],
];

/// `result` holds points and its drawings hold pictures: it sits in the row of `image` and may use it.
const ALLOWED_SIBLINGS: &[(&str, &str)] = &[("result", "image")];

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&module))
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("src is readable") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Top-level modules that a line names after `crate::`, also in braces: `crate::{a::B, c}`.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let name = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut item = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 1 => {
                        found.push(name(item.trim()));
                        item.clear();
                        continue;
                    }
                    _ => {}
                }
                if depth == 0 {
                    break;
                }
                item.push(c);
            }
            found.push(name(item.trim()));
        } else {
            found.push(name(rest));
        }
    }
    found
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn imports_point_downwards() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 20, "only {} files found under {}", files.len(), src.display());
    let mut faults = Vec::new();
    for file in files {
        let relative = file.strip_prefix(&src).expect("below src");
        let own = relative.components().next().expect("a name").as_os_str().to_string_lossy().replace(".rs", "");
        if ["lib", "main"].contains(&own.as_str()) {
            continue;
        }
        let Some(own_layer) = layer(&own) else {
            faults.push(format!("{}: module `{own}` has no layer; add it to the table", relative.display()));
            continue;
        };
        let text = fs::read_to_string(&file).expect("readable source");
        let code: String = text.lines().filter(|l| !is_comment(l)).map(|l| format!("{l}\n")).collect();
        for used in imports(&code) {
            let Some(used_layer) = layer(&used) else { continue }; // `crate::Error`, `crate::Result`
            let allowed = used == own || used_layer < own_layer || ALLOWED_SIBLINGS.contains(&(own.as_str(), used.as_str()));
            if !allowed {
                faults.push(format!("{}: `{own}` must not use `{used}`", relative.display()));
            }
        }
    }
    assert!(faults.is_empty(), "upward imports:\n{}", faults.join("\n"));
}

#[test]
fn imports_are_found_in_all_forms() {
    assert_eq!(imports("use crate::tensor::Shape;"), ["tensor"]);
    assert_eq!(imports("use crate::{error::{Error, Result}, tensor};"), ["error", "tensor"]);
    assert_eq!(imports("let x = crate::cache::write_atomic(p, b);"), ["cache"]);
}

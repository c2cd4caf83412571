//! Where TensorRT lies: the file or folder that `TENSORRT_LIB_PATH` names, else what the system's loader finds.
//! TensorRT-RTX runs on few GPUs: it is used only when it is named.

use super::ffi::Library;
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Variable with the path of the library's file, or of its folder.
pub const VARIABLE: &str = "TENSORRT_LIB_PATH";

/// File names, newest first; what stands before `.so` is replaced for the parser.
const NAMES: [&str; 2] = ["libnvinfer.so.11", "libnvinfer.so.10"];
const NAMES_WHEN_NAMED: [&str; 5] =
    ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer_lean.so.11", "libnvinfer_lean.so.10", "libtensorrt_rtx.so.1"];

/// Opens TensorRT: `explicit`, else the variable, else the system's.
///
/// # Errors
/// [`Error::Backend`] that says why none can be used.
pub fn open(explicit: Option<&Path>) -> Result<Arc<Library>> {
    let variable = std::env::var_os(VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(path) = explicit.map(Path::to_owned).or(variable) {
        return open_named(&path);
    }
    let mut failures = Vec::new();
    for name in NAMES {
        // The parser is a package of its own: without it engines still load.
        match Library::open(Path::new(name), Some(&parser_of(Path::new(name)))).or_else(|_| Library::open(Path::new(name), None)) {
            Ok(library) => return Ok(library),
            Err(e) => failures.push(e),
        }
    }
    // Of several failures the one of a library that is there tells most.
    let there = failures.iter().position(|e| !e.to_string().contains("cannot open shared object file"));
    Err(match there {
        Some(at) => failures.swap_remove(at),
        None => Error::backend(
            "tensorrt",
            "libnvinfer.so.11 and libnvinfer.so.10 are not on this machine",
            format!("install TensorRT 10 or 11, set {VARIABLE} to the path of libnvinfer.so, or choose onnx_runtime"),
        ),
    })
}

fn open_named(path: &Path) -> Result<Arc<Library>> {
    let file = if path.is_dir() {
        let found = NAMES_WHEN_NAMED.iter().map(|n| path.join(n)).find(|p| p.is_file()).or_else(|| newest(path));
        found.ok_or_else(|| {
            Error::backend(
                "tensorrt",
                format!("{} holds no libnvinfer.so and no libtensorrt_rtx.so", path.display()),
                format!("set {VARIABLE} to the path of the library"),
            )
        })?
    } else {
        path.to_owned()
    };
    let parser = Some(parser_of(&file)).filter(|p| p.is_file());
    Library::open(&std::path::absolute(&file).map_err(Error::io("resolve", &file))?, parser.as_deref())
}

/// A library with more numbers in its name than usual, as wheels have it.
fn newest(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(Result::ok).map(|e| e.path());
    let fits = |p: &PathBuf| {
        p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with("libnvinfer.so.") || n.starts_with("libtensorrt_rtx.so."))
    };
    names.filter(fits).max()
}

/// The ONNX parser that belongs to a library: the same folder and version.
fn parser_of(library: &Path) -> PathBuf {
    let name = library.file_name().unwrap_or_default().to_string_lossy();
    let name = name.replacen("libnvinfer_lean.", "libnvonnxparser.", 1).replacen("libnvinfer.", "libnvonnxparser.", 1);
    library.with_file_name(name.replacen("libtensorrt_rtx.", "libtensorrt_onnxparser_rtx.", 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parsers_are_named_after_their_libraries() {
        for (library, parser) in [
            ("libnvinfer.so.10", "libnvonnxparser.so.10"),
            ("/opt/trt/lib/libnvinfer.so.11.4.0", "/opt/trt/lib/libnvonnxparser.so.11.4.0"),
            ("/w/libtensorrt_rtx.so.1.7.1", "/w/libtensorrt_onnxparser_rtx.so.1.7.1"),
        ] {
            assert_eq!(parser_of(Path::new(library)), Path::new(parser));
        }
    }
}

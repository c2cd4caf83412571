//! Compiles the C interface to TensorRT (`src/backend/tensorrt/sys`): a C++ compiler is all it needs, no header and no
//! library of NVIDIA. With the feature `bindgen` the Rust declarations are made anew, for the test that compares them
//! with the committed ones; that needs libclang.

use std::path::Path;

fn main() {
    let folder = Path::new("src/backend/tensorrt/sys");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").include(folder).warnings(true).extra_warnings(true);
    build.files(["open.cpp", "build.cpp", "engine.cpp"].map(|name| folder.join(name)));
    build.compile("trs");
    println!("cargo::rustc-link-lib=dl"); // part of libc from glibc 2.34 on
    #[cfg(feature = "bindgen")]
    generate(folder);
}

#[cfg(feature = "bindgen")]
fn generate(folder: &Path) {
    let bindings = bindgen::Builder::default()
        .header(folder.join("trs.h").display().to_string())
        .allowlist_function("trs_.*")
        .allowlist_type("trs_.*")
        .allowlist_var("TRS_.*")
        .prepend_enum_name(false)
        .layout_tests(true)
        .disable_header_comment()
        .rust_edition(bindgen::RustEdition::Edition2024)
        .generate()
        .expect("libclang reads trs.h");
    let out = std::env::var("OUT_DIR").expect("set by cargo");
    bindings.write_to_file(Path::new(&out).join("bindings.rs")).expect("OUT_DIR is writable");
}

//! The compiled kernels in `kernels/prebuilt` against their sources. NVRTC 12.9 makes them: its machine code runs on every
//! driver of CUDA 12 and 13. The compiler comes from PyPI through the program's own installer; no toolkit is needed.
//!
//! After a change of a kernel: `cargo test --test kernel_images -- --ignored regenerate`

use hpinfer::cache::{Cache, Folder, Member, Package, Wheel, sha256, sha256_file};
use hpinfer::device::Kernel;
use libloading::Library;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fs;
use std::path::{Path, PathBuf};

const COMPILER: &str = "NVRTC 12.9.86";
const OPTIONS: [&str; 3] = ["--std=c++17", "--fmad=false", "--ptxas-options=-v"];
/// Machine code, and the portable code for what comes later.
const TARGETS: [&str; 6] = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "compute_75"];
/// A block of 256 threads leaves room for two more on a Turing multiprocessor.
const MOST_REGISTERS: u32 = 80;
/// One thread of a candidate's two warps does the geometry: registers do not limit how many blocks run.
const MOST_REGISTERS_OF_BOXES: u32 = 128;

const WHEEL: Wheel = Wheel {
    project: "nvidia-cuda-nvrtc-cu12",
    version: "12.9.86",
    file: "nvidia_cuda_nvrtc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
    sha256: "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
    bytes: 89_568_129,
};
const LIBRARIES: [(&str, u64); 2] = [("libnvrtc.so.12", 106_244_480), ("libnvrtc-builtins.so.12.9", 7_202_760)];

fn kernels() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels")
}

/// The file of a target.
fn file(target: &str) -> String {
    if target.starts_with("sm_") { format!("{target}.cubin") } else { format!("{target}.ptx") }
}

/// Sources by name.
fn sources() -> BTreeMap<String, Vec<u8>> {
    let is_source = |path: &Path| path.extension().is_some_and(|e| e == "cu" || e == "cuh");
    let paths = fs::read_dir(kernels()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_source(path));
    paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect()
}

fn source_hashes() -> BTreeMap<String, String> {
    sources().into_iter().map(|(name, text)| (name, sha256(&text))).collect()
}

/// The compiler's library, installed when it is not there.
fn nvrtc() -> Library {
    let names: Vec<String> = LIBRARIES.iter().map(|(name, _)| format!("nvidia/cuda_nvrtc/lib/{name}")).collect();
    let members = names.iter().zip(LIBRARIES).map(|(from, (to, bytes))| Member { from, to, bytes, sha256: None }).collect();
    let folder = Folder { path: PathBuf::from("runtime/nvrtc-12.9.86"), members };
    let package = Package {
        what: COMPILER.into(),
        next_step: "the test of the kernels needs the package index in reach".into(),
        wheel: WHEEL,
        folders: vec![folder.clone()],
    };
    let cache = Cache::open(None).unwrap();
    cache.install(&package).unwrap();
    // SAFETY: loading runs the library's own initialisers only; it was checked when it was unpacked.
    unsafe { Library::new(cache.root().join(folder.path).join(LIBRARIES[0].0)) }.unwrap()
}

type Create =
    unsafe extern "C" fn(*mut *mut c_void, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
type Compile = unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> c_int;
type Size = unsafe extern "C" fn(*mut c_void, *mut usize) -> c_int;
type Get = unsafe extern "C" fn(*mut c_void, *mut c_char) -> c_int;
type Destroy = unsafe extern "C" fn(*mut *mut c_void) -> c_int;

/// The image of a target, and what the compiler says.
fn compile(library: &Library, target: &str) -> (Vec<u8>, String) {
    let mut sources: Vec<(CString, CString)> =
        sources().into_iter().map(|(name, text)| (CString::new(name).unwrap(), CString::new(text).unwrap())).collect();
    let main = sources.iter().position(|(name, _)| name.as_c_str() == c"kernels.cu").unwrap();
    let (main_name, main) = sources.remove(main);
    let names: Vec<*const c_char> = sources.iter().map(|(name, _)| name.as_ptr()).collect();
    let texts: Vec<*const c_char> = sources.iter().map(|(_, text)| text.as_ptr()).collect();
    let mut options: Vec<CString> = OPTIONS.iter().map(|&o| CString::new(o).unwrap()).collect();
    options.push(CString::new(format!("--gpu-architecture={target}")).unwrap());
    let options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
    // SAFETY: the signatures are those of nvrtc.h 12.9; all strings outlive the calls, and buffers have the length asked for.
    unsafe {
        let read = |program, size: &[u8], get: &[u8]| {
            let mut length = 0;
            assert_eq!(library.get::<Size>(size).unwrap()(program, &mut length), 0);
            let mut bytes = vec![0u8; length];
            assert_eq!(library.get::<Get>(get).unwrap()(program, bytes.as_mut_ptr().cast()), 0);
            bytes
        };
        let mut program = std::ptr::null_mut();
        let count = names.len() as c_int;
        let create = library.get::<Create>(b"nvrtcCreateProgram\0").unwrap();
        assert_eq!(create(&mut program, main.as_ptr(), main_name.as_ptr(), count, texts.as_ptr(), names.as_ptr()), 0);
        let failed = library.get::<Compile>(b"nvrtcCompileProgram\0").unwrap()(program, options.len() as c_int, options.as_ptr());
        let log = read(program, b"nvrtcGetProgramLogSize\0", b"nvrtcGetProgramLog\0");
        let log = CStr::from_bytes_until_nul(&log).map(|l| l.to_string_lossy().into_owned()).unwrap_or_default();
        assert_eq!(failed, 0, "{target}:\n{log}");
        let image = if target.starts_with("sm_") {
            read(program, b"nvrtcGetCUBINSize\0", b"nvrtcGetCUBIN\0")
        } else {
            read(program, b"nvrtcGetPTXSize\0", b"nvrtcGetPTX\0") // ends with a zero, as the driver wants it
        };
        assert_eq!(library.get::<Destroy>(b"nvrtcDestroyProgram\0").unwrap()(&mut program), 0);
        (image, log)
    }
}

fn manifest() -> Value {
    serde_json::from_str(&fs::read_to_string(kernels().join("prebuilt/manifest.json")).unwrap()).unwrap()
}

/// The number before `unit` in a line of the compiler's report.
fn number_before(line: &str, unit: &str) -> u32 {
    let before = line.split(unit).next().unwrap_or_default();
    before.split_whitespace().next_back().and_then(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number before {unit}: {line}"))
}

#[test]
fn images_belong_to_their_sources() {
    let manifest = manifest();
    let hint = "run `cargo test --test kernel_images -- --ignored regenerate` and commit kernels/prebuilt";
    assert_eq!(manifest["compiler"], COMPILER);
    assert_eq!(manifest["options"], json!(OPTIONS), "{hint}");
    assert_eq!(manifest["sources"], json!(source_hashes()), "a kernel changed and its images did not: {hint}");
    for target in TARGETS {
        let found = sha256_file(&kernels().join("prebuilt").join(file(target))).unwrap();
        assert_eq!(manifest["images"][file(target)], json!(found), "{target}: {hint}");
    }
}

#[test]
fn kernels_compile_for_turing_without_spills() {
    let (image, log) = compile(&nvrtc(), "sm_75");
    let (mut kernel, mut spill, mut seen, mut faults) = (String::new(), String::new(), Vec::new(), Vec::new());
    for line in log.lines() {
        if line.contains("Compiling entry function") {
            kernel = line.split('\'').nth(1).expect("a name").to_owned();
        } else if line.contains("spill stores") {
            spill = line.to_owned();
        } else if line.contains("Used ") {
            let registers = number_before(line, " registers");
            let most = if kernel == "db_boxes" { MOST_REGISTERS_OF_BOXES } else { MOST_REGISTERS };
            if registers > most {
                faults.push(format!("{kernel} needs {registers} registers; {most} are allowed"));
            }
            if number_before(&spill, " bytes spill stores") + number_before(&spill, " bytes spill loads") > 0 {
                faults.push(format!("{kernel} spills: {spill}"));
            }
            seen.push(kernel.clone());
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let mut names: Vec<&str> = Kernel::ALL.into_iter().map(Kernel::name).collect();
    names.sort_unstable();
    seen.sort_unstable();
    assert_eq!(seen, names, "kernels of the sources, and those the program knows");
    assert_eq!(manifest()["images"]["sm_75.cubin"], json!(sha256(&image)), "the compiler makes another image of the same sources");
}

/// Not a test: makes the images and their manifest anew.
#[test]
#[ignore = "writes kernels/prebuilt"]
fn regenerate() {
    let library = nvrtc();
    let folder = kernels().join("prebuilt");
    fs::create_dir_all(&folder).unwrap();
    let mut images = BTreeMap::new();
    for target in TARGETS {
        let (image, _) = compile(&library, target);
        images.insert(file(target), sha256(&image));
        fs::write(folder.join(file(target)), image).unwrap();
    }
    let manifest = json!({"compiler": COMPILER, "options": OPTIONS, "sources": source_hashes(), "images": images});
    fs::write(folder.join("manifest.json"), serde_json::to_string_pretty(&manifest).unwrap() + "\n").unwrap();
}

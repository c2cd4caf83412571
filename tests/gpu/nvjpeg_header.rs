//! What this program calls of nvJPEG against NVIDIA's own header: a compiler that has both says where they differ. The headers come
//! out of the wheels that `hpinfer runtime install gpu` takes the library from, fetched by version and SHA-256; nothing of them is
//! committed. Without the network the tests say that they were skipped, unless HPINFER_REQUIRE_NVJPEG_HEADERS is set.
//! HPINFER_NVJPEG_HEADERS names further folders with an `nvjpeg.h`, separated by colons.

#[path = "../../src/device/nvjpeg/interface.rs"]
mod interface;

use super::probe::{doctor, hpinfer};
use super::stub;
use crate::say::say;
use hpinfer::cache::{Cache, Folder, Member, Package, Wheel};
use hpinfer::runtime::gpu::CudaRelease;
use interface::{Image, functions};
use std::ffi::{c_int, c_uint, c_void};
use std::fmt::Write;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;

const WHEELS: [(Wheel<'_>, &str, u64); 2] = [
    (
        Wheel {
            project: "nvidia-nvjpeg-cu12",
            version: "12.4.0.76",
            file: "nvidia_nvjpeg_cu12-12.4.0.76-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256: "3888f10b32fbd58e80166c48e01073732d752fa5f167b7cb5b9615f1c6375a20",
            bytes: 5_313_609,
        },
        "nvidia/nvjpeg/include/nvjpeg.h",
        35_606,
    ),
    (
        Wheel {
            project: "nvidia-nvjpeg",
            version: "13.0.1.86",
            file: "nvidia_nvjpeg-13.0.1.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            sha256: "f658a05c48702219b3db52e194c2ea1ff0ccd3fbf2b75127b4a573074cc22fd5",
            bytes: 3_719_559,
        },
        "nvidia/cu13/include/nvjpeg.h",
        35_329,
    ),
];

/// How an argument is handed over: the letters that the C++ program finds for it too.
trait Passed {
    const LETTER: char;
}
impl<T> Passed for *mut T {
    const LETTER: char = 'p';
}
impl<T> Passed for *const T {
    const LETTER: char = 'p';
}
impl Passed for c_int {
    const LETTER: char = 'i';
}
impl Passed for c_uint {
    const LETTER: char = 'i';
}
impl Passed for usize {
    const LETTER: char = 'l';
}

macro_rules! signatures {
    ($($field:ident: $symbol:literal fn($($argument:ty),*)),* $(,)?) => {
        /// Functions with the letters of their arguments.
        fn signatures() -> Vec<(&'static str, String)> {
            vec![$(($symbol, [$(<$argument>::LETTER),*].iter().collect())),*]
        }
    };
}
functions!(signatures);

/// A C++ program that compiles where the header says what `interface.rs` says.
fn program() -> String {
    let mut text = String::from(
        "#include <cstddef>\n#include <cstdint>\n#include <type_traits>\n#include \"nvjpeg.h\"\n\
         template <class T> constexpr char letter() { return std::is_pointer<T>::value ? 'p' : sizeof(T) == 4 ? 'i' : sizeof(T) == 8 ? 'l' : '?'; }\n\
         template <class... A> constexpr bool same(nvjpegStatus_t (*)(A...), const char* letters, size_t count) {\n\
         \x20   const char own[] = {letter<A>()...};\n    if (count != sizeof...(A)) return false;\n\
         \x20   for (size_t i = 0; i < count; i++) if (own[i] != letters[i]) return false;\n    return true;\n}\n\
         static_assert(sizeof(nvjpegStatus_t) == 4, \"\");\n",
    );
    let numbers = [
        ("STATUS_SUCCESS", interface::SUCCESS),
        ("STATUS_NOT_INITIALIZED", interface::NOT_INITIALIZED),
        ("STATUS_INVALID_PARAMETER", interface::INVALID_PARAMETER),
        ("STATUS_BAD_JPEG", interface::BAD_JPEG),
        ("STATUS_JPEG_NOT_SUPPORTED", interface::JPEG_NOT_SUPPORTED),
        ("STATUS_ALLOCATOR_FAILURE", interface::ALLOCATOR_FAILURE),
        ("STATUS_EXECUTION_FAILED", interface::EXECUTION_FAILED),
        ("STATUS_ARCH_MISMATCH", interface::ARCH_MISMATCH),
        ("STATUS_INTERNAL_ERROR", interface::INTERNAL_ERROR),
        ("STATUS_IMPLEMENTATION_NOT_SUPPORTED", interface::IMPLEMENTATION_NOT_SUPPORTED),
        ("STATUS_INCOMPLETE_BITSTREAM", interface::INCOMPLETE_BITSTREAM),
        ("BACKEND_DEFAULT", interface::BACKEND_DEFAULT),
        ("OUTPUT_BGRI", interface::OUTPUT_BGRI),
        ("FLAGS_BITSTREAM_STRICT", interface::BITSTREAM_STRICT as c_int),
        ("FLAGS_UPSAMPLING_WITH_INTERPOLATION", interface::UPSAMPLING_WITH_INTERPOLATION as c_int),
        ("MAX_COMPONENT", interface::CHANNELS as c_int),
    ];
    for (name, value) in numbers {
        // Flags are macros; 12.0 has one of the two.
        let (begin, end) = if name.starts_with("FLAGS") { (format!("#ifdef NVJPEG_{name}\n"), "\n#endif") } else { (String::new(), "") };
        writeln!(text, "{begin}static_assert((NVJPEG_{name}) == {value}, \"{name}\");{end}").expect("a string");
    }
    let image = [("sizeof(nvjpegImage_t)", size_of::<Image>()), ("offsetof(nvjpegImage_t, pitch)", offset_of!(Image, pitch))];
    for (what, value) in image {
        writeln!(text, "static_assert({what} == {value}, \"\");").expect("a string");
    }
    for (symbol, letters) in signatures() {
        writeln!(text, "static_assert(same({symbol}, \"{letters}\", {}), \"{symbol}\");", letters.len()).expect("a string");
    }
    text
}

fn skipped(reason: &hpinfer::Error) {
    assert!(std::env::var_os("HPINFER_REQUIRE_NVJPEG_HEADERS").is_none(), "{reason}");
    say(&format!("SKIPPED: {reason}"));
}

/// What is installed is opened, in a process of its own: its name is that of the stand-in.
#[test]
fn the_real_library_has_all_functions() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home_with_nvjpeg");
    let cache = Cache::open(Some(&home)).expect("a cache");
    let driver = stub::folder(&[]);
    for (release, version) in [(CudaRelease::Twelve, "version=12040"), (CudaRelease::Thirteen, "version=13000")] {
        if let Err(reason) = release.install_jpeg_library(&cache) {
            skipped(&reason);
            continue;
        }
        let mut command = hpinfer(driver.path(), version);
        let found = doctor(command.env("HPINFER_HOME", &home).args(["doctor", "--json", "--device", "gpu:0"]));
        let (_, _, said) = found.iter().find(|(name, ..)| name == "JPEG decoder").expect("a line");
        assert!(said.starts_with("nvJPEG, for JPEG files"), "{version}: {said}");
    }
}

#[test]
fn numbers_and_signatures_are_those_of_the_headers() {
    let temp = tempfile::tempdir().expect("a folder");
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache");
    let named = std::env::var("HPINFER_NVJPEG_HEADERS").unwrap_or_default();
    let mut folders: Vec<PathBuf> = named.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect();
    for (wheel, member, bytes) in WHEELS {
        let path = PathBuf::from(format!("headers/{}-{}", wheel.project, wheel.version));
        let folder = Folder { path: path.clone(), members: vec![Member { from: member, to: "nvjpeg.h", bytes, sha256: None }] };
        let (what, next_step) = (format!("the header of {}", wheel.project), "have the package index in reach".into());
        match cache.install(&Package { what, next_step, wheel, folders: vec![folder] }) {
            Ok(()) => folders.push(cache.root().join(path)),
            Err(reason) => skipped(&reason),
        }
    }
    // All that the header wants of CUDA.
    std::fs::write(temp.path().join("cuda_runtime_api.h"), "typedef struct CUstream_st* cudaStream_t;\n").expect("written");
    std::fs::write(temp.path().join("library_types.h"), "typedef int libraryPropertyType;\n").expect("written");
    std::fs::write(temp.path().join("compare.cpp"), program()).expect("written");
    for folder in folders {
        let mut compiler = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".into()));
        compiler.args(["-std=c++17", "-fsyntax-only", "-I"]).arg(&folder).arg("-I").arg(temp.path()).arg(temp.path().join("compare.cpp"));
        let output = compiler.output().expect("the C++ compiler runs");
        assert!(output.status.success(), "{}: {}", folder.display(), String::from_utf8_lossy(&output.stderr));
        println!("{}: all agree", folder.display());
    }
}

//! The double of the library, built once per binary form; every test opens a copy of its own, with its own knobs.

use hpinfer::backend::onnxruntime::OnnxRuntime;
use hpinfer::backend::tensorrt::ffi::Library;
use hpinfer::backend::{Backend, Engine, LoadOptions, Onnx};
use hpinfer::cache::{Cache, sha256};
use hpinfer::onnx::sample;
use hpinfer::runtime::{self, Found};
use hpinfer::tensor::Shape;
use std::ffi::{CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Binary forms, as double.cpp numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Ten = 0,
    Eleven = 1,
    Rtx = 2,
}

impl Form {
    pub const ALL: [Self; 3] = [Self::Ten, Self::Eleven, Self::Rtx];

    /// File name of the library and of its parser, as an installation has them.
    pub fn names(self) -> [&'static str; 2] {
        match self {
            Self::Ten => ["libnvinfer.so.10", "libnvonnxparser.so.10"],
            Self::Eleven => ["libnvinfer.so.11", "libnvonnxparser.so.11"],
            Self::Rtx => ["libtensorrt_rtx.so.1", "libtensorrt_onnxparser_rtx.so.1"],
        }
    }
}

/// The sample network for a backend.
pub fn sample_options() -> LoadOptions {
    let bytes = sample::bytes();
    LoadOptions { model_sha256: sha256(&bytes), onnx: Some(Onnx::Bytes(Arc::new(bytes))), ..LoadOptions::new("sample") }
}

/// ONNX Runtime, installed once for all tests.
pub fn onnx_runtime() -> Found {
    let cache = Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a folder");
    runtime::ensure(runtime::Library::OnnxRuntime, &cache, None).expect("installed")
}

/// `onnx` in ONNX Runtime, as it is.
pub fn in_onnx_runtime(onnx: Vec<u8>) -> Arc<dyn Engine> {
    let found = onnx_runtime();
    let options = LoadOptions { model_sha256: sha256(&onnx), onnx: Some(Onnx::Bytes(Arc::new(onnx))), rewrite: false, ..sample_options() };
    OnnxRuntime::open(&found.path, found.version.as_deref()).expect("it opens").load(&options).expect("it loads")
}

/// One tensor of a run, as the double hands it over.
#[repr(C)]
pub struct RunTensor {
    _name: *const c_char,
    _dtype: i32,
    rank: i32,
    pub dims: [i64; 8],
    data: *mut c_void,
}

impl RunTensor {
    pub fn shape(&self) -> &[i64] {
        &self.dims[..self.rank as usize]
    }

    pub fn set_shape(&mut self, shape: &[i64]) {
        self.rank = shape.len() as i32;
        self.dims[..shape.len()].copy_from_slice(shape);
    }

    /// Float elements; `None` while only dimensions are asked for.
    pub fn floats(&mut self) -> Option<&mut [f32]> {
        let count: i64 = self.shape().iter().product();
        // SAFETY: the program under test promises memory of the size of the shape; that is what is tested.
        (!self.data.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(self.data.cast(), count as usize) })
    }
}

/// What a run does: the ONNX file, inputs, outputs.
pub type Run = dyn Fn(&[u8], &mut [RunTensor], &mut [RunTensor]) -> Result<(), String> + Send + Sync;

/// A copy of the double.
pub struct Double {
    pub folder: tempfile::TempDir,
    pub form: Form,
    handle: libloading::Library,
    run: Mutex<Option<Box<Arc<Run>>>>,
}

impl Double {
    pub fn new(form: Form) -> Self {
        Self::build(form, &[])
    }

    /// Without a builder, as NVIDIA's lean runtime.
    pub fn lean(form: Form) -> Self {
        Self::build(form, &["-DDOUBLE_LEAN"])
    }

    fn build(form: Form, flags: &[&str]) -> Self {
        let built = compiled(form, flags);
        let folder = tempfile::tempdir().expect("a folder");
        let [infer, parser] = form.names();
        std::fs::copy(&built, folder.path().join(infer)).expect("copied");
        std::os::unix::fs::symlink(infer, folder.path().join(parser)).expect("linked");
        // SAFETY: the library runs no code of note when it is loaded.
        let handle = unsafe { libloading::Library::new(folder.path().join(infer)) }.expect("the double loads");
        Self { folder, form, handle, run: Mutex::default() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(self.form.names()[0])
    }

    pub fn parser(&self) -> PathBuf {
        self.folder.path().join(self.form.names()[1])
    }

    pub fn open(&self) -> hpinfer::Result<Arc<Library>> {
        Library::open(&self.path(), Some(&self.parser()))
    }

    /// Words of double.cpp's knobs; only while no call runs.
    pub fn knobs(&self, text: &str) {
        let text = CString::new(text).expect("no zero");
        // SAFETY: the function has this type and copies the text.
        unsafe { self.handle.get::<unsafe extern "C" fn(*const c_char)>(b"trs_double_knobs").expect("exported")(text.as_ptr()) };
    }

    /// Objects of the library that were made and not destroyed.
    pub fn alive(&self) -> i32 {
        // SAFETY: the function has this type.
        unsafe { self.handle.get::<unsafe extern "C" fn() -> i32>(b"trs_double_alive").expect("exported")() }
    }

    /// Runs compute the sample networks from now on.
    pub fn computes_sample(&self) {
        self.on_run(|onnx, inputs, outputs| {
            compute_sample(onnx, 0.0, &mut inputs[0], &mut outputs[0]);
            Ok(())
        });
    }

    /// Runs compute what ONNX Runtime does, in float32, from now on. For one network: it is loaded at the first run.
    pub fn computes_with_onnx_runtime(&self) {
        let engine: OnceLock<Arc<dyn Engine>> = OnceLock::new();
        self.on_run(move |onnx, inputs, outputs| compute(&**engine.get_or_init(|| in_onnx_runtime(onnx.to_vec())), inputs, outputs));
    }

    /// What runs do from now on. The function is kept until the double goes, which is after the libraries opened from it.
    pub fn on_run(&self, run: impl Fn(&[u8], &mut [RunTensor], &mut [RunTensor]) -> Result<(), String> + Send + Sync + 'static) {
        type Set = unsafe extern "C" fn(
            unsafe extern "C" fn(*mut c_void, *const u8, usize, *mut RunTensor, usize, *mut RunTensor, usize) -> i32,
            *mut c_void,
        );
        let run: Box<Arc<Run>> = Box::new(Arc::new(run));
        let user = std::ptr::from_ref::<Arc<Run>>(&run).cast_mut().cast();
        // SAFETY: the function has this type; `run` is boxed and kept.
        unsafe { self.handle.get::<Set>(b"trs_double_set_run").expect("exported")(trampoline, user) };
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run);
    }
}

/// A run of one of the sample networks; that of places is of the elements above `least`, which is 0 in the network.
pub fn compute_sample(onnx: &[u8], least: f32, x: &mut RunTensor, y: &mut RunTensor) {
    let rows = x.shape()[0];
    let (columns, made) = match x.floats() {
        made if onnx == sample::places() => {
            let places = made.iter().flat_map(|x| x.iter().enumerate()).filter(|(_, v)| **v > least);
            (2, Some(places.flat_map(|(at, _)| [(at / 4) as f32, (at % 4) as f32]).collect::<Vec<_>>()))
        }
        made => (3, made.map(|x| sample::expected(x))),
    };
    let rows = made.as_ref().map_or(rows, |made| made.len() as i64 / columns);
    y.set_shape(&[rows, columns]);
    if let (Some(made), Some(y)) = (made, y.floats()) {
        y.copy_from_slice(&made);
    }
}

/// A run of `engine` on what the double hands over.
pub fn compute(engine: &dyn Engine, inputs: &mut [RunTensor], outputs: &mut [RunTensor]) -> Result<(), String> {
    let mut session = engine.session().map_err(|e| e.to_string())?;
    for (index, tensor) in inputs.iter_mut().enumerate() {
        let shape: Vec<usize> = tensor.shape().iter().map(|d| *d as usize).collect();
        let lent = session.input(index, Shape::new(&shape)).map_err(|e| e.to_string())?;
        match tensor.floats() {
            Some(values) => lent.copy_from_slice(values),
            None => lent.fill(0.0),
        }
    }
    session.run().map_err(|e| e.to_string())?;
    for (index, tensor) in outputs.iter_mut().enumerate() {
        let made = session.output(index).map_err(|e| e.to_string())?;
        tensor.set_shape(&made.shape.dims().iter().map(|d| *d as i64).collect::<Vec<_>>());
        if let Some(values) = tensor.floats() {
            values.copy_from_slice(made.as_f32().map_err(|e| e.to_string())?);
        }
    }
    Ok(())
}

unsafe extern "C" fn trampoline(
    user: *mut c_void,
    onnx: *const u8,
    size: usize,
    inputs: *mut RunTensor,
    input_count: usize,
    outputs: *mut RunTensor,
    output_count: usize,
) -> i32 {
    // SAFETY: the double calls with what `on_run` registered and arrays of these lengths.
    let (run, onnx, inputs, outputs) = unsafe {
        (
            &*user.cast::<Arc<Run>>(),
            std::slice::from_raw_parts(onnx, size),
            // An empty vector's data may be null.
            if input_count == 0 { &mut [] } else { std::slice::from_raw_parts_mut(inputs, input_count) },
            if output_count == 0 { &mut [] } else { std::slice::from_raw_parts_mut(outputs, output_count) },
        )
    };
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(onnx, inputs, outputs))) {
        Ok(Ok(())) => 0,
        Ok(Err(reason)) => {
            eprintln!("the double's run: {reason}");
            1
        }
        Err(_) => 2,
    }
}

/// The compiled double, built when its sources changed.
fn compiled(form: Form, flags: &[&str]) -> PathBuf {
    static BUILDING: Mutex<()> = Mutex::new(());
    let _one_at_a_time = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (source, sys) = (root.join("tests/tensorrt/double.cpp"), root.join("src/backend/tensorrt/sys"));
    let mut content = std::fs::read(&source).expect("readable");
    for shared in ["slots.def", "interfaces.hpp"] {
        content.extend(std::fs::read(sys.join(shared)).expect("readable"));
    }
    content.extend(flags.concat().bytes());
    let key = &hpinfer::cache::sha256(&content)[..16];
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("double-{key}-{}.so", form as i32));
    if target.is_file() {
        return target;
    }
    let partial = target.with_extension(format!("{}.tmp", std::process::id()));
    let mut compiler = Command::new(std::env::var("CXX").unwrap_or_else(|_| "c++".into()));
    compiler.args(["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread", "-Wno-invalid-offsetof"]);
    compiler.arg(format!("-DDOUBLE_ABI={}", form as i32)).args(flags).arg("-I").arg(&sys).arg(&source).arg("-o").arg(&partial);
    let output = compiler.output().expect("the C++ compiler runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&partial, &target).expect("renamed");
    target
}

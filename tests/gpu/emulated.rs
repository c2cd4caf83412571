//! A network on the stand-in's device: run by an engine of the processor, on memory of the device, which is memory of the host.

use super::stub::Loaded;
use hpinfer::backend::select::{Libraries, Selector};
use hpinfer::backend::{BackendName, Engine, EngineSpec, GpuSession, LoadOptions, Onnx, Parallelism, Session};
use hpinfer::cache::Cache;
use hpinfer::device::{DeviceBuffer, DeviceSliceMut, Gpu, Stream};
use hpinfer::image::{ImageBuf, PixelFormat, Resident, Size};
use hpinfer::model::ResolvedModel;
use hpinfer::onnx::Cut;
use hpinfer::tensor::device::{DeviceData, DeviceTensor};
use hpinfer::tensor::{Data, Shape, TensorRef};
use hpinfer::trace::Transfers;
use hpinfer::{Error, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub fn cache() -> Cache {
    Cache::open(Some(&Path::new(env!("CARGO_TARGET_TMPDIR")).join("home"))).expect("a cache")
}

/// A model on ONNX Runtime, on the processor; where nothing is cut off as it is, so that it takes several pictures a run as on a GPU.
pub fn on_processor(model: &ResolvedModel, cut: Cut) -> Arc<dyn Engine> {
    let options = LoadOptions {
        onnx: model.files.onnx.clone().map(Onnx::File),
        model_sha256: model.sha256(&cache()).expect("a digest"),
        parallelism: Parallelism { streams: 2, threads_per_stream: 1 },
        cut,
        rewrite: cut != Cut::Nothing,
        ..LoadOptions::new(&model.name)
    };
    Selector::new(cache(), Libraries::default()).load(Some(BackendName::OnnxRuntime), &options, &[]).expect("an engine")
}

pub struct Emulated {
    engine: Arc<dyn Engine>,
    gpu: Arc<Gpu>,
    spec: EngineSpec,
    beside: Vec<Size>,
}

impl Emulated {
    pub fn on(engine: Arc<dyn Engine>, gpu: &Arc<Gpu>) -> Arc<dyn Engine> {
        Self::beside(engine, gpu, Vec::new())
    }

    /// The same, where pictures of these sizes are brought by others while a run has not begun yet.
    pub fn beside(engine: Arc<dyn Engine>, gpu: &Arc<Gpu>, sizes: Vec<Size>) -> Arc<dyn Engine> {
        let mut spec = engine.spec().clone();
        spec.info.device = gpu.to_string();
        Arc::new(Self { engine, gpu: gpu.clone(), spec, beside: sizes })
    }
}

struct EmulatedSession {
    session: Box<dyn Session>,
    stream: Stream,
    /// The library's own memory, where outputs are.
    arena: Stream,
    inputs: Vec<Option<(Shape, DeviceBuffer<f32>)>>,
    outputs: Vec<(Shape, Buffer)>,
    beside: Vec<Size>,
}

/// Memory of an output.
enum Buffer {
    F32(DeviceBuffer<f32>),
    I32(DeviceBuffer<i32>),
    I64(DeviceBuffer<i64>),
}

impl Buffer {
    fn data(&self) -> DeviceData<'_> {
        match self {
            Self::F32(buffer) => DeviceData::F32(buffer.slice()),
            Self::I32(buffer) => DeviceData::I32(buffer.slice()),
            Self::I64(buffer) => DeviceData::I64(buffer.slice()),
        }
    }
}

impl Engine for Emulated {
    fn spec(&self) -> &EngineSpec {
        &self.spec
    }

    fn session(&self) -> Result<Box<dyn Session>> {
        let (session, stream, arena) = (self.engine.session()?, Stream::new(&self.gpu)?, Stream::new(&self.gpu)?);
        let inputs = self.io().inputs.iter().map(|_| None).collect();
        Ok(Box::new(EmulatedSession { session, stream, arena, inputs, outputs: Vec::new(), beside: self.beside.clone() }))
    }

    fn most_sessions(&self) -> usize {
        2
    }
}

/// Allocations that the library made for itself.
pub static BY_LIBRARY: AtomicU64 = AtomicU64::new(0);

fn to_device<T: bytemuck::Pod>(data: &[T], arena: &Stream) -> Result<DeviceBuffer<T>> {
    let made = || Loaded::get().counts().allocations[0];
    let before = made();
    let mut buffer = arena.alloc(data.len())?;
    BY_LIBRARY.fetch_add(made() - before, Ordering::Relaxed);
    // SAFETY: the memory of the stand-in is host memory, and nothing is under way.
    unsafe { std::slice::from_raw_parts_mut(buffer.slice_mut().address() as *mut T, data.len()) }.copy_from_slice(data);
    Ok(buffer)
}

impl GpuSession for EmulatedSession {
    fn stream(&self) -> &Stream {
        &self.stream
    }

    fn input(&mut self, index: usize, shape: Shape) -> Result<DeviceSliceMut<'_, f32>> {
        let input = &mut self.inputs[index];
        if input.as_ref().is_none_or(|(_, buffer)| buffer.len() < shape.elements()) {
            *input = Some((shape, self.stream.alloc(shape.elements())?));
        }
        let (known, buffer) = input.as_mut().ok_or_else(|| Error::internal("emulated", "no memory"))?;
        *known = shape;
        buffer.slice_mut().split_off(shape.elements())
    }

    fn run(&mut self) -> Result<()> {
        let pictures = self.stream.gpu().pictures()?;
        for &size in &self.beside {
            let other = ImageBuf::new(vec![77; size.area() as usize * 3], size, PixelFormat::Bgr)?;
            Resident::bring(other.view().into(), size, pictures, &mut Transfers::default())?;
        }
        pictures.wait()?;
        self.stream.wait()?;
        for (index, input) in self.inputs.iter().enumerate() {
            let (shape, input) = input.as_ref().ok_or_else(|| Error::internal("emulated", "no input"))?;
            // SAFETY: as above.
            let values = unsafe { std::slice::from_raw_parts(input.slice().address() as *const f32, shape.elements()) };
            self.session.input(index, *shape)?.copy_from_slice(values);
        }
        self.session.run()?;
        self.outputs.clear();
        let mut index = 0;
        // An engine that has fewer says so.
        while let Ok(found) = self.session.output(index) {
            let buffer = match found.data {
                Data::F32(data) => Buffer::F32(to_device(data, &self.arena)?),
                Data::I32(data) => Buffer::I32(to_device(data, &self.arena)?),
                Data::I64(data) => Buffer::I64(to_device(data, &self.arena)?),
            };
            self.outputs.push((found.shape, buffer));
            index += 1;
        }
        Ok(())
    }

    fn outputs(&mut self, count: usize) -> Result<Vec<DeviceTensor<'_>>> {
        let found = self.outputs.get(..count).ok_or_else(|| Error::internal("emulated", "no run, or fewer outputs"))?;
        Ok(found.iter().map(|(shape, buffer)| DeviceTensor { shape: *shape, data: buffer.data() }).collect())
    }
}

impl Session for EmulatedSession {
    fn input(&mut self, _index: usize, _shape: Shape) -> Result<&mut [f32]> {
        Err(Error::internal("emulated", "host memory was asked for"))
    }

    fn run(&mut self) -> Result<()> {
        GpuSession::run(self)
    }

    fn output(&self, _index: usize) -> Result<TensorRef<'_>> {
        Err(Error::internal("emulated", "host memory was asked for"))
    }

    fn on_gpu(&mut self) -> Option<&mut dyn GpuSession> {
        Some(self)
    }
}

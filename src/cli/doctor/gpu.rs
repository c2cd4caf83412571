//! What `doctor` says of graphics processors.

use super::Finding;
use crate::cache::Cache;
use crate::cli::nvjpeg;
use crate::device::{self, Device, DeviceSpec, GpuInfo, Image, Nvml, VideoDecoder, image_for};
use crate::error::Result;
use crate::runtime::gpu::{CudaRelease, GpuRuntime};
use crate::runtime::{self, Found};

/// The driver and its devices, or why there are none. Only what was asked for can be wrong.
pub(super) fn findings(asked: &DeviceSpec, cache: &Cache) -> Vec<Finding> {
    let finding = |name: &str, ok, found: String| Finding::new("gpu", name, ok, found);
    let ids = match asked {
        DeviceSpec::Auto | DeviceSpec::Cpu => None,
        DeviceSpec::Gpu(ids) => Some(ids),
    };
    let choice = (*asked == DeviceSpec::Auto).then(|| {
        let found = Device::open_one(asked).map_or_else(|e| e.to_string(), |device| device.identity());
        finding("auto", true, found)
    });
    let gpus = match device::probe() {
        Ok(gpus) => gpus,
        Err(unavailable) => {
            let next_step = ids.map(|_| unavailable.next_step().to_owned());
            return [finding("cuda", ids.is_none(), unavailable.reason()).or(next_step)].into_iter().chain(choice).collect();
        }
    };
    let nvml = Nvml::open();
    let version = nvml.as_ref().ok().and_then(Nvml::driver_version);
    let driver = format!(
        "{}for CUDA {} and older; this version has never run on hardware",
        version.map_or(String::new(), |v| format!("driver {v}, ")),
        gpus.cuda
    );
    let mut findings = vec![finding("cuda", true, driver)];
    for gpu in &gpus.devices {
        let refusal = gpu.refusal();
        let (ok, state) = (refusal.is_none(), state(gpu, &nvml));
        findings.push(finding(&format!("gpu:{}", gpu.number), ok, format!("{gpu}; {}", refusal.unwrap_or(state))));
        if ok {
            let backend = backend(gpus.cuda.major(), cache);
            let (ok, name) = (ids.is_none() || backend.is_ok(), format!("gpu:{} backend", gpu.number));
            findings.push(finding(&name, ok, backend.unwrap_or_else(|e| e.to_string())));
        }
    }
    if ids.is_some() {
        let found = VideoDecoder::available().map_or_else(|e| e.to_string(), |()| "libnvcuvid.so.1, for h264 and hevc".into());
        findings.push(finding("video decoders", true, found)); // without them ffmpeg decodes
        let found = nvjpeg::available(cache).map_or_else(|e| e.to_string(), |()| "nvJPEG, for JPEG files; never run on hardware".into());
        findings.push(finding("JPEG decoder", true, found)); // without it files are decoded on the host
    }
    findings.extend(choice);
    if let Some(Err(e)) = ids.map(|ids| gpus.select(ids)) {
        findings.push(finding(&asked.to_string(), false, e.to_string()));
    }
    findings
}

/// What runs models on GPUs of a driver for this major version of CUDA.
fn backend(cuda: i32, cache: &Cache) -> Result<String> {
    let provider = match runtime::gpu::find(CudaRelease::for_driver(cuda), cache)? {
        Some(GpuRuntime { library: Found { path, version, .. }, .. }) => {
            format!("{}, {}", version.as_deref().unwrap_or("of unknown version"), path.display())
        }
        None => "not in the cache; installed when a model needs it, or by `hpinfer runtime install gpu`".into(),
    };
    Ok(format!("onnx_runtime with its CUDA provider ({provider}); tensorrt where an engine of the model is kept and faster"))
}

/// The kernels for `gpu`, and what it is doing.
fn state(gpu: &GpuInfo, nvml: &Result<Nvml, String>) -> String {
    let kernels = match image_for(gpu.capability) {
        Some(Image::Cubin(_)) => "own kernels are machine code",
        Some(Image::Ptx(_)) => "own kernels are compiled by the driver (needs R575 or later)",
        None => "no kernels",
    };
    let facts = match nvml {
        Ok(nvml) => nvml.facts(gpu.uuid).map(|facts| facts.to_string()),
        Err(e) => Err(e.clone()),
    };
    format!("{kernels}; {}", facts.unwrap_or_else(|e| format!("its state is unknown: {e}")))
}

//! ONNX Runtime with its CUDA provider, the libraries of CUDA that this needs, and nvJPEG: which versions the driver can run, where
//! they are, how they are installed.

use super::pins::{Pin, wheel};
use super::{Found, Library, Origin, host, locate};
use crate::cache::{Cache, Package};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// The provider lies beside the library.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";

/// ONNX Runtime for a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuRuntime {
    /// The library.
    pub library: Found,
    /// Libraries of CUDA that are to be loaded first, in this order; none where the system's loader finds them.
    pub before: Vec<PathBuf>,
}

/// What is installed, by the major version of CUDA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CudaRelease {
    /// For drivers R525 to R575.
    Twelve,
    /// For drivers from R580 on.
    Thirteen,
}

const ONNX_RUNTIME_13: Pin = Pin {
    wheel: wheel(
        "onnxruntime-gpu",
        "1.31.1",
        "onnxruntime_gpu-1.31.1-cp312-cp312-manylinux_2_28_x86_64.whl",
        "05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7",
        255_569_273,
    ),
    members: &[
        ("onnxruntime/capi/libonnxruntime.so.1.31.1", 29_421_832),
        ("onnxruntime/capi/libonnxruntime_providers_shared.so", 14_632),
        ("onnxruntime/capi/libonnxruntime_providers_cuda.so", 284_014_752),
        ("onnxruntime/LICENSE", 1_073),
        ("onnxruntime/ThirdPartyNotices.txt", 338_088),
    ],
    libraries: &[],
};

const ONNX_RUNTIME_12: Pin = Pin {
    wheel: wheel(
        "onnxruntime-gpu",
        "1.26.0",
        "onnxruntime_gpu-1.26.0-cp312-cp312-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        "3c01119ed4d9449d60367fa8ccffcd02bd3fe736754284e4b198d131f54edad6",
        276_971_796,
    ),
    members: &[
        ("onnxruntime/capi/libonnxruntime.so.1.26.0", 23_101_400),
        ("onnxruntime/capi/libonnxruntime_providers_shared.so", 14_632),
        ("onnxruntime/capi/libonnxruntime_providers_cuda.so", 400_827_896),
        ("onnxruntime/LICENSE", 1_073),
        ("onnxruntime/ThirdPartyNotices.txt", 325_054),
    ],
    libraries: &[],
};

/// It needs nothing, and nothing needs it.
const NVJPEG_13: Pin = Pin {
    wheel: wheel(
        "nvidia-nvjpeg",
        "13.0.1.86",
        "nvidia_nvjpeg-13.0.1.86-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "f658a05c48702219b3db52e194c2ea1ff0ccd3fbf2b75127b4a573074cc22fd5",
        3_719_559,
    ),
    members: &[("nvidia/cu13/lib/", 64 << 20), ("nvidia_nvjpeg-13.0.1.86.dist-info/", 4 << 20)],
    libraries: &["libnvjpeg.so.13"],
};

const NVJPEG_12: Pin = Pin {
    wheel: wheel(
        "nvidia-nvjpeg-cu12",
        "12.4.0.76",
        "nvidia_nvjpeg_cu12-12.4.0.76-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
        "3888f10b32fbd58e80166c48e01073732d752fa5f167b7cb5b9615f1c6375a20",
        5_313_609,
    ),
    members: &[("nvidia/nvjpeg/lib/", 64 << 20), ("nvidia_nvjpeg_cu12-12.4.0.76.dist-info/", 4 << 20)],
    libraries: &["libnvjpeg.so.12"],
};

/// In the order of their needs.
const CUDA_13: [Pin; 7] = [
    Pin {
        wheel: wheel(
            "nvidia-cuda-runtime",
            "13.0.96",
            "nvidia_cuda_runtime-13.0.96-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548",
            2_243_632,
        ),
        members: &[("nvidia/cu13/lib/", 64 << 20), ("nvidia_cuda_runtime-13.0.96.dist-info/", 4 << 20)],
        libraries: &["libcudart.so.13"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cuda-nvrtc",
            "13.0.88",
            "nvidia_cuda_nvrtc-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575",
            90_215_200,
        ),
        members: &[("nvidia/cu13/lib/", 512 << 20), ("nvidia_cuda_nvrtc-13.0.88.dist-info/", 4 << 20)],
        libraries: &["libnvrtc.so.13"],
    },
    Pin {
        wheel: wheel(
            "nvidia-nvjitlink",
            "13.0.88",
            "nvidia_nvjitlink-13.0.88-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b",
            40_713_933,
        ),
        members: &[("nvidia/cu13/lib/", 256 << 20), ("nvidia_nvjitlink-13.0.88.dist-info/", 4 << 20)],
        libraries: &["libnvJitLink.so.13"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cublas",
            "13.1.0.3",
            "nvidia_cublas-13.1.0.3-py3-none-manylinux_2_27_x86_64.whl",
            "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171",
            423_133_236,
        ),
        members: &[("nvidia/cu13/lib/", 2 << 30), ("nvidia_cublas-13.1.0.3.dist-info/", 4 << 20)],
        libraries: &["libcublasLt.so.13", "libcublas.so.13"],
    },
    Pin {
        wheel: wheel(
            "nvidia-curand",
            "10.4.0.35",
            "nvidia_curand-10.4.0.35-py3-none-manylinux_2_27_x86_64.whl",
            "1aee33a5da6e1db083fe2b90082def8915f30f3248d5896bcec36a579d941bfc",
            59_544_258,
        ),
        members: &[("nvidia/cu13/lib/", 512 << 20), ("nvidia_curand-10.4.0.35.dist-info/", 4 << 20)],
        libraries: &["libcurand.so.10"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cufft",
            "12.0.0.61",
            "nvidia_cufft-12.0.0.61-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3",
            214_085_489,
        ),
        members: &[("nvidia/cu13/lib/", 1 << 30), ("nvidia_cufft-12.0.0.61.dist-info/", 4 << 20)],
        libraries: &["libcufft.so.12"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cudnn-cu13",
            "9.20.0.48",
            "nvidia_cudnn_cu13-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl",
            "0c45dd8eeb50b603f07995b1b300c62ffe6a1980482b82b3bcf94a4ca9d49304",
            366_173_588,
        ),
        members: &[("nvidia/cudnn/lib/", 3 << 30), ("nvidia_cudnn_cu13-9.20.0.48.dist-info/", 4 << 20)],
        libraries: &["libcudnn.so.9"],
    },
];

const CUDA_12: [Pin; 7] = [
    Pin {
        wheel: wheel(
            "nvidia-cuda-runtime-cu12",
            "12.9.79",
            "nvidia_cuda_runtime_cu12-12.9.79-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            "25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3",
            3_493_179,
        ),
        members: &[("nvidia/cuda_runtime/lib/", 64 << 20), ("nvidia_cuda_runtime_cu12-12.9.79.dist-info/", 4 << 20)],
        libraries: &["libcudart.so.12"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cuda-nvrtc-cu12",
            "12.9.86",
            "nvidia_cuda_nvrtc_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            "210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4",
            89_568_129,
        ),
        members: &[("nvidia/cuda_nvrtc/lib/", 512 << 20), ("nvidia_cuda_nvrtc_cu12-12.9.86.dist-info/", 4 << 20)],
        libraries: &["libnvrtc.so.12"],
    },
    Pin {
        wheel: wheel(
            "nvidia-nvjitlink-cu12",
            "12.9.86",
            "nvidia_nvjitlink_cu12-12.9.86-py3-none-manylinux2010_x86_64.manylinux_2_12_x86_64.whl",
            "e3f1171dbdc83c5932a45f0f4c99180a70de9bd2718c1ab77d14104f6d7147f9",
            39_748_338,
        ),
        members: &[("nvidia/nvjitlink/lib/", 256 << 20), ("nvidia_nvjitlink_cu12-12.9.86.dist-info/", 4 << 20)],
        libraries: &["libnvJitLink.so.12"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cublas-cu12",
            "12.9.1.4",
            "nvidia_cublas_cu12-12.9.1.4-py3-none-manylinux_2_27_x86_64.whl",
            "453611eb21a7c1f2c2156ed9f3a45b691deda0440ec550860290dc901af5b4c2",
            581_242_350,
        ),
        members: &[("nvidia/cublas/lib/", 3 << 30), ("nvidia_cublas_cu12-12.9.1.4.dist-info/", 4 << 20)],
        libraries: &["libcublasLt.so.12", "libcublas.so.12"],
    },
    Pin {
        wheel: wheel(
            "nvidia-curand-cu12",
            "10.3.10.19",
            "nvidia_curand_cu12-10.3.10.19-py3-none-manylinux_2_27_x86_64.whl",
            "49b274db4780d421bd2ccd362e1415c13887c53c214f0d4b761752b8f9f6aa1e",
            68_295_626,
        ),
        members: &[("nvidia/curand/lib/", 512 << 20), ("nvidia_curand_cu12-10.3.10.19.dist-info/", 4 << 20)],
        libraries: &["libcurand.so.10"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cufft-cu12",
            "11.4.1.4",
            "nvidia_cufft_cu12-11.4.1.4-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
            "c67884f2a7d276b4b80eb56a79322a95df592ae5e765cf1243693365ccab4e28",
            200_877_592,
        ),
        members: &[("nvidia/cufft/lib/", 1 << 30), ("nvidia_cufft_cu12-11.4.1.4.dist-info/", 4 << 20)],
        libraries: &["libcufft.so.11"],
    },
    Pin {
        wheel: wheel(
            "nvidia-cudnn-cu12",
            "9.20.0.48",
            "nvidia_cudnn_cu12-9.20.0.48-py3-none-manylinux_2_27_x86_64.whl",
            "7d7479e1321c7a039b33827f0247791ee1be091759032c1f66a287c4a643396a",
            657_910_570,
        ),
        members: &[("nvidia/cudnn/lib/", 3 << 30), ("nvidia_cudnn_cu12-9.20.0.48.dist-info/", 4 << 20)],
        libraries: &["libcudnn.so.9"],
    },
];

impl Pin {
    /// Where its libraries lie once it is installed.
    fn in_cache(&self, cache: &Cache) -> impl Iterator<Item = PathBuf> {
        let folder = self.first(cache);
        self.libraries.iter().map(move |name| folder.join(name))
    }

    fn install(&self, cache: &Cache) -> Result<()> {
        cache.install(&Package {
            what: format!("{} {}", self.wheel.project, self.wheel.version),
            next_step: format!(
                "run `hpinfer runtime install gpu` with the package index in reach (pip's own settings apply), or set {} to a \
                 libonnxruntime.so with {PROVIDER} beside it",
                Library::OnnxRuntime.variable()
            ),
            wheel: self.wheel,
            folders: vec![self.folder()],
        })
    }
}

impl CudaRelease {
    /// The release for a driver that serves CUDA of this major version.
    pub const fn for_driver(cuda_major: i32) -> Self {
        if cuda_major >= 13 { Self::Thirteen } else { Self::Twelve }
    }

    /// ONNX Runtime, what it needs of CUDA, and nvJPEG.
    const fn parts(self) -> (&'static Pin, &'static [Pin; 7], &'static Pin) {
        match self {
            Self::Twelve => (&ONNX_RUNTIME_12, &CUDA_12, &NVJPEG_12),
            Self::Thirteen => (&ONNX_RUNTIME_13, &CUDA_13, &NVJPEG_13),
        }
    }

    /// The library that decodes JPEG files, where it is installed.
    pub fn jpeg_library(self, cache: &Cache) -> Option<PathBuf> {
        self.parts().2.in_cache(cache).next().filter(|path| path.is_file())
    }

    /// Installs [`jpeg_library`](Self::jpeg_library) where it is not in the cache. No network needs it.
    ///
    /// # Errors
    /// Those of [`install`](Self::install).
    pub fn install_jpeg_library(self, cache: &Cache) -> Result<()> {
        self.parts().2.install(cache)
    }

    /// Installs what is not in the cache.
    ///
    /// # Errors
    /// [`Error::Missing`] when it cannot be downloaded; [`Error::Config`] when the cache cannot be written.
    pub fn install(self, cache: &Cache) -> Result<GpuRuntime> {
        let (library, cuda, _) = self.parts();
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            let reason = format!("this program brings no copy for {}", host());
            let next_step = format!("install it yourself and set {} to its path", Library::OnnxRuntime.variable());
            return Err(Error::missing("ONNX Runtime for the GPU", reason, next_step));
        }
        for part in cuda.iter().chain([library]) {
            part.install(cache)?;
        }
        Ok(self.in_cache(cache))
    }

    /// The same once it is there.
    fn in_cache(self, cache: &Cache) -> GpuRuntime {
        let (library, cuda, _) = self.parts();
        GpuRuntime {
            library: Found { path: library.first(cache), version: Some(library.wheel.version.to_owned()), origin: Origin::Cache },
            before: cuda.iter().flat_map(|part| part.in_cache(cache)).collect(),
        }
    }
}

/// ONNX Runtime for a GPU: one that the user has, else what `release` installs. `explicit` is a path out of the configuration.
///
/// # Errors
/// [`Error::Config`] when the user names a library without CUDA provider; those of [`CudaRelease::install`].
pub fn ensure(release: CudaRelease, cache: &Cache, explicit: Option<&Path>) -> Result<GpuRuntime> {
    of_the_user(cache, explicit)?.map_or_else(|| release.install(cache), Ok)
}

/// The same where all of it is on this machine.
///
/// # Errors
/// [`Error::Config`] when the user names a library without CUDA provider.
pub fn find(release: CudaRelease, cache: &Cache) -> Result<Option<GpuRuntime>> {
    let installed = Some(release.in_cache(cache)).filter(|all| all.before.iter().chain([&all.library.path]).all(|path| path.is_file()));
    Ok(of_the_user(cache, None)?.or(installed))
}

/// The library that the user has.
fn of_the_user(cache: &Cache, explicit: Option<&Path>) -> Result<Option<GpuRuntime>> {
    match locate(Library::OnnxRuntime, cache, explicit)? {
        Some(library) if library.path.with_file_name(PROVIDER).exists() => Ok(Some(GpuRuntime { library, before: Vec::new() })),
        Some(Found { path, origin: origin @ (Origin::Explicit | Origin::Environment), .. }) => {
            let place = if origin == Origin::Explicit { Library::OnnxRuntime.name() } else { Library::OnnxRuntime.variable() };
            let reason = format!("{} has no {PROVIDER} beside it, and the device is a GPU; name one that has, or none", path.display());
            Err(Error::config(place, reason))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::Wheel;

    #[test]
    fn the_driver_decides_the_release() {
        assert_eq!([12, 13, 14].map(CudaRelease::for_driver), [CudaRelease::Twelve, CudaRelease::Thirteen, CudaRelease::Thirteen]);
        for release in [CudaRelease::Twelve, CudaRelease::Thirteen] {
            let (library, cuda, jpeg) = release.parts();
            for part in cuda.iter().chain([library, jpeg]) {
                let Wheel { project, version, file, sha256, bytes } = part.wheel;
                assert!(file.starts_with(&format!("{}-{version}-", project.replace('-', "_"))) && file.ends_with("x86_64.whl"), "{file}");
                assert!(sha256.len() == 64 && bytes > 1 << 20, "{file}");
                assert!(part.libraries.is_empty() || part.members[0].0.ends_with("/lib/"), "{file}");
            }
        }
    }

    #[test]
    fn a_named_library_needs_the_provider_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        let cache = Cache::open(Some(&temp.path().join("cache"))).unwrap();
        let library = temp.path().join("libonnxruntime.so.1.30.0");
        let machine = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
        let mut head = *b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\0\0";
        head[18] = machine;
        std::fs::write(&library, head).unwrap();
        let ask = || ensure(CudaRelease::Thirteen, &cache, Some(&library));
        let message = ask().unwrap_err().to_string();
        assert!(message.contains(PROVIDER) && message.contains("libonnxruntime.so.1.30.0"), "{message}");
        std::fs::write(library.with_file_name(PROVIDER), "").unwrap();
        let found = ask().unwrap();
        assert_eq!((found.library.version.as_deref(), found.before.len()), (Some("1.30.0"), 0));
    }
}

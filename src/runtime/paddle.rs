//! Paddle's own libraries, out of their wheels: Paddle Inference, and the converters of its formats to ONNX. They are
//! extension modules of CPython, so that a child process with a [`Python`] runs them; none of their Python code is used.

use super::host;
use super::python::Python;
use crate::cache::rooms::RUNTIME;
use crate::cache::{Cache, Folder, Member, Package, Wheel};
use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// Something of Paddle's that `runtime install` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaddlePart {
    /// Paddle Inference on the CPU, the engine `paddle_infer`.
    Inference,
    /// The converter of `.pdmodel` programs. It stands alone, and knows control flow that the newer one gets wrong.
    PdmodelConverter,
    /// The converter of PIR programs (`inference.json`), which needs Paddle's library.
    PirConverter,
}

/// A part of Paddle's that is on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaddleRuntime {
    /// The Python it is made for.
    pub python: PathBuf,
    /// The extension module: Paddle Inference or a converter.
    pub module: PathBuf,
    /// Version of the module's project.
    pub version: &'static str,
    /// What has to be loaded before the module, with its symbols visible to it.
    pub before: Option<PathBuf>,
    /// Folders of Python modules it imports.
    pub imports: Vec<PathBuf>,
}

/// One wheel of a project per minor version of Python, and what is wanted of it.
struct Project {
    name: &'static str,
    version: &'static str,
    /// Minor version of Python, SHA-256, length.
    wheels: &'static [(u32, &'static str, u64)],
    platforms: &'static str,
    members: &'static [Member<'static>],
}

const fn tree(name: &'static str, most_bytes: u64) -> Member<'static> {
    Member { from: name, to: name, bytes: most_bytes, sha256: None }
}

const PADDLE: Project = Project {
    name: "paddlepaddle",
    version: "3.3.1",
    wheels: &[
        (10, "6747e81b4ab46c9caaae248f7b9999ccd4d5bb3ca9083173b0ce4c14e4a68db5", 194_809_848),
        (11, "bb22396233d807f6957d9c4a6a1edc76693fb589c4ee3d17caf7e39113ca4047", 194_813_574),
        (12, "9016fc497213e1101261684321fbb31ef5960019ef39cb07ded27bc70e2a9858", 194_839_332),
        (13, "4f28038427649bb2fcfd4d52efa85ed8311df19122b4ebedc942484a0b57b032", 194_837_642),
    ],
    platforms: "manylinux1_x86_64",
    members: &[tree("paddle/base/", 300_000_000), tree("paddle/libs/", 450_000_000), tree("paddlepaddle-3.3.1.dist-info/", 1_000_000)],
};

const NUMPY: Project = Project {
    name: "numpy",
    version: "2.2.6",
    wheels: &[
        (10, "fc7b73d02efb0e18c000e9ad8b83480dfcd5dfd11065997ed4c6747470ae8915", 16_801_050),
        (11, "ba10f8411898fc418a521833e014a77d3ca01c15b0c6cdcce6a0d2897e6dbbdf", 16_821_570),
        (12, "fd83c01228a688733f1ded5201c678f0c53ecc1006ffbc404db9f7a899ac6249", 16_527_618),
        (13, "1bc23a79bfabc5d056d106f9befb8d50c31ced2fbc70eedb8155aec74a45798f", 16_526_072),
    ],
    platforms: "manylinux_2_17_x86_64.manylinux2014_x86_64",
    members: &[tree("numpy/", 60_000_000), tree("numpy.libs/", 40_000_000), tree("numpy-2.2.6.dist-info/", 1_000_000)],
};

const PDMODEL_CONVERTER: Project = Project {
    name: "paddle2onnx",
    version: "1.3.1",
    wheels: &[
        (10, "26cbefbdd8b041065db01ba93e4a14e0b089c7cb5307df7bc4fb9f8e932ca57a", 3_619_141),
        (11, "438abb3117a045386fbeee4f3bfdcb4dcf4ff50975490be899def17d9a697e87", 3_619_741),
        (12, "ddae52e3672145f262a1dd64ed109ce5f6952b21df0f9e35018d07db1ff71b2a", 3_619_606),
    ],
    platforms: "manylinux_2_17_x86_64.manylinux2014_x86_64",
    members: &[tree("paddle2onnx/", 20_000_000), tree("paddle2onnx-1.3.1.dist-info/", 100_000)],
};

const PIR_CONVERTER: Project = Project {
    name: "paddle2onnx",
    version: "2.1.0",
    wheels: &[
        (10, "2d69e0d1bd96a8d80452dfd7fda9e8869ff37f333c0a504530983baf5f221b21", 3_675_993),
        (11, "b21af246598deb3b0ee4b2b5c3c671816e0f29b3594c5b311cbe6e356dffca8c", 3_677_267),
        (12, "7fef03d6c40bbe5e2ebc6e895b25b8860acd28803601195884e8ffec5ffa1109", 3_677_429),
    ],
    platforms: "manylinux_2_24_x86_64.manylinux_2_28_x86_64",
    members: &[tree("paddle2onnx/", 20_000_000), tree("paddle2onnx-2.1.0.dist-info/", 100_000)],
};

impl Project {
    fn minors(&self) -> Vec<u32> {
        self.wheels.iter().map(|(minor, ..)| *minor).collect()
    }

    fn folder(&self, minor: u32) -> Folder<'static> {
        Folder { path: format!("{RUNTIME}/{}-{}-cp3{minor}", self.name, self.version).into(), members: self.members.to_vec() }
    }

    /// Installs the wheel for Python 3.`minor`, unless it is there.
    fn ensure(&self, cache: &Cache, part: PaddlePart, minor: u32) -> Result<()> {
        let Some((_, sha256, bytes)) = self.wheels.iter().find(|(m, ..)| *m == minor) else {
            return Err(Error::internal("paddle wheels", format!("{} has none for Python 3.{minor}", self.name)));
        };
        let file = format!("{}-{}-cp3{minor}-cp3{minor}-{}.whl", self.name, self.version, self.platforms);
        cache.install(&Package {
            what: format!("{} {}", self.name, self.version),
            next_step: format!("run `hpinfer runtime install {}` with the package index in reach (pip's own settings apply)", part.name()),
            wheel: Wheel { project: self.name, version: self.version, file: &file, sha256, bytes: *bytes },
            folders: vec![self.folder(minor)],
        })
    }
}

impl PaddlePart {
    /// Every part.
    pub const ALL: [Self; 3] = [Self::Inference, Self::PdmodelConverter, Self::PirConverter];

    /// Name on the command line. Both converters are installed under one name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inference => "paddle",
            Self::PdmodelConverter | Self::PirConverter => "paddle2onnx",
        }
    }

    /// The version that is installed.
    pub const fn version(self) -> &'static str {
        self.main().version
    }

    const fn main(self) -> &'static Project {
        match self {
            Self::Inference => &PADDLE,
            Self::PdmodelConverter => &PDMODEL_CONVERTER,
            Self::PirConverter => &PIR_CONVERTER,
        }
    }

    const fn projects(self) -> &'static [&'static Project] {
        match self {
            Self::Inference => &[&PADDLE, &NUMPY],
            Self::PdmodelConverter => &[&PDMODEL_CONVERTER],
            Self::PirConverter => &[&PIR_CONVERTER, &PADDLE],
        }
    }

    fn python(self, cache: &Cache) -> Result<Python> {
        let what = format!("{} {}", self.main().name, self.main().version);
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(Error::missing(what, format!("there is no wheel for {}", host()), "use a model with inference.onnx"));
        }
        Python::find(cache, &self.main().minors(), &what)
    }

    /// The part, if it is in the cache for a Python of this machine.
    ///
    /// # Errors
    /// [`Error::Missing`] when this machine has no Python it is made for.
    pub fn locate(self, cache: &Cache) -> Result<Option<PaddleRuntime>> {
        let python = self.python(cache)?;
        let complete = self.projects().iter().all(|project| cache.holds(&project.folder(python.minor)));
        Ok(complete.then(|| self.runtime(cache, python)))
    }

    /// The part; installed when it is not in the cache.
    ///
    /// # Errors
    /// [`Error::Missing`] when it cannot be downloaded, or this machine has no Python it is made for;
    /// [`Error::Config`] when the cache cannot be written.
    pub fn ensure(self, cache: &Cache) -> Result<PaddleRuntime> {
        let python = self.python(cache)?;
        for project in self.projects() {
            project.ensure(cache, self, python.minor)?;
        }
        Ok(self.runtime(cache, python))
    }

    fn runtime(self, cache: &Cache, python: Python) -> PaddleRuntime {
        let minor = python.minor;
        let folder = |project: &Project| cache.root().join(project.folder(minor).path);
        let library = folder(&PADDLE).join("paddle/base/libpaddle.so");
        let converter =
            |project: &Project| folder(project).join(format!("paddle2onnx/paddle2onnx_cpp2py_export.cpython-3{minor}-x86_64-linux-gnu.so"));
        let (module, before, imports) = match self {
            Self::Inference => (library, None, vec![folder(&NUMPY)]),
            Self::PdmodelConverter => (converter(&PDMODEL_CONVERTER), None, Vec::new()),
            Self::PirConverter => (converter(&PIR_CONVERTER), Some(library), Vec::new()),
        };
        PaddleRuntime { python: python.program, module, version: self.version(), before, imports }
    }
}

impl PaddleRuntime {
    /// Folder the module lies in, for listings.
    pub fn folder(&self) -> &Path {
        self.module.ancestors().nth(if self.module.ends_with("libpaddle.so") { 3 } else { 2 }).unwrap_or(&self.module)
    }
}

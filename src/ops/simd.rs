//! The choice of instruction set, made once at run time. Every operation has a portable form; the forms in
//! `ops/*/simd.rs` beside it give identical results and run only where [`Isa::detect`] found the instructions.

/// Instructions an operation may use. Holding one that says AVX2 proves that the CPU has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa {
    avx2: bool,
}

impl Default for Isa {
    fn default() -> Self {
        Self::detect()
    }
}

impl Isa {
    /// Only what every CPU of the target has; to compare forms with each other.
    pub const PORTABLE: Self = Self { avx2: false };

    /// What this CPU has.
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        let avx2 = std::arch::is_x86_feature_detected!("avx2");
        #[cfg(not(target_arch = "x86_64"))]
        let avx2 = false;
        Self { avx2 }
    }

    /// True when 256-bit integer and float instructions exist.
    pub fn has_avx2(self) -> bool {
        self.avx2
    }

    /// Runs `f` compiled for these instructions: plain loops marked `#[inline(always)]` become vector code.
    /// No fused multiply-add is enabled, so float results are those of the portable form.
    #[inline]
    pub fn run<R>(self, f: impl FnOnce() -> R) -> R {
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `avx2` is true only after detection, the field is private.
            return unsafe { with_avx2(f) };
        }
        f()
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn with_avx2<R>(f: impl FnOnce() -> R) -> R {
    f()
}

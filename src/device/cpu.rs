//! The processor: cores this process may use, and what the system says of them.

/// Processor cores this process may use: affinity and control-group limits count.
pub fn available_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Facts about the processor, from the system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuInfo {
    /// Marketing name, or `unknown`.
    pub model: String,
    /// Feature flags as Linux names them.
    pub flags: Vec<String>,
}

impl CpuInfo {
    /// Reads `/proc/cpuinfo`; empty facts where there is none.
    pub fn read() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let field = |name: &str| {
            let line = text.lines().find(|l| l.split(':').next().is_some_and(|k| k.trim() == name));
            line.and_then(|l| l.split_once(':')).map(|(_, v)| v.trim().to_owned())
        };
        Self {
            model: field("model name").unwrap_or_else(|| "unknown".into()),
            flags: field("flags").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// Whether the processor has this feature (Linux spelling).
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|f| f == flag)
    }

    /// Whether bfloat16 arithmetic runs in hardware.
    pub fn has_bfloat16(&self) -> bool {
        self.has("avx512_bf16") || self.has("amx_bf16")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_facts_of_a_linux_host() {
        let cpu = CpuInfo::parse("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\nflags\t\t: sse2 avx512_bf16\n");
        assert_eq!(cpu.model, "Some CPU @ 2.00GHz");
        assert!(cpu.has_bfloat16() && cpu.has("sse2") && !cpu.has("avx"));
        assert_eq!(CpuInfo::parse("").model, "unknown");
    }
}

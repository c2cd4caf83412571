//! Random inputs. Seeds are fresh in every run, and printed.
#![allow(dead_code)] // each test takes what it needs

use hpinfer::image::{ImageBuf, PixelFormat, Size};
use std::hash::{BuildHasher, Hasher, RandomState};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A fresh seed, or `$HPINFER_SEED` to repeat a run.
    pub fn fresh(test: &str) -> Self {
        let seed =
            std::env::var("HPINFER_SEED").ok().map_or_else(|| RandomState::new().build_hasher().finish(), |s| s.parse().expect("a number"));
        println!("{test}: HPINFER_SEED={seed}");
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        (self.next() % u64::from(n)) as u32
    }

    /// A place in a list of `count`; 0 for an empty one.
    pub fn place(&mut self, count: usize) -> usize {
        (self.next() % count.max(1) as u64) as usize
    }

    /// A number of the range.
    pub fn within(&mut self, range: std::ops::RangeInclusive<u32>) -> u32 {
        range.start() + self.below(range.end() - range.start() + 1)
    }

    /// A number of 0..1 in steps of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// A number of `low..high`.
    pub fn uniform(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Numbers of -1..1.
    pub fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.uniform(-1.0, 1.0)).collect()
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut data: Vec<u8> = (0..count.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        data.truncate(count);
        data
    }

    pub fn picture(&mut self, size: Size, format: PixelFormat) -> ImageBuf {
        let data = self.bytes(size.area() as usize * format.bytes());
        ImageBuf::new(data, size, format).expect("a whole picture")
    }
}

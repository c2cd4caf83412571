// Number types and conversions. Kernels include no header of CUDA, so that NVRTC alone compiles them; the host
// build of the tests supplies the words of CUDA C++ instead (tests/device/emulation.h).
//
// No multiply-add is fused anywhere (--fmad=false on the device, -ffp-contract=off on the host), division and
// square root are IEEE: plain arithmetic gives the bits of the CPU forms in src/ops.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef short i16;
typedef unsigned int u32;
typedef int i32;
typedef unsigned long long u64;
typedef long long i64;
typedef float f32;
typedef double f64;

#define FN __device__ __forceinline__
#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(type, name) extern __shared__ type name[]
#endif
#define KERNEL(threads) extern "C" __global__ void __launch_bounds__(threads)

/// An IEEE half as engines read it.
struct f16 {
    u16 bits;
};

/// Rounds half to even.
FN f16 to_f16(f32 v) {
#ifdef __CUDA_ARCH__
    f16 half;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(v));
    return half;
#else
    return {emulation::half_bits(v)};
#endif
}

template <class T> FN T clamp(T v, T least, T most) { return v < least ? least : (v > most ? most : v); }
template <class T> FN T least_of(T a, T b) { return b < a ? b : a; }
template <class T> FN T most_of(T a, T b) { return a < b ? b : a; }

/// Saturates to 0..255.
FN u8 saturate(i32 v) { return (u8)clamp(v, 0, 255); }

/// Cuts towards zero and saturates to 0..255, as a cast does in Rust.
FN u8 saturate(f32 v) { return v > 0.0f ? (u8)(v < 255.0f ? v : 255.0f) : (u8)0; }

FN f32 infinity() { return __uint_as_float(0x7f800000u); }

FN void store(f32* out, f32 v) { *out = v; }
FN void store(f16* out, f32 v) { *out = to_f16(v); }

/// Two neighbours in one store; `out` lies at an even index.
FN void store_pair(f32* out, f32 a, f32 b) { *(float2*)out = make_float2(a, b); }
FN void store_pair(f16* out, f32 a, f32 b) { *(u32*)out = (u32)to_f16(a).bits | (u32)to_f16(b).bits << 16; }

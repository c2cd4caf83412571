// Source coordinates and filters of the resize, in OpenCV's own precision and order of operations.
// Twin of src/ops/sampling.rs and src/ops/resize_norm.
#pragma once
#include "scalar.cuh"

struct Position {
    i32 whole;
    f32 fraction;
};

/// Where target index `d` falls; `scale` is 1 / (target samples / source samples) in f64, made on the host. Half-pixel centres.
FN Position resize_position(i32 d, f64 scale) {
    f32 f = (f32)(((f64)d + 0.5) * scale - 0.5);
    f32 whole = floorf(f);
    return {(i32)whole, f - whole};
}

/// The same for the cubic filter, whose fraction is that of the position in f64.
FN Position cubic_position(i32 d, f64 scale) {
    f64 f = ((f64)d + 0.5) * scale - 0.5;
    f64 whole = floor(f);
    return {(i32)whole, (f32)(f - whole)};
}

/// Weights of the four neighbours (-1, 0, 1, 2) of the cubic kernel with a = -0.75.
FN void cubic_weights(f32 x, f32 w[4]) {
    const f32 a = -0.75f;
    w[0] = ((a * (x + 1.0f) - 5.0f * a) * (x + 1.0f) + 8.0f * a) * (x + 1.0f) - 4.0f * a;
    w[1] = ((a + 2.0f) * x - (a + 3.0f)) * x * x + 1.0f;
    w[2] = ((a + 2.0f) * (1.0f - x) - (a + 3.0f)) * (1.0f - x) * (1.0f - x) + 1.0f;
    w[3] = 1.0f - w[0] - w[1] - w[2];
}

/// Bilinear filter in 11-bit fixed point.
struct Linear {
    enum { TAPS = 2 };

    /// Two source indices of a target index and their weights.
    struct Tap {
        i32 at[TAPS];
        i32 weight[TAPS];
    };

    static FN void weigh(Tap& tap, f32 t) {
        tap.weight[0] = (i32)rintf((1.0f - t) * 2048.0f);
        tap.weight[1] = (i32)rintf(t * 2048.0f);
    }

    /// Outside the picture the border pixel counts fully.
    static FN Tap column(i32 d, f64 scale, i32 count) {
        Position p = resize_position(d, scale);
        Tap tap;
        if (p.whole < 0 || p.whole >= count - 1) {
            i32 border = p.whole < 0 ? 0 : count - 1;
            tap = {{border, border}, {2048, 0}};
        } else {
            tap.at[0] = p.whole;
            tap.at[1] = p.whole + 1;
            weigh(tap, p.fraction);
        }
        return tap;
    }

    /// Unlike columns, rows keep their fraction at the border; only the indices are clamped.
    static FN Tap row(i32 d, f64 scale, i32 count) {
        Position p = resize_position(d, scale);
        Tap tap;
        tap.at[0] = clamp(p.whole, 0, count - 1);
        tap.at[1] = clamp(p.whole + 1, 0, count - 1);
        weigh(tap, p.fraction);
        return tap;
    }

    /// One sample from its four neighbours, row by row.
    static FN u8 blend(const u8 v[TAPS][TAPS], const Tap& column, const Tap& row) {
        i32 above = (v[0][0] * column.weight[0] + v[0][1] * column.weight[1]) >> 4;
        i32 below = (v[1][0] * column.weight[0] + v[1][1] * column.weight[1]) >> 4;
        return (u8)(((above * row.weight[0] >> 16) + (below * row.weight[1] >> 16) + 2) >> 2);
    }
};

/// Bicubic filter in f32, the columns first.
struct Cubic {
    enum { TAPS = 4 };

    struct Tap {
        i32 at[TAPS];
        f32 weight[TAPS];
    };

    static FN Tap column(i32 d, f64 scale, i32 count) {
        Position p = cubic_position(d, scale);
        Tap tap;
        for (i32 k = 0; k < TAPS; k++) {
            tap.at[k] = clamp(p.whole + k - 1, 0, count - 1);
        }
        cubic_weights(p.fraction, tap.weight);
        return tap;
    }

    static FN Tap row(i32 d, f64 scale, i32 count) { return column(d, scale, count); }

    static FN u8 blend(const u8 v[TAPS][TAPS], const Tap& column, const Tap& row) {
        f32 sum = 0.0f;
        for (i32 i = 0; i < TAPS; i++) {
            f32 down = (f32)v[0][i] * row.weight[0] + (f32)v[1][i] * row.weight[1] + (f32)v[2][i] * row.weight[2] +
                       (f32)v[3][i] * row.weight[3];
            sum += down * column.weight[i];
        }
        return saturate(rintf(sum));
    }
};

/// `(scaled(sample) - mean[c]) / std[c]`, each step rounded to f32. 32 bytes.
/// A factor replaces a divisor only where the two give the same bits.
struct Normalize {
    f32 scale;
    f32 mean[3];
    f32 std[3];
    u32 factors;  // bit 0: multiply by `scale` instead of dividing; bit 1 + c: multiply by `std[c]` instead

    FN f32 apply(u8 sample, i32 c) const {
        f32 v = (f32)sample;
        v = (factors & 1 ? v * scale : v / scale) - mean[c];
        return factors >> (c + 1) & 1 ? v * std[c] : v / std[c];
    }
};
static_assert(sizeof(Normalize) == 32, "NormalizeArgs in src/ops/resize_norm/cuda.rs");

/// Every sample normalised for every plane: a block of 256 threads makes it once instead of dividing at each pixel.
/// It is complete after the block's next barrier.
typedef f32 NormalizeTable[3][256];

FN void tabulate(NormalizeTable& table, const Normalize& normalize) {
    for (i32 c = 0; c < 3; c++) {
        table[c][threadIdx.x] = normalize.apply((u8)threadIdx.x, c);
    }
}

// Pictures in device memory and their samples. Twin of src/image/surface.rs and src/image/nv12.rs.
#pragma once
#include "scalar.cuh"

/// One picture. 64 bytes.
struct Surface {
    const u8* pixels;  // interleaved samples, or the luma plane
    const u8* chroma;  // NV12: the plane of U, V pairs of 2 x 2 pixels
    i32 pitch;         // bytes from one row to the next
    i32 chroma_pitch;
    i32 width, height;
    i32 format;
    // NV12 to BGR in 20-bit fixed point: the luma of black, then factors.
    i32 black, luma, u_to_blue, u_to_green, v_to_green, v_to_red;
    i32 padding;
};
static_assert(sizeof(Surface) == 64, "SurfaceRow in src/image/surface.rs");

enum { COLOUR = 0, GREY = 1, NV12 = 2 };

/// Samples of one pixel as stored: blue, green, red for BGR.
struct Pixel {
    u8 c[3];
};

/// Three interleaved samples.
struct Colour {
    static FN Pixel at(const Surface& s, i32 x, i32 y) {
        const u8* p = s.pixels + (i64)y * s.pitch + x * 3;
        return {{p[0], p[1], p[2]}};
    }

    /// The pixels of line `y` at columns that rise. Neighbours are read in whole words, as many bytes at once as one takes alone; no
    /// word is read but for a byte in it.
    template <i32 COUNT> static FN void line(const Surface& s, const i32* xs, i32 y, Pixel* out) {
        if (xs[COUNT - 1] - xs[0] != COUNT - 1) {  // at the border one counts several times
            for (i32 i = 0; i < COUNT; i++) {
                out[i] = at(s, xs[i], y);
            }
            return;
        }
        enum { BYTES = 3 * COUNT, WORDS = (BYTES + 6) / 4 };
        const u8* p = s.pixels + (i64)y * s.pitch + xs[0] * 3;
        i32 offset = (i32)((u64)p & 3);
        const u32* from = (const u32*)(p - offset);
        u32 words[WORDS + 1];
        for (i32 k = 0; k <= WORDS; k++) {
            words[k] = 4 * k < offset + BYTES ? __ldg(from + k) : 0;
        }
        for (i32 i = 0; i < BYTES; i++) {
            u64 two = (u64)words[i / 4 + 1] << 32 | words[i / 4];
            out[i / 3].c[i % 3] = (u8)((u32)(two >> 8 * offset) >> i % 4 * 8);
        }
    }
};

/// The pixels of line `y` at some columns.
template <class Format, i32 COUNT> FN void each(const Surface& s, const i32* xs, i32 y, Pixel* out) {
    for (i32 i = 0; i < COUNT; i++) {
        out[i] = Format::at(s, xs[i], y);
    }
}

/// One sample, which stands for all three.
struct Grey {
    static FN Pixel at(const Surface& s, i32 x, i32 y) {
        u8 v = s.pixels[(i64)y * s.pitch + x];
        return {{v, v, v}};
    }

    template <i32 COUNT> static FN void line(const Surface& s, const i32* xs, i32 y, Pixel* out) { each<Grey, COUNT>(s, xs, y, out); }
};

/// Luma and subsampled chroma to BGR by the factors of the surface.
struct Nv12 {
    static FN Pixel at(const Surface& s, i32 x, i32 y) {
        const i32 half = 1 << 19;
        const u8* uv = s.chroma + (i64)(y >> 1) * s.chroma_pitch + (x & ~1);
        i32 u = uv[0] - 128, v = uv[1] - 128;
        i32 luma = most_of(s.pixels[(i64)y * s.pitch + x] - s.black, 0) * s.luma;
        return {{saturate((luma + s.u_to_blue * u + half) >> 20), saturate((luma + s.v_to_green * v + s.u_to_green * u + half) >> 20),
                 saturate((luma + s.v_to_red * v + half) >> 20)}};
    }

    template <i32 COUNT> static FN void line(const Surface& s, const i32* xs, i32 y, Pixel* out) { each<Nv12, COUNT>(s, xs, y, out); }
};

/// A pixel of a picture of any format.
FN Pixel sample(const Surface& s, i32 x, i32 y) {
    return s.format == NV12 ? Nv12::at(s, x, y) : s.format == GREY ? Grey::at(s, x, y) : Colour::at(s, x, y);
}

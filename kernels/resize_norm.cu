// Resize, colour order, normalisation and NCHW in one pass, over a table of unlike pictures into one tensor.
// Twin of src/ops/resize_norm/cpu.rs; the results are equal.
//
// A block fills a tile of one picture's canvas. Its first threads work out where the columns and rows of the tile
// fall, once each: that is the only arithmetic in f64. A thread then makes pairs of neighbours, so that a warp stores
// 64 values of a row in one piece.
#include "sampling.cuh"
#include "surface.cuh"

namespace resize_norm {

enum { TILE_WIDTH = 64, TILE_HEIGHT = 16, THREADS = 256 };

/// One picture of the batch. 104 bytes.
struct Row {
    Surface src;
    f64 scale_x, scale_y;  // source samples per target sample
    i32 left, top;         // what is kept of the resized picture
    i32 width, height;
    i32 reverse;           // plane 0 takes the last sample of a pixel
    i32 padding;
};
static_assert(sizeof(Row) == 104, "Row in src/ops/resize_norm/cuda.rs");

struct Args {
    const Row* rows;
    void* out;           // [pictures, 3, canvas_height, canvas_width]
    i32 canvas_width, canvas_height;
    Normalize normalize;
    f32 pad;
    i32 padding;
};
static_assert(sizeof(Args) == 64, "Args in src/ops/resize_norm/cuda.rs");

/// The filtered pixel, three samples.
template <class Filter, class Format>
FN Pixel sample(const Surface& src, const typename Filter::Tap& column, const typename Filter::Tap& row) {
    u8 taps[3][Filter::TAPS][Filter::TAPS];
    for (i32 j = 0; j < Filter::TAPS; j++) {
        Pixel line[Filter::TAPS];
        Format::template line<Filter::TAPS>(src, column.at, row.at[j], line);
        for (i32 i = 0; i < Filter::TAPS; i++) {
            for (i32 c = 0; c < 3; c++) {
                taps[c][j][i] = line[i].c[c];
            }
        }
    }
    Pixel out;
    for (i32 c = 0; c < 3; c++) {
        out.c[c] = Filter::blend(taps[c], column, row);
    }
    return out;
}

template <class Filter, class Format, class Out>
FN void fill(const Args& args, const Row& row, const typename Filter::Tap* columns, const typename Filter::Tap* lines,
             const NormalizeTable& normalized) {
    i64 plane = (i64)args.canvas_width * args.canvas_height;
    Out* out = (Out*)args.out + blockIdx.z * 3 * plane;
    i32 column = threadIdx.x % 32 * 2;
    i32 x = blockIdx.x * TILE_WIDTH + column;
    if (x >= args.canvas_width) {
        return;
    }
    bool aligned = args.canvas_width % 2 == 0;  // pairs never straddle a row
#pragma unroll 1
    for (i32 line = threadIdx.x / 32; line < TILE_HEIGHT; line += THREADS / 32) {
        i32 y = blockIdx.y * TILE_HEIGHT + line;
        if (y >= args.canvas_height) {
            return;
        }
        f32 values[2][3];
        for (i32 k = 0; k < 2; k++) {
            bool inside = x + k < row.width && y < row.height;
            Pixel p = {};
            if (inside) {
                p = sample<Filter, Format>(row.src, columns[column + k], lines[line]);
            }
            for (i32 c = 0; c < 3; c++) {
                values[k][c] = inside ? normalized[c][row.reverse ? p.c[2 - c] : p.c[c]] : args.pad;
            }
        }
        for (i32 c = 0; c < 3; c++) {
            Out* pair = out + c * plane + (i64)y * args.canvas_width + x;
            if (aligned) {
                store_pair(pair, values[0][c], values[1][c]);
                continue;
            }
            store(pair, values[0][c]);
            if (x + 1 < args.canvas_width) {
                store(pair + 1, values[1][c]);
            }
        }
    }
}

template <class Filter, class Out> FN void run(const Args& args) {
    __shared__ typename Filter::Tap columns[TILE_WIDTH];
    __shared__ typename Filter::Tap lines[TILE_HEIGHT];
    __shared__ NormalizeTable normalized;
    const Row row = args.rows[blockIdx.z];
    tabulate(normalized, args.normalize);
    i32 t = threadIdx.x;
    if (t < TILE_WIDTH) {
        columns[t] = Filter::column(row.left + blockIdx.x * TILE_WIDTH + t, row.scale_x, row.src.width);
    } else if (t < TILE_WIDTH + TILE_HEIGHT) {
        lines[t - TILE_WIDTH] = Filter::row(row.top + blockIdx.y * TILE_HEIGHT + t - TILE_WIDTH, row.scale_y, row.src.height);
    }
    __syncthreads();
    switch (row.src.format) {
        case COLOUR: return fill<Filter, Colour, Out>(args, row, columns, lines, normalized);
        case GREY: return fill<Filter, Grey, Out>(args, row, columns, lines, normalized);
        default: return fill<Filter, Nv12, Out>(args, row, columns, lines, normalized);
    }
}

}  // namespace resize_norm

KERNEL(resize_norm::THREADS) resize_norm_linear_f32(const resize_norm::Args args) { resize_norm::run<Linear, f32>(args); }
KERNEL(resize_norm::THREADS) resize_norm_linear_f16(const resize_norm::Args args) { resize_norm::run<Linear, f16>(args); }
KERNEL(resize_norm::THREADS) resize_norm_cubic_f32(const resize_norm::Args args) { resize_norm::run<Cubic, f32>(args); }
KERNEL(resize_norm::THREADS) resize_norm_cubic_f16(const resize_norm::Args args) { resize_norm::run<Cubic, f16>(args); }

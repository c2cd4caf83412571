// Perspective crop, quarter turn, resize, normalisation and NCHW in one pass, from the frames straight into a batch
// for recognition. Twin of src/ops/warp/cpu.rs followed by src/ops/resize_norm/cpu.rs; the results are equal: the
// reference rounds to 8 bits after the warp and again after the resize, so this does.
//
// A block fills a tile of one crop's canvas. The pixels of the crop that the tile's resize reads are made first, each
// once, into shared memory: 16 taps of the frame for one. The resize then reads them there. A crop that is
// enlarged needs few pixels, all those between the first and the last; one that is reduced needs two per target column
// and row, the others are never made.
#include "sampling.cuh"
#include "surface.cuh"

namespace warp {

enum { TILE_WIDTH = 64, TILE_HEIGHT = 16, THREADS = 256 };
enum { MAX_COLUMNS = 2 * TILE_WIDTH, MAX_LINES = 2 * TILE_HEIGHT };

/// Where the pixels of a crop lie in its frame. 88 bytes.
struct Plan {
    f64 inverse[9];     // crop to frame
    i32 width, height;  // before the turn
    i32 block;          // columns that share one rounded position, see `position`
    i32 turn;           // quarter counter-clockwise afterwards
};
static_assert(sizeof(Plan) == 88, "PlanRow in src/ops/warp/cuda.rs");

/// A piece of a line along a curve. 88 bytes.
struct Strip {
    f64 inverse[9];  // strip to frame
    i32 width, height;
    i32 block;
    i32 padding;
};
static_assert(sizeof(Strip) == 88, "StripRow in src/ops/warp/cuda.rs");

/// One crop of the batch. 192 bytes.
struct Row {
    Surface src;
    Plan plan;
    i32 first, count;      // its strips, side by side; with any, `plan.inverse` is not used and a turn is clockwise
    f64 scale_x, scale_y;  // upright crop pixels per target pixel
    i32 width, height;     // after the resize
    i32 reverse;           // plane 0 takes the last sample of a pixel
    i32 padding;
};
static_assert(sizeof(Row) == 192, "Row in src/ops/warp/cuda.rs");

struct Args {
    const Row* rows;
    const Strip* strips;
    const i16* weights;  // 16 for each of 32 x 32 fractions
    void* out;           // [crops, 3, canvas_height, canvas_width]
    i32 canvas_width, canvas_height;
    Normalize normalize;
    f32 pad;
    i32 padding;
};
static_assert(sizeof(Args) == 80, "Args in src/ops/warp/cuda.rs");

/// Rounds half to even and saturates.
FN i32 round_even(f64 v) {
#ifdef __CUDA_ARCH__
    return __double2int_rn(v);
#else
    return (i32)rint(clamp(v, -2147483648.0, 2147483647.0));
#endif
}

struct Where {
    i32 x, y;
};

/// Where pixel (x, y) of a crop falls in the frame by the matrix `m`, in 1/32 pixel. OpenCV works in blocks of columns; a
/// position is rounded once at its block's left edge.
FN Where position(const f64* m, i32 block, i32 x, i32 y) {
    i32 edge = x / block * block;
    f64 left = edge, top = y, n = x - edge;
    f64 x0 = m[0] * left + m[1] * top + m[2];
    f64 y0 = m[3] * left + m[4] * top + m[5];
    f64 z0 = m[6] * left + m[7] * top + m[8];
    f64 z = z0 + m[6] * n;
    f64 k = z == 0.0 ? 0.0 : 32.0 / z;
    return {round_even((x0 + m[0] * n) * k), round_even((y0 + m[3] * n) * k)};
}

/// The frame at a position, 4 x 4 neighbours in 15-bit fixed point; outside, the nearest pixel inside counts.
template <class Format> FN Pixel cubic(const Surface& src, Where at, const i16* weights) {
    // A line of weights at once: those of neighbouring pixels lie apart, and each read has its own way to memory.
    const u64* lines = (const u64*)(weights + ((at.y & 31) * 32 + (at.x & 31)) * 16);
    i32 xs[4], sum[3] = {1 << 14, 1 << 14, 1 << 14};
    for (i32 i = 0; i < 4; i++) {
        xs[i] = clamp((at.x >> 5) + i - 1, 0, src.width - 1);
    }
    for (i32 j = 0; j < 4; j++) {
        u64 line = __ldg(lines + j);
        Pixel p[4];
        Format::template line<4>(src, xs, clamp((at.y >> 5) + j - 1, 0, src.height - 1), p);
        for (i32 i = 0; i < 4; i++) {
            i32 weight = (i16)(line >> 16 * i);
            for (i32 c = 0; c < 3; c++) {
                sum[c] += p[i].c[c] * weight;
            }
        }
    }
    return {{saturate(sum[0] >> 15), saturate(sum[1] >> 15), saturate(sum[2] >> 15)}};
}

/// The frame at a position, 2 x 2 neighbours in 15-bit fixed point; outside it is black.
template <class Format> FN Pixel linear(const Surface& src, Where at) {
    i32 sum[3] = {};
    for (i32 j = 0; j < 2; j++) {
        for (i32 i = 0; i < 2; i++) {
            i32 x = (at.x >> 5) + i, y = (at.y >> 5) + j;
            if (x < 0 || y < 0 || x >= src.width || y >= src.height) {
                continue;
            }
            i32 weight = (i ? at.x & 31 : 32 - (at.x & 31)) * (j ? at.y & 31 : 32 - (at.y & 31));
            Pixel p = Format::at(src, x, y);
            for (i32 c = 0; c < 3; c++) {
                sum[c] += p.c[c] * weight;
            }
        }
    }
    return {{(u8)((sum[0] + 512) >> 10), (u8)((sum[1] + 512) >> 10), (u8)((sum[2] + 512) >> 10)}};
}

/// Pixel (x, y) of a finished crop.
template <class Format> FN Pixel pixel(const Args& args, const Row& row, i32 x, i32 y) {
    const Plan& plan = row.plan;
    if (row.count == 0) {
        Where at = plan.turn ? position(plan.inverse, plan.block, plan.width - 1 - y, x) : position(plan.inverse, plan.block, x, y);
        return cubic<Format>(row.src, at, args.weights);
    }
    i32 column = plan.turn ? y : x, line = plan.turn ? plan.height - 1 - x : y;
    const Strip* strip = args.strips + row.first;
    for (; column >= strip->width; strip++) {
        column -= strip->width;
    }
    return linear<Format>(row.src, position(strip->inverse, strip->block, column, line));
}

/// The indices of one axis of the upright crop that a tile reads, numbered from 0.
struct Reads {
    i32 first, count;
    bool dense;  // all from the first to the last; else two for each target index
};

FN Reads reads_of(const Linear::Tap* taps, i32 targets, i32 most) {
    i32 first = taps[0].at[0], span = taps[targets - 1].at[1] - first + 1;
    bool dense = span <= most;
    return {first, dense ? span : 2 * targets, dense};
}

/// The source index of read `n`.
FN i32 source_of(const Reads& reads, const Linear::Tap* taps, i32 n) { return reads.dense ? reads.first + n : taps[n / 2].at[n % 2]; }

/// The read of tap `k` of target index `d`.
FN i32 read_of(const Reads& reads, const Linear::Tap* taps, i32 d, i32 k) { return reads.dense ? taps[d].at[k] - reads.first : 2 * d + k; }

template <class Format>
FN void make_pixels(const Args& args, const Row& row, const Reads& columns, const Linear::Tap* column_taps, const Reads& lines,
                    const Linear::Tap* line_taps, u32 (*made)[MAX_COLUMNS]) {
#pragma unroll 1
    for (i32 n = threadIdx.x; n < columns.count * lines.count; n += THREADS) {
        i32 line = n / columns.count, column = n % columns.count;
        i32 x = source_of(columns, column_taps, column), y = source_of(lines, line_taps, line);
        Pixel p = pixel<Format>(args, row, x, y);
        made[line][column] = p.c[0] | p.c[1] << 8 | p.c[2] << 16;
    }
}

template <class Out> FN void run(const Args& args) {
    __shared__ Linear::Tap column_taps[TILE_WIDTH];
    __shared__ Linear::Tap line_taps[TILE_HEIGHT];
    __shared__ u32 made[MAX_LINES][MAX_COLUMNS];
    __shared__ NormalizeTable normalized;
    const Row row = args.rows[blockIdx.z];
    i32 left = blockIdx.x * TILE_WIDTH, top = blockIdx.y * TILE_HEIGHT;
    // Target columns and rows of the tile that the crop reaches.
    i32 width = clamp(row.width - left, 0, (i32)TILE_WIDTH), height = clamp(row.height - top, 0, (i32)TILE_HEIGHT);
    tabulate(normalized, args.normalize);
    i32 t = threadIdx.x;
    i32 upright_width = row.plan.turn ? row.plan.height : row.plan.width;
    i32 upright_height = row.plan.turn ? row.plan.width : row.plan.height;
    if (t < width) {
        column_taps[t] = Linear::column(left + t, row.scale_x, upright_width);
    } else if (t >= TILE_WIDTH && t < TILE_WIDTH + height) {
        line_taps[t - TILE_WIDTH] = Linear::row(top + t - TILE_WIDTH, row.scale_y, upright_height);
    }
    __syncthreads();
    Reads columns = {}, lines = {};
    if (width > 0 && height > 0) {
        columns = reads_of(column_taps, width, MAX_COLUMNS);
        lines = reads_of(line_taps, height, MAX_LINES);
        switch (row.src.format) {
            case COLOUR: make_pixels<Colour>(args, row, columns, column_taps, lines, line_taps, made); break;
            case GREY: make_pixels<Grey>(args, row, columns, column_taps, lines, line_taps, made); break;
            default: make_pixels<Nv12>(args, row, columns, column_taps, lines, line_taps, made);
        }
    }
    __syncthreads();

    i64 plane = (i64)args.canvas_width * args.canvas_height;
    Out* out = (Out*)args.out + blockIdx.z * 3 * plane;
#pragma unroll 1
    for (i32 n = t; n < TILE_WIDTH * TILE_HEIGHT; n += THREADS) {
        i32 column = n % TILE_WIDTH, line = n / TILE_WIDTH;
        if (left + column >= args.canvas_width || top + line >= args.canvas_height) {
            continue;
        }
        Out* at = out + (i64)(top + line) * args.canvas_width + left + column;
        if (column >= width || line >= height) {
            for (i32 c = 0; c < 3; c++) {
                store(at + c * plane, args.pad);
            }
            continue;
        }
        u32 p[2][2];
        for (i32 j = 0; j < 2; j++) {
            for (i32 i = 0; i < 2; i++) {
                p[j][i] = made[read_of(lines, line_taps, line, j)][read_of(columns, column_taps, column, i)];
            }
        }
        for (i32 c = 0; c < 3; c++) {
            i32 shift = 8 * (row.reverse ? 2 - c : c);
            u8 taps[2][2] = {{(u8)(p[0][0] >> shift), (u8)(p[0][1] >> shift)}, {(u8)(p[1][0] >> shift), (u8)(p[1][1] >> shift)}};
            u8 v = Linear::blend(taps, column_taps[column], line_taps[line]);
            store(at + c * plane, normalized[c][v]);
        }
    }
}

}  // namespace warp

KERNEL(warp::THREADS) warp_resize_norm_f32(const warp::Args args) { warp::run<f32>(args); }
KERNEL(warp::THREADS) warp_resize_norm_f16(const warp::Args args) { warp::run<f16>(args); }

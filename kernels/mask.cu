// Masks of instances, classes of pixels and their colours. Twin of src/ops/mask/cpu.rs; the results are equal.
#include "scalar.cuh"

namespace mask {

enum { TILE_WIDTH = 64, TILE_HEIGHT = 16, THREADS = 256 };

/// The mask of one instance. 56 bytes.
struct Row {
    const f32* logits;       // [low_height, low_width]
    u64 offset;              // where its window starts in the output
    f32 ratio_x, ratio_y;    // logits per pixel of the picture
    i32 low_width, low_height;
    i32 x0, y0, x1, y1;      // window of the picture
    i32 padding[2];
};
static_assert(sizeof(Row) == 56, "Row in src/ops/mask/cuda.rs");

struct CutArgs {
    const Row* rows;
    u8* out;
};
static_assert(sizeof(CutArgs) == 16, "CutArgs in src/ops/mask/cuda.rs");

struct Tap {
    i32 low, high;
    f32 t;
};

/// Where index `d` of the picture falls among `count` logits, in Paddle's precision.
FN Tap tap(i32 d, f32 ratio, i32 count) {
    f64 at = (f64)ratio * ((f64)d + 0.5) - 0.5;
    i32 low = least_of((i32)most_of(at, 0.0), count - 1);
    return {low, least_of(low + 1, count - 1), most_of((f32)at, 0.0f) - (f32)low};
}

struct ClassArgs {
    const f32* scores;  // [pictures, classes, pixels]
    u8* labels;         // [pictures, pixels]
    u8* colours;        // [pictures, pixels, 3]
    i64 pixels;
    i32 classes;
    i32 padding;
};
static_assert(sizeof(ClassArgs) == 40, "ClassArgs in src/ops/mask/cuda.rs");

}  // namespace mask

/// The windows of all instances: x and y over tiles of the largest window, z over instances.
KERNEL(mask::THREADS) mask_cut(const mask::CutArgs args) {
    __shared__ mask::Tap columns[mask::TILE_WIDTH];
    __shared__ mask::Tap lines[mask::TILE_HEIGHT];
    const mask::Row row = args.rows[blockIdx.z];
    i32 left = row.x0 + blockIdx.x * mask::TILE_WIDTH, top = row.y0 + blockIdx.y * mask::TILE_HEIGHT;
    i32 t = threadIdx.x;
    if (left >= row.x1 || top >= row.y1) {
        return;
    }
    if (t < mask::TILE_WIDTH) {
        columns[t] = mask::tap(left + t, row.ratio_x, row.low_width);
    } else if (t < mask::TILE_WIDTH + mask::TILE_HEIGHT) {
        lines[t - mask::TILE_WIDTH] = mask::tap(top + t - mask::TILE_WIDTH, row.ratio_y, row.low_height);
    }
    __syncthreads();
    for (i32 n = t; n < mask::TILE_WIDTH * mask::TILE_HEIGHT; n += mask::THREADS) {
        i32 column = n % mask::TILE_WIDTH, line = n / mask::TILE_WIDTH;
        if (left + column >= row.x1 || top + line >= row.y1) {
            continue;
        }
        mask::Tap c = columns[column], l = lines[line];
        const f32* above = row.logits + (i64)l.low * row.low_width;
        const f32* below = row.logits + (i64)l.high * row.low_width;
        f32 down = l.t, up = 1.0f - l.t, right = c.t, before = 1.0f - c.t;
        f32 value = above[c.low] * up * before + below[c.low] * down * before + above[c.high] * up * right + below[c.high] * down * right;
        args.out[row.offset + (i64)(top - row.y0 + line) * (row.x1 - row.x0) + left - row.x0 + column] = value > 0.0f;
    }
}

/// The class of the largest score of every pixel, of equal ones the lowest: x over pixels, y over pictures.
KERNEL(mask::THREADS) mask_argmax(const mask::ClassArgs args) {
    i64 pixel = (i64)blockIdx.x * mask::THREADS + threadIdx.x;
    if (pixel >= args.pixels) {
        return;
    }
    const f32* scores = args.scores + (i64)blockIdx.y * args.classes * args.pixels + pixel;
    f32 best = -infinity();
    u8 label = 0;
    for (i32 c = 0; c < args.classes; c++) {
        f32 score = scores[c * args.pixels];
        if (score > best) {
            best = score;
            label = c;
        }
    }
    args.labels[blockIdx.y * args.pixels + pixel] = label;
}

/// The palette of `palette` in src/ops/mask/mod.rs: x over the pixels of all pictures.
KERNEL(mask::THREADS) mask_colour(const mask::ClassArgs args) {
    i64 pixel = (i64)blockIdx.x * mask::THREADS + threadIdx.x;
    if (pixel >= args.pixels) {
        return;
    }
    u32 colour[3] = {0, 0, 0};
    u32 bits = args.labels[pixel] + 1;
    for (i32 shift = 7; bits != 0; shift--, bits >>= 3) {
        for (i32 c = 0; c < 3; c++) {
            colour[c] |= (bits >> c & 1) << shift;
        }
    }
    for (i32 c = 0; c < 3; c++) {
        args.colours[pixel * 3 + c] = colour[c];
    }
}

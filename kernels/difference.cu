// How much two pictures differ. Twin of src/ops/difference/cpu.rs; the results are equal.
#include "block.cuh"
#include "surface.cuh"

namespace difference {

enum { TILE = 32, THREADS = 256 };

/// 144 bytes.
struct Args {
    Surface a, b;  // of one size and format
    f32* out;      // the mean of each tile, row by row
    u64 padding;
};
static_assert(sizeof(Args) == 144, "Args in src/ops/difference/cuda.rs");

}  // namespace difference

/// x and y over tiles.
KERNEL(difference::THREADS) difference_tiles(const difference::Args args) {
    i32 left = blockIdx.x * difference::TILE, top = blockIdx.y * difference::TILE;
    i32 width = least_of(args.a.width - left, (i32)difference::TILE), height = least_of(args.a.height - top, (i32)difference::TILE);
    i32 column = threadIdx.x % difference::TILE;
    u32 sum = 0;
    if (column < width) {
        for (i32 y = threadIdx.x / difference::TILE; y < height; y += difference::THREADS / difference::TILE) {
            Pixel a = sample(args.a, left + column, top + y), b = sample(args.b, left + column, top + y);
            for (i32 c = 0; c < 3; c++) {
                sum += a.c[c] > b.c[c] ? a.c[c] - b.c[c] : b.c[c] - a.c[c];
            }
        }
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        args.out[blockIdx.y * gridDim.x + blockIdx.x] = (f32)sum / (f32)(width * height * 3);
    }
}

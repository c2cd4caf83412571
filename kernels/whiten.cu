// Pages with white in them. Twin of src/ops/whiten/cpu.rs; the samples are equal.
#include "surface.cuh"

namespace whiten {

enum { THREADS = 256, PIXELS = 4 };

struct Region {
    i32 left, top, right, bottom;
};

/// 88 bytes.
struct Args {
    Surface page;
    const Region* regions;
    u8* out;  // [height, width, 3]
    u32 count;
    u32 inside;  // 1: the regions become white; 0: everything else
};
static_assert(sizeof(Args) == 88, "Args in src/ops/whiten/cuda.rs");

}  // namespace whiten

/// x over groups of neighbouring pixels, which may go on in the next row.
KERNEL(whiten::THREADS) whiten_regions(const whiten::Args args) {
    const Surface& page = args.page;
    u32 pixels = (u32)page.width * (u32)page.height;
    u64 first = ((u64)blockIdx.x * whiten::THREADS + threadIdx.x) * whiten::PIXELS;
    if (first >= pixels) {
        return;
    }
    i32 y = (i32)((u32)first / (u32)page.width), x = (i32)((u32)first % (u32)page.width);
    i32 xs[whiten::PIXELS], ys[whiten::PIXELS];
    for (i32 k = 0; k < whiten::PIXELS; k++) {
        xs[k] = x, ys[k] = y;
        if (++x == page.width) {
            x = 0, y++;
        }
    }
    u32 in_region = 0;
    for (u32 i = 0; i < args.count; i++) {
        const whiten::Region r = args.regions[i];
        if (r.bottom <= ys[0] || r.top > ys[whiten::PIXELS - 1]) {
            continue;
        }
        for (i32 k = 0; k < whiten::PIXELS; k++) {
            bool in = xs[k] >= r.left && xs[k] < r.right && ys[k] >= r.top && ys[k] < r.bottom;
            in_region |= (u32)in << k;
        }
    }
    u32 white = args.inside ? in_region : ~in_region;
    u32 words[3] = {0, 0, 0};
    for (i32 k = 0; k < whiten::PIXELS; k++) {
        Pixel pixel = {{255, 255, 255}};
        if (first + k < pixels && !(white >> k & 1)) {
            pixel = sample(page, xs[k], ys[k]);
        }
        for (i32 c = 0; c < 3; c++) {
            words[(3 * k + c) / 4] |= (u32)pixel.c[c] << (3 * k + c) % 4 * 8;
        }
    }
    u8* out = args.out + first * 3;
    if (first + whiten::PIXELS <= pixels) {
        for (i32 n = 0; n < 3; n++) {
            ((u32*)out)[n] = words[n];
        }
    } else {
        i32 bytes = (i32)(pixels - (u32)first) * 3;
        for (i32 n = 0; n < 3 * whiten::PIXELS; n++) {  // with constant indices the words stay in registers
            if (n < bytes) {
                out[n] = (u8)(words[n / 4] >> n % 4 * 8);
            }
        }
    }
}

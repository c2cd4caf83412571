// CTC greedy decoding of a batch: best class per step, repeats and blanks dropped, mean score.
// Twin of src/ops/ctc/cpu.rs: classes are equal, scores within the tolerance stated in src/ops/ctc/cuda.rs.
#include "block.cuh"

namespace ctc {

enum { THREADS = 256, BLANK = 0 };

/// Scores `[sequences, steps, classes]`.
struct Args {
    const f32* scores;
    u32* best;       // [sequences, steps]: class of the largest score
    f32* value;      // [sequences, steps]: that score, of logits its probability where it is no blank
    u32* out;        // per sequence: kept classes, bits of the score, the classes
    i32 sequences, steps, classes;
    i32 logits;      // 1: scores are logits
};
static_assert(sizeof(Args) == 48, "Args in src/ops/ctc/cuda.rs");

struct Best {
    f32 value;
    i32 class_;
};

/// Of equal values the lower class counts; what is no number never does.
FN void take_better(Best& a, f32 value, i32 class_) {
    if (value > a.value || (value == a.value && class_ < a.class_)) {
        a = {value, class_};
    }
}

FN bool kept(const Args& args, i32 row) {
    u32 before = row % args.steps == 0 ? BLANK : args.best[row - 1];
    return args.best[row] != BLANK && args.best[row] != before;
}

/// e to the power of x for x of at most 0: 2^n times a Taylor polynomial, as in the CPU form.
FN f32 exp_negative(f32 x) {
    const f32 rounder = 12582912.0f, log2_e = 1.44269502f, ln_2_high = 0.693359375f, ln_2_low = -2.12194442e-4f;
    x = x > -87.0f ? x : -87.0f;
    f32 shifted = x * log2_e + rounder;
    f32 n = shifted - rounder;
    f32 r = (x - n * ln_2_high) - n * ln_2_low;
    f32 tail = 1.0f / 2 + r * (1.0f / 6 + r * (1.0f / 24 + r * (1.0f / 120 + r * (1.0f / 720 + r * (1.0f / 5040)))));
    f32 power = 1.0f + (r + r * r * tail);
    return power * __uint_as_float((__float_as_uint(shifted) + 127) << 23);
}

}  // namespace ctc

/// The best class of one step per block, and its probability while the step is in the cache.
KERNEL(ctc::THREADS) ctc_best(const ctc::Args args) {
    __shared__ ctc::Best found[32];
    const f32* row = args.scores + (i64)blockIdx.x * args.classes;
    ctc::Best best = {-infinity(), 0};
    for (i32 i = threadIdx.x; i < args.classes; i += ctc::THREADS) {
        if (row[i] > best.value) {
            best = {row[i], i};
        }
    }
    for (i32 by = 16; by > 0; by /= 2) {
        f32 value = __shfl_xor_sync(ALL_LANES, best.value, by);
        i32 class_ = __shfl_xor_sync(ALL_LANES, best.class_, by);
        ctc::take_better(best, value, class_);
    }
    if (lane_of_warp() == 0) {
        found[warp_of_block()] = best;
    }
    __syncthreads();
    best = found[0];
    for (i32 w = 1; w < warps_of_block(); w++) {
        ctc::take_better(best, found[w].value, found[w].class_);
    }
    f32 value = best.value;
    if (args.logits && best.class_ != ctc::BLANK) {
        f32 sum = 0.0f;
        for (i32 i = threadIdx.x; i < args.classes; i += ctc::THREADS) {
            sum += ctc::exp_negative(row[i] - value);
        }
        value = (f32)(1.0 / most_of(block_sum((f64)sum), 1.0));
    }
    if (threadIdx.x == 0) {
        args.best[blockIdx.x] = best.class_;
        args.value[blockIdx.x] = value;
    }
}

/// The kept classes and the mean score of one sequence per block.
KERNEL(ctc::THREADS) ctc_collapse(const ctc::Args args) {
    u32* out = args.out + (i64)blockIdx.x * (2 + args.steps);
    i32 count = 0;
    f64 sum = 0.0;
    for (i32 start = 0; start < args.steps; start += ctc::THREADS) {
        i32 step = start + threadIdx.x, row = blockIdx.x * args.steps + step, all;
        bool keep = step < args.steps && ctc::kept(args, row);
        i32 at = count + block_rank(keep, &all);
        if (keep) {
            out[2 + at] = args.best[row];
            sum += args.value[row];
        }
        count += all;
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) {
        out[0] = count;
        out[1] = __float_as_uint(count == 0 ? 0.0f : (f32)(sum / count));
    }
}

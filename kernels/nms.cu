// Non-maximum suppression of a batch of pictures: per class as Paddle's multiclass_nms3, or over all classes together.
// Twin of src/ops/nms/cpu.rs; rows and their order are equal.
//
// Candidates of a list (a class, or everything) become keys that sort by score, descending, and by anchor. One block per
// list sorts them and goes through them 32 at a time: overlaps inside the 32 are settled with a bit mask each, then
// all that follow are held against those of the 32 that stay. One block per picture gathers what stays.
#include "block.cuh"

namespace nms {

enum { THREADS = 256, CHUNK = 32, ROW = 7 };

struct Box {
    f32 left, top, right, bottom;
};

struct Args {
    const Box* boxes;    // [pictures, anchors]
    const f32* scores;   // [pictures, classes, anchors]
    u64* keys;           // [pictures, lists, anchors]
    u32* counts;         // [pictures, lists]: candidates, then what stays; zero before the first launch
    u32* best;           // [pictures, anchors]: class of the anchor; null where every class has its list
    u32* out;            // per picture: number of rows, then rows of class, anchor, score, left, top, right, bottom
    f32 score_threshold, nms_threshold;
    i32 classes, lists, anchors;
    i32 nms_top_k, keep_top_k;
    i32 out_stride;      // values of a picture in `out`
};
static_assert(sizeof(Args) == 80, "Args in src/ops/nms/cuda.rs");

FN f32 area(const Box& b) { return b.right < b.left || b.bottom < b.top ? 0.0f : (b.right - b.left) * (b.bottom - b.top); }

/// Whether `b`, which stays, suppresses `a`. An overlap that is no number does.
FN bool suppresses(const Box& a, const Box& b, f32 threshold) {
    if (b.left > a.right || b.right < a.left || b.top > a.bottom || b.bottom < a.top) {
        return !(0.0f <= threshold);
    }
    f32 width = least_of(a.right, b.right) - most_of(a.left, b.left);
    f32 height = least_of(a.bottom, b.bottom) - most_of(a.top, b.top);
    f32 inter = width * height;
    return !(inter / (area(a) + area(b) - inter) <= threshold);
}

FN u64 key_of(f32 score, i32 anchor) { return (u64)~ordered(score) << 32 | (u32)anchor; }

FN i64 list_of_block() { return (i64)blockIdx.y * gridDim.x + blockIdx.x; }

/// Adds a candidate to a list, in any order.
FN void add(const Args& args, i64 list, f32 score, i32 anchor) {
    if (score > args.score_threshold) {
        args.keys[list * args.anchors + atomicAdd(&args.counts[list], 1u)] = key_of(score, anchor);
    }
}

}  // namespace nms

/// Candidates of every class: x over anchors, y over classes, z over pictures.
KERNEL(nms::THREADS) nms_collect(const nms::Args args) {
    i32 anchor = blockIdx.x * nms::THREADS + threadIdx.x;
    i64 list = (i64)blockIdx.z * args.lists + blockIdx.y;
    if (anchor < args.anchors) {
        nms::add(args, list, args.scores[list * args.anchors + anchor], anchor);
    }
}

/// Candidates with their best class, of equal ones the first: x over anchors, y over pictures.
KERNEL(nms::THREADS) nms_collect_best(const nms::Args args) {
    i32 anchor = blockIdx.x * nms::THREADS + threadIdx.x;
    if (anchor >= args.anchors) {
        return;
    }
    const f32* scores = args.scores + (i64)blockIdx.y * args.classes * args.anchors + anchor;
    f32 best = scores[0];
    u32 class_ = 0;
    for (i32 c = 1; c < args.classes; c++) {
        f32 score = scores[(i64)c * args.anchors];
        if (score > best || (best != best && score == score)) {
            best = score;
            class_ = c;
        }
    }
    args.best[(i64)blockIdx.y * args.anchors + anchor] = class_;
    nms::add(args, blockIdx.y, best, anchor);
}

/// Leaves the keys of the boxes that stay at the front of each list: x over lists, y over pictures.
KERNEL(nms::THREADS) nms_suppress(const nms::Args args) {
    DYNAMIC_SHARED(u32, gone);  // a bit per candidate
    __shared__ nms::Box chunk[nms::CHUNK];
    __shared__ u64 chunk_keys[nms::CHUNK];
    __shared__ u32 conflicts[nms::CHUNK];  // for each of the chunk, those before it that would suppress it
    u64* keys = args.keys + nms::list_of_block() * args.anchors;
    const nms::Box* boxes = args.boxes + (i64)blockIdx.y * args.anchors;
    i32 candidates = args.counts[nms::list_of_block()];
    block_sort(keys, candidates);
    i32 count = least_of(candidates, args.nms_top_k), kept = 0;
    i32 lane = lane_of_warp(), warp = warp_of_block(), warps = warps_of_block();
    for (i32 i = threadIdx.x; i < (count + 31) / 32; i += blockDim.x) {
        gone[i] = 0;
    }
    for (i32 start = 0; start < count && kept < args.keep_top_k; start += nms::CHUNK) {
        __syncthreads();
        i32 size = least_of((i32)nms::CHUNK, count - start);
        u32 alive = ~gone[start / 32] & (size == 32 ? ~0u : (1u << size) - 1);
        if (alive == 0) {
            continue;
        }
        if ((i32)threadIdx.x < size) {
            chunk_keys[threadIdx.x] = keys[start + threadIdx.x];
            chunk[threadIdx.x] = boxes[(u32)chunk_keys[threadIdx.x]];
        }
        __syncthreads();
        for (i32 j = warp; j < size; j += warps) {
            bool conflict = lane < j && nms::suppresses(chunk[j], chunk[lane], args.nms_threshold);
            u32 all = __ballot_sync(ALL_LANES, conflict);
            if (lane == 0) {
                conflicts[j] = all;
            }
        }
        __syncthreads();
        u32 stay = 0;
        for (i32 j = 0, room = args.keep_top_k - kept; j < size && room > 0; j++) {
            if (alive >> j & 1 && !(conflicts[j] & stay)) {
                stay |= 1u << j;
                room--;
            }
        }
        if (threadIdx.x < 32 && stay >> lane & 1) {
            keys[kept + __popc(stay & ((1u << lane) - 1))] = chunk_keys[lane];
        }
        kept += __popc(stay);
        for (i32 word = start / 32 + 1 + warp; word < (count + 31) / 32; word += warps) {
            i32 at = word * 32 + lane;
            bool goes = false;
            if (at < count && !(gone[word] >> lane & 1)) {
                nms::Box box = boxes[(u32)keys[at]];
                for (u32 rest = stay; rest != 0 && !goes; rest &= rest - 1) {
                    goes = nms::suppresses(box, chunk[__ffs(rest) - 1], args.nms_threshold);
                }
            }
            u32 all = __ballot_sync(ALL_LANES, goes);
            if (lane == 0) {
                gone[word] |= all;
            }
        }
    }
    if (threadIdx.x == 0) {
        args.counts[nms::list_of_block()] = kept;
    }
}

/// The best rows of one picture per block, by class and then by score; of equal scores those of the first class.
KERNEL(nms::THREADS) nms_gather(const nms::Args args) {
    DYNAMIC_SHARED(i32, ends);  // end of each list among all rows
    const u32* counts = args.counts + (i64)blockIdx.x * args.lists;
    const u64* keys = args.keys + (i64)blockIdx.x * args.lists * args.anchors;
    if (threadIdx.x == 0) {
        for (i32 list = 0, end = 0; list < args.lists; list++) {
            end += counts[list];
            ends[list] = end;
        }
    }
    __syncthreads();
    i32 total = ends[args.lists - 1], room = least_of(total, args.keep_top_k);

    // The list and the key of row `n`.
    auto find = [&](i32 n, i32* list) {
        i32 low = 0, high = args.lists - 1;
        while (low < high) {
            i32 middle = (low + high) / 2;
            if (ends[middle] <= n) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        *list = low;
        return keys[(i64)low * args.anchors + n - (low == 0 ? 0 : ends[low - 1])];
    };

    // The worst rank of score that has room, and how many rows of that very rank have.
    u32 worst = ~0u;
    i32 ties = total;
    if (total > room) {
        u32 low = 0, high = ~0u;
        while (low < high) {
            u32 middle = low + (high - low) / 2;
            i32 at_most = 0, list;
            for (i32 n = threadIdx.x; n < total; n += blockDim.x) {
                at_most += (u32)(find(n, &list) >> 32) <= middle;
            }
            if (block_sum(at_most) >= room) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        worst = low;
        i32 better = 0, list;
        for (i32 n = threadIdx.x; n < total; n += blockDim.x) {
            better += (u32)(find(n, &list) >> 32) < worst;
        }
        ties = room - block_sum(better);
    }

    u32* out = args.out + (i64)blockIdx.x * args.out_stride;
    i32 written = 0, tied = 0;
    for (i32 start = 0; start < total; start += blockDim.x) {
        i32 n = start + threadIdx.x, list = 0, all;
        u64 key = n < total ? find(n, &list) : ~0ull;
        u32 rank = (u32)(key >> 32);
        bool tie = n < total && rank == worst;
        i32 before = tied + block_rank(tie, &all);
        tied += all;
        bool keep = n < total && (rank < worst || (tie && before < ties));
        i32 at = written + block_rank(keep, &all);
        written += all;
        if (keep) {
            i32 anchor = (u32)key;
            u32 class_ = args.best ? args.best[(i64)blockIdx.x * args.anchors + anchor] : list;
            const u32* box = (const u32*)(args.boxes + (i64)blockIdx.x * args.anchors + anchor);
            u32* row = out + 1 + at * nms::ROW;
            row[0] = class_;
            row[1] = anchor;
            row[2] = __float_as_uint(args.scores[((i64)blockIdx.x * args.classes + class_) * args.anchors + anchor]);
            for (i32 k = 0; k < 4; k++) {
                row[3 + k] = box[k];
            }
        }
    }
    if (threadIdx.x == 0) {
        out[0] = written;
    }
}

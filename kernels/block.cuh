// Operations of all threads of a block together. Blocks are whole warps, at most 1024 threads.
#pragma once
#include "scalar.cuh"

#define ALL_LANES 0xffffffffu

FN i32 lane_of_warp() { return threadIdx.x % 32; }
FN i32 warp_of_block() { return threadIdx.x / 32; }
FN i32 warps_of_block() { return blockDim.x / 32; }

template <class T> FN T warp_sum(T v) {
    for (i32 by = 16; by > 0; by /= 2) {
        v += __shfl_xor_sync(ALL_LANES, v, by);
    }
    return v;
}

/// The sum over the block, for all its threads.
template <class T> FN T block_sum(T v) {
    __shared__ T sums[32];
    v = warp_sum(v);
    __syncthreads();  // the sums of the call before have been read
    if (lane_of_warp() == 0) {
        sums[warp_of_block()] = v;
    }
    __syncthreads();
    T all = 0;
    for (i32 w = 0; w < warps_of_block(); w++) {
        all += sums[w];
    }
    return all;
}

/// How many of the threads before this one say yes; `all` becomes how many do in the block.
FN i32 block_rank(bool yes, i32* all) {
    __shared__ i32 counts[32];
    u32 votes = __ballot_sync(ALL_LANES, yes);
    __syncthreads();  // the counts of the call before have been read
    if (lane_of_warp() == 0) {
        counts[warp_of_block()] = __popc(votes);
    }
    __syncthreads();
    i32 before = __popc(votes & ((1u << lane_of_warp()) - 1)), sum = 0;
    for (i32 w = 0; w < warps_of_block(); w++) {
        before += w < warp_of_block() ? counts[w] : 0;
        sum += counts[w];
    }
    *all = sum;
    return before;
}

/// Sorts `keys` in ascending order: a bitonic network whose comparisons all point upwards, so that what is missing
/// from a power of two stands for the largest key and needs no memory.
template <class Key> FN void block_sort(Key* keys, i32 count) {
    i32 whole = 1;
    while (whole < count) {
        whole *= 2;
    }
    for (i32 size = 2; size <= whole; size *= 2) {
        for (i32 stride = size / 2; stride > 0; stride /= 2) {
            __syncthreads();
            for (i32 i = threadIdx.x; i < whole / 2; i += blockDim.x) {
                i32 low = 2 * i - (i & (stride - 1));  // the pairs of this step
                // The first step of a size compares mirrored halves, the others neighbours at a distance.
                i32 high = stride == size / 2 ? (low | (size - 1)) - (low & (stride - 1)) : low + stride;
                if (high < count && keys[high] < keys[low]) {
                    Key k = keys[low];
                    keys[low] = keys[high];
                    keys[high] = k;
                }
            }
        }
    }
    __syncthreads();
}

/// Maps floats that are numbers to integers of the same order.
FN u32 ordered(f32 v) {
    u32 bits = __float_as_uint(v + 0.0f);  // one form of zero
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

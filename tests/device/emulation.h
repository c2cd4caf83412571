// The words of CUDA C++ for a host compiler: a launch runs block by block, the threads of a block as fibers that are
// switched at barriers and warp operations only. Threads and blocks run in an order drawn from a seed, so that
// a result which depends on the order shows. What hardware leaves undefined is an error here: threads that wait at
// different barriers, warp operations whose lanes never arrive.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <vector>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static  // one block runs at a time

struct uint3 {
    unsigned x, y, z;
};
struct float2 {
    float x, y;
};
static inline float2 make_float2(float x, float y) { return {x, y}; }
template <class T> static inline T __ldg(const T* from) { return *from; }

static uint3 gridDim, blockDim, blockIdx, threadIdx;
static const int warpSize = 32;

namespace emulation {

static char failure[256];
static void* dynamic_shared;

enum { FREE, RUNNING, AT_BARRIER, AT_WARP };

struct Fiber {
    ucontext_t start;
    jmp_buf at;
    char* stack = nullptr;
    int state = FREE;
    unsigned thread;
    unsigned mask;  // lanes of the warp operation it waits at
    int line;       // where it waits
};

static const size_t STACK = 128 << 10;
static std::vector<Fiber*> fibers;
static Fiber* current;
static jmp_buf scheduler;
static const void* arguments;
static void (*body)(const void*);
static uint64_t slots[1024];  // what each thread offers to its warp
static std::vector<unsigned> waiting_threads;
static size_t next_thread;

struct Random {
    uint64_t state;
    uint64_t next() {
        uint64_t z = state += 0x9E3779B97F4A7C15ull;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ull;
        z = (z ^ z >> 27) * 0x94D049BB133111EBull;
        return z ^ z >> 31;
    }
    template <class T> void shuffle(std::vector<T>& items) {
        for (size_t i = items.size(); i > 1; i--) {
            std::swap(items[i - 1], items[next() % i]);
        }
    }
};

static unsigned linear() { return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); }

static void set_thread(unsigned t) {
    threadIdx = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
}

/// Gives the processor to the scheduler until it resumes this thread.
static void suspend(int state, unsigned mask, int line) {
    Fiber* self = current;
    self->state = state;
    self->mask = mask;
    self->line = line;
    if (!_setjmp(self->at)) {
        _longjmp(scheduler, 1);
    }
    set_thread(self->thread);
}

/// Runs threads to their end for as long as none of them waits.
static void fiber_main() {
    for (;;) {
        body(arguments);
        current->state = FREE;
        if (next_thread == waiting_threads.size()) {
            _longjmp(scheduler, 1);  // its stack is used again by the next block
        }
        current->thread = waiting_threads[next_thread++];
        current->state = RUNNING;
        set_thread(current->thread);
    }
}

static void enter(Fiber* fiber) {
    getcontext(&fiber->start);
    fiber->start.uc_stack.ss_sp = fiber->stack;
    fiber->start.uc_stack.ss_size = STACK;
    fiber->start.uc_link = nullptr;
    makecontext(&fiber->start, fiber_main, 0);
    setcontext(&fiber->start);
}

/// Starts or resumes a fiber; returns when it waits or there are no more threads to start.
static void resume(Fiber* fiber, bool fresh) {
    current = fiber;
    fiber->state = RUNNING;
    set_thread(fiber->thread);
    if (_setjmp(scheduler) == 0) {
        if (fresh) {
            enter(fiber);
        }
        _longjmp(fiber->at, 1);
    }
}

static Fiber* free_fiber() {
    for (Fiber* f : fibers) {
        if (f->state == FREE) {
            return f;
        }
    }
    Fiber* f = new Fiber;
    f->stack = (char*)mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    fibers.push_back(f);
    return f;
}

/// Fibers that may go on: all of a block at one barrier, or all named lanes of a warp at one warp operation.
static std::vector<Fiber*> released() {
    struct Group {
        unsigned warp, mask, arrived;
        int line;
    };
    static std::vector<Group> groups;
    groups.clear();
    auto group_of = [](const Fiber* f) -> Group& {
        unsigned warp = f->thread / 32;
        for (Group& g : groups) {
            if (g.warp == warp && g.mask == f->mask && g.line == f->line) {
                return g;
            }
        }
        groups.push_back({warp, f->mask, 0, f->line});
        return groups.back();
    };
    std::vector<Fiber*> ready, barrier;
    size_t unfinished = 0;
    for (Fiber* f : fibers) {
        unfinished += f->state != FREE;
        if (f->state == AT_BARRIER) {
            barrier.push_back(f);
        } else if (f->state == AT_WARP) {
            group_of(f).arrived |= 1u << f->thread % 32;
        }
    }
    for (Fiber* f : fibers) {
        if (f->state == AT_WARP && group_of(f).arrived == f->mask) {
            ready.push_back(f);
        }
    }
    if (!ready.empty() || barrier.size() != unfinished) {
        return ready;
    }
    for (Fiber* f : barrier) {
        if (f->line != barrier[0]->line) {
            snprintf(failure, sizeof failure, "threads wait at the barriers of lines %d and %d", barrier[0]->line, f->line);
            return {};
        }
    }
    return barrier;
}

static bool run_block(Random& random) {
    unsigned threads = blockDim.x * blockDim.y * blockDim.z;
    waiting_threads.resize(threads);
    for (unsigned t = 0; t < threads; t++) {
        waiting_threads[t] = t;
    }
    random.shuffle(waiting_threads);
    next_thread = 0;
    while (next_thread < threads) {
        Fiber* fiber = free_fiber();
        fiber->thread = waiting_threads[next_thread++];
        resume(fiber, true);
    }
    for (;;) {
        std::vector<Fiber*> ready = released();
        if (ready.empty()) {
            break;
        }
        random.shuffle(ready);
        for (Fiber* f : ready) {
            resume(f, false);
        }
    }
    for (Fiber* f : fibers) {
        if (f->state != FREE && !failure[0]) {
            snprintf(failure, sizeof failure, "block (%u, %u, %u), thread %u waits for ever at line %d", blockIdx.x, blockIdx.y,
                     blockIdx.z, f->thread, f->line);
        }
        f->state = FREE;
    }
    return !failure[0];
}

/// One launch; null, or what went wrong.
static const char* launch(void (*kernel)(const void*), const void* args, const unsigned* grid, const unsigned* block,
                          size_t shared_bytes, uint64_t seed) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    body = kernel;
    arguments = args;
    failure[0] = 0;
    static std::vector<uint64_t> shared;
    shared.assign((shared_bytes + 7) / 8 + 1, 0x7ff4dead7ff4deadull);  // as good as uninitialised
    dynamic_shared = shared.data();
    Random random = {seed};
    std::vector<unsigned> blocks(grid[0] * grid[1] * grid[2]);
    for (unsigned b = 0; b < blocks.size(); b++) {
        blocks[b] = b;
    }
    random.shuffle(blocks);
    for (unsigned b : blocks) {
        blockIdx = {b % gridDim.x, b / gridDim.x % gridDim.y, b / (gridDim.x * gridDim.y)};
        if (!run_block(random)) {
            return failure;
        }
    }
    return nullptr;
}

static void offer(uint64_t v, unsigned mask, int line) {
    slots[linear()] = v;
    suspend(AT_WARP, mask, line);
}

template <class T> static T shuffle(unsigned mask, T v, unsigned lane, int line) {
    static_assert(sizeof(T) <= 8, "a register or two");
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);
    offer(bits, mask, line);
    uint64_t other = slots[linear() / 32 * 32 + lane];
    suspend(AT_WARP, mask, -line);  // nobody offers again before all have looked
    T out;
    memcpy(&out, &other, sizeof out);
    return out;
}

static unsigned ballot(unsigned mask, bool vote, int line) {
    offer(vote, mask, line);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        votes |= (mask >> lane & 1 && slots[linear() / 32 * 32 + lane] & 1) ? 1u << lane : 0;
    }
    suspend(AT_WARP, mask, -line);
    return votes;
}

template <class T> static T atomic(T* at, T v, T (*f)(T, T)) {
    T old = *at;
    *at = f(old, v);
    return old;
}

/// Rounds half to even.
static uint16_t half_bits(float v) {
    uint32_t bits;
    memcpy(&bits, &v, 4);
    uint32_t sign = bits >> 16 & 0x8000, rest = bits & 0x7fffffff;
    if (rest > 0x7f800000) {
        return 0x7fff;  // what the hardware makes of anything that is no number
    }
    if (rest >= 0x477ff000) {
        return sign | 0x7c00;
    }
    if (rest < 0x38800000) {  // subnormal: a whole number of 2^-24
        float magnitude;
        memcpy(&magnitude, &rest, 4);
        return sign | (uint16_t)rintf(magnitude * 16777216.0f);
    }
    uint32_t rounded = rest + 0xfff + (rest >> 13 & 1);
    return sign | (rounded - 0x38000000) >> 13;
}

}  // namespace emulation

#define DYNAMIC_SHARED(type, name) type* name = (type*)emulation::dynamic_shared
#define __syncthreads() emulation::suspend(emulation::AT_BARRIER, 0, __LINE__)
#define __syncwarp() emulation::suspend(emulation::AT_WARP, 0xffffffffu, __LINE__)
#define __shfl_sync(mask, v, lane) emulation::shuffle(mask, v, (unsigned)(lane) % 32, __LINE__)
#define __shfl_xor_sync(mask, v, bits) emulation::shuffle(mask, v, (emulation::linear() ^ (bits)) % 32, __LINE__)
#define __shfl_up_sync(mask, v, by) \
    emulation::shuffle(mask, v, emulation::linear() % 32 < (unsigned)(by) ? emulation::linear() % 32 : emulation::linear() % 32 - (by), __LINE__)
#define __shfl_down_sync(mask, v, by) \
    emulation::shuffle(mask, v, emulation::linear() % 32 + (by) > 31 ? emulation::linear() % 32 : emulation::linear() % 32 + (by), __LINE__)
#define __ballot_sync(mask, vote) emulation::ballot(mask, vote, __LINE__)
#define __threadfence()

template <class T> static T atomicAdd(T* at, T v) { return emulation::atomic<T>(at, v, [](T a, T b) -> T { return a + b; }); }
template <class T> static T atomicMin(T* at, T v) { return emulation::atomic<T>(at, v, [](T a, T b) { return b < a ? b : a; }); }
template <class T> static T atomicMax(T* at, T v) { return emulation::atomic<T>(at, v, [](T a, T b) { return a < b ? b : a; }); }
template <class T> static T atomicOr(T* at, T v) { return emulation::atomic<T>(at, v, [](T a, T b) -> T { return a | b; }); }

static inline int __ffs(int v) { return __builtin_ffs(v); }
static inline int __clz(int v) { return v ? __builtin_clz((unsigned)v) : 32; }
static inline int __popc(unsigned v) { return __builtin_popcount(v); }
static inline int __float_as_int(float v) { int i; memcpy(&i, &v, 4); return i; }
static inline unsigned __float_as_uint(float v) { unsigned i; memcpy(&i, &v, 4); return i; }
static inline float __uint_as_float(unsigned v) { float f; memcpy(&f, &v, 4); return f; }

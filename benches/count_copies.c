// Counts what the CUDA driver is asked to copy, how often for memory, and how often it is waited for, whoever asks: cc -shared -fPIC -o count_copies.so count_copies.c -ldl, then
// LD_PRELOAD=count_copies.so COPY_COUNTS=out.json PROGRAM. Functions of the driver are found by name at run time, by dlsym or by
// cuGetProcAddress: both are answered with functions that count and go on to the real ones.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UP, DOWN, WITHIN, UNKNOWN, KINDS };
static const char* const NAMES[KINDS] = {"to_device", "to_host", "within_device", "unknown"};
static _Atomic uint64_t calls[KINDS], bytes[KINDS];

typedef uintptr_t Word;

// Structures of the driver's interface: what tells of a copy of rows or of boxes.
typedef struct {
    size_t x, y;
    unsigned memory;
    Word host, device, array;
    size_t pitch;
} Flat;
typedef struct {
    Flat from, to;
    size_t width, height;
} Rows;
typedef struct {
    size_t x, y, z, lod;
    unsigned memory;
    Word host, device, array, context;
    size_t pitch, height;
} Deep;
typedef struct {
    Deep from, to;
    size_t width, height, depth;
} Boxes;
typedef struct {
    Word operands[2][5];  // a type and the greater of its forms each
    size_t width, height, depth;
    unsigned order, flags;
} Box;
_Static_assert(sizeof(Rows) == 128 && sizeof(Boxes) == 200 && sizeof(Box) == 112, "as in cuda.h");

// By memory types: 1 is the host's, 2 and 3 are of devices, and 4 says nothing.
static int kind(unsigned from, unsigned to) {
    int host = from == 1, device = from == 2 || from == 3, to_host = to == 1, to_device = to == 2 || to == 3;
    return host && to_device ? UP : device && to_host ? DOWN : device && to_device ? WITHIN : UNKNOWN;
}

static size_t sum(const size_t* sizes, size_t count) {
    size_t all = 0;
    while (count--) all += sizes[count];
    return all;
}

static size_t volume(const Box* boxes, size_t count) {
    size_t all = 0;
    while (count--) all += boxes[count].width * boxes[count].height * boxes[count].depth;
    return all;
}

#define OF_ROWS kind(((const Rows*)a)->from.memory, ((const Rows*)a)->to.memory), ((const Rows*)a)->width * ((const Rows*)a)->height
#define OF_BOXES                                                          \
    kind(((const Boxes*)a)->from.memory, ((const Boxes*)a)->to.memory),   \
        ((const Boxes*)a)->width * ((const Boxes*)a)->height * ((const Boxes*)a)->depth

// The functions that copy, each with the kind and the bytes of a call, which has the arguments a to i. Lists say nothing of kinds.
#define COPIES(each)                                                                                                        \
    each(cuMemcpyHtoD, UP, c) each(cuMemcpyDtoH, DOWN, c) each(cuMemcpyDtoD, WITHIN, c) each(cuMemcpy, UNKNOWN, c)          \
    each(cuMemcpyHtoDAsync, UP, c) each(cuMemcpyDtoHAsync, DOWN, c) each(cuMemcpyDtoDAsync, WITHIN, c)                      \
    each(cuMemcpyAsync, UNKNOWN, c) each(cuMemcpyPeer, WITHIN, e) each(cuMemcpyPeerAsync, WITHIN, e)                        \
    each(cuMemcpyHtoA, UP, d) each(cuMemcpyHtoAAsync, UP, d) each(cuMemcpyAtoH, DOWN, d) each(cuMemcpyAtoHAsync, DOWN, d)   \
    each(cuMemcpyDtoA, WITHIN, d) each(cuMemcpyAtoD, WITHIN, d) each(cuMemcpyAtoA, WITHIN, e)                               \
    each(cuMemcpy2D, OF_ROWS) each(cuMemcpy2DUnaligned, OF_ROWS) each(cuMemcpy2DAsync, OF_ROWS)                             \
    each(cuMemcpy3D, OF_BOXES) each(cuMemcpy3DAsync, OF_BOXES) each(cuMemcpy3DPeer, OF_BOXES) each(cuMemcpy3DPeerAsync, OF_BOXES) \
    each(cuMemcpyBatchAsync, UNKNOWN, sum((const size_t*)c, d)) each(cuMemcpy3DBatchAsync, UNKNOWN, volume((const Box*)b, a))

static void count(int of, size_t n) {
    calls[of] += 1;
    bytes[of] += n;
}

// All arguments are words, nine at most: those that a function does not have it does not look at.
typedef int (*Copy)(Word, Word, Word, Word, Word, Word, Word, Word, Word);
#define COPY(name, ...)                                                                             \
    static Copy real_##name;                                                                        \
    static int count_##name(Word a, Word b, Word c, Word d, Word e, Word f, Word g, Word h, Word i) { \
        count(__VA_ARGS__);                                                                         \
        return real_##name(a, b, c, d, e, f, g, h, i);                                              \
    }
COPIES(COPY)

// What is only counted, by functions of up to three arguments: those that a function does not have it does not look at.
#define CALLS(each)                                                                                       \
    each(cuMemAlloc) each(cuMemFree) each(cuMemHostAlloc) each(cuMemFreeHost) each(cuMemAllocAsync)       \
    each(cuMemFreeAsync) each(cuMemGetInfo) each(cuCtxSynchronize) each(cuStreamSynchronize) each(cuEventSynchronize)
typedef int (*Call)(uintptr_t, uintptr_t, uintptr_t);
#define CALL(name)                                                               \
    static Call real_##name;                                                     \
    static _Atomic uint64_t calls_##name;                                        \
    static int count_##name(uintptr_t a, uintptr_t b, uintptr_t c) {             \
        calls_##name += 1;                                                       \
        return real_##name(a, b, c);                                             \
    }
CALLS(CALL)

// The second form takes one argument more, which the first does not look at. Asked for the form of a stream per thread (2), it
// answers with another function, which is not counted: the real one is kept by name.
typedef int (*GetProc)(const char*, void**, int, uint64_t, void*);
static GetProc real_get, real_get_v2;
static void* counting(const char* name, void* real);

static int answered(int code, const char* name, void** found, uint64_t flags) {
    if (code == 0 && found && *found && !(flags & 2)) *found = counting(name, *found);
    return code;
}

static int get(const char* name, void** found, int version, uint64_t flags, void* status) {
    return answered(real_get(name, found, version, flags, status), name, found, flags);
}

static int get_v2(const char* name, void** found, int version, uint64_t flags, void* status) {
    return answered(real_get_v2(name, found, version, flags, status), name, found, flags);
}

// The function to call in place of `real`, whose name may end in the version of its form or in that of its default stream.
static void* counting(const char* name, void* real) {
#define ANSWER(known, ...)                                                                               \
    if (strcmp(name, #known) == 0 || strcmp(name, #known "_v2") == 0) {                                  \
        real_##known = real;                                                                             \
        return count_##known;                                                                            \
    }
    COPIES(ANSWER)
    CALLS(ANSWER)
    if (strcmp(name, "cuGetProcAddress") == 0) return real_get = real, (void*)get;
    if (strcmp(name, "cuGetProcAddress_v2") == 0) return real_get_v2 = real, (void*)get_v2;
    return real;
}

void* dlsym(void* handle, const char* name) {
    static void* (*real)(void*, const char*);
    if (!real) {
        real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
        if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
        if (!real) real = dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.17");
        if (!real) abort();
    }
    void* found = real(handle, name);
    return found && strncmp(name, "cu", 2) == 0 ? counting(name, found) : found;
}

__attribute__((destructor)) static void report(void) {
    const char* path = getenv("COPY_COUNTS");
    FILE* out = path ? fopen(path, "w") : NULL;
    if (!out) return;
    for (int kind = 0; kind < KINDS; ++kind)
        fprintf(out, "%s\"%s\": {\"calls\": %llu, \"bytes\": %llu}", kind ? ", " : "{", NAMES[kind], (unsigned long long)calls[kind], (unsigned long long)bytes[kind]);
#define REPORT(name) fprintf(out, ", \"%s\": {\"calls\": %llu}", #name, (unsigned long long)calls_##name);
    CALLS(REPORT)
    fprintf(out, "}\n");
    fclose(out);
}

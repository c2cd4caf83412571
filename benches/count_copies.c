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

typedef int (*Plain)(uintptr_t, uintptr_t, size_t);
typedef int (*Async)(uintptr_t, uintptr_t, size_t, void*);

#define COUNTED(name, kind)                                                      \
    static Plain real_##name;                                                    \
    static int count_##name(uintptr_t to, uintptr_t from, size_t n) {            \
        calls[kind] += 1; bytes[kind] += n;                                         \
        return real_##name(to, from, n);                                         \
    }
#define COUNTED_ASYNC(name, kind)                                                \
    static Async real_##name;                                                    \
    static int count_##name(uintptr_t to, uintptr_t from, size_t n, void* s) {   \
        calls[kind] += 1; bytes[kind] += n;                                         \
        return real_##name(to, from, n, s);                                      \
    }

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

COUNTED(cuMemcpyHtoD, UP)
COUNTED(cuMemcpyDtoH, DOWN)
COUNTED(cuMemcpyDtoD, WITHIN)
COUNTED(cuMemcpy, UNKNOWN)
COUNTED_ASYNC(cuMemcpyHtoDAsync, UP)
COUNTED_ASYNC(cuMemcpyDtoHAsync, DOWN)
COUNTED_ASYNC(cuMemcpyDtoDAsync, WITHIN)
COUNTED_ASYNC(cuMemcpyAsync, UNKNOWN)

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
#define ANSWER(known)                                                                                    \
    if (strcmp(name, #known) == 0 || strcmp(name, #known "_v2") == 0) {                                  \
        real_##known = real;                                                                             \
        return count_##known;                                                                            \
    }
    ANSWER(cuMemcpyHtoD) ANSWER(cuMemcpyDtoH) ANSWER(cuMemcpyDtoD) ANSWER(cuMemcpy)
    CALLS(ANSWER)
    ANSWER(cuMemcpyHtoDAsync) ANSWER(cuMemcpyDtoHAsync) ANSWER(cuMemcpyDtoDAsync) ANSWER(cuMemcpyAsync)
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

// Asks for copies by functions that are found by name, as a program finds those of the driver. They give back their last argument,
// which shows that all came to them. Structures are those of cuda.h, field by field. What is to be counted stands in bench.rs.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef uintptr_t Word;
static int last;
#define COPY4(name) int name(Word a, Word b, Word c, Word d) { return (int)d; }
#define COPY5(name) int name(Word a, Word b, Word c, Word d, Word e) { return (int)e; }
#define COPY6(name) int name(Word a, Word b, Word c, Word d, Word e, Word f) { return (int)f; }
#define COPY9(name) int name(Word a, Word b, Word c, Word d, Word e, Word f, Word g, Word h, Word i) { return (int)i; }
#define STRUCTURE(name) int name(const void* p, Word stream) { return (int)stream; }
COPY5(cuMemcpyPeer) COPY6(cuMemcpyPeerAsync) COPY5(cuMemcpyHtoAAsync_v2) COPY4(cuMemcpyAtoH_v2) COPY5(cuMemcpyAtoA_v2)
COPY9(cuMemcpyBatchAsync) COPY5(cuMemcpy3DBatchAsync)
STRUCTURE(cuMemcpy2DAsync_v2) STRUCTURE(cuMemcpy3DAsync_v2) STRUCTURE(cuMemcpy3DPeerAsync)

#define CALL(expected, name, type, ...) \
    if (((int (*) type)dlsym(RTLD_DEFAULT, #name))(__VA_ARGS__) != (expected)) exit(++last)

int main(void) {
    CALL(10, cuMemcpyPeer, (Word, Word, Word, Word, size_t), 1, 2, 3, 4, 10);
    CALL(7, cuMemcpyPeerAsync, (Word, Word, Word, Word, size_t, Word), 1, 2, 3, 4, 20, 7);
    CALL(8, cuMemcpyHtoAAsync_v2, (Word, size_t, const void*, size_t, Word), 1, 2, NULL, 100, 8);
    CALL(200, cuMemcpyAtoH_v2, (void*, Word, size_t, size_t), NULL, 2, 3, 200);
    CALL(40, cuMemcpyAtoA_v2, (Word, size_t, Word, size_t, size_t), 1, 2, 3, 4, 40);
    size_t sizes[] = {1000, 2000};
    CALL(9, cuMemcpyBatchAsync, (void*, void*, size_t*, size_t, void*, void*, size_t, size_t*, Word), 0, 0, sizes, 2, 0, 0, 0, 0, 9);
    struct {
        size_t srcXInBytes, srcY; unsigned srcMemoryType; const void* srcHost; Word srcDevice, srcArray; size_t srcPitch;
        size_t dstXInBytes, dstY; unsigned dstMemoryType; void* dstHost; Word dstDevice, dstArray; size_t dstPitch;
        size_t WidthInBytes, Height;
    } rows = {.srcMemoryType = 1, .dstMemoryType = 2, .WidthInBytes = 3000, .Height = 7};
    CALL(5, cuMemcpy2DAsync_v2, (const void*, Word), &rows, 5);
    struct {
        size_t srcXInBytes, srcY, srcZ, srcLOD; unsigned srcMemoryType; const void* srcHost; Word srcDevice, srcArray, reserved0; size_t srcPitch, srcHeight;
        size_t dstXInBytes, dstY, dstZ, dstLOD; unsigned dstMemoryType; void* dstHost; Word dstDevice, dstArray, reserved1; size_t dstPitch, dstHeight;
        size_t WidthInBytes, Height, Depth;
    } boxes = {.srcMemoryType = 3, .dstMemoryType = 1, .WidthInBytes = 5, .Height = 6, .Depth = 7};
    CALL(6, cuMemcpy3DAsync_v2, (const void*, Word), &boxes, 6);
    boxes.dstMemoryType = 2;
    CALL(4, cuMemcpy3DPeerAsync, (const void*, Word), &boxes, 4);
    struct {
        struct { int type; union { struct { Word ptr; size_t rowLength, layerHeight; struct { int type, id; } locHint; } ptr; struct { Word array; size_t x, y, z; } array; } op; } src, dst;
        size_t width, height, depth;
        int srcAccessOrder; unsigned flags;
    } list[2] = {{.width = 8, .height = 2, .depth = 1}, {.width = 4, .height = 4, .depth = 4}};
    CALL(3, cuMemcpy3DBatchAsync, (size_t, void*, size_t*, unsigned long long, Word), 2, list, NULL, 0, 3);
    return 0;
}

// Sets of pixels that are joined by many threads at once. The root of a set is its least element.
#pragma once
#include "scalar.cuh"

/// The root of the set of `at`. A parent read while others join is an older one, which leads there too.
FN i32 find_root(const i32* parents, i32 at) {
    for (;;) {
        i32 parent = *(const volatile i32*)(parents + at);
        if (parent == at) {
            return at;
        }
        at = parent;
    }
}

FN void unite(i32* parents, i32 a, i32 b) {
    for (;;) {
        a = find_root(parents, a);
        b = find_root(parents, b);
        if (a == b) {
            return;
        }
        i32 child = most_of(a, b), parent = least_of(a, b);
        i32 before = atomicMin(&parents[child], parent);
        if (before == child) {
            return;
        }
        // It had got another parent meanwhile: that one has to be joined too.
        a = before;
        b = parent;
    }
}

// All kernels for the host. `emulate` has the part of the driver's launch call.
#include "emulation.h"

#include "../../kernels/kernels.cu"

namespace {

struct Entry {
    const char* name;
    size_t args;
    void (*run)(const void*);
};

template <class Args, void (*kernel)(Args)> constexpr Entry entry(const char* name) {
    return {name, sizeof(Args), [](const void* args) { kernel(*(const Args*)args); }};
}

template <class Args> Args args_of(void (*)(Args));

#define ENTRY(kernel) entry<decltype(args_of(kernel)), kernel>(#kernel)

const Entry ENTRIES[] = {
    ENTRY(resize_norm_linear_f32), ENTRY(resize_norm_linear_f16), ENTRY(resize_norm_cubic_f32), ENTRY(resize_norm_cubic_f16),
    ENTRY(warp_resize_norm_f32), ENTRY(warp_resize_norm_f16), ENTRY(ctc_best),
    ENTRY(ctc_collapse), ENTRY(nms_collect), ENTRY(nms_collect_best), ENTRY(nms_suppress),
    ENTRY(nms_gather), ENTRY(mask_cut), ENTRY(mask_argmax), ENTRY(mask_colour),
    ENTRY(db_threshold), ENTRY(db_dilate), ENTRY(db_label), ENTRY(db_merge),
    ENTRY(db_flatten), ENTRY(db_number), ENTRY(db_extents), ENTRY(db_boxes),
    ENTRY(db_gather), ENTRY(whiten_regions), ENTRY(difference_tiles),
};

}  // namespace

/// Runs a kernel; null, or what went wrong.
extern "C" const char* emulate(const char* name, const unsigned* grid, const unsigned* block, size_t shared_bytes, const void* args,
                               size_t args_bytes, uint64_t seed) {
    for (const Entry& e : ENTRIES) {
        if (strcmp(e.name, name) == 0) {
            if (e.args != args_bytes) {
                return "the arguments have another size";
            }
            return emulation::launch(e.run, args, grid, block, shared_bytes, seed);
        }
    }
    return "there is no such kernel";
}

/// Bytes of the arguments of a kernel; 0 when there is none of this name.
extern "C" size_t emulate_args(const char* name) {
    for (const Entry& e : ENTRIES) {
        if (strcmp(e.name, name) == 0) {
            return e.args;
        }
    }
    return 0;
}

// Opening a library: which binary form it has, and whether this machine can run it.
#include "library.hpp"

#include <dlfcn.h>
#include <initializer_list>

using namespace trs;

namespace {

template <class Function>
Function symbol(void* library, char const* name) {
    return reinterpret_cast<Function>(dlsym(library, name));
}

bool known_abi(int32_t number, Abi& abi) {
    if (number >= 100000 && number < 110000) abi = ABI_10;
    else if (number >= 110000 && number < 120000) abi = ABI_11;
    // TensorRT-RTX changes its tables between minor versions: only those compared with headers.
    else if (number >= 10500 && number < 10800) abi = ABI_RTX;
    else return false;
    return true;
}

// Newest minor versions that were compared with headers.
bool was_checked(int32_t number) { return number < 101700 || (number >= 110000 && number < 110500); }

// The few functions of the driver that are needed, opened at run time.
struct Driver {
    int (*init)(unsigned) = nullptr;
    int (*count)(int*) = nullptr;
    int (*version)(int*) = nullptr;
    int (*get)(int*, int) = nullptr;
    int (*name)(char*, int, int) = nullptr;
    int (*attribute)(int*, int, int) = nullptr;
    int devices = 0;

    // Whether a driver answers and has a device: without one, TensorRT 10 and 11 return a runtime that is no object.
    bool open(char* message, size_t room) {
        void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
        if (library) {
            init = symbol<int (*)(unsigned)>(library, "cuInit");
            count = symbol<int (*)(int*)>(library, "cuDeviceGetCount");
            version = symbol<int (*)(int*)>(library, "cuDriverGetVersion");
            get = symbol<int (*)(int*, int)>(library, "cuDeviceGet");
            name = symbol<int (*)(char*, int, int)>(library, "cuDeviceGetName");
            attribute = symbol<int (*)(int*, int, int)>(library, "cuDeviceGetAttribute");
        }
        if (!init || !count || !version || !get || !name || !attribute) return say(message, room, "there is no NVIDIA driver on this machine (libcuda.so.1)"), false;
        int code = init(0);
        if (code == 0) code = count(&devices);
        if (code != 0) say(message, room, "the NVIDIA driver does not start: CUDA error %d", code);
        else if (devices == 0) say(message, room, "the NVIDIA driver has no device");
        return code == 0 && devices > 0;
    }
};

trs_status open_library(trs_lib& lib, char const* infer, char const* parser, char* message, size_t room) {
    void* handle = dlopen(infer, RTLD_NOW | RTLD_LOCAL);
    if (!handle) return say(message, room, "%s", dlerror()), TRS_DLOPEN;
    auto version = symbol<int32_t (*)()>(handle, "getInferLibVersion");
    auto create_runtime = symbol<void* (*)(void*, int32_t)>(handle, "createInferRuntime_INTERNAL");
    if (!version || !create_runtime) return say(message, room, "it is not TensorRT: getInferLibVersion or createInferRuntime is missing"), TRS_SYMBOL;
    lib.number = version();
    if (!known_abi(lib.number, lib.abi)) {
        say(message, room, "version number %d; known are TensorRT 10 (100000 to 109999), 11 (110000 to 119999) and TensorRT-RTX 1.5 to 1.7 (10500 to 10799)", lib.number);
        return TRS_VERSION;
    }
    trs_versions& v = lib.versions;
    v.abi = lib.abi == ABI_10 ? 10 : lib.abi == ABI_11 ? 11 : 101;
    v.major = lib.number / 10000;
    v.minor = lib.number / 100 % 100;
    v.patch = lib.number % 100;
    auto build = symbol<int32_t (*)()>(handle, "getInferLibBuildVersion");
    v.build = build ? build() : 0;
    v.checked = was_checked(lib.number);
    v.host_memory = symbol<void*>(handle, "trs_host_memory") != nullptr;
    if (lib.abi != ABI_RTX && !v.host_memory && !Driver().open(message, room)) return TRS_NO_DEVICE;

    int32_t before = lib.logger.errors();
    Owned runtime(create_runtime(lib.logger.shape(lib.abi), lib.number));
    if (!runtime || lib.logger.errors() != before) {
        say(message, room, "it made no usable runtime");
        runtime.release(); // after an error even a plausible pointer is not to be touched
        return TRS_CREATE;
    }
    if (lib.has(runtime_allow_host_code)) call<void, bool>(lib, runtime_allow_host_code, runtime.get(), true); // before several threads have it
    lib.create_builder = symbol<void* (*)(void*, int32_t)>(handle, "createInferBuilder_INTERNAL");
    if (parser) {
        void* parser_handle = dlopen(parser, RTLD_NOW | RTLD_LOCAL);
        if (!parser_handle) return say(message, room, "%s", dlerror()), TRS_DLOPEN;
        auto parser_version = symbol<int32_t (*)()>(parser_handle, "getNvOnnxParserVersion");
        lib.create_parser = symbol<void* (*)(void*, void*, int)>(parser_handle, "createNvOnnxParser_INTERNAL");
        if (!parser_version || !lib.create_parser) return say(message, room, "%s is not TensorRT's ONNX parser", parser), TRS_SYMBOL;
        lib.parser_number = parser_version();
        // It counts its own versions: 0.1 with TensorRT 10 and 11, 0.2 with newer ones. The library it was linked
        // with, if any, tells whether both belong together.
        if (lib.parser_number <= 0 || lib.parser_number >= 10000) return say(message, room, "the ONNX parser %s has version number %d; known are 0 to 9999", parser, lib.parser_number), TRS_VERSION;
        auto linked = symbol<int32_t (*)()>(parser_handle, "getInferLibVersion");
        if (linked && linked() != lib.number) {
            say(message, room, "the ONNX parser %s is linked with TensorRT %d, which is not %d: they do not belong together", parser, linked(), lib.number);
            return TRS_VERSION;
        }
    }
    v.has_builder = lib.create_builder && lib.create_parser;
    lib.runtime = runtime.release();
    return TRS_OK;
}

} // namespace

trs_status trs_device_info(int32_t index, trs_device* out, char* message, size_t room) {
    constexpr int CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
    Driver driver;
    if (!driver.open(message, room)) return TRS_NO_DEVICE;
    int device = 0;
    bool told = driver.get(&device, index) == 0 && driver.name(out->name, sizeof out->name, device) == 0
        && driver.attribute(&out->capability_major, CAPABILITY_MAJOR, device) == 0 && driver.attribute(&out->capability_minor, CAPABILITY_MINOR, device) == 0
        && driver.version(&out->driver) == 0;
    if (!told) return say(message, room, "the NVIDIA driver has no device %d; it has %d", index, driver.devices), TRS_NO_DEVICE;
    return TRS_OK;
}

trs_status trs_open(char const* infer, char const* parser, trs_log_fn log, void* user, trs_lib** out, char* message, size_t room) {
    return guarded(message, room, [&] {
        // TensorRT keeps the first logger that it is given, whatever later calls give, while anything lives that it made: there is one, for good.
        static auto* logger = new Logger(log, user);
        auto* lib = new trs_lib(*logger);
        trs_status status = guarded(message, room, [&] { return open_library(*lib, infer, parser, message, room); });
        if (status == TRS_OK) *out = lib;
        else delete lib;
        return status;
    });
}

void trs_version(trs_lib const* lib, trs_versions* out) { *out = lib->versions; }

void trs_close(trs_lib* lib) {
    guarded(nullptr, 0, [&] {
        if (lib->runtime) destroy(lib->runtime);
        return TRS_OK;
    });
    delete lib;
}

int32_t trs_self_check(void) {
    int32_t row = 0;
#define CALL(key, cls, function, a10, since, a11, rtx)
#define VALUE(key, enumeration, enumerator, a10, a11, rtx)
#define OURS(ours, cls, function, a10, a11, rtx)                                            \
    ++row;                                                                                  \
    for (int32_t slot : {a10, a11, rtx}) {                                                  \
        if (slot >= 0 && slot_of(&ours::function) != slot) return row;                      \
    }
#include "slots.def"
#undef CALL
#undef VALUE
#undef OURS
    return 0;
}

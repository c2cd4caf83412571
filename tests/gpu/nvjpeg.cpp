// A stand-in for nvJPEG, over the stand-in for the driver (driver.cpp). Sizes are those of the frame header. The pixels of a file
// lie in the folder $pixels under its hash, as `nvjpeg.rs` writes them; a file without any is damaged. They are brought to the
// device in the order of the stream. Whatever a caller does against the rules of the interface is refused.
//
// $STUB_NVJPEG: words `key=value` with spaces between: pixels (a folder), flags (all that it knows; 36), fail (name of a function)
// with code (a status), wide (pixels that it reads too many in a row). `stub_nvjpeg_setup` sets them from inside.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <vector>

namespace {

enum { OK = 0, NOT_INITIALIZED = 1, INVALID_PARAMETER = 2, BAD_JPEG = 3, NOT_SUPPORTED = 4, ALLOCATOR_FAILURE = 5, EXECUTION_FAILED = 6 };
enum { BGRI = 6 };

// As the interface lays it out.
struct Image {
    unsigned char* channel[4];
    size_t pitch[4];
};
static_assert(sizeof(Image) == 64, "");

struct Handle {
    int states = 0;
};
// What a file is decoded with: memory for its bytes on the device, and where its pixels wait.
struct State {
    Handle* handle;
    uintptr_t memory = 0;
    size_t bytes = 0;
    int busy = 0;
};
// What the stream does when it comes to it. It may come again, so that nothing is given back.
struct Work {
    State* state;
    std::vector<unsigned char> pixels;
    unsigned char* to;
};

std::mutex lock_;
using Lock = std::lock_guard<std::mutex>;
std::string given_words;
int64_t open_handles, open_states, decoded;

std::string word(const char* key, const char* otherwise) {
    const char* text = given_words.empty() ? getenv("STUB_NVJPEG") : given_words.c_str();
    std::string all = std::string(" ") + (text ? text : "") + " ", start = std::string(" ") + key + "=";
    size_t at = all.find(start);
    if (at == std::string::npos) return otherwise;
    at += start.size();
    return all.substr(at, all.find(' ', at) - at);
}

template <class F> F driver(const char* name) {
    void* library = dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD);
    if (!library) library = dlopen("libcuda.so.1", RTLD_NOW);
    return library ? (F)dlsym(library, name) : nullptr;
}

// Status of a call that cannot go on: a knob, or no context.
int refused(const char* function) {
    void* context = nullptr;
    auto get = driver<int (*)(void**)>("cuCtxGetCurrent");
    if (!get || get(&context) || !context) return NOT_INITIALIZED;
    return word("fail", "") == function ? atoi(word("code", "4").c_str()) : OK;
}

bool on_device(const void* address) {
    unsigned type = 0;
    return !driver<int (*)(void*, int, uintptr_t)>("cuPointerGetAttribute")(&type, 2, (uintptr_t)address);
}

struct Head {
    int width = 0, height = 0, components = 0;
};

// Of the first frame.
Head head(const unsigned char* data, size_t length) {
    Head found;
    for (size_t at = 2; at + 9 < length && data[at] == 0xff;) {
        unsigned char code = data[at + 1];
        size_t segment = data[at + 2] << 8 | data[at + 3];
        if (code >= 0xc0 && code <= 0xc2) {
            const unsigned char* frame = data + at + 4;
            found.height = frame[1] << 8 | frame[2], found.width = frame[3] << 8 | frame[4], found.components = frame[5];
            return found;
        }
        at += 2 + segment;
    }
    return found;
}

// FNV-1a.
std::string hash(const unsigned char* data, size_t length) {
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < length; i++) value = (value ^ data[i]) * 0x100000001b3;
    char text[17];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)value);
    return text;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

extern "C" __attribute__((visibility("default"))) void stub_nvjpeg_setup(const char* words) {
    Lock lock(lock_);
    given_words = words;
}
// Handles and states that are open, and files that were decoded.
extern "C" __attribute__((visibility("default"))) void stub_nvjpeg_counts(int64_t* out) {
    Lock lock(lock_);
    out[0] = open_handles + open_states, out[1] = decoded;
}

API nvjpegCreateEx(int backend, void* device_allocator, void* pinned_allocator, unsigned flags, void** handle) {
    Lock lock(lock_);
    if (int code = refused("nvjpegCreateEx")) return code;
    unsigned known = atoi(word("flags", "36").c_str());
    if (backend || device_allocator || pinned_allocator || !handle || flags & ~known) return INVALID_PARAMETER;
    return *handle = new Handle, ++open_handles, OK;
}
API nvjpegDestroy(void* handle) {
    Lock lock(lock_);
    if (((Handle*)handle)->states) abort();  // its states go first
    return delete (Handle*)handle, --open_handles, OK;
}
API nvjpegJpegStateCreate(void* handle, void** state) {
    Lock lock(lock_);
    if (int code = refused("nvjpegJpegStateCreate")) return code;
    ++((Handle*)handle)->states;
    return *state = new State{(Handle*)handle}, ++open_states, OK;
}
API nvjpegJpegStateDestroy(void* handle) {
    Lock lock(lock_);
    auto state = (State*)handle;
    if (state->busy) abort();  // work of a stream still needs it
    if (state->memory) driver<int (*)(uintptr_t)>("cuMemFree_v2")(state->memory);
    --state->handle->states;
    return delete state, --open_states, OK;
}

API nvjpegGetImageInfo(void*, const unsigned char* data, size_t length, int* components, int* subsampling, int* widths, int* heights) {
    Lock lock(lock_);
    if (int code = refused("nvjpegGetImageInfo")) return code;
    Head found = head(data, length);
    if (!found.width || !found.height) return BAD_JPEG;
    for (int i = 0; i < 4; i++) widths[i] = heights[i] = 0;
    for (int i = 0; i < found.components && i < 4; i++) widths[i] = found.width + atoi(word("wide", "0").c_str()), heights[i] = found.height;
    return *components = found.components, *subsampling = 0, OK;
}

API nvjpegDecode(void* handle, void* with, const unsigned char* data, size_t length, int format, Image* to, void* stream) {
    Lock lock(lock_);
    auto state = (State*)with;
    if (int code = refused("nvjpegDecode")) return code;
    if (state->handle != handle || state->busy || format != BGRI || !stream) return INVALID_PARAMETER;
    Head found = head(data, length);
    if (found.components != 1 && found.components != 3) return NOT_SUPPORTED;
    size_t row = (size_t)found.width * 3, rows = found.height;
    unsigned char* first = to->channel[0];
    if (to->pitch[0] != row || !on_device(first) || !on_device(first + row * rows - 1)) return INVALID_PARAMETER;
    std::ifstream file(word("pixels", "") + "/" + hash(data, length), std::ios::binary);
    std::vector<unsigned char> pixels((std::istreambuf_iterator<char>(file)), {});
    if (pixels.size() != row * rows) return BAD_JPEG;
    if (state->bytes < length) {
        if (state->memory) driver<int (*)(uintptr_t)>("cuMemFree_v2")(state->memory);
        state->memory = 0, state->bytes = length;
        if (driver<int (*)(uintptr_t*, size_t)>("cuMemAlloc_v2")(&state->memory, length)) return state->bytes = 0, ALLOCATOR_FAILURE;
    }
    if (driver<int (*)(uintptr_t, const void*, size_t, void*)>("cuMemcpyHtoDAsync_v2")(state->memory, data, length, stream)) return EXECUTION_FAILED;
    ++state->busy, ++decoded;
    auto write = [](void* user) {
        auto work = (Work*)user;
        memcpy(work->to, work->pixels.data(), work->pixels.size());
        work->state->busy = 0;
    };
    auto work = new Work{state, std::move(pixels), first};
    auto put = driver<int (*)(void*, void (*)(void*), void*)>("cuLaunchHostFunc");
    return put(stream, write, work) ? EXECUTION_FAILED : OK;
}

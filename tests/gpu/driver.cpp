// A stand-in for the CUDA driver: devices as $STUB_CUDA says, host memory for device memory, and streams that put work off
// until somebody waits for it, as a device may. Kernels run in the emulation, the library $STUB_KERNELS.
//
// $STUB_CUDA: words `key=value` with spaces between: version (12020), init and count (error codes), devices (capabilities with
// commas between, "9.0"), memory (bytes of each device), fail (name of a function) with code. `stub_setup` sets both from inside.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

namespace {

enum : int { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101, INVALID_CONTEXT = 201, NOT_FOUND = 500, NOT_READY = 600, LAUNCH_FAILED = 719, CAPTURE_UNSUPPORTED = 900 };

std::string given_words, given_kernels;

std::string word(const char* key, const char* otherwise) {
    const char* text = given_words.empty() ? getenv("STUB_CUDA") : given_words.c_str();
    std::string all = std::string(" ") + (text ? text : "") + " ", start = std::string(" ") + key + "=";
    size_t at = all.find(start);
    if (at == std::string::npos) return otherwise;
    at += start.size();
    return all.substr(at, all.find(' ', at) - at);
}

int number(const char* key, int otherwise) { return atoi(word(key, std::to_string(otherwise).c_str()).c_str()); }

std::vector<std::string> split(const std::string& text) {
    std::vector<std::string> parts;
    for (size_t at = 0; at <= text.size();) {
        size_t end = std::min(text.find(',', at), text.size());
        if (end > at) parts.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}

// A device keeps its UUID when others are hidden: a0000000-..., a1000000-...
struct Device {
    int own;
    std::string capability;
};

std::vector<Device> devices() {
    std::vector<Device> all, seen;
    for (auto& capability : split(word("devices", "9.0"))) all.push_back({(int)all.size(), capability});
    if (word("devices", "9.0") == "none") all.clear();
    const char* visible = getenv("CUDA_VISIBLE_DEVICES");
    if (!visible) return all;
    for (auto& name : split(visible)) {
        char* end = nullptr;
        long index = strtol(name.c_str(), &end, 10);
        if (name.rfind("GPU-a", 0) == 0) index = name[5] - '0', end = (char*)"";
        if (*end || index < 0 || index >= (long)all.size()) break;  // the first that does not exist hides all after it
        seen.push_back(all[index]);
    }
    return seen;
}

struct Event;
using Steps = std::deque<std::function<int()>>;
struct Stream {
    Steps work;
    Steps* recorded = nullptr;  // where work goes while the stream is captured
};
struct Graph {
    Steps work;
};
struct Event {
    Stream* stream = nullptr;
    uint64_t recorded = 0, reached = 0;
};
struct Function {
    std::string name;
    size_t args = 0;
    int shared = 48 << 10;
};

std::recursive_mutex lock_;
using Lock = std::lock_guard<std::recursive_mutex>;
thread_local void* current;
int contexts[64];
std::map<uintptr_t, size_t> device_memory, pinned;
size_t used;
std::map<Stream*, int> streams;
int broken;  // a fault stays for good, as on a device
uint64_t counts[9];  // htod calls, bytes; dtoh calls, bytes; dtod bytes; launches; device allocations, pinned allocations; graph launches

// Knob: the named function fails.
int refused(const char* function) {
    return word("fail", "") == function ? number("code", LAUNCH_FAILED) : broken;
}

bool inside(const std::map<uintptr_t, size_t>& ranges, uintptr_t address, size_t bytes) {
    auto next = ranges.upper_bound(address);
    if (next == ranges.begin()) return false;
    --next;
    return address + bytes <= next->first + next->second;
}

int drain(Stream* stream) {
    while (!broken && !stream->work.empty()) {
        auto step = std::move(stream->work.front());
        stream->work.pop_front();
        if (int code = step()) broken = code;
    }
    return broken;
}

Stream default_stream;
Stream* stream_of(void* handle) { return handle ? (Stream*)handle : &default_stream; }

int put_off(void* stream, std::function<int()> step) {
    Stream* to = stream_of(stream);
    (to->recorded ? *to->recorded : to->work).push_back(std::move(step));
    return OK;
}

int drain_all() {
    drain(&default_stream);
    for (auto& [stream, _] : streams) drain(stream);
    return broken;
}

using Emulate = const char* (*)(const char*, const unsigned*, const unsigned*, size_t, const void*, size_t, uint64_t);
using Args = size_t (*)(const char*);

void* kernels() {
    const char* path = given_kernels.empty() ? getenv("STUB_KERNELS") : given_kernels.c_str();
    static void* library = path ? dlopen(path, RTLD_NOW) : nullptr;
    return library;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

extern "C" __attribute__((visibility("default"))) void stub_counts(uint64_t* out) {
    Lock lock(lock_);
    memcpy(out, counts, sizeof counts);
}

extern "C" __attribute__((visibility("default"))) void stub_setup(const char* words, const char* kernels) {
    Lock lock(lock_);
    given_words = words, given_kernels = kernels;
}

API cuDriverGetVersion(int* version) { return *version = number("version", 12020), OK; }
API cuInit(unsigned) { return number("init", 0); }
API cuDeviceGetCount(int* count) { return *count = (int)devices().size(), *count ? number("count", 0) : NO_DEVICE; }
API cuDeviceGet(int* device, int number) { return *device = number, number < (int)devices().size() ? OK : INVALID_DEVICE; }
API cuDeviceGetName(char* name, int room, int device) {
    return snprintf(name, room, "Stub %d", devices()[device].own), refused("cuDeviceGetName");
}
API cuDeviceGetUuid_v2(unsigned char* uuid, int device) { return memset(uuid, 0, 16), uuid[0] = 0xa0 + devices()[device].own, OK; }
API cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = (size_t)atoll(word("memory", "17179869184").c_str()), OK; }
API cuDeviceGetAttribute(int* value, int which, int device) {
    const std::string capability = devices()[device].capability;
    size_t dot = capability.find('.');
    *value = which == 75 ? atoi(capability.c_str()) : which == 76 ? atoi(capability.c_str() + dot + 1) : 0;
    return OK;
}
API cuGetErrorName(int code, const char** name) {
    *name = code == OUT_OF_MEMORY ? "CUDA_ERROR_OUT_OF_MEMORY" : code == LAUNCH_FAILED ? "CUDA_ERROR_LAUNCH_FAILED" : code == 999 ? "CUDA_ERROR_UNKNOWN" : nullptr;
    return *name ? OK : INVALID_VALUE;
}
API cuGetErrorString(int code, const char** text) { return cuGetErrorName(code, text); }

API cuDevicePrimaryCtxRetain(void** context, int device) { return *context = &contexts[device], refused("cuDevicePrimaryCtxRetain"); }
API cuDevicePrimaryCtxRelease_v2(int) { return OK; }
API cuCtxGetCurrent(void** context) { return *context = current, OK; }
API cuCtxSetCurrent(void* context) { return current = context, OK; }
API cuCtxSynchronize() {
    Lock lock(lock_);
    return drain_all();
}

API cuMemGetInfo_v2(size_t* free, size_t* total) {
    Lock lock(lock_);
    cuDeviceTotalMem_v2(total, 0);
    return *free = *total - used, OK;
}
API cuMemAlloc_v2(uintptr_t* address, size_t bytes) {
    Lock lock(lock_);
    size_t total = 0;
    cuDeviceTotalMem_v2(&total, 0);
    if (!current) return INVALID_CONTEXT;
    if (int code = refused("cuMemAlloc_v2")) return code;
    if (!bytes) return INVALID_VALUE;
    if (used + bytes > total) return OUT_OF_MEMORY;
    *address = (uintptr_t)aligned_alloc(512, (bytes + 511) / 512 * 512);
    memset((void*)*address, 0xa5, bytes);
    device_memory[*address] = bytes;
    used += bytes, ++counts[6];
    return OK;
}
API cuMemFree_v2(uintptr_t address) {
    Lock lock(lock_);
    drain_all();
    auto found = device_memory.find(address);
    if (found == device_memory.end()) return INVALID_VALUE;
    used -= found->second;
    device_memory.erase(found);
    free((void*)address);
    return OK;
}
API cuMemHostAlloc(void** address, size_t bytes, unsigned) {
    Lock lock(lock_);
    if (int code = refused("cuMemHostAlloc")) return code;
    if (!current || !bytes) return current ? INVALID_VALUE : INVALID_CONTEXT;
    if (bytes > (size_t)1 << 40) return OUT_OF_MEMORY;
    *address = aligned_alloc(512, (bytes + 511) / 512 * 512);
    memset(*address, 0x5a, bytes);
    pinned[(uintptr_t)*address] = bytes;
    ++counts[7];
    return OK;
}
API cuMemFreeHost(void* address) {
    Lock lock(lock_);
    drain_all();
    if (!pinned.erase((uintptr_t)address)) return INVALID_VALUE;
    free(address);
    return OK;
}
// Pinned memory is read when the work runs, other memory at once.
API cuMemcpyHtoDAsync_v2(uintptr_t to, const void* from, size_t bytes, void* stream) {
    Lock lock(lock_);
    if (int code = refused("cuMemcpyHtoDAsync_v2")) return code;
    if (!inside(device_memory, to, bytes)) return INVALID_VALUE;
    ++counts[0], counts[1] += bytes;
    if (inside(pinned, (uintptr_t)from, bytes)) return put_off(stream, [=] { return memcpy((void*)to, from, bytes), OK; });
    std::vector<char> copy((const char*)from, (const char*)from + bytes);
    return put_off(stream, [=] { return memcpy((void*)to, copy.data(), bytes), OK; });
}
API cuMemcpyDtoHAsync_v2(void* to, uintptr_t from, size_t bytes, void* stream) {
    Lock lock(lock_);
    if (int code = refused("cuMemcpyDtoHAsync_v2")) return code;
    if (!inside(device_memory, from, bytes)) return INVALID_VALUE;
    ++counts[2], counts[3] += bytes;
    put_off(stream, [=] { return memcpy(to, (void*)from, bytes), OK; });
    return inside(pinned, (uintptr_t)to, bytes) ? OK : drain(stream_of(stream));
}
API cuMemcpyDtoDAsync_v2(uintptr_t to, uintptr_t from, size_t bytes, void* stream) {
    Lock lock(lock_);
    if (!inside(device_memory, from, bytes) || !inside(device_memory, to, bytes)) return INVALID_VALUE;
    counts[4] += bytes;
    return put_off(stream, [=] { return memcpy((void*)to, (void*)from, bytes), OK; });
}
API cuMemsetD8Async(uintptr_t to, unsigned char value, size_t bytes, void* stream) {
    Lock lock(lock_);
    if (!inside(device_memory, to, bytes)) return INVALID_VALUE;
    return put_off(stream, [=] { return memset((void*)to, value, bytes), OK; });
}
API cuPointerGetAttribute(void* value, int, uintptr_t address) {
    Lock lock(lock_);
    return *(unsigned*)value = 2, inside(device_memory, address, 1) ? OK : INVALID_VALUE;
}

API cuStreamCreate(void** stream, unsigned) {
    Lock lock(lock_);
    Stream* made = new Stream;
    streams[made] = 1;
    return *stream = made, OK;
}
API cuStreamDestroy_v2(void* stream) {
    Lock lock(lock_);
    drain((Stream*)stream);
    streams.erase((Stream*)stream);
    return delete (Stream*)stream, OK;
}
API cuStreamSynchronize(void* stream) {
    Lock lock(lock_);
    if (int code = refused("cuStreamSynchronize")) return code;
    if (stream_of(stream)->recorded) return CAPTURE_UNSUPPORTED;
    return drain(stream_of(stream));
}
API cuStreamWaitEvent(void* stream, void* event, unsigned) {
    Lock lock(lock_);
    Event* e = (Event*)event;
    uint64_t wanted = e->recorded;
    return put_off(stream, [=] { return e->reached >= wanted || !e->stream ? OK : drain(e->stream); });
}
// Of the double of TensorRT: the function may be run as often as the stream likes.
API cuLaunchHostFunc(void* stream, void (*function)(void*), void* user) {
    Lock lock(lock_);
    if (int code = refused("cuLaunchHostFunc")) return code;
    return put_off(stream, [=] { return function(user), OK; });
}
API cuEventCreate(void** event, unsigned) { return *event = new Event, OK; }
API cuEventDestroy_v2(void*) { return OK; }  // work that was put off may ask for it
API cuEventRecord(void* event, void* stream) {
    Lock lock(lock_);
    Event* e = (Event*)event;
    e->stream = stream_of(stream);
    uint64_t ticket = ++e->recorded;
    return put_off(stream, [=] { return e->reached = ticket, OK; });
}
API cuEventSynchronize(void* event) {
    Lock lock(lock_);
    Event* e = (Event*)event;
    return e->reached >= e->recorded || !e->stream ? broken : drain(e->stream);
}
API cuEventQuery(void* event) {
    Lock lock(lock_);
    return ((Event*)event)->reached >= ((Event*)event)->recorded ? OK : NOT_READY;
}
API cuEventElapsedTime(float* milliseconds, void*, void*) { return *milliseconds = 0.5f, OK; }

API cuModuleLoadData(void** module, const void* image) {
    const char* text = (const char*)image;
    if (memcmp(text, "\x7f" "ELF", 4) != 0 && !strstr(text, ".target sm_75")) return 200;
    return *module = (void*)image, refused("cuModuleLoadData");
}
API cuModuleUnload(void*) { return OK; }
API cuModuleGetFunction(void** function, void*, const char* name) {
    Lock lock(lock_);
    Args args = kernels() ? (Args)dlsym(kernels(), "emulate_args") : nullptr;
    size_t bytes = args ? args(name) : 1;
    if (!bytes) return NOT_FOUND;
    return *function = new Function{name, bytes}, refused("cuModuleGetFunction");
}
API cuFuncSetAttribute(void* function, int which, int value) {
    if (which == 8) ((Function*)function)->shared = value;
    return OK;
}
API cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, void* stream,
                   void** params, void**) {
    Lock lock(lock_);
    if (int code = refused("cuLaunchKernel")) return code;
    Function* f = (Function*)function;
    if (!gx || !gy || !gz || gy > 65535 || gz > 65535 || bx * by * bz > 1024 || (int)shared > f->shared) return INVALID_VALUE;
    Emulate emulate = kernels() ? (Emulate)dlsym(kernels(), "emulate") : nullptr;
    if (!emulate) return NOT_FOUND;
    ++counts[5];
    std::vector<char> args((char*)params[0], (char*)params[0] + f->args);
    uint64_t seed = counts[5];
    return put_off(stream, [=] {
        const unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
        const char* failure = emulate(f->name.c_str(), grid, block, shared, args.data(), args.size(), seed);
        if (failure) fprintf(stderr, "stub driver: %s: %s\n", f->name.c_str(), failure);
        return failure ? LAUNCH_FAILED : OK;
    });
}

API cuStreamBeginCapture_v2(void* stream, int) {
    Lock lock(lock_);
    if (int code = refused("cuStreamBeginCapture_v2")) return code;
    if (!stream || stream_of(stream)->recorded) return INVALID_VALUE;
    return stream_of(stream)->recorded = new Steps, OK;
}
API cuStreamEndCapture(void* stream, void** graph) {
    Lock lock(lock_);
    Steps* recorded = stream_of(stream)->recorded;
    if (!recorded) return INVALID_VALUE;
    stream_of(stream)->recorded = nullptr;
    *graph = recorded->empty() ? nullptr : new Graph{*recorded};
    delete recorded;
    return refused("cuStreamEndCapture");
}
API cuGraphInstantiateWithFlags(void** ready, void* graph, unsigned long long) { return *ready = new Graph(*(Graph*)graph), refused("cuGraphInstantiateWithFlags"); }
API cuGraphLaunch(void* graph, void* stream) {
    Lock lock(lock_);
    if (int code = refused("cuGraphLaunch")) return code;
    ++counts[8];
    for (auto& step : ((Graph*)graph)->work) put_off(stream, step);
    return OK;
}
API cuGraphDestroy(void* graph) { return delete (Graph*)graph, OK; }
#ifndef STUB_LACKS_A_FUNCTION
API cuGraphExecDestroy(void* graph) { return delete (Graph*)graph, OK; }
#endif

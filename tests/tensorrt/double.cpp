// A library with the binary form of TensorRT 10, 11 or TensorRT-RTX (-DDOUBLE_ABI=0, 1, 2) and no GPU in it: an engine is the
// ONNX file it was built from, and a run goes to a function the test registers, with host addresses. -DDOUBLE_LEAN leaves out
// the builder. Tables are filled by slots.def; a place that this program should not call aborts. Whether slots.def is
// right is for headers.rs and the real library to say.
//
// Knobs: the variable HPINFER_DOUBLE, words separated by commas, or trs_double_knobs() while no call runs.
#include "interfaces.hpp"

#include <dlfcn.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

using trs::Dims;
using Bytes = std::string;

namespace {

constexpr int ABI = DOUBLE_ABI;
constexpr int32_t NEWEST[] = {101601, 110400, 10701};

struct Call {
    int16_t slot[3];
};
struct Number {
    int16_t of[3];
};
#define CALL(key, cls, function, a10, since, a11, rtx) constexpr Call key{{a10, a11, rtx}};
#define VALUE(key, enumeration, enumerator, a10, a11, rtx) constexpr Number key{{a10, a11, rtx}};
#define OURS(ours, cls, function, a10, a11, rtx)
#include "slots.def"
#undef CALL
#undef VALUE
#undef OURS

int32_t value(Number const& n) { return n.of[ABI]; }

// ---------------------------------------------------------------- knobs

Bytes& knobs() {
    static Bytes text = getenv("HPINFER_DOUBLE") ? getenv("HPINFER_DOUBLE") : "";
    return text;
}

// The value of `name=value`, "1" for a bare `name`, "" when it is not set.
Bytes knob(char const* name) {
    Bytes const& all = knobs();
    size_t at = 0;
    while (at < all.size()) {
        size_t end = std::min(all.find(',', at), all.size());
        Bytes word = all.substr(at, end - at);
        size_t equals = word.find('=');
        if (word.substr(0, equals) == name) return equals == Bytes::npos ? "1" : word.substr(equals + 1);
        at = end + 1;
    }
    return "";
}

bool on(char const* name) { return !knob(name).empty(); }

int32_t version() {
    Bytes named = knob("version");
    return named.empty() ? NEWEST[ABI] : atoi(named.c_str());
}

// ---------------------------------------------------------------- objects

[[noreturn]] void unexpected() {
    fprintf(stderr, "a function that this program does not use was called\n");
    abort();
}

using Table = std::vector<void*>;

template <class Function>
void put(Table& table, Call const& call, Function function) {
    if (call.slot[ABI] >= 0) table[call.slot[ABI]] = reinterpret_cast<void*>(function);
}

// {table, implementation}, the form of every public class.
struct Face {
    void** table;
    void** implementation;
};

std::atomic<int> alive{0};

// A body whose first word, as the library's callers see it, is its table.
template <class State>
struct Object {
    Face face;
    void** table;
    State state;

    static Object* of(void* implementation) { return reinterpret_cast<Object*>(static_cast<char*>(implementation) - offsetof(Object, table)); }
    static void destroy(Object* self) {
        --alive;
        delete self;
    }
};

template <class State>
Table const& face_table() {
    static Table table{reinterpret_cast<void*>(unexpected), reinterpret_cast<void*>(Object<State>::destroy)};
    return table;
}

template <class State>
Face* make(Table const& table, State state) {
    ++alive;
    auto* object = new Object<State>{{const_cast<void**>(face_table<State>().data()), nullptr}, const_cast<void**>(table.data()), std::move(state)};
    object->face.implementation = reinterpret_cast<void**>(&object->table);
    return &object->face;
}

template <class State>
State& state_of(void* implementation) { return Object<State>::of(implementation)->state; }

template <class State>
State& state_of(Face* face) { return reinterpret_cast<Object<State>*>(face)->state; }

Table blank() { return Table(128, reinterpret_cast<void*>(unexpected)); }

void log(void* logger, int32_t severity, char const* text) {
    if (ABI == 0) static_cast<trs::OldLogger*>(logger)->log(severity, text);
    else static_cast<trs::NewLogger*>(logger)->log(severity, text);
}

// ---------------------------------------------------------------- the little of ONNX that is needed

struct Tensor {
    Bytes name;
    int32_t dtype = 0;
    Dims dims{0, {}};
};

struct Graph {
    std::vector<Tensor> inputs, outputs;
    bool valid = false;
};

class Reader {
public:
    Reader(char const* at, size_t size) : at_(at), end_(at + size) {}

    // The next field: number, varint value or bytes. False at the end or in damaged data.
    bool next(uint32_t& field, uint64_t& number, Bytes& bytes) {
        uint64_t tag, length;
        if (at_ >= end_ || !varint(tag)) return false;
        field = tag >> 3;
        number = 0;
        bytes.clear();
        switch (tag & 7) {
        case 0: return varint(number);
        case 1: return skip(8);
        case 2:
            if (!varint(length) || length > static_cast<uint64_t>(end_ - at_)) return bad();
            bytes.assign(at_, length);
            at_ += length;
            return true;
        case 5: return skip(4);
        default: return bad();
        }
    }
    bool broken() const { return broken_; }

private:
    bool bad() {
        broken_ = true;
        return false;
    }
    bool skip(size_t n) {
        if (static_cast<size_t>(end_ - at_) < n) return bad();
        at_ += n;
        return true;
    }
    bool varint(uint64_t& v) {
        v = 0;
        for (int shift = 0; shift < 64 && at_ < end_; shift += 7) {
            uint8_t c = *at_++;
            v |= uint64_t(c & 127) << shift;
            if (c < 128) return true;
        }
        return bad();
    }
    char const* at_;
    char const* end_;
    bool broken_ = false;
};

template <class Each>
bool fields(Bytes const& message, Each each) {
    Reader reader(message.data(), message.size());
    uint32_t field;
    uint64_t number;
    Bytes bytes;
    while (reader.next(field, number, bytes)) each(field, number, bytes);
    return !reader.broken();
}

int32_t dtype_of(uint64_t onnx) {
    switch (onnx) {
    case 1: return value(dtype_float);
    case 6: return value(dtype_int32);
    case 7: return value(dtype_int64);
    case 9: return value(dtype_bool);
    case 10: return value(dtype_half);
    default: return 99;
    }
}

// ValueInfoProto: name 1, type 2; TypeProto: tensor 1; Tensor: element 1, shape 2; Shape: dim 1; Dimension: value 1.
Tensor tensor(Bytes const& info) {
    Tensor t;
    fields(info, [&](uint32_t f, uint64_t, Bytes const& b) {
        if (f == 1) t.name = b;
        if (f == 2) fields(b, [&](uint32_t f, uint64_t, Bytes const& b) {
            if (f == 1) fields(b, [&](uint32_t f, uint64_t n, Bytes const& b) {
                if (f == 1) t.dtype = dtype_of(n);
                if (f == 2) fields(b, [&](uint32_t f, uint64_t, Bytes const& b) {
                    if (f != 1 || t.dims.rank >= 8) return;
                    int64_t d = -1;
                    fields(b, [&](uint32_t f, uint64_t n, Bytes const&) {
                        if (f == 1) d = static_cast<int64_t>(n);
                    });
                    t.dims.d[t.dims.rank++] = d;
                });
            });
        });
    });
    return t;
}

// ModelProto: graph 7; GraphProto: initializer 5 (name 8), input 11, output 12.
Graph graph(Bytes const& onnx) {
    Graph g;
    std::vector<Bytes> constants;
    bool whole = fields(onnx, [&](uint32_t f, uint64_t, Bytes const& b) {
        if (f != 7) return;
        g.valid = fields(b, [&](uint32_t f, uint64_t, Bytes const& b) {
            if (f == 5) fields(b, [&](uint32_t f, uint64_t, Bytes const& b) {
                if (f == 8) constants.push_back(b);
            });
            if (f == 11) g.inputs.push_back(tensor(b));
            if (f == 12) g.outputs.push_back(tensor(b));
        });
    });
    std::vector<Tensor> free;
    for (auto& t : g.inputs) {
        bool constant = false;
        for (auto& c : constants) constant |= c == t.name;
        if (!constant) free.push_back(t);
    }
    g.inputs = free;
    g.valid = g.valid && whole && !g.outputs.empty();
    return g;
}

// ---------------------------------------------------------------- the run, in the hands of the test

struct RunTensor {
    char const* name;
    int32_t dtype;
    int32_t rank;
    int64_t dims[8];
    void* data; // outputs: null asks for the dimensions only
};
using Run = int32_t (*)(void* user, void const* onnx, size_t size, RunTensor* inputs, size_t input_count, RunTensor* outputs, size_t output_count);

std::mutex run_lock;
Run run_function = nullptr;
void* run_user = nullptr;

// Knob: where a test gave no function, outputs are rows of so many equal numbers, one for each row of the first input.
bool fill(std::vector<RunTensor> const& in, std::vector<RunTensor>& out) {
    int columns = atoi(knob("columns").c_str());
    for (auto& o : out) {
        o.rank = 2, o.dims[0] = in[0].dims[0], o.dims[1] = columns;
        if (o.data) std::fill_n(static_cast<float*>(o.data), o.dims[0] * columns, 1.0f / float(columns));
    }
    return columns > 0;
}

// The word `classifies`: in a process where no test has a function a run computes the network of tests/fixtures/miniatures/classify,
// the softmax of eight times the mean of each channel, and -1.
bool classify(RunTensor const& x, RunTensor& y) {
    int64_t channels = x.dims[1], pixels = x.dims[2] * x.dims[3];
    y.rank = 2;
    y.dims[0] = x.dims[0];
    y.dims[1] = channels + 1;
    if (!x.data || !y.data) return true;
    auto* pixel = static_cast<float const*>(x.data);
    auto* row = static_cast<float*>(y.data);
    for (int64_t i = 0; i < x.dims[0]; ++i, row += channels + 1) {
        float sum = row[channels] = std::exp(-1.0f);
        for (int64_t c = 0; c < channels; ++c, pixel += pixels) {
            sum += row[c] = std::exp(8 * std::accumulate(pixel, pixel + pixels, 0.0f) / pixels);
        }
        for (int64_t c = 0; c <= channels; ++c) row[c] /= sum;
    }
    return true;
}

bool run(Bytes const& onnx, std::vector<RunTensor>& in, std::vector<RunTensor>& out) {
    std::unique_lock<std::mutex> hold(run_lock);
    Run function = run_function;
    void* user = run_user;
    hold.unlock();
    if (!function && on("classifies")) return classify(in.at(0), out.at(0));
    if (!function) return fill(in, out);
    return function(user, onnx.data(), onnx.size(), in.data(), in.size(), out.data(), out.size()) == 0;
}

// ---------------------------------------------------------------- states

struct Selected {
    Dims of[3];
};
using ProfileRanges = std::map<Bytes, Selected>;

struct Plan {
    Bytes onnx;
    std::vector<ProfileRanges> profiles;
    bool version_compatible = false;
};

struct HostMemory {
    Bytes bytes;
};
struct Profile {
    ProfileRanges ranges;
};
struct TimingCache {
    Bytes bytes;
};
struct Config {
    std::vector<ProfileRanges> profiles;
    Face* timing = nullptr;
    trs::ProgressMonitor* progress = nullptr;
    bool version_compatible = false;
};
struct Network {
    Bytes onnx;
};
struct Builder {
    void* logger;
    std::vector<Face*> profiles;
    ~Builder();
};
struct Runtime {
    void* logger;
    bool host_code = false;
};
struct Engine {
    Plan plan;
    Graph graph;
    void* logger;
    std::vector<Tensor const*> io() const {
        std::vector<Tensor const*> all;
        for (auto& t : graph.inputs) all.push_back(&t);
        for (auto& t : graph.outputs) all.push_back(&t);
        return all;
    }
    Tensor const* find(char const* name) const {
        for (auto* t : io())
            if (t->name == name) return t;
        return nullptr;
    }
    bool is_input(Tensor const* t) const {
        for (auto& i : graph.inputs)
            if (&i == t) return true;
        return false;
    }
};
using OutputAllocator = std::conditional_t<ABI == 2, trs::RtxOutputAllocator, trs::OutputAllocator>;

// A run of an engine with its shapes and addresses.
struct Job {
    Engine const* engine;
    std::vector<RunTensor> in, out;
};
struct Context {
    Engine* engine;
    int32_t profile = 0;
    std::map<Bytes, Dims> shapes; // of inputs as set, of outputs as inferred
    std::map<Bytes, void*> addresses;
    std::map<Bytes, OutputAllocator*> allocators;
    bool user_scratch = false;
    int64_t scratch_needed = -1; // for the present shapes, once it was asked; before, what does for all
    bool has_scratch = false;    // given since shapes were set and the question was asked
    std::vector<std::shared_ptr<Job>> jobs; // a stream may run them as long as there is this context

    void forget_scratch() {
        scratch_needed = -1;
        has_scratch = false;
    }
};

Builder::~Builder() {
    for (Face* f : profiles) Object<Profile>::destroy(reinterpret_cast<Object<Profile>*>(f));
}

constexpr char MAGIC[] = "HPDOUBLE";

template <class T>
void append(Bytes& to, T const& v) { to.append(reinterpret_cast<char const*>(&v), sizeof v); }

template <class T>
bool take(Bytes const& from, size_t& at, T& v) {
    if (from.size() - at < sizeof v) return false;
    memcpy(&v, from.data() + at, sizeof v);
    at += sizeof v;
    return true;
}

Bytes to_bytes(Plan const& plan) {
    Bytes out(MAGIC, 8);
    append(out, version());
    append(out, plan.version_compatible);
    append(out, static_cast<int32_t>(plan.profiles.size()));
    for (auto& p : plan.profiles) {
        append(out, static_cast<int32_t>(p.size()));
        for (auto& [name, s] : p) {
            append(out, static_cast<int32_t>(name.size()));
            out += name;
            append(out, s);
        }
    }
    return out + plan.onnx;
}

// A plan of another version brings code of its own, which the runtime has to be allowed to run.
bool from_bytes(Bytes const& in, bool host_code, Plan& plan, char const*& why) {
    size_t at = 8;
    int32_t made_by, profiles, inputs, length;
    why = "Serialization assertion magicTag failed";
    if (in.size() < 8 || memcmp(in.data(), MAGIC, 8) != 0) return false;
    why = "Version tag does not match";
    if (!take(in, at, made_by) || !take(in, at, plan.version_compatible)) return false;
    bool later = made_by / 10000 == version() / 10000 && made_by < version();
    if (made_by != version() && !(plan.version_compatible && later && host_code)) return false;
    why = "the plan is cut off";
    if (!take(in, at, profiles) || profiles < 0 || profiles > 99) return false;
    for (int32_t p = 0; p < profiles; ++p) {
        plan.profiles.emplace_back();
        if (!take(in, at, inputs)) return false;
        for (int32_t i = 0; i < inputs; ++i) {
            if (!take(in, at, length) || in.size() - at < static_cast<size_t>(length)) return false;
            Bytes name = in.substr(at, length);
            at += length;
            if (!take(in, at, plan.profiles.back()[name])) return false;
        }
    }
    plan.onnx = in.substr(at);
    return true;
}

// ---------------------------------------------------------------- the functions in the tables

Table const& blob_table() {
    static Table table = [] {
        Table t = blank();
        put(t, blob_data, +[](void* self) -> void* { return state_of<HostMemory>(self).bytes.data(); });
        put(t, blob_size, +[](void* self) -> size_t { return state_of<HostMemory>(self).bytes.size(); });
        return t;
    }();
    return table;
}

Face* blob(Bytes bytes) { return make(blob_table(), HostMemory{std::move(bytes)}); }

Table const& timing_table() {
    static Table table = [] {
        Table t = blank();
        put(t, timing_serialize, +[](void* self) { return blob(state_of<TimingCache>(self).bytes + "t"); });
        return t;
    }();
    return table;
}

Table const& profile_table() {
    static Table table = [] {
        Table t = blank();
        put(t, profile_dimensions, +[](void* self, char const* name, int32_t select, Dims const& dims) {
            if (select < 0 || select > 2 || dims.rank < 0 || dims.rank > 8) return false;
            state_of<Profile>(self).ranges[name].of[select] = dims;
            return true;
        });
        return t;
    }();
    return table;
}

Table const& config_table() {
    static Table table = [] {
        Table t = blank();
        put(t, config_flag, +[](void* self, int32_t flag) { state_of<Config>(self).version_compatible |= flag == value(flag_version_compatible); });
        put(t, config_clear_flag, +[](void*, int32_t) {});
        put(t, config_pool, +[](void*, int32_t, size_t) {});
        put(t, config_level, +[](void*, int32_t) {});
        put(t, config_hardware, +[](void*, int32_t) {});
        put(t, config_targets, +[](void*, int32_t) { return true; });
        put(t, config_target, +[](void*, int32_t sm, int32_t) { return sm == 75 || sm == 86; });
        put(t, config_progress, +[](void* self, trs::ProgressMonitor* m) { state_of<Config>(self).progress = m; });
        put(t, config_new_timing, +[](void*, void const* bytes, size_t size) {
            return make(timing_table(), TimingCache{Bytes(static_cast<char const*>(bytes ? bytes : ""), size)});
        });
        put(t, config_set_timing, +[](void* self, Face* cache, bool) {
            state_of<Config>(self).timing = cache;
            return true;
        });
        put(t, config_timing, +[](void* self) { return state_of<Config>(self).timing; });
        put(t, config_add_profile, +[](void* self, Face* profile) -> int32_t {
            auto& ranges = state_of<Profile>(profile).ranges;
            for (auto& [name, s] : ranges)
                for (int i = 0; i < s.of[1].rank; ++i)
                    if (s.of[0].d[i] > s.of[1].d[i] || s.of[1].d[i] > s.of[2].d[i]) return -1;
            state_of<Config>(self).profiles.push_back(ranges);
            return static_cast<int32_t>(state_of<Config>(self).profiles.size()) - 1;
        });
        return t;
    }();
    return table;
}

Table const& network_table() {
    static Table table = blank();
    return table;
}

// A build of four steps; the knob `build_ms` says how long they take.
bool pretend_to_work(Config& config) {
    constexpr int STEPS = 4;
    int ms = atoi(knob("build_ms").c_str());
    if (config.progress) config.progress->phaseStart("Building", nullptr, STEPS);
    bool go_on = true;
    for (int i = 0; i < STEPS && go_on; ++i) {
        if (ms) std::this_thread::sleep_for(std::chrono::milliseconds(ms / STEPS));
        if (config.progress) go_on = config.progress->stepComplete("Building", i);
    }
    if (config.progress) config.progress->phaseFinish("Building");
    return go_on;
}

Table const& builder_table() {
    static Table table = [] {
        Table t = blank();
        put(t, builder_config, +[](void*) { return make(config_table(), Config{}); });
        put(t, builder_network, +[](void*, uint32_t) { return make(network_table(), Network{}); });
        put(t, builder_profile, +[](void* self) {
            Face* profile = make(profile_table(), Profile{});
            state_of<Builder>(self).profiles.push_back(profile);
            return profile;
        });
        put(t, builder_build, +[](void* self, Face* network, Face* config) -> Face* {
            auto& builder = state_of<Builder>(self);
            auto& settings = state_of<Config>(config);
            if (on("log_from_threads")) {
                std::vector<std::thread> threads;
                for (int i = 0; i < 4; ++i) threads.emplace_back([&] { for (int j = 0; j < 50; ++j) log(builder.logger, 3, "kernel timed"); });
                for (auto& t : threads) t.join();
            }
            if (on("log_errors")) {
                log(builder.logger, 1, "the builder's own error");
                std::thread([&] { log(builder.logger, 1, "an error of its worker"); }).join();
            }
            if (on("log_null")) log(builder.logger, 2, nullptr);
            if (on("build_throw")) throw std::runtime_error("thrown in the middle of a build");
            if (on("build_throw_number")) throw 7;
            if (!pretend_to_work(settings)) return nullptr;
            if (Bytes counter = knob("count"); !counter.empty()) {
                if (FILE* f = fopen(counter.c_str(), "a")) {
                    fputs("built\n", f);
                    fclose(f);
                }
            }
            if (on("build_null")) {
                log(builder.logger, 1, "Error Code 10: Internal Error (no implementation was found)");
                return nullptr;
            }
            return blob(to_bytes({state_of<Network>(network).onnx, settings.profiles, settings.version_compatible}));
        });
        return t;
    }();
    return table;
}

// The word `late=name`: the size of this output depends on data, as does that of the self-test's network.
bool is_late(Bytes const& name) { return name == "places" || knob("late") == name; }

// Waits for a stream, where there is a stand-in for the driver that knows it.
bool settled(void* stream) {
    if (!stream) return true;
    void* driver = dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD);
    auto wait = driver ? reinterpret_cast<int (*)(void*)>(dlsym(driver, "cuStreamSynchronize")) : nullptr;
    return wait && wait(stream) == 0;
}

// Puts a run into a stream, where there is a stand-in for the driver that knows it.
bool put_into(void* stream, std::shared_ptr<Job> const& job) {
    void* driver = dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD);
    auto launch = driver ? reinterpret_cast<int (*)(void*, void (*)(void*), void*)>(dlsym(driver, "cuLaunchHostFunc")) : nullptr;
    auto run_job = [](void* user) {
        auto& job = *static_cast<Job*>(user);
        if (!run(job.engine->plan.onnx, job.in, job.out)) log(job.engine->logger, 1, "a run in a stream: the test's function failed");
    };
    return launch && launch(stream, run_job, job.get()) == 0;
}

// Scratch memory for inputs of so many elements.
int64_t scratch_for(int64_t elements) { return 256 + elements; }

int64_t elements(Dims const& dims) {
    int64_t all = 1;
    for (int i = 0; i < dims.rank; ++i) all *= dims.d[i];
    return all;
}

int64_t scratch_for_all(Engine const& engine) {
    int64_t most = 0;
    for (auto& profile : engine.plan.profiles) {
        int64_t all = 0;
        for (auto& [_, range] : profile) all += elements(range.of[2]);
        most = std::max(most, all);
    }
    return scratch_for(most);
}

Table const& context_table() {
    static Table table = [] {
        Table t = blank();
        put(t, context_profile, +[](void* self, int32_t profile, void*) {
            auto& c = state_of<Context>(self);
            if (profile < 0 || profile >= static_cast<int32_t>(c.engine->plan.profiles.size())) return false;
            c.profile = profile;
            c.shapes.clear();
            c.forget_scratch();
            return true;
        });
        put(t, context_set_shape, +[](void* self, char const* name, Dims const& dims) {
            auto& c = state_of<Context>(self);
            auto* tensor = c.engine->find(name);
            if (!tensor || !c.engine->is_input(tensor) || tensor->dims.rank != dims.rank) return false;
            for (int i = 0; i < dims.rank; ++i)
                if (tensor->dims.d[i] >= 0 && tensor->dims.d[i] != dims.d[i]) return false;
            auto& profiles = c.engine->plan.profiles;
            if (!profiles.empty()) {
                auto range = profiles[c.profile].find(name);
                if (range != profiles[c.profile].end())
                    for (int i = 0; i < dims.rank; ++i)
                        if (dims.d[i] < range->second.of[0].d[i] || dims.d[i] > range->second.of[2].d[i]) {
                            log(c.engine->logger, 1, "setInputShape: Error Code 3: API Usage Error (outside the profile)");
                            return false;
                        }
            }
            for (auto& o : c.engine->graph.outputs) c.shapes.erase(o.name);
            c.shapes[name] = dims;
            c.forget_scratch();
            return true;
        });
        put(t, context_infer_shapes, +[](void* self, int32_t room, char const** missing) -> int32_t {
            auto& c = state_of<Context>(self);
            int32_t count = 0;
            std::vector<RunTensor> in, out;
            for (auto& t : c.engine->graph.inputs) {
                bool fixed = true;
                for (int i = 0; i < t.dims.rank; ++i) fixed &= t.dims.d[i] >= 0;
                if (fixed && !c.shapes.count(t.name)) c.shapes[t.name] = t.dims;
                if (!c.shapes.count(t.name)) {
                    if (count < room) missing[count] = t.name.c_str();
                    ++count;
                    continue;
                }
                Dims const& d = c.shapes[t.name];
                in.push_back({t.name.c_str(), t.dtype, d.rank, {}, nullptr});
                memcpy(in.back().dims, d.d, sizeof d.d);
            }
            if (count) return count;
            for (auto& t : c.engine->graph.outputs) out.push_back({t.name.c_str(), t.dtype, 0, {}, nullptr});
            if (!run(c.engine->plan.onnx, in, out)) return -1;
            for (auto& o : out) {
                Dims d{o.rank, {}};
                memcpy(d.d, o.dims, sizeof d.d);
                if (is_late(o.name)) d.d[0] = -1;
                c.shapes[o.name] = d;
            }
            return 0;
        });
        put(t, context_shape, +[](void* self, char const* name) -> Dims {
            auto& c = state_of<Context>(self);
            auto found = c.shapes.find(name);
            if (found != c.shapes.end()) return found->second;
            auto* tensor = c.engine->find(name);
            return tensor ? tensor->dims : Dims{-1, {}};
        });
        put(t, context_address, +[](void* self, char const* name, void* address) {
            auto& c = state_of<Context>(self);
            if (!c.engine->find(name) || reinterpret_cast<uintptr_t>(address) % 256) return false;
            c.addresses[name] = address;
            return true;
        });
        put(t, context_allocator, +[](void* self, char const* name, void* allocator) {
            auto& c = state_of<Context>(self);
            auto* tensor = c.engine->find(name);
            if (!tensor || c.engine->is_input(tensor)) return false;
            c.allocators[name] = static_cast<OutputAllocator*>(allocator);
            return true;
        });
        put(t, context_scratch_needed, +[](void* self) -> size_t {
            if (on("scratch_untold")) return 0;
            auto& c = state_of<Context>(self);
            int64_t all = 0;
            for (auto& t : c.engine->graph.inputs) all += elements(c.shapes[t.name]);
            c.has_scratch = false;
            return c.scratch_needed = scratch_for(all);
        });
        put(t, context_scratch, +[](void* self, void* memory, int64_t size) {
            auto& c = state_of<Context>(self);
            c.has_scratch = memory && size >= (c.scratch_needed < 0 ? scratch_for_all(*c.engine) : c.scratch_needed);
            if (!c.has_scratch) log(c.engine->logger, 1, "setDeviceMemoryV2: Error Code 3: API Usage Error (too little)");
        });
        put(t, context_enqueue, +[](void* self, void* stream) {
            auto& c = state_of<Context>(self);
            auto fail = [&](char const* why) {
                log(c.engine->logger, 1, why);
                return false;
            };
            if (on("enqueue_false")) return fail("Error Code 1: Cuda Runtime (an illegal memory access was encountered)");
            if (c.user_scratch && !c.has_scratch) return fail("no device memory was given");
            auto job = std::make_shared<Job>(Job{c.engine, {}, {}});
            auto& [_, in, out] = *job;
            bool late = false;
            for (auto* t : c.engine->io()) {
                if (is_late(t->name)) {
                    late = true;
                    if (!c.allocators.count(t->name)) return fail("an output of unknown size has no allocator");
                    out.push_back({t->name.c_str(), t->dtype, 0, {}, nullptr});
                    continue;
                }
                if (!c.addresses.count(t->name) || !c.shapes.count(t->name)) return fail("a tensor has no address or no shape");
                Dims const& d = c.shapes[t->name];
                auto& list = c.engine->is_input(t) ? in : out;
                list.push_back({t->name.c_str(), t->dtype, d.rank, {}, c.addresses[t->name]});
                memcpy(list.back().dims, d.d, sizeof d.d);
            }
            if (late) {
                // As the library: it waits for its stream, and asks for memory when it knows how much.
                if (!settled(stream) || !run(c.engine->plan.onnx, in, out)) return fail("the test's function failed");
                for (auto& o : out) {
                    if (!is_late(o.name)) continue;
                    auto* allocator = c.allocators[o.name];
                    Dims d{o.rank, {}};
                    memcpy(d.d, o.dims, sizeof d.d);
                    o.data = allocator->reallocateOutputAsync(o.name, c.addresses[o.name], elements(d) * 4, 256, stream);
                    if (!o.data || reinterpret_cast<uintptr_t>(o.data) % 256) return fail("reallocateOutput: Error Code 2: OutOfMemory");
                    c.addresses[o.name] = o.data;
                    allocator->notifyShape(o.name, d);
                }
            }
            if (!stream) return run(c.engine->plan.onnx, in, out) || fail("the test's function failed");
            c.jobs.push_back(job);
            return put_into(stream, job) || fail("the stream takes no run");
        });
        return t;
    }();
    return table;
}

Table const& engine_table() {
    static Table table = [] {
        Table t = blank();
        put(t, engine_io_count, +[](void* self) { return static_cast<int32_t>(state_of<Engine>(self).io().size()); });
        put(t, engine_io_name, +[](void* self, int32_t i) { return state_of<Engine>(self).io()[i]->name.c_str(); });
        put(t, engine_io_mode, +[](void* self, char const* name) {
            auto& e = state_of<Engine>(self);
            return e.is_input(e.find(name)) ? value(io_input) : value(io_output);
        });
        put(t, engine_dtype, +[](void* self, char const* name) { return state_of<Engine>(self).find(name)->dtype; });
        put(t, engine_shape, +[](void* self, char const* name) -> Dims { return state_of<Engine>(self).find(name)->dims; });
        put(t, engine_profiles, +[](void* self) { return std::max<int32_t>(1, state_of<Engine>(self).plan.profiles.size()); });
        put(t, engine_profile_shape, +[](void* self, char const* name, int32_t profile, int32_t select) -> Dims {
            auto& e = state_of<Engine>(self);
            auto* tensor = e.find(name);
            if (!tensor || !e.is_input(tensor)) return Dims{-1, {}};
            if (e.plan.profiles.empty() || !e.plan.profiles[profile].count(name)) return tensor->dims;
            return e.plan.profiles[profile][name].of[select];
        });
        put(t, engine_scratch, +[](void* self) -> int64_t { return scratch_for_all(state_of<Engine>(self)); });
        put(t, engine_context, +[](void* self, int32_t strategy) -> Face* {
            auto& e = state_of<Engine>(self);
            if (on("context_null")) {
                log(e.logger, 1, "Error Code 1: Cuda Runtime (out of memory)");
                return nullptr;
            }
            Context c;
            c.engine = &e;
            c.user_scratch = strategy == value(context_user_managed);
            return make(context_table(), c);
        });
        return t;
    }();
    return table;
}

Table const& runtime_table() {
    static Table table = [] {
        Table t = blank();
        put(t, runtime_allow_host_code, +[](void* self, bool allowed) { state_of<Runtime>(self).host_code = allowed; });
        put(t, runtime_deserialize, +[](void* self, void const* bytes, size_t size) -> Face* {
            auto& runtime = state_of<Runtime>(self);
            Engine e{{}, {}, runtime.logger};
            char const* why = "the knob refuse_plan is set";
            if (on("refuse_plan") || !from_bytes(Bytes(static_cast<char const*>(bytes), size), runtime.host_code, e.plan, why)) {
                log(runtime.logger, 1, why);
                return nullptr;
            }
            e.graph = graph(e.plan.onnx);
            return make(engine_table(), std::move(e));
        });
        return t;
    }();
    return table;
}

// ---------------------------------------------------------------- the parser, called without an implementation behind it

struct ParserError {
    void** table;
};

struct Parser {
    void** table;
    Face* network;
    void* logger;
    ParserError error;
    bool failed = false;
};

void** error_table() {
    static Table table = [] {
        Table t = blank();
        put(t, error_text, +[](void*) { return "In node 3 (importNode): UNSUPPORTED_NODE: no importer for operator Strange"; });
        put(t, error_node, +[](void*) { return 3; });
        return t;
    }();
    return table.data();
}

void** parser_table() {
    static Table table = [] {
        Table t = blank();
        put(t, parser_parse, +[](Parser* self, void const* bytes, size_t size, char const*) {
            Bytes onnx(static_cast<char const*>(bytes), size);
            self->failed = on("parse_fail") || !graph(onnx).valid;
            state_of<Network>(self->network).onnx = onnx;
            return !self->failed;
        });
        put(t, parser_errors, +[](Parser* self) { return self->failed ? 1 : 0; });
        put(t, parser_error, +[](Parser* self, int) { return &self->error; });
        put(t, parser_delete, +[](Parser* self) {
            --alive;
            delete self;
        });
        return t;
    }();
    return table.data();
}

} // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

// Says that addresses are of the host; TensorRT has no such symbol.
EXPORT int32_t trs_host_memory;
int32_t trs_host_memory = 1;

EXPORT void trs_double_set_run(Run function, void* user) {
    std::lock_guard<std::mutex> hold(run_lock);
    run_function = function;
    run_user = user;
}
EXPORT void trs_double_knobs(char const* text) { knobs() = text; }
// Objects that were made and not destroyed.
EXPORT int32_t trs_double_alive() { return alive.load(); }

EXPORT int32_t getInferLibVersion() { return version(); }
EXPORT int32_t getInferLibBuildVersion() { return 7; }

EXPORT void* createInferRuntime_INTERNAL(void* logger, int32_t) {
    if (on("create_null")) return nullptr;
    if (on("create_bogus")) { // what TensorRT 10.16 and 11.4 do without a driver
        log(logger, 1, "createInferRuntime: Error Code 6: API Usage Error (CUDA initialization failure with error: 35)");
        return reinterpret_cast<void*>(0x228);
    }
    if (on("create_bogus_silent")) return reinterpret_cast<void*>(0x228);
    if (on("create_error")) log(logger, 1, "Error Code 1: Cuda Runtime (driver version is insufficient)");
    if (on("create_throw")) throw std::runtime_error("thrown while a runtime is made");
    log(logger, 3, "a double of TensorRT");
    return make(runtime_table(), Runtime{logger});
}

#ifndef DOUBLE_LEAN
EXPORT void* createInferBuilder_INTERNAL(void* logger, int32_t) {
    return on("builder_null") ? nullptr : make(builder_table(), Builder{logger, {}});
}
EXPORT int32_t getNvOnnxParserVersion() { return on("parser_other") ? 10000 : 100; }
EXPORT void* createNvOnnxParser_INTERNAL(void* network, void* logger, int) {
    ++alive;
    return new Parser{parser_table(), static_cast<Face*>(network), logger, {error_table()}};
}
#endif

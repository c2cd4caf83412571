// Building a plan out of an ONNX graph.
#include "library.hpp"

#include <string>

using namespace trs;

namespace {

class Parser {
public:
    Parser(trs_lib const& lib, void* object) : lib_(lib), object_(is_object(object) ? object : nullptr) {}
    Parser(Parser const&) = delete;
    Parser& operator=(Parser const&) = delete;
    ~Parser() {
        if (object_) call_direct<void>(lib_, parser_delete, object_);
    }
    explicit operator bool() const { return object_ != nullptr; }

    bool parse(void const* onnx, size_t size) {
        return call_direct<bool, void const*, size_t, char const*>(lib_, parser_parse, object_, onnx, size, nullptr);
    }

    std::string errors() {
        std::string all;
        for (int32_t i = 0, n = call_direct<int>(lib_, parser_errors, object_); i < n; ++i) {
            void* error = call_direct<void*, int>(lib_, parser_error, object_, i);
            if (!is_object(error)) continue;
            char const* text = call_direct<char const*>(lib_, error_text, error);
            if (!all.empty()) all += "; ";
            int node = call_direct<int>(lib_, error_node, error);
            all += "node " + std::to_string(node) + ": " + (text ? text : "no reason given");
        }
        return all;
    }

private:
    trs_lib const& lib_;
    void* object_;
};

class Monitor final : public trs::ProgressMonitor {
public:
    Monitor(trs_progress_fn tell, void* user) : tell_(tell), user_(user) {}

    void phaseStart(char const* phase, char const* parent, int32_t steps) noexcept override { tell(TRS_PHASE_START, phase, parent, steps); }
    bool stepComplete(char const* phase, int32_t step) noexcept override { return tell(TRS_PHASE_STEP, phase, nullptr, step + 1); }
    void phaseFinish(char const* phase) noexcept override { tell(TRS_PHASE_END, phase, nullptr, 0); }
    bool stopped() const { return stopped_.load(std::memory_order_relaxed); }

private:
    bool tell(trs_progress_event event, char const* phase, char const* parent, int32_t steps) noexcept {
        if (!tell_(user_, event, phase ? phase : "", parent, steps)) stopped_.store(true, std::memory_order_relaxed);
        return !stopped();
    }

    trs_progress_fn tell_;
    void* user_;
    std::atomic<bool> stopped_{false};
};

trs_status configure(trs_lib const& lib, void* builder, void* config, trs_build_options const& o, char* message, size_t room) {
    auto unsupported = [&](char const* what) { return say(message, room, "this version of TensorRT has no %s", what), TRS_UNSUPPORTED; };
    auto flag = [&](Number const& number) { call<void, int32_t>(lib, config_flag, config, lib.value(number)); };
    if (o.fp16) {
        if (lib.value(flag_fp16) < 0) return unsupported("half precision flag: give it a graph in half precision");
        flag(flag_fp16);
    }
    if (!o.tf32) call<void, int32_t>(lib, config_clear_flag, config, lib.value(flag_tf32));
    if (o.version_compatible) flag(flag_version_compatible);
    if (o.ampere_plus) call<void, int32_t>(lib, config_hardware, config, lib.value(hardware_ampere_plus));
    if (o.optimization_level >= 0) call<void, int32_t>(lib, config_level, config, o.optimization_level);
    if (o.workspace) call<void, int32_t, size_t>(lib, config_pool, config, lib.value(pool_workspace), o.workspace);
    if (o.compute_capability) {
        if (!lib.has(config_target)) return unsupported("builds for another GPU than this one");
        call<bool, int32_t>(lib, config_targets, config, 1);
        if (!call<bool, int32_t, int32_t>(lib, config_target, config, o.compute_capability, 0)) {
            say(message, room, "the builder has no target of compute capability %d.%d", o.compute_capability / 10, o.compute_capability % 10);
            return TRS_UNSUPPORTED;
        }
    }
    for (size_t p = 0; p < o.profile_count; ++p) {
        void* profile = call<void*>(lib, builder_profile, builder); // the builder owns it
        if (!is_object(profile)) return say(message, room, "the builder made no profile"), TRS_CREATE;
        for (size_t i = 0; i < o.profiles[p].count; ++i) {
            trs_range const& range = o.profiles[p].ranges[i];
            struct {
                Number const& select;
                int64_t const* dims;
            } const all[] = {{select_min, range.min}, {select_opt, range.opt}, {select_max, range.max}};
            for (auto const& one : all) {
                trs::Dims dims;
                if (!to_dims(one.dims, range.rank, dims)
                    || !call<bool, char const*, int32_t, trs::Dims const*>(lib, profile_dimensions, profile, range.input, lib.value(one.select), &dims)) {
                    return say(message, room, "profile %zu: the range of input `%s` is refused", p, range.input), TRS_ARGUMENT;
                }
            }
        }
        if (call<int32_t, void*>(lib, config_add_profile, config, profile) < 0) return say(message, room, "profile %zu is refused", p), TRS_ARGUMENT;
    }
    return TRS_OK;
}

trs_status build(trs_lib& lib, void const* onnx, size_t size, trs_build_options const& o, trs_blob** plan, trs_blob** timing, char* message, size_t room) {
    if (!lib.versions.has_builder) return say(message, room, "this TensorRT has no builder: it is the lean runtime, or the ONNX parser is missing"), TRS_UNSUPPORTED;
    Monitor monitor(o.progress, o.progress_user);
    Owned builder(lib.create_builder(lib.logger.shape(lib.abi), lib.number));
    if (!builder) return say(message, room, "it made no builder"), TRS_CREATE;
    uint32_t creation = lib.abi == ABI_10 && o.strongly_typed ? 1u << lib.value(network_strongly_typed) : 0;
    Owned network(call<void*, uint32_t>(lib, builder_network, builder.get(), creation));
    Owned config(call<void*>(lib, builder_config, builder.get()));
    if (!network || !config) return say(message, room, "it made no network"), TRS_CREATE;
    Parser parser(lib, lib.create_parser(network.get(), lib.logger.shape(lib.abi), lib.parser_number));
    if (!parser) return say(message, room, "it made no ONNX parser"), TRS_CREATE;
    if (!parser.parse(onnx, size)) return say(message, room, "%s", parser.errors().c_str()), TRS_PARSE;
    trs_status status = configure(lib, builder.get(), config.get(), o, message, room);
    if (status != TRS_OK) return status;
    Owned cache(call<void*, void const*, size_t>(lib, config_new_timing, config.get(), o.timing, o.timing ? o.timing_size : 0));
    // A cache of another GPU or version is not used: the library says so in the log and starts an empty one.
    if (cache) call<bool, void*, bool>(lib, config_set_timing, config.get(), cache.get(), false);
    if (o.progress) call<void, trs::ProgressMonitor*>(lib, config_progress, config.get(), &monitor);
    Owned made(call<void*, void*, void*>(lib, builder_build, builder.get(), network.get(), config.get()));
    if (monitor.stopped()) return say(message, room, "the build was stopped"), TRS_CANCELLED;
    if (!made) return say(message, room, "the builder made no plan"), TRS_BUILD;
    if (timing) {
        void* used = call<void*>(lib, config_timing, config.get()); // belongs to the configuration
        Owned bytes(is_object(used) ? call<void*>(lib, timing_serialize, used) : nullptr);
        *timing = bytes ? new trs_blob{bytes.release(), &lib} : nullptr;
    }
    *plan = new trs_blob{made.release(), &lib};
    return TRS_OK;
}

} // namespace

trs_status trs_build(trs_lib* lib, void const* onnx, size_t size, trs_build_options const* options, trs_blob** plan, trs_blob** timing, char* message, size_t room) {
    if (options->struct_size != sizeof(trs_build_options)) return say(message, room, "trs_build_options of another size"), TRS_ARGUMENT;
    return guarded(message, room, [&] { return build(*lib, onnx, size, *options, plan, timing, message, room); });
}

void const* trs_blob_data(trs_blob const* blob) { return call<void*>(*blob->lib, blob_data, blob->memory); }
size_t trs_blob_size(trs_blob const* blob) { return call<size_t>(*blob->lib, blob_size, blob->memory); }
void trs_blob_free(trs_blob* blob) {
    guarded(nullptr, 0, [&] { return destroy(blob->memory), TRS_OK; });
    delete blob;
}

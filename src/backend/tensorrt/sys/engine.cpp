// Engines and their contexts.
#include "library.hpp"

#include <cstring>
#include <initializer_list>

using namespace trs;

struct trs_engine {
    void* object;
    trs_lib const* lib;
};

trs_status trs_engine_load(trs_lib* lib, void const* plan, size_t size, trs_engine** out, char* message, size_t room) {
    return guarded(message, room, [&] {
        Owned engine(call<void*, void const*, size_t>(*lib, runtime_deserialize, lib->runtime, plan, size));
        if (!engine) return say(message, room, "the plan is refused"), TRS_DESERIALIZE;
        *out = new trs_engine{engine.release(), lib};
        return TRS_OK;
    });
}

void trs_engine_free(trs_engine* engine) {
    guarded(nullptr, 0, [&] { return destroy(engine->object), TRS_OK; });
    delete engine;
}

int32_t trs_engine_io_count(trs_engine const* engine) { return call<int32_t>(*engine->lib, engine_io_count, engine->object); }

trs_status trs_engine_io(trs_engine const* engine, int32_t index, trs_io* out) {
    trs_lib const& lib = *engine->lib;
    return guarded(nullptr, 0, [&] {
        if (index < 0 || index >= trs_engine_io_count(engine)) return TRS_ARGUMENT;
        char const* name = call<char const*, int32_t>(lib, engine_io_name, engine->object, index);
        if (!name || strlen(name) >= sizeof out->name) return TRS_UNSUPPORTED;
        strcpy(out->name, name);
        out->is_input = call<int32_t, char const*>(lib, engine_io_mode, engine->object, name) == lib.value(io_input);
        out->dtype = call<int32_t, char const*>(lib, engine_dtype, engine->object, name);
        bool known = false;
        for (auto const& number : {dtype_float, dtype_half, dtype_int8, dtype_int32, dtype_bool, dtype_uint8, dtype_int64}) known |= out->dtype == lib.value(number);
        if (!known) out->dtype = TRS_OTHER;
        auto dims = call<trs::Dims, char const*>(lib, engine_shape, engine->object, name);
        return from_dims(dims, out->dims, &out->rank) ? TRS_OK : TRS_UNSUPPORTED;
    });
}

int32_t trs_engine_profiles(trs_engine const* engine) { return call<int32_t>(*engine->lib, engine_profiles, engine->object); }

trs_status trs_engine_range(trs_engine const* engine, char const* input, int32_t profile, trs_range* out) {
    trs_lib const& lib = *engine->lib;
    return guarded(nullptr, 0, [&] {
        auto read = [&](Number const& select, int64_t* to) {
            auto dims = call<trs::Dims, char const*, int32_t, int32_t>(lib, engine_profile_shape, engine->object, input, profile, lib.value(select));
            return from_dims(dims, to, &out->rank);
        };
        bool known = read(select_min, out->min) && read(select_opt, out->opt) && read(select_max, out->max);
        return known ? TRS_OK : TRS_ARGUMENT;
    });
}

int64_t trs_engine_scratch(trs_engine const* engine) {
    if (!engine->lib->has(engine_scratch) || !engine->lib->has(context_scratch)) return -1;
    return call<int64_t>(*engine->lib, engine_scratch, engine->object);
}

struct trs_context {
    // Asks the caller for the memory of an output of unknown size, in both shapes. A context keeps a list.
    class Output final {
    public:
        Output(trs_output_fn memory, trs_shape_fn shape, void* user, Output* next) : common_{*this}, rtx_{*this}, memory_(memory), shape_(shape), user_(user), next_(next) {}

        void* shape_for(Abi abi) { return abi == ABI_RTX ? static_cast<void*>(&rtx_) : static_cast<void*>(&common_); }
        Output* next() const { return next_; }

    private:
        template <class Shape>
        class As final : public Shape {
        public:
            explicit As(Output& to) : to_(to) {}
            void* reallocateOutputAsync(char const*, void*, uint64_t size, uint64_t, void*) override { return to_.memory_(to_.user_, size); }
            void notifyShape(char const*, Dims const& dims) noexcept override {
                if (dims.rank >= 0 && dims.rank <= TRS_MAX_RANK) to_.shape_(to_.user_, dims.d, dims.rank);
            }

        private:
            Output& to_;
        };

        As<trs::OutputAllocator> common_;
        As<trs::RtxOutputAllocator> rtx_;
        trs_output_fn memory_;
        trs_shape_fn shape_;
        void* user_;
        Output* next_;
    };

    void* object;
    trs_lib const* lib;
    Output* outputs;
};

trs_status trs_context_new(trs_engine* engine, int32_t user_scratch, trs_context** out, char* message, size_t room) {
    trs_lib const& lib = *engine->lib;
    return guarded(message, room, [&] {
        if (user_scratch && !lib.has(context_scratch)) return say(message, room, "this version of TensorRT takes no scratch memory of a stated size"), TRS_UNSUPPORTED;
        int32_t strategy = lib.value(user_scratch ? context_user_managed : context_static);
        Owned context(call<void*, int32_t>(lib, engine_context, engine->object, strategy));
        if (!context) return say(message, room, "it made no context"), TRS_CREATE;
        *out = new trs_context{context.release(), &lib, nullptr};
        return TRS_OK;
    });
}

void trs_context_free(trs_context* context) {
    guarded(nullptr, 0, [&] { return destroy(context->object), TRS_OK; });
    while (auto* output = context->outputs) {
        context->outputs = output->next();
        delete output;
    }
    delete context;
}

size_t trs_context_scratch_needed(trs_context* context) {
    size_t bytes = 0;
    guarded(nullptr, 0, [&] {
        if (context->lib->has(context_scratch_needed)) bytes = call<size_t>(*context->lib, context_scratch_needed, context->object);
        return TRS_OK;
    });
    return bytes;
}

trs_status trs_context_scratch(trs_context* context, void* memory, int64_t size) {
    if (!context->lib->has(context_scratch)) return TRS_UNSUPPORTED;
    return guarded(nullptr, 0, [&] { return call<void, void*, int64_t>(*context->lib, context_scratch, context->object, memory, size), TRS_OK; });
}

trs_status trs_context_profile(trs_context* context, int32_t profile, void* stream) {
    return guarded(nullptr, 0, [&] { return call<bool, int32_t, void*>(*context->lib, context_profile, context->object, profile, stream) ? TRS_OK : TRS_ARGUMENT; });
}

trs_status trs_context_set_shape(trs_context* context, char const* input, int64_t const* dims, int32_t rank) {
    trs::Dims shape;
    if (!to_dims(dims, rank, shape)) return TRS_ARGUMENT;
    return guarded(nullptr, 0, [&] {
        bool taken = call<bool, char const*, trs::Dims const*>(*context->lib, context_set_shape, context->object, input, &shape);
        return taken ? TRS_OK : TRS_ARGUMENT;
    });
}

trs_status trs_context_infer_shapes(trs_context* context, char* message, size_t room) {
    return guarded(message, room, [&] {
        char const* missing[1] = {nullptr};
        int32_t count = call<int32_t, int32_t, char const**>(*context->lib, context_infer_shapes, context->object, 1, missing);
        if (count == 0) return TRS_OK;
        say(message, room, count > 0 && missing[0] ? "input `%s` has no shape or no address" : "the shapes of the inputs do not go together", missing[0]);
        return TRS_ARGUMENT;
    });
}

trs_status trs_context_shape(trs_context* context, char const* tensor, int64_t* dims, int32_t* rank) {
    return guarded(nullptr, 0, [&] {
        auto shape = call<trs::Dims, char const*>(*context->lib, context_shape, context->object, tensor);
        return from_dims(shape, dims, rank) ? TRS_OK : TRS_ARGUMENT;
    });
}

trs_status trs_context_bind(trs_context* context, char const* tensor, void* address) {
    return guarded(nullptr, 0, [&] { return call<bool, char const*, void*>(*context->lib, context_address, context->object, tensor, address) ? TRS_OK : TRS_ARGUMENT; });
}

trs_status trs_context_output(trs_context* context, char const* tensor, trs_output_fn memory, trs_shape_fn shape, void* user) {
    return guarded(nullptr, 0, [&] {
        auto* output = new trs_context::Output(memory, shape, user, context->outputs);
        context->outputs = output;
        bool taken = call<bool, char const*, void*>(*context->lib, context_allocator, context->object, tensor, output->shape_for(context->lib->abi));
        return taken ? TRS_OK : TRS_ARGUMENT;
    });
}

trs_status trs_context_enqueue(trs_context* context, void* stream) {
    return guarded(nullptr, 0, [&] { return call<bool, void*>(*context->lib, context_enqueue, context->object, stream) ? TRS_OK : TRS_ENQUEUE; });
}

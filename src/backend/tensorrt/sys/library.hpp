// What the parts of the C interface share: the slots as constants, the opened library, calls by slot, ownership.
//
// TensorRT's C++ objects are called without its headers: an object is {table, implementation}, and a call takes the
// function out of the implementation's table by the slots of slots.def (Itanium C++ ABI).
#pragma once
#include "interfaces.hpp"
#include "trs.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <exception>

namespace trs {

enum Abi { ABI_10 = 0, ABI_11 = 1, ABI_RTX = 2 };

struct Call {
    int16_t slot[3];
    int32_t since_10;
    char const* name;
};

struct Number {
    int16_t of[3];
};

#define CALL(key, cls, function, a10, since, a11, rtx) inline constexpr Call key{{a10, a11, rtx}, since, #function};
#define VALUE(key, enumeration, enumerator, a10, a11, rtx) inline constexpr Number key{{a10, a11, rtx}};
#define OURS(ours, cls, function, a10, a11, rtx)
#include "slots.def"
#undef CALL
#undef VALUE
#undef OURS

// A pointer below this is no object: without a driver TensorRT 10 and 11 hand out 0x228 as a runtime.
inline constexpr uintptr_t FIRST_PAGE = 0x10000;

inline bool is_object(void const* p) { return reinterpret_cast<uintptr_t>(p) >= FIRST_PAGE; }

inline void say(char* message, size_t room, char const* format, ...) {
    if (!message || !room) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, room, format, arguments);
    va_end(arguments);
}

// Runs `work`; what it throws becomes a status.
template <class Work>
trs_status guarded(char* message, size_t room, Work work) noexcept {
    try {
        return work();
    } catch (std::exception const& e) {
        say(message, room, "the library threw: %s", e.what());
    } catch (...) {
        say(message, room, "the library threw something that is no std::exception");
    }
    return TRS_EXCEPTION;
}

// Receives log lines in both shapes and counts errors of the calling thread, which some calls report in no other way.
class Logger final {
public:
    Logger(trs_log_fn log, void* user) : old_(*this), new_(*this), log_(log), user_(user) {}

    void* shape(Abi abi) { return abi == ABI_10 ? static_cast<void*>(&old_) : static_cast<void*>(&new_); }

    static int32_t errors() { return errors_; }

private:
    void write(int32_t severity, char const* text) noexcept {
        if (severity <= 1) ++errors_;
        if (log_) log_(user_, severity, text ? text : "");
    }

    class Old final : public OldLogger {
    public:
        explicit Old(Logger& to) : to_(to) {}
        void log(int32_t severity, char const* text) noexcept override { to_.write(severity, text); }

    private:
        Logger& to_;
    };

    class New final : public NewLogger {
    public:
        explicit New(Logger& to) : to_(to) {}
        void log(int32_t severity, char const* text) noexcept override { to_.write(severity, text); }

    private:
        Logger& to_;
    };

    Old old_;
    New new_;
    trs_log_fn log_;
    void* user_;
    inline static thread_local int32_t errors_ = 0;
};

} // namespace trs

struct trs_lib {
    explicit trs_lib(trs::Logger& logger) : logger(logger) {}

    trs::Abi abi = trs::ABI_10;
    int32_t number = 0;
    int32_t parser_number = 0;
    trs_versions versions{};
    trs::Logger& logger;
    void* runtime = nullptr;
    void* (*create_builder)(void*, int32_t) = nullptr;
    void* (*create_parser)(void*, void*, int) = nullptr;

    // Whether this version has the function.
    bool has(trs::Call const& call) const { return call.slot[abi] >= 0 && (abi != trs::ABI_10 || number >= call.since_10); }
    int32_t value(trs::Number const& of) const { return of.of[abi]; }
};

namespace trs {

inline void* table_entry(void* object, int32_t slot) { return (*static_cast<void***>(object))[slot]; }

// Calls a function of the implementation behind `object`.
template <class Result, class... Arguments>
Result call(trs_lib const& lib, Call const& what, void* object, Arguments... arguments) {
    void* implementation = static_cast<void**>(object)[1];
    auto function = reinterpret_cast<Result (*)(void*, Arguments...)>(table_entry(implementation, what.slot[lib.abi]));
    return function(implementation, arguments...);
}

// Calls a function of `object` itself: the parser's classes have no implementation behind them.
template <class Result, class... Arguments>
Result call_direct(trs_lib const& lib, Call const& what, void* object, Arguments... arguments) {
    auto function = reinterpret_cast<Result (*)(void*, Arguments...)>(table_entry(object, what.slot[lib.abi]));
    return function(object, arguments...);
}

// Public classes have a virtual destructor and nothing else: entry 1 deletes.
inline void destroy(void* object) { reinterpret_cast<void (*)(void*)>(table_entry(object, 1))(object); }

// Owns an object of the library for a scope.
class Owned {
public:
    explicit Owned(void* object) : object_(is_object(object) ? object : nullptr) {}
    Owned(Owned const&) = delete;
    Owned& operator=(Owned const&) = delete;
    ~Owned() {
        if (object_) destroy(object_);
    }
    explicit operator bool() const { return object_ != nullptr; }
    void* get() const { return object_; }
    void* release() {
        void* object = object_;
        object_ = nullptr;
        return object;
    }

private:
    void* object_;
};

inline bool to_dims(int64_t const* from, int32_t rank, Dims& to) {
    if (rank < 0 || rank > TRS_MAX_RANK) return false;
    to = Dims{rank, {}};
    for (int32_t i = 0; i < rank; ++i) to.d[i] = from[i];
    return true;
}

// The library says rank -1 for a name it does not know.
inline bool from_dims(Dims const& from, int64_t* to, int32_t* rank) {
    if (from.rank < 0 || from.rank > TRS_MAX_RANK) return false;
    *rank = from.rank;
    for (int32_t i = 0; i < from.rank; ++i) to[i] = from.d[i];
    return true;
}

} // namespace trs

struct trs_blob {
    void* memory;
    trs_lib const* lib;
};

// The classes that TensorRT calls us through, declared from their documented functions in the documented order, so
// that the compiler lays out the tables the library expects. slots.def states the places; a test compares both.
#pragma once
#include <cstdint>

namespace trs {

// nvinfer1::Dims
struct Dims {
    int32_t rank;
    int64_t d[8];
};
static_assert(sizeof(Dims) == 72, "returned through a hidden pointer, as nvinfer1::Dims64");

// nvinfer1::InterfaceInfo
struct InterfaceInfo {
    char const* kind;
    int32_t major;
    int32_t minor;
};

// nvinfer1::ILogger of TensorRT 10.
class OldLogger {
public:
    virtual void log(int32_t severity, char const* text) noexcept = 0;
    virtual ~OldLogger() = default;
};

// nvinfer1::IVersionedInterface
class Versioned {
public:
    virtual int32_t getAPILanguage() const noexcept { return 0; } // C++
    virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
    virtual ~Versioned() = default;
};

// nvinfer1::ILogger from TensorRT 11 on, and of TensorRT-RTX.
class NewLogger : public Versioned {
public:
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"ILogger", 1, 0}; }
    virtual void log(int32_t severity, char const* text) noexcept = 0;
};

// nvinfer1::IProgressMonitor
class ProgressMonitor : public Versioned {
public:
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"IProgressMonitor", 1, 0}; }
    virtual void phaseStart(char const* phase, char const* parent, int32_t steps) noexcept = 0;
    virtual bool stepComplete(char const* phase, int32_t step) noexcept = 0;
    virtual void phaseFinish(char const* phase) noexcept = 0;
};

// nvinfer1::IOutputAllocator of TensorRT 10 and 11.
class OutputAllocator : public Versioned {
public:
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"IOutputAllocator", 1, 0}; }
    virtual void* reallocateOutput(char const*, void*, uint64_t, uint64_t) noexcept { return nullptr; } // before 10.0
    virtual void* reallocateOutputAsync(char const* tensor, void* current, uint64_t size, uint64_t alignment, void* stream) = 0;
    virtual void notifyShape(char const* tensor, Dims const& dims) noexcept = 0;
};

// nvinfer1::IOutputAllocator of TensorRT-RTX.
class RtxOutputAllocator : public Versioned {
public:
    InterfaceInfo getInterfaceInfo() const noexcept override { return {"IOutputAllocator", 1, 0}; }
    virtual void* reallocateOutputAsync(char const* tensor, void* current, uint64_t size, uint64_t alignment, void* stream) = 0;
    virtual void notifyShape(char const* tensor, Dims const& dims) noexcept = 0;
};

// The place of a virtual function in its class's table: in the Itanium C++ ABI a pointer to a virtual member
// function of a class with one base holds its offset in bytes, on most machines plus one.
template <class Function>
int32_t slot_of(Function function) {
    union {
        Function function;
        intptr_t word[2];
    } pointer{function};
    static_assert(sizeof(Function) == 2 * sizeof(intptr_t), "Itanium C++ ABI");
#if defined(__aarch64__) || defined(__arm__)
    return static_cast<int32_t>(pointer.word[0] / static_cast<intptr_t>(sizeof(void*)));
#else
    return static_cast<int32_t>((pointer.word[0] - 1) / static_cast<intptr_t>(sizeof(void*)));
#endif
}

} // namespace trs

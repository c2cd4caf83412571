/* C interface over the few classes of TensorRT that this program uses. Libraries are opened at run time; their major
 * versions 10 and 11 and TensorRT-RTX differ in binary form, which trs.cpp hides. No exception leaves these functions.
 *
 * Functions return a trs_status. Text about a failure goes to `message` (may be null), cut to `room` bytes with a final
 * zero byte; what the library itself says goes to the log function, from any thread. Strings are copied. */
#ifndef TRS_H
#define TRS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TRS_MAX_RANK 8

typedef enum trs_status {
    TRS_OK = 0,
    TRS_DLOPEN = 1,       /* the library cannot be opened */
    TRS_SYMBOL = 2,       /* it is not TensorRT */
    TRS_VERSION = 3,      /* its version was never compared with headers */
    TRS_NO_DEVICE = 4,    /* it needs a driver and a device, and there is none */
    TRS_CREATE = 5,       /* it made no runtime, builder or context */
    TRS_PARSE = 6,        /* its ONNX parser refused the graph */
    TRS_BUILD = 7,        /* its builder made no plan */
    TRS_CANCELLED = 8,    /* the progress function asked to stop */
    TRS_UNSUPPORTED = 9,  /* this version of the library cannot do that */
    TRS_DESERIALIZE = 10, /* it refused the plan */
    TRS_ARGUMENT = 11,    /* no such tensor, profile or shape */
    TRS_ENQUEUE = 12,     /* it did not start the run */
    TRS_EXCEPTION = 13    /* it threw */
} trs_status;

typedef enum trs_dtype {
    TRS_FLOAT = 0,
    TRS_HALF = 1,
    TRS_INT8 = 2,
    TRS_INT32 = 3,
    TRS_BOOL = 4,
    TRS_UINT8 = 5,
    TRS_INT64 = 8,
    TRS_OTHER = -1
} trs_dtype;

typedef struct trs_lib trs_lib;
typedef struct trs_blob trs_blob;
typedef struct trs_engine trs_engine;
typedef struct trs_context trs_context;

/* severity: 0 internal error, 1 error, 2 warning, 3 information, 4 details. */
typedef void (*trs_log_fn)(void *user, int32_t severity, const char *text);

/* A phase of a build begins (steps > 0), has finished `step` more, or ends; 0 asks the build to stop. */
typedef enum trs_progress_event { TRS_PHASE_START = 0, TRS_PHASE_STEP = 1, TRS_PHASE_END = 2 } trs_progress_event;
typedef int32_t (*trs_progress_fn)(void *user, trs_progress_event event, const char *phase, const char *parent, int32_t steps);

/* Memory of at least `bytes` bytes for an output whose size only the run tells; null refuses. */
typedef void *(*trs_output_fn)(void *user, uint64_t bytes);
/* The dimensions such an output got. */
typedef void (*trs_shape_fn)(void *user, const int64_t *dims, int32_t rank);

typedef struct trs_versions {
    int32_t major, minor, patch, build; /* of the library */
    int32_t abi;                        /* 10, 11, or 101 for TensorRT-RTX 1 */
    int32_t has_builder;                /* a builder and an ONNX parser are there */
    int32_t host_memory;                /* a test double: addresses are of the host, no device is needed */
    int32_t checked;                    /* this very minor version was compared with headers */
} trs_versions;

typedef struct trs_device {
    char name[256];
    int32_t capability_major, capability_minor;
    int32_t driver; /* CUDA version of the driver: 12040 is 12.4 */
} trs_device;

/* What the NVIDIA driver says of a device; TRS_NO_DEVICE where there is no driver or no such device. */
trs_status trs_device_info(int32_t index, trs_device *out, char *message, size_t room);

/* Opens `infer` and, if not null, the ONNX parser `parser`. `log` is called until trs_close returns. */
trs_status trs_open(const char *infer, const char *parser, trs_log_fn log, void *user, trs_lib **out, char *message, size_t room);
void trs_version(const trs_lib *lib, trs_versions *out);
/* After all engines and blobs are gone. The library stays in memory: it keeps threads and globals. */
void trs_close(trs_lib *lib);

typedef struct trs_range {
    const char *input;
    int32_t rank;
    int64_t min[TRS_MAX_RANK], opt[TRS_MAX_RANK], max[TRS_MAX_RANK];
} trs_range;

typedef struct trs_profile {
    const trs_range *ranges;
    size_t count;
} trs_profile;

typedef struct trs_build_options {
    size_t struct_size; /* sizeof(trs_build_options) */
    const trs_profile *profiles;
    size_t profile_count;
    int32_t fp16;               /* weakly typed half precision: TensorRT 10 only */
    int32_t strongly_typed;     /* types as in the graph; always so from 11 on */
    int32_t tf32;               /* multiply in TF32, which libraries do by default; 0: in full float32 */
    int32_t version_compatible; /* the plan also runs on later versions */
    int32_t ampere_plus;        /* the plan also runs on other GPUs from Ampere on */
    int32_t optimization_level; /* 0 to 5; -1: the library's default */
    int32_t compute_capability; /* 75, 80, 86, ...: TensorRT-RTX only; 0: this GPU */
    uint64_t workspace;         /* bytes of scratch memory a tactic may use; 0: the library's default */
    const void *timing;         /* timing cache of earlier builds; null: none */
    size_t timing_size;
    trs_progress_fn progress; /* null: none */
    void *progress_user;
} trs_build_options;

/* Parses `onnx` and builds a plan. `timing`, if not null, receives the timing cache, or null where the library has none. */
trs_status trs_build(trs_lib *lib, const void *onnx, size_t size, const trs_build_options *options, trs_blob **plan, trs_blob **timing,
                     char *message, size_t room);
const void *trs_blob_data(const trs_blob *blob);
size_t trs_blob_size(const trs_blob *blob);
void trs_blob_free(trs_blob *blob);

trs_status trs_engine_load(trs_lib *lib, const void *plan, size_t size, trs_engine **out, char *message, size_t room);
void trs_engine_free(trs_engine *engine);

typedef struct trs_io {
    char name[256];
    int32_t is_input;
    int32_t dtype; /* trs_dtype */
    int32_t rank;
    int64_t dims[TRS_MAX_RANK]; /* -1: free */
} trs_io;

int32_t trs_engine_io_count(const trs_engine *engine);
trs_status trs_engine_io(const trs_engine *engine, int32_t index, trs_io *out);
int32_t trs_engine_profiles(const trs_engine *engine);
/* The range of an input in a profile. */
trs_status trs_engine_range(const trs_engine *engine, const char *input, int32_t profile, trs_range *out);
/* Bytes of scratch memory that do for all shapes; -1: this version does not tell, let contexts allocate. */
int64_t trs_engine_scratch(const trs_engine *engine);

/* user_scratch: the caller gives the scratch memory with trs_context_scratch before a run that needs more. */
trs_status trs_context_new(trs_engine *engine, int32_t user_scratch, trs_context **out, char *message, size_t room);
void trs_context_free(trs_context *context);
/* Bytes of scratch memory that runs of the present shapes need, once all inputs have theirs; 0: it does not tell. */
size_t trs_context_scratch_needed(trs_context *context);
trs_status trs_context_scratch(trs_context *context, void *memory, int64_t size);
trs_status trs_context_profile(trs_context *context, int32_t profile, void *stream);
trs_status trs_context_set_shape(trs_context *context, const char *input, const int64_t *dims, int32_t rank);
/* Whether all outputs have dimensions now; TRS_ARGUMENT names a missing input. */
trs_status trs_context_infer_shapes(trs_context *context, char *message, size_t room);
trs_status trs_context_shape(trs_context *context, const char *tensor, int64_t *dims, int32_t *rank);
trs_status trs_context_bind(trs_context *context, const char *tensor, void *address);
/* For outputs whose size depends on data; the functions may be called during trs_context_enqueue. */
trs_status trs_context_output(trs_context *context, const char *tensor, trs_output_fn memory, trs_shape_fn shape, void *user);
trs_status trs_context_enqueue(trs_context *context, void *stream);

/* The rows of slots.def as this library was compiled with them, for the test that compares them with the layout of
 * our own classes: 0 when the compiler laid them out as the table says, else the number of the first wrong row. */
int32_t trs_self_check(void);

#ifdef __cplusplus
}
#endif
#endif

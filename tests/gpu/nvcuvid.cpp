// A stand-in for NVIDIA's video decoders, over the stand-in for the driver (driver.cpp). Its bitstream is text: an access unit has
// a line `seq WIDTH HEIGHT MATRIX FULL_RANGE BITS CHROMA` where a sequence begins, and a line `pic ORDER`, its place in the order of
// display. Luma of a picture is ORDER * 10 + x + y, its pairs 100 + ORDER and 150 - ORDER. Whatever a caller does against the rules
// of the interface is refused.
#include <dlfcn.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <vector>

namespace {

enum { OK = 0, INVALID_VALUE = 1, NOT_SUPPORTED = 801, INVALID_CONTEXT = 201 };

// As the interface lays them out.
struct Format {
    int codec;
    unsigned frame_rate[2];
    unsigned char progressive, luma_bits, chroma_bits, surfaces;
    unsigned coded[2];
    int display[4], chroma;
    unsigned bit_rate;
    int aspect[2];
    unsigned char signal, primaries, transfer, matrix;
    unsigned more;
};
struct Caps {
    int codec, chroma;
    unsigned bits, reserved[3];
    unsigned char supported, decoders;
    unsigned short outputs;
    unsigned most[2], macroblocks;
    unsigned short least[2];
    unsigned char rest[44];
};
struct Display {
    int picture, progressive, top_field_first, repeat_first_field;
    long long timestamp;
};
struct Picture {
    int size[2], surface;
    int order;
};
struct ParserParams {
    int codec;
    unsigned surfaces, clock, threshold, delay, bits, reserved[4];
    void* user;
    int (*sequence)(void*, Format*);
    int (*decode)(void*, Picture*);
    int (*display)(void*, Display*);
    void* more[8];
};
struct Packet {
    unsigned long flags, len;
    const unsigned char* data;
    long long timestamp;
};
struct CreateInfo {
    unsigned long coded[2], surfaces;
    int codec, chroma;
    unsigned long flags, bits, intra, most[2], reserved;
    short display[4];
    int output, deinterlace;
    unsigned long target[2], output_surfaces;
    void* lock;
    short target_area[4];
    unsigned long histogram, reserved_too[4];
};
struct ProcessParams {
    int progressive, second_field, top_field_first, unpaired_field;
    unsigned long long raw[5];
    void* stream;
    unsigned long long reserved[25];
};
static_assert(sizeof(Format) == 64 && sizeof(Caps) == 88 && sizeof(ParserParams) == 136 && sizeof(CreateInfo) == 176, "");
static_assert(sizeof(Display) == 24 && sizeof(Packet) == 32 && sizeof(ProcessParams) == 264, "");

struct Parser {
    ParserParams params;
    int surfaces = 0, next = 0, shown = 0;
    std::map<int, Display> waiting;  // by their order
};
struct Decoder {
    CreateInfo info;
    std::vector<int> orders;  // what each surface holds
    std::map<uint64_t, size_t> mapped;
};

int64_t open_parsers, open_decoders, open_pictures;

template <class F> F driver(const char* name) {
    void* library = dlopen("libcuda.so", RTLD_NOW | RTLD_NOLOAD);
    if (!library) library = dlopen("libcuda.so.1", RTLD_NOW);
    return library ? (F)dlsym(library, name) : nullptr;
}

bool has_context() {
    void* context = nullptr;
    auto get = driver<int (*)(void**)>("cuCtxGetCurrent");
    return get && get(&context) == OK && context;
}

// Shows what waits in its turn, or all of it.
int show(Parser* parser, bool all) {
    while (!parser->waiting.empty() && (all || parser->waiting.begin()->first == parser->shown)) {
        Display display = parser->waiting.begin()->second;
        parser->waiting.erase(parser->waiting.begin());
        parser->shown++;
        if (!parser->params.display(parser->params.user, &display)) return INVALID_VALUE;
    }
    if (all) parser->shown = 0;
    return OK;
}

}  // namespace

#define API extern "C" __attribute__((visibility("default"))) int

extern "C" __attribute__((visibility("default"))) int64_t stub_cuvid_open() { return open_parsers + open_decoders + open_pictures; }

API cuvidCreateVideoParser(void** parser, ParserParams* params) {
    if (!has_context()) return INVALID_CONTEXT;
    if ((params->codec != 4 && params->codec != 8) || !params->surfaces || params->threshold > 100) return INVALID_VALUE;
    return *parser = new Parser{*params}, ++open_parsers, OK;
}
API cuvidDestroyVideoParser(void* parser) { return delete (Parser*)parser, --open_parsers, OK; }

API cuvidParseVideoData(void* handle, Packet* packet) {
    auto parser = (Parser*)handle;
    if (!has_context()) return INVALID_CONTEXT;
    if (packet->flags & 1) return show(parser, true);
    if (!(packet->flags & 8)) return INVALID_VALUE;  // whole units only
    std::istringstream lines(std::string((const char*)packet->data, packet->len));
    for (std::string word; lines >> word;) {
        if (word == "seq") {
            if (int code = show(parser, true)) return code;
            int width, height, matrix, full, bits, chroma;
            if (!(lines >> width >> height >> matrix >> full >> bits >> chroma)) return INVALID_VALUE;
            Format format = {};
            format.codec = parser->params.codec, format.progressive = 1, format.surfaces = 3;
            format.luma_bits = format.chroma_bits = bits - 8;
            format.coded[0] = (width + 15) / 16 * 16, format.coded[1] = (height + 15) / 16 * 16;
            format.display[2] = width, format.display[3] = height;
            format.chroma = chroma, format.signal = full ? 8 : 0, format.matrix = matrix;
            parser->surfaces = parser->params.sequence(parser->params.user, &format);
            if (!parser->surfaces) return INVALID_VALUE;
            parser->next = 0;
        } else if (word == "pic") {
            Picture picture = {};
            if (!(lines >> picture.order)) return INVALID_VALUE;
            picture.surface = parser->next++ % parser->surfaces;
            for (auto& [_, waits] : parser->waiting) {
                if (waits.picture == picture.surface) return INVALID_VALUE;  // overwritten before it was shown
            }
            if (!parser->params.decode(parser->params.user, &picture)) return INVALID_VALUE;
            parser->waiting[picture.order] = {picture.surface, 1, 0, 0, packet->timestamp};
            if (int code = show(parser, false)) return code;
        } else {
            return INVALID_VALUE;
        }
    }
    return OK;
}

API cuvidGetDecoderCaps(Caps* caps) {
    if (!has_context()) return INVALID_CONTEXT;
    caps->supported = caps->chroma == 1 && caps->bits <= 2, caps->decoders = 1;
    caps->outputs = caps->bits ? 2 : 3;  // P016 only, as if it could not reduce the bits
    caps->most[0] = caps->most[1] = 4096, caps->macroblocks = 65536, caps->least[0] = 48, caps->least[1] = 16;
    return OK;
}
API cuvidCreateDecoder(void** decoder, CreateInfo* info) {
    if (!has_context()) return INVALID_CONTEXT;
    bool odd = info->target[0] % 2 || info->target[1] % 2;
    bool scaled = info->display[2] - info->display[0] != (int)info->target[0] || info->display[3] - info->display[1] != (int)info->target[1];
    bool outside = info->display[2] > (int)info->coded[0] || info->display[3] > (int)info->coded[1];
    if (odd || scaled || outside || info->surfaces < 3 || !info->output_surfaces || info->output) return INVALID_VALUE;
    return *decoder = new Decoder{*info, std::vector<int>(info->surfaces, -1), {}}, ++open_decoders, OK;
}
API cuvidDestroyDecoder(void* decoder) {
    if (!has_context()) return INVALID_CONTEXT;
    return delete (Decoder*)decoder, --open_decoders, OK;
}
API cuvidDecodePicture(void* handle, Picture* picture) {
    auto decoder = (Decoder*)handle;
    if (!decoder || picture->surface >= (int)decoder->orders.size()) return INVALID_VALUE;
    return decoder->orders[picture->surface] = picture->order, OK;
}
API cuvidMapVideoFrame64(void* handle, int surface, uint64_t* address, unsigned* pitch, ProcessParams* params) {
    auto decoder = (Decoder*)handle;
    auto allocate = driver<int (*)(uintptr_t*, size_t)>("cuMemAlloc_v2");
    if (decoder->mapped.size() >= decoder->info.output_surfaces || !params->stream || decoder->orders[surface] < 0) return INVALID_VALUE;
    size_t width = decoder->info.target[0], height = decoder->info.target[1];
    *pitch = (width + 511) / 512 * 512;
    uintptr_t memory = 0;
    if (int code = allocate(&memory, *pitch * height / 2 * 3)) return code;
    int order = decoder->orders[surface];
    auto at = [&](size_t row) { return (unsigned char*)memory + row * *pitch; };
    for (size_t y = 0; y < height; y++) {
        for (size_t x = 0; x < width; x++) at(y)[x] = order * 10 + x + y;
    }
    for (size_t y = 0; y < height / 2; y++) {
        for (size_t x = 0; x < width; x += 2) at(height + y)[x] = 100 + order, at(height + y)[x + 1] = 150 - order;
    }
    *address = memory, decoder->mapped[memory] = *pitch * height / 2 * 3;
    return ++open_pictures, OK;
}
API cuvidUnmapVideoFrame64(void* handle, uint64_t address) {
    auto decoder = (Decoder*)handle;
    auto found = decoder->mapped.find(address);
    if (found == decoder->mapped.end()) return INVALID_VALUE;
    memset((void*)address, 0xee, found->second);  // a copy that is not done yet shows
    decoder->mapped.erase(found);
    return --open_pictures, driver<int (*)(uintptr_t)>("cuMemFree_v2")(address);
}

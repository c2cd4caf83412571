// Differentiable-binarisation post-processing of a batch of maps, from probabilities to boxes. Twin of src/ops/db.
//
// No border is followed. Of a contour only its convex hull matters, and that is the hull of the outermost pixels of each
// row: of an 8-connected component of text for an outer border; for the border of a hole, of the text pixels that
// touch the 4-connected component of background. So both kinds of component are labelled in one pass. OpenCV finds
// borders in the order of the first pixel of their component, row by row, and lists them backwards: the greatest root is first.
//
// A map becomes a plane of bits with a frame of background, 32 pixels in a word; the frame's component, that of pixel 0,
// is the outside. A label is kept for the first pixel of each run inside a word; others are found by bit operations.
#include "fill.cuh"
#include "union_find.cuh"

namespace db {

enum { THREADS = 256, BOX_THREADS = 64, BOX = 9 };

/// A component that has a border, in coordinates of the plane.
struct Candidate {
    i32 root;
    i32 hole;     // whether it is background
    i32 x0, x1;   // first and last column
    i32 y1;       // last row; the first is that of the root
};

/// What became of a candidate.
struct Box {
    i32 corners[8];  // of the original, x and y
    f32 score;
    i32 found;
};

struct Args {
    const f32* maps;       // [maps, height, width]
    const u32* originals;  // [maps]: width, height
    u32* bits;             // [maps, rows, words]
    u32* undilated;        // as `bits`, where there is dilation
    i32* labels;           // [maps, rows, words, 32]
    u32* row_roots;        // [maps, rows]: roots in a row; these counts are zero before the first launch
    u32* totals;           // [maps]: components with a border
    u32* kept;             // [maps]: boxes
    Candidate* candidates; // [maps, max_candidates]
    Box* boxes;            // [maps, max_candidates]
    u32* out;              // faults; boxes of each map; then the boxes, 8 coordinates and the score
    f64 box_thresh, unclip_ratio;
    f32 thresh;
    i32 map_count, width, height, rows, words, max_candidates;
    i32 chain_capacity, hull_capacity, ring_capacity;
};
static_assert(sizeof(Args) == 144, "Args in src/ops/db/cuda.rs");
static_assert(sizeof(Candidate) == 20 && sizeof(Box) == 40, "the sizes in src/ops/db/cuda.rs");

/// One word of the plane of one map: x of the grid over words, y over maps.
struct Word {
    const u32* bits;
    i32* labels;
    i32 row, column, words, rows;
    bool inside;

    FN explicit Word(const Args& args, const u32* plane) {
        i32 at = blockIdx.x * THREADS + threadIdx.x;
        i64 first = (i64)blockIdx.y * args.rows * args.words;
        bits = plane + first;
        labels = args.labels + first * 32;
        words = args.words, rows = args.rows;
        inside = at < rows * words;
        row = at / words, column = at % words;
    }

    /// The word `down` rows and `right` words further; `beyond` where there is none.
    FN u32 at(i32 down, i32 right, u32 beyond) const {
        i32 y = row + down, x = column + right;
        return y < 0 || y >= rows || x < 0 || x >= words ? beyond : bits[y * words + x];
    }

    /// Label index of pixel `bit` of the word `down` rows and `right` words further.
    FN i32 index(i32 down, i32 right, i32 bit) const { return ((row + down) * words + column + right) * 32 + bit; }
};

/// First pixels of the runs of one colour inside a word.
FN u32 run_starts(u32 word) { return (word ^ word << 1) | 1; }

/// The first pixel of the run that holds `bit`.
FN i32 start_of(u32 word, i32 bit) { return 31 - __clz((i32)(run_starts(word) & ((2u << bit) - 1))); }

/// The last pixel of the run that starts at `bit`.
FN i32 end_of(u32 word, i32 bit) {
    u32 later = run_starts(word) & ~((2u << bit) - 1);
    return later == 0 ? 31 : __ffs((i32)later) - 2;
}

FN i32 lowest(u32 word) { return __ffs((i32)word) - 1; }
FN i32 highest(u32 word) { return 31 - __clz((i32)word); }

FN bool is_root(const i32* labels, i32 at) { return labels[at] == at && at != 0; }

}  // namespace db

/// One bit per pixel: x over the pixels of the plane, y over maps.
KERNEL(db::THREADS) db_threshold(const db::Args args) {
    i64 at = (i64)blockIdx.x * db::THREADS + threadIdx.x;
    i32 word = (i32)(at / 32), row = word / args.words;
    i32 x = word % args.words * 32 + lane_of_warp() - 1, y = row - 1;
    bool text = false;
    if (x >= 0 && x < args.width && y >= 0 && y < args.height) {
        text = args.maps[((i64)blockIdx.y * args.height + y) * args.width + x] > args.thresh;
    }
    u32 bits = __ballot_sync(ALL_LANES, text);
    if (lane_of_warp() == 0 && row < args.rows) {
        u32* plane = args.undilated ? args.undilated : args.bits;
        plane[(i64)blockIdx.y * args.rows * args.words + word] = bits;
    }
    // What later launches count in; a plane has more pixels than rows.
    if (at < args.rows) {
        args.row_roots[(i64)blockIdx.y * args.rows + at] = 0;
    }
    if (at == 0) {
        args.totals[blockIdx.y] = 0;
        args.kept[blockIdx.y] = 0;
        if (blockIdx.y == 0) {
            args.out[0] = 0;
        }
    }
}

/// A pixel becomes the greatest of itself and its neighbours to the left, above and above left.
KERNEL(db::THREADS) db_dilate(const db::Args args) {
    db::Word w(args, args.undilated);
    if (!w.inside) {
        return;
    }
    u32 here = w.at(0, 0, 0), above = w.at(-1, 0, 0), bits = 0;
    if (w.row > 0 && w.row <= args.height) {
        u32 both = here | above, before = w.at(0, -1, 0) | w.at(-1, -1, 0);
        bits = both | both << 1 | before >> 31;
        // Nothing spills into the frame to the right.
        i32 columns = args.width + 1 - w.column * 32;
        bits &= columns >= 32 ? ~0u : columns <= 0 ? 0 : (1u << columns) - 1;
    }
    args.bits[(i64)blockIdx.y * args.rows * args.words + w.row * args.words + w.column] = bits;
}

/// Every run is its own set; one that goes on from words before belongs to the first of them, and the frame on the left to pixel 0,
/// as it will in the end: what is left to db_merge is one way to memory after the other.
KERNEL(db::THREADS) db_label(const db::Args args) {
    db::Word w(args, args.bits);
    if (!w.inside) {
        return;
    }
    u32 here = w.at(0, 0, 0);
    for (u32 rest = db::run_starts(here); rest != 0; rest &= rest - 1) {
        i32 at = w.index(0, 0, db::lowest(rest));
        w.labels[at] = at;
    }
    i32 right = 0, bit = 0;
    while (w.column + right > 0 && bit == 0) {
        u32 before = w.at(0, right - 1, 0);
        if ((before >> 31) != (here & 1)) {
            break;
        }
        right--;
        bit = db::start_of(before, 31);
    }
    w.labels[w.index(0, 0, 0)] = w.column + right == 0 && bit == 0 ? 0 : w.index(0, right, bit);
}

/// Joins the runs of neighbouring rows: text with its eight neighbours, background with its four.
KERNEL(db::THREADS) db_merge(const db::Args args) {
    db::Word w(args, args.bits);
    if (!w.inside || w.row == 0) {
        return;
    }
    u32 here = w.at(0, 0, 0), above = w.at(-1, 0, 0);
    u32 here_before = w.at(0, -1, 0) >> 31, above_before = w.at(-1, -1, 0) >> 31;
    u32 here_after = w.at(0, 1, 0) << 31, above_after = w.at(-1, 1, 0) << 31;
    // One pixel for each stretch in which both rows have the same colour; it was joined before if it goes on from there.
    u32 text = here & above, background = ~here & ~above;
    u32 meet = (text & ~(text << 1)) | (background & ~(background << 1));
    if (w.column > 0 && here_before == (here & 1) && above_before == (above & 1)) {
        meet &= ~1u;
    }
    for (u32 rest = meet; rest != 0; rest &= rest - 1) {
        i32 bit = db::lowest(rest);
        unite(w.labels, w.index(0, 0, db::start_of(here, bit)), w.index(-1, 0, db::start_of(above, bit)));
    }
    // Text that touches by a corner only.
    u32 corner = here & ~above;
    for (u32 rest = corner & (above << 1 | above_before) & ~(here << 1 | here_before); rest != 0; rest &= rest - 1) {
        i32 bit = db::lowest(rest);
        i32 other = bit > 0 ? w.index(-1, 0, db::start_of(above, bit - 1)) : w.index(-1, -1, db::start_of(w.at(-1, -1, 0), 31));
        unite(w.labels, w.index(0, 0, db::start_of(here, bit)), other);
    }
    for (u32 rest = corner & (above >> 1 | above_after) & ~(here >> 1 | here_after); rest != 0; rest &= rest - 1) {
        i32 bit = db::lowest(rest);
        i32 other = bit < 31 ? w.index(-1, 0, db::start_of(above, bit + 1)) : w.index(-1, 1, 0);
        unite(w.labels, w.index(0, 0, db::start_of(here, bit)), other);
    }
}

/// Labels become roots; roots are counted by row.
KERNEL(db::THREADS) db_flatten(const db::Args args) {
    db::Word w(args, args.bits);
    if (!w.inside) {
        return;
    }
    u32 roots = 0;
    for (u32 rest = db::run_starts(w.at(0, 0, 0)); rest != 0; rest &= rest - 1) {
        i32 at = w.index(0, 0, db::lowest(rest));
        w.labels[at] = find_root(w.labels, at);
        roots += db::is_root(w.labels, at);
    }
    if (roots > 0) {
        atomicAdd(&args.row_roots[(i64)blockIdx.y * args.rows + w.row], roots);
        atomicAdd(&args.totals[blockIdx.y], roots);
    }
}

/// Numbers the components from the greatest root down, as far as they are looked at; one warp per row. The label of a
/// numbered root becomes the complement of its number.
KERNEL(db::THREADS) db_number(const db::Args args) {
    i32 row = blockIdx.x * (db::THREADS / 32) + warp_of_block(), lane = lane_of_warp();
    const u32* row_roots = args.row_roots + (i64)blockIdx.y * args.rows;
    if (row >= args.rows || row_roots[row] == 0) {
        return;
    }
    i32 number = 0;
    for (i32 below = row + 1 + lane; below < args.rows; below += 32) {
        number += row_roots[below];
    }
    number = warp_sum(number);
    const u32* bits = args.bits + ((i64)blockIdx.y * args.rows + row) * args.words;
    i32* labels = args.labels + (i64)blockIdx.y * args.rows * args.words * 32;
    for (i32 start = 0; start < args.words && number < args.max_candidates; start += 32) {
        i32 column = args.words - 1 - start - lane;  // the words from the right
        i32 first = (row * args.words + column) * 32;
        u32 roots = 0;
        if (column >= 0) {
            for (u32 rest = db::run_starts(bits[column]); rest != 0; rest &= rest - 1) {
                i32 bit = db::lowest(rest);
                roots |= db::is_root(labels, first + bit) ? 1u << bit : 0;
            }
        }
        i32 up_to = __popc(roots);
        for (i32 by = 1; by < 32; by *= 2) {
            i32 other = __shfl_up_sync(ALL_LANES, up_to, by);
            up_to += lane >= by ? other : 0;
        }
        i32 own = number + up_to - __popc(roots);
        for (u32 rest = roots; rest != 0 && own < args.max_candidates; own++) {
            i32 bit = db::highest(rest);
            rest &= ~(1u << bit);
            args.candidates[(i64)blockIdx.y * args.max_candidates + own] = {first + bit, !(bits[column] >> bit & 1), 0x7fffffff, -1, -1};
            labels[first + bit] = ~own;
        }
        number += __shfl_sync(ALL_LANES, up_to, 31);
    }
}

/// How far each numbered component reaches.
KERNEL(db::THREADS) db_extents(const db::Args args) {
    db::Word w(args, args.bits);
    if (!w.inside) {
        return;
    }
    u32 here = w.at(0, 0, 0);
    for (u32 rest = db::run_starts(here); rest != 0; rest &= rest - 1) {
        i32 bit = db::lowest(rest);
        i32 label = w.labels[w.index(0, 0, bit)];
        label = label < 0 ? label : w.labels[label];
        if (label >= 0) {
            continue;
        }
        db::Candidate* c = args.candidates + (i64)blockIdx.y * args.max_candidates + ~label;
        i32 x0 = w.column * 32 + bit, x1 = w.column * 32 + db::end_of(here, bit);
        // A look before each: most runs change nothing.
        if (x0 < *(volatile i32*)&c->x0) {
            atomicMin(&c->x0, x0);
        }
        if (x1 > *(volatile i32*)&c->x1) {
            atomicMax(&c->x1, x1);
        }
        if (w.row > *(volatile i32*)&c->y1) {
            atomicMax(&c->y1, w.row);
        }
    }
}

// The second half of db.cu: candidates to boxes, one block for each.
#include "db.cu"

namespace db {

/// The pixels of one component.
struct Component {
    const u32* bits;
    const i32* labels;
    i32 words, root;
    u32 flip;  // all bits for background

    /// Those in a word of a row.
    FN u32 pixels(i32 y, i32 column) const {
        if (column < 0 || column >= words) {
            return 0;
        }
        i32 word = y * words + column;
        u32 own = bits[word] ^ flip, found = 0;
        for (u32 rest = own; rest != 0;) {
            i32 first = lowest(rest), at = word * 32 + first;
            u32 run = (end_of(own, first) == 31 ? ~0u : (2u << end_of(own, first)) - 1) & ~((1u << first) - 1);
            found |= at == root || labels[at] == root ? run : 0;
            rest &= ~run;
        }
        return found;
    }

    /// Those in a word that make the border's hull: of text its pixels, of a hole the text around it.
    FN u32 border(i32 y, i32 column) const {
        u32 here = pixels(y, column);
        if (flip == 0) {
            return here;
        }
        u32 beside = here << 1 | pixels(y, column - 1) >> 31 | here >> 1 | pixels(y, column + 1) << 31;
        return bits[y * words + column] & (beside | pixels(y - 1, column) | pixels(y + 1, column));
    }
};

/// Reads sorted points into the chain of one side: of each row its first point on the left, its last on the right.
FN i32 chain_of(const Packed* sorted, i32 count, i32 side, Packed* chain) {
    i32 length = 0;
    for (i32 i = 0; i < count; i++) {
        bool outermost = side > 0 ? i == 0 || sorted[i - 1] >> 16 != sorted[i] >> 16 : i == count - 1 || sorted[i + 1] >> 16 != sorted[i] >> 16;
        if (outermost) {
            extend_chain(chain, &length, sorted[i], side);
        }
    }
    return length;
}

/// Map pixels to original pixels in f32 as NumPy computes it: scaled, rounded half to even, clipped to the picture.
FN i32 to_original(f32 v, i32 from, u32 to) { return (i32)clamp(rintf(v / (f32)from * (f32)to), 0.0f, (f32)to); }

}  // namespace db

/// x over candidates, y over maps.
KERNEL(db::BOX_THREADS) db_boxes(const db::Args args) {
    DYNAMIC_SHARED(Packed, shared);
    __shared__ i32 lengths[2];
    __shared__ PointF quad[4];
    __shared__ Ring ring;
    __shared__ i32 goes_on;
    if (blockIdx.x >= args.totals[blockIdx.y]) {
        return;
    }
    Packed *left = shared, *right = left + args.chain_capacity, *hull = right + args.chain_capacity;
    Packed* points = hull + args.hull_capacity;
    i64 slot = (i64)blockIdx.y * args.max_candidates + blockIdx.x;
    const db::Candidate c = args.candidates[slot];
    db::Box* box = args.boxes + slot;
    i64 first_word = (i64)blockIdx.y * args.rows * args.words;
    db::Component component = {args.bits + first_word, args.labels + first_word * 32, args.words, c.root, c.hole ? ~0u : 0};
    i32 root_x = c.root % (args.words * 32), root_y = c.root / (args.words * 32);
    i32 t = threadIdx.x;

    // The outermost pixels of each row. A hole is surrounded by text, one pixel further on all sides.
    i32 y0 = root_y - c.hole, rows = c.y1 + c.hole - y0 + 1;
    i32 first = (c.x0 - c.hole) / 32, last = (c.x1 + c.hole) / 32;
    for (i32 i = t; i < rows; i += blockDim.x) {
        i32 y = y0 + i, column = first;
        u32 bits = 0;
        for (; column <= last && bits == 0; column++) {
            bits = component.border(y, column);
        }
        left[i] = pack((column - 1) * 32 + db::lowest(bits) - 1, y - 1);
        bits = 0;
        for (column = last; column >= first && bits == 0; column--) {
            bits = component.border(y, column);
        }
        right[i] = pack((column + 1) * 32 + db::highest(bits) - 1, y - 1);
    }
    __syncthreads();
    // Each side by a thread of its own warp, in place: a chain never overtakes the rows it is read from.
    if (t % 32 == 0) {
        i32 side = t / 32, length = 0;
        Packed* chain = side == 0 ? left : right;
        for (i32 i = 0; i < rows; i++) {
            extend_chain(chain, &length, chain[i], side == 0 ? 1 : -1);
        }
        lengths[side] = length;
    }
    __syncthreads();
    if (t == 0) {
        box->found = 0;
        goes_on = 0;
        if (lengths[0] + lengths[1] > args.hull_capacity) {
            atomicOr(&args.out[0], 1u);
        } else {
            Hull h = {hull, join_chains(left, lengths[0], right, lengths[1], hull), 0};
            // OpenCV's hull starts at the vertex that the border reaches last (outer, followed the other way round) or
            // first (hole, followed from the left of its first pixel); it decides between rectangles of equal area.
            if (c.hole) {
                h.start = hull[h.count - 1] == pack(root_x - 2, root_y - 1) ? h.count - 1 : 0;
            } else {
                h.start = h.count > 1 ? 1 : 0;
            }
            RotatedRect rect = min_area_rect(h);
            order_corners(rect.corners);
            for (i32 k = 0; k < 4; k++) {
                quad[k] = rect.corners[k];
            }
            goes_on = !(rect.short_side() < 3.0f);
        }
    }
    __syncthreads();
    if (!goes_on) {
        return;
    }
    f64 score = fill::block_mean(args.maps + (i64)blockIdx.y * args.height * args.width, args.width, args.height, quad);
    if (!(score >= args.box_thresh)) {
        return;
    }
    if (t == 0) {
        ring = {points, args.ring_capacity, 0};
        unclip(quad, args.unclip_ratio, &ring);
    }
    __syncthreads();
    if (ring.count == 0) {
        return;
    }
    if (ring.count > args.ring_capacity) {
        if (t == 0) {
            atomicOr(&args.out[0], 2u);
        }
        return;
    }
    block_sort(points, ring.count);
    if (t % 32 == 0) {
        i32 side = t / 32;
        lengths[side] = db::chain_of(points, ring.count, side == 0 ? 1 : -1, side == 0 ? left : right);
    }
    __syncthreads();
    if (t == 0) {
        if (lengths[0] + lengths[1] > args.hull_capacity) {
            atomicOr(&args.out[0], 1u);
            return;
        }
        // Clipper's ring starts behind its topmost point, of several the rightmost.
        Hull h = {hull, join_chains(left, lengths[0], right, lengths[1], hull), left[0] == right[0] ? 1 : 2};
        h.start = h.start < h.count ? h.start : 0;
        RotatedRect rect = min_area_rect(h);
        if (rect.short_side() < 5.0f) {
            return;
        }
        order_corners(rect.corners);
        u32 width = args.originals[blockIdx.y * 2], height = args.originals[blockIdx.y * 2 + 1];
        for (i32 k = 0; k < 4; k++) {
            box->corners[2 * k] = db::to_original(rect.corners[k].x, args.width, width);
            box->corners[2 * k + 1] = db::to_original(rect.corners[k].y, args.height, height);
        }
        box->score = (f32)score;
        box->found = 1;
        atomicAdd(&args.kept[blockIdx.y], 1u);
    }
}

/// The boxes of all maps, one behind the other, in the order of their candidates; one block per map.
KERNEL(db::THREADS) db_gather(const db::Args args) {
    i32 at = 0;
    for (i32 map = 0; map < (i32)blockIdx.x; map++) {
        at += args.kept[map];
    }
    if (threadIdx.x == 0) {
        args.out[1 + blockIdx.x] = args.kept[blockIdx.x];
    }
    i32 candidates = least_of((i32)args.totals[blockIdx.x], args.max_candidates);
    const db::Box* boxes = args.boxes + (i64)blockIdx.x * args.max_candidates;
    u32* out = args.out + 1 + args.map_count;
    for (i32 start = 0; start < candidates; start += db::THREADS) {
        i32 n = start + threadIdx.x, all;
        bool found = n < candidates && boxes[n].found;
        i32 rank = at + block_rank(found, &all);
        at += all;
        if (found) {
            for (i32 k = 0; k < 8; k++) {
                out[(i64)rank * db::BOX + k] = boxes[n].corners[k];
            }
            out[(i64)rank * db::BOX + 8] = __float_as_uint(boxes[n].score);
        }
    }
}

// Hull, minimum-area rectangle, corner order and outward growth, for one thread each. Twin of src/image/polygon.rs and
// src/ops/db/unclip.rs, in OpenCV's precision and order of operations. Hulls are of whole coordinates, so that they
// are exact; points are packed into a register.
#pragma once
#include "scalar.cuh"

/// Whole coordinates from -16384 to 49151, ordered by y, then by x.
typedef u32 Packed;
enum { BIAS = 16384, MAX_COORDINATE = 16383 };

FN Packed pack(i32 x, i32 y) { return (u32)(y + BIAS) << 16 | (u32)(x + BIAS); }
FN i32 x_of(Packed p) { return (i32)(p & 0xffff) - BIAS; }
FN i32 y_of(Packed p) { return (i32)(p >> 16) - BIAS; }

struct PointF {
    f32 x, y;
};

struct RotatedRect {
    PointF corners[4];  // in the order of OpenCV's boxPoints
    f32 width, height;
    FN f32 short_side() const { return least_of(width, height); }
};

/// Adds a point below all of a chain that runs down one side of a hull. `side` is 1 for the left side, -1 for the right.
/// Points in a line with their neighbours are dropped.
FN void extend_chain(Packed* chain, i32* count, Packed next, i32 side) {
    while (*count >= 2) {
        Packed a = chain[*count - 2], b = chain[*count - 1];
        i64 cross = (i64)(x_of(b) - x_of(a)) * (y_of(next) - y_of(b)) - (i64)(y_of(b) - y_of(a)) * (x_of(next) - x_of(b));
        if (cross * side < 0) {
            break;
        }
        --*count;
    }
    chain[(*count)++] = next;
}

/// A hull, clockwise on the screen from its topmost vertex, of several the leftmost. `start` is where it is read from.
struct Hull {
    const Packed* ring;
    i32 count, start;
    FN PointF vertex(i32 i) const {
        i32 at = start + i;
        Packed p = ring[at < count ? at : at - count];
        return {(f32)x_of(p), (f32)y_of(p)};
    }
};

/// The ring of two chains from the top row to the bottom row.
FN i32 join_chains(const Packed* left, i32 left_count, const Packed* right, i32 right_count, Packed* ring) {
    i32 count = 0;
    ring[count++] = left[0];
    for (i32 i = right[0] == left[0] ? 1 : 0; i < right_count; i++) {
        ring[count++] = right[i];
    }
    for (i32 i = left_count - 1; i > 0; i--) {
        if (i < left_count - 1 || left[i] != right[right_count - 1]) {
            ring[count++] = left[i];
        }
    }
    return count;
}

/// Corners of a rectangle from its centre, sides and angle in radians, handed on in f32 degrees as OpenCV does.
FN RotatedRect box_points(PointF centre, f32 width, f32 height, f32 angle) {
    const f64 pi = 3.14159265358979323846;
    f32 degrees = (f32)((f64)(angle * 180.0f) / pi);
    f64 radians = (f64)degrees * pi / 180.0;
    f32 b = (f32)cos(radians) * 0.5f, a = (f32)sin(radians) * 0.5f;
    PointF p = {centre.x - a * height - b * width, centre.y + b * height - a * width};
    PointF q = {centre.x + a * height - b * width, centre.y - b * height - a * width};
    return {{p, q, {2.0f * centre.x - p.x, 2.0f * centre.y - p.y}, {2.0f * centre.x - q.x, 2.0f * centre.y - q.y}}, width, height};
}

FN f32 length_of(f32 x, f32 y) { return (f32)sqrt((f64)x * (f64)x + (f64)y * (f64)y); }

/// The rectangle of least area around a hull; one or two vertices give one without area.
///
/// Four supporting lines start parallel to the axes and turn to the next hull edge, once for each vertex. Of equal
/// areas the last counts.
FN RotatedRect min_area_rect(const Hull& hull) {
    i32 n = hull.count;
    if (n < 3) {
        return {};
    }
    // Supporting vertices of the sides at least y, greatest x, greatest y, least x; the first of equals.
    i32 support[4] = {0, 0, 0, 0};
    PointF extreme[4] = {hull.vertex(0), hull.vertex(0), hull.vertex(0), hull.vertex(0)};
    for (i32 i = 1; i < n; i++) {
        PointF p = hull.vertex(i);
        bool beyond[4] = {p.y < extreme[0].y, p.x > extreme[1].x, p.y > extreme[2].y, p.x < extreme[3].x};
        for (i32 side = 0; side < 4; side++) {
            if (beyond[side]) {
                support[side] = i;
                extreme[side] = p;
            }
        }
    }
    f32 best_area = 3.40282347e+38f, best_a = 0, best_b = 0, best_width = 0, best_height = 0;
    PointF best_left = {}, best_bottom = {};
#pragma unroll 1
    for (i32 turn = 0; turn < n; turn++) {
        // Each side's next edge, turned so that all four compare against the direction of the first side.
        PointF turned[4];
        for (i32 side = 0; side < 4; side++) {
            PointF p = extreme[side], q = hull.vertex(support[side] + 1 < n ? support[side] + 1 : 0);
            f32 x = q.x - p.x, y = q.y - p.y;
            turned[side] = side == 0 ? PointF{x, y} : side == 1 ? PointF{y, -x} : side == 2 ? PointF{-x, -y} : PointF{-y, x};
        }
        i32 leading = 0;
        PointF lead = turned[0];
        for (i32 side = 1; side < 4; side++) {
            if (turned[side].y * lead.x - turned[side].x * lead.y < 0.0f) {
                leading = side;
                lead = turned[side];
            }
        }
        f32 inverse_length = (f32)(1.0 / sqrt((f64)lead.x * (f64)lead.x + (f64)lead.y * (f64)lead.y));
        f32 a = lead.x * inverse_length, b = lead.y * inverse_length;
        for (i32 side = 0; side < 4; side++) {
            if (side == leading) {
                support[side] = support[side] + 1 < n ? support[side] + 1 : 0;
                extreme[side] = hull.vertex(support[side]);
            }
        }
        PointF bottom = extreme[0], right = extreme[1], top = extreme[2], left = extreme[3];
        f32 width = (right.x - left.x) * a + (right.y - left.y) * b;
        f32 height = (top.y - bottom.y) * a - (top.x - bottom.x) * b;
        f32 area = width * height;
        if (area <= best_area) {
            best_area = area, best_a = a, best_b = b, best_width = width, best_height = height;
            best_left = left, best_bottom = bottom;
        }
    }
    // The corner is where the line through `left` and the line through `bottom` meet.
    f32 a = best_a, b = best_b;
    f32 along = a * best_left.x + best_left.y * b;
    f32 across = -b * best_bottom.x + best_bottom.y * a;
    f32 inverse_det = 1.0f / (a * a + b * b);
    PointF corner = {(along * a - across * b) * inverse_det, (a * across + b * along) * inverse_det};
    PointF side = {a * best_width, b * best_width}, other = {-b * best_height, a * best_height};
    PointF centre = {corner.x + (side.x + other.x) * 0.5f, corner.y + (side.y + other.y) * 0.5f};
    return box_points(centre, length_of(side.x, side.y), length_of(other.x, other.y), (f32)atan2((f64)side.y, (f64)side.x));
}

/// Floats as integers of the same order, zeros apart.
FN i32 total_order(f32 v) {
    i32 bits = __float_as_int(v);
    return bits ^ (i32)((u32)(bits >> 31) >> 1);
}

/// Top-left, top-right, bottom-right, bottom-left: the two leftmost corners by x (ties keep their order), of each pair
/// the one with the smaller y first; on equal y the later one.
FN void order_corners(PointF c[4]) {
    for (i32 round = 0; round < 3; round++) {
        for (i32 i = 0; i < 3 - round; i++) {
            if (total_order(c[i + 1].x) < total_order(c[i].x)) {
                PointF p = c[i];
                c[i] = c[i + 1];
                c[i + 1] = p;
            }
        }
    }
    bool left = c[1].y > c[0].y, right = c[3].y > c[2].y;
    PointF top_left = left ? c[0] : c[1], bottom_left = left ? c[1] : c[0];
    PointF top_right = right ? c[2] : c[3], bottom_right = right ? c[3] : c[2];
    c[0] = top_left, c[1] = top_right, c[2] = bottom_right, c[3] = bottom_left;
}

/// How far a quadrilateral grows: area x ratio / perimeter.
FN f64 growth(const PointF quad[4], f64 ratio) {
    f64 doubled = 0.0, perimeter = 0.0;
    PointF p = quad[3];
    for (i32 i = 0; i < 4; i++) {
        PointF q = quad[i];
        doubled += (f64)p.x * (f64)q.y - (f64)p.y * (f64)q.x;
        f32 dx = p.x - q.x, dy = p.y - q.y;
        perimeter += sqrtf(dx * dx + dy * dy);
        p = q;
    }
    return fabs(doubled * 0.5) * ratio / perimeter;
}

/// Points of a grown ring; more than `capacity` are counted and dropped.
struct Ring {
    Packed* points;
    i32 capacity, count;

    FN void emit(f64 x, f64 y) {
        f64 limit = MAX_COORDINATE;
        Packed p = pack((i32)clamp(round(x), -limit, limit), (i32)clamp(round(y), -limit, limit));
        if (count > 0 && count <= capacity && points[count - 1] == p) {
            return;
        }
        if (count < capacity) {
            points[count] = p;
        }
        count++;
    }
};

/// Offsets `quad` outwards with round corners, as Clipper 6 offsets a closed convex ring: corners cut to integers, then
/// arcs within a quarter of a pixel. Fewer than three distinct corners give no points.
FN void unclip(const PointF quad[4], f64 ratio, Ring* ring) {
    const f64 pi = 3.14159265358979323846;
    f64 distance = growth(quad, ratio);
    f64 x[4], y[4];
    i32 count = 0;
    for (i32 i = 0; i < 4; i++) {
        f64 cx = truncf(quad[i].x), cy = truncf(quad[i].y);
        if (count == 0 || cx != x[count - 1] || cy != y[count - 1]) {
            x[count] = cx, y[count] = cy, count++;
        }
    }
    while (count > 1 && x[0] == x[count - 1] && y[0] == y[count - 1]) {
        count--;
    }
    if (count < 3 || !(distance > 0.0) || distance > 1e300) {
        return;
    }
    f64 doubled = 0.0;
    for (i32 i = 0; i < count; i++) {
        i32 j = i + 1 < count ? i + 1 : 0;
        doubled += x[i] * y[j] - y[i] * x[j];
    }
    if (doubled < 0.0) {
        for (i32 i = 0, j = count - 1; i < j; i++, j--) {
            f64 t = x[i];
            x[i] = x[j], x[j] = t, t = y[i], y[i] = y[j], y[j] = t;
        }
    }
    f64 tolerance = least_of(0.25, distance * 0.25);
    f64 steps = least_of(pi / acos(1.0 - tolerance / distance), distance * pi);
    f64 turn_sin = sin(2.0 * pi / steps), turn_cos = cos(2.0 * pi / steps);
    f64 steps_per_radian = steps / (2.0 * pi);
    f64 before_x = 0.0, before_y = 0.0;
    // The first round only leaves the normal of the last edge.
#pragma unroll 1
    for (i32 round_of = -1; round_of < count; round_of++) {
        i32 i = round_of < 0 ? count - 1 : round_of, j = i + 1 < count ? i + 1 : 0;
        f64 dx = x[j] - x[i], dy = y[j] - y[i];
        f64 inverse = 1.0 / sqrt(dx * dx + dy * dy);
        f64 after_x = dy * inverse, after_y = -dx * inverse;
        if (round_of >= 0) {
            f64 s = before_x * after_y - after_x * before_y;
            f64 c = before_x * after_x + before_y * after_y;
            if (fabs(s * distance) < 1.0 && c > 0.0) {
                ring->emit(x[i] + before_x * distance, y[i] + before_y * distance);
                continue;  // Clipper keeps the old normal for the next corner here
            }
            if (s * distance < 0.0) {
                ring->emit(x[i] + before_x * distance, y[i] + before_y * distance);
                ring->emit(x[i], y[i]);
            } else {
                f64 nx = before_x, ny = before_y;
                f64 arc = round(steps_per_radian * fabs(atan2(least_of(s, 1.0), c)));
#pragma unroll 1
                for (i32 k = 0; k < (i32)most_of(arc, 1.0); k++) {
                    ring->emit(x[i] + nx * distance, y[i] + ny * distance);
                    f64 t = nx * turn_cos - turn_sin * ny;
                    ny = nx * turn_sin + ny * turn_cos;
                    nx = t;
                }
            }
            ring->emit(x[i] + after_x * distance, y[i] + after_y * distance);
        }
        before_x = after_x, before_y = after_y;
    }
}

// Mean of a map inside a quadrilateral, over exactly the pixels that OpenCV's fillPoly sets: the scan lines between edges
// in 16-bit fixed point, and the 8-connected line of every edge. Twin of src/ops/db/score.rs; there pixels are drawn
// edge by edge, here each row is worked out by itself.
#pragma once
#include "block.cuh"
#include "polygon.cuh"

namespace fill {

enum { FRACTION = 16 };

/// The mask drawn into: its largest coordinates; the least are 0.
struct Window {
    i32 right, bottom;
};

/// One edge of the polygon: where it crosses rows, and its line as it is drawn.
struct Edge {
    i64 x, slope;      // of the crossing at `top`, and per row; fixed point
    i32 top, bottom;   // rows it crosses, the lower end not included
    i32 px, py;        // left end of the line
    i32 along, across; // extents of the line: the longer and the shorter
    i32 down;          // 1 when it falls to the right, -1 when it rises
    bool steep, drawn;
};

struct Run {
    i32 first, last;  // none when first > last
};

FN i32 beside(i32 v, i32 most) { return (v < 0 ? 1 : 0) | (v > most ? 2 : 0); }
FN i32 moved(i32 by, i32 run, i32 rise) { return (i32)((f64)by * (f64)run / (f64)rise); }

/// Cuts the line to the window and says whether any of it lies inside. As OpenCV does it, the ends are moved one after the
/// other and each move is cut to whole pixels.
FN bool clip_line(Window w, i32 p[2], i32 q[2]) {
    i32 p_x = beside(p[0], w.right), p_y = beside(p[1], w.bottom);
    i32 q_x = beside(q[0], w.right), q_y = beside(q[1], w.bottom);
    if ((p_x & q_x) || (p_y & q_y)) {
        return false;
    }
    if (p_y) {
        i32 to = p_y == 1 ? 0 : w.bottom;
        p[0] += moved(to - p[1], q[0] - p[0], q[1] - p[1]);
        p[1] = to;
        p_x = beside(p[0], w.right);
    }
    if (q_y) {
        i32 to = q_y == 1 ? 0 : w.bottom;
        q[0] += moved(to - q[1], q[0] - p[0], q[1] - p[1]);
        q[1] = to;
        q_x = beside(q[0], w.right);
    }
    if (p_x & q_x) {
        return false;
    }
    if (p_x) {
        i32 to = p_x == 1 ? 0 : w.right;
        p[1] += moved(to - p[0], q[1] - p[1], q[0] - p[0]);
        p[0] = to;
    }
    if (q_x) {
        i32 to = q_x == 1 ? 0 : w.right;
        q[1] += moved(to - q[0], q[1] - p[1], q[0] - p[0]);
        q[0] = to;
    }
    return true;
}

FN Edge edge_of(Window w, const i32 from[2], const i32 to[2]) {
    Edge e = {};
    bool falls = from[1] < to[1];
    const i32 *upper = falls ? from : to, *lower = falls ? to : from;
    e.top = upper[1], e.bottom = lower[1];
    e.x = (i64)upper[0] << FRACTION;
    e.slope = e.top == e.bottom ? 0 : ((i64)(lower[0] - upper[0]) << FRACTION) / (e.bottom - e.top);
    i32 p[2] = {from[0], from[1]}, q[2] = {to[0], to[1]};
    bool inside = !beside(p[0], w.right) && !beside(p[1], w.bottom) && !beside(q[0], w.right) && !beside(q[1], w.bottom);
    e.drawn = inside || clip_line(w, p, q);
    bool swap = q[0] < p[0];
    e.px = swap ? q[0] : p[0], e.py = swap ? q[1] : p[1];
    i32 end_y = swap ? p[1] : q[1];
    i32 dx = swap ? p[0] - q[0] : q[0] - p[0], dy = end_y < e.py ? e.py - end_y : end_y - e.py;
    e.down = end_y < e.py ? -1 : 1;
    e.steep = dy > dx;
    e.along = most_of(dx, dy), e.across = least_of(dx, dy);
    return e;
}

/// The pixels of the line in row `y`. After k of its steps the line has gone sideways floor((2 k across + along - 1) / (2 along)) times.
FN Run line_run(const Edge& e, i32 y) {
    i32 j = (y - e.py) * e.down;
    if (!e.drawn || j < 0 || j > (e.steep ? e.along : e.across)) {
        return {1, 0};
    }
    if (e.along == 0) {
        return {e.px, e.px};
    }
    if (e.steep) {
        i32 x = e.px + (2 * e.across * j + e.along - 1) / (2 * e.along);
        return {x, x};
    }
    i32 first = j == 0 ? 0 : (2 * e.along * j - e.along + 2 * e.across) / (2 * e.across);
    i32 last = j == e.across ? e.along : (2 * e.along * (j + 1) - e.along + 2 * e.across) / (2 * e.across) - 1;
    return {e.px + first, e.px + last};
}

/// All runs of row `y`, sorted by their first pixel; those without pixels come last.
FN void row_runs(const Edge edges[4], Window w, i32 y, Run runs[6]) {
    i64 crossings[4];
    i32 count = 0;
    for (i32 k = 0; k < 4; k++) {
        const i64 never = (i64)1 << 62;
        bool crosses = y >= edges[k].top && y < edges[k].bottom;
        crossings[k] = crosses ? edges[k].x + (y - edges[k].top) * edges[k].slope : never;
        count += crosses;
        runs[k] = line_run(edges[k], y);
    }
    for (i32 round = 0; round < 3; round++) {
        for (i32 i = 0; i < 3 - round; i++) {
            if (crossings[i + 1] < crossings[i]) {
                i64 t = crossings[i];
                crossings[i] = crossings[i + 1], crossings[i + 1] = t;
            }
        }
    }
    for (i32 pair = 0; pair < 2; pair++) {
        Run run = {1, 0};
        if (2 * pair + 1 < count) {
            i32 first = (i32)((crossings[2 * pair] + (1 << FRACTION) - 1) >> FRACTION);
            i32 last = (i32)(crossings[2 * pair + 1] >> FRACTION);
            if (first <= w.right && last >= 0 && first <= last) {
                run = {most_of(first, 0), least_of(last, w.right)};
            }
        }
        runs[4 + pair] = run;
    }
    for (i32 k = 0; k < 6; k++) {
        if (runs[k].first > runs[k].last) {
            runs[k] = {0x7fffffff, -1};
        }
    }
    for (i32 round = 0; round < 5; round++) {
        for (i32 i = 0; i < 5 - round; i++) {
            if (runs[i + 1].first < runs[i].first) {
                Run t = runs[i];
                runs[i] = runs[i + 1], runs[i + 1] = t;
            }
        }
    }
}

/// Mean of `map` (width x height) inside `quad` for all threads of the block; corners are cut to integers. The
/// quadrilateral is drawn into its own bounding window, clipped to the map. What is no number counts as 0.
FN f64 block_mean(const f32* map, i32 width, i32 height, const PointF quad[4]) {
    __shared__ Edge edges[4];
    PointF least = quad[0], most = quad[0];
    for (i32 k = 1; k < 4; k++) {
        least = {least_of(least.x, quad[k].x), least_of(least.y, quad[k].y)};
        most = {most_of(most.x, quad[k].x), most_of(most.y, quad[k].y)};
    }
    i32 x0 = (i32)clamp(floorf(least.x), 0.0f, (f32)(width - 1)), x1 = (i32)clamp(ceilf(most.x), 0.0f, (f32)(width - 1));
    i32 y0 = (i32)clamp(floorf(least.y), 0.0f, (f32)(height - 1)), y1 = (i32)clamp(ceilf(most.y), 0.0f, (f32)(height - 1));
    Window w = {x1 - x0, y1 - y0};
    if (threadIdx.x < 4) {
        PointF p = quad[(threadIdx.x + 3) % 4], q = quad[threadIdx.x];
        i32 from[2] = {(i32)(p.x - (f32)x0), (i32)(p.y - (f32)y0)}, to[2] = {(i32)(q.x - (f32)x0), (i32)(q.y - (f32)y0)};
        edges[threadIdx.x] = edge_of(w, from, to);
    }
    __syncthreads();
    f64 sum = 0.0;
    i32 count = 0;
#pragma unroll 1
    for (i32 y = warp_of_block(); y <= w.bottom; y += warps_of_block()) {
        Run runs[6];
        row_runs(edges, w, y, runs);
        const f32* row = map + (i64)(y0 + y) * width + x0;
        i32 covered = 0;
        for (i32 k = 0; k < 6; k++) {
            i32 first = most_of(runs[k].first, covered);
            if (first > runs[k].last) {
                continue;
            }
            covered = runs[k].last + 1;
            for (i32 x = first + lane_of_warp(); x < covered; x += 32) {
                f32 v = row[x];
                sum += v == v ? v : 0.0f;
                count++;
            }
        }
    }
    sum = block_sum(sum);
    count = block_sum(count);
    return count == 0 ? 0.0 : sum / count;
}

}  // namespace fill

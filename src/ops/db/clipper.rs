//! Clipper 6, which PaddleX has by way of pyclipper: where it lets an outline begin, and how it rounds crossings, decides how curved
//! text is made straight.

use clipper_sys::{
    ClipType_ctUnion, Path, PolyFillType_pftPositive, PolyType_ptSubject, Polygon, Polygons, Vertice, execute, free_polygons,
};

/// What coordinates stay below: beyond 2^30 it computes in another way, beyond 2^62 it throws.
const BOUND: i64 = 1 << 30;

/// The outlines, of holes too, of what a ring that may cross itself winds around: the last step of Clipper's offset. There are none of a
/// ring that is larger than any map.
pub(super) fn union(mut ring: Vec<Vertice>) -> Vec<Vec<Vertice>> {
    if ring.iter().flatten().any(|side| !(-BOUND..BOUND).contains(side)) {
        return Vec::new();
    }
    let mut path = Path { vertices: ring.as_mut_ptr(), vertices_count: ring.len(), closed: 1 };
    let mut polygon = Polygon { paths: &mut path, paths_count: 1, type_: PolyType_ptSubject };
    let given = Polygons { polygons: &mut polygon, polygons_count: 1 };
    // SAFETY: all three levels live for the call, hold what they say, and are only read. It throws for coordinates beyond 2^62, and where
    // it finds its own lists broken, which no ring was seen to do.
    let found = unsafe { execute(ClipType_ctUnion, given, PolyFillType_pftPositive, PolyFillType_pftPositive) };
    // SAFETY: each pointer is to as many as stand beside it, until they are freed below.
    let of = |path: &Path| unsafe { std::slice::from_raw_parts(path.vertices, path.vertices_count) }.to_vec();
    // SAFETY: as above, on both levels.
    let paths = unsafe { std::slice::from_raw_parts(found.polygons, found.polygons_count) }
        .iter()
        .flat_map(|polygon| unsafe { std::slice::from_raw_parts(polygon.paths, polygon.paths_count) });
    let outlines = paths.map(of).collect();
    // SAFETY: the library made them, and nothing of them is used any more.
    unsafe { free_polygons(found) };
    outlines
}

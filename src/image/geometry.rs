//! Coordinate types and rules. Origin top-left, x to the right, y downwards, units are pixels.
//! Integer points name pixels; float points are positions in which pixel (i, j) has its centre at (i, j),
//! as OpenCV's contour and warp functions count them.

use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size from width and height, in this order.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// What lies of a region in a picture of this size: left, top, right, bottom, of which the last two are not part of it; `None`
    /// when nothing does.
    pub fn inside(self, [left, top, right, bottom]: [i32; 4]) -> Option<[u32; 4]> {
        let cut = |side: i32, limit: u32| side.max(0).unsigned_abs().min(limit);
        let [left, right] = [left, right].map(|side| cut(side, self.width));
        let [top, bottom] = [top, bottom].map(|side| cut(side, self.height));
        (left < right && top < bottom).then_some([left, top, right, bottom])
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A pixel position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PointI {
    /// Column.
    pub x: i32,
    /// Row.
    pub y: i32,
}

/// A sub-pixel position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PointF {
    /// Horizontal position.
    pub x: f32,
    /// Vertical position.
    pub y: f32,
}

impl PointF {
    /// The point at (x, y).
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Euclidean distance.
    pub fn distance(self, other: Self) -> f32 {
        let (dx, dy) = (self.x - other.x, self.y - other.y);
        (dx * dx + dy * dy).sqrt()
    }
}

impl PointI {
    /// The pixel at column `x`, row `y`.
    pub const fn new(x: i32, y: i32) -> Self {
        Self { x, y }
    }

    /// The same position in floats (exact below 2^24).
    pub fn to_f(self) -> PointF {
        PointF::new(self.x as f32, self.y as f32)
    }
}

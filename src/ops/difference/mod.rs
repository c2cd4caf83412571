//! How much two pictures of one size differ where they differ most: what decides whether a frame of a video needs to be
//! looked at again. The frame is cut into tiles of 32 x 32 pixels (smaller at the right and lower edges); the measure is
//! the largest mean absolute difference of a tile, in levels (0 to 255) over all its samples. A mean over the whole
//! picture would not see a letter change.

pub mod cpu;

/// Side of a tile in pixels.
pub const TILE: usize = 32;

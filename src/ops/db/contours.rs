//! Border following after Suzuki and Abe (1985): every outer and hole border of a bit plane, 8-connected,
//! straight runs reduced to their ends. Same borders, same points, same order as OpenCV's `findContours`
//! with `RETR_LIST` and `CHAIN_APPROX_SIMPLE`.

use super::bitmap::Bitmap;
use crate::image::{PointF, Size};
use std::ops::Range;

/// Steps of the chain code: 0 points right, each next one turns 45 degrees towards smaller y.
const STEPS: [(i32, i32); 8] = [(1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1)];

/// The row above, left pixel in bit 0, as neighbours in chain code order (bits 1 to 3).
const ABOVE: [u8; 8] = [0, 8, 4, 12, 2, 10, 6, 14];

/// The borders of one map and the marks left by following them.
#[derive(Debug, Default)]
pub(super) struct Contours {
    points: Vec<PointF>,
    /// End of each contour in `points`.
    ends: Vec<usize>,
    /// Border pixels that were visited.
    visited: Bitmap,
    /// Of these, the ones whose right neighbour is background and belongs to a border already followed.
    right: Bitmap,
}

impl Contours {
    /// Follows every border of `bitmap`.
    pub fn find(&mut self, bitmap: &Bitmap, size: Size) {
        let (width, height) = (size.width as usize, size.height as usize);
        self.points.clear();
        self.ends.clear();
        self.visited.reset(width, height);
        self.right.reset(width, height);
        for y in 0..height {
            let words = bitmap.row_words(y);
            for (at, x0) in words.zip((0..).step_by(64)) {
                let (text, left) = (bitmap.word(at), bitmap.word_to_left(at));
                if text | left == 0 {
                    continue;
                }
                let mut ahead = u64::MAX;
                // Following a border leaves marks, so what starts here is asked anew after each.
                loop {
                    let outer = text & !left & !self.visited.word(at);
                    let hole = !text & left & !self.right.word_to_left(at);
                    let starts = (outer | hole) & ahead;
                    if starts == 0 {
                        break;
                    }
                    let bit = starts.trailing_zeros();
                    ahead = u64::MAX.checked_shl(bit + 1).unwrap_or(0);
                    let x = x0 + bit as usize;
                    let is_hole = text >> bit & 1 == 0;
                    self.follow(bitmap, x - usize::from(is_hole), y, is_hole);
                }
            }
        }
    }

    /// Number of borders.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Points of border `index` in pixel coordinates; 0 is the border OpenCV lists first, the one found last.
    pub fn get(&self, index: usize) -> &[PointF] {
        &self.points[self.range(self.len() - 1 - index)]
    }

    fn range(&self, found: usize) -> Range<usize> {
        let start = if found == 0 { 0 } else { self.ends[found - 1] };
        start..self.ends[found]
    }

    fn follow(&mut self, bitmap: &Bitmap, x: usize, y: usize, is_hole: bool) {
        let row_step = bitmap.row_step();
        let start = bitmap.position(x, y);
        let (mut x, mut y) = (x as i32, y as i32);
        // Clockwise from the known background neighbour, the first text pixel is where the border ends.
        let background = if is_hole { 0 } else { 4 };
        let around = neighbours(bitmap, start, row_step).rotate_right(background);
        if around == 0 {
            self.points.push(PointF::new(x as f32, y as f32));
            self.visited.set(start);
            self.right.set(start);
            self.ends.push(self.points.len());
            return;
        }
        let mut direction = (background + 7 - around.leading_zeros()) & 7;
        let last = step(start, direction, row_step);
        let mut at = start;
        let mut before = direction ^ 4;
        loop {
            // Counter-clockwise from where we came.
            let from = direction;
            let around = neighbours(bitmap, at, row_step).rotate_right((from + 1) & 7);
            direction = (from + 1 + around.trailing_zeros()) & 7;
            self.visited.set(at);
            if direction.wrapping_sub(1) < from {
                self.right.set(at);
            }
            if direction != before {
                self.points.push(PointF::new(x as f32, y as f32));
                before = direction;
            }
            let next = step(at, direction, row_step);
            if next == start && at == last {
                break;
            }
            let (dx, dy) = STEPS[direction as usize];
            (x, y) = (x + dx, y + dy);
            at = next;
            direction ^= 4;
        }
        self.ends.push(self.points.len());
    }
}

/// Which of the eight neighbours are text, in chain code order from bit 0.
fn neighbours(bitmap: &Bitmap, at: usize, row_step: usize) -> u8 {
    let (above, here, below) = (bitmap.three(at - row_step - 1), bitmap.three(at - 1), bitmap.three(at + row_step - 1));
    ABOVE[above] | (here >> 2 | (here & 1) << 4 | below << 5) as u8
}

/// Address one step in a chain code direction.
fn step(at: usize, direction: u32, row_step: usize) -> usize {
    let (dx, dy) = STEPS[direction as usize];
    at.wrapping_add_signed(dx as isize + dy as isize * row_step as isize)
}

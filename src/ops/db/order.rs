//! Reading order of quadrilaterals, as the OCR pipeline of PaddleX sorts them.

use crate::image::PointI;

/// Boxes whose top-left corners differ by less than this in y may stand in one line.
const SAME_LINE_PX: i32 = 10;

/// Sorts boxes, each known by its top-left `corner`, top to bottom and, within a line, left to right.
///
/// By (y, x) of the corner, then one pass of insertion that compares neighbours only: a line that
/// drifts by less than 10 px from box to box is one line, and boxes that are equal keep their order.
pub fn reading_order<T>(boxes: &mut [T], corner: impl Fn(&T) -> PointI) {
    boxes.sort_by_key(|b| (corner(b).y, corner(b).x));
    for end in 1..boxes.len() {
        let here = corner(&boxes[end]);
        let passes = |above: &T| (here.y - corner(above).y).abs() < SAME_LINE_PX && here.x < corner(above).x;
        let passed = boxes[..end].iter().rev().take_while(|above| passes(above)).count();
        boxes[end - passed..=end].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::db::TextBox;

    #[test]
    fn lines_are_read_left_to_right_and_scores_stay_with_their_boxes() {
        let corners = [(300, 12), (100, 15), (200, 17), (50, 40), (10, 49), (400, 8), (100, 15)];
        let mut boxes: Vec<TextBox> =
            corners.iter().zip(0u8..).map(|(&(x, y), i)| TextBox { quad: [PointI::new(x, y); 4], score: f32::from(i) }).collect();
        reading_order(&mut boxes, |b| b.quad[0]);
        let order: Vec<(i32, f32)> = boxes.iter().map(|b| (b.quad[0].x, b.score)).collect();
        assert_eq!(order, [(100, 1.0), (100, 6.0), (200, 2.0), (300, 0.0), (400, 5.0), (10, 4.0), (50, 3.0)]);
        reading_order(&mut [], |p: &PointI| *p);
    }
}

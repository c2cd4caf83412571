//! The definition on the CPU.

use super::{MAX_CLASSES, MaskLogits, Window, palette};
use crate::error::{Error, Result};
use crate::image::Size;

/// One target index of an axis: the two source indices and the weight of the second.
#[derive(Clone, Copy, Debug)]
struct Tap {
    low: usize,
    high: usize,
    t: f32,
}

/// Where target index `d` of an axis resized from `src` to `dst` samples falls, in Paddle's precision.
fn tap(d: u32, src: usize, dst: u32) -> Tap {
    // Paddle leaves the ratio 0 for a single target sample.
    let ratio = if dst > 1 { src as f32 / dst as f32 } else { 0.0 };
    let at = f64::from(ratio) * (f64::from(d) + 0.5) - 0.5;
    let low = at.max(0.0) as usize;
    Tap { low: low.min(src - 1), high: (low + 1).min(src - 1), t: (at as f32).max(0.0) - low as f32 }
}

/// The mask of an instance inside `window` of the picture of size `picture`: `window.size().area()` bytes of 0 or 1
/// into `out`, row by row. A logit that is no number is 0. An empty window gives no bytes.
///
/// # Errors
/// [`Error::Internal`] when there are no logits, their number does not fit their size, or the window leaves the picture.
pub fn cut(logits: MaskLogits, picture: Size, window: Window, out: &mut Vec<u8>) -> Result<()> {
    let MaskLogits { data, size } = logits;
    if data.is_empty() || data.len() as u64 != size.area() || window.x1 > picture.width || window.y1 > picture.height {
        let reason = format!("{} logits for a mask of {size}, {window:?} of a picture of {picture}", data.len());
        return Err(Error::internal("mask", reason));
    }
    let (width, height) = (size.width as usize, size.height as usize);
    let columns: Vec<Tap> = (window.x0..window.x1).map(|x| tap(x, width, picture.width)).collect();
    out.clear();
    out.reserve(window.size().area() as usize);
    for y in window.y0..window.y1 {
        let row = tap(y, height, picture.height);
        let (above, below) = (&data[row.low * width..][..width], &data[row.high * width..][..width]);
        let (down, up) = (row.t, 1.0 - row.t);
        out.extend(columns.iter().map(|c| {
            let (right, left) = (c.t, 1.0 - c.t);
            let value = above[c.low] * up * left + below[c.low] * down * left + above[c.high] * up * right + below[c.high] * down * right;
            u8::from(value > 0.0)
        }));
    }
    Ok(())
}

/// The class of the largest score of every pixel, of equal ones the lowest, from `[classes, pixels]` scores into
/// `labels`, one per pixel. A score that is no number is never the largest.
///
/// # Errors
/// [`Error::Internal`] when the number of scores does not fit, or there are more than [`MAX_CLASSES`].
pub fn argmax(scores: &[f32], classes: usize, labels: &mut [u8]) -> Result<()> {
    if !(1..=MAX_CLASSES).contains(&classes) || scores.len() != classes * labels.len() {
        let reason = format!("{} scores of {classes} classes for {} pixels", scores.len(), labels.len());
        return Err(Error::internal("classes of pixels", reason));
    }
    let pixels = labels.len();
    let mut best = vec![f32::NEG_INFINITY; pixels];
    labels.fill(0);
    for (class, scores) in scores.chunks_exact(pixels.max(1)).enumerate() {
        for ((best, label), &score) in best.iter_mut().zip(&mut *labels).zip(scores) {
            if score > *best {
                (*best, *label) = (score, class as u8);
            }
        }
    }
    Ok(())
}

/// The colours of `labels`, three bytes (RGB) each.
pub fn colour(labels: &[u8]) -> Vec<u8> {
    const PALETTE: [[u8; 3]; MAX_CLASSES] = palette();
    labels.iter().flat_map(|&label| PALETTE[label as usize]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut_all(data: &[f32], size: Size, picture: Size) -> Vec<u8> {
        let mut out = Vec::new();
        cut(MaskLogits { data, size }, picture, Window::whole(picture), &mut out).unwrap();
        out
    }

    #[test]
    fn a_window_is_the_same_part_of_the_whole() {
        let size = Size::new(5, 4);
        let data: Vec<f32> = (0..20u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 8_388_608.0 - 1.0).collect();
        let picture = Size::new(33, 17);
        let whole = cut_all(&data, size, picture);
        assert!(whole.contains(&0) && whole.contains(&1));
        let window = Window { x0: 7, y0: 3, x1: 30, y1: 11 };
        let mut part = Vec::new();
        cut(MaskLogits { data: &data, size }, picture, window, &mut part).unwrap();
        let expected: Vec<u8> = (3..11).flat_map(|y| whole[y * 33 + 7..y * 33 + 30].to_vec()).collect();
        assert_eq!(part, expected);
        cut(MaskLogits { data: &data, size }, picture, Window { x0: 9, y0: 3, x1: 4, y1: 11 }, &mut part).unwrap();
        assert_eq!(part, [0u8; 0]);
    }

    #[test]
    fn small_and_misfit_masks_are_answered() {
        assert_eq!(cut_all(&[0.5], Size::new(1, 1), Size::new(3, 2)), [1; 6]);
        assert_eq!(cut_all(&[f32::NAN, 0.0, -1.0, 1.0], Size::new(4, 1), Size::new(4, 1)), [0, 0, 0, 1]);
        let picture = Size::new(4, 4);
        for (data, window) in [(&[][..], Window::whole(picture)), (&[0.0][..], Window { x0: 0, y0: 0, x1: 5, y1: 4 })] {
            let size = Size::new(data.len() as u32, 1);
            assert!(cut(MaskLogits { data, size }, picture, window, &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn windows_round_half_to_even_and_stay_inside() {
        let picture = Size::new(100, 50);
        let window = Window::of_box([0.5, 1.5, 99.6, 60.0], picture);
        assert_eq!(window, Window { x0: 0, y0: 2, x1: 100, y1: 50 });
        assert_eq!(Window::of_box([f32::NAN, -3.0, 2.5, 1.0], picture), Window { x0: 0, y0: 0, x1: 2, y1: 1 });
        assert_eq!(Window { x0: 5, y0: 0, x1: 4, y1: 3 }.size().area(), 0);
    }

    #[test]
    fn classes_take_the_lowest_of_equals() {
        let mut labels = [9; 3];
        argmax(&[1.0, 2.0, f32::NAN, 1.0, 3.0, f32::NAN, 0.0, 3.0, f32::NAN], 3, &mut labels).unwrap();
        assert_eq!(labels, [0, 1, 0]);
        assert!(argmax(&[0.0; 5], 2, &mut labels).is_err() && argmax(&[], 0, &mut labels).is_err());
        assert_eq!(colour(&[0, 1]), [128, 0, 0, 0, 128, 0]);
    }
}

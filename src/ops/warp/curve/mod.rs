//! Text regions of any shape, straightened: a polygon that nearly fills its rectangle is cut out as one; any other is simplified,
//! split at its two ends into an upper and a lower line, and rectified strip by strip.
//!
//! The steps are PaddleX 3.0-beta1's for curved seal text; pixels equal those of OpenCV 4.5.5.

mod ends;
mod line;
mod strips;

use super::cpu::{self, Scratch};
use super::plan::CropPlan;
use crate::error::{Error, Result};
use crate::image::polygon::{area, min_area_rect, order_corners};
use crate::image::{ImageView, PointF, PointI, Size};
use strips::Strips;

/// A polygon that covers at least this part of its rectangle is cut out as the rectangle.
const STRAIGHT: f64 = 0.7;
/// Points on the upper line, and on the lower.
const POINTS_PER_LINE: usize = 16;

/// How the pixels of a text region of any shape become an upright line of text.
#[derive(Clone, Debug, PartialEq)]
pub enum CurvePlan {
    /// As any straight region.
    Rectangle(CropPlan),
    /// Strip by strip along the curve.
    Strips(Strips),
    /// A plain part of the picture: what is left to do with a region that cannot be straightened.
    Window {
        /// Left column and top row.
        origin: PointI,
        /// Columns and rows; may be none.
        size: Size,
    },
}

impl CurvePlan {
    /// The plan for `polygon`, a closed outline, in a picture of size `picture`.
    ///
    /// # Errors
    /// [`Error::Input`] for a side of more than 32767 pixels.
    pub fn from_polygon(polygon: &[PointI], picture: Size) -> Result<Self> {
        let ring: Vec<PointF> = polygon.iter().map(|p| p.to_f()).collect();
        let rect = min_area_rect(&ring);
        // The rectangle encloses the polygon, so the ratio of the areas is the overlap.
        let covered = area(&ring) / (f64::from(rect.width) * f64::from(rect.height) + 1e-10);
        if covered >= STRAIGHT {
            return Ok(Self::Rectangle(CropPlan::from_corners(&order_corners(rect.corners))?));
        }
        let simple = line::merge_near(polygon);
        let Some(lines) = ends::side_lines(&simple) else {
            return Ok(Self::Rectangle(CropPlan::from_corners(&order_corners(rect.corners))?));
        };
        let outline = outline(lines.map(|side| line::resample(&side, POINTS_PER_LINE)));
        Ok(match Strips::along(&outline, picture) {
            Some(strips) => Self::Strips(strips),
            None => window(&outline, picture),
        })
    }

    /// Width and height of the finished crop.
    pub fn size(&self) -> Size {
        match self {
            Self::Rectangle(plan) => plan.size(),
            Self::Strips(strips) => strips.size(),
            Self::Window { size, .. } => *size,
        }
    }

    /// True when the region has no pixels: there is nothing to cut out, and no text.
    pub fn is_empty(&self) -> bool {
        self.size().area() == 0
    }
}

/// The outline of the two side lines, the upper first, in f32 as OpenCV gets it.
fn outline([mut upper, mut lower]: [Vec<(f64, f64)>; 2]) -> Vec<PointF> {
    let mean_y = |points: &[(f64, f64)]| points.iter().map(|p| p.1).sum::<f64>() / points.len() as f64;
    if mean_y(&upper) - mean_y(&lower) > 0.0 {
        std::mem::swap(&mut upper, &mut lower);
    }
    upper.into_iter().chain(lower).map(|(x, y)| PointF::new(x as f32, y as f32)).collect()
}

/// The upright rectangle around `outline`, cut to the picture. Its last column and row are not part of it.
fn window(outline: &[PointF], picture: Size) -> CurvePlan {
    let bounds = |axis: fn(&PointF) -> f32, side: u32| {
        let clip = |v: f32| (v as i32).clamp(0, side as i32 - 1);
        let (least, most) = outline.iter().map(axis).fold((f32::MAX, f32::MIN), |(a, b), v| (a.min(v), b.max(v)));
        (clip(least), clip(most))
    };
    let ((left, right), (top, bottom)) = (bounds(|p| p.x, picture.width), bounds(|p| p.y, picture.height));
    CurvePlan::Window { origin: PointI::new(left, top), size: Size::new((right - left) as u32, (bottom - top) as u32) }
}

/// Fills `out` with the crop of `plan`: `plan.size().area() * 3` bytes, interleaved, channel order of `src`.
///
/// # Errors
/// [`Error::Input`] when `src` has no pixels or not three channels, or is smaller than the picture of the plan.
pub fn warp(src: ImageView, plan: &CurvePlan, out: &mut Vec<u8>, scratch: &mut Scratch) -> Result<()> {
    match plan {
        CurvePlan::Rectangle(plan) => cpu::warp(src, plan, out, scratch),
        CurvePlan::Strips(strips) => {
            cpu::check(src)?;
            strips.warp(src, out, scratch);
            Ok(())
        }
        CurvePlan::Window { origin, size } => {
            cpu::check(src)?;
            out.clear();
            if size.area() == 0 {
                return Ok(());
            }
            let Some(first) = cpu::inside(src, (origin.x, origin.y), *size) else {
                return Err(Error::internal("curved crop", format!("a window of {size} beyond a picture of {}", src.size)));
            };
            out.resize(size.area() as usize * 3, 0);
            cpu::copy(src, first, *size, out);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(xy: &[(i32, i32)]) -> CurvePlan {
        let points: Vec<_> = xy.iter().map(|&(x, y)| PointI::new(x, y)).collect();
        CurvePlan::from_polygon(&points, Size::new(200, 100)).unwrap()
    }

    /// Points on a half ring, outer arc there, inner arc back.
    fn half_ring(outer: f64, inner: f64) -> Vec<(i32, i32)> {
        let at = |radius: f64, turn: i32| {
            let angle = f64::from(turn) * std::f64::consts::PI / 12.0;
            ((100.0 - radius * angle.cos()) as i32, (95.0 - radius * angle.sin()) as i32)
        };
        (0..=12).map(|t| at(outer, t)).chain((0..=12).rev().map(|t| at(inner, t))).collect()
    }

    #[test]
    fn the_shape_decides_how_a_region_is_cut_out() {
        assert!(matches!(plan(&[(10, 10), (90, 12), (90, 30), (10, 28)]), CurvePlan::Rectangle(_)));
        let CurvePlan::Strips(strips) = plan(&half_ring(90.0, 60.0)) else { panic!("a half ring is curved") };
        let Size { width, height } = strips.size();
        assert!(width > height && height > 20, "{width}x{height}");
    }

    #[test]
    fn odd_outlines_give_a_plan_all_the_same() {
        for xy in [&[][..], &[(5, 5)], &[(5, 5), (9, 9)], &[(5, 5), (5, 5), (5, 5), (5, 5), (5, 5)]] {
            assert!(plan(xy).is_empty(), "{xy:?}");
        }
        // A line to and fro, a bow tie, a comb, a line one pixel wide that turns.
        for xy in [
            vec![(0, 0), (50, 0), (0, 0), (50, 0), (0, 0)],
            vec![(0, 0), (50, 50), (50, 0), (0, 50)],
            (0..20).map(|i| (10 * i, if i % 2 == 0 { 0 } else { 90 })).collect(),
            vec![(10, 10), (60, 10), (60, 60), (61, 60), (61, 9), (10, 9)],
        ] {
            let size = plan(&xy).size();
            assert!(size.width <= 2000 && size.height <= 2000, "{size}");
        }
    }

    #[test]
    fn a_window_is_a_copy() {
        let data: Vec<u8> = (0..200 * 100 * 3).map(|i| (i % 251) as u8).collect();
        let src = ImageView { data: &data, size: Size::new(200, 100), format: crate::image::PixelFormat::Bgr };
        let plan = CurvePlan::Window { origin: PointI::new(3, 2), size: Size::new(4, 2) };
        let mut out = Vec::new();
        warp(src, &plan, &mut out, &mut Scratch::default()).unwrap();
        let at = |x: usize, y: usize| &data[(y * 200 + x) * 3..][..12];
        assert_eq!(out, [at(3, 2), at(3, 3)].concat());
        let beyond = CurvePlan::Window { origin: PointI::new(198, 2), size: Size::new(4, 2) };
        assert!(warp(src, &beyond, &mut out, &mut Scratch::default()).is_err());
    }
}

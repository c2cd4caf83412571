//! Which of the regions a layout detector finds are used, and how large, by the options of PaddleX 3.x (`DetPostProcess`, 3.0.0 to 3.7.2):
//! scores by class, suppression, regions within others, wider ones. All sums are in float32, as NumPy 2 does them.

use crate::image::Size;
use std::collections::BTreeMap;

/// A row of a detector's output: class, score, left, top, right, bottom in pixels of the picture.
pub type Row = [f32; 6];

/// Score that a class needs to exceed which a map of thresholds leaves out.
const OTHER_CLASSES: f32 = 0.5;
/// Overlap at which a region of the same class as a better one goes.
const SAME_CLASS: f32 = 0.6;
/// The same for one of another class.
const OTHER_CLASS: f32 = 0.98;
/// Share of a region's pixels in another from which it counts as a part of that.
const WITHIN: f32 = 0.9;
/// Share of a wide picture above which a region of class `image` is the picture itself.
const WHOLE_WIDE: f64 = 0.82;
/// The same share of a picture that is not wider than high.
const WHOLE_TALL: f64 = 0.93;

/// The options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RegionRules {
    /// Score that a region of a class needs to exceed, 0.5 for classes left out; `None` leaves it to the detector.
    pub thresholds: Option<BTreeMap<u32, f32>>,
    /// Whether regions go that lie on better ones (`layout_nms`).
    pub suppress: bool,
    /// What becomes of regions that lie in others (`layout_merge_bboxes_mode`).
    pub merge: Merge,
    /// By how much regions grow (`layout_unclip_ratio`).
    pub unclip: Unclip,
}

/// What becomes of regions that lie in others.
#[derive(Clone, Debug, PartialEq)]
pub enum Merge {
    /// The same for all classes.
    All(MergeMode),
    /// By class; those left out stay.
    Classes(BTreeMap<u32, MergeMode>),
}

/// Which regions stay of those that lie in each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MergeMode {
    /// All.
    #[default]
    Union,
    /// Those in no other (of this class).
    Large,
    /// Those that hold no other, and those within one.
    Small,
}

/// Factors of width and height around the middle of a region.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Unclip {
    /// None.
    #[default]
    Off,
    /// The same for all classes.
    All([f32; 2]),
    /// By class; those left out stay as they are.
    Classes(BTreeMap<u32, [f32; 2]>),
}

impl Default for Merge {
    fn default() -> Self {
        Self::All(MergeMode::Union)
    }
}

impl RegionRules {
    /// The greatest number of a class that an option names.
    pub fn greatest_class(&self) -> Option<u32> {
        let last = |keys: Option<&u32>| keys.copied();
        let of_merge = if let Merge::Classes(modes) = &self.merge { last(modes.keys().next_back()) } else { None };
        let of_unclip = if let Unclip::Classes(ratios) = &self.unclip { last(ratios.keys().next_back()) } else { None };
        let of_thresholds = self.thresholds.as_ref().and_then(|by_class| last(by_class.keys().next_back()));
        of_thresholds.max(of_merge).max(of_unclip)
    }

    /// The rows that are used, in the order in which they are: by class where that has thresholds, by score after suppression.
    /// `threshold` is the detector's own, `labels` are its classes. Sides are cut to `picture`; what has no pixels there is left out.
    pub fn apply(&self, rows: &[Row], threshold: f32, picture: Size, labels: &[String]) -> Vec<Row> {
        let class = |name: &str| labels.iter().position(|label| label == name).map(|number| number as f32);
        let mut rows = self.above(rows, threshold);
        if self.suppress {
            rows = suppressed(&rows);
        }
        if let Some(image) = class("image") {
            drop_whole(&mut rows, picture, image);
        }
        let mut rows = self.merged(rows, class("formula"));
        rows.iter_mut().for_each(|row| self.widen(row));
        let (width, height) = (picture.width as f32, picture.height as f32);
        let low = |v: f32| if v > 0.0 { v } else { 0.0 };
        let cut = rows.into_iter().map(|[class, score, x1, y1, x2, y2]| [class, score, low(x1), low(y1), width.min(x2), height.min(y2)]);
        cut.filter(|[_, _, x1, y1, x2, y2]| x2 > x1 && y2 > y1).collect()
    }

    /// The rows whose score is what their class needs, `threshold` where nothing is said of classes.
    pub fn above(&self, rows: &[Row], threshold: f32) -> Vec<Row> {
        let Some(by_class) = &self.thresholds else {
            return rows.iter().copied().filter(|&[class, score, ..]| score > threshold && class > -1.0).collect();
        };
        let needed = |class: f32| by_class.get(&(class as u32)).copied().unwrap_or(OTHER_CLASSES);
        let mut rows: Vec<Row> = rows.iter().copied().filter(|&[class, score, ..]| class > -1.0 && score > needed(class)).collect();
        rows.sort_by(|a, b| a[0].total_cmp(&b[0]));
        rows
    }

    fn merged(&self, rows: Vec<Row>, formula: Option<f32>) -> Vec<Row> {
        let mut stays = vec![true; rows.len()];
        let mut merge = |class: Option<u32>, mode: MergeMode| {
            if mode != MergeMode::Union {
                let nested = Nested::of(&rows, formula, class.map(|class| (class as f32, mode)));
                for (number, stays) in stays.iter_mut().enumerate() {
                    *stays &= nested.stays(number, mode);
                }
            }
        };
        match &self.merge {
            Merge::All(mode) => merge(None, *mode),
            Merge::Classes(modes) => modes.iter().for_each(|(&class, &mode)| merge(Some(class), mode)),
        }
        rows.into_iter().zip(stays).filter_map(|(row, stays)| stays.then_some(row)).collect()
    }

    fn widen(&self, row: &mut Row) {
        let ratios = match &self.unclip {
            Unclip::Off => return,
            Unclip::All(ratios) => ratios,
            Unclip::Classes(by_class) => match by_class.get(&(row[0] as u32)) {
                Some(ratios) => ratios,
                None => return,
            },
        };
        for (axis, ratio) in ratios.iter().enumerate() {
            let (low, high) = (row[2 + axis], row[4 + axis]);
            let side = high - low;
            let (middle, half) = (low + side / 2.0, side * ratio / 2.0);
            (row[2 + axis], row[4 + axis]) = (middle - half, middle + half);
        }
    }
}

/// The rows by falling score, without those that lie on a better one. Of equal scores the later goes first.
fn suppressed(rows: &[Row]) -> Vec<Row> {
    let mut order: Vec<Row> = rows.to_vec();
    order.sort_by(|a, b| a[1].total_cmp(&b[1]));
    order.reverse();
    let mut kept: Vec<Row> = Vec::new();
    for row in order {
        let goes = |better: &Row| overlap(better, &row) >= if better[0].to_bits() == row[0].to_bits() { SAME_CLASS } else { OTHER_CLASS };
        if !kept.iter().any(goes) {
            kept.push(row);
        }
    }
    kept
}

/// Common pixels over those of both; sides belong to a region.
fn overlap(a: &Row, b: &Row) -> f32 {
    let side = |low: f32, high: f32| high - low + 1.0;
    let area = |row: &Row| side(row[2], row[4]) * side(row[3], row[5]);
    let common = side(a[2].max(b[2]), a[4].min(b[4])).max(0.0) * side(a[3].max(b[3]), a[5].min(b[5])).max(0.0);
    common / (area(a) + area(b) - common)
}

/// Takes away regions of class `image` that are nearly all of the picture, unless all are.
fn drop_whole(rows: &mut Vec<Row>, picture: Size, image: f32) {
    let share = if picture.width > picture.height { WHOLE_WIDE } else { WHOLE_TALL };
    let most = (share * picture.area() as f64) as f32;
    let is_part = |&[class, _, x1, y1, x2, y2]: &Row| {
        let (width, height) = ((picture.width as f32).min(x2) - x1.max(0.0), (picture.height as f32).min(y2) - y1.max(0.0));
        class.to_bits() != image.to_bits() || width * height <= most
    };
    if rows.len() > 1 && rows.iter().any(is_part) {
        rows.retain(is_part);
    }
}

/// Which rows hold others, and which lie in others.
struct Nested {
    holds: Vec<bool>,
    within: Vec<bool>,
}

impl Nested {
    /// Of `rows`; `only` looks at pairs whose outer (large) or inner (small) one is of a class. A formula lies in formulas only.
    fn of(rows: &[Row], formula: Option<f32>, only: Option<(f32, MergeMode)>) -> Self {
        let mut nested = Self { holds: vec![false; rows.len()], within: vec![false; rows.len()] };
        for (i, inner) in rows.iter().enumerate() {
            for (j, outer) in rows.iter().enumerate() {
                let is = |row: &Row, class: f32| row[0].to_bits() == class.to_bits();
                let asked = match only {
                    None => true,
                    Some((class, MergeMode::Small)) => is(inner, class),
                    Some((class, _)) => is(outer, class),
                };
                let apart = formula.is_some_and(|formula| is(inner, formula) && !is(outer, formula));
                if i != j && asked && !apart && lies_in(inner, outer) {
                    (nested.within[i], nested.holds[j]) = (true, true);
                }
            }
        }
        nested
    }

    fn stays(&self, number: usize, mode: MergeMode) -> bool {
        match mode {
            MergeMode::Union => true,
            MergeMode::Large => !self.within[number],
            MergeMode::Small => !self.holds[number] || self.within[number],
        }
    }
}

fn lies_in(inner: &Row, outer: &Row) -> bool {
    let area = (inner[4] - inner[2]) * (inner[5] - inner[3]);
    let width = (inner[4].min(outer[4]) - inner[2].max(outer[2])).max(0.0);
    let height = (inner[5].min(outer[5]) - inner[3].max(outer[3])).max(0.0);
    area > 0.0 && width * height / area >= WITHIN
}

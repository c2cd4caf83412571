//! How two sets of outputs of one network differ.

use super::rows::{COLUMNS, pair};
use super::{Output, Values};
use crate::backend::reference::are_boxes;
use serde::Serialize;

/// Part of a detector's rows that must have a partner. The rest is the tail of nearly equal scores, see [`super::rows`].
const PAIRED_ROWS: f64 = 0.95;

/// Numbers this close are equal: networks compute with values of order one, and round them to 24 bits.
const ROUNDING: f64 = 1e-6;

/// Rows of a softmax sum to one but for rounding.
const SUM_OF_PROBABILITIES: f64 = 1e-3;

/// So many of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Those for which something holds.
    pub equal: usize,
    /// All of them.
    pub of: usize,
}

impl Share {
    /// The share as a number; 1 for none of none.
    pub fn part(self) -> f64 {
        if self.of == 0 { 1.0 } else { self.equal as f64 / self.of as f64 }
    }
}

/// What was compared in an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Floats, element by element.
    Numbers,
    /// Classes, counts: integers, element by element.
    Labels,
    /// Detections: pairs of rows.
    Boxes,
    /// Masks of paired rows.
    Masks,
}

/// How one output differs from the reference's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Name in the graph.
    pub output: String,
    /// What was compared.
    pub kind: Kind,
    /// Greatest absolute difference, of paired rows for boxes; infinite where a number is missing or is none.
    pub max_abs: f64,
    /// The same relative to the greatest magnitude of the reference.
    pub max_rel: f64,
    /// The greatest magnitude of the reference: near zero, little was compared.
    pub greatest: f64,
    /// Greatest classes that agree, for probabilities; integers that agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<Share>,
    /// Rows that have a partner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boxes: Option<Share>,
}

impl Difference {
    /// Whether the difference is within `tolerance`: the greatest relative error of numbers, the greatest part of labels
    /// and mask pixels that differ. Of boxes, nearly all must have a partner.
    pub fn within(&self, tolerance: f64) -> bool {
        let differing = 1.0 - self.labels.map_or(1.0, Share::part);
        match self.kind {
            Kind::Numbers => self.max_rel <= tolerance || self.max_abs <= ROUNDING,
            Kind::Labels | Kind::Masks => differing <= tolerance,
            Kind::Boxes => self.boxes.is_some_and(|share| share.part() >= PAIRED_ROWS),
        }
    }
}

/// Compares the outputs of one network with those of a reference.
///
/// # Errors
/// The reason, when they are not comparable: another number of outputs, another shape or type.
pub fn compare(reference: &[Output], other: &[Output]) -> Result<Vec<Difference>, String> {
    if reference.len() != other.len() {
        return Err(format!("{} outputs, the reference has {}", other.len(), reference.len()));
    }
    if let (Some(a), Some(b)) = (Detections::of(reference), Detections::of(other)) {
        return a.compare(&b);
    }
    reference.iter().zip(other).map(|(a, b)| elements(a, b)).collect()
}

fn elements(a: &Output, b: &Output) -> Result<Difference, String> {
    if a.shape != b.shape || a.values.are_integers() != b.values.are_integers() {
        return Err(format!("output `{}` has shape {}, the reference's has {}", b.name, b.shape, a.shape));
    }
    let kind = if a.values.are_integers() { Kind::Labels } else { Kind::Numbers };
    let (max_abs, max_rel, greatest) = distance(&a.values, &b.values);
    let labels = match kind {
        Kind::Labels => Some(equal(&a.values, &b.values)),
        _ => classes(a).zip(classes(b)).map(|(a, b)| Share { equal: a.iter().zip(&b).filter(|(a, b)| a == b).count(), of: a.len() }),
    };
    Ok(Difference { output: a.name.clone(), kind, max_abs, max_rel, greatest, labels, boxes: None })
}

/// Greatest difference, absolute and relative to the greatest magnitude of the reference, which follows.
fn distance(a: &Values, b: &Values) -> (f64, f64, f64) {
    let differences = a.iter().zip(b.iter()).map(|(a, b)| if a == b { 0.0 } else { (a - b).abs() });
    // A difference that is no number compares with nothing: `max` would let it pass.
    let max_abs = differences.fold(0.0, |most: f64, d| if d.is_nan() { f64::INFINITY } else { most.max(d) });
    let greatest = a.iter().map(f64::abs).fold(0.0, f64::max);
    (max_abs, if max_abs == 0.0 { 0.0 } else { max_abs / greatest }, greatest)
}

fn equal(a: &Values, b: &Values) -> Share {
    Share { equal: a.iter().zip(b.iter()).filter(|(a, b)| a == b).count(), of: a.len() }
}

/// The greatest class of every row of probabilities along the last axis; `None` for other tensors.
fn classes(output: &Output) -> Option<Vec<usize>> {
    let (Values::F32(values), [.., count]) = (&output.values, output.shape.dims()) else { return None };
    if *count < 2 || values.is_empty() {
        return None;
    }
    let probabilities = |row: &[f32]| {
        let sum: f64 = row.iter().map(|v| f64::from(*v)).sum();
        (sum - 1.0).abs() <= SUM_OF_PROBABILITIES && row.iter().all(|v| *v >= 0.0)
    };
    let best = |row: &[f32]| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(class, _)| class);
    values.chunks_exact(*count).map(|row| probabilities(row).then(|| best(row))).collect()
}

/// Outputs of a detector: rows of all pictures, rows of each picture, and perhaps a mask a row.
struct Detections<'a> {
    rows: &'a [f32],
    counts: Vec<usize>,
    masks: Option<&'a Output>,
    names: Vec<&'a str>,
}

impl<'a> Detections<'a> {
    fn of(outputs: &'a [Output]) -> Option<Self> {
        let [rows, others @ ..] = outputs else { return None };
        let (Values::F32(values), [_, COLUMNS]) = (&rows.values, rows.shape.dims()) else { return None };
        let (counts, masks): (Vec<usize>, _) = match others {
            // Of one picture, for nobody counts them.
            [] if are_boxes(values) => (vec![values.len() / COLUMNS], None),
            [counts, masks @ ..] if counts.values.are_integers() && masks.len() <= 1 => {
                (counts.values.iter().map(|n| n as usize).collect(), masks.first())
            }
            _ => return None,
        };
        let whole = counts.iter().sum::<usize>() * COLUMNS == values.len();
        let names = outputs.iter().map(|o| o.name.as_str()).collect();
        whole.then(|| Self { rows: values, counts, masks, names })
    }

    fn compare(&self, other: &Self) -> Result<Vec<Difference>, String> {
        if self.counts.len() != other.counts.len() {
            return Err(format!("rows of {} pictures, the reference has {}", other.counts.len(), self.counts.len()));
        }
        // Pairs of row numbers over all pictures.
        let (mut pairs, mut from, mut from_other) = (Vec::new(), 0, 0);
        for (&count, &count_other) in self.counts.iter().zip(&other.counts) {
            let rows = &self.rows[from * COLUMNS..(from + count) * COLUMNS];
            let rows_other = &other.rows[from_other * COLUMNS..(from_other + count_other) * COLUMNS];
            let found = pair(rows, rows_other).into_iter().enumerate();
            pairs.extend(found.filter_map(|(i, partner)| Some((from + i, from_other + partner?))));
            from += count;
            from_other += count_other;
        }
        let row = |rows: &[f32], i: usize| rows[i * COLUMNS..(i + 1) * COLUMNS].to_vec();
        let a = Values::F32(pairs.iter().flat_map(|(i, _)| row(self.rows, *i)).collect());
        let b = Values::F32(pairs.iter().flat_map(|(_, j)| row(other.rows, *j)).collect());
        let (max_abs, max_rel, greatest) = distance(&a, &b);
        let boxes = Some(Share { equal: pairs.len(), of: from.max(from_other) });
        let output = self.names[0].to_owned();
        let mut differences = vec![Difference { output, kind: Kind::Boxes, max_abs, max_rel, greatest, labels: None, boxes }];
        if let (Some(a), Some(b)) = (self.masks, other.masks) {
            differences.push(masks(a, b, &pairs)?);
        }
        Ok(differences)
    }
}

/// Compares the masks of paired rows, pixel by pixel.
fn masks(a: &Output, b: &Output, pairs: &[(usize, usize)]) -> Result<Difference, String> {
    if a.shape.dims().get(1..) != b.shape.dims().get(1..) {
        return Err(format!("masks of shape {}, the reference's have {}", b.shape, a.shape));
    }
    let size: usize = a.shape.dims().iter().skip(1).product();
    let pixels = pairs.iter().flat_map(|(i, j)| (0..size).map(move |p| (i * size + p, j * size + p)));
    let (mut share, mut max_abs, mut greatest) = (Share { equal: 0, of: 0 }, 0.0_f64, 0.0_f64);
    for (i, j) in pixels {
        let difference = (a.values.at(i) - b.values.at(j)).abs();
        share = Share { equal: share.equal + usize::from(difference == 0.0), of: share.of + 1 };
        (max_abs, greatest) = (max_abs.max(difference), greatest.max(a.values.at(i).abs()));
    }
    Ok(Difference { output: a.name.clone(), kind: Kind::Masks, max_abs, max_rel: max_abs, greatest, labels: Some(share), boxes: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Shape;

    fn floats(dims: &[usize], values: &[f32]) -> Output {
        Output { name: "y".into(), shape: Shape::new(dims), values: Values::F32(values.to_vec()) }
    }

    fn integers(dims: &[usize], values: &[i32]) -> Output {
        Output { name: "n".into(), shape: Shape::new(dims), values: Values::I32(values.to_vec()) }
    }

    #[test]
    fn numbers_are_measured_by_the_greatest() {
        let [d] = &compare(&[floats(&[2], &[4.0, -8.0])], &[floats(&[2], &[4.5, -8.0])]).unwrap()[..] else { panic!() };
        assert_eq!((d.max_abs, d.max_rel, d.greatest, d.labels), (0.5, 0.0625, 8.0, None));
        assert!(d.within(0.07) && !d.within(0.06));
        let faint = compare(&[floats(&[1], &[1e-7])], &[floats(&[1], &[2e-7])]).unwrap();
        assert!(faint[0].max_rel > 0.9 && faint[0].within(1e-4));
        for bad in [f32::NAN, f32::INFINITY] {
            let d = compare(&[floats(&[2], &[0.0, 1.0])], &[floats(&[2], &[0.0, bad])]).unwrap();
            assert!(!d[0].within(1e9), "{bad}");
        }
        let none = compare(&[floats(&[0, 3], &[])], &[floats(&[0, 3], &[])]).unwrap();
        assert!(none[0].within(0.0));
        let single = compare(&[floats(&[], &[0.0])], &[floats(&[], &[0.0])]).unwrap();
        assert!(single[0].within(0.0));
    }

    #[test]
    fn probabilities_show_whether_classes_agree() {
        let a = floats(&[2, 2], &[0.25, 0.75, 0.5, 0.5]);
        let d = compare(std::slice::from_ref(&a), &[floats(&[2, 2], &[0.25, 0.75, 0.501, 0.499])]).unwrap();
        assert_eq!(d[0].labels, Some(Share { equal: 1, of: 2 }));
        assert_eq!(compare(&[floats(&[1, 2], &[1.0, 2.0])], &[floats(&[1, 2], &[1.0, 2.0])]).unwrap()[0].labels, None);
    }

    #[test]
    fn integers_are_labels() {
        let d = compare(&[integers(&[4], &[1, 2, 3, 4])], &[integers(&[4], &[1, 2, 3, 9])]).unwrap();
        assert_eq!((d[0].kind, d[0].labels), (Kind::Labels, Some(Share { equal: 3, of: 4 })));
        assert!(d[0].within(0.25) && !d[0].within(0.2));
    }

    #[test]
    fn what_cannot_be_compared_says_why() {
        let y = floats(&[2], &[0.0; 2]);
        assert!(compare(std::slice::from_ref(&y), &[]).unwrap_err().contains("0 outputs"));
        assert!(compare(std::slice::from_ref(&y), &[floats(&[1, 2], &[0.0; 2])]).unwrap_err().contains("[1x2]"));
        assert!(compare(&[y], &[integers(&[2], &[0; 2])]).is_err());
    }

    #[test]
    fn rows_of_detectors_are_paired_within_a_picture_and_masks_follow() {
        let (a, b) = ([0.0, 0.9, 0.0, 0.0, 5.0, 5.0], [1.0, 0.8, 0.0, 0.0, 5.0, 5.0]);
        let detections = |rows: &[[f32; 6]], counts: &[i32], masks: &[i32]| {
            [floats(&[rows.len(), 6], &rows.concat()), integers(&[counts.len()], counts), integers(&[rows.len(), 1, 2], masks)]
        };
        let swapped = compare(&detections(&[a, b], &[2], &[1, 1, 0, 1]), &detections(&[b, a], &[2], &[0, 0, 1, 1])).unwrap();
        assert_eq!(swapped[0].boxes, Some(Share { equal: 2, of: 2 }));
        assert_eq!((swapped[1].kind, swapped[1].labels), (Kind::Masks, Some(Share { equal: 3, of: 4 })));
        let across = compare(&detections(&[a, b], &[1, 1], &[0; 4]), &detections(&[b, a], &[1, 1], &[0; 4])).unwrap();
        assert_eq!(across[0].boxes, Some(Share { equal: 0, of: 2 }));
        assert!(!across[0].within(1.0));
        let lost = compare(&detections(&[a, b], &[2], &[0; 4]), &detections(&[a], &[1], &[0; 2])).unwrap();
        assert_eq!(lost[0].boxes, Some(Share { equal: 1, of: 2 }));
        let [uncounted, turned] = [[a, b], [b, a]].map(|rows| [floats(&[2, 6], &rows.concat())]);
        assert_eq!(compare(&uncounted, &turned).unwrap()[0].boxes, Some(Share { equal: 2, of: 2 }));
        let probabilities = [floats(&[1, 6], &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0])];
        assert_eq!(compare(&probabilities, &probabilities).unwrap()[0].kind, Kind::Numbers, "six classes are no box");
        let none = compare(&detections(&[], &[0], &[]), &detections(&[], &[0], &[])).unwrap();
        assert!(none.iter().all(|d| d.within(0.0)));
    }
}

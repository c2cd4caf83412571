//! Steps of the decoder to structure tokens and cell corners.

use crate::error::{Error, Result};
use crate::image::{PointI, Size};

/// Class text at which a table ends.
const END: &str = "eos";
/// Class text that starts a table.
const START: &str = "sos";
/// Tokens that open a cell.
const OPENING: [&str; 3] = ["<td>", "<td", "<td></td>"];

/// How corners in 0..1 become pixels of the table's picture: times width or height, then divided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    width: f32,
    height: f32,
    divisor: f32,
}

impl Scale {
    /// Corners are fractions of the picture itself (SLANet).
    pub fn of_picture(picture: Size) -> Self {
        Self { width: picture.width as f32, height: picture.height as f32, divisor: 1.0 }
    }

    /// Corners are fractions of a canvas that the picture fills from the top left as far as its sides allow (SLANet_plus).
    pub fn of_canvas(canvas: Size, picture: Size) -> Self {
        let ratio = |canvas: u32, picture: u32| f64::from(canvas) / f64::from(picture);
        let divisor = ratio(canvas.width, picture.width).min(ratio(canvas.height, picture.height));
        Self { width: canvas.width as f32, height: canvas.height as f32, divisor: divisor as f32 }
    }
}

/// A decoded table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Structure {
    /// Structure tokens in order, without those that start and end it.
    pub tokens: Vec<String>,
    /// Corners of the cells in the order of the tokens that open them, in pixels of the table's picture.
    pub cells: Vec<[PointI; 4]>,
    /// Mean probability of the tokens; 0 when there are none.
    pub score: f32,
}

/// Decodes the steps of one table: `probabilities` holds `classes.len()` values a step, `corners` eight (x and y of
/// four corners, 0..1). The first of equal probabilities counts.
///
/// # Errors
/// When the two do not have the same number of whole steps.
pub fn decode(probabilities: &[f32], corners: &[f32], classes: &[String], scale: Scale) -> Result<Structure> {
    let steps = corners.len() / 8;
    if classes.is_empty() || !corners.len().is_multiple_of(8) || probabilities.len() != steps * classes.len() {
        let found = format!("{} probabilities of {} classes and {} corner values", probabilities.len(), classes.len(), corners.len());
        return Err(Error::internal("table structure", found));
    }
    let mut table = Structure::default();
    let mut scores = 0.0;
    for (step, (row, corners)) in probabilities.chunks_exact(classes.len()).zip(corners.as_chunks::<8>().0).enumerate() {
        let (class, probability) = row.iter().enumerate().fold((0, f32::MIN), |best, (i, &p)| if p > best.1 { (i, p) } else { best });
        let token = classes[class].as_str();
        if step > 0 && token == END {
            break;
        }
        if token == START || token == END {
            continue;
        }
        if OPENING.contains(&token) {
            table.cells.push(pixels(corners, scale));
        }
        table.tokens.push(token.to_owned());
        scores += f64::from(probability);
    }
    if !table.tokens.is_empty() {
        table.score = (scores / table.tokens.len() as f64) as f32;
    }
    Ok(table)
}

/// Corners in pixels, cut to whole ones.
fn pixels(corners: &[f32; 8], scale: Scale) -> [PointI; 4] {
    let place = |v: f32, side: f32| (v * side / scale.divisor) as i32;
    std::array::from_fn(|i| PointI::new(place(corners[2 * i], scale.width), place(corners[2 * i + 1], scale.height)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes() -> Vec<String> {
        ["sos", "<tr>", "<td", "<td></td>", "eos"].map(String::from).to_vec()
    }

    /// One step per class index, each sure of itself.
    fn steps(indices: &[usize]) -> Vec<f32> {
        indices.iter().flat_map(|&i| (0..5).map(move |k| if k == i { 0.8 } else { 0.05 })).collect()
    }

    #[test]
    fn tokens_end_at_the_end_and_cells_take_their_corners() {
        let mut corners = vec![0.5; 6 * 8];
        corners[3 * 8..4 * 8].copy_from_slice(&[0.1, 0.2, 0.99, 0.2, 0.99, 0.4, 0.1, 0.4]);
        let table = decode(&steps(&[4, 1, 2, 3, 4, 3]), &corners, &classes(), Scale::of_picture(Size::new(100, 50))).unwrap();
        assert_eq!(table.tokens, ["<tr>", "<td", "<td></td>"], "an end in the first step is passed over");
        let corners = |xy: [(i32, i32); 4]| xy.map(|(x, y)| PointI::new(x, y));
        assert_eq!(table.cells, [corners([(50, 25); 4]), corners([(10, 10), (99, 10), (99, 20), (10, 20)])]);
        assert!((table.score - 0.8).abs() < 1e-6);
    }

    #[test]
    fn no_steps_are_no_table_and_odd_lengths_an_error() {
        let scale = Scale::of_canvas(Size::new(488, 488), Size::new(100, 50));
        assert_eq!(decode(&[], &[], &classes(), scale).unwrap(), Structure::default());
        assert!(decode(&[0.0; 5], &[0.0; 7], &classes(), scale).is_err());
        assert!(decode(&[0.0; 4], &[0.0; 8], &classes(), scale).is_err());
        decode(&[f32::NAN; 5], &[f32::NAN; 8], &classes(), scale).unwrap();
    }
}

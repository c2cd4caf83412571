//! Inputs for networks: seeded random numbers in the form of a picture after its preparation. The same seed gives the
//! same numbers on every machine.

use crate::backend::{IoSpec, TensorSpec, sample};
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Side in pixels of the squares that share a coarse value: neighbouring pixels of pictures are alike.
const SQUARE_PX: usize = 16;

/// One input of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name in the graph.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// Row-major elements.
    pub data: Vec<f32>,
}

/// Element `index` of the numbers that belong to `seed`: multiples of 2^-23 in [-1, 1). SplitMix64 used as a counter,
/// so that any element can be had alone.
#[inline]
pub fn uniform(seed: u64, index: u64) -> f32 {
    let mut z = seed.wrapping_add((index + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    ((z >> 40) as i32 - (1 << 23)) as f32 * 2f32.powi(-23)
}

/// A picture after normalisation `[N, C, H, W]`: squares of values in [-2, 2) from the seed `coarse`, plus noise in
/// [-0.25, 0.25) from the seed `fine`.
pub fn picture([n, c, h, w]: [usize; 4], coarse: u64, fine: u64) -> Vec<f32> {
    let (rows, columns) = (h.div_ceil(SQUARE_PX), w.div_ceil(SQUARE_PX));
    let mut data = Vec::with_capacity(n * c * h * w);
    for plane in 0..n * c {
        for y in 0..h {
            for x in 0..w {
                let square = (plane * rows + y / SQUARE_PX) * columns + x / SQUARE_PX;
                let pixel = (plane * h + y) * w + x;
                data.push(2.0 * uniform(coarse, square as u64) + 0.25 * uniform(fine, pixel as u64));
            }
        }
    }
    data
}

/// The same, faint, on a page of print, without which detectors of text give next to nothing: in [-2.25, 2.25).
fn page([n, c, h, w]: [usize; 4], coarse: u64, fine: u64) -> Vec<f32> {
    let faint = picture([n, c, h, w], coarse, fine).into_iter().enumerate();
    faint.map(|(at, value)| 0.25 * value + 1.5 * sample::print(at, h, w)).collect()
}

/// Inputs of a network from `seed`: a page, of height and width `usual` where the network takes any; for detectors also
/// the size fed, and factors that leave boxes in pixels of it.
///
/// # Errors
/// [`Error::Config`] for an input that is neither.
pub fn random(model: &str, io: &IoSpec, usual: [usize; 2], seed: u64) -> Result<Vec<Input>> {
    let image = io.inputs.iter().find_map(|spec| picture_shape(spec, usual).map(|shape| (spec, shape)));
    let Some((image, [n, c, h, w])) = image else {
        return Err(Error::config(model, "no input of its network is a picture [N, 3, height, width]: give a model of another kind"));
    };
    let inputs = io.inputs.iter().map(|spec| {
        let (shape, data) = match spec.name.as_str() {
            name if name == image.name => (Shape::new(&[n, c, h, w]), page([n, c, h, w], seed, !seed)),
            "im_shape" => (Shape::new(&[n, 2]), [h as f32, w as f32].repeat(n)),
            "scale_factor" => (Shape::new(&[n, 2]), vec![1.0; 2 * n]),
            other => return Err(Error::config(model, format!("it is not known what its network's input `{other}` takes"))),
        };
        Ok(Input { name: spec.name.clone(), shape, data })
    });
    inputs.collect()
}

/// The shape to run with, of an input that is a picture.
fn picture_shape(spec: &TensorSpec, [height, width]: [usize; 2]) -> Option<[usize; 4]> {
    let [n, c, h, w] = spec.dims[..] else { return None };
    let colours = c.unwrap_or(3);
    (colours == 3).then(|| [n.unwrap_or(1), 3, h.unwrap_or(height), w.unwrap_or(width)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::DType;

    fn spec(name: &str, dims: &[Option<usize>]) -> TensorSpec {
        TensorSpec { name: name.into(), dtype: DType::F32, dims: dims.to_vec() }
    }

    /// SplitMix64 of seed 1234567 starts 6457827717110365317, 3203168211198807973 (the reference implementation by S. Vigna).
    #[test]
    fn numbers_are_those_of_splitmix64() {
        for (index, word) in [(0, 6_457_827_717_110_365_317_u64), (1, 3_203_168_211_198_807_973)] {
            let expected = ((word >> 40) as f64 - f64::from(1 << 23)) / f64::from(1 << 23);
            assert_eq!(f64::from(uniform(1_234_567, index)), expected);
        }
    }

    #[test]
    fn detectors_get_the_size_they_are_fed() {
        let inputs = vec![spec("im_shape", &[None, Some(2)]), spec("image", &[None, Some(3), Some(32), Some(48)])];
        let made = random("m", &IoSpec { inputs, outputs: Vec::new() }, [640, 640], 7).unwrap();
        assert_eq!((&made[0].data[..], made[1].shape), (&[32.0, 48.0][..], Shape::new(&[1, 3, 32, 48])));
        assert!(made[1].data.iter().all(|v| v.abs() <= 2.25) && made[1].data.iter().any(|v| v.abs() > 1.0));
        let lines =
            random("m", &IoSpec { inputs: vec![spec("x", &[None, Some(3), Some(48), None])], outputs: Vec::new() }, [40, 320], 7).unwrap();
        assert_eq!(lines[0].shape, Shape::new(&[1, 3, 48, 320]));
    }

    #[test]
    fn an_input_of_unknown_use_is_refused() {
        for inputs in [vec![spec("tokens", &[None, Some(77)])], vec![spec("x", &[None, Some(3), None, None]), spec("prompt", &[None])]] {
            let message = random("m", &IoSpec { inputs, outputs: Vec::new() }, [640, 640], 7).unwrap_err().to_string();
            assert!(message.starts_with("m: "), "{message}");
        }
    }
}

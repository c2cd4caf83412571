//! Which profile of an engine runs which shapes.

use super::ffi::{Engine, Range};
use crate::tensor::Shape;

/// Of each profile the ranges of all inputs, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles(Vec<Vec<Range>>);

impl Profiles {
    /// The profiles of an engine, inputs in its order.
    pub fn of(engine: &Engine) -> Self {
        let inputs: Vec<_> = engine.io().iter().filter(|io| io.is_input).collect();
        let profile = |profile| inputs.iter().filter_map(|io| engine.range(&io.name, profile)).collect();
        Self((0..engine.profiles()).map(profile).collect())
    }

    /// The profile that takes inputs of these shapes; of several the one whose usual shape is nearest in size.
    pub fn choose<'a>(&self, shapes: impl Iterator<Item = &'a Shape> + Clone) -> Option<usize> {
        let fits = |profile: &(usize, &Vec<Range>)| profile.1.iter().zip(shapes.clone()).all(|(range, shape)| range.holds(shape));
        let distance = |ranges: &[Range]| ranges.iter().zip(shapes.clone()).map(|(r, s)| r.distance(s)).fold(0.0, f64::max);
        let near = self.0.iter().enumerate().filter(fits).min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
        near.map(|(index, _)| index)
    }

    /// The usual shapes of the inputs in the first profile, if the engine has ranges for all of `inputs` inputs.
    pub fn usual(&self, inputs: usize) -> Option<Vec<Shape>> {
        let first = self.0.first().filter(|profile| profile.len() == inputs)?;
        let shape = |range: &Range| {
            let dims: Option<Vec<usize>> = range.opt.iter().map(|d| usize::try_from(*d).ok()).collect();
            Shape::try_from_slice(&dims?).ok()
        };
        first.iter().map(shape).collect()
    }

    /// Why none takes inputs of these shapes.
    pub fn refusal<'a>(&self, shapes: impl Iterator<Item = &'a Shape>) -> String {
        let shapes = shapes.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("the engine takes inputs {}, not of {shapes}", describe(&self.0))
    }
}

/// The ranges of profiles, for people: `x 1x3x32x32 to 8x3x64x64, or ..`.
pub fn describe(profiles: &[Vec<Range>]) -> String {
    let profile = |p: &Vec<Range>| p.iter().map(Range::to_string).collect::<Vec<_>>().join(" with ");
    profiles.iter().map(profile).collect::<Vec<_>>().join(", or ")
}

impl Range {
    fn holds(&self, shape: &Shape) -> bool {
        let dims = shape.dims();
        let within = |((min, max), d): ((&i64, &i64), &usize)| i64::try_from(*d).is_ok_and(|d| (*min..=*max).contains(&d));
        dims.len() == self.min.len() && self.min.iter().zip(&self.max).zip(dims).all(within)
    }

    /// How far the number of elements is from the usual one, as a factor's logarithm.
    fn distance(&self, shape: &Shape) -> f64 {
        let usual: f64 = self.opt.iter().map(|d| *d as f64).product();
        (shape.elements() as f64 / usual).ln().abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_nearest_to_its_usual_shape_is_chosen() {
        let profile =
            |min: i64, opt: i64, max: i64| vec![Range { input: "x".into(), min: vec![1, min], opt: vec![1, opt], max: vec![8, max] }];
        let profiles = Profiles(vec![profile(48, 320, 640), profile(48, 960, 3200)]);
        let choose = |dims: &[usize]| profiles.choose([Shape::new(dims)].iter());
        for (dims, expected) in
            [([1, 48], Some(0)), ([1, 400], Some(0)), ([1, 630], Some(1)), ([8, 3200], Some(1)), ([1, 3201], None), ([9, 320], None)]
        {
            assert_eq!(choose(&dims), expected, "{dims:?}");
        }
        assert_eq!(choose(&[1, 1, 1]), None);
        assert_eq!((profiles.usual(1), profiles.usual(2)), (Some(vec![Shape::new(&[1, 320])]), None));
        assert_eq!(describe(&profiles.0), "x 1x48 to 8x640, or x 1x48 to 8x3200");
    }
}

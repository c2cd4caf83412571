//! Which profile of an engine runs which shapes.

use super::ffi::Engine;
use crate::tensor::Shape;

/// Ranges of all inputs in one profile: input index among inputs, then least and greatest dimensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles(Vec<Vec<Limits>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Limits {
    min: Vec<i64>,
    opt: Vec<i64>,
    max: Vec<i64>,
}

impl Profiles {
    /// The profiles of an engine, inputs in its order.
    pub fn of(engine: &Engine) -> Self {
        let inputs: Vec<_> = engine.io().iter().filter(|io| io.is_input).collect();
        let limits = |profile| inputs.iter().filter_map(move |io| engine.range(&io.name, profile));
        let profile = |p| limits(p).map(|r| Limits { min: r.min, opt: r.opt, max: r.max }).collect();
        Self((0..engine.profiles()).map(profile).collect())
    }

    /// The profile that takes inputs of these shapes; of several the one whose usual shape is nearest in size.
    pub fn choose<'a>(&self, shapes: impl Iterator<Item = &'a Shape> + Clone) -> Option<usize> {
        let fits = |profile: &(usize, &Vec<Limits>)| profile.1.iter().zip(shapes.clone()).all(|(limits, shape)| limits.hold(shape));
        let distance = |limits: &[Limits]| limits.iter().zip(shapes.clone()).map(|(l, s)| l.distance(s)).fold(0.0, f64::max);
        let near = self.0.iter().enumerate().filter(fits).min_by(|a, b| distance(a.1).total_cmp(&distance(b.1)));
        near.map(|(index, _)| index)
    }

    /// The usual shapes of the inputs in the first profile, if the engine has ranges for all of `inputs` inputs.
    pub fn usual(&self, inputs: usize) -> Option<Vec<Shape>> {
        let first = self.0.first().filter(|profile| profile.len() == inputs)?;
        let shape = |limits: &Limits| {
            let dims: Option<Vec<usize>> = limits.opt.iter().map(|d| usize::try_from(*d).ok()).collect();
            Shape::try_from_slice(&dims?).ok()
        };
        first.iter().map(shape).collect()
    }

    /// Why none takes inputs of these shapes.
    pub fn refusal<'a>(&self, shapes: impl Iterator<Item = &'a Shape>) -> String {
        let shapes = shapes.map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!("the engine takes inputs of {}, not of {shapes}", self.describe())
    }

    /// The ranges, for messages.
    pub fn describe(&self) -> String {
        let dims = |d: &[i64]| d.iter().map(i64::to_string).collect::<Vec<_>>().join("x");
        let limits = |l: &Limits| format!("{} to {}", dims(&l.min), dims(&l.max));
        let profile = |p: &Vec<Limits>| p.iter().map(limits).collect::<Vec<_>>().join(" with ");
        self.0.iter().map(profile).collect::<Vec<_>>().join(", or ")
    }
}

impl Limits {
    fn hold(&self, shape: &Shape) -> bool {
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
        let limits = |min: i64, opt: i64, max: i64| vec![Limits { min: vec![1, min], opt: vec![1, opt], max: vec![8, max] }];
        let profiles = Profiles(vec![limits(48, 320, 640), limits(48, 960, 3200)]);
        let choose = |dims: &[usize]| profiles.choose([Shape::new(dims)].iter());
        for (dims, expected) in
            [([1, 48], Some(0)), ([1, 400], Some(0)), ([1, 630], Some(1)), ([8, 3200], Some(1)), ([1, 3201], None), ([9, 320], None)]
        {
            assert_eq!(choose(&dims), expected, "{dims:?}");
        }
        assert_eq!(choose(&[1, 1, 1]), None);
        assert_eq!((profiles.usual(1), profiles.usual(2)), (Some(vec![Shape::new(&[1, 320])]), None));
        assert_eq!(profiles.describe(), "1x48 to 8x640, or 1x48 to 8x3200");
    }
}

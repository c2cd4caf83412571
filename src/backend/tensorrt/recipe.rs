//! Recipes: what `engines/tensorrt.yaml` says of a kind of module, applied to the inputs of a graph.

use super::ffi::{BuildOptions, Range};
use crate::backend::{DynamicShapes, Precision};
use crate::error::{Error, Result};
use crate::onnx::{Model, stated_dims};
use serde::{Deserialize, Serialize};

/// How the engines of a kind of module are built.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    precision: Vec<Precision>,
    profiles: Vec<Shapes>,
    workspace_mib: u64,
    level: Option<i32>,
    half: HalfRules,
    version_compatible: bool,
    ampere_plus: bool,
}

/// What float16 may do to a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HalfRules {
    /// Greatest difference between float16 and float32 outputs, relative to the greatest output, with which float16 is accepted.
    pub error: f32,
    /// Operators that stay in float32, besides those that always do.
    pub float32: Vec<String>,
}

/// What an engine calculates in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Arithmetic {
    /// Float32 throughout.
    #[default]
    Float32,
    /// Float16 where these rules allow it.
    Float16(HalfRules),
}

impl Arithmetic {
    /// Its name.
    pub const fn precision(&self) -> Precision {
        match self {
            Self::Float32 => Precision::Float32,
            Self::Float16(_) => Precision::Float16,
        }
    }
}

/// Ranges of one profile: least, usual, greatest.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Shapes {
    batch: [i64; 3],
    height: Option<[i64; 3]>,
    width: Option<[i64; 3]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    defaults: Defaults,
    recipes: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Defaults {
    precision: Vec<Precision>,
    workspace_mib: u64,
    float16_error: f32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    modules: Vec<String>,
    precision: Option<Vec<Precision>>,
    profiles: Vec<Shapes>,
    workspace_mib: Option<u64>,
    level: Option<i32>,
    float16_error: Option<f32>,
    #[serde(default)]
    float32: Vec<String>,
    #[serde(default)]
    version_compatible: bool,
    #[serde(default)]
    ampere_plus: bool,
}

/// Height and width the model's own specification states, where it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FixedSize {
    /// Rows.
    pub height: Option<usize>,
    /// Columns.
    pub width: Option<usize>,
}

/// An input of a graph: name, and dimensions, of which `None` is free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Name.
    pub name: String,
    /// Dimensions, outermost first.
    pub dims: Vec<Option<i64>>,
}

impl Recipe {
    /// The module of a network of which nothing but its inputs is known.
    pub const ANY: &str = "any";

    /// The recipe for a kind of module, by PaddleX's name.
    ///
    /// # Errors
    /// [`Error::Config`] when there is none.
    pub fn for_module(module: &str) -> Result<Self> {
        Self::of(include_str!("../../../engines/tensorrt.yaml"), module)
    }

    fn of(text: &str, module: &str) -> Result<Self> {
        let file: File = serde_saphyr::from_str(text).map_err(|e| Error::internal("engines/tensorrt.yaml", e.to_string()))?;
        let entry = file.recipes.into_iter().find(|r| r.modules.iter().any(|m| m == module));
        let entry = entry.ok_or_else(|| {
            Error::config("tensorrt", format!("there is no recipe for the module `{module}`; known: see engines/tensorrt.yaml"))
        })?;
        Ok(Self {
            precision: entry.precision.unwrap_or(file.defaults.precision),
            profiles: entry.profiles,
            workspace_mib: entry.workspace_mib.unwrap_or(file.defaults.workspace_mib),
            level: entry.level,
            half: HalfRules { error: entry.float16_error.unwrap_or(file.defaults.float16_error), float32: entry.float32 },
            version_compatible: entry.version_compatible,
            ampere_plus: entry.ampere_plus,
        })
    }

    /// How an engine of `precision` calculates.
    ///
    /// # Errors
    /// [`Error::Backend`] for one that is not the recipe's.
    pub fn arithmetic(&self, precision: Precision) -> Result<Arithmetic> {
        match precision {
            Precision::Float32 if self.precision.contains(&precision) => Ok(Arithmetic::Float32),
            Precision::Float16 if self.precision.contains(&precision) => Ok(Arithmetic::Float16(self.half.clone())),
            _ => {
                let known: Vec<_> = self.precision.iter().map(Precision::to_string).collect();
                let reason = format!("engines of this kind of module calculate in {}, not in {precision}", known.join(" or "));
                Err(Error::backend("tensorrt", reason, "leave the precision out"))
            }
        }
    }

    /// Build options for a graph with these inputs.
    ///
    /// # Errors
    /// [`Error::Config`] naming an input whose free dimensions the recipe does not cover.
    pub fn options(&self, inputs: &[Input], size: FixedSize) -> Result<BuildOptions> {
        let free = inputs.iter().any(|i| i.dims.contains(&None));
        let profile = |shapes: &Shapes| inputs.iter().map(|input| shapes.range(input, size)).collect::<Result<Vec<_>>>();
        let profiles = if free { self.profiles.iter().map(profile).collect::<Result<_>>()? } else { Vec::new() };
        Ok(self.with(profiles))
    }

    fn with(&self, profiles: Vec<Vec<Range>>) -> BuildOptions {
        BuildOptions {
            profiles,
            version_compatible: self.version_compatible,
            ampere_plus: self.ampere_plus,
            workspace: Some(self.workspace_mib << 20),
            optimization_level: self.level,
            ..BuildOptions::default()
        }
    }

    /// The same with one profile of the shapes that a model or a user states, where they state any. The batch
    /// reaches at least as far as the recipe's: exported models state one picture, which would allow no batch at all.
    ///
    /// # Errors
    /// [`Error::Config`] naming an input that the shapes do not fit.
    pub fn options_for(&self, inputs: &[Input], size: FixedSize, shapes: &DynamicShapes) -> Result<BuildOptions> {
        if shapes.is_empty() || !inputs.iter().any(|input| input.dims.contains(&None)) {
            return self.options(inputs, size);
        }
        // An input of which nothing is stated goes with the others: as many rows as pictures.
        let batches = inputs.iter().filter_map(|input| shapes.get(&input.name)).map(|range| [range.min[0], range.opt[0], range.max[0]]);
        let pictures = batches.map(|batch| batch.map(|n| i64::try_from(n).unwrap_or(i64::MAX))).next();
        let own = self.profiles.first().map_or([1; 3], |profile| profile.batch);
        let batch = pictures.map_or(own, |[min, opt, max]| [min.min(own[0]), opt, max.max(own[2])]);
        let profile = inputs.iter().map(|input| stated(input, shapes, batch)).collect::<Result<_>>()?;
        Ok(self.with(vec![profile]))
    }
}

/// The range of an input by the stated shapes; one that has no other free dimension than the batch needs none.
fn stated(input: &Input, shapes: &DynamicShapes, batch: [i64; 3]) -> Result<Range> {
    let refused = |reason: String| Error::config("dynamic_shapes", format!("input `{}` ({:?}): {reason}", input.name, input.dims));
    let range = shapes.get(&input.name);
    if range.is_some_and(|range| range.min.len() != input.dims.len()) {
        return Err(refused("the stated shapes have another number of dimensions".into()));
    }
    let wide = |d: usize| i64::try_from(d).unwrap_or(i64::MAX);
    let dims = input.dims.iter().enumerate().map(|(axis, dim)| {
        let said = range.map(|range| [range.min[axis], range.opt[axis], range.max[axis]].map(wide));
        match (dim, said, axis) {
            (Some(d), Some(said), _) if said != [*d; 3] => {
                Err(refused(format!("dimension {axis} is {d} in the graph, {said:?} is stated")))
            }
            (Some(d), ..) => Ok([*d; 3]),
            (None, _, 0) => Ok(batch),
            (None, Some(said), _) => Ok(said),
            (None, None, _) => Err(refused(format!("dimension {axis} is free, and no shape is stated"))),
        }
    });
    let dims: Vec<[i64; 3]> = dims.collect::<Result<_>>()?;
    let pick = |which: usize| dims.iter().map(|d| d[which]).collect();
    Ok(Range { input: input.name.clone(), min: pick(0), opt: pick(1), max: pick(2) })
}

impl Shapes {
    /// An image is [batch, channels, height, width]; anything else has the batch first and no other free dimension.
    fn range(&self, input: &Input, size: FixedSize) -> Result<Range> {
        let same = |d: i64| [d; 3];
        let stated = |d: Option<usize>| d.and_then(|d| i64::try_from(d).ok()).map(same);
        let dims = input.dims.iter().enumerate().map(|(axis, dim)| match (dim, axis, input.dims.len()) {
            (Some(d), ..) => Some(same(*d)),
            (None, 0, _) => Some(self.batch),
            (None, 2, 4) => self.height.or(stated(size.height)),
            (None, 3, 4) => self.width.or(stated(size.width)),
            _ => None,
        });
        let dims: Option<Vec<[i64; 3]>> = dims.collect();
        let dims = dims.ok_or_else(|| {
            Error::config("tensorrt", format!("the recipe does not say how large input `{}` ({:?}) may be", input.name, input.dims))
        })?;
        let pick = |which: usize| dims.iter().map(|d| d[which]).collect();
        Ok(Range { input: input.name.clone(), min: pick(0), opt: pick(1), max: pick(2) })
    }
}

/// The inputs of a graph that are no constants.
pub fn inputs(model: &Model) -> Vec<Input> {
    let Some(graph) = &model.proto.graph else { return Vec::new() };
    let constant = |name: &str| graph.initializer.iter().any(|t| t.name() == name);
    graph.input.iter().filter(|v| !constant(v.name())).map(|v| Input { name: v.name().to_owned(), dims: stated_dims(v) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::ShapeRange;

    fn input(name: &str, dims: &[i64]) -> Input {
        Input { name: name.into(), dims: dims.iter().map(|d| (*d >= 0).then_some(*d)).collect() }
    }

    #[test]
    fn a_recipe_may_ask_for_engines_of_more_machines() {
        let text = "defaults: {precision: [float32], workspace_mib: 1, float16_error: 0.1}\nrecipes:\n- {modules: [a], profiles: [], version_compatible: true}\n\
                    - {modules: [b], profiles: [], ampere_plus: true}\n- {modules: [c], profiles: []}\n";
        for (module, expected) in [("a", (true, false)), ("b", (false, true)), ("c", (false, false))] {
            let made = Recipe::of(text, module).unwrap().options(&[input("x", &[-1, 3])], FixedSize::default()).unwrap();
            assert_eq!((made.version_compatible, made.ampere_plus), expected, "{module}");
        }
    }

    #[test]
    fn a_precision_that_is_not_the_recipes_is_refused() {
        let text = "defaults: {precision: [float32, float16], workspace_mib: 1, float16_error: 0.1}\nrecipes:\n\
                    - {modules: [a], profiles: []}\n- {modules: [b], precision: [float32], profiles: []}\n";
        let precision = |module: &str, wanted| Recipe::of(text, module).unwrap().arithmetic(wanted).map(|made| made.precision());
        for (module, wanted) in [("a", Precision::Float32), ("a", Precision::Float16), ("b", Precision::Float32)] {
            assert_eq!(precision(module, wanted).unwrap(), wanted, "{module}");
        }
        let refused = precision("b", Precision::Float16).unwrap_err().to_string();
        assert!(refused.contains("calculate in float32, not in float16"), "{refused}");
        assert!(precision("a", Precision::Bfloat16).unwrap_err().to_string().contains("float32 or float16, not in bfloat16"));
    }

    #[test]
    fn ranges_follow_graph_recipe_and_model() {
        let options = |module: &str, inputs: &[Input], size| Recipe::for_module(module).unwrap().options(inputs, size);
        let size = FixedSize { height: Some(224), width: Some(192) };
        let made = options("image_classification", &[input("x", &[-1, 3, -1, -1])], size).unwrap();
        let expected = Range { input: "x".into(), min: vec![1, 3, 224, 192], opt: vec![1, 3, 224, 192], max: vec![8, 3, 224, 192] };
        assert_eq!(made.profiles, [[expected]]);
        assert_eq!((made.workspace, made.optimization_level, made.tf32, made.fp16), (Some(4096 << 20), None, false, false));

        let detector = [input("im_shape", &[-1, 2]), input("image", &[-1, 3, 640, 640]), input("scale_factor", &[-1, 2])];
        let made = options("object_detection", &detector, FixedSize::default()).unwrap();
        let batch = |i: usize| made.profiles[0].iter().map(|r| [&r.min, &r.opt, &r.max][i][0]).collect::<Vec<_>>();
        assert_eq!([batch(0), batch(1), batch(2)], [[1, 1, 1], [1, 1, 1], [8, 8, 8]]);

        let lines = options("text_recognition", &[input("x", &[-1, 3, 48, -1])], size).unwrap();
        assert_eq!(lines.profiles.iter().map(|p| p[0].max[3]).collect::<Vec<_>>(), [640, 3200, 12800]);

        assert!(
            options("object_detection", &[input("image", &[-1, 3, -1, -1])], FixedSize::default())
                .unwrap_err()
                .to_string()
                .contains("input `image`")
        );
        let range = |dims: [[usize; 4]; 3]| ShapeRange::new(dims.map(Vec::from)).unwrap().unwrap();
        let stated = |name: &str, dims| [(name.to_owned(), range(dims))].into();
        let detect = Recipe::for_module("object_detection").unwrap();
        let free = [input("image", &[-1, 3, -1, -1]), input("scale_factor", &[-1, 2])];
        let shapes = stated("image", [[1, 3, 64, 64], [2, 3, 64, 96], [16, 3, 64, 128]]);
        let made = detect.options_for(&free, FixedSize::default(), &shapes).unwrap();
        let [image, pair] = &made.profiles[0][..] else { panic!("{made:?}") };
        assert_eq!((&image.min, &image.opt, &image.max), (&vec![1, 3, 64, 64], &vec![2, 3, 64, 96], &vec![16, 3, 64, 128]));
        assert_eq!((&pair.min, &pair.opt, &pair.max), (&vec![1, 2], &vec![2, 2], &vec![16, 2]));
        let shapes = stated("image", [[1, 3, 32, 32]; 3]);
        assert_eq!(
            detect.options_for(&detector, FixedSize::default(), &stated("x", [[1, 3, 32, 32]; 3])).unwrap().profiles[0][1].max[0],
            8
        );
        let refused = detect.options_for(&detector, FixedSize::default(), &shapes).unwrap_err().to_string();
        assert!(refused.contains("dimension 2 is 640 in the graph"), "{refused}");
        assert!(Recipe::for_module("dancing").unwrap_err().to_string().contains("`dancing`"));
        assert!(options("image_classification", &[input("x", &[1, 3, 224, 224])], size).unwrap().profiles.is_empty());
    }
}

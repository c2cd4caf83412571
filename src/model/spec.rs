//! What a network expects and returns, typed: the preparation of its input and the reading of its output.

use crate::image::Size;
use crate::ops::db::DbParams;
use crate::ops::resize_norm::{Interpolation, Normalize};
use serde::{Deserialize, Serialize};

/// Kind of network, by PaddleX's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Module {
    /// Picture → classes with scores.
    ImageClassification,
    /// Page → the angle it is turned by.
    DocOrientation,
    /// Picture → boxes with classes.
    ObjectDetection,
    /// Page → boxes of its regions.
    LayoutDetection,
    /// Picture → boxes with classes and masks.
    InstanceSegmentation,
    /// Picture → class of every pixel.
    SemanticSegmentation,
    /// Picture → regions that hold a line of text.
    TextDetection,
    /// Picture of a seal → outlines of its lines, straight or curved.
    SealTextDetection,
    /// Picture of a line → its text.
    TextRecognition,
    /// Picture of a table → its structure and cells.
    TableRecognition,
    /// Photograph of a page → the page made flat.
    ImageUnwarping,
}

impl Module {
    /// The name as PaddleX writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ImageClassification => "image_classification",
            Self::DocOrientation => "doc_orientation",
            Self::ObjectDetection => "object_detection",
            Self::LayoutDetection => "layout_detection",
            Self::InstanceSegmentation => "instance_segmentation",
            Self::SemanticSegmentation => "semantic_segmentation",
            Self::TextDetection => "text_detection",
            Self::SealTextDetection => "seal_text_detection",
            Self::TextRecognition => "text_recognition",
            Self::TableRecognition => "table_recognition",
            Self::ImageUnwarping => "image_unwarping",
        }
    }

    /// Whether a network so described can be for this module.
    pub fn suits(self, spec: &ModelSpec) -> bool {
        match self {
            Self::DocOrientation => spec.module() == Self::ImageClassification,
            Self::LayoutDetection => spec.module() == Self::ObjectDetection,
            module => spec.module() == module,
        }
    }
}

/// Preparation and interpretation of one network.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelSpec {
    /// A classifier, of pictures or of page orientations.
    Classification(ClassificationSpec),
    /// A detector of objects or page regions; with masks, of instances.
    Detection(DetectionSpec),
    /// A semantic segmenter.
    Segmentation(SegmentationSpec),
    /// A text detector.
    TextDetection(TextDetectionSpec),
    /// A text recogniser.
    TextRecognition(TextRecognitionSpec),
    /// A recogniser of table structure.
    Table(TableSpec),
    /// A network that flattens photographs of pages.
    Unwarping(UnwarpingSpec),
}

impl ModelSpec {
    /// The module that such a network is for, where nothing says more: the specification of a layout detector is that of
    /// an object detector.
    pub const fn module(&self) -> Module {
        match self {
            Self::Classification(_) => Module::ImageClassification,
            Self::Detection(DetectionSpec { masks: true, .. }) => Module::InstanceSegmentation,
            Self::Detection(_) => Module::ObjectDetection,
            Self::Segmentation(_) => Module::SemanticSegmentation,
            Self::TextDetection(TextDetectionSpec { boxes: BoxType::Poly, .. }) => Module::SealTextDetection,
            Self::TextDetection(_) => Module::TextDetection,
            Self::TextRecognition(_) => Module::TextRecognition,
            Self::Table(_) => Module::TableRecognition,
            Self::Unwarping(_) => Module::ImageUnwarping,
        }
    }

    /// The kind of network, in words for messages.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Classification(_) => "classification",
            Self::Detection(DetectionSpec { masks: true, .. }) => "instance segmentation",
            Self::Detection(_) => "detection",
            Self::Segmentation(_) => "semantic segmentation",
            Self::TextDetection(TextDetectionSpec { boxes: BoxType::Poly, .. }) => "seal text detection",
            Self::TextDetection(_) => "text detection",
            Self::TextRecognition(_) => "text recognition",
            Self::Table(_) => "table recognition",
            Self::Unwarping(_) => "image unwarping",
        }
    }
}

/// Classification. Input `[N, 3, H, W]` f32 in RGB order; output `[N, classes]` probabilities, the softmax being part
/// of the graph. Resize, then the middle of `crop` pixels, then normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassificationSpec {
    /// Size a picture is resized to before the crop.
    pub resize: ClassResize,
    /// Filter of the resize.
    pub interpolation: Interpolation,
    /// What is cut out of the middle; `None` keeps all.
    pub crop: Option<Size>,
    /// Normalisation of the RGB picture.
    pub normalize: Normalize,
    /// Classes that a result names.
    pub topk: usize,
    /// Names of the classes, in class order; may be empty.
    pub labels: Vec<String>,
}

/// The rule for the size of a classifier's picture before the crop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassResize {
    /// Bring the shorter side to this many pixels, both sides rounded half to even.
    Short(u32),
    /// To this size, whatever the aspect ratio.
    Fixed(Size),
}

/// Detection. Inputs by name: `image` `[N, 3, H, W]` f32 in RGB order, and where the graph has them `scale_factor` `[N, 2]`
/// (resized / original, height first) and `im_shape` `[N, 2]` (height and width fed). Outputs: rows of class, score,
/// x1, y1, x2, y2 in pixels of the original, the rows of each picture counted by a second output; with masks a third.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionSpec {
    /// Size a picture is resized to.
    pub target: Size,
    /// Whether the aspect ratio is kept: the resized picture then lies within `target`, either way round, sides rounded half
    /// to even.
    pub keep_ratio: bool,
    /// Filter of the resize.
    pub interpolation: Interpolation,
    /// Normalisation of the RGB picture; `None` feeds samples as they are, 0..255.
    pub normalize: Option<Normalize>,
    /// The canvas the picture lies in, at its top-left corner.
    pub canvas: Canvas,
    /// Rows with a score above this are results.
    pub draw_threshold: f32,
    /// Names of the classes, in class order.
    pub labels: Vec<String>,
    /// Whether there is a mask for each row.
    pub masks: bool,
    /// The family of the network's head, which sets how overlapping boxes are suppressed where the graph leaves that out.
    pub head: DetectorHead,
}

/// Families of detection heads, as `arch` of a description names them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum DetectorHead {
    /// PP-YOLOE+ and YOLOv3.
    #[serde(rename = "YOLO", alias = "PPYOLOE")]
    Yolo,
    /// YOLOX.
    #[serde(rename = "YOLOX")]
    Yolox,
    /// PicoDet.
    #[serde(rename = "GFL", alias = "PicoDet")]
    PicoDet,
    /// One that suppresses nothing, or is unknown.
    #[default]
    #[serde(other)]
    Other,
}

/// The canvas of a detector's input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Canvas {
    /// No larger than the resized picture.
    Resized,
    /// This size; what the picture leaves free has this value in the tensor.
    Fixed {
        /// Width and height.
        size: Size,
        /// Value of the free part, after normalisation.
        fill: f32,
    },
    /// The sides rounded up to a multiple of this, the free part zero.
    Stride(u32),
}

/// Semantic segmentation. Input `[N, 3, H, W]` f32 in RGB order; output `[N, H, W]` class of every pixel, or
/// `[N, classes, H, W]` scores where the graph leaves the choice out.
#[derive(Clone, Debug, PartialEq)]
pub struct SegmentationSpec {
    /// Size of the input; `None` takes every picture as it is.
    pub resize: Option<SegResize>,
    /// Normalisation of the RGB picture.
    pub normalize: Normalize,
}

/// A segmenter's resize.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegResize {
    /// Size aimed at.
    pub rule: SegSize,
    /// Sides are rounded up to a multiple of this.
    pub size_divisor: Option<u32>,
    /// Filter of the resize.
    pub interpolation: Interpolation,
}

/// The size a segmenter's resize aims at; sides that follow from the picture are rounded half to even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegSize {
    /// This size, whatever the aspect ratio.
    Fixed(Size),
    /// Within this size, either way round, with the aspect ratio kept.
    Within(Size),
    /// The longer side at this many pixels.
    Long(u32),
    /// The shorter side at this many pixels.
    Short(u32),
}

/// Text detection by differentiable binarisation. Input `[N, 3, H, W]` f32 in BGR order, output `[N, 1, H, W]`
/// text probability 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct TextDetectionSpec {
    /// Size of the network's input for a picture.
    pub resize: DetResize,
    /// Limit of the longer side after that, in pixels before they are rounded: `max_side_limit` of PaddleX 3.x. 3.0-beta1 has none.
    pub max_side: Option<u32>,
    /// Normalisation of the resized BGR picture.
    pub normalize: Normalize,
    /// Thresholds of the post-processing.
    pub db: DbParams,
    /// Form of the regions.
    pub boxes: BoxType,
    /// Whether polygons come by their highest points instead of as they are found.
    pub is_from_top: bool,
}

/// Form of a text region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BoxType {
    /// Four corners.
    #[default]
    Quad,
    /// An outline of any number of points, as curved text needs.
    Poly,
}

/// Which side of a picture a limit concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum LimitType {
    /// Shrink when the longer side is above the limit.
    Max,
    /// Enlarge when the shorter side is below the limit.
    Min,
    /// Bring the longer side to the limit, up or down.
    ResizeLong,
}

/// The rule for the size of a detector's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DetResize {
    /// Scale by the limit, then round each side to the nearest multiple of 32 (half to even), at least 32.
    Limit {
        /// The limit in pixels.
        side_len: u32,
        /// The side concerned.
        limit_type: LimitType,
    },
    /// Bring the longer side to this many pixels, then round each side up to a multiple of 128.
    Long {
        /// Length of the longer side in pixels.
        side_len: u32,
    },
    /// A fixed size; with `keep_ratio` only the height is, and the width is rounded up to a multiple of 32.
    Fixed {
        /// Width and height in pixels.
        size: Size,
        /// Whether the width follows the picture.
        keep_ratio: bool,
    },
}

impl DetResize {
    /// Size a picture of `size` is resized to, without keeping its aspect ratio exactly. PaddleX 3.0-beta1's
    /// `DetResizeForTest`; pictures with width + height < 64 are padded to 32x32 by the caller first.
    /// The longer side is at most `most` before it is rounded, the other one in proportion; fixed sizes stay.
    pub fn target(self, size: Size, most: Option<u32>) -> Size {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let scaled = |ratio: f64, round: fn(f64) -> f64| {
            let (mut width, mut height) = ((width * ratio).trunc(), (height * ratio).trunc());
            if let Some(most) = most.map(f64::from).filter(|&most| width.max(height) > most) {
                let ratio = most / width.max(height);
                (width, height) = ((width * ratio).trunc(), (height * ratio).trunc());
            }
            Size::new(round(width) as u32, round(height) as u32)
        };
        match self {
            Self::Limit { side_len, limit_type } => {
                let side_len = f64::from(side_len);
                let ratio = match limit_type {
                    LimitType::Max if width.max(height) > side_len => side_len / width.max(height),
                    LimitType::Min if width.min(height) < side_len => side_len / width.min(height),
                    LimitType::Max | LimitType::Min => 1.0,
                    LimitType::ResizeLong => side_len / width.max(height),
                };
                scaled(ratio, |side| ((side / 32.0).round_ties_even() * 32.0).max(32.0))
            }
            Self::Long { side_len } => scaled(f64::from(side_len) / width.max(height), |side| ((side / 128.0).ceil() * 128.0).max(128.0)),
            Self::Fixed { size: fixed, keep_ratio: true } => {
                let follows = width * f64::from(fixed.height) / height;
                Size::new(((follows / 32.0).ceil() * 32.0).max(32.0) as u32, fixed.height)
            }
            Self::Fixed { size: fixed, keep_ratio: false } => fixed,
        }
    }
}

/// Text recognition with CTC. Input `[N, 3, 48, W]` f32 in BGR order, `(v / 255 - 0.5) / 0.5`, zero to the right
/// of the line; output `[N, T, classes]` probabilities.
#[derive(Clone, Debug, PartialEq)]
pub struct TextRecognitionSpec {
    /// Channels, height and least width of the input.
    pub image_shape: [u32; 3],
    /// Text of every class, in class order: the blank (class 0, never part of a text), the dictionary, the space.
    pub characters: Vec<String>,
}

impl TextRecognitionSpec {
    /// The class table of a dictionary, as PaddleX builds it: blank first, space last.
    pub(super) fn classes(dictionary: Vec<String>) -> Vec<String> {
        std::iter::once("blank".to_owned()).chain(dictionary).chain([" ".to_owned()]).collect()
    }
}

/// Table structure. Input `[N, 3, H, W]` f32 in BGR order; outputs cell corners `[N, T, 8]` in 0..1 and token
/// probabilities `[N, T, tokens]`, softmax already applied.
#[derive(Clone, Debug, PartialEq)]
pub struct TableSpec {
    /// The longer side is brought to this many pixels, both sides rounded half to even.
    pub max_len: u32,
    /// Normalisation of the resized BGR picture.
    pub normalize: Normalize,
    /// The canvas the picture lies in, at its top-left corner; the free part is zero after normalisation.
    pub canvas: Size,
    /// Text of every class: `sos`, the tokens, `eos`.
    pub tokens: Vec<String>,
    /// What cell corners are fractions of.
    pub cells: CellScale,
}

impl TableSpec {
    /// The class table of a token list, as PaddleX builds it.
    pub(super) fn classes(mut tokens: Vec<String>, merge_no_span_structure: bool) -> Vec<String> {
        if merge_no_span_structure {
            if !tokens.iter().any(|token| token == "<td></td>") {
                tokens.push("<td></td>".to_owned());
            }
            if let Some(at) = tokens.iter().position(|token| token == "<td>") {
                tokens.remove(at);
            }
        }
        std::iter::once("sos".to_owned()).chain(tokens).chain(["eos".to_owned()]).collect()
    }
}

/// What the corners of table cells, 0..1, are fractions of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellScale {
    /// The picture's own width and height (SLANet).
    Picture,
    /// The canvas, of which the picture fills a part.
    Canvas,
}

/// Unwarping. Input `[N, 3, H, W]` f32 in RGB order, a picture of any size; output of the same shape, 0..1, the page made flat.
#[derive(Clone, Debug, PartialEq)]
pub struct UnwarpingSpec {
    /// Normalisation of the RGB picture.
    pub normalize: Normalize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected sizes: `tests/fixtures/document/make_sizes.py`, PaddleX 3.7.2's own function.
    #[test]
    fn the_longer_side_has_a_limit() {
        let text = include_str!("../../tests/fixtures/document/det_sizes.csv");
        let (mut rows, mut limited) = (0, 0);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (kind, numbers) = line.split_once(',').unwrap();
            let n: Vec<u32> = numbers.split(',').map(|n| n.parse().unwrap()).collect();
            let [side_len, most, width, height, expected_width, expected_height] = n[..] else { panic!("{line}") };
            let limit_type = match kind {
                "max" => LimitType::Max,
                "min" => LimitType::Min,
                _ => LimitType::ResizeLong,
            };
            let (rule, size) = (DetResize::Limit { side_len, limit_type }, Size::new(width, height));
            let found = rule.target(size, Some(most));
            assert_eq!(found, Size::new(expected_width, expected_height), "{line}");
            (rows, limited) = (rows + 1, limited + usize::from(found != rule.target(size, None)));
        }
        assert!(rows > 500 && limited > 100, "{limited} of {rows}");
    }

    /// Expected sizes: `tests/fixtures/install/det_resize.py`, a transcription of the rule into Python and NumPy.
    #[test]
    fn input_sizes_follow_the_reference() {
        let text = include_str!("../../tests/fixtures/install/det_resize.csv");
        let mut rows = 0;
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (rule, numbers) = line.split_once(',').unwrap();
            let n: Vec<u32> = numbers.split(',').map(|n| n.parse().unwrap()).collect();
            let [limit, width, height, expected_width, expected_height] = n[..] else { panic!("{line}") };
            let rule = match rule {
                "max" => DetResize::Limit { side_len: limit, limit_type: LimitType::Max },
                "min" => DetResize::Limit { side_len: limit, limit_type: LimitType::Min },
                "resize_long" => DetResize::Limit { side_len: limit, limit_type: LimitType::ResizeLong },
                "long" => DetResize::Long { side_len: limit },
                "height" => DetResize::Fixed { size: Size::new(1, limit), keep_ratio: true },
                _ => panic!("{line}"),
            };
            assert_eq!(rule.target(Size::new(width, height), None), Size::new(expected_width, expected_height), "{line}");
            rows += 1;
        }
        assert!(rows > 100);
    }
}

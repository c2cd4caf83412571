//! What a network expects and returns, typed: the preparation of its input and the reading of its output.

use crate::image::Size;
use crate::ops::db::DbParams;
use crate::ops::resize_norm::Normalize;
use serde::{Deserialize, Serialize};

/// Kind of network, by PaddleX's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Module {
    /// Picture → regions that hold a line of text.
    TextDetection,
    /// Picture of a line → its text.
    TextRecognition,
}

impl Module {
    /// The name as PaddleX writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TextDetection => "text_detection",
            Self::TextRecognition => "text_recognition",
        }
    }
}

/// Preparation and interpretation of one network.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelSpec {
    /// A text detector.
    TextDetection(TextDetectionSpec),
    /// A text recogniser.
    TextRecognition(TextRecognitionSpec),
}

impl ModelSpec {
    /// Kind of network.
    pub const fn module(&self) -> Module {
        match self {
            Self::TextDetection(_) => Module::TextDetection,
            Self::TextRecognition(_) => Module::TextRecognition,
        }
    }
}

/// Text detection by differentiable binarisation. Input `[N, 3, H, W]` f32 in BGR order, output `[N, 1, H, W]`
/// text probability 0..1.
#[derive(Clone, Debug, PartialEq)]
pub struct TextDetectionSpec {
    /// Size of the network's input for a picture.
    pub resize: DetResize,
    /// Normalisation of the resized BGR picture.
    pub normalize: Normalize,
    /// Thresholds of the post-processing.
    pub db: DbParams,
}

/// Which side of a picture a limit concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    pub fn target(self, size: Size) -> Size {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        let scaled =
            |ratio: f64, round: fn(f64) -> f64| Size::new(round((width * ratio).trunc()) as u32, round((height * ratio).trunc()) as u32);
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

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(rule.target(Size::new(width, height)), Size::new(expected_width, expected_height), "{line}");
            rows += 1;
        }
        assert!(rows > 100);
    }
}

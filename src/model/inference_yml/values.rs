//! Values as the exporters write them, checked where they are read.

use crate::image::Size;
use crate::ops::db::MAX_UNCLIP;
use crate::ops::resize_norm::Interpolation;
use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

/// Sides in pixels, within what a tensor can have.
pub(super) const SIDES: RangeInclusive<u32> = 1..=65_536;
const SIDE_RULE: &str = "a side length is 1 to 65536 pixels";

/// A side length.
pub(super) fn side<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    checked(deserializer, |side| SIDES.contains(side), SIDE_RULE)
}

/// Two side lengths, in the order of the file.
pub(super) fn sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u32; 2]>, D::Error> {
    checked(deserializer, |sides: &[u32; 2]| sides.iter().all(|side| SIDES.contains(side)), SIDE_RULE)
}

/// Two side lengths, or one for both; in the order of the file.
pub(super) fn one_or_two_sides<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[u32; 2]>, D::Error> {
    let sides = Option::<OneOr<u32, 2>>::deserialize(deserializer)?.map(|OneOr(sides)| sides);
    match sides {
        Some(sides) if !sides.iter().all(|side| SIDES.contains(side)) => Err(D::Error::custom(SIDE_RULE)),
        sides => Ok(sides),
    }
}

/// `[height, width]`.
pub(super) fn height_width([height, width]: [u32; 2]) -> Size {
    Size::new(width, height)
}

/// `[width, height]`.
pub(super) fn width_height([width, height]: [u32; 2]) -> Size {
    Size::new(width, height)
}

/// A number for each of three channels, or one for all.
pub(super) fn channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[f32; 3]>, D::Error> {
    match Option::<OneOr<f32, 3>>::deserialize(deserializer)?.map(|OneOr(channels)| channels) {
        Some(channels) if !channels.iter().all(|channel| channel.is_finite()) => {
            Err(D::Error::custom("a number is expected for each channel"))
        }
        channels => Ok(channels),
    }
}

/// Standard deviations: as [`channels`], without zeros.
pub(super) fn deviations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<[f32; 3]>, D::Error> {
    match channels(deserializer)? {
        Some(std) if std.contains(&0.0) => Err(D::Error::custom("a standard deviation is not zero")),
        std => Ok(std),
    }
}

/// A share, 0 to 1.
pub(super) fn fraction<'de, D: Deserializer<'de>, T: Deserialize<'de> + Copy + Into<f64>>(deserializer: D) -> Result<Option<T>, D::Error> {
    checked(deserializer, |value: &T| (0.0..=1.0).contains(&(*value).into()), "a threshold is within 0 to 1")
}

/// How much boxes grow.
pub(super) fn unclip<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    checked(deserializer, |value: &f64| *value > 0.0 && *value <= MAX_UNCLIP, "an unclip ratio is above 0, and 100 at most")
}

fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    accepts: impl Fn(&T) -> bool,
    rule: &str,
) -> Result<Option<T>, D::Error> {
    match Option::deserialize(deserializer)? {
        Some(value) if !accepts(&value) => Err(D::Error::custom(rule)),
        value => Ok(value),
    }
}

/// A number or a quotient of numbers as Python writes it: `1./255.`, computed in f64 as the reference does.
pub(super) fn quotient<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let mut numbers = text.split('/').map(|n| n.trim().parse::<f64>());
    let value = match (numbers.next(), numbers.next(), numbers.next()) {
        (Some(Ok(number)), None, None) => number,
        (Some(Ok(above)), Some(Ok(below)), None) => above / below,
        _ => f64::NAN,
    };
    match value.is_finite() {
        true => Ok(Some(value as f32)),
        false => Err(D::Error::custom(format!("`{text}` is not a number or a quotient like 1./255."))),
    }
}

/// OpenCV's number or name of a filter.
pub(super) fn filter<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Interpolation>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    match text.to_ascii_uppercase().as_str() {
        "1" | "LINEAR" => Ok(Some(Interpolation::Linear)),
        "2" | "CUBIC" => Ok(Some(Interpolation::Cubic)),
        _ => Err(D::Error::custom(format!("interpolation `{text}` is not in this version; known: 1 (LINEAR), 2 (CUBIC)"))),
    }
}

/// `N` values, written as a list of `N`, as a list of one for all, or as one without a list.
struct OneOr<T, const N: usize>([T; N]);

impl<'de, T: Deserialize<'de> + Copy, const N: usize> Deserialize<'de> for OneOr<T, N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T, const N: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de> + Copy, const N: usize> Visitor<'de> for Values<T, N> {
            type Value = OneOr<T, N>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number or a list of {N}")
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::U64Deserializer::new(value)).map(|value| OneOr([value; N]))
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::I64Deserializer::new(value)).map(|value| OneOr([value; N]))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
                T::deserialize(serde::de::value::F64Deserializer::new(value)).map(|value| OneOr([value; N]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = list.next_element()? {
                    values.push(value);
                }
                match (values.len(), values.first()) {
                    (1, Some(&one)) => Ok(OneOr([one; N])),
                    (found, _) => values.try_into().map(OneOr).map_err(|_| A::Error::invalid_length(found, &self)),
                }
            }
        }
        deserializer.deserialize_any(Values(PhantomData))
    }
}

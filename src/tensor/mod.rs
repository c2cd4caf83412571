//! Tensors as engines see them: a shape, an element type and host memory, row-major (C order). [`storage`]: elements that may lie on
//! a device; [`device`]: tensors that do.
//! Knows nothing of images or engines; `ops` fill tensors, `backend` sessions lend and return them.

pub mod device;
pub mod storage;

use crate::error::{Error, Result};
use std::fmt;
use std::ops::Range;

/// Most dimensions a [`Shape`] holds.
pub const MAX_RANK: usize = 6;

/// Dimensions of a dense tensor, outermost first. A plain value: no allocation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    dims: [usize; MAX_RANK],
    rank: usize,
}

impl Shape {
    /// The shape with these dimensions.
    ///
    /// # Panics
    /// With more than [`MAX_RANK`] dimensions; engine outputs go through [`Shape::try_from_slice`].
    pub fn new(dims: &[usize]) -> Self {
        Self::try_from_slice(dims).expect("rank is a constant of the caller")
    }

    /// The shape with these dimensions, or an error for more than [`MAX_RANK`] of them.
    pub fn try_from_slice(dims: &[usize]) -> Result<Self> {
        if dims.len() > MAX_RANK {
            return Err(Error::internal("tensor shape", format!("rank {} is above {MAX_RANK}", dims.len())));
        }
        let mut d = [0; MAX_RANK];
        d[..dims.len()].copy_from_slice(dims);
        Ok(Self { dims: d, rank: dims.len() })
    }

    /// The dimensions, outermost first.
    pub fn dims(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Number of elements (1 for rank 0).
    pub fn elements(&self) -> usize {
        self.dims().iter().product()
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> = self.dims().iter().map(ToString::to_string).collect();
        write!(f, "[{}]", dims.join("x"))
    }
}

/// Element type of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DType {
    /// 32-bit IEEE float.
    F32,
    /// 32-bit signed integer.
    I32,
    /// 64-bit signed integer.
    I64,
}

/// Borrowed elements of a tensor.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 32-bit integers.
    I32(&'a [i32]),
    /// 64-bit integers.
    I64(&'a [i64]),
}

impl<'a> Data<'a> {
    /// A part of the elements.
    ///
    /// # Errors
    /// [`Error::Internal`] when the range goes beyond the end.
    pub fn part(self, range: Range<usize>) -> Result<Self> {
        let beyond = || Error::internal("tensor", format!("elements {range:?} are not all there"));
        Ok(match self {
            Self::F32(data) => Self::F32(data.get(range.clone()).ok_or_else(beyond)?),
            Self::I32(data) => Self::I32(data.get(range.clone()).ok_or_else(beyond)?),
            Self::I64(data) => Self::I64(data.get(range.clone()).ok_or_else(beyond)?),
        })
    }
}

/// A borrowed tensor in host memory.
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    /// Dimensions, outermost first.
    pub shape: Shape,
    /// `shape.elements()` elements in row-major order.
    pub data: Data<'a>,
}

impl<'a> TensorRef<'a> {
    /// A float tensor; an error when the element count does not fit the shape.
    pub fn f32(shape: Shape, data: &'a [f32]) -> Result<Self> {
        if data.len() != shape.elements() {
            return Err(Error::internal("tensor", format!("{} elements for shape {shape}", data.len())));
        }
        Ok(Self { shape, data: Data::F32(data) })
    }

    /// The elements as floats; an error naming the type found otherwise.
    pub fn as_f32(&self) -> Result<&'a [f32]> {
        match self.data {
            Data::F32(d) => Ok(d),
            Data::I32(_) => Err(Error::internal("tensor", "float32 expected, int32 found")),
            Data::I64(_) => Err(Error::internal("tensor", "float32 expected, int64 found")),
        }
    }

    /// The elements of a tensor of whole numbers, whatever its type; an error for others.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        match self.data {
            Data::I32(d) => Ok(d.iter().map(|&v| v.into()).collect()),
            Data::I64(d) => Ok(d.to_vec()),
            Data::F32(d) if d.iter().all(|v| v.fract() == 0.0) => Ok(d.iter().map(|&v| v as i64).collect()),
            Data::F32(_) => Err(Error::internal("tensor", "whole numbers expected, others found")),
        }
    }
}

//! Tensors of an engine in the memory of a device, and their copies on the host.

use super::storage::{Storage, download};
use super::{Data, Shape, TensorRef};
use crate::device::{DeviceSlice, Stream};
use crate::error::{Error, Result};
use crate::trace::Transfers;
use std::ops::Range;

/// A dense tensor in device memory, row-major. A plain value that borrows its elements.
#[derive(Clone, Copy, Debug)]
pub struct DeviceTensor<'a> {
    /// Dimensions.
    pub shape: Shape,
    /// Elements.
    pub data: DeviceData<'a>,
}

/// Elements of one of the types engines give.
#[derive(Clone, Copy, Debug)]
pub enum DeviceData<'a> {
    /// 32-bit floats.
    F32(DeviceSlice<'a, f32>),
    /// 32-bit integers.
    I32(DeviceSlice<'a, i32>),
    /// 64-bit integers.
    I64(DeviceSlice<'a, i64>),
}

impl DeviceData<'_> {
    /// A part of the elements.
    ///
    /// # Errors
    /// [`Error::Internal`] when the range goes beyond the end.
    pub fn part(self, range: Range<usize>) -> Result<Self> {
        Ok(match self {
            Self::F32(data) => Self::F32(data.part(range)?),
            Self::I32(data) => Self::I32(data.part(range)?),
            Self::I64(data) => Self::I64(data.part(range)?),
        })
    }
}

impl<'a> DeviceTensor<'a> {
    /// The elements of a float tensor.
    ///
    /// # Errors
    /// [`Error::Internal`] when they are of another type.
    pub fn as_f32(&self) -> Result<DeviceSlice<'a, f32>> {
        match self.data {
            DeviceData::F32(data) => Ok(data),
            DeviceData::I32(_) | DeviceData::I64(_) => Err(Error::internal("device tensor", "its elements are integers, not floats")),
        }
    }

    /// All elements to the host, put into the stream.
    ///
    /// # Errors
    /// [`Error::Device`].
    pub fn download(&self, stream: &Stream, transfers: &mut Transfers) -> Result<Downloaded> {
        let data = match self.data {
            DeviceData::F32(data) => Elements::F32(download(data, stream, transfers)?),
            DeviceData::I32(data) => Elements::I32(download(data, stream, transfers)?),
            DeviceData::I64(data) => Elements::I64(download(data, stream, transfers)?),
        };
        Ok(Downloaded { shape: self.shape, data })
    }
}

/// A tensor on its way from a device to the host, or there.
pub struct Downloaded {
    shape: Shape,
    data: Elements,
}

enum Elements {
    F32(Storage<f32>),
    I32(Storage<i32>),
    I64(Storage<i64>),
}

impl Downloaded {
    /// The tensor; waits for the transfer and the work before it.
    ///
    /// # Errors
    /// [`Error::Device`] when any of it has failed.
    pub fn on_host(&self) -> Result<TensorRef<'_>> {
        let data = match &self.data {
            Elements::F32(data) => Data::F32(data.on_host()?),
            Elements::I32(data) => Data::I32(data.on_host()?),
            Elements::I64(data) => Data::I64(data.on_host()?),
        };
        Ok(TensorRef { shape: self.shape, data })
    }
}

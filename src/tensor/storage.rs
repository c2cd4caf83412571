//! Elements that know where they lie. Three named transfers move them, and none happens by itself: [`stage`] brings
//! host memory to where a device's copy engine reaches it, [`Storage::upload`] that to the device, [`download`] back. Each
//! counts in the [`Transfers`] of the pictures it is for.

use crate::device::{DeviceBuffer, DeviceSlice, Pinned, Stream};
use crate::error::{Error, Result};
use crate::trace::Transfers;
use bytemuck::Pod;

const HOST: &str = "host memory";
const PINNED: &str = "page-locked host memory";
const DEVICE: &str = "device memory";

/// Elements on the way to a device, or there.
pub enum Storage<T: Pod> {
    /// Page-locked memory of the host.
    Pinned(Pinned<T>),
    /// Memory of a device. What they are is ready for work of their stream.
    Device(DeviceBuffer<T>),
}

impl<T: Pod> Storage<T> {
    /// The elements for kernels.
    ///
    /// # Errors
    /// [`Error::Internal`] naming both places when they are not on a device.
    pub fn on_device(&self) -> Result<DeviceSlice<'_, T>> {
        match self {
            Self::Device(buffer) => Ok(buffer.slice()),
            Self::Pinned(_) => Err(misplaced(PINNED, DEVICE)),
        }
    }

    /// The elements for the processor; waits for a transfer that is under way.
    ///
    /// # Errors
    /// [`Error::Internal`] naming both places when they are on a device; [`Error::Device`] when the transfer has failed.
    pub fn on_host(&self) -> Result<&[T]> {
        match self {
            Self::Pinned(pinned) => pinned.read(),
            Self::Device(_) => Err(misplaced(DEVICE, HOST)),
        }
    }

    /// Page-locked memory to the device of `stream`, put into the stream.
    ///
    /// # Errors
    /// [`Error::Internal`] when they lie elsewhere; [`Error::Device`].
    pub fn upload(self, stream: &Stream, transfers: &mut Transfers) -> Result<Self> {
        match self {
            Self::Pinned(pinned) => {
                let mut buffer = stream.alloc(pinned.len())?;
                stream.upload(&pinned, &mut buffer)?;
                transfers.uploads += 1.0;
                transfers.uploaded_bytes += (pinned.len() * size_of::<T>()) as f64;
                Ok(Self::Device(buffer))
            }
            Self::Device(_) => Err(misplaced(DEVICE, PINNED)),
        }
    }
}

fn misplaced(found: &str, expected: &str) -> Error {
    Error::internal("storage", format!("elements are in {found}, and {expected} is expected"))
}

/// A copy of `data` in page-locked memory.
///
/// # Errors
/// [`Error::Device`].
pub fn stage<T: Pod>(data: &[T], stream: &Stream) -> Result<Storage<T>> {
    let mut pinned = stream.pinned(data.len())?;
    pinned.fill()?.copy_from_slice(data);
    Ok(Storage::Pinned(pinned))
}

/// Device memory to page-locked memory, put into the stream.
///
/// # Errors
/// [`Error::Device`].
pub fn download<T: Pod>(from: DeviceSlice<'_, T>, stream: &Stream, transfers: &mut Transfers) -> Result<Storage<T>> {
    transfers.downloads += 1.0;
    transfers.downloaded_bytes += (from.len() * size_of::<T>()) as f64;
    stream.download(from).map(Storage::Pinned)
}

//! Inputs from and outputs to the memory of the host, wherever a session works.

use super::Session;
use crate::error::Result;
use crate::tensor::device::Downloaded;
use crate::tensor::storage::stage;
use crate::tensor::{Shape, TensorRef};
use crate::trace::Transfers;

/// An output of the last run, for the processor.
pub enum Output<'a> {
    /// In the memory of the session.
    Lent(TensorRef<'a>),
    /// Brought from a GPU.
    Fetched(Downloaded),
}

impl Output<'_> {
    /// The tensor; waits until it is there.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) when the work before it has failed.
    pub fn tensor(&self) -> Result<TensorRef<'_>> {
        match self {
            Self::Lent(tensor) => Ok(*tensor),
            Self::Fetched(copy) => copy.on_host(),
        }
    }
}

/// Fills float input `index` with `values`; on a GPU by one transfer, put into the stream of the session.
///
/// # Errors
/// Those of [`Session::input`] and of the device.
pub fn feed(session: &mut dyn Session, index: usize, shape: Shape, values: &[f32], transfers: &mut Transfers) -> Result<()> {
    let Some(session) = session.on_gpu() else {
        session.input(index, shape)?.copy_from_slice(values);
        return Ok(());
    };
    let stream = session.stream().clone();
    let placed = stage(values, &stream)?.upload(&stream, transfers)?;
    stream.copy(placed.on_device()?, &mut session.input(index, shape)?)
}

/// Waits until nothing of what was asked of the session is under way.
///
/// # Errors
/// [`Error::Device`](crate::Error::Device) when any of it has failed.
pub fn settle(session: &mut dyn Session) -> Result<()> {
    session.on_gpu().map_or(Ok(()), |gpu| gpu.stream().wait())
}

/// The first `count` outputs of the last run, in graph order.
///
/// # Errors
/// Those of [`Session::output`] and of the device.
pub fn outputs<'a>(session: &'a mut dyn Session, count: usize, transfers: &mut Transfers) -> Result<Vec<Output<'a>>> {
    if let Some(session) = session.on_gpu() {
        let stream = session.stream().clone();
        return session.outputs(count)?.iter().map(|output| output.download(&stream, transfers).map(Output::Fetched)).collect();
    }
    (0..count).map(|index| session.output(index).map(Output::Lent)).collect()
}

//! Pictures in memory, their geometry and their decoding. `ops` work on [`ImageView`]s,
//! pipelines pass [`Frame`]s; `geometry` holds every coordinate rule, `polygon` the hull and
//! rectangle algorithms, `palette` the colours of classes, `turn` quarter turns, `decode` turns file bytes into pixels.

pub mod decode;
pub mod frame;
pub mod geometry;
pub mod palette;
pub mod polygon;
pub mod resident;
pub mod surface;
pub mod turn;

pub use frame::{Frame, FrameId, ImageBuf, ImageView, PixelFormat};
pub use geometry::{PointF, PointI, Size};
pub use resident::Resident;
pub use surface::{Surface, SurfaceFormat};

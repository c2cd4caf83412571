//! Pictures in memory, their geometry and their decoding. `ops` work on [`ImageView`]s and [`Surface`]s, modules take
//! [`PictureRef`]s, which are either, and pipelines pass [`Frame`]s; `nv12` is what video decoders write, `geometry` holds every coordinate rule, `polygon` the hull and
//! rectangle algorithms, `page_text` what documents say of their pages in characters, `palette` the colours of classes, `turn` quarter turns, `mark` knows pictures that were saved, `decode` turns file bytes into pixels.

pub mod decode;
pub mod frame;
pub mod geometry;
pub mod mark;
pub mod nv12;
pub mod page_text;
pub mod palette;
pub mod picture;
pub mod polygon;
pub mod resident;
pub mod surface;
pub mod turn;

pub use frame::{Frame, FrameId, ImageBuf, ImageView, KnownLine, PixelFormat};
pub use geometry::{PointF, PointI, Size};
pub use page_text::PageText;
pub use picture::{Picture, PictureRef};
pub use resident::{Plane, Planes, Resident};
pub use surface::{Surface, SurfaceFormat};

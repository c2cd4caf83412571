//! Pages with white in them: without some regions, or with nothing but them. So one part of a page is read in its place and
//! size, or the rest of it.
//!
//! A region is left, top, right, bottom in whole pixels; right and bottom are not part of it, nor is what lies outside of the page.

pub mod cpu;
pub mod cuda;

/// What becomes white.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum White {
    /// The regions.
    Inside,
    /// Everything else.
    Outside,
}

//! Overlap across pictures. It stands between sources and sinks and knows neither: items and outputs are whatever the caller hands it.
//! [`ordered`](fn@ordered) serves a list of inputs. [`graph`] serves streams: sources with a policy each (`drops`), a decode pool and a
//! finishing pool of which as many threads work as keep pace (`split`), workers between them that are fed in batches (`batcher`) and feed
//! as many streams of the engines as are fastest (`trial`), and a sink that sees every stream in its order (`reorder`), with figures on
//! the way ([`gauges`]) and an orderly end ([`stop`]). Workers belong to no device: where there are several GPUs the pipeline that they
//! call is one on each of them, and deals frames out to the GPU where they lie, or to the idlest.

mod batcher;
mod drops;
pub mod gauges;
pub mod graph;
mod ordered;
mod reorder;
mod split;
pub mod stop;
mod trial;

pub use batcher::Batching;
pub use drops::{DropPolicy, WhenFull};
pub use ordered::{Limits, ordered};

//! TensorRT, opened at run time: versions 10 and 11 and TensorRT-RTX by one program, without NVIDIA's headers. `sys` holds the
//! C interface over the library's classes, [`ffi`] makes it safe, [`find`] knows where the library lies. A [`builder`] makes an
//! engine out of a model by a [`recipe`], or two out of one that decodes in a Loop ([`parts`]), and keeps it in the [`cache`]; a [`session`] runs it on [`memory`] of a device, or of the
//! host for test doubles of the library, within the shapes of a [`profile`]. Engines built for more than one machine [`fit`] others too. [`background`] decides when it is built; shapes that it
//! does not take are counted ([`outside`]).

pub mod background;
pub mod builder;
pub mod cache;
pub mod ffi;
mod file;
pub mod find;
pub mod fit;
mod gpu_session;
mod graphs;
mod half;
pub mod memory;
pub mod outside;
pub mod parts;
pub mod profile;
pub mod recipe;
pub mod selftest;
pub mod session;
mod source;
mod sys;
mod watch;
mod worker;

//! Runs PaddleX's eight pipelines on inference engines opened at run time. Text of a picture, for one:
//!
//! ```no_run
//! use hpinfer::{image::decode::Decoder, modules::Loader, pipeline::{Ocr, OcrConfig}, source::{Source, SourceOptions}};
//!
//! let ocr = Ocr::open(&OcrConfig::default(), &Loader::from_env()?)?; // fetches libraries and models once
//! for item in Source::new(&["page.png"], SourceOptions::default()) {
//!     let frame = item.load(&Decoder::default())?;
//!     for page in ocr.predict(&[frame]) {
//!         println!("{}", page?.rec_text.join("\n"));
//!     }
//! }
//! # Ok::<(), hpinfer::Error>(())
//! ```
//!
//! The telemetry of ONNX Runtime is turned off. Its published builds also leave files in the user's home unless `ORT_DISABLE_TELEMETRY` is 1
//! when they are opened: the command sees to that, programs with this library set it before they start threads.
//!
//! Data runs one way: a [`source`] yields pictures, [`modules`] prepare them with [`ops`], run networks on [`backend`]
//! sessions and interpret the outputs, a [`pipeline`] wires modules together and returns [`result`]s. [`schedule`]
//! overlaps the work on different pictures, [`extract`] asks a language model about what was found, [`bench`](mod@bench) measures it, [`cli`] is the only place that names everything.
//! Below them: [`model`] (what a network expects and where it comes from), [`runtime`] and [`cache`] (libraries and files on
//! this machine), [`onnx`] (graph rewrites), [`device`], [`tensor`], [`image`], [`trace`] (stage times, log lines) and [`error`](mod@error).

#![warn(missing_docs)]

pub mod backend;
pub mod bench;
pub mod cache;
pub mod cli;
pub mod device;
pub mod error;
pub mod extract;
pub mod image;
pub mod model;
pub mod modules;
pub mod onnx;
pub mod ops;
pub mod pipeline;
pub mod result;
pub mod runtime;
pub mod schedule;
pub mod source;
pub mod tensor;
pub mod trace;
pub mod verify;

pub use error::{Error, Result};

//! Pipelines by PaddleX name: a struct of modules and straight-line steps over a batch of frames, run on one
//! pool of workers. `config` reads pipeline files; there is one file per pipeline.

pub mod config;
pub mod ocr;

pub use config::OcrConfig;
pub use ocr::Ocr;

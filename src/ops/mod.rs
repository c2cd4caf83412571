//! Operations around the networks: one folder each, whose `mod.rs` states the parameters and the contract;
//! `cpu.rs` is the definition, which every faster or other form must match. Operations know pictures,
//! geometry and tensors; they know no engine and no model, and modules call them. `sampling` holds the source-coordinate rules
//! the image operations share, `simd` the choice of instruction set; `text_layer` makes lines of the glyphs of documents.

pub mod ctc;
pub mod db;
pub mod difference;
pub mod layout;
pub mod mask;
pub mod nms;
pub mod resize_norm;
pub mod sampling;
pub mod simd;
pub mod table;
pub mod text_layer;
pub mod warp;
pub mod whiten;

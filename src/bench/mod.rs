//! Measurements of a pipeline, and of the floor under it: what the engines alone need for the same tensors.
//! `cases` says what is measured and starts a fresh process for each; `run` measures inside that process with
//! `floor`, on `inputs` decoded beforehand; `report` is what comes out, `compare` sets two of them side by side, `table` shows either.
//! Numbers come from `resources` (time, memory) and `stats`; `machine` says where they hold.

pub mod cases;
pub mod compare;
pub mod floor;
pub mod inputs;
pub mod machine;
pub mod report;
pub mod resources;
pub mod run;
pub mod stats;
pub mod table;

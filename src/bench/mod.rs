//! Measurements of a pipeline, and of the floor under it: what the engines alone need for the same tensors.
//! `cases` says what is measured and has a fresh process (`child`) for each; `run` measures inside that process with
//! `floor`, on `inputs` decoded beforehand; `report` is what comes out, `compare` sets two of them side by side, `table` shows either.
//! `load` raises the rate at which pictures come; `trace` says when each was worked on; `csv` and `page` write a report for spreadsheets and browsers.
//! `streams` counts the streams that are kept up with, `cold` times starts of the program.
//! `ops` measures the kernels of a GPU by themselves, `official` sets networks beside the times published of them. Numbers come from `resources` (time, memory) and `stats`; `machine` says where they hold, `watch` what held GPUs back.

pub mod cases;
mod child;
pub mod cold;
pub mod compare;
pub mod csv;
pub mod floor;
pub mod footage;
pub mod inputs;
pub mod load;
pub mod machine;
pub mod official;
pub mod ops;
pub mod page;
pub mod report;
pub mod resources;
pub mod run;
pub mod stats;
pub mod streams;
pub mod table;
mod trace;
pub mod watch;

//! Classifiers, detectors and segmenters: their two halves against the reference (fixtures of `fixtures/pictures/make.py`),
//! on a network that is a function; and whole pipelines on miniature networks of every convention, run by the real engines.

#[path = "inputs/random.rs"]
mod random;

mod pictures {
    pub mod classify;
    pub mod detect;
    pub mod segment;
    pub mod support;
}

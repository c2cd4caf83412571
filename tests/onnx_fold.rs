//! Graph rewrites: small graphs with fresh random numbers, checked for the form they take and, in ONNX Runtime, for
//! equal results. The reference is the graph as it was, run without optimisation.

#[path = "inputs/random.rs"]
mod random;

mod onnx_fold {
    mod builder;
    mod ends;
    mod enlarged;
    mod faults;
    mod lacking;
    mod mend;
    mod original;
    mod rewrites;
}

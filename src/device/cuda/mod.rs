//! CUDA by its driver, `libcuda`, which is opened at run time.

pub(super) mod driver;

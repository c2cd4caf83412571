//! Graphics processors without one: stand-ins for the driver's libraries, built from `tests/gpu`. A process opens the driver
//! once and for all, so that every case is a process of its own.

mod gpu {
    mod probe;
    pub mod stub;
}

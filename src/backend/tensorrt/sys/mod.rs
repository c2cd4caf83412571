//! Raw declarations of the C interface over TensorRT (`trs.h`), as bindgen makes them. Nothing else of this crate is
//! used here: [`ffi`](super::ffi) is the safe side. The C++ behind it calls TensorRT's objects by the places of
//! their functions (`slots.def`), so neither NVIDIA's headers nor its libraries are needed to build.

#![allow(missing_docs, non_camel_case_types, dead_code, clippy::all)]

mod bindings;

pub use bindings::*;

/// Where each function of a class stands, and the numbers of enumerations.
#[cfg(test)]
mod tests {
    #[test]
    fn our_classes_are_laid_out_as_the_table_says() {
        // SAFETY: the function takes nothing and reads constants.
        assert_eq!(unsafe { super::trs_self_check() }, 0, "number of the first wrong OURS row of slots.def");
    }

    #[cfg(feature = "bindgen")]
    #[test]
    fn the_committed_declarations_are_those_of_the_header() {
        let fresh = include_str!(concat!(env!("OUT_DIR"), "/bindings.rs"));
        assert_eq!(include_str!("bindings.rs"), fresh, "copy the file from OUT_DIR over src/backend/tensorrt/sys/bindings.rs");
    }
}

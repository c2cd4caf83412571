//! The compiled kernels that this program carries: one image for each architecture it was compiled for, and portable
//! code that the driver of any newer one compiles. `tests/kernel_images.rs` makes them and checks that they are current.

use super::Capability;

/// Machine code by compute capability, ascending.
const CUBINS: [(Capability, &[u8]); 5] = [
    (Capability(7, 5), include_bytes!("../../kernels/prebuilt/sm_75.cubin")),
    (Capability(8, 0), include_bytes!("../../kernels/prebuilt/sm_80.cubin")),
    (Capability(8, 6), include_bytes!("../../kernels/prebuilt/sm_86.cubin")),
    (Capability(8, 9), include_bytes!("../../kernels/prebuilt/sm_89.cubin")),
    (Capability(9, 0), include_bytes!("../../kernels/prebuilt/sm_90.cubin")),
];

/// Portable code for compute capability 7.5 and above.
const PTX: &[u8] = include_bytes!("../../kernels/prebuilt/compute_75.ptx");

/// Kernels in a form a driver loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// Machine code.
    Cubin(&'static [u8]),
    /// Text for the driver's own compiler, which R575 and later have for this version.
    Ptx(&'static [u8]),
}

/// The image for a device of this compute capability: its own, else that of the highest lower minor version of its
/// major one, else the portable code. `None` below 7.5.
pub fn image_for(capability: Capability) -> Option<Image> {
    let own = CUBINS.iter().rev().find(|(Capability(major, minor), _)| *major == capability.0 && *minor <= capability.1);
    match own {
        Some((_, cubin)) => Some(Image::Cubin(cubin)),
        None => (capability >= CUBINS[0].0).then_some(Image::Ptx(PTX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_gets_code_it_can_run() {
        let cubin = |index: usize| Some(Image::Cubin(CUBINS[index].1));
        for ((major, minor), expected) in [
            ((6, 1), None),
            ((7, 0), None),
            ((7, 5), cubin(0)),
            ((8, 0), cubin(1)),
            ((8, 7), cubin(2)),
            ((8, 9), cubin(3)),
            ((9, 0), cubin(4)),
            ((10, 0), Some(Image::Ptx(PTX))),
            ((12, 1), Some(Image::Ptx(PTX))),
        ] {
            assert_eq!(image_for(Capability(major, minor)), expected, "{major}.{minor}");
        }
        assert!(CUBINS.iter().all(|(_, cubin)| cubin.starts_with(b"\x7fELF")));
        assert!(std::str::from_utf8(PTX).unwrap().contains(".target sm_75"));
    }
}

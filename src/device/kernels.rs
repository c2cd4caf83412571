//! The kernels of `kernels/*.cu` by name.

/// A kernel. Each takes one plain structure of arguments by value, which its caller in `ops/*/cuda.rs` defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are those of `kernels/`, where each file says what its kernels do
pub enum Kernel {
    ResizeNormLinearF32,
    ResizeNormLinearF16,
    ResizeNormCubicF32,
    ResizeNormCubicF16,
    WarpResizeNormF32,
    WarpResizeNormF16,
    CtcBest,
    CtcCollapse,
    NmsCollect,
    NmsCollectBest,
    NmsSuppress,
    NmsGather,
    MaskCut,
    MaskArgmax,
    MaskColour,
    DbThreshold,
    DbDilate,
    DbLabel,
    DbMerge,
    DbFlatten,
    DbNumber,
    DbExtents,
    DbBoxes,
    DbGather,
    WhitenRegions,
    DifferenceTiles,
}

impl Kernel {
    /// Every kernel, in the order of its number.
    pub const ALL: [Self; 26] = [
        Self::ResizeNormLinearF32,
        Self::ResizeNormLinearF16,
        Self::ResizeNormCubicF32,
        Self::ResizeNormCubicF16,
        Self::WarpResizeNormF32,
        Self::WarpResizeNormF16,
        Self::CtcBest,
        Self::CtcCollapse,
        Self::NmsCollect,
        Self::NmsCollectBest,
        Self::NmsSuppress,
        Self::NmsGather,
        Self::MaskCut,
        Self::MaskArgmax,
        Self::MaskColour,
        Self::DbThreshold,
        Self::DbDilate,
        Self::DbLabel,
        Self::DbMerge,
        Self::DbFlatten,
        Self::DbNumber,
        Self::DbExtents,
        Self::DbBoxes,
        Self::DbGather,
        Self::WhitenRegions,
        Self::DifferenceTiles,
    ];

    /// Its name in the images.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResizeNormLinearF32 => "resize_norm_linear_f32",
            Self::ResizeNormLinearF16 => "resize_norm_linear_f16",
            Self::ResizeNormCubicF32 => "resize_norm_cubic_f32",
            Self::ResizeNormCubicF16 => "resize_norm_cubic_f16",
            Self::WarpResizeNormF32 => "warp_resize_norm_f32",
            Self::WarpResizeNormF16 => "warp_resize_norm_f16",
            Self::CtcBest => "ctc_best",
            Self::CtcCollapse => "ctc_collapse",
            Self::NmsCollect => "nms_collect",
            Self::NmsCollectBest => "nms_collect_best",
            Self::NmsSuppress => "nms_suppress",
            Self::NmsGather => "nms_gather",
            Self::MaskCut => "mask_cut",
            Self::MaskArgmax => "mask_argmax",
            Self::MaskColour => "mask_colour",
            Self::DbThreshold => "db_threshold",
            Self::DbDilate => "db_dilate",
            Self::DbLabel => "db_label",
            Self::DbMerge => "db_merge",
            Self::DbFlatten => "db_flatten",
            Self::DbNumber => "db_number",
            Self::DbExtents => "db_extents",
            Self::DbBoxes => "db_boxes",
            Self::DbGather => "db_gather",
            Self::WhitenRegions => "whiten_regions",
            Self::DifferenceTiles => "difference_tiles",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_places_agree() {
        for (at, kernel) in Kernel::ALL.into_iter().enumerate() {
            assert_eq!(kernel as usize, at, "{kernel:?}");
        }
    }
}

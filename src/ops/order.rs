use candle_core::{Result, Tensor};

/// Views `(N, H, W, C)` of feature maps, if all have their channels last in
/// memory, as the outputs of sequences do. candle's operators would first copy
/// each into the other order.
pub(super) fn channels_last_views(maps: &[Tensor]) -> Option<Vec<Tensor>> {
    let view = |x: &Tensor| {
        if x.rank() != 4 || x.is_contiguous() || x.track_op() {
            return None;
        }
        let last = x.permute((0, 2, 3, 1)).ok()?;
        last.is_contiguous().then_some(last)
    };
    maps.iter().map(view).collect()
}

/// The view `(N, C, H, W)` of a feature map with its channels last.
pub(super) fn channels_first_view(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))
}

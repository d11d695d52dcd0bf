use candle_core::{Result, Tensor};

/// Feature maps that lie in memory with their channels last, as `(N, H, W, C)`: the
/// outputs of sequences do. candle's operators would first turn each into rows of
/// channels.
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

/// Such a feature map as `(N, C, H, W)` again.
pub(super) fn channels_first_view(x: &Tensor) -> Result<Tensor> {
    x.permute((0, 3, 1, 2))
}

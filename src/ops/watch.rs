use std::fmt::Debug;

/// Sees a value inside a chain on the CPU, and has a gradient of its own for
/// it: a loss of a layer without a stop of the chain at it.
pub(crate) trait Watch: Debug + Send + Sync {
    /// Sees the values of one picture's map, a row of channels for each place.
    fn see(&self, values: &[f32], channels: usize);

    /// Writes `above`, the gradient from what follows, plus its own gradient
    /// at the values that it has seen last.
    fn gradient(&self, values: &[f32], channels: usize, above: &[f32], sum: &mut [f32]);
}

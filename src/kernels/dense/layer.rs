//! What a dense layer is computed from.

use super::DenseWeights;

/// The sizes of a dense layer; any may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DenseSizes {
    /// Rows of the input.
    pub batch: usize,
    /// Numbers in a row of the input.
    pub inputs: usize,
    /// Numbers in a row of the output.
    pub outputs: usize,
}

/// A dense layer, ready to be run.
#[derive(Clone, Copy, Debug)]
pub struct DenseLayer<'a> {
    /// Its sizes.
    pub sizes: DenseSizes,
    /// (out, in).
    pub weights: DenseWeights<'a>,
    /// One number for each output.
    pub bias: Option<&'a [f32]>,
    /// Negative numbers become 0; NaN stays.
    pub relu: bool,
}

//! Dense layers: `y = x W^T + b`, `W` (out, in), and their gradients.

mod forward;
mod gradient;
mod product;
mod weights;

pub use forward::dense;
pub use gradient::{dense_input_gradient, dense_weight_gradient};
pub use weights::DenseWeights;

/// The sizes of a dense layer; any may be 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dense {
    /// Rows of the input.
    pub batch: usize,
    /// Numbers in a row of the input.
    pub inputs: usize,
    /// Numbers in a row of the output.
    pub outputs: usize,
}

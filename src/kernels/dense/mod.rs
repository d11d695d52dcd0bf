//! Dense layers: `y = x W^T + b`, `W` (out, in). In come input vectors and weights.
//! Out go output vectors, or the gradients of the input or the weights.

mod forward;
mod gradient;
mod layer;
mod product;

pub use forward::dense;
pub use gradient::{dense_input_gradient, dense_weight_gradient};
pub use layer::{DenseLayer, DenseSizes, DenseWeights};

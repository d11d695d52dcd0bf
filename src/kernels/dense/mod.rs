//! Dense layers: `y = x W^T + b`, `W` (out, in). Rows of numbers and weights
//! come in; products, or the gradients of the input or the weights, go out.

mod forward;
mod gradient;
mod layer;
mod product;

pub use forward::dense;
pub use gradient::{dense_input_gradient, dense_weight_gradient};
pub use layer::{DenseLayer, DenseSizes, DenseWeights};

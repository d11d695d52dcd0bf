//! 2-D convolution and its gradients. In come feature maps, channels last, and
//! a filter packed for one algorithm and one kernel. Out go feature maps after
//! an [`Epilogue`], or the gradients of the input, the filter and the bias.

mod algorithm;
mod call;
mod direct;
mod epilogue;
mod filter;
mod filter_gradient;
mod run;
mod stack;
mod sweep;
mod weights;
mod winograd;

pub use algorithm::{Algorithm, computes_ahead};
pub use call::{Conv2dCall, FilterGradient};
pub use epilogue::Epilogue;
pub use filter::PackedFilter;
pub use run::{conv2d, conv2d_input_gradient, conv2d_parameter_gradients};
pub use stack::{Conv2dLayer, conv2d_stack};
pub use sweep::Direction;
pub use weights::FilterWeights;

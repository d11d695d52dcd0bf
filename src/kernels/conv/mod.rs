//! 2-D convolution and its gradients. Feature maps with the channels last and
//! a filter packed for one algorithm and one kernel come in; feature maps go
//! out, finished by an [`Epilogue`], or the gradients of the input, the filter
//! and the bias.

mod algorithm;
mod direct;
mod epilogue;
mod filter;
mod filter_gradient;
mod parameter_gradients;
mod pass;
mod run;
mod stack;
mod sweep;
mod weights;
mod winograd;

pub use algorithm::Algorithm;
pub use epilogue::Epilogue;
pub use filter::PackedFilter;
#[cfg(test)]
pub use parameter_gradients::conv2d_filter_gradient;
pub use parameter_gradients::conv2d_parameter_gradients;
pub use pass::FilterGradient;
pub use run::{conv2d, conv2d_input_gradient};
pub use stack::{Conv2dLayer, conv2d_stack};
pub use weights::FilterWeights;

//! CPU arithmetic on slices: convolution, pooling and dense layers, forward
//! and backward.
//!
//! Activations lie channels last, `(N, H, W, C)`, filters `(O, I / groups,
//! kH, kW)`, both `f32`. Work is spread over rayon's current pool; every
//! split of a sum is fixed by the shapes alone, so results are the same to
//! the last bit whatever the number of threads.

mod checksum;
mod conv;
mod dense;
mod elementwise;
mod gated;
mod gemm;
mod geometry;
mod layout;
mod pool;
mod scratch;
mod simd;
mod span;
#[cfg(test)]
mod tests;

pub(crate) use checksum::checksum;
#[cfg(test)]
pub(crate) use conv::conv2d_filter_gradient;
pub(crate) use conv::{
    Algorithm, Conv2dLayer, Epilogue, FilterGradient, FilterWeights, PackedFilter, conv2d,
    conv2d_input_gradient, conv2d_parameter_gradients, conv2d_stack,
};
pub(crate) use dense::{
    DenseLayer, DenseSizes, DenseWeights, dense, dense_input_gradient, dense_weight_gradient,
};
pub(crate) use elementwise::{bias_gradient, relu, relu_gradient};
pub(crate) use gated::Gated;
#[cfg(test)]
pub(crate) use geometry::GeometryError;
pub(crate) use geometry::{
    AdaptivePool2dConfig, Conv2dConfig, Conv2dGeometry, Padding, Pool2dConfig, Pool2dGeometry,
    Size2,
};
pub(crate) use layout::{FeatureMaps, nchw_to_nhwc, nhwc_to_nchw};
pub(crate) use pool::{
    adaptive_avg_pool2d, adaptive_avg_pool2d_gradient, avg_pool2d, avg_pool2d_gradient, max_pool2d,
    max_pool2d_gradient,
};
pub(crate) use simd::Kernel;

/// The instruction set that convolutions, pools and dense layers on the CPU
/// use: `"avx512"` (AVX-512F), `"avx2"` (AVX2, FMA and F16C) or `"portable"`.
///
/// It is the fastest that the CPU has, or the one named by the environment
/// variable `VGG_SURGERY_KERNEL` if the CPU has that. It is decided once a
/// process.
///
/// ```
/// assert!(["avx512", "avx2", "portable"].contains(&vgg_surgery::cpu_kernel()));
/// ```
pub fn cpu_kernel() -> &'static str {
    Kernel::selected().name()
}

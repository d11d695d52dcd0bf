//! CPU arithmetic on slices: convolution, pooling and dense layers, forward and
//! backward. In come slices of numbers and their sizes. The output or a
//! gradient is written to the caller's slice. The room knows neither candle nor
//! graphs.
//!
//! Activations lie channels last, `(N, H, W, C)`, filters `(O, I / groups,
//! kH, kW)`, both `f32`. Work is spread over rayon's current pool; every
//! split of a sum depends on the shapes only, so results are the same to the
//! last bit for any number of threads.

mod cache;
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
pub(crate) mod tests;

pub(crate) use checksum::checksum;
pub(crate) use conv::{
    Algorithm, Conv2dCall, Conv2dLayer, Direction, Epilogue, FilterGradient, FilterWeights,
    PackedFilter, computes_ahead, conv2d, conv2d_input_gradient, conv2d_parameter_gradients,
    conv2d_stack,
};
pub(crate) use dense::{
    DenseLayer, DenseSizes, DenseWeights, dense, dense_input_gradient, dense_weight_gradient,
};
pub(crate) use elementwise::{bias_gradient, relu, relu_gradient};
pub(crate) use gated::Gated;
#[cfg(test)]
pub(crate) use geometry::GeometryError;
pub(crate) use geometry::{Conv2dConfig, Conv2dGeometry, FeatureMaps, Padding, Size2};
pub(crate) use layout::{Matrices, transpose};
pub(crate) use pool::{
    Pool2dConfig, PoolWindows, avg_pool2d, avg_pool2d_gradient, max_pool2d, max_pool2d_gradient,
};
pub(crate) use simd::Kernel;

/// The instruction set that convolutions, pools and dense layers on the CPU
/// use: `"avx512"` (AVX-512F), `"avx2"` (AVX2, FMA and F16C), `"neon"` or
/// `"portable"`.
///
/// It is the fastest that the CPU has, or the one that the environment variable
/// `VGG_SURGERY_KERNEL` names, if the CPU has it. It is chosen once per process.
///
/// ```
/// assert!(["avx512", "avx2", "neon", "portable"].contains(&vgg_surgery::cpu_kernel()));
/// ```
pub fn cpu_kernel() -> &'static str {
    Kernel::selected().name()
}

//! The gradients of a convolution's filter and bias.

use super::algorithm::Algorithm;
use super::pass::FilterGradient;
use super::sweep::Sweep;
use super::winograd::{Four, Two};
use super::{filter_gradient, winograd};
use crate::kernels::elementwise::bias_gradient;
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::simd::Kernel;

/// The gradient of the filter, (O, I / groups, kH, kW).
///
/// # Panics
/// If a slice has another length than the geometry says.
#[cfg(test)]
pub fn conv2d_filter_gradient(
    kernel: Kernel,
    geometry: &Conv2dGeometry,
    gradient: &FilterGradient,
    grad_filter: &mut [f32],
) {
    conv2d_parameter_gradients(kernel, geometry, gradient, grad_filter, None);
}

/// The gradients of the filter, (O, I / groups, kH, kW), and of the bias,
/// (O), from one reading of the output's gradient where the algorithm has
/// one.
///
/// # Panics
/// If a slice has another length than the geometry says.
pub fn conv2d_parameter_gradients(
    kernel: Kernel,
    geometry: &Conv2dGeometry,
    gradient: &FilterGradient,
    grad_filter: &mut [f32],
    grad_bias: Option<&mut [f32]>,
) {
    let sweep = Sweep::forward(geometry);
    assert_eq!(
        gradient.input.len(),
        geometry.input_len(),
        "length of the input"
    );
    gradient.grad_output.assert_len(geometry.output_len());
    assert_eq!(
        grad_filter.len(),
        geometry.filter_len(),
        "length of the filter's gradient"
    );
    if let Some(bias) = &grad_bias {
        assert_eq!(bias.len(), sweep.out_channels, "length of the bias");
    }
    let bias = grad_bias.unwrap_or_default();
    if sweep.batch == 0 {
        grad_filter.fill(0.0);
        bias.fill(0.0);
        return;
    }
    match Algorithm::choose(&sweep) {
        Algorithm::Direct => {
            bias_gradient(kernel, gradient.grad_output, bias);
            filter_gradient::filter_gradient(kernel, &sweep, gradient, grad_filter);
        }
        Algorithm::Winograd2 => {
            winograd::filter_gradient::<Two>(kernel, &sweep, gradient, grad_filter, bias);
        }
        Algorithm::Winograd4 => {
            winograd::filter_gradient::<Four>(kernel, &sweep, gradient, grad_filter, bias);
        }
    }
}

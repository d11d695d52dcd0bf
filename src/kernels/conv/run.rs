//! The convolution and its gradients.

use super::algorithm::Algorithm;
use super::call::{Conv2dCall, FilterGradient, Pass};
use super::filter::Filter;
use super::sweep::{Direction, Sweep};
use super::winograd::{Four, Two};
use super::{direct, filter_gradient, winograd};
use crate::kernels::elementwise::bias_gradient;
use crate::kernels::gated::Gated;
use crate::kernels::geometry::Conv2dGeometry;
use crate::kernels::simd::Kernel;

/// Convolves `input` (N, H, W, C) into `output` (N, H', W', O), or (N,
/// H' / 2, W' / 2, O) if the epilogue pools.
///
/// # Panics
/// If the length of a slice does not match the geometry, or the filter was
/// packed for another geometry.
pub fn conv2d(call: &Conv2dCall, input: &[f32], output: &mut [f32]) {
    call.geometry.assert_input(input.len());
    assert_eq!(output.len(), call.output_len(), "length of the output");
    run(&call.pass(input), output);
}

/// The gradient of the input, (N, H, W, C), from the gradient of the output.
///
/// # Panics
/// If the length of a slice does not match the geometry, or the filter was not
/// packed for [`Direction::InputGradient`] of this geometry.
pub fn conv2d_input_gradient(
    geometry: &Conv2dGeometry,
    filter: Filter,
    grad_output: Gated,
    grad_input: &mut [f32],
) {
    grad_output.assert_len(geometry.output_len());
    geometry.assert_input(grad_input.len());
    let pass = Pass::new(geometry, Direction::InputGradient, filter, grad_output);
    run(&pass, grad_input);
}

fn run(pass: &Pass, output: &mut [f32]) {
    match pass.filter.packed.algorithm {
        Algorithm::Direct => direct::run(pass, output),
        Algorithm::Winograd2 => winograd::run::<Two>(pass, None, output),
        Algorithm::Winograd4 => winograd::run::<Four>(pass, None, output),
    }
}

/// The gradients of the filter, (O, I / groups, kH, kW), and of the bias,
/// (O). Winograd's algorithm reads the output's gradient once for both.
///
/// # Panics
/// If the length of a slice does not match the geometry.
pub fn conv2d_parameter_gradients(
    kernel: Kernel,
    geometry: &Conv2dGeometry,
    gradient: &FilterGradient,
    grad_filter: &mut [f32],
    grad_bias: Option<&mut [f32]>,
) {
    let sweep = Sweep::new(geometry, Direction::Forward);
    geometry.assert_input(gradient.input.len());
    gradient.grad_output.assert_len(geometry.output_len());
    let filter_len = geometry.filter_len();
    assert_eq!(grad_filter.len(), filter_len, "length of the filter");
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

//! The convolution and the gradient of its input.

use super::algorithm::Algorithm;
use super::epilogue::Epilogue;
use super::filter::Filter;
use super::pass::Pass;
use super::sweep::Sweep;
use super::winograd::{Four, Two};
use super::{direct, winograd};
use crate::kernels::gated::Gated;
use crate::kernels::geometry::Conv2dGeometry;

/// Convolves `input` (N, H, W, C) into `output` (N, H', W', O), or (N,
/// H' / 2, W' / 2, O) with [`Epilogue::pool`].
///
/// # Panics
/// If a slice has another length than the geometry says, or the filter was
/// packed for another one.
pub fn conv2d(
    geometry: &Conv2dGeometry,
    filter: Filter,
    input: &[f32],
    epilogue: &Epilogue,
    output: &mut [f32],
) {
    let pass = Pass::forward(geometry, filter, epilogue, input);
    let written = if epilogue.pool {
        geometry.pooled_len()
    } else {
        geometry.output_len()
    };
    assert_eq!(input.len(), geometry.input_len(), "length of the input");
    assert_eq!(output.len(), written, "of the output");
    run(&pass, output);
}

/// The gradient of the input, (N, H, W, C), from that of the output.
///
/// # Panics
/// If a slice has another length than the geometry says, or the filter was
/// not packed with [`PackedFilter::input_gradient`] for it.
pub fn conv2d_input_gradient(
    geometry: &Conv2dGeometry,
    filter: Filter,
    grad_output: Gated,
    grad_input: &mut [f32],
) {
    let sweep = Sweep::input_gradient(geometry);
    grad_output.assert_len(geometry.output_len());
    assert_eq!(
        grad_input.len(),
        geometry.input_len(),
        "length of the input's gradient"
    );
    assert!(
        filter.serves(&sweep, true),
        "{filter:?} is not packed for {geometry:?}"
    );
    let pass = Pass {
        sweep,
        filter,
        source: grad_output,
        epilogue: Epilogue::default(),
    };
    run(&pass, grad_input);
}

fn run(pass: &Pass, output: &mut [f32]) {
    match pass.filter.algorithm() {
        Algorithm::Direct => direct::run(pass, output),
        Algorithm::Winograd2 => winograd::run::<Two>(pass, None, output),
        Algorithm::Winograd4 => winograd::run::<Four>(pass, None, output),
    }
}

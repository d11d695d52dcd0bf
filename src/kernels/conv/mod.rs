//! 2-D convolution and its gradients.

mod direct;
mod filter;
mod filter_gradient;
mod pooling;
mod stack;
mod sweep;
mod weights;
mod winograd;

pub use filter::{Filter, PackedFilter};
pub use stack::{Conv2dLayer, conv2d_stack};
pub use weights::FilterWeights;

use super::elementwise::bias_gradient;
use super::gated::Gated;
use super::geometry::{Conv2dGeometry, Size2};
use super::simd::{Kernel, Simd};
use sweep::Sweep;

/// How a convolution is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// A matrix product over the taps; serves every geometry.
    Direct,
    /// Winograd's F(2x2, 3x3): 2.25 times fewer multiplications; few tiles.
    Winograd2,
    /// Winograd's F(4x4, 3x3): 4 times fewer multiplications.
    Winograd4,
}

/// Channels in from which on Winograd's transforms pay.
const WINOGRAD_CHANNELS: usize = 16;

/// Tiles of F(4x4) below which the bytes of its filters cost more than the
/// multiplications that F(2x2) adds.
const FEW_TILES: usize = 32;

impl Algorithm {
    /// What suits the forward pass.
    pub fn forward(geometry: &Conv2dGeometry) -> Self {
        Self::choose(&Sweep::forward(geometry))
    }

    /// What suits the input gradient.
    pub fn input_gradient(geometry: &Conv2dGeometry) -> Self {
        Self::choose(&Sweep::input_gradient(geometry))
    }

    fn choose(sweep: &Sweep) -> Self {
        let channels = sweep.in_channels.min(sweep.out_channels);
        if !sweep.is_winograd() || channels < WINOGRAD_CHANNELS {
            return Self::Direct;
        }
        let Size2 { height, width } = sweep.out_size;
        if sweep.batch * height.div_ceil(4) * width.div_ceil(4) < FEW_TILES {
            Self::Winograd2
        } else {
            Self::Winograd4
        }
    }
}

/// What is applied to the sums of a convolution as they are written: first
/// the bias, then the ReLU, then the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue<'a> {
    /// One number for each channel out.
    pub bias: Option<&'a [f32]>,
    /// Negative numbers become 0; NaN stays.
    pub relu: bool,
    /// A 2x2 max pool of stride 2; an odd last row or column is dropped.
    pub pool: bool,
}

impl Epilogue<'_> {
    /// The bias of `count` channels from `channel` on.
    #[inline(always)]
    fn bias_vector<S: Simd>(&self, simd: S, channel: usize, count: usize) -> S::Vector {
        match self.bias {
            None => simd.splat(0.0),
            Some(bias) => {
                let bias = &bias[channel..channel + count];
                // SAFETY: the slice just taken holds `count` numbers.
                unsafe { simd.load_up_to(bias.as_ptr(), count) }
            }
        }
    }

    /// What [`Simd::max`] takes a sum to, as the ReLU does or as it is.
    #[inline(always)]
    fn least<S: Simd>(&self, simd: S) -> S::Vector {
        simd.splat(if self.relu { 0.0 } else { f32::NEG_INFINITY })
    }
}

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

/// A sweep with all that it reads.
#[derive(Clone, Copy)]
struct Pass<'a> {
    sweep: Sweep,
    filter: Filter<'a>,
    source: Gated<'a>,
    epilogue: Epilogue<'a>,
}

impl<'a> Pass<'a> {
    /// A convolution of `input`, whose length is the caller's to check.
    fn forward(
        geometry: &Conv2dGeometry,
        filter: Filter<'a>,
        epilogue: &Epilogue<'a>,
        input: &'a [f32],
    ) -> Self {
        let sweep = Sweep::forward(geometry);
        assert!(
            epilogue
                .bias
                .is_none_or(|bias| bias.len() == sweep.out_channels),
            "length of the bias"
        );
        assert!(
            filter.serves(&sweep, false),
            "{filter:?} is not packed for {geometry:?}"
        );
        Self {
            sweep,
            filter,
            source: input.into(),
            epilogue: *epilogue,
        }
    }

    /// Height and width of what the epilogue leaves.
    fn out_size(&self) -> Size2 {
        if self.epilogue.pool {
            self.sweep.out_size.halved()
        } else {
            self.sweep.out_size
        }
    }
}

fn run(pass: &Pass, output: &mut [f32]) {
    match pass.filter.algorithm() {
        Algorithm::Direct => direct::run(pass, output),
        Algorithm::Winograd2 => winograd::run::<winograd::Two>(pass, None, output),
        Algorithm::Winograd4 => winograd::run::<winograd::Four>(pass, None, output),
    }
}

/// What the gradient of a filter is computed from.
#[derive(Clone, Copy, Debug)]
pub struct FilterGradient<'a> {
    /// The convolution's input, (N, H, W, C).
    pub input: &'a [f32],
    /// The gradient of its output, (N, H', W', O).
    pub grad_output: Gated<'a>,
}

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
    let targets = (&mut *grad_filter, &mut *bias);
    match Algorithm::choose(&sweep) {
        Algorithm::Direct => {
            bias_gradient(kernel, gradient.grad_output, targets.1);
            filter_gradient::filter_gradient(kernel, &sweep, gradient, targets.0);
        }
        Algorithm::Winograd2 => {
            winograd::filter_gradient::<winograd::Two>(kernel, &sweep, gradient, targets);
        }
        Algorithm::Winograd4 => {
            winograd::filter_gradient::<winograd::Four>(kernel, &sweep, gradient, targets);
        }
    }
}

//! What a convolution and its gradients read.

use super::epilogue::Epilogue;
use super::filter::Filter;
use super::sweep::Sweep;
use crate::kernels::gated::Gated;
use crate::kernels::geometry::{Conv2dGeometry, Size2};

/// A sweep with all that it reads.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub sweep: Sweep,
    pub filter: Filter<'a>,
    pub source: Gated<'a>,
    pub epilogue: Epilogue<'a>,
}

impl<'a> Pass<'a> {
    /// A convolution of `input`, whose length is the caller's to check.
    pub fn forward(
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
    pub fn out_size(&self) -> Size2 {
        if self.epilogue.pool {
            self.sweep.out_size.halved()
        } else {
            self.sweep.out_size
        }
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

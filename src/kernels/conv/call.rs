//! The arguments of convolutions and of their gradients.

use super::epilogue::Epilogue;
use super::filter::Filter;
use super::sweep::{Direction, Sweep};
use crate::kernels::gated::Gated;
use crate::kernels::geometry::{Conv2dGeometry, Size2};

/// A convolution, without its input.
#[derive(Clone, Copy)]
pub struct Conv2dCall<'a> {
    pub geometry: Conv2dGeometry,
    /// A filter packed for these sizes.
    pub filter: Filter<'a>,
    pub epilogue: Epilogue<'a>,
}

impl<'a> Conv2dCall<'a> {
    /// The number of output values, after the epilogue's pool.
    pub fn output_len(&self) -> usize {
        if self.epilogue.pool {
            self.geometry.pooled_len()
        } else {
            self.geometry.output_len()
        }
    }

    pub(super) fn with_batch(mut self, batch: usize) -> Self {
        self.geometry = self.geometry.with_batch(batch);
        self
    }

    /// The pass over `input`. The caller checks its length.
    pub(super) fn pass<'p>(&self, input: &'p [f32]) -> Pass<'p>
    where
        'a: 'p,
    {
        let bias = self.epilogue.bias;
        let pass = Pass::new(
            &self.geometry,
            Direction::Forward,
            self.filter,
            input.into(),
        );
        assert!(
            bias.is_none_or(|bias| bias.len() == pass.sweep.out_channels),
            "length of the bias"
        );
        Pass {
            epilogue: self.epilogue,
            ..pass
        }
    }
}

/// A sweep and its operands.
#[derive(Clone, Copy)]
pub(super) struct Pass<'a> {
    pub sweep: Sweep,
    pub filter: Filter<'a>,
    pub source: Gated<'a>,
    pub epilogue: Epilogue<'a>,
}

impl<'a> Pass<'a> {
    /// A pass without an epilogue.
    pub fn new(
        geometry: &Conv2dGeometry,
        direction: Direction,
        filter: Filter<'a>,
        source: Gated<'a>,
    ) -> Self {
        let sweep = Sweep::new(geometry, direction);
        assert!(
            filter.packed.serves(&sweep, direction),
            "{:?} is not packed for {geometry:?}",
            filter.packed
        );
        Self {
            sweep,
            filter,
            source,
            epilogue: Epilogue::default(),
        }
    }

    /// Height and width of the output, after the epilogue's pool.
    pub fn out_size(&self) -> Size2 {
        if self.epilogue.pool {
            self.sweep.out_size.halved()
        } else {
            self.sweep.out_size
        }
    }
}

/// The operands of the gradients of a convolution's parameters.
#[derive(Clone, Copy, Debug)]
pub struct FilterGradient<'a> {
    /// The convolution's input, (N, H, W, C).
    pub input: &'a [f32],
    /// The gradient of its output, (N, H', W', O).
    pub grad_output: Gated<'a>,
}

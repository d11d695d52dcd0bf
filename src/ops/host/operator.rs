use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::kernels::FeatureMaps;
use crate::layer::FlattenOrder;
use crate::ops::step::{Affine, Step};

use super::buffers::Buffers;
use super::conv::Conv2d;
use super::dense::Dense;
use super::filters::Filters;
use super::pointwise::Pointwise;
use super::pool::Pool;
use super::tensors::Extent;

/// What a model keeps between runs: packed filters and memory.
#[derive(Debug, Default)]
pub(crate) struct Workspace {
    pub(super) filters: Filters,
    pub(super) buffers: Arc<Buffers>,
}

impl Workspace {
    /// Frees memory that recent passes over the network had no use for.
    pub(crate) fn begin_pass(&self) {
        self.buffers.begin_pass();
    }

    /// Frees the memory that is kept between passes.
    pub(crate) fn free_buffers(&self) {
        self.buffers.free();
    }
}

/// A step at its sizes.
#[derive(Debug)]
pub(super) enum Operator {
    Conv2d(Conv2d),
    Dense(Dense),
    Pool(Pool),
    Pointwise(Pointwise),
}

/// What a gradient is computed from, channels last.
pub(super) struct Backward<'a> {
    pub(super) workspace: &'a Workspace,
    pub(super) input: &'a [f32],
    pub(super) output: &'a [f32],
    pub(super) grad_output: &'a [f32],
    /// Where the gradient of the input is wanted.
    pub(super) grad_input: Option<&'a mut [f32]>,
}

/// A chain of operators at its sizes.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) operators: Vec<Operator>,
    /// The sizes of what the first step takes.
    pub(super) input: Extent,
    /// The sizes of the values between operators, `operators.len() + 1`.
    pub(super) extents: Vec<Extent>,
}

impl Chain {
    /// Steps at the sizes that follow from the input's; those that move
    /// nothing are left out.
    pub(super) fn new(input: Extent, steps: &[Step], training: bool) -> Result<Self> {
        let mut operators = Vec::with_capacity(steps.len());
        let mut extents = vec![input];
        let mut extent = input;
        for step in steps {
            let (operator, output) = resolve(extent, step, training)?;
            extent = output;
            match operator {
                Some(operator) => {
                    operators.push(operator);
                    extents.push(output);
                }
                None => {
                    if let Some(last) = extents.last_mut() {
                        *last = output;
                    }
                }
            }
        }
        Ok(Self {
            operators,
            input,
            extents,
        })
    }

    pub(super) fn output(&self) -> Extent {
        self.extents[self.operators.len()]
    }
}

fn resolve(extent: Extent, step: &Step, training: bool) -> Result<(Option<Operator>, Extent)> {
    let pool = |(pool, output)| (Some(Operator::Pool(pool)), output);
    let pointwise = |work| (Some(Operator::Pointwise(work)), extent);
    Ok(match step {
        Step::Conv2d(convolution, affine) => {
            let (conv, output) = Conv2d::new(extent, *convolution, affine, training)?;
            (Some(Operator::Conv2d(conv)), output)
        }
        Step::Dense(affine) => {
            let (dense, output) = Dense::new(extent, affine, training)?;
            (Some(Operator::Dense(dense)), output)
        }
        Step::MaxPool2d(window) => pool(Pool::max(extent, *window)?),
        Step::AvgPool2d(window) => pool(Pool::avg(extent, *window)?),
        Step::GlobalAvgPool2d => pool(Pool::global_avg(extent)?),
        Step::GlobalMaxPool2d => pool(Pool::global_max(extent)?),
        Step::AdaptiveAvgPool2d(bins) => match extent {
            Extent::Map { height, width, .. } if (height, width) == *bins => (None, extent),
            _ => pool(Pool::adaptive(extent, *bins)?),
        },
        Step::BatchNorm(norm) => pointwise(Pointwise::batch_norm(norm)?),
        Step::Relu => pointwise(Pointwise::Relu),
        Step::Dropout { rate, .. } if *rate == 0.0 => (None, extent),
        Step::Dropout { rate, seed } => pointwise(Pointwise::dropout(extent, *rate, *seed)),
        Step::Flatten(order) => flatten(extent, *order),
        Step::Watch(watch) => pointwise(Pointwise::watch(extent, watch)?),
    })
}

fn flatten(extent: Extent, order: FlattenOrder) -> (Option<Operator>, Extent) {
    let Extent::Map {
        batch,
        height,
        width,
        channels,
    } = extent
    else {
        return (None, extent);
    };
    let pixels = height * width;
    let output = Extent::Rows {
        batch,
        features: pixels * channels,
    };
    if order == FlattenOrder::Hwc || pixels == 1 || channels == 1 {
        return (None, output);
    }
    let work = Pointwise::ChannelsFirst(FeatureMaps {
        batch,
        pixels,
        channels,
    });
    (Some(Operator::Pointwise(work)), output)
}

impl Operator {
    /// Parameters whose gradients are recorded, in the order in which
    /// [`Operator::backward`] gives them.
    pub(super) fn tracked(&self) -> impl Iterator<Item = &Tensor> {
        let affine = match self {
            Self::Conv2d(conv) => Some(&conv.affine),
            Self::Dense(dense) => Some(&dense.affine),
            Self::Pool(_) | Self::Pointwise(_) => None,
        };
        affine.into_iter().flat_map(Affine::tracked)
    }

    pub(super) fn forward(
        &self,
        workspace: &Workspace,
        input: &[f32],
        output: &mut [f32],
    ) -> Result<()> {
        match self {
            Self::Conv2d(conv) => conv.forward(workspace, input, output),
            Self::Dense(dense) => dense.forward(input, output),
            Self::Pool(pool) => {
                pool.forward(input, output);
                Ok(())
            }
            Self::Pointwise(work) => {
                work.forward(input, output);
                Ok(())
            }
        }
    }

    /// Writes the gradient of the input if it is wanted, and gives those of
    /// the tracked parameters.
    pub(super) fn backward(&self, at: Backward<'_>) -> Result<Vec<Tensor>> {
        match self {
            Self::Conv2d(conv) => conv.backward(at),
            Self::Dense(dense) => dense.backward(at),
            Self::Pool(pool) => {
                pool.backward(at);
                Ok(Vec::new())
            }
            Self::Pointwise(work) => {
                work.backward(at);
                Ok(Vec::new())
            }
        }
    }
}

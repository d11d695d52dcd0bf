//! Chains of steps on the CPU, over the kernels: channels last inside.

mod buffers;
mod conv;
mod dense;
mod filters;
mod infer;
mod operator;
mod pointwise;
mod pool;
mod tape;
mod tensors;

pub(crate) use operator::Workspace;

use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::step::Step;
use infer::infer;
use operator::Chain;
use tensors::{Extent, channels_first_view, channels_last, copy_channels_last, with_slice};

/// Runs steps on `x`, f32 on the CPU; with `record`, the gradients of
/// parameters that are variables are recorded.
pub(super) fn run(
    workspace: &Arc<Workspace>,
    x: &Tensor,
    steps: &[Step],
    record: bool,
) -> Result<Tensor> {
    let mut chain = Chain::new(Extent::of(x)?, steps, record)?;
    let output = chain.output();
    let first = if x.track_op() {
        Some(0)
    } else if record {
        let mut operators = chain.operators.iter();
        operators.position(|operator| operator.tracked().next().is_some())
    } else {
        None
    };
    let Some(first) = first else {
        let input = channels_last(x)?;
        let mut data = vec![0.0; output.len()];
        with_slice(&input, |input| infer(workspace, &chain, input, &mut data))?;
        return channels_first_view(output, data);
    };
    let recorded = Chain {
        operators: chain.operators.split_off(first),
        input: chain.input,
        extents: chain.extents[first..].to_vec(),
    };
    let mut values = workspace.buffers.lend(chain.extents[first].len());
    if first == 0 {
        copy_channels_last(x, &mut values)?;
    } else {
        with_slice(&channels_last(x)?, |input| {
            infer(workspace, &chain, input, &mut values)
        })?;
    }
    tape::record(workspace, recorded, values, x.track_op().then_some(x))
}

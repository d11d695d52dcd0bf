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
use operator::Chain;
use tensors::{Extent, channels_first_view, channels_last, with_slice};

/// Runs steps on `x`, f32 on the CPU; with `record`, the gradients of
/// parameters that are variables are recorded.
pub(super) fn run(
    workspace: &Arc<Workspace>,
    x: &Tensor,
    steps: &[Step],
    record: bool,
) -> Result<Tensor> {
    workspace.buffers.begin_run();
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
    let input = channels_last(x)?;
    let Some(first) = first else {
        let data = with_slice(&input, |input| {
            infer::infer(workspace, &chain.operators, &chain.extents[1..], input)
        })?;
        return channels_first_view(output, data);
    };
    let recorded = chain.operators.split_off(first);
    let mut values = workspace.buffers.lend(chain.extents[first].len());
    with_slice(&input, |input| {
        let extents = &chain.extents[1..];
        let before = infer::infer(workspace, &chain.operators, extents, input)?;
        values.copy_from_slice(&before);
        Ok(())
    })?;
    let chain = Chain {
        operators: recorded,
        input: chain.input,
        extents: chain.extents.split_off(first),
    };
    tape::record(workspace, chain, values, x.track_op().then_some(x))
}

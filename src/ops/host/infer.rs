//! Running a chain of which nothing is kept.

use candle_core::Result;

use super::buffers::Buffer;
use super::conv::{Fused, stack};
use super::operator::{Chain, Operator, Workspace};
use super::pointwise::Pointwise;
use super::tensors::Extent;

/// Operators that run as one.
enum Unit<'a> {
    /// Convolutions with the batch norms, ReLUs and pools that follow them.
    Convolutions(Vec<Fused<'a>>),
    Single(&'a Operator, Extent),
}

impl Unit<'_> {
    fn output_len(&self) -> usize {
        match self {
            Self::Convolutions(convs) => convs.last().map_or(0, Fused::output_len),
            Self::Single(_, extent) => extent.len(),
        }
    }

    fn run(&self, workspace: &Workspace, input: &[f32], output: &mut [f32]) -> Result<()> {
        match self {
            Self::Convolutions(convs) => stack(workspace, convs, input, output),
            Self::Single(operator, _) => operator.forward(workspace, input, output),
        }
    }
}

/// Runs a chain's operators on `input` into `output`.
pub(super) fn infer(
    workspace: &Workspace,
    chain: &Chain,
    input: &[f32],
    output: &mut [f32],
) -> Result<()> {
    let units = units(&chain.operators, &chain.extents[1..]);
    let Some((last, before)) = units.split_last() else {
        output.copy_from_slice(input);
        return Ok(());
    };
    let mut held: Option<Buffer> = None;
    for unit in before {
        let mut value = workspace.buffers.lend(unit.output_len());
        unit.run(workspace, held.as_deref().unwrap_or(input), &mut value)?;
        held = Some(value);
    }
    last.run(workspace, held.as_deref().unwrap_or(input), output)
}

fn units<'a>(operators: &'a [Operator], extents: &[Extent]) -> Vec<Unit<'a>> {
    let mut units: Vec<Unit<'a>> = Vec::new();
    let mut index = 0;
    while let Some(operator) = operators.get(index) {
        let Some((fused, taken)) = fuse(&operators[index..]) else {
            units.push(Unit::Single(operator, extents[index]));
            index += 1;
            continue;
        };
        match units.last_mut() {
            Some(Unit::Convolutions(convs)) => convs.push(fused),
            _ => units.push(Unit::Convolutions(vec![fused])),
        }
        index += taken;
    }
    units
}

/// The convolution that the operators begin with and what it can apply as it
/// writes its output; how many operators that is.
fn fuse(operators: &[Operator]) -> Option<(Fused<'_>, usize)> {
    let Some((Operator::Conv2d(conv), after)) = operators.split_first() else {
        return None;
    };
    let mut fused = Fused {
        conv,
        affine: None,
        relu: conv.affine.relu,
        pool: false,
    };
    let mut rest = after;
    if let [
        Operator::Pointwise(Pointwise::Affine { scale, shift }),
        more @ ..,
    ] = rest
        && !fused.relu
    {
        fused.affine = Some((scale.clone(), shift.clone()));
        rest = more;
    }
    if let [Operator::Pointwise(Pointwise::Relu), more @ ..] = rest {
        fused.relu = true;
        rest = more;
    }
    if let [Operator::Pool(pool), more @ ..] = rest
        && pool.is_halving()
    {
        fused.pool = true;
        rest = more;
    }
    Some((fused, operators.len() - rest.len()))
}

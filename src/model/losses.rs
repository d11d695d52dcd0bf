use std::collections::HashSet;

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::graph::{NodeId, Pick};
use crate::layer::Activation;
use crate::ops::TapLoss;

use super::core::Model;
use super::program::{Lowering, Program, Request, compile, own_activation};

/// Losses at taps of a model, whose sum is taken in one pass.
pub(crate) struct TapLosses {
    losses: Vec<(Pick, TapLoss)>,
    /// Takes the losses on the way, where all layers can.
    program: Option<Program>,
}

impl Model {
    /// Prepares the sum of losses of features for inputs like `x`.
    pub(crate) fn losses_at(&self, losses: Vec<(Pick, TapLoss)>, x: &Tensor) -> Result<TapLosses> {
        let program = match self.last_on_the_way(&losses) {
            Some(last) if x.dims().first() == Some(&1) => {
                let losses: Vec<(NodeId, TapLoss)> = losses
                    .iter()
                    .map(|(pick, loss)| (pick.id, loss.clone()))
                    .collect();
                let request = Request {
                    input: self.accept(x)?,
                    is_tracked: true,
                    picks: &[Pick::whole(last)],
                    given: None,
                    losses: &losses,
                };
                Some(compile(Lowering::new(self, false), &request)?)
            }
            _ => None,
        };
        Ok(TapLosses { losses, program })
    }

    /// The last of the layers, if all can be tapped on one way from the input
    /// to it: in f32 on the CPU, through layers of one input each.
    fn last_on_the_way(&self, losses: &[(Pick, TapLoss)]) -> Option<NodeId> {
        let lowering = Lowering::new(self, false);
        let tapped: HashSet<NodeId> = losses.iter().map(|(pick, _)| pick.id).collect();
        let position = |id: &NodeId| self.graph().position(*id);
        let last = tapped.iter().filter_map(position).max()?;
        let way: Vec<_> = self.graph().nodes().take(last + 1).collect();
        let are_seen = way.windows(2).all(|pair| {
            let [before, node] = [pair[0], pair[1]];
            node.inputs() == [before.id()].as_slice()
                && lowering.is_instruction(node)
                && matches!(own_activation(node), Activation::Relu | Activation::Linear)
        });
        let means_values = losses
            .iter()
            .all(|(pick, _)| !pick.means_pre(self.graph().expect_node(pick.id)));
        let is_host = self.device().is_cpu() && self.dtype() == DType::F32;
        (are_seen && means_values && is_host && last > 0).then(|| way[last].id())
    }
}

impl TapLosses {
    /// The sum of the losses for `x`, a scalar, with its gradient.
    pub(crate) fn of(&self, model: &Model, x: &Tensor) -> Result<Tensor> {
        if let Some(program) = &self.program {
            model.workspace().begin_pass();
            return Ok(program.run(x, None)?.remove(0));
        }
        let picks: Vec<Pick> = self.losses.iter().map(|(pick, _)| *pick).collect();
        let values = model.run(x, &picks, false)?;
        let losses = self.losses.iter().zip(&values);
        let mut losses = losses.map(|((_, loss), value)| loss.of(value));
        let Some(first) = losses.next() else {
            return Ok(Tensor::zeros((), x.dtype(), x.device())?);
        };
        Ok(losses.try_fold(first?, |sum, loss| sum + loss?)?)
    }
}

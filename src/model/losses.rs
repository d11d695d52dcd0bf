use std::collections::HashSet;

use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::graph::{NodeId, Pick};
use crate::layer::Activation;
use crate::ops::TapLoss;

use super::core::Model;
use super::program::{Lowering, Program, Request, compile};

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
                let request = Request {
                    input: self.accept(x)?,
                    is_tracked: true,
                    picks: vec![Pick::whole(last)],
                    given: None,
                    training: false,
                };
                Some(compile(self, &request, &losses)?)
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
                && matches!(node.own_activation(), Activation::Relu | Activation::Linear)
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
            model.workspace.begin_pass();
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

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::graph::NodeRef;
    use crate::ops::Compared;
    use crate::vgg::Vgg16;

    /// Inside one pass, and from taps by candle's operators.
    #[test]
    fn both_ways_give_the_same_loss_and_gradient() {
        let graph = Vgg16::nano().truncate("block2_pool").unwrap();
        let model = graph.build(&Device::Cpu).unwrap();
        let image = |seed: f32| {
            let values: Vec<f32> = (0..3 * 32 * 24).map(|i| (i as f32 * seed).sin()).collect();
            Tensor::from_vec(values, (1, 3, 32, 24), &Device::Cpu).unwrap()
        };
        let losses = [
            ("block1_conv2", Compared::Features, 0.5),
            ("block1_conv2", Compared::Gram, 2.0),
            ("block2_conv1", Compared::Gram, 3.0),
        ]
        .map(|(layer, compared, weight)| {
            let target = model.forward_to(layer, &image(0.7)).unwrap();
            let target = match compared {
                Compared::Features => target,
                Compared::Gram => crate::ops::gram_matrix(&target).unwrap(),
            };
            let pick = layer.pick(model.graph()).unwrap();
            (pick, TapLoss::new(compared, target, weight).unwrap())
        });
        let x = Var::from_tensor(&image(0.3)).unwrap();
        let inside = model.losses_at(losses.to_vec(), &x).unwrap();
        assert!(inside.program.is_some());
        let outside = TapLosses {
            losses: losses.to_vec(),
            program: None,
        };
        let loss_and_gradient = |losses: &TapLosses| {
            // Twice the loss, so that the gradient that comes back counts.
            let loss = (losses.of(&model, &x).unwrap() * 2.0).unwrap();
            let gradient = loss.backward().unwrap().remove(&x).unwrap();
            let gradient = gradient.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            (loss.to_scalar::<f32>().unwrap(), gradient)
        };
        let (loss, gradient) = loss_and_gradient(&inside);
        let (expected, expected_gradient) = loss_and_gradient(&outside);
        assert!((loss - expected).abs() <= 1e-5 * expected.abs());
        let largest = expected_gradient.iter().fold(0f32, |m, g| m.max(g.abs()));
        assert!(largest > 0.0);
        for (actual, expected) in gradient.iter().zip(&expected_gradient) {
            // What the kernels' tests allow one layer.
            assert!((actual - expected).abs() <= 1e-5 * largest);
        }
    }
}

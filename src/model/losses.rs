use candle_core::{DType, Tensor};

use crate::error::Result;
use crate::graph::Pick;
use crate::ops::TapLoss;

use super::core::Model;
use super::program::{Program, Request, compile};

/// Losses at taps of a model. Their sum is computed in one pass.
pub(crate) struct TapLosses {
    losses: Vec<(Pick, TapLoss)>,
    /// Computes the losses with the layers, if one sequence can do both.
    program: Option<Program>,
}

impl Model {
    /// Prepares the sum of losses of features for inputs like `x`.
    pub(crate) fn losses_at(&self, losses: Vec<(Pick, TapLoss)>, x: &Tensor) -> Result<TapLosses> {
        let program = self.program_with(&losses, x)?;
        Ok(TapLosses { losses, program })
    }

    /// The program that computes the losses with the layers, if there is one:
    /// for one image in f32 on the CPU, with all taps in one sequence.
    fn program_with(&self, losses: &[(Pick, TapLoss)], x: &Tensor) -> Result<Option<Program>> {
        let graph = self.graph();
        let is_host = self.device().is_cpu() && self.dtype() == DType::F32;
        let is_pre = |pick: &Pick| pick.means_pre(graph.expect_node(pick.id));
        let picks = || losses.iter().map(|(pick, _)| pick);
        let last = picks().max_by_key(|pick| graph.position(pick.id));
        let (Some(last), Some(&1)) = (last, x.dims().first()) else {
            return Ok(None);
        };
        if !is_host || picks().any(is_pre) {
            return Ok(None);
        }
        let request = Request {
            input: self.accept(x)?,
            is_tracked: true,
            picks: vec![*last],
            given: None,
            training: false,
        };
        let program = compile(self, &request, losses)?;
        Ok(program.is_sequence_with(losses.len()).then_some(program))
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
            // Twice the loss: the gradient that comes back must count.
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

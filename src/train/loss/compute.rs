use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Storage, Tensor, bail};

use crate::data::{Batch, Targets};
use crate::error::{Error, Result, TrainingError};
use crate::graph::Graph;

use super::definition::{Loss, LossKind};
use super::formulas::{
    ExampleTargets, absolute, binary_cross_entropy, cross_entropy, huber, mean_of, squared,
};
use super::targets::{ScoreShape, ScoreTargets, f64_values};

pub(in crate::train) struct BatchLoss {
    pub(in crate::train) value: f64,
    /// Scalar whose gradient for the scores is the loss's gradient.
    pub(in crate::train) tensor: Tensor,
}

impl Loss {
    /// The loss as a scalar with a gradient, for a custom training loop: from
    /// logits `(N, K)` for the cross-entropies, from outputs `(N, ..)` for the
    /// other losses. `weights` is `(N)`.
    ///
    /// # Errors
    /// [`TrainingError::Targets`],
    /// [`Error::ClassOutOfRange`](crate::Error::ClassOutOfRange),
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting), and the errors of
    /// a custom loss.
    pub fn compute(
        &self,
        scores: &Tensor,
        targets: &Targets,
        weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        Ok(self.of_batch(scores, targets, weights)?.tensor)
    }

    /// The loss of a batch of examples from a network's first output. If there are
    /// several outputs, an error about targets names the first one.
    pub(in crate::train) fn of_network(
        &self,
        graph: &Graph,
        scores: &Tensor,
        batch: &Batch,
    ) -> Result<BatchLoss> {
        let loss = self.of_batch(scores, &batch.targets, batch.weights.as_ref());
        loss.map_err(|error| match (error, graph.output_names().as_slice()) {
            (
                Error::Training(TrainingError::Targets {
                    loss,
                    expected,
                    actual,
                }),
                [first, second, ..],
            ) => Error::Training(TrainingError::Targets {
                loss,
                expected: format!(
                    "{expected} for the first output \"{first}\" (with_outputs([\"{second}\", ..]) \
                     makes another the first)"
                ),
                actual,
            }),
            (error, _) => error,
        })
    }

    fn of_batch(
        &self,
        scores: &Tensor,
        targets: &Targets,
        weights: Option<&Tensor>,
    ) -> Result<BatchLoss> {
        self.check()?;
        if let LossKind::Custom(loss) = &self.kind {
            let tensor = loss(scores, targets)?;
            let value = scalar(&tensor)?;
            return Ok(BatchLoss { value, tensor });
        }
        let mut gradient = vec![0.0; scores.elem_count()];
        let value = self.value_and_gradient(scores, targets, weights, &mut gradient)?;
        let gradient = Tensor::from_vec(gradient, scores.shape(), &Device::Cpu)?
            .to_dtype(scores.dtype())?
            .to_device(scores.device())?;
        let tensor = with_gradient(scores, value, gradient)?;
        Ok(BatchLoss { value, tensor })
    }

    /// In f64, outside the network: there are few scores.
    fn value_and_gradient(
        &self,
        scores: &Tensor,
        targets: &Targets,
        weights: Option<&Tensor>,
        gradient: &mut [f64],
    ) -> Result<f64> {
        let shape = ScoreShape::of(scores, self.name())?;
        self.check_classes(&shape, targets)?;
        let values = f64_values(scores)?;
        let targets = ScoreTargets::new(self, targets, scores, shape)?;
        let example_weights = self.example_weights(weights, &shape)?;
        let mut sum = 0.0;
        let per_example = shape.per_example();
        for (example, weight) in example_weights.iter().enumerate() {
            let range = example * per_example..(example + 1) * per_example;
            let scores = &values[range.clone()];
            let part = &mut gradient[range];
            let own = &ExampleTargets {
                target: |score| targets.target(example, score),
                weight: |position| targets.weight(example, position),
            };
            let loss = match self.kind {
                LossKind::CrossEntropy => cross_entropy(scores, &shape, own, part),
                LossKind::BinaryCrossEntropy => {
                    mean_of(scores, &shape, own, part, binary_cross_entropy)
                }
                LossKind::MeanSquaredError => mean_of(scores, &shape, own, part, squared),
                LossKind::MeanAbsoluteError => mean_of(scores, &shape, own, part, absolute),
                LossKind::Huber(delta) => mean_of(scores, &shape, own, part, |score, target| {
                    huber(score, target, delta)
                }),
                LossKind::Custom(_) => 0.0,
            };
            let factor = weight / shape.batch as f64;
            sum += factor * loss;
            part.iter_mut().for_each(|value| *value *= factor);
        }
        Ok(sum)
    }

    fn example_weights(&self, weights: Option<&Tensor>, shape: &ScoreShape) -> Result<Vec<f64>> {
        match weights {
            Some(weights) if weights.dims() == [shape.batch] => f64_values(weights),
            Some(weights) => Err(TrainingError::Targets {
                loss: self.name(),
                expected: format!("weights ({}) of its examples", shape.batch),
                actual: format!("{:?}", weights.dims()),
            }
            .into()),
            None => Ok(vec![1.0; shape.batch]),
        }
    }
}

fn scalar(tensor: &Tensor) -> Result<f64> {
    match f64_values(tensor)?.as_slice() {
        [value] => Ok(*value),
        _ => Err(TrainingError::Targets {
            loss: "a custom loss",
            expected: "its closure to return a scalar".to_string(),
            actual: format!("{:?}", tensor.dims()),
        }
        .into()),
    }
}

pub(crate) fn with_gradient(scores: &Tensor, value: f64, gradient: Tensor) -> Result<Tensor> {
    if scores.device().is_cpu() {
        return Ok(scores.apply_op1(Precomputed { value, gradient })?);
    }
    let linear = (scores * &gradient)?.sum_all()?;
    let offset = linear.detach();
    Ok(((linear - offset)? + value)?)
}

/// A loss that was computed outside candle's operators.
struct Precomputed {
    value: f64,
    gradient: Tensor,
}

impl CustomOp1 for Precomputed {
    fn name(&self) -> &'static str {
        "loss"
    }

    fn cpu_fwd(
        &self,
        storage: &CpuStorage,
        _layout: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let value = Tensor::new(self.value, &Device::Cpu)?.to_dtype(storage.dtype())?;
        let (storage, _) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.clone(), Shape::from(()))),
            _ => bail!("a tensor made on the CPU is on the CPU"),
        }
    }

    fn bwd(
        &self,
        _scores: &Tensor,
        _loss: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<Option<Tensor>> {
        self.gradient.broadcast_mul(gradient).map(Some)
    }
}

use std::collections::HashMap;

use candle_core::{Tensor, Var};

use crate::error::{Result, TrainingError};
use crate::graph::{Node, NodeId};
use crate::model::Model;
use crate::ops;
use crate::optim::{Clip, Decay, OptimizerState, Update, non_negative};
use crate::train::settings::{ParameterGroup, Settings};

struct Trained {
    /// `layer.parameter`.
    name: String,
    variable: Var,
    /// The learning rate before the schedule.
    rate: f64,
    decay: Option<Decay>,
}

pub(super) struct TrainedParameters {
    parameters: Vec<Trained>,
    clip: Clip,
}

impl TrainedParameters {
    pub(super) fn of(model: &Model, settings: &Settings) -> Result<Self> {
        let later = later_layers(model);
        let mut parameters = Vec::new();
        for found in model.variables().filter(|variable| !variable.is_buffer) {
            let id = found.node.id();
            let groups = settings.groups.iter();
            let groups = groups.filter(|(nodes, _)| nodes.contains(&id));
            let group = groups.fold(ParameterGroup::new(), |group, (_, later)| {
                group.overridden_by(later)
            });
            let depth = later.get(&id).copied().unwrap_or(0);
            let base = settings.optimizer.learning_rate();
            let rate = group.rate(base) * settings.layer_decay.powi(depth);
            non_negative("a learning rate", rate)?;
            parameters.push(Trained {
                name: found.name,
                variable: found.variable.clone(),
                rate,
                decay: group.own_decay(),
            });
        }
        if parameters.is_empty() {
            return Err(TrainingError::NothingToTrain.into());
        }
        Ok(Self {
            parameters,
            clip: settings.clip,
        })
    }

    /// All learning rates are multiplied by `factor`. If a gradient or the step is
    /// not finite nothing changes. Returns whether the loss depends on a parameter
    /// that is trained.
    pub(super) fn descend(
        &self,
        loss: &Tensor,
        optimizer: &mut OptimizerState,
        factor: f64,
    ) -> Result<bool> {
        let mut gradients = ops::backward(loss)?;
        let mut found = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            if let Some(gradient) = gradients.take(&parameter.variable)? {
                found.push((parameter, gradient));
            }
        }
        let updates = found.iter().map(|(parameter, gradient)| Update {
            name: &parameter.name,
            variable: &parameter.variable,
            gradient,
            learning_rate: parameter.rate * factor,
            decay: parameter.decay,
        });
        optimizer.step(&updates.collect::<Vec<_>>(), self.clip)?;
        Ok(!found.is_empty())
    }
}

impl OptimizerState {
    /// Changes the trainable parameters of a model by one step: down the gradients
    /// of the loss, at the optimizer's learning rate. It is for a custom training
    /// loop; [`Trainer`](crate::Trainer) takes the same steps.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::optim::OptimizerState;
    /// use vgg_surgery::{Dense, Graph, Sgd};
    ///
    /// let graph = Graph::new("small", 2)?.attach(Dense::new(1).named("out"))?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let mut optimizer = OptimizerState::new(Sgd::new(0.1));
    /// let x = Tensor::ones((4, 2), DType::F32, &Device::Cpu)?;
    /// let loss = || -> vgg_surgery::Result<Tensor> {
    ///     Ok(model.forward_training(&x)?.affine(1.0, -3.0)?.sqr()?.mean_all()?)
    /// };
    /// let before = loss()?;
    /// optimizer.backward_step(&model, &before)?;
    /// assert!(loss()?.to_scalar::<f32>()? < before.to_scalar::<f32>()?);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`OptimizerState::step`];
    /// [`TrainingError::NothingToTrain`] if all layers with parameters are frozen;
    /// [`TrainingError::NoGradient`] if the loss depends on no trainable parameter of
    /// this model, as the loss of [`Model::forward`] or of a clone; and
    /// [`Error::Candle`](crate::Error::Candle) if the loss is not a scalar.
    pub fn backward_step(&mut self, model: &Model, loss: &Tensor) -> Result<()> {
        let settings = Settings {
            optimizer: self.optimizer().clone(),
            ..Settings::default()
        };
        let parameters = TrainedParameters::of(model, &settings)?;
        match parameters.descend(loss, self, 1.0)? {
            true => Ok(()),
            false => Err(TrainingError::NoGradient.into()),
        }
    }
}

/// For each layer with parameters, how many of these follow it.
fn later_layers(model: &Model) -> HashMap<NodeId, i32> {
    let nodes = model.graph().nodes().rev();
    let with_parameters = nodes.filter(|node| !node.parameters().is_empty());
    with_parameters.map(Node::id).zip(0..).collect()
}

use std::collections::HashMap;

use candle_core::{Tensor, Var};

use crate::error::{Result, TrainingError};
use crate::graph::{Node, NodeId};
use crate::model::Model;
use crate::ops;
use crate::optim::{Clip, Decay, OptimizerState, Update, is_finite, non_negative};
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

    /// All learning rates are multiplied by `factor`. If a gradient is not finite
    /// nothing changes, and its parameter's name is returned.
    pub(super) fn descend(
        &self,
        loss: &Tensor,
        optimizer: &mut OptimizerState,
        factor: f64,
    ) -> Result<Option<String>> {
        let mut gradients = ops::backward(loss)?;
        let mut found = Vec::with_capacity(self.parameters.len());
        for parameter in &self.parameters {
            if let Some(gradient) = gradients.take(&parameter.variable)? {
                if !is_finite(&gradient)? {
                    return Ok(Some(parameter.name.clone()));
                }
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
        Ok(None)
    }
}

/// For each layer with parameters, how many of these follow it.
fn later_layers(model: &Model) -> HashMap<NodeId, i32> {
    let nodes = model.graph().nodes().rev();
    let with_parameters = nodes.filter(|node| !node.parameters().is_empty());
    with_parameters.map(Node::id).zip(0..).collect()
}

use candle_core::Var;

use crate::error::{Result, TrainingError};
use crate::graph::{Node, NodeId};
use crate::model::Model;
use crate::optim::{Decay, non_negative};

use super::settings::Settings;

/// How some layers learn, where that differs from the rest.
///
/// ```
/// use vgg_surgery::{Decay, ParameterGroup};
///
/// let slow = ParameterGroup::new().scale(0.1).decay(Decay::None);
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use]
pub struct ParameterGroup {
    learning_rate: Option<f64>,
    scale: Option<f64>,
    decay: Option<Decay>,
}

impl ParameterGroup {
    /// As the rest.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the learning rate, which the schedule moves as the others.
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = Some(learning_rate);
        self
    }

    /// Sets what the learning rate is multiplied with.
    pub fn scale(mut self, scale: f64) -> Self {
        self.scale = Some(scale);
        self
    }

    /// Sets how weights are pulled towards zero.
    pub fn decay(mut self, decay: Decay) -> Self {
        self.decay = Some(decay);
        self
    }

    fn check(&self) -> Result<()> {
        for rate in [self.learning_rate, self.scale].into_iter().flatten() {
            non_negative("a group's learning rate", rate)?;
        }
        self.decay.map_or(Ok(()), Decay::check)
    }
}

/// A parameter that is trained, and how.
pub(super) struct Trained {
    /// `layer.parameter`.
    pub(super) name: String,
    pub(super) variable: Var,
    /// The learning rate before the schedule.
    pub(super) rate: f64,
    pub(super) decay: Option<Decay>,
}

/// All parameters that are not frozen. Of several groups that name a layer
/// each setting of a later one replaces an earlier one's.
pub(super) fn trained(model: &Model, settings: &Settings) -> Result<Vec<Trained>> {
    let depths = layers_behind(model);
    let mut trained = Vec::new();
    for found in model.variables().filter(|variable| !variable.is_buffer) {
        let mut group = ParameterGroup::new();
        for (nodes, own) in &settings.groups {
            own.check()?;
            if nodes.contains(&found.node.id()) {
                group = ParameterGroup {
                    learning_rate: own.learning_rate.or(group.learning_rate),
                    scale: own.scale.or(group.scale),
                    decay: own.decay.or(group.decay),
                };
            }
        }
        let base = settings.optimizer.learning_rate();
        let depth = depths.iter().find(|(id, _)| *id == found.node.id());
        let depth = depth.map_or(0, |(_, depth)| *depth);
        let rate = group.learning_rate.unwrap_or(base)
            * group.scale.unwrap_or(1.0)
            * settings.layer_decay.powi(depth);
        non_negative("a learning rate", rate)?;
        trained.push(Trained {
            name: found.name,
            variable: found.variable.clone(),
            rate,
            decay: group.decay,
        });
    }
    if trained.is_empty() {
        return Err(TrainingError::NothingToTrain.into());
    }
    Ok(trained)
}

/// How many layers with parameters follow each that has some.
fn layers_behind(model: &Model) -> Vec<(NodeId, i32)> {
    let nodes = model.graph().nodes().rev();
    let with_parameters = nodes.filter(|node| !node.parameters().is_empty());
    with_parameters.map(Node::id).zip(0..).collect()
}

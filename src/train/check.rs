use std::fmt;

use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Result, TrainingError};
use crate::graph::{Graph, Node, NodeId};
use crate::layer::{Activation, Layer};
use crate::model::Model;
use crate::preprocess::Labels;

use super::history::EpochRecord;
use super::loss::Loss;
use super::prepared::preprocessing_finding;
use super::run::Run;
use super::settings::Settings;
use super::trainer::Trainer;

/// Something a user should look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Finding {
    /// Every layer with parameters is frozen; `fit` refuses.
    NothingToTrain,
    /// An example's class is beyond the network's outputs; `fit` refuses.
    ClassOutOfRange {
        /// The example.
        index: usize,
        /// Its class.
        class: usize,
        /// Number of classes the network tells apart.
        classes: usize,
    },
    /// The network has more outputs than the data have classes.
    SpareOutputs {
        /// Classes in the data.
        data: usize,
        /// Outputs of the network.
        network: usize,
    },
    /// A class is called otherwise in the validation data, or has no name in
    /// one of the sets.
    OtherClasses {
        /// The class.
        class: usize,
        /// Its name in the training data.
        train: Option<String>,
        /// Its name in the validation data.
        validation: Option<String>,
    },
    /// A loss that takes logits gets probabilities.
    ProbabilitiesForLogits {
        /// The layer they come from.
        layer: String,
    },
    /// A loss of logits gets what an activation has already bent.
    ActivationOnLogits {
        /// The layer.
        layer: String,
        /// Its activation.
        activation: String,
    },
    /// A batch norm learns while layers around it are frozen, so that what
    /// they get is no longer what they were trained on.
    NormAmongFrozen {
        /// The batch norm.
        layer: String,
    },
    /// The data are pictures, but no preprocessing is known.
    NoPreprocessing,
    /// Pictures are prepared in another way than the weights ask for.
    OtherPreprocessing {
        /// What the weights ask for.
        expected: String,
        /// What is done.
        actual: String,
    },
    /// Tensors that lie outside of what the weights' preprocessing gives.
    InputRange {
        /// Least and largest value that it can give.
        expected: (f32, f32),
        /// Least and largest value of the first example.
        actual: (f32, f32),
    },
    /// The loss is still what guessing gives.
    LossOfChance {
        /// The loss of the last epoch.
        loss: f64,
        /// The logarithm of the number of classes.
        chance: f64,
    },
    /// A further output of the network, which the loss does not see: what it
    /// alone depends on is not trained.
    OutputNotSeen {
        /// The output.
        layer: String,
    },
    /// The loss of the validation data is NaN or infinite.
    ValidationNotFinite {
        /// The epoch after which it was found first.
        epoch: u64,
    },
    /// What frozen layers give is computed anew in every epoch.
    FeaturesNotKept {
        /// The layer whose output could have been kept.
        layer: String,
        /// Why it is not.
        reason: String,
    },
}

fn quoted(name: Option<&str>) -> String {
    name.map_or("nameless".to_string(), |name| format!("\"{name}\""))
}

impl Finding {
    fn fmt_of_classes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            &Self::ClassOutOfRange {
                index,
                class,
                classes,
            } => {
                let error = TrainingError::ClassOutOfRange {
                    index,
                    class,
                    classes,
                };
                write!(f, "{error}")
            }
            Self::SpareOutputs { data, network } => write!(
                f,
                "the network has {network} outputs, but the data only {data} classes"
            ),
            Self::OtherClasses {
                class,
                train,
                validation,
            } => {
                let (train, validation) = (quoted(train.as_deref()), quoted(validation.as_deref()));
                write!(
                    f,
                    "class {class} is {train} in the training data, but {validation} in the \
                     validation data"
                )
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingToTrain => write!(f, "{}", TrainingError::NothingToTrain),
            Self::ClassOutOfRange { .. }
            | Self::SpareOutputs { .. }
            | Self::OtherClasses { .. } => self.fmt_of_classes(f),
            Self::ProbabilitiesForLogits { layer } => write!(
                f,
                "the loss takes logits, but \"{layer}\" ends in a softmax or logistic function; \
                 leave one of them out"
            ),
            Self::ActivationOnLogits { layer, activation } => write!(
                f,
                "the loss takes logits, but \"{layer}\" applies {activation} to them; leave that \
                 out"
            ),
            Self::NormAmongFrozen { layer } => write!(
                f,
                "the batch norm \"{layer}\" learns while layers around it are frozen; freeze it too"
            ),
            Self::NoPreprocessing => write!(
                f,
                "the data are pictures, but the weights say nothing of preprocessing; give the graph \
                 one with with_preprocessing, or set the trainer's"
            ),
            Self::OtherPreprocessing { expected, actual } => write!(
                f,
                "the weights ask for {expected}, but pictures are prepared with {actual}"
            ),
            Self::InputRange { expected, actual } => write!(
                f,
                "the weights' preprocessing gives values from {} to {}, but the data are from {} \
                 to {}; prepare them as the weights ask for",
                expected.0, expected.1, actual.0, actual.1
            ),
            Self::LossOfChance { loss, chance } => write!(
                f,
                "the loss {loss:.4} is what guessing gives ({chance:.4}); look at labels, learning \
                 rate and preprocessing"
            ),
            Self::OutputNotSeen { layer } => write!(
                f,
                "the loss sees the first output alone, so that what only \"{layer}\" depends on is \
                 not trained"
            ),
            Self::ValidationNotFinite { epoch } => write!(
                f,
                "the validation loss is not finite after epoch {epoch}; look at the weights \
                 (Model::non_finite) and the data, or lower the learning rate"
            ),
            Self::FeaturesNotKept { layer, reason } => write!(
                f,
                "what \"{layer}\" gives is computed anew in every epoch: {reason}"
            ),
        }
    }
}

pub(super) fn check(trainer: &Trainer<'_>, train: &dyn Dataset) -> Result<Vec<Finding>> {
    let (model, settings) = (trainer.model(), &trainer.settings);
    let graph = model.graph();
    let mut findings = Vec::new();
    let is_trained = |node: &Node| !node.is_frozen() && !node.parameters().is_empty();
    if !graph.nodes().any(is_trained) {
        findings.push(Finding::NothingToTrain);
    }
    findings.extend(class_findings(graph, &settings.loss, train));
    findings.extend(loss_finding(graph, &settings.loss));
    findings.extend(norm_findings(graph));
    findings.extend(unseen_outputs(graph));
    findings.extend(preprocessing_finding(model, settings, train)?);
    findings.extend(trainer.run.findings.iter().cloned());
    Ok(findings)
}

/// Number of classes that the loss tells apart, if it is about classes.
fn class_count(graph: &Graph, loss: &Loss) -> Option<usize> {
    let outputs = graph.output_shapes().first()?.channels();
    loss.has_logits().then(|| match outputs {
        1 if !loss.is_cross_entropy() => 2,
        outputs => outputs,
    })
}

fn class_findings(graph: &Graph, loss: &Loss, train: &dyn Dataset) -> Option<Finding> {
    let classes = class_count(graph, loss)?;
    let known = (0..train.len()).filter_map(|index| Some((index, train.class_of(index)?)));
    let mut most: Option<usize> = None;
    for (index, class) in known {
        if class >= classes {
            return Some(Finding::ClassOutOfRange {
                index,
                class,
                classes,
            });
        }
        most = most.max(Some(class + 1));
    }
    let data = train.classes().map(|labels| labels.len()).or(most)?;
    (data < classes).then_some(Finding::SpareOutputs {
        data,
        network: classes,
    })
}

/// Refuses data of more classes than the network tells apart.
pub(super) fn check_targets(graph: &Graph, loss: &Loss, train: &dyn Dataset) -> Result<()> {
    match class_findings(graph, loss, train) {
        Some(Finding::ClassOutOfRange {
            index,
            class,
            classes,
        }) => Err(TrainingError::ClassOutOfRange {
            index,
            class,
            classes,
        }
        .into()),
        _ => Ok(()),
    }
}

/// The first class that two sets name otherwise.
pub(super) fn other_classes(train: &dyn Dataset, validation: &dyn Dataset) -> Option<Finding> {
    let (own, other) = (train.classes()?, validation.classes()?);
    let name = |labels: &Labels, class| labels.get(class).map(|label| label.name.to_string());
    let mut names =
        (0..own.len().max(other.len())).map(|class| (class, name(own, class), name(other, class)));
    let (class, train, validation) = names.find(|(_, own, other)| own != other)?;
    Some(Finding::OtherClasses {
        class,
        train,
        validation,
    })
}

fn loss_finding(graph: &Graph, loss: &Loss) -> Option<Finding> {
    if !loss.has_logits() {
        return None;
    }
    let output = graph.expect_node(*graph.outputs().first()?);
    let layer = output.name().to_string();
    let undone = match loss.is_cross_entropy() {
        true => Activation::Softmax,
        false => Activation::Sigmoid,
    };
    match output.layer().activation() {
        Activation::Linear => None,
        activation if activation == undone && !loss.is_from_logits() => None,
        Activation::Softmax | Activation::Sigmoid => {
            Some(Finding::ProbabilitiesForLogits { layer })
        }
        activation => Some(Finding::ActivationOnLogits {
            layer,
            activation: activation.to_string(),
        }),
    }
}

fn norm_findings(graph: &Graph) -> Vec<Finding> {
    let frozen: Vec<&Node> = graph
        .nodes()
        .filter(|node| node.is_frozen() && !node.parameters().is_empty())
        .collect();
    let norms = graph
        .nodes()
        .filter(|node| matches!(node.layer(), Layer::BatchNorm2d(_)) && !node.is_frozen());
    let norms = norms.filter(|norm| {
        let is_pretrained = norm.parameters().iter().any(|p| !p.origin.is_new());
        let follows = |node: &&Node| is_before(graph, norm.id(), node.id());
        let precedes = |node: &&Node| is_before(graph, node.id(), norm.id());
        frozen.iter().any(follows) || (is_pretrained && frozen.iter().any(precedes))
    });
    let found = norms.map(|norm| Finding::NormAmongFrozen {
        layer: norm.name().to_string(),
    });
    found.collect()
}

/// Outputs behind the first.
pub(super) fn unseen_outputs(graph: &Graph) -> impl Iterator<Item = Finding> {
    let further = graph.outputs().iter().skip(1);
    further.map(|&id| Finding::OutputNotSeen {
        layer: graph.expect_node(id).name().to_string(),
    })
}

fn is_before(graph: &Graph, first: NodeId, last: NodeId) -> bool {
    let mut pending = vec![last];
    let mut seen = std::collections::HashSet::new();
    while let Some(id) = pending.pop() {
        let node = graph.expect_node(id);
        if node.inputs().contains(&first) {
            return true;
        }
        if seen.insert(id) {
            pending.extend(node.inputs());
        }
    }
    false
}

/// Labels of the data become the model's.
pub(super) fn adopt_labels(model: &mut Model, train: &dyn Dataset) -> Result<()> {
    match train.classes() {
        Some(labels) => model.adopt_labels(labels),
        None => Ok(()),
    }
}

/// Notes a validation loss that was not finite, and a loss that training has
/// not brought below that of guessing.
pub(super) fn look_back(run: &mut Run, settings: &Settings, graph: &Graph) {
    let broken = |epoch: &&EpochRecord| {
        let validation = epoch.validation.as_ref();
        validation.is_some_and(|validation| !validation.loss.is_finite())
    };
    if let Some(epoch) = run.epochs.iter().find(broken).map(|epoch| epoch.epoch) {
        run.note(Finding::ValidationNotFinite { epoch });
    }
    run.findings
        .retain(|finding| !matches!(finding, Finding::LossOfChance { .. }));
    let Some(last) = run.epochs.last() else {
        return;
    };
    let loss = last.train.loss;
    if run.epochs.len() < 2 || !settings.loss.is_cross_entropy() {
        return;
    }
    let Some(classes) = class_count(graph, &settings.loss) else {
        return;
    };
    let chance = (classes as f64).ln();
    if (loss - chance).abs() <= 0.01 * chance {
        run.note(Finding::LossOfChance { loss, chance });
    }
}

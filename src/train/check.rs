use candle_core::Tensor;

use crate::data::{Dataset, Targets};
use crate::error::{Error, Result, TrainingError};
use crate::graph::{Graph, Node, NodeId};
use crate::layer::{Activation, Layer};
use crate::model::Model;
use crate::preprocess::Labels;
use crate::shape::Shape;

use super::finding::Finding;
use super::history::EpochRecord;
use super::learner::scores_of;
use super::loss::Loss;
use super::metrics::Tally;
use super::prepared::preprocessing_finding;
use super::run::Run;
use super::settings::Settings;
use super::trainer::Trainer;

pub(super) fn check(trainer: &Trainer<'_>, train: &dyn Dataset) -> Result<Vec<Finding>> {
    let (model, settings) = (trainer.model(), &trainer.settings);
    let graph = model.graph();
    let mut findings = Vec::new();
    let is_trained = |node: &Node| !node.is_frozen() && !node.parameters().is_empty();
    if !graph.nodes().any(is_trained) {
        findings.push(Finding::NothingToTrain);
    }
    findings.extend(class_findings(graph, &settings.loss, train));
    if let Some(finding) = refusal(model, settings, train)?
        && !findings.contains(&finding)
    {
        findings.push(finding);
    }
    findings.extend(loss_finding(graph, &settings.loss));
    findings.extend(norm_findings(graph));
    findings.extend(unseen_outputs(graph));
    findings.extend(preprocessing_finding(model, settings, train)?);
    findings.extend(trainer.run.findings.iter().cloned());
    Ok(findings)
}

/// What `fit` refuses before its first step, but for what only the output's
/// values decide.
fn refusal(model: &Model, settings: &Settings, train: &dyn Dataset) -> Result<Option<Finding>> {
    let checked = settings
        .check()
        .and_then(|()| settings.check_examples(train));
    let shape = model.graph().output_shapes().first().copied();
    let outcome = match (checked, shape.and_then(batch_of_one)) {
        (Ok(()), Some(dims)) if !train.is_empty() => {
            let targets = Targets::of_one(train.sample(0)?.target, model.device())?;
            let scores = Tensor::zeros(dims, model.dtype(), model.device())?;
            let settings = settings.suited(model, train)?;
            let loss = settings.loss.grade(&scores, &targets, None);
            loss.and_then(|loss| {
                let scores = scores_of(&scores, &targets, &settings.loss);
                Tally::default().count(settings.metrics(), loss.value, &scores)
            })
        }
        (checked, _) => checked,
    };
    Ok(outcome.err().map(|error| match error {
        Error::Training(TrainingError::ClassOutOfRange {
            index,
            class,
            classes,
        }) => Finding::ClassOutOfRange {
            index,
            class,
            classes,
        },
        error => Finding::Refused {
            reason: error.to_string(),
        },
    }))
}

/// The dimensions of an output for one example, if its size is known.
fn batch_of_one(shape: Shape) -> Option<Vec<usize>> {
    match shape {
        Shape::Vector { features } => Some(vec![1, features]),
        Shape::Map { channels, .. } => {
            let (height, width) = shape.size()?;
            Some(vec![1, channels, height, width])
        }
    }
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
    first != last && graph.ancestors(&[last]).contains(&first)
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

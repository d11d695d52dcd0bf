//! What is or was wrong with a training: classes, layers or preprocessing that do
//! not fit, and losses that show it.

use candle_core::{DType, Device, Tensor};

use crate::data::{Dataset, SampleInput};
use crate::error::Result;
use crate::graph::{Graph, Node};
use crate::layers::{Activation, Layer};
use crate::model::Model;
use crate::preprocess::{Image, Labels, Preprocessing};
use crate::train::history::{EpochRecord, Finding, Progress};
use crate::train::loss::Loss;

/// `None` unless the loss is about classes. The loss itself refuses a single output
/// that it can't take, and says what to do.
fn class_count(graph: &Graph, loss: &Loss) -> Option<usize> {
    let outputs = graph.output_shapes().first()?.channels();
    loss.has_logits().then_some(outputs.max(2))
}

pub(super) fn classes_finding(graph: &Graph, loss: &Loss, data: &dyn Dataset) -> Option<Finding> {
    let classes = class_count(graph, loss)?;
    let known = (0..data.len()).filter_map(|index| Some((index, data.class_of(index)?)));
    let mut count: Option<usize> = None;
    for (index, class) in known {
        if class >= classes {
            return Some(Finding::ClassOutOfRange {
                index,
                class,
                classes,
            });
        }
        count = count.max(Some(class + 1));
    }
    if data.labels_of(0).is_some() {
        // One output for each label: the loss refuses another number.
        return None;
    }
    let count = data.classes().map(|labels| labels.len()).or(count)?;
    (count < classes).then_some(Finding::SpareOutputs {
        data: count,
        network: classes,
    })
}

/// Refuses data with more classes than the network distinguishes.
pub(in crate::train) fn check_classes(
    graph: &Graph,
    loss: &Loss,
    data: &dyn Dataset,
) -> Result<()> {
    match classes_finding(graph, loss, data).and_then(|finding| finding.class_error()) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

pub(in crate::train) fn early_findings(
    graph: &Graph,
    train: &dyn Dataset,
    validation: Option<&dyn Dataset>,
) -> impl Iterator<Item = Finding> {
    let names = validation.and_then(|data| class_names_finding(train, data));
    names.into_iter().chain(output_findings(graph))
}

fn class_names_finding(train: &dyn Dataset, validation: &dyn Dataset) -> Option<Finding> {
    let (train, validation) = (train.classes()?, validation.classes()?);
    let name = |labels: &Labels, class| labels.get(class).map(|label| label.name.to_string());
    let count = train.len().max(validation.len());
    let findings = (0..count).map(|class| (class, name(train, class), name(validation, class)));
    let mut differing = findings.filter(|(_, train, validation)| train != validation);
    let (class, train, validation) = differing.next()?;
    Some(Finding::OtherClasses {
        class,
        train,
        validation,
    })
}

pub(super) fn activation_finding(graph: &Graph, loss: &Loss) -> Option<Finding> {
    let undone = loss.undone_activation()?;
    let output = graph.expect_node(*graph.outputs().first()?);
    let layer = output.name().to_string();
    match output.layer().activation() {
        Activation::Linear => None,
        activation if activation == undone && !loss.is_from_logits() => None,
        Activation::Sigmoid if loss.is_cross_entropy() && !loss.is_from_logits() => {
            Some(Finding::SigmoidUnderCrossEntropy { layer })
        }
        Activation::Softmax | Activation::Sigmoid => {
            Some(Finding::ProbabilitiesForLogits { layer })
        }
        activation => Some(Finding::ActivationOnLogits {
            layer,
            activation: activation.to_string(),
        }),
    }
}

/// Batch norms that learn while layers after them are frozen, or pretrained ones
/// after frozen layers.
pub(super) fn norm_findings(graph: &Graph) -> Vec<Finding> {
    let is_norm = |node: &&Node| matches!(node.layer(), Layer::BatchNorm2d(_));
    let norms = graph.nodes().filter(is_norm);
    let found = norms.filter(|norm| !norm.is_frozen() && is_among_frozen(graph, norm));
    let found = found.map(|norm| Finding::NormAmongFrozen {
        layer: norm.name().to_string(),
    });
    found.collect()
}

fn is_among_frozen(graph: &Graph, norm: &Node) -> bool {
    let is_pretrained = norm.parameters().iter().any(|p| !p.is_new());
    let (before, after) = (graph.ancestors(&[norm.id()]), graph.descendants(norm.id()));
    let is_frozen = |node: &&Node| node.is_frozen() && !node.parameters().is_empty();
    graph
        .nodes()
        .filter(is_frozen)
        .any(|node| after.contains(&node.id()) || (is_pretrained && before.contains(&node.id())))
}

/// Outputs after the first, which the loss does not read, and layers that read
/// the output of a classifier.
pub(super) fn output_findings(graph: &Graph) -> impl Iterator<Item = Finding> {
    let readers = graph.score_readers().into_iter();
    let readers = readers.map(|found| Finding::ReadsScores {
        layer: found.reader.name().to_string(),
        classifier: found.classifier.name().to_string(),
    });
    let further = graph.outputs().iter().skip(1);
    let further = further.map(|&id| Finding::OutputNotSeen {
        layer: graph.expect_node(id).name().to_string(),
        first: graph.expect_node(graph.outputs()[0]).name().to_string(),
    });
    further.chain(readers)
}

/// `requested` is the preprocessing set on the trainer.
pub(super) fn preprocessing_finding(
    model: &Model,
    requested: Option<&Preprocessing>,
    train: &dyn Dataset,
) -> Result<Option<Finding>> {
    if train.is_empty() {
        return Ok(None);
    }
    let own = model.graph().preprocessing();
    let tensor = match train.sample(0)?.input {
        SampleInput::Image(_) => {
            return Ok(match (own, requested) {
                (None, None) => Some(Finding::NoPreprocessing),
                (Some(own), Some(used)) if normalization(own) != normalization(used) => {
                    Some(Finding::OtherPreprocessing {
                        expected: normalization(own),
                        actual: normalization(used),
                    })
                }
                _ => None,
            });
        }
        SampleInput::Tensor(tensor) => tensor,
    };
    let Some(own) = own else {
        return Ok(None);
    };
    let darkest_and_brightest = Image::from_rgb8(2, 1, vec![0, 0, 0, 255, 255, 255])?;
    let expected = own.clone().without_resize().apply(&darkest_and_brightest)?;
    let (expected, actual) = (range(&expected)?, range(&tensor)?);
    Ok(
        is_out_of_range(&expected, &actual).then_some(Finding::InputRange {
            expected: (expected.low, expected.high),
            actual: (actual.low, actual.high),
        }),
    )
}

/// Describes everything except the resize.
fn normalization(preprocessing: &Preprocessing) -> String {
    format!(
        "{:?} {:?}, mean {:?}, deviation {:?}",
        preprocessing.channel_order(),
        preprocessing.range(),
        preprocessing.mean(),
        preprocessing.std()
    )
}

struct Range {
    low: f32,
    high: f32,
}

fn range(tensor: &Tensor) -> Result<Range> {
    let values = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
    let values: Vec<f32> = values.flatten_all()?.to_vec1()?;
    Ok(Range {
        low: values.iter().copied().fold(f32::INFINITY, f32::min),
        high: values.iter().copied().fold(f32::NEG_INFINITY, f32::max),
    })
}

/// Whether the values exceed the range, or fill so little of it that they must
/// have another scale: 0 to 1 instead of 0 to 255.
fn is_out_of_range(expected: &Range, actual: &Range) -> bool {
    let width = expected.high - expected.low;
    let slack = width * 1e-3;
    actual.low < expected.low - slack
        || actual.high > expected.high + slack
        || actual.high - actual.low < width * 0.02
}

/// Notes a validation loss that was not finite, and a loss that is still no
/// better than guessing.
pub(in crate::train) fn look_back(progress: &mut Progress, loss: &Loss, graph: &Graph) {
    let is_broken = |record: &&EpochRecord| {
        let validation = record.validation.as_ref();
        validation.is_some_and(|validation| !validation.loss.is_finite())
    };
    if let Some(epoch) = progress
        .epochs
        .iter()
        .find(is_broken)
        .map(|record| record.epoch)
    {
        progress.note(Finding::ValidationNotFinite { epoch });
    }
    if let Some(finding) = chance_finding(&progress.epochs, loss, graph) {
        progress.note(finding);
    }
}

fn chance_finding(epochs: &[EpochRecord], loss: &Loss, graph: &Graph) -> Option<Finding> {
    if epochs.len() < 2 || !loss.is_cross_entropy() {
        return None;
    }
    let chance = (class_count(graph, loss)? as f64).ln();
    let loss = epochs.last()?.train.loss;
    let is_close = (loss - chance).abs() <= 0.01 * chance;
    is_close.then_some(Finding::LossOfChance { loss, chance })
}

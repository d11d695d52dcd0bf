//! Whether the classes of data and network fit.

use crate::data::Dataset;
use crate::graph::Graph;
use crate::preprocess::Labels;
use crate::train::history::Finding;
use crate::train::loss::Loss;

/// Number of classes that the network distinguishes, if the loss is about
/// classes.
pub(super) fn class_count(graph: &Graph, loss: &Loss) -> Option<usize> {
    let outputs = graph.output_shapes().first()?.channels();
    loss.has_logits().then(|| match outputs {
        1 if !loss.is_cross_entropy() => 2,
        outputs => outputs,
    })
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
    let count = data.classes().map(|labels| labels.len()).or(count)?;
    (count < classes).then_some(Finding::SpareOutputs {
        data: count,
        network: classes,
    })
}

/// The first class that has another name in the validation data.
pub(in crate::train) fn class_names_finding(
    train: &dyn Dataset,
    validation: &dyn Dataset,
) -> Option<Finding> {
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

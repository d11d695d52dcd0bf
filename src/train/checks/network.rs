//! Whether the network fits the training: its outputs and its batch norms.

use crate::graph::{Graph, Node};
use crate::layer::{Activation, Layer};
use crate::train::history::Finding;
use crate::train::loss::Loss;

/// An activation at the end that the loss does not expect.
pub(super) fn activation_finding(graph: &Graph, loss: &Loss) -> Option<Finding> {
    let undone = loss.undone_activation()?;
    let output = graph.expect_node(*graph.outputs().first()?);
    let layer = output.name().to_string();
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
    let before = graph.ancestors(&[norm.id()]);
    let is_frozen = |node: &&Node| node.is_frozen() && !node.parameters().is_empty();
    graph.nodes().filter(is_frozen).any(|node| {
        (is_pretrained && before.contains(&node.id()))
            || graph.ancestors(&[node.id()]).contains(&norm.id())
    })
}

/// Outputs after the first, which the loss does not read.
pub(in crate::train) fn output_findings(graph: &Graph) -> impl Iterator<Item = Finding> {
    let further = graph.outputs().iter().skip(1);
    further.map(|&id| Finding::OutputNotSeen {
        layer: graph.expect_node(id).name().to_string(),
    })
}

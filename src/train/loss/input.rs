//! Which value of a network the loss reads.

use crate::graph::{Graph, Part, Pick};

use super::definition::Loss;

/// The first output. If that ends in the activation that turns the loss's logits
/// into probabilities, the value before this activation.
pub(in crate::train) fn loss_input(graph: &Graph, loss: &Loss) -> Pick {
    let output = graph.expect_node(graph.outputs()[0]);
    let is_undone = loss.undone_activation() == Some(output.layer().activation());
    match (output.layer(), output.inputs()) {
        _ if !is_undone || loss.is_from_logits() => Pick::whole(output.id()),
        (layer, &[input]) if layer.rules().passes_input_on() => Pick::whole(input),
        _ => Pick {
            id: output.id(),
            part: Part::Pre,
        },
    }
}

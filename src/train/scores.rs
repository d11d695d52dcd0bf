//! Which value of a network the loss is taken of.

use crate::graph::{Graph, Part, Pick};
use crate::layer::{Activation, Layer};

use super::loss::{Loss, Takes};

/// The value of the first output that this loss takes.
pub(super) fn pick(graph: &Graph, loss: &Loss) -> Pick {
    let output = graph.expect_node(graph.outputs()[0]);
    let undone = match loss.takes() {
        Takes::BeforeSoftmax => Activation::Softmax,
        Takes::BeforeSigmoid => Activation::Sigmoid,
        Takes::Output => return Pick::whole(output.id()),
    };
    if output.layer().activation() != undone {
        return Pick::whole(output.id());
    }
    match (output.layer(), output.inputs()) {
        (Layer::Activation(_), &[input]) => Pick::whole(input),
        _ => Pick {
            id: output.id(),
            part: Part::Pre,
        },
    }
}

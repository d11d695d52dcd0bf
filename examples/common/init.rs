//! Initial values of untrained networks.

use vgg_surgery::layers::{Init, Layer};
use vgg_surgery::{Conv2d, Graph, Result};

/// Replaces all convolutions by new ones with this initialization.
pub fn with_new_convolutions(mut graph: Graph, init: impl Fn(&Conv2d) -> Init) -> Result<Graph> {
    for node in graph.clone().nodes() {
        if let Layer::Conv2d(conv) = node.layer() {
            let conv = conv.clone().kernel_init(init(conv));
            graph = graph.replace(node.name(), conv)?;
        }
    }
    Ok(graph)
}

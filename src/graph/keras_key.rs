//! What Keras calls a parameter, and how it lays it out, for any layer.

use super::core::Graph;
use super::node::NodeId;
use super::weight_key::{Layout, WeightKey};
use crate::layers::{FlattenOrder, Layer};

/// Keras' name of a parameter, within its layer.
pub(crate) fn keras_name(layer: &Layer, parameter: &str) -> Option<&'static str> {
    Some(match (layer, parameter) {
        (Layer::Conv2d(_) | Layer::Dense(_), "weight") => "kernel",
        (Layer::Conv2d(_) | Layer::Dense(_), "bias") => "bias",
        (Layer::BatchNorm2d(_), "weight") => "gamma",
        (Layer::BatchNorm2d(_), "bias") => "beta",
        (Layer::BatchNorm2d(_), "running_mean") => "moving_mean",
        (Layer::BatchNorm2d(_), "running_var") => "moving_variance",
        _ => return None,
    })
}

/// `layer/kernel` in Keras' layout; `None` if no layout turns its values into
/// values of this graph.
pub(super) fn keras_key(graph: &Graph, id: NodeId, parameter: &str) -> Option<WeightKey> {
    let node = graph.find(id)?;
    let input = *node.inputs().first()?;
    let layout = match (node.layer(), parameter) {
        (Layer::Conv2d(_), "weight") => Layout::Hwio,
        (Layer::Dense(_), "weight") => layout_behind(graph, input)?,
        (Layer::BatchNorm2d(_), _) => {
            Some(Layout::AsIs).filter(|_| layout_behind(graph, input) == Some(Layout::InOut))?
        }
        _ => Layout::AsIs,
    };
    let name = keras_name(node.layer(), parameter)?;
    Some(WeightKey {
        name: format!("{}/{name}", node.name()),
        layout,
    })
}

/// How Keras lays out the kernel of a dense layer behind this one, since it
/// flattens feature maps with the channels innermost. `None` if the order of the
/// values is not known.
fn layout_behind(graph: &Graph, mut id: NodeId) -> Option<Layout> {
    loop {
        let node = graph.find(id)?;
        let before = match node.layer() {
            Layer::Flatten(flatten) => {
                let input = graph.find(*node.inputs().first()?)?;
                let (channels, size) = (input.shape().channels(), input.shape().size());
                match size {
                    Some((height, width)) if flatten.order == FlattenOrder::Chw => {
                        return Some(Layout::InOutHwc {
                            channels,
                            height,
                            width,
                        });
                    }
                    Some(_) => return Some(Layout::InOut),
                    // It does nothing to a vector.
                    None => node.inputs(),
                }
            }
            Layer::Add(_) | Layer::Concat(_) | Layer::Custom(_) => return None,
            layer if layer.rules().is_elementwise() => node.inputs(),
            _ => return Some(Layout::InOut),
        };
        id = *before.first()?;
    }
}

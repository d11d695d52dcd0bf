use std::collections::HashMap;

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Graph, Node, NodeId};
use crate::layers::{FlattenOrder, Layer};
use crate::shape::Shape;

/// The order of a layer's output values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The library's own order.
    Plain,
    Flattened(Flattened),
    /// Values of several feature maps, in no single order.
    Mixed,
}

/// The values of one flattened feature map.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Flattened {
    channels: usize,
    height: usize,
    width: usize,
    order: FlattenOrder,
}

impl Flattened {
    /// Reshapes the last dimension to `(C, H, W)`.
    pub(super) fn spread(self, tensor: &Tensor) -> Result<Tensor> {
        let Self {
            channels,
            height,
            width,
            order,
        } = self;
        let (mut dims, rank) = (tensor.dims().to_vec(), tensor.rank() - 1);
        dims.truncate(rank);
        Ok(match order {
            FlattenOrder::Chw => {
                dims.extend([channels, height, width]);
                tensor.reshape(dims)?
            }
            FlattenOrder::Hwc => {
                dims.extend([height, width, channels]);
                let axes = (0..rank).chain([rank + 2, rank, rank + 1]);
                tensor.reshape(dims)?.permute(axes.collect::<Vec<_>>())?
            }
        })
    }

    /// Reorders a vector's values, one for each feature.
    pub(super) fn reordered(self, values: &Tensor, order: FlattenOrder) -> Result<Tensor> {
        if order == self.order {
            return Ok(values.clone());
        }
        let map = self.spread(values)?;
        Ok(match order {
            FlattenOrder::Chw => map.flatten_all()?,
            FlattenOrder::Hwc => map.permute((1, 2, 0))?.flatten_all()?,
        })
    }
}

/// The order of each layer's output values, for a library that flattens feature
/// maps in the order `own`.
pub(super) fn orders(graph: &Graph, own: FlattenOrder) -> HashMap<NodeId, Order> {
    let mut orders = HashMap::new();
    for node in graph.nodes() {
        let order = order_of(graph, node, own, &orders);
        orders.insert(node.id(), order);
    }
    orders
}

fn order_of(
    graph: &Graph,
    node: &Node,
    own: FlattenOrder,
    orders: &HashMap<NodeId, Order>,
) -> Order {
    let inputs = node.inputs().iter().map(|input| orders[input]);
    let first = inputs.clone().next().unwrap_or(Order::Plain);
    let is_own = |order: Order| match order {
        Order::Plain => true,
        Order::Flattened(flattened) => flattened.order == own,
        Order::Mixed => false,
    };
    let joined = || {
        if inputs.clone().all(is_own) {
            Order::Plain
        } else {
            Order::Mixed
        }
    };
    match node.layer() {
        Layer::Flatten(flatten) => {
            let before = graph.node(node.inputs()[0]).map(|node| node.shape());
            match before {
                Ok(shape @ Shape::Map { channels, .. }) => {
                    let Some((height, width)) = shape.size() else {
                        return Order::Plain;
                    };
                    let is_same = channels == 1 || (height, width) == (1, 1);
                    let order = if is_same { own } else { flatten.order };
                    Order::Flattened(Flattened {
                        channels,
                        height,
                        width,
                        order,
                    })
                }
                _ => first,
            }
        }
        layer if layer.rules().is_elementwise() => first,
        Layer::Add(_) if inputs.clone().all(|order| order == first) => first,
        Layer::Add(_) | Layer::Concat(_) | Layer::Custom(_) => joined(),
        _ => Order::Plain,
    }
}

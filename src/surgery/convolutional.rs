use std::collections::HashSet;

use crate::error::Result;
use crate::graph::{Contract, EditContext, Graph, Node, NodeId};
use crate::layers::{Activation, Conv2d, Dense, FlattenOrder, Layer};
use crate::model::{Draft, Model};
use crate::shape::Shape;

impl Model {
    /// Turns the dense layers after a flatten into convolutions. The network
    /// then takes images of the size it was trained on and of any larger size.
    /// The first dense layer becomes a filter as large as the flattened feature
    /// map, the others become 1x1 (Long, Shelhamer and Darrell 2015). An
    /// adaptive pool before the flatten is removed, and the input's size is left
    /// open.
    ///
    /// The output becomes a feature map `(N, classes, H, W)`. It has one pixel at
    /// the size at which the adaptive pool changed nothing (224x224 for VGG).
    ///
    /// Contract: exact at that size. At larger sizes each pixel has the value
    /// that the old network computes for its part of the image, except for the
    /// effect of padding.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(10).untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?.to_fully_convolutional()?;
    /// let x = Tensor::zeros((1, 3, 256, 288), DType::F32, &Device::Cpu)?;
    /// assert_eq!(model.forward(&x)?.dims(), [1, 10, 2, 3]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) if there is not exactly
    /// one flatten; if a layer other than a dense layer, a dropout or an
    /// activation reads it; if a layer after the first dense layer is none of
    /// these and no norm, sum or concatenation; and if the adaptive pool changes
    /// the size of its input.
    pub fn to_fully_convolutional(&self) -> Result<Self> {
        let what = "to_fully_convolutional()";
        self.redraft(what, Contract::Exact, |draft| {
            let ids = draft.ids();
            let flattens = draft.ids_where(|node| matches!(node.layer(), Layer::Flatten(_)));
            let flatten = match *flattens.as_slice() {
                [flatten] => flatten,
                [] => return Err(draft.illegal(ids[ids.len() - 1], "no flatten comes before it")),
                [first, ..] => return Err(draft.illegal(first, "it is one of several flattens")),
            };
            convert_dense(draft, flatten)?;
            take_out(draft, flatten)?;
            let any = Shape::any_size(draft.input_shape().channels());
            draft.set_input(any);
            Ok(())
        })
    }
}

fn convert_dense(draft: &mut Draft<'_>, flatten: NodeId) -> Result<()> {
    let node = draft.expect_node(flatten);
    let map = draft.input_shapes(node)[0];
    let order = match node.layer() {
        Layer::Flatten(flatten) => flatten.order,
        _ => FlattenOrder::Chw,
    };
    let Some((height, width)) = map.size() else {
        let reason = match map {
            Shape::Vector { .. } => "it takes a vector, and no feature map to convolve over",
            Shape::Map { .. } => "the size of its input is open; set it with input(..)",
        };
        return Err(draft.illegal(flatten, reason));
    };
    let map = (map.channels(), height, width);
    let flat = still_flat(draft, flatten);
    let following = draft.descendants(flatten);
    for id in draft.followers(flatten) {
        let node = draft.expect_node(id);
        let takes_flat = node.inputs().iter().all(|input| flat.contains(input));
        let is_point = |input| following.contains(input) && !flat.contains(input);
        let takes_points = node.inputs().iter().all(is_point);
        match node.layer().clone() {
            Layer::Dense(dense) if takes_flat => to_convolution(draft, id, (&dense, map, order))?,
            Layer::Dense(dense) if takes_points => {
                let point = (draft.input_shapes(node)[0].channels(), 1, 1);
                to_convolution(draft, id, (&dense, point, FlattenOrder::Chw))?;
            }
            Layer::Add(_) | Layer::Concat(_) if takes_points => {}
            layer if takes_points && layer.rules().is_elementwise() => {}
            _ if flat.contains(&id) => {}
            _ => {
                let reason = "it follows the flatten, and can't work on a feature map";
                return Err(draft.illegal(id, reason));
            }
        }
    }
    match draft.outputs().iter().find(|output| flat.contains(output)) {
        None => Ok(()),
        Some(&output) => {
            Err(draft.illegal(output, "it is an output, and would become a feature map"))
        }
    }
}

/// The nodes whose values are still the whole flattened feature map.
fn still_flat(graph: &Graph, flatten: NodeId) -> HashSet<NodeId> {
    let passes = |node: &Node| {
        let layer = node.layer();
        let passes_on = layer.rules().passes_input_on();
        node.id() == flatten || passes_on && layer.activation() != Activation::Softmax
    };
    let reached = graph.descendants_through(flatten, passes);
    let flat = graph.ids_where(|node| reached.contains(&node.id()) && passes(node));
    flat.into_iter().collect()
}

type Converted<'a> = (&'a Dense, (usize, usize, usize), FlattenOrder);

fn to_convolution(
    draft: &mut Draft<'_>,
    id: NodeId,
    (layer, (channels, height, width), order): Converted<'_>,
) -> Result<()> {
    let weight = draft.value(id, "weight")?;
    let units = layer.units;
    let weight = match order {
        FlattenOrder::Chw => weight.reshape((units, channels, height, width))?,
        FlattenOrder::Hwc => weight
            .reshape((units, height, width, channels))?
            .permute((0, 3, 1, 2))?,
    };
    let mut conv = Conv2d::new(units, (height, width)).activation(layer.activation);
    conv.bias = layer.bias;
    draft.set_layer(id, conv.kernel_init(layer.kernel_init));
    draft.set(id, &[("weight", weight)])
}

/// Removes a flatten, and an adaptive pool before it that nothing else reads.
/// Dropouts and activations may stand between them.
fn take_out(graph: &mut EditContext, flatten: NodeId) -> Result<()> {
    let path: Vec<NodeId> = graph.path_to(flatten).map(|node| node.id()).collect();
    let mut steps = path.windows(3).map_while(|step| {
        let &[reader, id, earlier] = step else {
            return None;
        };
        let is_read_elsewhere = graph.users(id) != [reader] || graph.outputs().contains(&id);
        (!is_read_elsewhere).then_some((id, earlier))
    });
    let is_passed =
        |(id, _): &(NodeId, NodeId)| graph.expect_node(*id).layer().rules().passes_input_on();
    let before = steps.find(|step| !is_passed(step));
    if let Some((pool, earlier)) = before
        && matches!(graph.expect_node(pool).layer(), Layer::AdaptiveAvgPool2d(_))
    {
        check_pools_nothing(graph, pool, earlier)?;
        graph.redirect(pool, earlier);
    }
    let source = graph.expect_node(flatten).inputs()[0];
    graph.redirect(flatten, source);
    Ok(())
}

fn check_pools_nothing(graph: &Graph, pool: NodeId, earlier: NodeId) -> Result<()> {
    let [pooled, map] = [pool, earlier].map(|id| graph.expect_node(id).shape());
    if map.size().is_none() || map == pooled {
        return Ok(());
    }
    let reason = format!(
        "it makes {pooled} of {map}, which convolutions do not; first set the input to the size \
         at which it changes nothing (224x224 for VGG) with input(..)"
    );
    Err(graph.illegal(pool, &reason))
}

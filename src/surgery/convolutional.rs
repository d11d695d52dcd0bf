use std::collections::HashSet;

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Contract, EditContext, Graph, NodeId};
use crate::layer::{Activation, Conv2d, Dense, FlattenOrder, Layer};
use crate::model::{Draft, Model};
use crate::shape::Shape;

impl Model {
    /// Turns the dense layers behind a flatten into convolutions, so that the
    /// network takes images of any size from the one it was trained on: the
    /// first becomes a filter as large as the map that was flattened, the
    /// others 1x1 (Long, Shelhamer and Darrell 2015). An adaptive pool before
    /// the flatten is taken out, and the input's size is left open.
    ///
    /// The output becomes a map `(N, classes, H, W)`, of one pixel at the size
    /// at which the old network did not pool (224x224 for VGG).
    ///
    /// Contract: exact at that size; at larger ones every pixel of the map is
    /// what the old network makes of its part of the image, but for the
    /// padding.
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
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) if there is no
    /// flatten, if something other than dense layers, dropout and activations
    /// comes next, or other than those, norms, sums and concatenations later;
    /// and if the input has a size at which the adaptive pool does pool.
    pub fn to_fully_convolutional(&self) -> Result<Self> {
        let what = "to_fully_convolutional()";
        self.redraft(what, Contract::Exact, |graph, draft| {
            let ids = graph.ids();
            let flattens = graph.ids_where(|node| matches!(node.layer(), Layer::Flatten(_)));
            let Some(&first) = flattens.first() else {
                return Err(graph.illegal(ids[ids.len() - 1], "no flatten comes before it"));
            };
            if flattens.len() > 1 {
                return Err(graph.illegal(first, "it is one of several flattens"));
            }
            convert_behind(graph, draft, first)?;
            take_out(graph, first)?;
            let input = graph.input_shape();
            let any = Shape::any_size(input.channels());
            graph.set_input(any);
            Ok(())
        })
    }
}

/// Turns every dense layer behind the flatten into a convolution.
fn convert_behind(graph: &mut EditContext, draft: &mut Draft<'_>, flatten: NodeId) -> Result<()> {
    let map = graph
        .expect_node(graph.expect_node(flatten).inputs()[0])
        .shape();
    let order = match graph.expect_node(flatten).layer() {
        Layer::Flatten(flatten) => flatten.order,
        _ => FlattenOrder::Chw,
    };
    let Some((height, width)) = map.size() else {
        let reason = match map {
            Shape::Vector { .. } => "it gets a vector, so that no map is left to convolve over",
            Shape::Map { .. } => "it gets no map of known size; set the size with input(..)",
        };
        return Err(graph.illegal(flatten, reason));
    };
    let map = (map.channels(), height, width);
    let mut behind_flatten = Behind {
        flat: HashSet::from([flatten]),
        dense: HashSet::new(),
    };
    for id in graph.ids() {
        match behind_flatten.role(graph, id) {
            Role::Elsewhere => {}
            Role::First(layer) => {
                to_convolution(graph, draft, id, (layer, map, order))?;
                behind_flatten.dense.insert(id);
            }
            Role::Further(layer) => {
                let point = (node_features(graph, id), 1, 1);
                to_convolution(graph, draft, id, (layer, point, FlattenOrder::Chw))?;
                behind_flatten.dense.insert(id);
            }
            Role::StillFlat => {
                behind_flatten.flat.insert(id);
            }
            Role::Pointwise => {
                behind_flatten.dense.insert(id);
            }
            Role::Unfit => {
                let reason = "it follows the flatten, and can't work on a map";
                return Err(graph.illegal(id, reason));
            }
        }
    }
    let flat = behind_flatten.flat;
    match graph.outputs().iter().find(|output| flat.contains(output)) {
        None => Ok(()),
        Some(&output) => Err(graph.illegal(output, "it is an output, and would become a map")),
    }
}

/// What has been seen behind a flatten.
struct Behind {
    /// Values that are still the whole map.
    flat: HashSet<NodeId>,
    /// Values of dense layers, and of what follows them.
    dense: HashSet<NodeId>,
}

/// What a node is behind a flatten.
enum Role {
    /// It does not depend on the flatten.
    Elsewhere,
    /// A dense layer that takes the whole map.
    First(Dense),
    /// A dense layer behind another.
    Further(Dense),
    /// It leaves the map whole.
    StillFlat,
    /// It works on each pixel, or on each value.
    Pointwise,
    /// It can't work on a map.
    Unfit,
}

impl Behind {
    fn role(&self, graph: &Graph, id: NodeId) -> Role {
        let node = graph.expect_node(id);
        let all = node.inputs().len();
        let of = |set: &HashSet<NodeId>| node.inputs().iter().filter(|i| set.contains(i)).count();
        let (from_flat, from_dense) = (of(&self.flat), of(&self.dense));
        if from_flat + from_dense == 0 {
            return Role::Elsewhere;
        }
        match node.layer() {
            Layer::Dense(layer) if from_flat == all => Role::First(layer.clone()),
            Layer::Dense(layer) if from_dense == all => Role::Further(layer.clone()),
            layer
                if from_flat == all
                    && layer.rules().passes_input_on()
                    && layer.activation() != Activation::Softmax =>
            {
                Role::StillFlat
            }
            Layer::Add(_) | Layer::Concat(_) if from_dense == all => Role::Pointwise,
            layer if from_dense == all && layer.rules().is_elementwise() => Role::Pointwise,
            _ => Role::Unfit,
        }
    }
}

fn node_features(graph: &Graph, id: NodeId) -> usize {
    let input = graph.expect_node(id).inputs()[0];
    graph.expect_node(input).shape().channels()
}

type Converted = (Dense, (usize, usize, usize), FlattenOrder);

fn to_convolution(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    id: NodeId,
    (layer, (channels, height, width), order): Converted,
) -> Result<()> {
    let weight = draft.value(graph, id, "weight")?;
    let units = layer.units;
    let weight: Tensor = match order {
        FlattenOrder::Chw => weight.reshape((units, channels, height, width))?,
        FlattenOrder::Hwc => weight
            .reshape((units, height, width, channels))?
            .permute((0, 3, 1, 2))?,
    };
    let mut conv = Conv2d::new(units, (height, width)).activation(layer.activation);
    conv.bias = layer.bias;
    graph.set_layer(id, conv.kernel_init(layer.kernel_init));
    draft.set(graph, id, &[("weight", weight)])
}

/// Takes a flatten out, and an adaptive pool before it that nothing else
/// reads, be it through dropouts and activations.
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
        "it makes {pooled} of {map}, which convolutions do not; set the input to the size at \
         which it changes nothing first (224x224 for VGG) with input(..)"
    );
    Err(graph.illegal(pool, &reason))
}

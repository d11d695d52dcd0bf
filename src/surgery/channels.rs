//! What follows when a layer's channels are left out, repeated or reordered.

use std::collections::HashMap;

use candle_core::{Device, Tensor};

use crate::error::Result;
use crate::graph::{EditContext, Graph, Node, NodeId};
use crate::layer::{Activation, FlattenOrder, LIMIT, Layer};
use crate::model::{Draft, room_for};
use crate::shape::Shape;

/// The channels of a value after a change: for each, which one it was, and by
/// what share its readers count it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Channels {
    pub(super) from: Vec<u32>,
    pub(super) share: Vec<f32>,
    /// Whether channels are repeated: then no function may mix them.
    pub(super) repeats: bool,
}

impl Channels {
    pub(super) fn kept(from: Vec<u32>) -> Self {
        Self {
            share: vec![1.0; from.len()],
            from,
            repeats: false,
        }
    }

    /// Refuses more values than memory has room for, before they are asked for.
    fn check_room(&self, node: &Node, weight: &Tensor, dim: usize) -> Result<()> {
        let mut shape = weight.dims().to_vec();
        shape[dim] = self.from.len();
        room_for(node, "weight", &shape).map(drop)
    }

    fn index(&self, device: &Device) -> Result<Tensor> {
        Ok(Tensor::new(self.from.as_slice(), device)?)
    }

    /// These of a tensor's slices along one of its dimensions.
    pub(super) fn select(&self, tensor: &Tensor, dim: usize) -> Result<Tensor> {
        let tensor = tensor.contiguous()?;
        Ok(tensor.index_select(&self.index(tensor.device())?, dim)?)
    }

    /// The same, each by its share: the weights of a reader.
    fn read(&self, weight: &Tensor, dim: usize) -> Result<Tensor> {
        let mut shape = vec![1; weight.rank()];
        shape[dim] = self.share.len();
        let share = Tensor::new(self.share.as_slice(), weight.device())?;
        let share = share.to_dtype(weight.dtype())?.reshape(shape)?;
        Ok(self.select(weight, dim)?.broadcast_mul(&share)?)
    }

    /// The features of a vector that a map of so many pixels becomes.
    fn flattened(&self, channels: usize, pixels: usize, order: FlattenOrder) -> Self {
        let mut from = Vec::with_capacity(self.from.len() * pixels);
        let mut share = Vec::with_capacity(from.capacity());
        let place = |channel: u32, pixel: usize| match order {
            FlattenOrder::Chw => channel * pixels as u32 + pixel as u32,
            FlattenOrder::Hwc => pixel as u32 * channels as u32 + channel,
        };
        let own: Vec<(u32, f32)> = self.from.iter().copied().zip(self.share.clone()).collect();
        let mut push = |(channel, by): (u32, f32), pixel: usize| {
            from.push(place(channel, pixel));
            share.push(by);
        };
        match order {
            FlattenOrder::Chw => own
                .iter()
                .for_each(|&channel| (0..pixels).for_each(|pixel| push(channel, pixel))),
            FlattenOrder::Hwc => {
                (0..pixels).for_each(|pixel| own.iter().for_each(|&channel| push(channel, pixel)))
            }
        }
        Self {
            from,
            share,
            repeats: self.repeats,
        }
    }
}

/// Gives a layer other channels of its own, and lets all that reads them
/// follow.
pub(super) fn rechannel(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    layer: NodeId,
    channels: Channels,
) -> Result<()> {
    check_rechannels(graph, layer)?;
    if channels.repeats && graph.expect_node(layer).layer().activation() == Activation::Softmax {
        return Err(graph.illegal(layer, MIXES));
    }
    rechannel_own(graph, draft, layer, &channels)?;
    let order = graph.ids();
    let start = graph.position(layer).map_or(order.len(), |place| place + 1);
    let mut changed = HashMap::from([(layer, channels)]);
    for &id in &order[start..] {
        let inputs = graph.expect_node(id).inputs().to_vec();
        let those: Vec<Option<&Channels>> = inputs.iter().map(|id| changed.get(id)).collect();
        if those.iter().all(Option::is_none) {
            continue;
        }
        if let Some(channels) = follow(graph, draft, id, &those)? {
            if graph.outputs().contains(&id) {
                return Err(graph.illegal(id, "the channels would change an output"));
            }
            changed.insert(id, channels);
        }
    }
    Ok(())
}

/// Whether a layer's channels are its own to change.
pub(super) fn check_rechannels(graph: &Graph, layer: NodeId) -> Result<()> {
    if graph.outputs().contains(&layer) {
        return Err(graph.illegal(layer, "it is an output, whose channels mean something"));
    }
    match graph.expect_node(layer).layer() {
        Layer::Conv2d(conv) if conv.groups == 1 => Ok(()),
        Layer::Dense(_) => Ok(()),
        _ => {
            let reason = "it is no dense layer and no convolution of one group";
            Err(graph.illegal(layer, reason))
        }
    }
}

const MIXES: &str = "its softmax mixes channels, and would count repeated ones twice";

/// The layer's own filters.
fn rechannel_own(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    layer: NodeId,
    channels: &Channels,
) -> Result<()> {
    let weight = draft.value(graph, layer, "weight")?;
    channels.check_room(graph.expect_node(layer), &weight, 0)?;
    let weight = channels.select(&weight, 0)?;
    let mut parameters = vec![("weight", weight)];
    if draft.has(graph, layer, "bias") {
        let bias = draft.value(graph, layer, "bias")?;
        parameters.push(("bias", channels.select(&bias, 0)?));
    }
    let count = channels.from.len();
    graph.change_layer(layer, |layer| match layer {
        Layer::Conv2d(conv) => conv.out_channels = count,
        Layer::Dense(dense) => dense.units = count,
        _ => {}
    });
    draft.set(graph, layer, &parameters)
}

/// Adapts a node to inputs of other channels; returns its own, where they
/// change.
fn follow(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    id: NodeId,
    inputs: &[Option<&Channels>],
) -> Result<Option<Channels>> {
    let first = inputs.iter().copied().flatten().next().cloned();
    let Some(channels) = first else {
        return Ok(None);
    };
    let node = graph.expect_node(id).clone();
    if channels.repeats
        && node.layer().activation() == Activation::Softmax
        && !is_reader(node.layer())
    {
        return Err(graph.illegal(id, MIXES));
    }
    match node.layer() {
        Layer::Conv2d(conv) if conv.groups == 1 => read(graph, draft, id, &channels).map(|()| None),
        Layer::Dense(_) => read(graph, draft, id, &channels).map(|()| None),
        Layer::BatchNorm2d(_) => {
            let names = ["weight", "bias", "running_mean", "running_var"];
            let values = names.map(|name| {
                let value = draft.value(graph, id, name)?;
                Ok((name, channels.select(&value, 0)?))
            });
            let values = values.into_iter().collect::<Result<Vec<_>>>()?;
            draft.set(graph, id, &values)?;
            Ok(Some(channels))
        }
        Layer::Flatten(flatten) => flattened(graph, id, &channels, flatten.order).map(Some),
        Layer::Rescale(_) => {
            rescale(graph, id, &channels);
            Ok(Some(channels))
        }
        Layer::Add(_) if inputs.iter().all(|other| *other == Some(&channels)) => Ok(Some(channels)),
        Layer::Concat(_) => Ok(Some(concat(graph, id, inputs))),
        Layer::MaxPool2d(_)
        | Layer::AvgPool2d(_)
        | Layer::GlobalAvgPool2d(_)
        | Layer::GlobalMaxPool2d(_)
        | Layer::AdaptiveAvgPool2d(_)
        | Layer::Upsample(_)
        | Layer::ZeroPad2d(_) => Ok(inputs[0].cloned()),
        layer if layer.rules().passes_input_on() => Ok(inputs[0].cloned()),
        _ => Err(graph.illegal(id, "it reads the channels, and can't be adapted to others")),
    }
}

/// The features of the vector that a map becomes.
fn flattened(
    graph: &Graph,
    id: NodeId,
    channels: &Channels,
    order: FlattenOrder,
) -> Result<Channels> {
    let input = graph.expect_node(graph.expect_node(id).inputs()[0]).shape();
    match (input, input.size()) {
        (Shape::Map { channels: old, .. }, Some((height, width))) => {
            let pixels = height * width;
            if channels.from.len().saturating_mul(pixels) > LIMIT {
                let reason = format!("it would give more than {LIMIT} features");
                return Err(graph.illegal(id, &reason));
            }
            Ok(channels.flattened(old, pixels, order))
        }
        (Shape::Vector { .. }, _) => Ok(channels.clone()),
        _ => Err(graph.illegal(
            id,
            "the size of its input is not known; set it with input(..)",
        )),
    }
}

fn is_reader(layer: &Layer) -> bool {
    matches!(layer, Layer::Conv2d(_) | Layer::Dense(_))
}

fn read(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    id: NodeId,
    channels: &Channels,
) -> Result<()> {
    let weight = draft.value(graph, id, "weight")?;
    channels.check_room(graph.expect_node(id), &weight, 1)?;
    let weight = channels.read(&weight, 1)?;
    draft.set(graph, id, &[("weight", weight)])
}

fn rescale(graph: &mut EditContext, id: NodeId, channels: &Channels) {
    graph.change_layer(id, |layer| {
        let Layer::Rescale(rescale) = layer else {
            return;
        };
        for values in [&mut rescale.scale, &mut rescale.offset] {
            if values.len() > 1 {
                let old = values.clone();
                let picked = channels.from.iter().filter_map(|&at| old.get(at as usize));
                *values = picked.copied().collect();
            }
        }
    });
}

fn concat(graph: &Graph, id: NodeId, inputs: &[Option<&Channels>]) -> Channels {
    let mut all = Channels::kept(Vec::new());
    let mut offset = 0;
    for (input, channels) in graph.expect_node(id).inputs().iter().zip(inputs) {
        let old = graph.expect_node(*input).shape().channels() as u32;
        match channels {
            Some(channels) => {
                all.from
                    .extend(channels.from.iter().map(|from| from + offset));
                all.share.extend(&channels.share);
                all.repeats |= channels.repeats;
            }
            None => {
                all.from.extend(offset..offset + old);
                all.share.extend(std::iter::repeat_n(1.0, old as usize));
            }
        }
        offset += old;
    }
    all
}

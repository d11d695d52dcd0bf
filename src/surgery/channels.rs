//! How the layers after a layer adapt when its channels are left out, repeated
//! or reordered.

use std::collections::HashMap;

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Graph, NodeId};
use crate::layers::{Activation, Conv2d, FlattenOrder, LIMIT, Layer};
use crate::model::{Draft, room_for};
use crate::shape::Shape;

/// The channels of a value after a change: for each, which channel it was, and
/// by what factor its readers count it.
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

    pub(super) fn select(&self, tensor: &Tensor, dim: usize) -> Result<Tensor> {
        let index = Tensor::new(self.from.as_slice(), tensor.device())?;
        Ok(tensor.contiguous()?.index_select(&index, dim)?)
    }

    /// Selects the weights of a reader, each multiplied by its factor.
    fn read(&self, weight: &Tensor) -> Result<Tensor> {
        let mut shape = vec![1; weight.rank()];
        shape[1] = self.share.len();
        let share = Tensor::new(self.share.as_slice(), weight.device())?;
        let share = share.to_dtype(weight.dtype())?.reshape(shape)?;
        Ok(self.select(weight, 1)?.broadcast_mul(&share)?)
    }

    fn flattened(&self, channels: usize, pixels: usize, order: FlattenOrder) -> Self {
        let (channels, pixels) = (channels as u32, pixels as u32);
        let own = self.from.iter().copied().zip(self.share.iter().copied());
        let (from, share) = match order {
            FlattenOrder::Chw => own
                .flat_map(|(channel, share)| {
                    (0..pixels).map(move |pixel| (channel * pixels + pixel, share))
                })
                .unzip(),
            FlattenOrder::Hwc => (0..pixels)
                .flat_map(|pixel| {
                    let own = own.clone();
                    own.map(move |(channel, share)| (pixel * channels + channel, share))
                })
                .unzip(),
        };
        Self {
            from,
            share,
            repeats: self.repeats,
        }
    }
}

/// Gives a layer other channels, and adapts all layers that read them.
pub(super) fn rechannel(draft: &mut Draft<'_>, layer: NodeId, channels: Channels) -> Result<()> {
    check_rechannels(draft, layer)?;
    if channels.repeats && draft.expect_node(layer).layer().activation() == Activation::Softmax {
        return Err(draft.illegal(layer, MIXES));
    }
    rechannel_own(draft, layer, &channels)?;
    let mut changed = HashMap::from([(layer, channels)]);
    for id in draft.followers(layer) {
        let inputs = draft.expect_node(id).inputs().iter();
        let inputs: Vec<Option<&Channels>> = inputs.map(|id| changed.get(id)).collect();
        if let Some(channels) = follow(draft, id, &inputs)? {
            if draft.outputs().contains(&id) {
                return Err(draft.illegal(id, "the channels would change an output"));
            }
            changed.insert(id, channels);
        }
    }
    Ok(())
}

pub(super) fn check_rechannels(graph: &Graph, layer: NodeId) -> Result<()> {
    if graph.outputs().contains(&layer) {
        return Err(graph.illegal(layer, "it is an output, whose channels mean something"));
    }
    check_kind(graph, layer)
}

/// Refuses layers other than dense layers and convolutions of one group.
pub(super) fn check_kind(graph: &Graph, layer: NodeId) -> Result<()> {
    match graph.expect_node(layer).layer() {
        Layer::Conv2d(Conv2d { groups: 1, .. }) | Layer::Dense(_) => Ok(()),
        _ => {
            let reason = "it is no dense layer and no convolution of one group";
            Err(graph.illegal(layer, reason))
        }
    }
}

const MIXES: &str = "its softmax mixes channels, and would count repeated ones twice";

fn rechannel_own(draft: &mut Draft<'_>, layer: NodeId, channels: &Channels) -> Result<()> {
    let weight = draft.value(layer, "weight")?;
    check_room(draft, layer, (&weight, 0), channels)?;
    let mut parameters = vec![("weight", channels.select(&weight, 0)?)];
    if draft.has(layer, "bias") {
        let bias = draft.value(layer, "bias")?;
        parameters.push(("bias", channels.select(&bias, 0)?));
    }
    let count = channels.from.len();
    draft.change_layer(layer, |layer| match layer {
        Layer::Conv2d(conv) => conv.out_channels = count,
        Layer::Dense(dense) => dense.units = count,
        _ => {}
    });
    draft.set(layer, &parameters)
}

/// Refuses more values than memory has room for, before they are allocated.
fn check_room(
    graph: &Graph,
    layer: NodeId,
    (weight, dim): (&Tensor, usize),
    channels: &Channels,
) -> Result<()> {
    let mut shape = weight.dims().to_vec();
    shape[dim] = channels.from.len();
    room_for(graph.expect_node(layer), "weight", &shape).map(drop)
}

/// Adapts a node to inputs of other channels. Returns the node's own channels
/// if they change.
fn follow(
    draft: &mut Draft<'_>,
    id: NodeId,
    inputs: &[Option<&Channels>],
) -> Result<Option<Channels>> {
    let Some(channels) = inputs.iter().copied().flatten().next() else {
        return Ok(None);
    };
    let layer = draft.expect_node(id).layer().clone();
    let is_reader = matches!(layer, Layer::Conv2d(_) | Layer::Dense(_));
    if channels.repeats && layer.activation() == Activation::Softmax && !is_reader {
        return Err(draft.illegal(id, MIXES));
    }
    match &layer {
        Layer::Conv2d(Conv2d { groups: 1, .. }) | Layer::Dense(_) => {
            let weight = draft.value(id, "weight")?;
            check_room(draft, id, (&weight, 1), channels)?;
            draft.set(id, &[("weight", channels.read(&weight)?)])?;
            return Ok(None);
        }
        Layer::BatchNorm2d(_) => {
            for name in ["weight", "bias", "running_mean", "running_var"] {
                let value = channels.select(&draft.value(id, name)?, 0)?;
                draft.set(id, &[(name, value)])?;
            }
        }
        Layer::Flatten(flatten) => {
            return flattened(draft, id, channels, flatten.order).map(Some);
        }
        Layer::Rescale(_) => rescale(draft, id, channels),
        Layer::Add(_) if inputs.iter().all(|other| *other == Some(channels)) => {}
        Layer::Concat(_) => return Ok(Some(concat(draft, id, inputs))),
        Layer::MaxPool2d(_)
        | Layer::AvgPool2d(_)
        | Layer::GlobalAvgPool2d(_)
        | Layer::GlobalMaxPool2d(_)
        | Layer::AdaptiveAvgPool2d(_)
        | Layer::ZeroPad2d(_) => {}
        // The second input of an upsampling has a size, and no values of it are used.
        Layer::Upsample(_) => return Ok(inputs[0].cloned()),
        layer if layer.rules().passes_input_on() => {}
        _ => {
            let reason = "it reads the channels, and can't be adapted to others";
            return Err(draft.illegal(id, reason));
        }
    }
    Ok(Some(channels.clone()))
}

fn flattened(
    graph: &Graph,
    id: NodeId,
    channels: &Channels,
    order: FlattenOrder,
) -> Result<Channels> {
    let input = graph.input_shapes(graph.expect_node(id))[0];
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

fn rescale(draft: &mut Draft<'_>, id: NodeId, channels: &Channels) {
    draft.change_layer(id, |layer| {
        let Layer::Rescale(rescale) = layer else {
            return;
        };
        for values in [&mut rescale.scale, &mut rescale.offset] {
            if values.len() > 1 {
                let picked = channels
                    .from
                    .iter()
                    .filter_map(|&at| values.get(at as usize));
                *values = picked.copied().collect();
            }
        }
    });
}

fn concat(graph: &Graph, id: NodeId, inputs: &[Option<&Channels>]) -> Channels {
    let mut all = Channels::kept(Vec::new());
    let mut offset = 0;
    let shapes = graph.input_shapes(graph.expect_node(id));
    for (shape, channels) in shapes.iter().zip(inputs) {
        let old = shape.channels() as u32;
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

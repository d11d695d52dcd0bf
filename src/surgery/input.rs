use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Contract, Graph, NodeId};
use crate::layers::{Conv2d, LIMIT, Layer};
use crate::model::{Draft, Model, room_for};
use crate::preprocess::{ChannelOrder, Preprocessing};
use crate::shape::Shape;

impl Model {
    /// Lets the network take images of another number of channels. The filters
    /// of the first convolutions are summed for one channel. For more channels
    /// they are repeated in turn and rescaled by `old / new`: an image with equal
    /// channels keeps its output (timm's `adapt_input_conv`).
    ///
    /// A preprocessing of three channels becomes one of
    /// [gray](crate::preprocess::ChannelOrder::Gray) for one channel, with the
    /// average mean `m` and standard deviation `s`. As it normalizes all channels
    /// alike, the filters `W` of each channel are summed with the weight `s / s_c`,
    /// and the sum of `W * (m - m_c) / s_c` is added to the bias, which is made if
    /// there is none. A preprocessing of gray becomes one of three channels in the
    /// same way. Other numbers of channels have no preprocessing.
    ///
    /// Contract: exact for the current number, which changes nothing; else
    /// approximate. Without a preprocessing, it is exact for tensors with equal
    /// channels if the new number is 1 or a multiple of the old. With one, it is
    /// exact for gray images at all pixels whose receptive field is within the
    /// image, and everywhere if the three means are equal: else the
    /// padding of the first convolutions is of one gray, and was of a color.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::preprocess::ChannelOrder;
    /// use vgg_surgery::{Preprocessing, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let graph = graph.with_preprocessing(Preprocessing::torchvision());
    /// let gray = graph.build(&Device::Cpu)?.adapt_input(1)?;
    /// assert_eq!(gray.graph().input_shape().channels(), 1);
    /// let preprocessing = gray.graph().input_preprocessing()?;
    /// assert_eq!(preprocessing.channel_order(), ChannelOrder::Gray);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) if another layer than
    /// a convolution of one group reads the input;
    /// [`Error::InvalidLayer`](crate::Error::InvalidLayer) for no channels, and
    /// for more than a layer may have or than fit into memory.
    pub fn adapt_input(&self, channels: usize) -> Result<Self> {
        let what = format!("adapt_input({channels})");
        // Others are refused as the input's shape.
        let is_legal = (1..=LIMIT).contains(&channels);
        let contract = match channels == self.graph().input_shape().channels() {
            true => Contract::Exact,
            false => Contract::Approximate,
        };
        self.redraft(&what, contract, |draft| {
            let inputs = draft.ids_where(|node| matches!(node.layer(), Layer::Input(_)));
            let &[input] = inputs.as_slice() else {
                return Ok(());
            };
            let Shape::Map { height, width, .. } = draft.expect_node(input).shape() else {
                return Err(draft.illegal(input, "it takes vectors, not images"));
            };
            let levels = Levels::of(draft, channels);
            for reader in draft.users(input) {
                let Layer::Conv2d(Conv2d { groups: 1, .. }) = draft.expect_node(reader).layer()
                else {
                    let reason = "it reads the input, and is no convolution of one group";
                    return Err(draft.illegal(reader, reason));
                };
                if is_legal && contract != Contract::Exact {
                    let weight = draft.value(reader, "weight")?;
                    let (filters, _, height, width) = weight.dims4()?;
                    let shape = [filters, channels, height, width];
                    room_for(draft.expect_node(reader), "weight", &shape)?;
                    match levels.unmixing() {
                        Some(unmixing) => unmix(draft, reader, &weight, unmixing)?,
                        None => draft.set(reader, &[("weight", adapted(&weight, channels)?)])?,
                    }
                }
            }
            draft.set_input(Shape::Map {
                channels,
                height,
                width,
            });
            draft.set_preprocessing(levels.preprocessing);
            Ok(())
        })
    }
}

/// How images were normalized before the edit, and are after it.
struct Levels {
    before: Option<Preprocessing>,
    preprocessing: Option<Preprocessing>,
}

/// What makes up for one mean and standard deviation in place of three.
struct Unmixing {
    scale: [f64; 3],
    shift: [f64; 3],
}

impl Levels {
    fn of(graph: &Graph, channels: usize) -> Self {
        let now = graph.input_shape().channels();
        let before = graph.preprocessing().cloned();
        let fitting = before.clone().filter(|p| p.channels() == now);
        let preprocessing = match (channels, fitting) {
            _ if channels == now => before.clone(),
            (1, Some(p)) => Some(p.with_channel_order(ChannelOrder::Gray)),
            (3, Some(p)) => Some(p.with_channel_order(ChannelOrder::Rgb)),
            _ => None,
        };
        Self {
            before,
            preprocessing,
        }
    }

    /// `(x - m_c) / s_c = (x - m) / s * scale + shift`.
    fn unmixing(&self) -> Option<Unmixing> {
        let (before, after) = (self.before.as_ref()?, self.preprocessing.as_ref()?);
        if (before.channels(), after.channels()) != (3, 1) {
            return None;
        }
        let [mean, means] = [after, before].map(|p| p.mean().map(f64::from));
        let [std, stds] = [after, before].map(|p| p.std().map(f64::from));
        let is_legal = |&std: &f64| std.is_finite() && std > 0.0;
        stds.iter().all(is_legal).then(|| Unmixing {
            scale: std::array::from_fn(|c| std[c] / stds[c]),
            shift: std::array::from_fn(|c| (mean[c] - means[c]) / stds[c]),
        })
    }
}

/// Sums the filters of three channels.
fn unmix(draft: &mut Draft<'_>, conv: NodeId, weight: &Tensor, unmixing: Unmixing) -> Result<()> {
    let times = |factors: [f64; 3]| -> Result<Tensor> {
        let factors = Tensor::new(&factors, weight.device())?.to_dtype(weight.dtype())?;
        Ok(weight.broadcast_mul(&factors.reshape((1, 3, 1, 1))?)?)
    };
    let summed = times(unmixing.scale)?.sum_keepdim(1)?;
    if unmixing.shift == [0.0; 3] {
        return draft.set(conv, &[("weight", summed)]);
    }
    let mut bias = times(unmixing.shift)?.flatten_from(1)?.sum(1)?;
    if draft.has(conv, "bias") {
        bias = (bias + draft.value(conv, "bias")?)?;
    }
    draft.change_layer(conv, |layer| {
        if let Layer::Conv2d(conv) = layer {
            conv.bias = true;
        }
    });
    draft.set(conv, &[("weight", summed), ("bias", bias)])
}

/// Filters `(O, I, kH, kW)` for another number of input channels.
fn adapted(weight: &Tensor, channels: usize) -> Result<Tensor> {
    let old = weight.dim(1)?;
    if channels == 1 {
        return Ok(weight.sum_keepdim(1)?);
    }
    let turns = channels.div_ceil(old);
    let repeated = weight.repeat((1, turns, 1, 1))?.narrow(1, 0, channels)?;
    Ok((repeated * (old as f64 / channels as f64))?)
}

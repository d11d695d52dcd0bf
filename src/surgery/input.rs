use candle_core::Tensor;

use crate::error::Result;
use crate::graph::Contract;
use crate::layer::{LIMIT, Layer};
use crate::model::{Model, room_for};
use crate::shape::Shape;

impl Model {
    /// Lets the network take images of another number of channels. The first
    /// convolutions' filters are summed for one channel; for more they are
    /// repeated in turn and rescaled by `old / new`, so that an image whose
    /// channels are alike keeps its value (timm's `adapt_input_conv`).
    ///
    /// The preprocessing, which is made for three channels, is taken off
    /// unless that is the new number.
    ///
    /// Contract: exact for the number there is, which changes nothing;
    /// approximate for others, though exact for images whose channels are all alike
    /// where the new number is 1 or a multiple of the old.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let gray = graph.build(&Device::Cpu)?.adapt_input(1)?;
    /// assert_eq!(gray.graph().input_shape().channels(), 1);
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
        self.redraft(&what, contract, |graph, draft| {
            let inputs = graph.ids_where(|node| matches!(node.layer(), Layer::Input(_)));
            let &[input] = inputs.as_slice() else {
                return Ok(());
            };
            let Shape::Map { height, width, .. } = graph.expect_node(input).shape() else {
                return Err(graph.illegal(input, "it takes vectors, not images"));
            };
            for reader in graph.users(input) {
                match graph.expect_node(reader).layer() {
                    Layer::Conv2d(conv)
                        if conv.groups == 1 && is_legal && contract != Contract::Exact =>
                    {
                        let weight = draft.value(graph, reader, "weight")?;
                        let (filters, _, height, width) = weight.dims4()?;
                        let shape = [filters, channels, height, width];
                        room_for(graph.expect_node(reader), "weight", &shape)?;
                        draft.set(graph, reader, &[("weight", adapted(&weight, channels)?)])?;
                    }
                    Layer::Conv2d(conv) if conv.groups == 1 => {}
                    _ => {
                        let reason = "it reads the input, and is no convolution of one group";
                        return Err(graph.illegal(reader, reason));
                    }
                }
            }
            let shape = Shape::Map {
                channels,
                height,
                width,
            };
            graph.set_input(shape);
            if channels != 3 {
                graph.set_preprocessing(None);
            }
            Ok(())
        })
    }
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

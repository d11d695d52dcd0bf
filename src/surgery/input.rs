use candle_core::Tensor;

use crate::error::Result;
use crate::graph::Contract;
use crate::layers::{Conv2d, LIMIT, Layer};
use crate::model::{Model, room_for};
use crate::shape::Shape;

impl Model {
    /// Lets the network take images of another number of channels. The filters
    /// of the first convolutions are summed for one channel. For more channels
    /// they are repeated in turn and rescaled by `old / new`: an image with equal
    /// channels keeps its output (timm's `adapt_input_conv`).
    ///
    /// The preprocessing is made for three channels. It is removed for any other
    /// number.
    ///
    /// Contract: exact for the current number, which changes nothing; else
    /// approximate. For images with equal channels it is exact if the new number
    /// is 1 or a multiple of the old.
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
        self.redraft(&what, contract, |draft| {
            let inputs = draft.ids_where(|node| matches!(node.layer(), Layer::Input(_)));
            let &[input] = inputs.as_slice() else {
                return Ok(());
            };
            let Shape::Map { height, width, .. } = draft.expect_node(input).shape() else {
                return Err(draft.illegal(input, "it takes vectors, not images"));
            };
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
                    draft.set(reader, &[("weight", adapted(&weight, channels)?)])?;
                }
            }
            draft.set_input(Shape::Map {
                channels,
                height,
                width,
            });
            if channels != 3 {
                draft.set_preprocessing(None);
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

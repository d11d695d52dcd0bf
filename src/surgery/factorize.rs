use candle_core::{DType, Device, Tensor};

use crate::error::{ImageError, Result};
use crate::graph::{Contract, NodeId, NodeRef, Part, Pick};
use crate::layers::{Conv2d, Dense, Layer, Margins, Padding};
use crate::model::{Draft, Model};

use super::channels::check_kind;
use super::decompose::{Factors, Rank, factors, squares};

impl Model {
    /// Splits a layer into two thin ones by a truncated singular value
    /// decomposition: `NAME_low` without bias and activation, then NAME. A
    /// dense layer becomes two dense layers. A convolution becomes one with fewer
    /// filters and a 1x1 convolution (Zhang et al. 2016).
    ///
    /// Contract: approximate; exact up to rounding at full rank. The operation's
    /// `error` is the norm of the weights' change, as a fraction of their norm.
    /// If a layer has more than 256 inputs and outputs, a rank of less than half
    /// of them is found by random projection with a fixed seed. An energy needs
    /// the full decomposition, which is slower. The two layers have fewer
    /// parameters than the one only at ranks below `in * out / (in + out)`.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::options().widths(16).hidden(32).classes(10).untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let smaller = model.factorize("fc1", 8)?;
    /// assert_eq!(smaller.graph().node("fc1_low")?.parameter_count(), 8 * 32 * 49);
    /// let error = smaller.graph().operations().last().unwrap().error;
    /// assert!(error.is_some_and(|error| error < 1.0));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// The errors of [`Graph::node`](crate::Graph::node);
    /// [`Error::IllegalEdit`](crate::Error::IllegalEdit) for a layer of another
    /// kind, with groups or with weights that are not finite, and for a rank or
    /// an energy that it can't have;
    /// [`Error::InvalidName`](crate::Error::InvalidName) if `NAME_low` is too
    /// long, [`Error::DuplicateName`](crate::Error::DuplicateName) if it is taken.
    pub fn factorize(&self, layer: impl NodeRef, rank: impl Into<Rank>) -> Result<Self> {
        let (id, rank) = (layer.pick(self.graph())?.id, rank.into());
        let what = format!("factorize({}, {rank})", layer.in_words(self.graph()));
        self.redraft(&what, Contract::Approximate, |draft| {
            check_kind(draft, id)?;
            let weight = draft.value(id, "weight")?;
            let parts = decomposed(draft, id, &weight.flatten_from(1)?, rank)?;
            split(draft, id, parts)
        })
    }

    /// As [`Model::factorize`], but the thin layers keep what the layer gives for
    /// these inputs of the model, `(N, C, H, W)`, instead of what its weights are:
    /// NAME_low computes the principal components of the values before the
    /// activation (Zhang et al. 2016, section 3.1). A rank costs less this way,
    /// because values vary in few directions.
    ///
    /// Contract: approximate. The operation's `error` is the norm of the change of
    /// these values, as a fraction of the norm of their deviation from their means;
    /// of the values themselves for a layer without a bias.
    ///
    /// ```
    /// use candle_core::{Device, Tensor};
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::nano().truncate("block2_pool")?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let x = Tensor::rand(-1f32, 1f32, (2, 3, 32, 32), &Device::Cpu)?;
    /// let smaller = model.factorize_for("block2_conv2", 0.95, &x)?;
    /// let error = smaller.graph().operations().last().unwrap().error;
    /// assert!(error.is_some_and(|error| error * error <= 0.05));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::factorize`]; [`Error::IllegalEdit`](crate::Error::IllegalEdit)
    /// too if the values are fewer than the layer's outputs or not finite;
    /// [`ImageError::EmptyBatch`] and the errors of [`Model::forward`] for the
    /// inputs.
    pub fn factorize_for(
        &self,
        layer: impl NodeRef,
        rank: impl Into<Rank>,
        x: &Tensor,
    ) -> Result<Self> {
        let (id, rank) = (layer.pick(self.graph())?.id, rank.into());
        if x.dims().first() == Some(&0) {
            return Err(ImageError::EmptyBatch.into());
        }
        let name = layer.in_words(self.graph());
        let what = format!("factorize_for({name}, {rank})");
        self.redraft(&what, Contract::Approximate, |draft| {
            check_kind(draft, id)?;
            let responses = responses(self, id, x)?;
            let (outputs, count) = responses.dims2()?;
            if count < outputs {
                let reason = format!(
                    "the inputs give {count} values for each of its {outputs} outputs, fewer than \
                     it has outputs; give more inputs"
                );
                return Err(draft.illegal(id, &reason));
            }
            let means = match draft.has(id, "bias") {
                true => responses.mean_keepdim(1)?,
                false => responses.zeros_like()?.narrow(1, 0, 1)?,
            };
            let parts = decomposed(draft, id, &responses.broadcast_sub(&means)?, rank)?;
            let weight = draft.value(id, "weight")?;
            let (left, dtype) = (parts.left, weight.dtype());
            let weight = weight.flatten_from(1)?.to_device(left.device())?;
            let left = left.to_dtype(dtype)?;
            let right = left.t()?.matmul(&weight)?;
            if draft.has(id, "bias") {
                let bias = draft.value(id, "bias")?.to_device(left.device())?;
                let means = means.to_dtype(dtype)?;
                let rest = (bias.unsqueeze(1)? - &means)?;
                let bias = (left.matmul(&left.t()?.matmul(&rest)?)? + means)?;
                draft.set(id, &[("bias", bias.squeeze(1)?)])?;
            }
            let error = parts.error;
            split(draft, id, Factors { left, right, error })
        })
    }

    /// Splits a convolution into two by a truncated singular value
    /// decomposition: `NAME_low` with filters of one column, then NAME with
    /// filters of one row (Jaderberg, Vedaldi and Zisserman 2014).
    ///
    /// Contract: as [`Model::factorize`].
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::{Conv2d, Vgg16};
    ///
    /// let graph = Vgg16::options().widths(16).without_top().untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?.factorize_spatial("block2_conv1", 0.9)?;
    /// let low: &Conv2d = model.graph().layer("block2_conv1_low")?;
    /// assert_eq!(low.kernel_size, (3, 1));
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Model::factorize`].
    pub fn factorize_spatial(&self, layer: impl NodeRef, rank: impl Into<Rank>) -> Result<Self> {
        let (id, rank) = (layer.pick(self.graph())?.id, rank.into());
        let what = format!(
            "factorize_spatial({}, {rank})",
            layer.in_words(self.graph())
        );
        self.redraft(&what, Contract::Approximate, |draft| {
            let Layer::Conv2d(conv) = draft.expect_node(id).layer().clone() else {
                return Err(draft.illegal(id, "it is no convolution"));
            };
            check_kind(draft, id)?;
            // (I kH, O kW) from (O, I, kH, kW).
            let weight = draft.value(id, "weight")?;
            let (out, inputs, height, width) = weight.dims4()?;
            let matrix = weight.permute((1, 2, 0, 3))?;
            let matrix = matrix.reshape((inputs * height, out * width))?;
            let parts = decomposed(draft, id, &matrix, rank)?;
            let count = parts.left.dim(1)?;
            let column = parts.left.t()?.reshape((count, inputs, height, 1))?;
            let row = parts.right.reshape((count, out, 1, width))?;
            let row = row.permute((1, 0, 2, 3))?;
            let (first, second) = across(&conv, count);
            put_before(draft, id, first, column)?;
            draft.set_layer(id, second);
            draft.set(id, &[("weight", row)])
        })
    }
}

/// A layer's values before its activation, `(outputs, positions)`, on the CPU.
fn responses(model: &Model, id: NodeId, x: &Tensor) -> Result<Tensor> {
    let pick = Pick {
        id,
        part: Part::Pre,
    };
    let values = model.run(x, &[pick], false)?.remove(0);
    let values = values.detach().to_device(&Device::Cpu)?;
    let values = match values.dtype() {
        DType::F64 => values,
        _ => values.to_dtype(DType::F32)?,
    };
    Ok(values.transpose(0, 1)?.contiguous()?.flatten_from(1)?)
}

/// Puts the right factor before a layer, whose weight becomes the left one.
fn split(draft: &mut Draft<'_>, id: NodeId, parts: Factors) -> Result<()> {
    match draft.expect_node(id).layer().clone() {
        Layer::Conv2d(conv) => by_channels(draft, id, conv, parts),
        Layer::Dense(dense) => {
            let count = parts.left.dim(1)?;
            let low = Dense::new(count).without_bias();
            put_before(draft, id, low.kernel_init(dense.kernel_init), parts.right)?;
            draft.set(id, &[("weight", parts.left)])
        }
        _ => Ok(()),
    }
}

fn decomposed(draft: &mut Draft<'_>, id: NodeId, matrix: &Tensor, rank: Rank) -> Result<Factors> {
    let energy = squares(matrix)?;
    if !energy.is_finite() {
        return Err(draft.illegal(id, "its weights or values are not finite"));
    }
    let (rows, columns) = matrix.dims2()?;
    let Some(parts) = factors((matrix, energy), rank)? else {
        let most = rows.min(columns);
        let reason =
            format!("{rank} can't be: ranks go from 1 to {most}, energies from above 0 to 1");
        return Err(draft.illegal(id, &reason));
    };
    draft.set_error(parts.error);
    Ok(parts)
}

/// A convolution with fewer filters, then a 1x1 convolution.
fn by_channels(draft: &mut Draft<'_>, id: NodeId, conv: Conv2d, parts: Factors) -> Result<()> {
    let count = parts.left.dim(1)?;
    let (height, width) = conv.kernel_size;
    let low = Conv2d {
        out_channels: count,
        bias: false,
        activation: Default::default(),
        ..conv.clone()
    };
    let right = parts.right.reshape((count, (), height, width))?;
    put_before(draft, id, low, right)?;
    let point = Conv2d {
        kernel_size: (1, 1),
        stride: (1, 1),
        dilation: (1, 1),
        padding: Padding::Valid,
        ..conv
    };
    draft.set_layer(id, point);
    let left = parts.left.reshape((parts.left.dim(0)?, count, 1, 1))?;
    draft.set(id, &[("weight", left)])
}

/// A convolution over columns with `count` filters, and one over rows.
fn across(conv: &Conv2d, count: usize) -> (Conv2d, Conv2d) {
    let (padding_down, padding_across) = match conv.padding {
        Padding::Explicit(m) => {
            let down = Margins {
                left: 0,
                right: 0,
                ..m
            };
            let across = Margins {
                top: 0,
                bottom: 0,
                ..m
            };
            (Padding::Explicit(down), Padding::Explicit(across))
        }
        padding => (padding, padding),
    };
    let down = Conv2d {
        out_channels: count,
        kernel_size: (conv.kernel_size.0, 1),
        stride: (conv.stride.0, 1),
        dilation: (conv.dilation.0, 1),
        padding: padding_down,
        bias: false,
        activation: Default::default(),
        ..conv.clone()
    };
    let across = Conv2d {
        kernel_size: (1, conv.kernel_size.1),
        stride: (1, conv.stride.1),
        dilation: (1, conv.dilation.1),
        padding: padding_across,
        ..conv.clone()
    };
    (down, across)
}

fn put_before(
    draft: &mut Draft<'_>,
    id: NodeId,
    layer: impl Into<Layer>,
    weight: Tensor,
) -> Result<()> {
    let node = draft.expect_node(id);
    let (name, inputs) = (format!("{}_low", node.name()), node.inputs().to_vec());
    let (frozen, is_top) = (node.is_frozen(), node.is_top());
    let position = draft.position(id).unwrap_or(draft.len());
    let low = draft.place(position, Some(name), layer.into(), inputs)?;
    draft.set(low, &[("weight", weight)])?;
    draft.set_frozen(low, frozen);
    draft.set_top(low, is_top);
    let held = draft.dtype(id, "weight");
    draft.hold_in(low, "weight", held)?;
    draft.set_inputs(id, vec![low]);
    Ok(())
}

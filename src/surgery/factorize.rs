use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Contract, EditContext, Graph, NodeId, NodeRef};
use crate::layer::{Conv2d, Dense, Layer, Margins, Padding};
use crate::model::{Draft, Model};

use super::decompose::{Factors, Rank, factors, squares};

impl Model {
    /// Makes two thin layers of one by a truncated singular value
    /// decomposition: `NAME_low` without bias and activation, then NAME. A
    /// dense layer becomes two dense ones; a convolution becomes one of fewer
    /// filters and a 1x1 one (Zhang et al. 2016).
    ///
    /// Contract: approximate; exact, up to rounding, at full rank. The
    /// operation's `error` tells how far the weights are off, as a share of
    /// their norm. For ranks of less than half of a layer's inputs and outputs,
    /// if both are more than 256, directions are found by random projection of
    /// a fixed seed; an energy takes all of them, which is slower. Two layers
    /// have fewer parameters than the one only at ranks below
    /// `in * out / (in + out)`.
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
    /// Those of the name; [`Error::IllegalEdit`](crate::Error::IllegalEdit) for
    /// a layer of another kind, with groups or with weights that are not finite,
    /// and for a rank or an energy that it can't have;
    /// [`Error::InvalidName`](crate::Error::InvalidName) where `NAME_low` is too
    /// long; [`Error::DuplicateName`](crate::Error::DuplicateName).
    pub fn factorize(&self, layer: impl NodeRef, rank: impl Into<Rank>) -> Result<Self> {
        let (id, rank) = (layer.pick(self.graph())?.id, rank.into());
        let what = format!("factorize({}, {rank})", layer.in_words(self.graph()));
        self.redraft(&what, Contract::Approximate, |graph, draft| {
            match graph.node(id)?.layer() {
                Layer::Dense(_) => {}
                Layer::Conv2d(conv) if conv.groups == 1 => {}
                _ => return Err(graph.illegal(id, OTHER_KIND)),
            }
            let weight = draft.value(graph, id, "weight")?;
            let parts = decomposed(graph, draft, id, &weight.flatten_from(1)?, rank)?;
            match graph.expect_node(id).layer().clone() {
                Layer::Dense(dense) => {
                    let count = parts.left.dim(1)?;
                    let low = Dense::new(count).without_bias();
                    let low = low.kernel_init(dense.kernel_init);
                    put_before(graph, draft, id, (low.into(), parts.right))?;
                    draft.set(graph, id, &[("weight", parts.left)])
                }
                Layer::Conv2d(conv) => by_channels(graph, draft, id, (conv, parts)),
                _ => Err(graph.illegal(id, OTHER_KIND)),
            }
        })
    }

    /// Makes two convolutions of one, by a truncated singular value
    /// decomposition: `NAME_low` of a column's shape, then NAME of a row's
    /// (Jaderberg, Vedaldi and Zisserman 2014).
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
        self.redraft(&what, Contract::Approximate, |graph, draft| {
            let Layer::Conv2d(conv) = graph.node(id)?.layer().clone() else {
                return Err(graph.illegal(id, "it is no convolution"));
            };
            if conv.groups != 1 {
                return Err(graph.illegal(id, OTHER_KIND));
            }
            // (I kH, O kW) from (O, I, kH, kW).
            let weight = draft.value(graph, id, "weight")?;
            let (out, inputs, height, width) = weight.dims4()?;
            let matrix = weight.permute((1, 2, 0, 3))?;
            let matrix = matrix.reshape((inputs * height, out * width))?;
            let parts = decomposed(graph, draft, id, &matrix, rank)?;
            let count = parts.left.dim(1)?;
            let column = parts.left.t()?.reshape((count, inputs, height, 1))?;
            let row = parts.right.reshape((count, out, 1, width))?;
            let row = row.permute((1, 0, 2, 3))?;
            let (first, second) = across(&conv, count);
            put_before(graph, draft, id, (first.into(), column))?;
            graph.set_layer(id, second);
            draft.set(graph, id, &[("weight", row)])
        })
    }
}

const OTHER_KIND: &str = "it is no dense layer and no convolution of one group";

fn decomposed(
    graph: &Graph,
    draft: &mut Draft<'_>,
    id: NodeId,
    matrix: &Tensor,
    rank: Rank,
) -> Result<Factors> {
    let energy = squares(matrix)?;
    if !energy.is_finite() {
        return Err(graph.illegal(id, "its weights are not finite"));
    }
    let (rows, columns) = matrix.dims2()?;
    let Some(parts) = factors((matrix, energy), rank)? else {
        let most = rows.min(columns);
        let reason =
            format!("{rank} can't be: ranks go from 1 to {most}, energies from above 0 to 1");
        return Err(graph.illegal(id, &reason));
    };
    draft.set_error(parts.error);
    Ok(parts)
}

/// A convolution of fewer filters, then one of a point.
fn by_channels(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    id: NodeId,
    (conv, parts): (Conv2d, Factors),
) -> Result<()> {
    let count = parts.left.dim(1)?;
    let (height, width) = conv.kernel_size;
    let low = Conv2d {
        out_channels: count,
        bias: false,
        activation: Default::default(),
        ..conv.clone()
    };
    let right = parts.right.reshape((count, (), height, width))?;
    put_before(graph, draft, id, (low.into(), right))?;
    let point = Conv2d {
        kernel_size: (1, 1),
        stride: (1, 1),
        dilation: (1, 1),
        padding: Padding::Valid,
        ..conv
    };
    graph.set_layer(id, point);
    let left = parts.left.reshape((parts.left.dim(0)?, count, 1, 1))?;
    draft.set(graph, id, &[("weight", left)])
}

/// A convolution's columns, of so many filters, and its rows.
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

/// Puts a layer with this weight before another, on its input.
fn put_before(
    graph: &mut EditContext,
    draft: &mut Draft<'_>,
    id: NodeId,
    (layer, weight): (Layer, Tensor),
) -> Result<()> {
    let node = graph.expect_node(id);
    let (name, inputs) = (format!("{}_low", node.name()), node.inputs().to_vec());
    let (frozen, is_top) = (node.is_frozen(), node.is_top());
    let position = graph.position(id).unwrap_or(graph.len());
    let low = graph.place(position, Some(name), layer, inputs)?;
    draft.set(graph, low, &[("weight", weight)])?;
    graph.set_frozen(low, frozen);
    graph.set_top(low, is_top);
    let held = draft.dtype(graph, id, "weight");
    draft.hold_in(graph, low, "weight", held)?;
    graph.set_inputs(id, vec![low]);
    Ok(())
}

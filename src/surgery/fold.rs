use crate::error::Result;
use crate::graph::{Contract, EditContext, Graph, Node, NodeId};
use crate::layers::{Activation, Layer};
use crate::model::{Draft, Model};
use crate::ops::{BatchStatistics, ScaleShift};

impl Model {
    /// Folds every batch norm that follows a convolution or a dense layer into
    /// that layer: `weight * s` and `beta - (mean - bias) * s` with
    /// `s = gamma / sqrt(variance + eps)`. The layer's output is then the norm's
    /// output. Other norms stay. If none stays, the layers get the names that
    /// torchvision uses in the network without norms.
    ///
    /// Contract: exact outside training. Training no longer uses the statistics
    /// of the batch.
    ///
    /// ```
    /// use candle_core::Device;
    /// use vgg_surgery::graph::Contract;
    /// use vgg_surgery::Vgg16Bn;
    ///
    /// let graph = Vgg16Bn::options().widths(16).without_top().untrained(0)?;
    /// let model = graph.build(&Device::Cpu)?;
    /// let folded = model.fold_batch_norm()?;
    /// assert_eq!(folded.graph().len(), model.graph().len() - 13);
    /// assert_eq!(folded.graph().operations().last().unwrap().contract, Contract::Exact);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Candle`](crate::Error::Candle) if the device fails.
    pub fn fold_batch_norm(&self) -> Result<Self> {
        self.redraft("fold_batch_norm()", Contract::Exact, |draft| {
            let mut folded = Vec::new();
            for norm in draft.ids() {
                if let Some(layer) = foldable(draft, norm) {
                    let aliases = draft.expect_node(norm).aliases();
                    folded.extend(aliases.filter_map(index_in_features));
                    fold(draft, layer, norm)?;
                }
            }
            close_gaps(draft, &folded);
            Ok(())
        })
    }
}

const FEATURES: &str = "features.";

/// The index in torchvision's name of a layer.
fn index_in_features(alias: &str) -> Option<usize> {
    alias.strip_prefix(FEATURES)?.parse().ok()
}

/// Renumbers torchvision's names as in the network without norms.
fn close_gaps(graph: &mut EditContext, taken_out: &[usize]) {
    let is_norm = |node: &Node| matches!(node.layer(), Layer::BatchNorm2d(_));
    if graph.nodes().any(is_norm) {
        return;
    }
    for id in graph.ids() {
        graph.change_aliases(id, |aliases| {
            for alias in aliases {
                if let Some(index) = index_in_features(&alias.name) {
                    let before = taken_out.iter().filter(|&&taken| taken < index).count();
                    alias.name = format!("{FEATURES}{}", index - before);
                }
            }
        });
    }
}

/// The layer that a norm can be folded into: a linear one that nothing else
/// reads.
fn foldable(graph: &Graph, norm: NodeId) -> Option<NodeId> {
    let node = graph.find(norm)?;
    let (Layer::BatchNorm2d(_), &[input]) = (node.layer(), node.inputs()) else {
        return None;
    };
    let before = graph.find(input)?;
    let is_linear = before.layer().activation() == Activation::Linear;
    let is_weighted = matches!(before.layer(), Layer::Conv2d(_) | Layer::Dense(_));
    let read_once = graph.users(input).len() == 1 && !graph.outputs().contains(&input);
    (is_linear && is_weighted && read_once).then_some(input)
}

fn fold(draft: &mut Draft<'_>, layer: NodeId, norm: NodeId) -> Result<()> {
    let Layer::BatchNorm2d(settings) = draft.expect_node(norm).layer().clone() else {
        return Ok(());
    };
    let of_norm = |name: &str| draft.value(norm, name);
    let mut mean = of_norm("running_mean")?;
    if draft.has(layer, "bias") {
        // A product with each of the two would lose their difference.
        mean = (mean - draft.value(layer, "bias")?)?;
    }
    let variance = of_norm("running_var")?;
    let statistics = BatchStatistics { mean, variance };
    let (gamma, beta) = (of_norm("weight")?, of_norm("bias")?);
    let ScaleShift { scale, shift: bias } =
        ScaleShift::of_batch_norm(&statistics, &gamma, &beta, settings.eps)?;
    let weight = draft.value(layer, "weight")?;
    let mut shape = vec![1; weight.rank()];
    shape[0] = scale.elem_count();
    let weight = weight.broadcast_mul(&scale.reshape(shape)?)?;
    draft.change_layer(layer, |layer| {
        match layer {
            Layer::Conv2d(conv) => conv.bias = true,
            Layer::Dense(dense) => dense.bias = true,
            _ => {}
        }
        layer.set_activation(settings.activation);
    });
    draft.set(layer, &[("weight", weight), ("bias", bias)])?;
    draft.redirect(norm, layer);
    draft.move_labels(norm, layer);
    // A norm after this one can be folded only if this one no longer reads the layer.
    draft.prune();
    Ok(())
}

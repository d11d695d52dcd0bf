use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Parameter, Pick};
use crate::layer::{Activation, BatchNorm2d, Custom, Layer};
use crate::ops;
use crate::shape::Shape;

use super::core::{Model, Stored};

impl Model {
    /// Runs the network on `x` `(N, C, H, W)`: any batch, any legal size.
    /// Dropout does nothing and batch norms use their running statistics.
    /// Gradients of the parameters are not recorded, those of `x` are if it is
    /// a variable; [`Model::forward_training`] records both.
    ///
    /// Of several outputs it gives the first; see [`Model::forward_all`].
    ///
    /// # Errors
    /// [`Error::InputShape`] if `x` is not as the input declares,
    /// [`Error::InputTooSmall`] if a pool can't take it, [`Error::Layer`] if a
    /// tensor operation fails.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run_first(x, false)
    }

    /// All outputs, in the graph's order; see [`Model::forward`].
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_all(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.run(x, &self.output_picks(), false)
    }

    /// Runs the network as training does: dropout drops, and batch norms that
    /// are not frozen normalise with the batch and update their statistics.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn forward_training(&self, x: &Tensor) -> Result<Tensor> {
        self.run_first(x, true)
    }

    fn run_first(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let mut values = self.run(x, &self.output_picks()[..1], training)?;
        Ok(values.remove(0))
    }

    fn output_picks(&self) -> Vec<Pick> {
        let outputs = self.graph.outputs().iter();
        outputs.map(|&id| Pick::whole(id)).collect()
    }

    /// Computes what is picked, and nothing that no pick depends on; values
    /// are dropped after their last use.
    pub(crate) fn run(&self, x: &Tensor, picks: &[Pick], training: bool) -> Result<Vec<Tensor>> {
        let graph = self.fitted(x, picks)?;
        if x.dims().first() == Some(&0) {
            return self.empty(graph.as_ref().unwrap_or(&self.graph), picks);
        }
        let mut uses = self.uses(picks);
        let mut values: HashMap<NodeId, Tensor> = HashMap::new();
        let mut before: HashMap<NodeId, Tensor> = HashMap::new();
        for node in self.graph.nodes() {
            if !uses.contains_key(&node.id) {
                continue;
            }
            let value = if matches!(node.layer, Layer::Input(_)) {
                x.to_dtype(self.dtype)?
            } else {
                let inputs: Vec<Tensor> = node.inputs.iter().map(|i| values[i].clone()).collect();
                for input in &node.inputs {
                    release(input, &mut uses, &mut values);
                }
                let at_layer = |source| Error::Layer {
                    layer: node.name.clone(),
                    source,
                };
                let pre = self.compute(node, &inputs, training).map_err(at_layer)?;
                drop(inputs);
                if picks.iter().any(|p| p.id == node.id && p.means_pre(node)) {
                    before.insert(node.id, pre.clone());
                }
                ops::activate(&pre, fused_activation(node)).map_err(at_layer)?
            };
            values.insert(node.id, value);
        }
        let picked = picks.iter().map(|pick| {
            let store = match before.get(&pick.id) {
                Some(value) if pick.means_pre(self.graph.expect_node(pick.id)) => value,
                _ => &values[&pick.id],
            };
            store.clone()
        });
        Ok(picked.collect())
    }

    /// How often each value that the picks depend on is used.
    fn uses(&self, picks: &[Pick]) -> HashMap<NodeId, usize> {
        let mut uses: HashMap<NodeId, usize> = HashMap::new();
        let mut seen: HashSet<NodeId> = HashSet::new();
        let mut pending: Vec<NodeId> = picks.iter().map(|pick| pick.id).collect();
        for pick in picks {
            *uses.entry(pick.id).or_default() += 1;
        }
        while let Some(id) = pending.pop() {
            if seen.insert(id) {
                for &input in self.graph.expect_node(id).inputs() {
                    *uses.entry(input).or_default() += 1;
                    pending.push(input);
                }
            }
        }
        uses
    }

    /// Checks `x` against the declared input. Where that leaves the size open,
    /// the graph at the size of `x`, as far as the picks depend on it.
    fn fitted(&self, x: &Tensor, picks: &[Pick]) -> Result<Option<Graph>> {
        let declared = self.graph.input_shape();
        let actual = match *x.dims() {
            [_, channels, height, width] => Shape::map(channels, height, width),
            [_, features] => Shape::vector(features),
            _ => return Err(wrong_input(declared, x)),
        };
        if !declared.accepts(&actual) {
            return Err(wrong_input(declared, x));
        }
        if declared.elements().is_some() {
            return Ok(None);
        }
        let mut needed = self.graph.clone();
        needed.outputs = picks.iter().map(|pick| pick.id).collect();
        needed.input(actual).map(Some)
    }

    /// The outputs for a batch of no examples.
    fn empty(&self, graph: &Graph, picks: &[Pick]) -> Result<Vec<Tensor>> {
        let shapes = picks.iter().map(|pick| graph.expect_node(pick.id).shape);
        shapes
            .map(|shape| {
                let dims = match (shape, shape.size()) {
                    (Shape::Map { channels, .. }, Some((height, width))) => {
                        vec![0, channels, height, width]
                    }
                    _ => vec![0, shape.channels()],
                };
                Ok(Tensor::zeros(dims, self.dtype, &self.device)?)
            })
            .collect()
    }

    /// A node's value before its activation.
    fn compute(
        &self,
        node: &Node,
        inputs: &[Tensor],
        training: bool,
    ) -> candle_core::Result<Tensor> {
        let x = &inputs[0];
        let parameters: Vec<Tensor> = node
            .parameters
            .iter()
            .map(|parameter| self.value(parameter, training))
            .collect();
        let bias = parameters.get(1);
        let window = node.layer.rules().window();
        match &node.layer {
            Layer::Input(_) => Ok(x.clone()),
            Layer::Conv2d(conv) => {
                let groups = conv.groups;
                let convolution = ops::Convolution { window, groups };
                ops::conv2d(x, &parameters[0], bias, convolution)
            }
            Layer::MaxPool2d(_) => ops::max_pool2d(x, window),
            Layer::AvgPool2d(_) => ops::avg_pool2d(x, window),
            Layer::GlobalAvgPool2d(_) => ops::global_avg_pool2d(x),
            Layer::GlobalMaxPool2d(_) => ops::global_max_pool2d(x),
            Layer::AdaptiveAvgPool2d(pool) => ops::adaptive_avg_pool2d(x, pool.output_size),
            Layer::BatchNorm2d(norm) => self.batch_norm(node, norm, x, training),
            Layer::Dense(_) => ops::dense(x, &parameters[0], bias),
            Layer::Flatten(flatten) => ops::flatten(x, flatten.order),
            Layer::Dropout(dropout) if training => {
                let mask = self.masks_drawn.fetch_add(1, Ordering::Relaxed);
                ops::dropout(x, dropout.rate, self.graph.mask_seed(&node.name, mask))
            }
            Layer::Dropout(_) => Ok(x.clone()),
            Layer::Activation(function) => ops::activate(x, *function),
            Layer::Add(_) => ops::add(inputs),
            Layer::Concat(_) => ops::concat(inputs),
            Layer::Upsample(upsample) => {
                let (_, _, height, width) = x.dims4()?;
                let like = inputs.get(1).map(|like| like.dims4()).transpose()?;
                let like = like.map(|(_, _, height, width)| (height, width));
                let size = upsample.output_size((height, width), like);
                ops::upsample(x, size, upsample.mode)
            }
            Layer::ZeroPad2d(pad) => ops::zero_pad2d(x, pad.margins),
            Layer::Rescale(rescale) => ops::rescale(x, &rescale.scale, &rescale.offset),
            Layer::Custom(custom) => run_custom(custom, inputs, &parameters, training),
        }
    }

    /// A parameter's values; outside training they record no gradients, so
    /// that nothing is kept for a backward pass.
    fn value(&self, parameter: &Parameter, training: bool) -> Tensor {
        let tensor = self.get_stored(parameter).tensor();
        if training {
            tensor.clone()
        } else {
            tensor.detach()
        }
    }

    fn batch_norm(
        &self,
        node: &Node,
        norm: &BatchNorm2d,
        x: &Tensor,
        training: bool,
    ) -> candle_core::Result<Tensor> {
        let [weight, bias, mean, variance] = node.parameters.as_slice() else {
            candle_core::bail!("a batch norm has four parameters");
        };
        let running = ops::BatchStatistics {
            mean: self.value(mean, false),
            variance: self.value(variance, false),
        };
        let (weight, bias) = (self.value(weight, training), self.value(bias, training));
        if !training || node.frozen {
            return ops::batch_norm(x, &running, &weight, &bias, norm.eps);
        }
        let batch = ops::batch_statistics(x)?;
        let count = x.elem_count() / x.dim(1)?;
        let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
        for (parameter, old, new, scale) in [
            (mean, &running.mean, &batch.mean, 1.0),
            (variance, &running.variance, &batch.variance, unbiased),
        ] {
            if let Stored::Variable(variable) = self.get_stored(parameter) {
                let share = (new.detach() * (norm.momentum * scale))?;
                variable.set(&((old.detach() * (1.0 - norm.momentum))? + share)?)?;
            }
        }
        ops::batch_norm(x, &batch, &weight, &bias, norm.eps)
    }
}

fn fused_activation(node: &Node) -> Activation {
    if node.has_activation() {
        node.layer.activation()
    } else {
        Activation::Linear
    }
}

fn release(id: &NodeId, uses: &mut HashMap<NodeId, usize>, values: &mut HashMap<NodeId, Tensor>) {
    if let Some(left) = uses.get_mut(id) {
        *left -= 1;
        if *left == 0 {
            values.remove(id);
        }
    }
}

fn wrong_input(expected: Shape, x: &Tensor) -> Error {
    Error::InputShape {
        expected,
        actual: x.dims().to_vec(),
    }
}

/// A user's layer is held to the shape it declared.
fn run_custom(
    custom: &Custom,
    inputs: &[Tensor],
    parameters: &[Tensor],
    training: bool,
) -> candle_core::Result<Tensor> {
    let shapes = inputs
        .iter()
        .map(|input| match *input.dims() {
            [_, channels, height, width] => Ok(Shape::map(channels, height, width)),
            [_, features] => Ok(Shape::vector(features)),
            _ => candle_core::bail!("a layer's input has two or four dimensions"),
        })
        .collect::<candle_core::Result<Vec<_>>>()?;
    let output = custom.inner().forward(inputs, parameters, training)?;
    let declared = custom
        .inner()
        .infer(&shapes)
        .map_err(candle_core::Error::msg)?;
    let actual = match *output.dims() {
        [_, channels, height, width] => Some(Shape::map(channels, height, width)),
        [_, features] => Some(Shape::vector(features)),
        _ => None,
    };
    if actual.is_some_and(|actual| declared.accepts(&actual)) {
        Ok(output)
    } else {
        candle_core::bail!(
            "{} declared an output of {declared}, but gave {:?}",
            custom.kind(),
            output.dims()
        )
    }
}

use std::collections::{HashMap, HashSet};

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Parameter, Part, Pick};
use crate::layer::{BatchNorm2d, Custom, Layer};
use crate::ops;
use crate::shape::Shape;

use super::core::{Model, Stored};
use super::steps::{Chain, Readers, own_activation};
use super::watched::Beside;

impl Model {
    /// Runs the network on `x` `(N, C, H, W)`: any batch, any legal size.
    /// Dropout does nothing and batch norms use their running statistics.
    /// Gradients of the parameters are not recorded, those of `x` are if it is
    /// a variable; [`Model::forward_training`] records both.
    ///
    /// Of several outputs it gives the first; see [`Model::forward_all`].
    ///
    /// On the CPU, maps lie in memory with their channels last, and are views
    /// `(N, C, H, W)` of that; `contiguous()` copies one for those of candle's
    /// operators that ask for it.
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
        self.run_beside(x, picks, training, Beside::default())
    }

    /// As [`Model::run`] outside training, but one value may be given: it is
    /// not computed, and what nothing else depends on is not either.
    pub(crate) fn run_from(
        &self,
        x: &Tensor,
        given: Option<(Pick, &Tensor)>,
        picks: &[Pick],
    ) -> Result<Vec<Tensor>> {
        let beside = Beside {
            given,
            watches: &[],
        };
        self.run_beside(x, picks, false, beside)
    }

    pub(super) fn run_beside(
        &self,
        x: &Tensor,
        picks: &[Pick],
        training: bool,
        Beside { given, watches }: Beside<'_>,
    ) -> Result<Vec<Tensor>> {
        self.workspace.begin_pass();
        let graph = self.fitted(x, picks)?;
        if x.dims().first() == Some(&0) {
            return self.empty(graph.as_ref().unwrap_or(&self.graph), picks);
        }
        let readers = Readers::new(self, picks, given.map(|(pick, _)| pick.id), watches);
        let mut values = Values {
            left: readers.uses.clone(),
            after: HashMap::new(),
            before: HashMap::new(),
        };
        let mut done: HashSet<NodeId> = HashSet::new();
        if let Some((pick, value)) = given {
            values.give(self.graph.expect_node(pick.id), pick, value)?;
            done.insert(pick.id);
        }
        for node in self.graph.nodes() {
            if !readers.uses.contains_key(&node.id) || done.contains(&node.id) {
                continue;
            }
            if matches!(node.layer, Layer::Input(_)) {
                values.after.insert(node.id, x.to_dtype(self.dtype)?);
                continue;
            }
            let chain = self.chain(node, &readers, training);
            if let Some(chain) = &chain {
                done.extend(chain.nodes.iter().map(|node| node.id));
            }
            self.advance(node, chain, &readers, &mut values, training)?;
        }
        Ok(picks.iter().map(|pick| values.of(pick)).collect())
    }

    /// Computes the value of a node, or of the last one of the chain that
    /// begins with it.
    fn advance(
        &self,
        node: &Node,
        chain: Option<Chain<'_>>,
        readers: &Readers<'_>,
        values: &mut Values,
        training: bool,
    ) -> Result<()> {
        let inputs = values.take(node);
        let name = chain.as_ref().map_or(node.name.clone(), Chain::name);
        let at_layer = |source| Error::Layer {
            layer: name.clone(),
            source,
        };
        let (last, pre, activation) = match &chain {
            Some(chain) => {
                let y = ops::run(&self.workspace, &inputs[0], &chain.steps, training);
                let last = chain.nodes.last().copied().unwrap_or(node);
                (last, y, chain.activation)
            }
            None => {
                let y = self.compute(node, &inputs, training);
                (node, y, own_activation(node))
            }
        };
        drop(inputs);
        let pre = pre.map_err(at_layer)?;
        if readers.wants_pre(last) {
            values.before.insert(last.id, pre.clone());
        }
        let value = ops::activate(&pre, activation).map_err(at_layer)?;
        values.after.insert(last.id, value);
        Ok(())
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
        match &node.layer {
            Layer::BatchNorm2d(norm) => self.train_batch_norm(node, norm, x),
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
            Layer::Custom(custom) => {
                let values = |parameter| self.value(parameter, training);
                let parameters: Vec<Tensor> = node.parameters.iter().map(values).collect();
                run_custom(custom, inputs, &parameters, training)
            }
            other => candle_core::bail!("a {} is run as a chain of steps", other.kind()),
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

    /// A batch norm with its running statistics.
    pub(super) fn running_batch_norm(
        &self,
        node: &Node,
        norm: &BatchNorm2d,
    ) -> Option<ops::BatchNorm> {
        let [weight, bias, mean, variance] = node.parameters.as_slice() else {
            return None;
        };
        Some(ops::BatchNorm {
            statistics: ops::BatchStatistics {
                mean: self.value(mean, false),
                variance: self.value(variance, false),
            },
            weight: self.value(weight, false),
            bias: self.value(bias, false),
            eps: norm.eps,
        })
    }

    /// A batch norm that normalises with the batch and updates its running
    /// statistics.
    fn train_batch_norm(
        &self,
        node: &Node,
        norm: &BatchNorm2d,
        x: &Tensor,
    ) -> candle_core::Result<Tensor> {
        let [weight, bias, mean, variance] = node.parameters.as_slice() else {
            candle_core::bail!("a batch norm has four parameters");
        };
        let running = ops::BatchStatistics {
            mean: self.value(mean, false),
            variance: self.value(variance, false),
        };
        let (weight, bias) = (self.value(weight, true), self.value(bias, true));
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

/// Values while the network runs; each is dropped after its last use.
struct Values {
    /// How often each will still be used.
    left: HashMap<NodeId, usize>,
    after: HashMap<NodeId, Tensor>,
    /// Those before their activation that are picked.
    before: HashMap<NodeId, Tensor>,
}

impl Values {
    /// Takes a node's value as given, before or after its activation.
    fn give(&mut self, node: &Node, pick: Pick, value: &Tensor) -> Result<()> {
        let mut after = value.clone();
        if pick.means_pre(node) {
            self.before.insert(node.id, value.clone());
            after = ops::activate(value, own_activation(node))?;
        }
        self.after.insert(node.id, after);
        Ok(())
    }

    /// The inputs of a node that is about to run.
    fn take(&mut self, node: &Node) -> Vec<Tensor> {
        let inputs = node
            .inputs
            .iter()
            .map(|id| self.after[id].clone())
            .collect();
        for id in &node.inputs {
            if let Some(left) = self.left.get_mut(id) {
                *left -= 1;
                if *left == 0 {
                    self.after.remove(id);
                }
            }
        }
        inputs
    }

    fn of(&self, pick: &Pick) -> Tensor {
        let before = self.before.get(&pick.id);
        let value = match pick.part {
            Part::Pre => before.unwrap_or_else(|| &self.after[&pick.id]),
            _ => &self.after[&pick.id],
        };
        value.clone()
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
    let like = &inputs[0];
    if output.dims().first() != like.dims().first()
        || output.dtype() != like.dtype()
        || !output.device().same_device(like.device())
    {
        candle_core::bail!(
            "{} turned a batch of {:?} values {:?} into {:?} values {:?}; keep type, device and \
             batch",
            custom.kind(),
            like.dtype(),
            like.dims(),
            output.dtype(),
            output.dims()
        )
    }
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

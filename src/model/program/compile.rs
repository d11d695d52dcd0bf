//! Compiles a graph to a program: which layers run together, at which sizes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Pick, Shapes};
use crate::layers::{Activation, Layer};
use crate::model::core::Model;
use crate::ops::{Extent, Instruction, Sequence, SequenceInput, TapLoss};

use super::cache::Request;
use super::core::{GIVEN, INPUT, Program, Value};
use super::lower::Lowering;
use super::room::{check_limit, check_recorded, check_room};
use super::step::{CustomCall, Operand, Step, Work};

/// Compiles the layers that the request's picks depend on. With losses, the
/// program returns their sum instead, if they are all in one sequence.
pub(in crate::model) fn compile(
    model: &Model,
    request: &Request,
    losses: &[(Pick, TapLoss)],
) -> Result<Program> {
    let graph = model.graph();
    let wanted: Vec<NodeId> = request.picks.iter().map(|pick| pick.id).collect();
    let mut compiler = Compiler {
        readers: Readers::new(graph, request, &wanted),
        shapes: graph.shapes_of(request.input.shape(), &wanted)?,
        lowering: Lowering {
            model,
            training: request.training,
        },
        request,
        losses,
        steps: Vec::new(),
        registers: GIVEN + 1,
        compiled: HashSet::new(),
        after: HashMap::new(),
        before: HashMap::new(),
    };
    let is_needed = |id| compiler.readers.needed.contains(&id);
    check_room(graph, &compiler.shapes, request.input.batch, is_needed)?;
    compiler.nodes()?;
    check_recorded(&compiler.steps, &model.workspace)?;
    let outputs = request.picks.iter().map(|pick| compiler.picked(pick));
    let outputs = outputs.collect::<Result<Vec<_>>>()?;
    let is_recorded = outputs.iter().any(|output| output.is_tracked);
    check_limit(model, request, &compiler.shapes, is_recorded)?;
    Ok(Program {
        name: graph.name().to_string(),
        input: request.input,
        dtype: model.dtype(),
        device: model.device().clone(),
        steps: live_steps(compiler.steps, &outputs),
        registers: compiler.registers,
        outputs,
    })
}

/// The steps whose values are read. Marks the last use of each value, after
/// which it is dropped, except for outputs.
fn live_steps(steps: Vec<Step>, outputs: &[Value]) -> Vec<Step> {
    let mut read: HashSet<usize> = outputs.iter().map(|value| value.register).collect();
    let mut live = Vec::with_capacity(steps.len());
    for mut step in steps.into_iter().rev() {
        if !read.contains(&step.output) {
            continue;
        }
        for operand in step.inputs.iter_mut().rev() {
            operand.is_last_use = read.insert(operand.register);
        }
        live.push(step);
    }
    live.reverse();
    live
}

struct Compiler<'a> {
    lowering: Lowering<'a>,
    request: &'a Request,
    losses: &'a [(Pick, TapLoss)],
    readers: Readers<'a>,
    shapes: Shapes<'a>,
    steps: Vec<Step>,
    registers: usize,
    compiled: HashSet<NodeId>,
    /// Values after and before the activation of their nodes.
    after: HashMap<NodeId, Value>,
    before: HashMap<NodeId, Value>,
}

impl<'a> Compiler<'a> {
    fn graph(&self) -> &'a Graph {
        self.lowering.model.graph()
    }

    fn nodes(&mut self) -> Result<()> {
        let graph = self.graph();
        let given = self.request.given;
        if let Some((pick, is_tracked)) = given {
            self.give(graph.expect_node(pick.id), pick, is_tracked)?;
        }
        for node in graph.nodes() {
            let id = node.id();
            if !self.readers.needed.contains(&id) || !self.compiled.insert(id) {
                continue;
            }
            if matches!(node.layer(), Layer::Input(_)) {
                let input = Value {
                    register: INPUT,
                    extent: self.request.input,
                    is_tracked: self.request.is_tracked,
                };
                self.after.insert(id, input);
            } else if !self.sequence(node)? {
                self.step(node)?;
            }
        }
        Ok(())
    }

    /// Uses a given value of a node, before or after its activation.
    fn give(&mut self, node: &Node, pick: Pick, is_tracked: bool) -> Result<()> {
        self.compiled.insert(node.id());
        let value = Value {
            register: GIVEN,
            extent: self.extent(node)?,
            is_tracked,
        };
        if pick.means_pre(node) {
            self.before.insert(node.id(), value);
            self.activate(node, value, node.own_activation());
        } else {
            self.after.insert(node.id(), value);
        }
        Ok(())
    }

    /// Compiles the longest chain of layers from a node on that can run as one
    /// sequence. Returns whether there is one.
    fn sequence(&mut self, first: &'a Node) -> Result<bool> {
        if !self.lowering.is_instruction(first) {
            return Ok(false);
        }
        let input = self.value(first.inputs()[0])?;
        let model = self.lowering.model;
        let mut sequence = Sequence::new(
            &model.workspace,
            SequenceInput {
                extent: input.extent,
                device: model.device(),
                dtype: model.dtype(),
                is_tracked: input.is_tracked,
            },
        );
        let (mut last, mut activation) = (first, Activation::Linear);
        let mut next = Some(first);
        while let Some(node) = next.filter(|node| self.lowering.is_instruction(node)) {
            self.push(&mut sequence, node)?;
            self.compiled.insert(node.id());
            last = node;
            activation = self.remaining_activation(node);
            next = match activation {
                Activation::Linear => self.readers.only(node.id()),
                _ => None,
            };
        }
        let mut value = input;
        if !sequence.is_identity() {
            value = Value {
                register: self.registers,
                extent: sequence.output(),
                is_tracked: sequence.is_tracked(),
            };
            let layers = match first.id() == last.id() {
                true => first.name().to_string(),
                false => format!("{}..{}", first.name(), last.name()),
            };
            self.emit(layers, Work::Sequence(Arc::new(sequence)), &[input], value);
        }
        self.finish(last, value, activation);
        Ok(true)
    }

    fn push(&self, sequence: &mut Sequence, node: &Node) -> Result<()> {
        let at_layer = |reason| Error::Layer {
            layer: node.name().to_string(),
            reason,
        };
        let lowered = self.lowering.lower(node, sequence.output());
        if let Some(instruction) = lowered.map_err(at_layer)? {
            sequence.push(node.name(), instruction);
        }
        if node.own_activation() == Activation::Relu && !self.readers.wants_pre(node) {
            sequence.push(node.name(), Instruction::Relu);
        }
        let losses = self.losses.iter();
        for (_, loss) in losses.filter(|(pick, _)| pick.id == node.id()) {
            let loss = Instruction::loss(sequence.output(), loss.clone());
            sequence.push(node.name(), loss.map_err(at_layer)?);
        }
        Ok(())
    }

    /// The part of a node's activation that no instruction applies.
    fn remaining_activation(&self, node: &Node) -> Activation {
        match node.own_activation() {
            Activation::Relu if !self.readers.wants_pre(node) => Activation::Linear,
            activation => activation,
        }
    }

    fn step(&mut self, node: &'a Node) -> Result<()> {
        let inputs = node.inputs().iter().map(|&id| self.value(id));
        let inputs = inputs.collect::<Result<Vec<_>>>()?;
        let extent = self.extent(node)?;
        let is_tracked = inputs.iter().any(|input| input.is_tracked)
            || (self.lowering.training && !node.parameters().is_empty());
        let work = match node.layer() {
            Layer::BatchNorm2d(norm) => Work::BatchNorm(self.lowering.trained_norm(node, norm)?),
            Layer::Activation(activation) => Work::Activation(*activation),
            Layer::Add(_) => Work::Add,
            Layer::Concat(_) => Work::Concat,
            Layer::Upsample(upsample) => Work::Upsample {
                size: extent.shape().size().unwrap_or_default(),
                mode: upsample.mode,
            },
            Layer::ZeroPad2d(pad) => Work::ZeroPad2d(pad.margins),
            Layer::Rescale(rescale) => Work::Rescale(rescale.clone()),
            Layer::Custom(custom) => Work::Custom(CustomCall {
                custom: custom.clone(),
                parameters: self.lowering.values(node),
                training: self.lowering.training,
                is_tracked: is_tracked || self.lowering.training,
                output: extent,
            }),
            Layer::Input(_)
            | Layer::Conv2d(_)
            | Layer::MaxPool2d(_)
            | Layer::AvgPool2d(_)
            | Layer::GlobalAvgPool2d(_)
            | Layer::GlobalMaxPool2d(_)
            | Layer::AdaptiveAvgPool2d(_)
            | Layer::Dense(_)
            | Layer::Flatten(_)
            | Layer::Dropout(_) => {
                let kind = node.layer().kind();
                return Err(Error::InvalidLayer {
                    layer: node.name().to_string(),
                    reason: format!("a {kind} is not a step by itself"),
                });
            }
        };
        let value = Value {
            register: self.registers,
            extent,
            is_tracked: is_tracked || matches!(&work, Work::Custom(call) if call.is_tracked),
        };
        let name = node.name().to_string();
        self.emit(name, work, &inputs, value);
        self.finish(node, value, node.own_activation());
        Ok(())
    }

    /// Stores a node's value, and applies the rest of its activation.
    fn finish(&mut self, node: &Node, value: Value, activation: Activation) {
        if self.readers.wants_pre(node) {
            self.before.insert(node.id(), value);
        }
        self.activate(node, value, activation);
    }

    fn activate(&mut self, node: &Node, value: Value, activation: Activation) {
        let mut after = value;
        if activation != Activation::Linear {
            after.register = self.registers;
            let name = node.name().to_string();
            self.emit(name, Work::Activation(activation), &[value], after);
        }
        self.after.insert(node.id(), after);
    }

    /// Appends a step that writes the next register.
    fn emit(&mut self, layers: String, work: Work, inputs: &[Value], output: Value) {
        let inputs = inputs.iter().map(|value| Operand {
            register: value.register,
            is_last_use: false,
        });
        self.steps.push(Step {
            layers,
            work,
            inputs: inputs.collect(),
            output: output.register,
            extent: output.extent,
        });
        self.registers += 1;
    }

    fn value(&self, id: NodeId) -> Result<Value> {
        self.after.get(&id).copied().ok_or(Error::UnknownNode)
    }

    fn picked(&self, pick: &Pick) -> Result<Value> {
        let node = self.graph().expect_node(pick.id);
        match self.before.get(&pick.id) {
            Some(&before) if pick.means_pre(node) => Ok(before),
            _ => self.value(pick.id),
        }
    }

    fn extent(&self, node: &Node) -> Result<Extent> {
        let shape = self.shapes.of(node.id());
        Extent::new(self.request.input.batch, shape).ok_or_else(|| Error::InvalidLayer {
            layer: node.name().to_string(),
            reason: format!(
                "its output {shape} has no height and width, although its input has; a custom \
                 layer's `infer` has to give them"
            ),
        })
    }
}

/// The readers of each node that the picks depend on.
struct Readers<'a> {
    /// The nodes that the picks depend on. Nothing is read for the node whose
    /// value is given.
    needed: HashSet<NodeId>,
    by_value: HashMap<NodeId, Vec<&'a Node>>,
    picks: &'a [Pick],
}

impl<'a> Readers<'a> {
    fn new(graph: &'a Graph, request: &'a Request, wanted: &[NodeId]) -> Self {
        let given = request.given.map(|(pick, _)| pick.id);
        let needed = graph.ancestors_until(wanted, given);
        let reads = |node: &Node| needed.contains(&node.id()) && Some(node.id()) != given;
        Self {
            by_value: graph.readers(reads),
            needed,
            picks: &request.picks,
        }
    }

    /// The node that reads a value, if it is the only reader.
    fn only(&self, id: NodeId) -> Option<&'a Node> {
        let is_picked = self.picks.iter().any(|pick| pick.id == id);
        match self.by_value.get(&id)?.as_slice() {
            [node] if !is_picked => Some(node),
            _ => None,
        }
    }

    /// Whether the value before a node's activation is wanted.
    fn wants_pre(&self, node: &Node) -> bool {
        let mut picks = self.picks.iter();
        picks.any(|pick| pick.id == node.id() && pick.means_pre(node))
    }
}

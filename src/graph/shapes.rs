//! Shapes and parameters that follow from the shape of the input.

use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::layers::{Input, Layer, Misfit, ParameterSpec};
use crate::shape::Shape;

use super::core::Graph;
use super::node::{Node, NodeId, Parameter};
use super::origin::{Origin, parameter_seed};
use super::select::NodeRef;

/// The most values of one example in a layer's output. A larger allocation would
/// end the process.
const MOST_VALUES: u128 = 1 << 33;

fn of_workable_size(shape: Shape) -> std::result::Result<Shape, Misfit> {
    let (height, width) = shape.size().unwrap_or((1, 1));
    let sides = [shape.channels(), height, width];
    let values: u128 = sides.iter().map(|&side| side as u128).product();
    if values <= MOST_VALUES {
        return Ok(shape);
    }
    Err(Misfit::Invalid(format!(
        "its output {shape} has {values} values, more than the {MOST_VALUES} that fit into memory"
    )))
}

/// The shape of what each node gives for one shape of the input, without the
/// batch.
#[derive(Clone, Debug)]
pub struct Shapes<'g> {
    graph: &'g Graph,
    by_node: HashMap<NodeId, Shape>,
}

impl Shapes<'_> {
    /// The shape of a node's output.
    ///
    /// # Errors
    /// The errors of [`Graph::node`].
    pub fn get(&self, node: impl NodeRef) -> Result<Shape> {
        let pick = node.pick(self.graph)?;
        let shape = self.by_node.get(&pick.id).copied();
        shape.ok_or(Error::UnknownNode)
    }

    /// The shape of each output of the network.
    pub fn outputs(&self) -> Vec<Shape> {
        let outputs = self.graph.outputs().iter();
        outputs.map(|&id| self.of(id)).collect()
    }

    fn known(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.graph.nodes();
        nodes.filter(|node| self.by_node.contains_key(&node.id))
    }

    /// Values of all these outputs for one example, as training keeps them. None if a
    /// size is unknown.
    pub(crate) fn all_values(&self) -> Option<u64> {
        self.known().try_fold(0u64, |sum, node| {
            Some(sum.saturating_add(self.of(node.id).elements()? as u64))
        })
    }

    /// The most values of one example that are alive at once when each is dropped after
    /// its last use, and the outputs of `kept` never.
    pub(crate) fn live_values(&self, kept: &[NodeId]) -> Option<u64> {
        let readers = self
            .graph
            .readers(|node| self.by_node.contains_key(&node.id));
        let last_use = |node: &Node| match readers.get(&node.id).and_then(|by| by.last()) {
            _ if kept.contains(&node.id) => None,
            last => Some(last.map_or(node.id, |last| last.id)),
        };
        let mut alive: Vec<(Option<NodeId>, u64)> = Vec::new();
        let mut most = 0u64;
        for node in self.known() {
            alive.push((last_use(node), self.of(node.id).elements()? as u64));
            let values = alive.iter().map(|&(_, values)| values);
            most = most.max(values.fold(0, u64::saturating_add));
            alive.retain(|(last_use, _)| *last_use != Some(node.id));
        }
        Some(most)
    }

    /// The shape of a node that was asked for, or that such a node depends on.
    pub(crate) fn of(&self, node: NodeId) -> Shape {
        let shape = self.by_node.get(&node).copied();
        shape.expect("only nodes whose shapes were asked for are looked up")
    }
}

/// A node's output shape, and its parameters if they change.
pub(super) struct NodeShape {
    pub(super) shape: Shape,
    pub(super) parameters: Option<Vec<Parameter>>,
}

impl Graph {
    /// The shapes that all nodes have for an input of this shape:
    /// `(channels, height, width)`, a vector's length, or a [`Shape`]. The
    /// graph does not change; [`Graph::input`] returns a graph with this input.
    ///
    /// ```
    /// use vgg_surgery::graph::Shape;
    /// use vgg_surgery::Vgg16;
    ///
    /// let graph = Vgg16::pretrained().without_top()?;
    /// let shapes = graph.shapes_at((3, 224, 224))?;
    /// assert_eq!(shapes.get("block4_pool")?, Shape::map(512, 14, 14));
    /// assert_eq!(shapes.outputs(), [Shape::map(512, 7, 7)]);
    /// # Ok::<(), vgg_surgery::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Graph::input`].
    pub fn shapes_at(&self, input: impl Into<Shape>) -> Result<Shapes<'_>> {
        let shapes = self.infer_all(input.into(), |_| true)?;
        Ok(self.shapes(shapes))
    }

    /// As [`Graph::shapes_at`], only for these nodes and the nodes that they
    /// depend on. Other nodes may not be able to take the input.
    pub(crate) fn shapes_of(&self, input: Shape, wanted: &[NodeId]) -> Result<Shapes<'_>> {
        let needed = self.ancestors(wanted);
        let shapes = self.infer_all(input, |id| needed.contains(&id))?;
        Ok(self.shapes(shapes))
    }

    /// The shapes for the input that the graph has.
    pub(super) fn own_shapes(&self) -> Shapes<'_> {
        Shapes {
            graph: self,
            by_node: self.nodes().map(|node| (node.id, node.shape)).collect(),
        }
    }

    fn shapes(&self, shapes: HashMap<NodeId, NodeShape>) -> Shapes<'_> {
        let shapes = shapes.into_iter().map(|(id, node)| (id, node.shape));
        Shapes {
            graph: self,
            by_node: shapes.collect(),
        }
    }

    /// The shapes that follow from an input: new parameters take the shape that follows,
    /// pretrained and trained ones must keep theirs.
    pub(super) fn infer_all(
        &self,
        input: Shape,
        is_needed: impl Fn(NodeId) -> bool,
    ) -> Result<HashMap<NodeId, NodeShape>> {
        let mut shapes = HashMap::with_capacity(self.len());
        for node in self.nodes().filter(|node| is_needed(node.id)) {
            let shape = match node.layer {
                Layer::Input(_) => self.infer_node(node, &Input::new(input).into(), &shapes)?,
                _ => self.infer_node(node, &node.layer, &shapes)?,
            };
            shapes.insert(node.id, shape);
        }
        Ok(shapes)
    }

    fn infer_node(
        &self,
        node: &Node,
        layer: &Layer,
        shapes: &HashMap<NodeId, NodeShape>,
    ) -> Result<NodeShape> {
        let rules = layer.rules();
        if !rules.arity().admits(node.inputs.len()) {
            return Err(Error::InputCount {
                layer: node.name.clone(),
                expected: rules.arity().in_words(),
                actual: node.inputs.len(),
            });
        }
        let input = |id| {
            shapes
                .get(id)
                .map(|node| node.shape)
                .ok_or(Error::UnknownNode)
        };
        let inputs = node.inputs.iter().map(input).collect::<Result<Vec<_>>>()?;
        let shape = rules
            .infer(&inputs)
            .and_then(of_workable_size)
            .map_err(|misfit| misfit.at(&node.name))?;
        let specs = rules.parameters(&inputs);
        let mut pairs = specs.iter().zip(&node.parameters);
        let unchanged = specs.len() == node.parameters.len()
            && pairs.all(|(spec, parameter)| is_spec_of(spec, parameter));
        let parameters = (!unchanged).then(|| {
            let fitted = specs
                .into_iter()
                .map(|spec| self.fit_parameter(node, spec, inputs.first().copied()));
            fitted.collect::<Result<_>>()
        });
        Ok(NodeShape {
            shape,
            parameters: parameters.transpose()?,
        })
    }

    fn fit_parameter(
        &self,
        node: &Node,
        spec: ParameterSpec,
        input: Option<Shape>,
    ) -> Result<Parameter> {
        let old = node.parameters.iter().find(|old| old.name == spec.name);
        match old {
            Some(old) if is_spec_of(&spec, old) => Ok(old.clone()),
            Some(
                old @ Parameter {
                    origin: Origin::Init { seed, .. },
                    ..
                },
            ) => Ok(Parameter::drawn(spec, *seed, Some(old))),
            Some(old) => Err(Error::ShapeMismatch {
                layer: node.name.clone(),
                expected: format!(
                    "the input that its {} {:?} was made for ({})",
                    old.name,
                    old.shape,
                    self.remedy(node, old, input)
                ),
                actual: input.unwrap_or(node.shape),
            }),
            None => {
                let seed = parameter_seed(self.seed, &node.name, &spec.name);
                Ok(Parameter::drawn(spec, seed, None))
            }
        }
    }

    /// What to do where a parameter does not fit what its layer takes.
    fn remedy(&self, node: &Node, old: &Parameter, input: Option<Shape>) -> String {
        let reinitialize = format!(
            "reinitialize(\"{}\") first to start it from scratch",
            node.name
        );
        let reads_images = node.inputs.iter().any(|id| {
            let source = self.find(*id).map(Node::layer);
            matches!(source, Some(Layer::Input(_)))
        });
        match (input, old.shape.get(1)) {
            _ if !reads_images => reinitialize,
            (Some(Shape::Map { width, .. }), Some(&channels)) if width == Some(channels) => {
                "shapes are (channels, height, width)".to_string()
            }
            (Some(Shape::Map { .. }), Some(_)) => {
                format!(
                    "Model::adapt_input makes filters for other channels of those; {reinitialize}"
                )
            }
            _ => reinitialize,
        }
    }
}

fn is_spec_of(spec: &ParameterSpec, parameter: &Parameter) -> bool {
    spec.name == parameter.name && spec.shape == parameter.shape
}

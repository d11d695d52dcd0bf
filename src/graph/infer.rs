use std::collections::HashMap;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layer::{Layer, Misfit, ParameterSpec};
use crate::shape::Shape;

use super::core::{Graph, parameter_seed};
use super::node::{Node, NodeId, Origin, Parameter};

/// Values of one example that a layer may give: beyond it, no machine has the
/// memory, and asking for it would end the process.
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

impl Graph {
    /// Infers every shape again, and fits the parameters to them: new ones
    /// take the new shape, pretrained and trained ones must keep theirs.
    pub(crate) fn infer(&mut self) -> Result<()> {
        let mut shapes: HashMap<NodeId, Shape> = HashMap::with_capacity(self.nodes.len());
        for index in 0..self.nodes.len() {
            let (shape, parameters) = self.infer_node(&self.nodes[index], &shapes)?;
            shapes.insert(self.nodes[index].id, shape);
            let node = &mut self.nodes[index];
            let unchanged = node.shape == shape && parameters.is_none();
            if !unchanged {
                let node = Arc::make_mut(node);
                node.shape = shape;
                if let Some(parameters) = parameters {
                    node.parameters = parameters;
                }
            }
        }
        Ok(())
    }

    /// A node's shape, and its parameters where they change.
    fn infer_node(
        &self,
        node: &Node,
        shapes: &HashMap<NodeId, Shape>,
    ) -> Result<(Shape, Option<Vec<Parameter>>)> {
        let rules = node.layer.rules();
        if !rules.arity().admits(node.inputs.len()) {
            return Err(Error::InputCount {
                layer: node.name.clone(),
                expected: rules.arity().in_words(),
                actual: node.inputs.len(),
            });
        }
        let inputs = node
            .inputs
            .iter()
            .map(|id| shapes.get(id).copied().ok_or(Error::UnknownNode))
            .collect::<Result<Vec<_>>>()?;
        let shape = rules
            .infer(&inputs)
            .and_then(of_workable_size)
            .map_err(|misfit| misfit.at(&node.name))?;
        let specs = rules.parameters(&inputs);
        let fits = specs.len() == node.parameters.len()
            && specs
                .iter()
                .zip(&node.parameters)
                .all(|(spec, parameter)| is_spec_of(spec, parameter));
        if fits {
            return Ok((shape, None));
        }
        let parameters = specs
            .into_iter()
            .map(|spec| self.fit_parameter(node, spec, inputs.first().copied()))
            .collect::<Result<Vec<_>>>()?;
        Ok((shape, Some(parameters)))
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
            Some(Parameter {
                origin: Origin::Init { seed, .. },
                ..
            }) => Ok(Parameter::new(spec, *seed)),
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
                Ok(Parameter::new(spec, seed))
            }
        }
    }

    /// What to do where a parameter does not fit what its layer takes.
    fn remedy(&self, node: &Node, old: &Parameter, input: Option<Shape>) -> String {
        let anew = format!("reinitialize(\"{}\") first to start it anew", node.name);
        let reads_pictures = node.inputs.iter().any(|id| {
            let source = self.find(*id).map(Node::layer);
            matches!(source, Some(Layer::Input(_)))
        });
        match (input, old.shape.get(1)) {
            _ if !reads_pictures => anew,
            (Some(Shape::Map { width, .. }), Some(&channels)) if width == Some(channels) => {
                "shapes are (channels, height, width)".to_string()
            }
            (Some(Shape::Map { .. }), Some(_)) => {
                format!("Model::adapt_input makes filters for other channels of those; {anew}")
            }
            _ => anew,
        }
    }
}

fn is_spec_of(spec: &ParameterSpec, parameter: &Parameter) -> bool {
    spec.name == parameter.name && spec.shape == parameter.shape
}

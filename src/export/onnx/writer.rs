use std::collections::{HashMap, HashSet};

use candle_core::{DType, Device, Tensor};

use crate::error::{FileError, Result};
use crate::graph::Node;
use crate::layers::{Activation, Layer};
use crate::model::Model;
use crate::shape::Shape;

use super::proto::Message;

const FLOAT: i64 = 1;
const INT64: i64 = 7;

pub(super) enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
}

impl Attribute {
    fn message(&self, name: &str) -> Message {
        let message = Message::default().text(1, name);
        match self {
            Self::Float(value) => message.float(2, *value).int(20, 1),
            Self::Int(value) => message.int(3, *value).int(20, 2),
            Self::Text(text) => message.text(4, text).int(20, 3),
            Self::Ints(values) => message.ints(8, values).int(20, 7),
        }
    }
}

pub(super) type Attributes = Vec<(&'static str, Attribute)>;

/// Collects the operators and constants of a graph.
///
/// The output of a layer has its name. Values within a layer have a colon in
/// their names, which layer names can't have.
pub(super) struct Writer<'a> {
    pub(super) model: &'a Model,
    parameters: HashMap<(&'a str, &'a str), &'a Tensor>,
    nodes: Vec<Message>,
    initializers: Vec<Message>,
    constants: HashSet<String>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(model: &'a Model) -> Self {
        let parameters = model.parameters();
        Self {
            model,
            parameters: parameters.map(|p| ((p.layer, p.name), p.tensor)).collect(),
            nodes: Vec::new(),
            initializers: Vec::new(),
            constants: HashSet::new(),
        }
    }

    pub(super) fn write(mut self) -> Result<Message> {
        let model = self.model;
        let graph = model.graph();
        let mut inputs = Vec::new();
        for node in graph.nodes() {
            if let Layer::Input(input) = node.layer() {
                inputs.push(value_info(node.name(), input.shape, true));
            } else {
                self.layer(node)?;
            }
        }
        let mut outputs = Vec::new();
        let mut seen = HashSet::new();
        for (index, &id) in graph.outputs().iter().enumerate() {
            let node = graph.node(id)?;
            let mut name = node.name().to_string();
            // ONNX allows a value to be an output only once, and an input never.
            if !seen.insert(id) || matches!(node.layer(), Layer::Input(_)) {
                name = format!("{name}:output{index}");
                self.operator("Identity", &[node.name()], &name, Vec::new());
            }
            outputs.push(value_info(&name, node.shape(), false));
        }
        Ok(Message::default()
            .messages(1, self.nodes)
            .text(2, graph.name())
            .messages(5, self.initializers)
            .messages(11, inputs)
            .messages(12, outputs))
    }

    pub(super) fn operator(
        &mut self,
        kind: &str,
        inputs: &[&str],
        output: &str,
        attributes: Attributes,
    ) {
        let inputs = inputs.iter();
        let message = inputs.fold(Message::default(), |message, input| message.text(1, input));
        let message = message.text(2, output).text(3, output).text(4, kind);
        let attributes = attributes.iter().map(|(name, value)| value.message(name));
        let node = message.messages(5, attributes.collect());
        self.nodes.push(node);
    }

    /// A layer's parameter as a constant, and its name.
    pub(super) fn parameter(&mut self, node: &Node, name: &str) -> Result<String> {
        let tensor = self.parameters.get(&(node.name(), name));
        let tensor = tensor.ok_or_else(|| not_in_onnx(node, "its parameters are missing"))?;
        let key = format!("{}:{name}", node.name());
        self.tensor(&key, (*tensor).detach())?;
        Ok(key)
    }

    pub(super) fn floats(&mut self, name: &str, values: Vec<f32>, dims: &[usize]) -> Result<()> {
        self.tensor(name, Tensor::from_vec(values, dims, &Device::Cpu)?)
    }

    fn tensor(&mut self, name: &str, tensor: Tensor) -> Result<()> {
        let tensor = tensor.to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        let dims: Vec<i64> = tensor.dims().iter().map(|&side| signed(side)).collect();
        let message = Message::default()
            .ints(1, &dims)
            .int(2, FLOAT)
            .text(8, name)
            .values(9, tensor);
        self.constant(name, message);
        Ok(())
    }

    pub(super) fn ints(&mut self, name: &str, values: &[i64]) {
        let message = Message::default()
            .ints(1, &[signed(values.len())])
            .int(2, INT64)
            .ints(7, values)
            .text(8, name);
        self.constant(name, message);
    }

    fn constant(&mut self, name: &str, message: Message) {
        if self.constants.insert(name.to_string()) {
            self.initializers.push(message);
        }
    }

    pub(super) fn activation(
        &mut self,
        activation: Activation,
        input: &str,
        output: &str,
    ) -> Result<()> {
        let kind = match activation {
            Activation::Linear => "Identity",
            Activation::Relu => "Relu",
            Activation::Sigmoid => "Sigmoid",
            Activation::Tanh => "Tanh",
            Activation::Softmax => {
                self.operator("Softmax", &[input], output, axis(1));
                return Ok(());
            }
            Activation::Gelu => return self.gelu(input, output),
        };
        self.operator(kind, &[input], output, Vec::new());
        Ok(())
    }

    /// `x * (1 + erf(x / sqrt(2))) / 2`.
    fn gelu(&mut self, input: &str, output: &str) -> Result<()> {
        let names = inner_names(output, ["scaled", "erf", "shifted", "product"]);
        let [scaled, erf, shifted, product] = names;
        for (name, value) in [
            (":root half", std::f32::consts::FRAC_1_SQRT_2),
            (":one", 1.0),
            (":half", 0.5),
        ] {
            self.floats(name, vec![value], &[1])?;
        }
        for (kind, inputs, output) in [
            ("Mul", &[input, ":root half"][..], scaled.as_str()),
            ("Erf", &[&scaled], &erf),
            ("Add", &[&erf, ":one"], &shifted),
            ("Mul", &[input, &shifted], &product),
            ("Mul", &[&product, ":half"], output),
        ] {
            self.operator(kind, inputs, output, Vec::new());
        }
        Ok(())
    }
}

pub(super) fn inner_names<const N: usize>(layer: &str, names: [&str; N]) -> [String; N] {
    names.map(|name| format!("{layer}:{name}"))
}

pub(super) fn axis(axis: i64) -> Attributes {
    vec![("axis", Attribute::Int(axis))]
}

pub(super) fn pair((a, b): (usize, usize)) -> Attribute {
    Attribute::Ints(vec![signed(a), signed(b)])
}

/// Converts a size. Layers check their sizes, which are far below the maximum.
pub(super) fn signed(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(super) fn not_in_onnx(node: &Node, reason: &str) -> FileError {
    FileError::NotInOnnx {
        layer: node.name().to_string(),
        reason: reason.to_string(),
    }
}

/// The name, type and shape of a value; the batch and unknown sizes are open.
fn value_info(name: &str, shape: Shape, is_input: bool) -> Message {
    let open = |name: &str| Message::default().text(2, name);
    let side = |size: Option<usize>, name: &str| match size {
        Some(size) => Message::default().int(1, signed(size)),
        None if is_input => open(name),
        None => Message::default(),
    };
    let mut dims = vec![open("N"), side(Some(shape.channels()), "")];
    if let Shape::Map { height, width, .. } = shape {
        dims.extend([side(height, "height"), side(width, "width")]);
    }
    let shape = Message::default().messages(1, dims);
    let tensor = Message::default().int(1, FLOAT).message(2, shape);
    let kind = Message::default().message(1, tensor);
    Message::default().text(1, name).message(2, kind)
}

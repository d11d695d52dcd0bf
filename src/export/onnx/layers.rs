use crate::error::Result;
use crate::graph::Node;
use crate::layers::{FlattenOrder, Layer, Margins, Padding, Rescale, Window, ZeroPad2d};
use crate::shape::Shape;

use super::writer::{Attribute, Attributes, Writer, axis, inner_names, not_in_onnx, pair, signed};

impl Writer<'_> {
    /// Writes a layer's operators; its value gets the layer's name.
    pub(super) fn layer(&mut self, node: &Node) -> Result<()> {
        let activation = node.layer().activation();
        let fused = node.has_activation();
        let output = match fused {
            true => format!("{}:pre", node.name()),
            false => node.name().to_string(),
        };
        let graph = self.model.graph();
        let inputs = node.inputs().iter().map(|&id| graph.node(id));
        let inputs: Vec<&Node> = inputs.collect::<Result<_>>()?;
        self.bare_layer(node, &inputs, &output)?;
        if fused {
            self.activation(activation, &output, node.name())?;
        }
        Ok(())
    }

    fn bare_layer(&mut self, node: &Node, inputs: &[&Node], output: &str) -> Result<()> {
        let names: Vec<&str> = inputs.iter().map(|input| input.name()).collect();
        let (x, shape) = (names[0], inputs[0].shape());
        match node.layer() {
            Layer::Input(_) => {}
            Layer::Conv2d(conv) => {
                let mut attributes = window(node, shape)?;
                attributes.push(("dilations", pair(conv.dilation)));
                attributes.push(("group", Attribute::Int(signed(conv.groups))));
                self.weighted("Conv", node, x, output, attributes)?;
            }
            Layer::Dense(_) => {
                let transposed = vec![("transB", Attribute::Int(1))];
                self.weighted("Gemm", node, x, output, transposed)?;
            }
            Layer::BatchNorm2d(norm) => {
                let parameters = ["weight", "bias", "running_mean", "running_var"];
                let parameters = parameters.map(|name| self.parameter(node, name));
                let [weight, bias, mean, variance] = parameters;
                let (weight, bias, mean, variance) = (weight?, bias?, mean?, variance?);
                let inputs = [x, &weight, &bias, &mean, &variance];
                let epsilon = vec![("epsilon", Attribute::Float(norm.eps as f32))];
                self.operator("BatchNormalization", &inputs, output, epsilon);
            }
            Layer::MaxPool2d(_) => self.operator("MaxPool", &[x], output, window(node, shape)?),
            Layer::AvgPool2d(_) => self.operator("AveragePool", &[x], output, window(node, shape)?),
            Layer::GlobalAvgPool2d(_) => self.global("GlobalAveragePool", x, output),
            Layer::GlobalMaxPool2d(_) => self.global("GlobalMaxPool", x, output),
            Layer::AdaptiveAvgPool2d(pool) => {
                self.adaptive(node, x, shape, pool.output_size)?;
            }
            Layer::Flatten(flatten) => self.flatten(flatten.order, x, shape, output),
            Layer::Dropout(_) => self.operator("Identity", &[x], output, Vec::new()),
            Layer::Activation(function) => self.activation(*function, x, output)?,
            Layer::Add(_) => self.operator("Sum", &names, output, Vec::new()),
            Layer::Concat(_) => self.operator("Concat", &names, output, axis(1)),
            Layer::Upsample(upsample) => self.upsample(node, upsample, inputs)?,
            Layer::ZeroPad2d(pad) => self.pad(pad, x, output),
            Layer::Rescale(rescale) => self.rescale(rescale, x, shape, output)?,
            Layer::Custom(_) => {
                let reason = "it is a custom layer; replace it with layers of this crate first";
                return Err(not_in_onnx(node, reason).into());
            }
        }
        Ok(())
    }

    /// An operator with a weight and perhaps a bias.
    fn weighted(
        &mut self,
        kind: &str,
        node: &Node,
        x: &str,
        output: &str,
        attributes: Attributes,
    ) -> Result<()> {
        let mut inputs = vec![x.to_string()];
        for parameter in node.parameters() {
            inputs.push(self.parameter(node, parameter.name())?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.operator(kind, &inputs, output, attributes);
        Ok(())
    }

    fn global(&mut self, kind: &str, x: &str, output: &str) {
        let map = format!("{output}:map");
        self.operator(kind, &[x], &map, Vec::new());
        self.operator("Flatten", &[&map], output, axis(1));
    }

    fn flatten(&mut self, order: FlattenOrder, x: &str, shape: Shape, output: &str) {
        let turned = format!("{output}:channels last");
        let mut x = x;
        if order == FlattenOrder::Hwc && matches!(shape, Shape::Map { .. }) {
            let order = vec![("perm", Attribute::Ints(vec![0, 2, 3, 1]))];
            self.operator("Transpose", &[x], &turned, order);
            x = &turned;
        }
        self.operator("Flatten", &[x], output, axis(1));
    }

    fn pad(&mut self, pad: &ZeroPad2d, x: &str, output: &str) {
        let Margins {
            top,
            bottom,
            left,
            right,
        } = pad.margins;
        let [top, bottom, left, right] = [top, bottom, left, right].map(signed);
        let margins = format!("{output}:margins");
        self.ints(&margins, &[0, 0, top, left, 0, 0, bottom, right]);
        self.operator("Pad", &[x, &margins], output, Vec::new());
    }

    fn rescale(&mut self, rescale: &Rescale, x: &str, shape: Shape, output: &str) -> Result<()> {
        let [scale, offset, scaled] = inner_names(output, ["scale", "offset", "scaled"]);
        for (name, values) in [(&scale, &rescale.scale), (&offset, &rescale.offset)] {
            let dims = match shape {
                Shape::Map { .. } => vec![values.len(), 1, 1],
                Shape::Vector { .. } => vec![values.len()],
            };
            self.floats(name, values.clone(), &dims)?;
        }
        self.operator("Mul", &[x, &scale], &scaled, Vec::new());
        self.operator("Add", &[&scaled, &offset], output, Vec::new());
        Ok(())
    }
}

fn window(node: &Node, input: Shape) -> Result<Attributes> {
    let window: Window = node.layer().rules().window();
    let mut attributes = vec![
        ("kernel_shape", pair(window.kernel_size)),
        ("strides", pair(window.stride)),
    ];
    let open = window.padding == Padding::Same && window.stride != (1, 1);
    let margins = match input.size() {
        Some((height, width)) => window.margins(height, width),
        // These margins do not depend on the size.
        None if !open => window.margins(1 << 16, 1 << 16),
        None if window.dilation == (1, 1) => {
            attributes.push(("auto_pad", Attribute::Text("SAME_UPPER")));
            return Ok(attributes);
        }
        None => {
            let reason = "its margins depend on the input size; set that with input(..)";
            return Err(not_in_onnx(node, reason).into());
        }
    };
    let pads = [margins.top, margins.left, margins.bottom, margins.right];
    let pads = pads.map(signed).to_vec();
    attributes.push(("pads", Attribute::Ints(pads)));
    Ok(attributes)
}

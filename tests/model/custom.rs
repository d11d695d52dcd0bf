use candle_core::{Tensor, Var};
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{Custom, CustomLayer, Init, ParameterSpec};
use vgg_surgery::{Error, Graph};

use crate::{assert_close, built, images, parameter, values};

/// `x * weight + x.mean()`, and the sum of all inputs if there are several.
#[derive(Debug)]
struct Scale {
    /// Added to the output's channels, as no honest layer does.
    lie: usize,
}

impl CustomLayer for Scale {
    fn kind(&self) -> &str {
        "Scale"
    }

    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        match inputs[0] {
            Shape::Map { channels, .. } if channels > 5 => {
                Err(format!("{channels} channels are too many"))
            }
            Shape::Map {
                channels,
                height,
                width,
            } => Ok(Shape::Map {
                channels: channels + self.lie,
                height,
                width,
            }),
            vector => Ok(vector),
        }
    }

    fn parameters(&self, inputs: &[Shape]) -> Vec<ParameterSpec> {
        let channels = inputs[0].channels();
        let weight = ParameterSpec::new("scale", [1, channels, 1, 1]).init(Init::Constant(3.0));
        vec![weight, ParameterSpec::new("seen", [1]).buffer()]
    }

    fn forward(
        &self,
        inputs: &[Tensor],
        parameters: &[Tensor],
        training: bool,
    ) -> candle_core::Result<Tensor> {
        let mut sum = inputs[0].clone();
        for input in &inputs[1..] {
            sum = (sum + input)?;
        }
        let scaled = sum.broadcast_mul(&parameters[0])?;
        if training { scaled + 100.0 } else { Ok(scaled) }
    }
}

fn scaled(lie: usize) -> Graph {
    let graph = Graph::new("g", Shape::any_size(3)).unwrap();
    graph
        .attach(Custom::new(Scale { lie }).named("scale"))
        .unwrap()
}

#[test]
fn a_custom_layer_runs_and_trains() {
    let model = built(scaled(0));
    assert_eq!(
        model.graph().layer::<Custom>("scale").unwrap().kind(),
        "Scale"
    );
    assert_eq!(model.graph().node("scale").unwrap().layer().kind(), "Scale");
    assert_eq!(model.graph().parameter_count(), 4);
    assert_eq!(model.graph().trainable_count(), 3);
    let x = images((2, 3, 4, 5));
    let expected = (&x * 3.0).unwrap();
    assert_close(&model.forward(&x).unwrap(), &expected, 0.0, "forward");
    let trained = (&expected + 100.0).unwrap();
    assert_close(
        &model.forward_training(&x).unwrap(),
        &trained,
        0.0,
        "training",
    );
    let variables: Vec<Var> = model.trainable_variables();
    assert_eq!(variables.len(), 1);
    let loss = model.forward_training(&x).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let gradient = gradients.get(&variables[0]).unwrap();
    let expected = x.sum_keepdim((0, 2, 3)).unwrap();
    assert_close(gradient, &expected, 1e-5, "gradient");
    assert_eq!(values(&parameter(&model, "scale.seen")), [0.0]);
}

#[test]
fn a_custom_layer_takes_several_inputs() {
    let mut graph = Graph::new("g", (3, 4, 4)).unwrap();
    let input = graph.node_id("input").unwrap();
    let sum = Custom::new(Scale { lie: 0 });
    let sum = graph.add("sum", sum, [input, input, input]).unwrap();
    let model = built(graph.with_outputs([sum]).unwrap());
    let x = images((1, 3, 4, 4));
    let expected = (&x * 9.0).unwrap();
    assert_close(&model.forward(&x).unwrap(), &expected, 1e-6, "sum");
    let mut graph = Graph::new("g", (3, 4, 4)).unwrap();
    let none = graph.add("none", Custom::new(Scale { lie: 0 }), [""; 0]);
    let error = none.unwrap_err();
    assert!(matches!(error, Error::InputCount { actual: 0, .. }));
}

#[test]
fn a_layer_that_lies_about_its_shape_is_caught() {
    let model = built(scaled(1));
    let error = model.forward(&images((1, 3, 4, 4))).unwrap_err();
    assert_eq!(error.layer(), Some("scale"));
    assert!(matches!(error, Error::Layer { .. }));
    let text = error.to_string();
    assert!(
        text.contains("Scale declared an output of (4, 4, 4), but returned [1, 3, 4, 4]"),
        "{text}"
    );
    // The message has the cause already.
    assert!(std::error::Error::source(&error).is_none());
}

#[test]
fn what_a_custom_layer_refuses_is_an_invalid_layer() {
    let graph = Graph::new("g", Shape::any_size(6)).unwrap();
    let error = graph
        .attach(Custom::new(Scale { lie: 0 }).named("scale"))
        .unwrap_err();
    let expected = "layer \"scale\": 6 channels are too many";
    assert_eq!(error.to_string(), expected);
    assert!(matches!(error, Error::InvalidLayer { .. }));
}

#[test]
fn an_unnamed_custom_layer_is_named_after_its_kind() {
    let graph = Graph::new("g", Shape::any_size(3)).unwrap();
    let graph = graph
        .attach([Custom::new(Scale { lie: 0 }), Custom::new(Scale { lie: 0 })])
        .unwrap();
    let names: Vec<_> = graph.nodes().map(|node| node.name()).collect();
    assert_eq!(names, ["input", "scale", "scale_1"]);
    assert_eq!(graph.plan().macs, None);
    assert_eq!(graph.plan().outputs[0].receptive_field, None);
}

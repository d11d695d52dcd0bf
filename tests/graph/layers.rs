//! Layers as JSON.

use candle_core::Tensor;
use serde_json::{Value, json};
use vgg_surgery::graph::Shape;
use vgg_surgery::layers::{Custom, CustomLayer, Input, Layer};
use vgg_surgery::{Activation, MaxPool2d};

#[test]
fn layers_are_written_as_plain_json() {
    let written = |layer: Layer| serde_json::to_value(layer).unwrap();
    assert_eq!(
        written(Input::new(Shape::any_size(3)).into()),
        json!({"kind": "Input", "settings": {"shape": [3, null, null]}})
    );
    assert_eq!(
        written(Activation::Relu.into()),
        json!({"kind": "Activation", "settings": "Relu"})
    );
    assert_eq!(
        written(MaxPool2d::new(2).into()),
        json!({
            "kind": "MaxPool2d",
            "settings": {"kernel_size": [2, 2], "stride": [2, 2], "padding": "Valid"},
        })
    );
}

#[derive(Debug)]
struct Scale(f64);

impl CustomLayer for Scale {
    fn kind(&self) -> &str {
        "Scale"
    }
    fn settings(&self) -> Value {
        json!({"by": self.0})
    }
    fn infer(&self, inputs: &[Shape]) -> Result<Shape, String> {
        Ok(inputs[0])
    }
    fn forward(&self, inputs: &[Tensor], _: &[Tensor], _: bool) -> candle_core::Result<Tensor> {
        &inputs[0] * self.0
    }
}

#[test]
fn a_custom_layer_is_written_with_its_settings_and_not_read_without_a_registry() {
    let layer = Layer::from(Custom::new(Scale(2.5)));
    let written = serde_json::to_value(&layer).unwrap();
    assert_eq!(
        written,
        json!({"kind": "Custom", "settings": {"kind": "Scale", "settings": {"by": 2.5}}})
    );
    let error = serde_json::from_value::<Layer>(written).unwrap_err();
    assert!(error.to_string().contains("registered"), "{error}");
}

#[test]
fn sides_that_make_no_shape_are_refused() {
    for sides in ["[]", "[null]", "[1, 2]", "[null, 2, 3]", "[1, 2, 3, 4]"] {
        assert!(serde_json::from_str::<Shape>(sides).is_err(), "{sides}");
    }
}

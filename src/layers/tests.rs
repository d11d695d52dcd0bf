//! Every kind of layer, written down and read again.

use super::*;
use crate::shape::Shape;

fn every_kind() -> Vec<Layer> {
    let margins = Margins {
        top: 1,
        bottom: 2,
        left: 3,
        right: 4,
    };
    vec![
        Input::new(Shape::any_size(3)).into(),
        Input::new(7).into(),
        Conv2d::new(4, (3, 5))
            .stride((1, 2))
            .padding(margins)
            .dilation(2)
            .groups(2)
            .without_bias()
            .gelu()
            .kernel_init(Init::Normal(0.1))
            .into(),
        MaxPool2d::new(3).stride(2).padding(Padding::Same).into(),
        AvgPool2d::new((2, 3)).into(),
        GlobalAvgPool2d.into(),
        GlobalMaxPool2d.into(),
        AdaptiveAvgPool2d::new((7, 5)).into(),
        BatchNorm2d::new().eps(1e-3).momentum(0.3).relu().into(),
        Dense::new(9).softmax().kernel_init(Init::HeNormal).into(),
        Flatten::hwc().into(),
        Dropout::new(0.1).into(),
        Activation::Tanh.into(),
        Add.into(),
        Concat::channels().into(),
        Upsample::times(2).bilinear().into(),
        Upsample::fixed((3, 4)).into(),
        Upsample::like().into(),
        ZeroPad2d::with_margins(margins).into(),
        Rescale::per_channel([0.1, f32::MIN_POSITIVE], [-1.0, f32::MAX]).into(),
    ]
}

#[test]
fn every_kind_survives_being_written_down() {
    for layer in every_kind() {
        let text = serde_json::to_string(&layer).unwrap();
        let again: Layer = serde_json::from_str(&text).unwrap();
        assert_eq!(again, layer, "{text}");
        let named = NamedLayer::new("name", layer);
        let text = serde_json::to_string(&named).unwrap();
        let again: NamedLayer = serde_json::from_str(&text).unwrap();
        assert_eq!(again, named, "{text}");
    }
}

#[test]
fn what_can_be_set_of_every_kind_is_set() {
    for mut layer in every_kind() {
        layer.remove_randomness();
        assert!(!layer.rules().is_random(), "{layer:?}");
        layer.set_activation(Activation::Sigmoid);
        let is_fixed = layer.rules().passes_input_on() || layer.activation() == Activation::Linear;
        assert!(
            is_fixed || layer.activation() == Activation::Sigmoid,
            "{layer:?}"
        );
    }
}

#[test]
fn elementwise_kinds_look_at_one_pixel_of_one_input() {
    let shape = [Shape::map(4, 6, 5)];
    for layer in every_kind() {
        let rules = layer.rules();
        if rules.is_elementwise() {
            assert_eq!(rules.arity(), Arity::Exactly(1), "{layer:?}");
            assert_eq!(rules.window(), Window::POINT, "{layer:?}");
            assert!(!rules.sees_everything(), "{layer:?}");
            assert!(!rules.passes_input_on() || rules.parameters(&shape).is_empty());
        }
    }
}

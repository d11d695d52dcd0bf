//! candle-transformers' VGG and ours compute the same from the same tensors.
#![cfg(feature = "candle-transformers")]

use candle_core::{DType, Device, ModuleT, Tensor};
use candle_transformers::models::vgg::{Models, Vgg};
use vgg_surgery::VggOptions;
use vgg_surgery::export::WeightNaming;

/// A fixed image of values between -1 and 1.
fn image() -> Tensor {
    let values = (0..3 * 224 * 224).map(|i| (i as f32 * 0.37).sin());
    Tensor::from_iter(values, &Device::Cpu)
        .and_then(|flat| flat.reshape((3, 224, 224)))
        .unwrap()
}

#[test]
fn candles_vgg13_computes_what_ours_does() {
    let graph = VggOptions::from(Models::Vgg13).untrained(1).unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let tensors = model.to_var_builder(WeightNaming::Timm).unwrap();
    let candle = Vgg::new(tensors, Models::Vgg13).unwrap();
    let x = image();
    let theirs = candle.forward_t(&x, false).unwrap();
    let ours = model.forward(&x.unsqueeze(0).unwrap()).unwrap();
    assert_eq!(ours.dims(), theirs.dims());
    let scale = theirs.max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(scale > 0.0, "the network must not be dead");
    let difference = (ours - theirs).and_then(|d| d.abs()?.max_all()).unwrap();
    let difference = difference.to_dtype(DType::F64).unwrap();
    let relative = difference.to_scalar::<f64>().unwrap() / f64::from(scale);
    // The bound of the parity tests with Keras and torchvision.
    assert!(relative < 1e-4, "{relative}");
}

#[test]
fn the_options_are_candles_networks() {
    for (model, layers, name) in [
        (Models::Vgg13, 10, "vgg13"),
        (Models::Vgg16, 13, "vgg16"),
        (Models::Vgg19, 16, "vgg19"),
    ] {
        let graph = VggOptions::from(model).pretrained().unwrap();
        assert_eq!(graph.name(), name);
        let convolutions = graph.nodes().filter(|node| node.name().contains("_conv"));
        assert_eq!(convolutions.count(), layers);
    }
}

use candle_core::{DType, Device, Tensor};
use vgg_surgery::data::{Motif, ProceduralDataset, TensorDataset};
use vgg_surgery::error::DataError;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{Dataset, Error, Image, Model, Vgg16};

use crate::{assert_data_error, values};

fn nano() -> Model {
    let graph = Vgg16::nano().input((3, 32, 32)).unwrap();
    graph.build(&Device::Cpu).unwrap()
}

#[test]
fn features_are_those_of_each_image_in_order() {
    let model = nano();
    // More than a batch.
    let data = ProceduralDataset::new([Motif::Bricks, Motif::Heart], 17).unwrap();
    let features = model.features(&data, "block4_pool").unwrap();
    assert_eq!(features.dim(0).unwrap(), 34);
    let image = |index| -> Image { data.sample(index).unwrap().input.into_image().unwrap() };
    let images: Vec<Image> = (0..34).map(image).collect();
    let preprocessing = model.graph().input_preprocessing().unwrap();
    let x = preprocessing.apply_batch(&images).unwrap();
    let expected = model.forward_to("block4_pool", &x).unwrap();
    assert_eq!(features.dims(), expected.dims());
    let (one, other) = (values(&features), values(&expected));
    let far = one
        .iter()
        .zip(&other)
        .map(|(one, other)| (one - other).abs());
    assert!(far.fold(0.0, f32::max) < 1e-5);
}

#[test]
fn features_of_nothing_and_of_no_layer_are_refused() {
    let model = nano();
    let data = ProceduralDataset::new([Motif::Bricks], 1).unwrap();
    let unknown = model.features(&data, "block9_pool");
    assert!(matches!(unknown, Err(Error::UnknownLayer { .. })));
    let none = data.subset([]).unwrap();
    assert_data_error(model.features(&none, "block4_pool"), &DataError::Empty);
}

#[test]
fn features_have_the_models_type() {
    let graph = Vgg16::nano().input((3, 32, 32)).unwrap();
    let options = BuildOptions::new().dtype(DType::F64);
    let model = graph.build_with(&Device::Cpu, &options).unwrap();
    let x = Tensor::zeros((3, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    let data = TensorDataset::new(x, [0, 0, 0]).unwrap();
    let features = model.features(&data, "block1_pool").unwrap();
    assert_eq!((features.dims()[0], features.dtype()), (3, DType::F64));
}

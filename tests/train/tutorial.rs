use std::collections::HashMap;

use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::train::FeatureCache;
use vgg_surgery::{
    Conv2d, Dense, Flatten, Head, Model, Preprocessing, RmsProp, TensorDataset, Trainer, Vgg16,
    WeightSet,
};

use crate::{assert_near, fixture, values};

/// The kernels' tests allow gradients to be off by 1e-5 of the largest, which
/// RMSprop's division carries over to a step; the errors of twelve steps add up
/// as roundings do, to `sqrt(12)` times that.
const CLOSE: f64 = 4e-5;

type Tensors = HashMap<String, Tensor>;

fn read(name: &str) -> Tensors {
    candle_core::safetensors::load(fixture(name), &Device::Cpu).unwrap()
}

/// The tutorial's network with the weights that Keras began with.
fn network(golden: &Tensors) -> Model {
    let weights = WeightSet::file(fixture("tutorial/trunk_block2.safetensors"));
    let head = Head::new()
        .conv2d("head_conv", Conv2d::new(16, 3).relu())
        .max_pool2d("head_pool", 2)
        .layer("head_flatten", Flatten::hwc())
        .dense("head_fc", Dense::new(32).relu())
        .dense("head_out", Dense::new(4).softmax());
    let graph = Vgg16::pretrained_from(weights.preprocessing(Preprocessing::caffe()))
        .input((3, 48, 48))
        .unwrap()
        .truncate("block2_pool")
        .unwrap()
        .freeze_all()
        .attach(head)
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let names: Vec<String> = model
        .parameters()
        .filter(|parameter| parameter.is_trainable)
        .map(|parameter| format!("{}.{}", parameter.layer, parameter.name))
        .collect();
    assert_eq!(names.len(), 6);
    for (name, variable) in names.iter().zip(model.trainable_variables()) {
        let variable: Var = variable;
        variable
            .set(&golden[name].to_dtype(DType::F32).unwrap())
            .unwrap();
    }
    model
}

/// Caffe's preprocessing: BGR, minus the mean.
fn images(golden: &Tensors) -> TensorDataset {
    let rgb = golden["images.u8"].to_dtype(DType::F32).unwrap();
    let bgr = rgb
        .index_select(&Tensor::new(&[2u32, 1, 0], &Device::Cpu).unwrap(), 3)
        .unwrap();
    let mean = Tensor::new(&[103.939f32, 116.779, 123.68], &Device::Cpu).unwrap();
    let x = bgr.broadcast_sub(&mean).unwrap();
    let x = x.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap();
    let labels: Vec<i64> = golden["labels"].to_vec1().unwrap();
    let labels: Vec<usize> = labels.into_iter().map(|l| l as usize).collect();
    TensorDataset::new(x, labels).unwrap()
}

/// The loss before each of twelve steps, and the probabilities after them.
#[test]
fn the_tutorials_network_learns_as_in_keras() {
    let golden = read("tutorial/tutorial_keras.golden.safetensors");
    let data = images(&golden);
    for cache in [FeatureCache::new(), FeatureCache::off()] {
        let is_kept = cache != FeatureCache::off();
        let mut model = network(&golden);
        let history = Trainer::new(&mut model)
            .optimizer(RmsProp::new(1e-4))
            .batch_size(16)
            .shuffle(false)
            .epochs(12)
            .feature_cache(cache)
            .fit_without_validation(&data)
            .unwrap();
        assert_eq!(history.cache.is_some(), is_kept);
        let (actual, expected) = (history.curve("loss"), values(&golden["loss"]));
        assert_eq!((actual.len(), expected.len()), (12, 12));
        for (step, (actual, expected)) in actual.iter().zip(expected).enumerate() {
            let off = (actual - expected).abs() / expected;
            assert!(off < CLOSE, "step {step}: {actual}, not {expected}");
        }
        let batch = vgg_surgery::data::Loader::new(&data)
            .batch_size(16)
            .epoch(0)
            .next();
        let probabilities = model.forward(&batch.unwrap().unwrap().inputs).unwrap();
        let expected = values(&golden["final_probs"]);
        assert_near(&values(&probabilities), &expected, CLOSE, "probabilities");
    }
}

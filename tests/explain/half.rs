//! Models in half precision. Values are rounded, but sums of values are not: in
//! bf16 a sum of ones would stop at 256, and in f16 it would become infinite.

use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use vgg_surgery::explain::{
    Activations, Dream, Lpips, Maximization, PerceptualLoss, Probe, SmoothGrad, StyleLoss,
    StyleOptimizer, Stylize, gram_matrix, total_variation,
};
use vgg_surgery::layers::Init;
use vgg_surgery::model::BuildOptions;
use vgg_surgery::{
    Conv2d, Dense, Explainer, Graph, Head, Image, Model, Preprocessing, TensorDataset,
};

use super::oracle::values;

/// The relative rounding errors of bf16 and f16.
const HALVES: [(DType, f32); 2] = [(DType::BF16, 1.0 / 256.0), (DType::F16, 1.0 / 2048.0)];

/// A frozen layer with one channel, the rectified sum of the image's channels.
fn summed(dtype: DType) -> Model {
    let conv = Conv2d::new(1, 1).without_bias();
    let conv = conv.kernel_init(Init::Constant(1.0)).relu();
    let graph = Graph::new("sum", (3, None, None)).unwrap();
    let graph = graph.attach(conv.named("sum")).unwrap().freeze_all();
    let graph = graph.with_preprocessing(Preprocessing::torchvision().without_resize());
    let options = BuildOptions::new().dtype(dtype);
    graph.build_with(&Device::Cpu, &options).unwrap()
}

/// A gray image for which the layer returns this value.
fn gray(value: f32, side: usize) -> Tensor {
    Tensor::full(value / 4.0, (1, 3, side, side), &Device::Cpu)
        .unwrap()
        .broadcast_mul(&Tensor::new(&[[[[1f32]], [[1.0]], [[2.0]]]], &Device::Cpu).unwrap())
        .unwrap()
}

fn scalar(tensor: &Tensor) -> f32 {
    values(tensor)[0]
}

#[test]
fn distances_are_means_of_all_values() {
    for (dtype, _) in HALVES {
        let model = Arc::new(summed(dtype));
        let (one, none, many) = (gray(1.0, 64), gray(0.0, 64), gray(512.0, 64));
        let content = PerceptualLoss::new(Arc::clone(&model), ["sum"]).unwrap();
        assert_eq!(scalar(&content.between(&one, &none).unwrap()), 1.0);
        let large = content.between(&many, &none).unwrap();
        assert_eq!(scalar(&large), 512.0 * 512.0);
        let style = StyleLoss::new(Arc::clone(&model), ["sum"]).unwrap();
        assert_eq!(scalar(&style.between(&one, &none).unwrap()), 0.25);
        let map = model.forward_to("sum", &many).unwrap();
        assert_eq!(map.dtype(), dtype);
        assert_eq!(scalar(&gram_matrix(&map).unwrap()), 512.0 * 512.0);
        let lpips = Lpips::new(Arc::clone(&model), [("sum", vec![1.0])]).unwrap();
        assert_eq!(values(&lpips.distance(&one, &none).unwrap()), [1.0]);
        // Alternating columns of 0 and 1.
        let columns: Vec<f32> = (0..64 * 64).map(|place| (place % 2) as f32).collect();
        let columns = Tensor::from_vec(columns, (1, 1, 64, 64), &Device::Cpu).unwrap();
        let variation = total_variation(&columns.to_dtype(dtype).unwrap()).unwrap();
        assert_eq!(scalar(&variation), 1.0);
    }
}

#[test]
fn statistics_are_those_of_the_values() {
    for (dtype, _) in HALVES {
        let activations = Activations::of(&summed(dtype), "sum", &gray(1.0, 64)).unwrap();
        let statistics = activations.statistics();
        assert_eq!((statistics[0].mean, statistics[0].std), (1.0, 0.0));
    }
}

/// Sums in bf16 would be 256 for both classes.
#[test]
fn a_probe_sees_the_mean_of_a_map() {
    let images: Vec<Tensor> = (0..12)
        .map(|example| gray(if example < 6 { 0.75 } else { 1.0 }, 64))
        .collect();
    let x = Tensor::cat(&images, 0).unwrap();
    let classes: Vec<usize> = (0..12).map(|example| example / 6).collect();
    let data = TensorDataset::new(x, classes).unwrap();
    for (dtype, _) in HALVES {
        let report = Probe::new()
            .layers(["sum"])
            .folds(3)
            .run(&summed(dtype), &data);
        assert_eq!(report.unwrap().rows[0].folds, [1.0; 3], "{dtype:?}");
    }
}

/// Score = mean of the rectified sum of two equal values.
fn scored(dtype: DType) -> Model {
    let ones = || Init::Constant(1.0);
    let head = Head::new()
        .conv2d("sum", Conv2d::new(1, 1).without_bias().kernel_init(ones()))
        .flatten("flat")
        .dense("score", Dense::new(1).without_bias().kernel_init(ones()));
    let graph = Graph::new("score", (3, 1, 2)).unwrap().attach(head);
    let options = BuildOptions::new().dtype(dtype);
    let graph = graph.unwrap().freeze_all();
    graph.build_with(&Device::Cpu, &options).unwrap()
}

#[test]
fn attributions_are_means_of_all_steps() {
    for (dtype, _) in HALVES {
        let model = scored(dtype);
        let explainer = Explainer::new(&model).unwrap();
        let x = Tensor::ones((1, 3, 1, 2), DType::F32, &Device::Cpu).unwrap();
        let x = x.to_dtype(dtype).unwrap();
        // The score is linear, each value's slope is 1.
        let none = x.zeros_like().unwrap();
        let way = explainer.integrated_gradients(&x, 0, &none, 512).unwrap();
        assert_eq!(values(way.tensor()), [1.0; 6], "{dtype:?}");
        let noisy = SmoothGrad::new().samples(512);
        let slopes = explainer.smooth_grad(&x, 0, &noisy).unwrap();
        assert_eq!(values(slopes.tensor()), [1.0; 6], "{dtype:?}");
    }
}

/// The largest difference of two images, in levels.
fn levels(a: &Image, b: &Image) -> u8 {
    let pairs = a.as_rgb8().iter().zip(b.as_rgb8());
    pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn a_dream_is_that_of_the_wide_model() {
    let bytes: Vec<u8> = (0..64 * 64 * 3)
        .map(|place| 120 + (place % 7) as u8)
        .collect();
    let image = Image::from_rgb8(64, 64, bytes).unwrap();
    let dream = Dream::new().octaves(2).steps(4).jitter(3);
    let expected = dream.run(&summed(DType::F32), "sum", &image).unwrap();
    assert!(levels(&expected, &image) > 8);
    for (dtype, _) in HALVES {
        let found = dream.run(&summed(dtype), "sum", &image).unwrap();
        assert!(levels(&found, &expected) <= 2, "{dtype:?}");
    }
}

#[test]
fn a_maximized_image_is_that_of_the_wide_model() {
    let options = Maximization::new().size(48).steps(6);
    let expected = options.run(&summed(DType::F32), "sum", 0).unwrap();
    for (dtype, _) in HALVES {
        let found = options.run(&summed(dtype), "sum", 0).unwrap();
        assert!(levels(&found, &expected) <= 2, "{dtype:?}");
    }
}

#[test]
fn painting_lowers_the_losses_of_the_wide_model() {
    let (content, style) = (gray(1.0, 64), gray(0.5, 64));
    let stylize = Stylize::new()
        .content_layers(["sum"])
        .style_layers(["sum"])
        .optimizer(StyleOptimizer::Adam {
            learning_rate: 0.01,
        })
        .steps(5);
    let painted = |dtype| stylize.run_tensors(&summed(dtype), &content, &style);
    let (_, expected) = painted(DType::F32).unwrap();
    // Style: (1 - 1/4)^2 / (1/4)^2 of a weight of 100.
    assert!((expected[0] - 900.0).abs() < 0.01, "{expected:?}");
    for (dtype, rounding) in HALVES {
        let (_, losses) = painted(dtype).unwrap();
        assert_eq!(losses.len(), 5);
        for (loss, expected) in losses.iter().zip(&expected) {
            // Of a fourth power, the value's difference being as large as it.
            let off = (loss - expected).abs() / expected;
            assert!(off < 8.0 * rounding, "{dtype:?}: {loss} {expected}");
        }
    }
}

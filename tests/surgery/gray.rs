//! `adapt_input(1)` and images: a gray image through the network of three
//! channels says what the adapted network must compute.

use candle_core::{Device, Tensor};
use vgg_surgery::graph::Contract;
use vgg_surgery::preprocess::ChannelOrder;
use vgg_surgery::{BatchNorm2d, Conv2d, Error, Graph, Head, Image, Model, Preprocessing, Vgg16};

use crate::exact::ROUNDING;
use crate::{assert_sound, distance, last, parameter, values};

const SIDE: usize = 48;

fn photograph(colored: bool) -> Image {
    let bytes = (0..SIDE * SIDE).flat_map(|at| {
        let (x, y) = (at % SIDE, at / SIDE);
        let level = |turn: usize| ((x * x + 3 * y * turn + x * y) % 256) as u8;
        [level(1), level(if colored { 5 } else { 1 }), level(1)]
    });
    Image::from_rgb8(SIDE, SIDE, bytes.collect::<Vec<_>>()).unwrap()
}

fn presets() -> [Preprocessing; 4] {
    [
        Preprocessing::torchvision(),
        Preprocessing::caffe(),
        Preprocessing::lpips(),
        Preprocessing::new(),
    ]
    .map(Preprocessing::without_resize)
}

fn trunk(preprocessing: Preprocessing) -> Model {
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .untrained(1)
        .unwrap();
    let graph = graph.with_preprocessing(preprocessing);
    graph.build(&Device::Cpu).unwrap()
}

fn input(model: &Model, image: &Image) -> Tensor {
    let preprocessing = model.graph().input_preprocessing().unwrap();
    preprocessing.apply(image).unwrap()
}

/// What lies `margin` pixels or more within the border.
fn inside(map: &Tensor, margin: usize) -> Tensor {
    let (_, _, height, width) = map.dims4().unwrap();
    let rows = map.narrow(2, margin, height - 2 * margin).unwrap();
    let inside = rows.narrow(3, margin, width - 2 * margin).unwrap();
    inside.contiguous().unwrap()
}

#[test]
fn a_gray_image_keeps_its_features_inside_the_border() {
    for preset in presets() {
        let old = trunk(preset.clone());
        let new = old.adapt_input(1).unwrap();
        assert_sound(&new, &old, Contract::Approximate);
        assert_eq!(last(&new).new, 0);
        let gray = new.graph().input_preprocessing().unwrap();
        assert_eq!(gray, preset.clone().with_channel_order(ChannelOrder::Gray));
        let image = photograph(false);
        let (x, x3) = (input(&new, &image), input(&old, &image));
        assert_eq!(x.dims(), [1, 1, SIDE, SIDE]);
        let has_one_mean = preset.mean()[0] == preset.mean()[1];
        // How far the border reaches in: 1 pixel for each convolution, halved by a pool.
        for (layer, margin) in [
            ("block1_conv1", 1),
            ("block1_conv2", 2),
            ("block2_conv1", 2),
            ("block2_conv2", 3),
        ] {
            let (actual, expected) = (
                new.forward_to(layer, &x).unwrap(),
                old.forward_to(layer, &x3).unwrap(),
            );
            let margin = if has_one_mean { 0 } else { margin };
            let off = distance(&inside(&actual, margin), &inside(&expected, margin));
            assert!(off < ROUNDING, "{layer} {preset:?}: {off}");
            let everywhere = distance(&actual, &expected);
            assert_eq!(everywhere < ROUNDING, has_one_mean, "{layer}: {everywhere}");
        }
    }
}

/// The first layer by hand, in f64: `sum W_c (x - m_c) / s_c + b` at one pixel.
#[test]
fn the_first_layer_sees_the_image_that_three_channels_saw() {
    let old = trunk(Preprocessing::torchvision().without_resize());
    let new = old.adapt_input(1).unwrap();
    let image = photograph(false);
    let weight = values(&parameter(&old, "block1_conv1", "weight"));
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let features = new
        .forward_to("block1_conv1:pre", &input(&new, &image))
        .unwrap();
    let features: Vec<Vec<Vec<f32>>> = features.squeeze(0).unwrap().to_vec3().unwrap();
    for (filter, map) in features.iter().enumerate() {
        let mut expected = f64::from(values(&parameter(&old, "block1_conv1", "bias"))[filter]);
        for channel in 0..3 {
            for tap in 0..9 {
                let level = image.pixel(19 + tap % 3, 6 + tap / 3).unwrap()[channel];
                let x = (f64::from(level) / 255.0 - mean[channel]) / std[channel];
                expected += f64::from(weight[(filter * 3 + channel) * 9 + tap]) * x;
            }
        }
        let actual = f64::from(map[7][20]);
        assert!((actual - expected).abs() < 1e-5, "{actual} for {expected}");
    }
}

#[test]
fn a_convolution_without_a_bias_gets_one() {
    let head = Head::new()
        .conv2d("conv", Conv2d::new(4, 3).without_bias())
        .batch_norm2d("norm", BatchNorm2d::new());
    let graph = Graph::new("plain", (3, SIDE, SIDE)).unwrap();
    let graph = graph.attach(head).unwrap();
    for preset in presets() {
        let graph = graph.clone().with_preprocessing(preset.clone());
        let old = graph.build(&Device::Cpu).unwrap();
        let new = old.adapt_input(1).unwrap();
        let has_one_mean = preset.mean()[0] == preset.mean()[1];
        let conv: &Conv2d = new.graph().layer("conv").unwrap();
        assert_eq!(conv.bias, !has_one_mean);
        let image = photograph(false);
        let (actual, expected) = (
            new.forward(&input(&new, &image)).unwrap(),
            old.forward(&input(&old, &image)).unwrap(),
        );
        // Without padding there is no border.
        let off = distance(&actual, &expected);
        assert!(off < ROUNDING, "{preset:?}: {off}");
    }
}

#[test]
fn three_channels_again_take_the_images_of_one() {
    let one = trunk(Preprocessing::torchvision().without_resize());
    let one = one.adapt_input(1).unwrap();
    let three = one.adapt_input(3).unwrap();
    let preprocessing = three.graph().input_preprocessing().unwrap();
    assert_eq!(preprocessing.channel_order(), ChannelOrder::Rgb);
    let image = photograph(false);
    let off = distance(
        &three.forward(&input(&three, &image)).unwrap(),
        &one.forward(&input(&one, &image)).unwrap(),
    );
    assert!(off < ROUNDING, "{off}");
    let four = one.adapt_input(4).unwrap();
    assert_eq!(four.graph().preprocessing(), None);
    let error = four.graph().input_preprocessing().unwrap_err();
    assert!(error.to_string().contains("images have 1 or 3"), "{error}");
}

#[test]
fn a_preprocessing_of_other_channels_is_refused() {
    let gray = trunk(Preprocessing::caffe()).adapt_input(1).unwrap();
    let color = gray.edit(|graph| Ok(graph.with_preprocessing(Preprocessing::caffe())));
    let error = color.unwrap().graph().input_preprocessing().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert!(
        error.to_string().contains("with_channel_order is Gray"),
        "{error}"
    );
}

/// ITU-R 601 of a colored image, by the weights that Pillow documents.
#[test]
fn a_colored_image_is_seen_as_its_luma() {
    let new = trunk(Preprocessing::caffe().without_resize());
    let new = new.adapt_input(1).unwrap();
    let image = photograph(true);
    let luma = image.as_rgb8().chunks_exact(3).flat_map(|pixel| {
        let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
        [((299.0 * red + 587.0 * green + 114.0 * blue) / 1000.0).round() as u8; 3]
    });
    let luma = Image::from_rgb8(SIDE, SIDE, luma.collect::<Vec<_>>()).unwrap();
    let (actual, expected) = (values(&input(&new, &image)), values(&input(&new, &luma)));
    let off = actual.iter().zip(&expected).map(|(a, e)| (a - e).abs());
    assert!(off.fold(0.0, f32::max) <= 1.0);
    let again = new.to_bytes().unwrap();
    let options = vgg_surgery::model::LoadOptions::new();
    let again = Model::from_bytes(again, &Device::Cpu, &options).unwrap();
    assert_eq!(again.graph().preprocessing(), new.graph().preprocessing());
    assert_eq!(values(&input(&again, &image)), actual);
}

use candle_core::Device;
use std::collections::HashMap;
use vgg_surgery::error::{ExplainError, ImageError};
use vgg_surgery::explain::{
    ActivationSheet, Activations, ColorMap, Heatmap, Scale, Sheet, filter_images,
};
use vgg_surgery::graph::Shape;
use vgg_surgery::{Activation, Conv2d, Error, Graph, Head, Image, Model, Preprocessing};

use super::{built, noise, tensor, whole};

/// A 1x1 convolution with these weights and biases, `(O, I)`.
fn pointwise(weights: &[&[f32]], biases: &[f32], activation: Activation) -> Model {
    let mut conv = Conv2d::new(weights.len(), 1);
    conv.activation = activation;
    let flat: Vec<f32> = weights.concat();
    let shape = (weights.len(), weights[0].len(), 1, 1);
    let tensors = HashMap::from([
        ("conv.weight".to_string(), tensor(&flat, shape)),
        ("conv.bias".to_string(), tensor(biases, biases.len())),
    ]);
    let graph = Graph::new("pointwise", (weights[0].len(), 2, 2)).unwrap();
    let graph = graph.attach(conv.named("conv")).unwrap();
    let model = built(graph);
    for (key, values) in tensors {
        let (_, name) = key.split_once('.').unwrap();
        let mut variables = model.trainable_variables().into_iter();
        let variable = variables.find(|v| (v.dims().len() == 4) == (name == "weight"));
        variable.unwrap().set(&values).unwrap();
    }
    model
}

#[test]
fn color_maps_are_matplotlibs() {
    // matplotlib 3.10: np.round(cmap.colors[i] * 255) for i = 1, 64, 100, 200.
    let expected = [
        (
            ColorMap::Viridis,
            [[68, 2, 86], [59, 82, 139], [42, 118, 142], [112, 207, 87]],
        ),
        (
            ColorMap::Magma,
            [[1, 0, 5], [81, 18, 124], [137, 40, 129], [253, 152, 105]],
        ),
        (
            ColorMap::Inferno,
            [[1, 0, 5], [87, 16, 110], [144, 37, 104], [251, 157, 7]],
        ),
    ];
    for (map, colors) in expected {
        for (index, color) in [1u8, 64, 100, 200].into_iter().zip(colors) {
            let ours = map.color(f32::from(index) / 255.0);
            for (a, b) in ours.into_iter().zip(color) {
                assert!(a.abs_diff(b) <= 2, "{map:?} {index}: {ours:?}, {color:?}");
            }
        }
    }
}

#[test]
fn perceptual_color_maps_grow_brighter() {
    let luminance = |[r, g, b]: [u8; 3]| {
        let linear = |byte: u8| (f64::from(byte) / 255.0).powf(2.2);
        0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
    };
    for map in [ColorMap::Gray, ColorMap::Viridis, ColorMap::Magma] {
        let steps = (0..=16u8).map(|step| luminance(map.color(f32::from(step) / 16.0)));
        let steps: Vec<f64> = steps.collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "{map:?}");
    }
}

#[test]
fn numbers_beyond_the_ends_are_clipped() {
    for map in [ColorMap::Viridis, ColorMap::Diverging, ColorMap::Gray] {
        assert_eq!(map.color(-3.0), map.color(0.0));
        assert_eq!(map.color(f32::INFINITY), map.color(1.0));
        assert_eq!(map.color(f32::NAN), map.color(0.0));
    }
    assert_eq!(ColorMap::Diverging.color(0.5), [0xf7; 3]);
}

#[test]
fn heat_is_enlarged_as_pytorch_does() {
    // torch.nn.functional.interpolate([[0, 4]], size=(1, 4), mode="bilinear").
    let heat = Heatmap::new(1, 2, vec![0.0, 4.0]).unwrap();
    let wide = heat.resize(1, 4).unwrap();
    assert_eq!(wide.values(), [0.0, 1.0, 3.0, 4.0]);
    assert_eq!(heat.resize(2, 1).unwrap().values(), [2.0, 2.0]);
    assert_eq!(heat.peak(), (0, 1));
}

#[test]
fn heat_is_normalized() {
    let heat = Heatmap::new(2, 2, vec![-1.0, 0.0, 1.0, 3.0]).unwrap();
    assert_eq!(heat.normalized().values(), [0.0, 0.25, 0.5, 1.0]);
    let about_zero = heat.normalized_about_zero();
    assert_eq!(about_zero.values()[1], 0.5);
    assert_eq!(about_zero.values()[3], 1.0);
    let flat = Heatmap::new(1, 2, vec![7.0, 7.0]).unwrap();
    assert_eq!(flat.normalized().values(), [0.0, 0.0]);
    let broken = Heatmap::new(1, 2, vec![f32::NAN, 2.0]).unwrap();
    assert_eq!(broken.range(), (2.0, 2.0));
}

#[test]
fn the_greatest_values_do_not_darken_the_rest() {
    let below = |values: Vec<f32>, share: f64| {
        let heat = Heatmap::new(1, values.len(), values).unwrap();
        heat.normalized_below(share).values().to_vec()
    };
    // A quarter of the values become 1, the others are relative to the next.
    assert_eq!(below(vec![0.0, 1.0, 2.0, 9.0], 0.25), [0.0, 0.5, 1.0, 1.0]);
    assert_eq!(below(vec![0.0, 1.0, 2.0, 4.0], 0.0), [0.0, 0.25, 0.5, 1.0]);
    assert_eq!(below(vec![3.0, 5.0], 1.0), [0.0, 1.0]);
    assert_eq!(below(vec![7.0, 7.0], 0.5), [0.0, 0.0]);
    // One value differs, and the others are equal.
    let mut expected = vec![0.0; 99];
    expected.push(1.0);
    let alone = expected.iter().map(|value| value * 5.0).collect();
    assert_eq!(below(alone, 0.01), expected);
    for values in [vec![f32::NAN, 0.0, 2.0, 4.0], vec![f32::NAN, 0.0, 0.0, 4.0]] {
        let found = below(values, 0.3);
        assert!(found[0].is_nan(), "{found:?}");
        assert_eq!(found[3], 1.0);
    }
}

#[test]
fn a_heat_map_over_an_image_has_its_limit() {
    let heat = Heatmap::new(1, 1, vec![1.0]).unwrap();
    let image = |limit| {
        let image = Image::from_rgb8(5, 4, vec![9; 60]).unwrap();
        image.with_memory_limit(limit)
    };
    let overlaid = heat.overlay(&image(60), ColorMap::Gray, 0.5).unwrap();
    assert_eq!(overlaid.memory_limit(), 60);
    for error in [
        heat.overlay(&image(59), ColorMap::Gray, 0.5).unwrap_err(),
        heat.spread_over(&image(59)).unwrap_err(),
    ] {
        let expected = matches!(
            error,
            Error::Image(ImageError::Memory {
                needed: 60,
                limit: 59,
                ..
            })
        );
        assert!(expected, "{error}");
    }
}

#[test]
fn an_overlay_mixes() {
    let image = Image::from_rgb8(2, 1, vec![100; 6]).unwrap();
    let heat = Heatmap::new(1, 2, vec![0.0, 1.0]).unwrap();
    let at = |alpha| heat.overlay(&image, ColorMap::Gray, alpha).unwrap();
    assert_eq!(at(0.0).as_rgb8(), image.as_rgb8());
    assert_eq!(at(1.0).as_rgb8(), [0, 0, 0, 255, 255, 255]);
    assert_eq!(at(0.5).as_rgb8()[0], 50);
    let error = heat.overlay(&image, ColorMap::Gray, 1.5).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }));
}

#[test]
fn a_sheet_lays_images_out() {
    let red = Image::from_rgb8(1, 1, vec![255, 0, 0]).unwrap();
    let blue = Image::from_rgb8(1, 1, vec![0, 0, 255]).unwrap();
    let sheet = Sheet::new().columns(2).gap(1).cell(2).background([9; 3]);
    let page = sheet.arrange(&[red.clone(), blue, red]).unwrap();
    assert_eq!((page.width(), page.height()), (7, 7));
    assert_eq!(page.pixel(0, 0), Some([9; 3]));
    assert_eq!(page.pixel(2, 2), Some([255, 0, 0]));
    assert_eq!(page.pixel(4, 1), Some([0, 0, 255]));
    assert_eq!(page.pixel(1, 5), Some([255, 0, 0]));
    assert_eq!(page.pixel(4, 5), Some([9; 3]));
    let none = sheet.arrange(&[]).unwrap_err();
    assert!(matches!(none, Error::Image(ImageError::EmptyBatch)));
}

#[test]
fn activations_are_sorted_and_summed_up() {
    let model = pointwise(&[&[-1.0], &[1.0], &[2.0]], &[0.0; 3], Activation::Relu);
    let x = tensor(&[0.0, 1.0, 2.0, 3.0], (1, 1, 2, 2));
    let activations = Activations::of(&model, "conv", &x).unwrap();
    assert_eq!(activations.most_active(0).unwrap(), [2, 1, 0]);
    let statistics = activations.statistics();
    assert!(statistics[0].is_dead());
    assert_eq!(statistics[0].zeros, 1.0);
    let [_, middle, _] = statistics[..] else {
        panic!("three channels")
    };
    assert!(!middle.is_dead());
    assert_eq!((middle.mean, middle.min, middle.max), (1.5, 0.0, 3.0));
    assert_eq!((middle.std, middle.zeros), (1.25f64.sqrt(), 0.25));
    assert_eq!(
        activations.map(0, 2).unwrap().values(),
        [0.0, 2.0, 4.0, 6.0]
    );
    let sheet = |scale| {
        let options = ActivationSheet::new().colors(ColorMap::Gray).scale(scale);
        let layout = Sheet::new().gap(0).columns(3);
        activations.sheet(0, &options.layout(layout)).unwrap()
    };
    // The largest value of the second channel, on its own scale and on both.
    assert_eq!(sheet(Scale::Own).pixel(3, 1), Some([255; 3]));
    assert_eq!(sheet(Scale::Shared).pixel(3, 1), Some([128; 3]));
}

#[test]
fn saturation_is_of_bounded_activations() {
    let x = tensor(&[1.0, 1.0, 1.0, -1.0], (1, 1, 2, 2));
    let model = pointwise(&[&[100.0], &[1.0]], &[0.0; 2], Activation::Sigmoid);
    let activations = Activations::of(&model, "conv", &x).unwrap();
    let saturated: Vec<bool> = activations
        .statistics()
        .iter()
        .map(vgg_surgery::explain::ChannelStatistics::is_saturated)
        .collect();
    assert_eq!(saturated, [true, false]);
    let before = Activations::of(&model, "conv:pre", &x).unwrap();
    assert_eq!(before.statistics()[0].at_limits, 0.0);
    assert_eq!(before.layer(), "conv:pre");
    let linear = pointwise(&[&[100.0], &[1.0]], &[0.0; 2], Activation::Linear);
    let model = linear
        .edit(|graph| graph.attach(Activation::Sigmoid.named("own")))
        .unwrap();
    let apart = Activations::of(&model, "own", &x).unwrap();
    assert_eq!(apart.statistics(), activations.statistics());
}

#[test]
fn a_layer_without_maps_is_refused() {
    let model = built(whole());
    let x = noise((1, 3, 32, 32));
    let error = Activations::of(&model, "fc1", &x).unwrap_err();
    assert_eq!(error.layer(), Some("fc1"));
    assert!(matches!(error, Error::Explain(ExplainError::NoMap { .. })));
    let activations = Activations::of(&model, "block1_conv1", &x).unwrap();
    assert!(matches!(
        activations.map(0, 4).unwrap_err(),
        Error::Explain(ExplainError::ChannelOutOfRange {
            channel: 4,
            channels: 4,
            ..
        })
    ));
    assert!(matches!(
        activations.most_active(1).unwrap_err(),
        Error::Explain(ExplainError::ImageOutOfRange {
            image: 1,
            images: 1
        })
    ));
    let nothing = tensor(&[], (0, 3, 32, 32));
    assert!(matches!(
        Activations::of(&model, "block1_conv1", &nothing).unwrap_err(),
        Error::Explain(ExplainError::Input { .. })
    ));
}

#[test]
fn filters_are_seen_in_their_colors() {
    let model = pointwise(&[&[1.0, 0.0, -2.0]], &[0.0], Activation::Linear);
    let rgb = filter_images(&model, "conv").unwrap();
    assert_eq!(rgb[0].pixel(0, 0), Some([191, 128, 0]));
    let bgr = model
        .edit(|graph| Ok(graph.with_preprocessing(Preprocessing::caffe())))
        .unwrap();
    let bgr = filter_images(&bgr, "conv").unwrap();
    assert_eq!(bgr[0].pixel(0, 0), Some([0, 128, 191]));
    let deep = whole().build(&Device::Cpu).unwrap();
    assert!(matches!(
        filter_images(&deep, "block1_conv2").unwrap_err(),
        Error::Unsupported { .. }
    ));
}

/// 4.2 billion pixels, in cells that would each be legal.
#[test]
fn a_sheet_looks_at_its_size_first() {
    let dot = Image::from_rgb8(1, 1, vec![7; 3]).unwrap();
    let dots = vec![dot; 40];
    let error = Sheet::new().cell(10_000).arrange(&dots).unwrap_err();
    assert!(
        matches!(
            error,
            Error::Image(ImageError::Memory {
                width: 70_016,
                height: 60_014,
                ..
            })
        ),
        "{error}"
    );
    let strip = Image::from_rgb8(1, 60_000, vec![0; 180_000]).unwrap();
    let error = Sheet::new().cell(112).arrange(&[strip]).unwrap_err();
    assert!(
        matches!(error, Error::Image(ImageError::Size { .. })),
        "{error}"
    );
}

/// Values of the input, of the convolution and of the pool, 4 bytes each.
#[test]
fn the_memory_of_an_image_is_known_before_it_runs() {
    let head = Head::new()
        .conv2d("conv", Conv2d::new(5, 3).same())
        .max_pool2d("pool", 2);
    let graph = Graph::new("small", (3, 8, 6)).unwrap();
    let model = built(graph.attach(head).unwrap());
    let needed = 4 * (3 * 8 * 6 + 5 * 8 * 6 + 5 * 4 * 3);
    model.check_memory(8, 6, needed).unwrap();
    let error = model.check_memory(8, 6, needed - 1).unwrap_err();
    match error {
        Error::Image(ImageError::NetworkMemory {
            batch,
            input,
            needed: found,
            limit,
        }) => {
            assert_eq!((batch, input), (1, Shape::map(3, 8, 6)));
            assert_eq!((found, limit), (needed, needed - 1));
        }
        other => panic!("{other}"),
    }
}

use std::sync::Arc;

use candle_core::{DType, Device, Tensor, Var};
use vgg_surgery::error::{ExplainError, ImageError};
use vgg_surgery::explain::{
    Dream, Lpips, Maximization, PerceptualLoss, Sheet, StyleLoss, StyleOptimizer, Stylize,
    gram_matrix, total_variation,
};
use vgg_surgery::graph::Shape;
use vgg_surgery::{Error, Image, Model, Preprocessing};

use super::oracle::{assert_near, oracle, trunk, trunk_of, values};
use super::{noise, tensor};

/// The error that the kernels' tests allow for one layer, as a fraction of its
/// largest value.
const CLOSE: f32 = 1e-5;

const STYLE: [&str; 5] = ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"];

fn with_images() -> Model {
    trunk()
        .edit(|graph| Ok(graph.with_preprocessing(Preprocessing::torchvision())))
        .unwrap()
}

fn checkered(side: usize) -> Image {
    let bytes: Vec<u8> = (0..side * side)
        .flat_map(|index| {
            let (row, column) = (index / side, index % side);
            let on = (row / 4 + column / 4) % 2 == 0;
            [if on { 200 } else { 40 }, 120, (column * 255 / side) as u8]
        })
        .collect();
    Image::from_rgb8(side, side, bytes).unwrap()
}

#[test]
fn losses_are_pytorchs() {
    let oracle = oracle();
    let (x, other) = (&oracle["x"], &oracle["other"]);
    let model = Arc::new(trunk());
    let gram = gram_matrix(&model.forward_to("relu2_1", x).unwrap()).unwrap();
    assert_near(&values(&gram), &oracle["gram"], CLOSE, "Gram matrix");
    let style = StyleLoss::new(Arc::clone(&model), STYLE).unwrap();
    let loss = style.between(x, other).unwrap();
    assert_near(&values(&loss), &oracle["style_loss"], CLOSE, "style");
    let content = PerceptualLoss::new(model, ["relu2_2", "relu3_3"]).unwrap();
    let loss = content.between(x, other).unwrap();
    assert_near(&values(&loss), &oracle["perceptual"], CLOSE, "perceptual");
    let variation = total_variation(x).unwrap();
    assert_near(
        &values(&variation),
        &oracle["total_variation"],
        CLOSE,
        "variation",
    );
}

#[test]
fn a_target_is_compared_without_computing_it_again() {
    let oracle = oracle();
    let (x, other) = (&oracle["x"], &oracle["other"]);
    let model = Arc::new(trunk());
    let content = PerceptualLoss::new(Arc::clone(&model), ["relu2_2", "relu3_3"]).unwrap();
    let style = StyleLoss::new(model, STYLE).unwrap();
    for (loss, target) in [
        (content.between(x, other), content.target(other)),
        (style.between(x, other), style.target(other)),
    ] {
        let (loss, target) = (loss.unwrap(), target.unwrap());
        assert_eq!(values(&loss), values(&target.loss(x).unwrap()));
        // One target serves a batch.
        let twice = Tensor::cat(&[x, x], 0).unwrap();
        let batch = target.loss(&twice).unwrap();
        assert_near(&values(&batch), &loss, CLOSE, "batch");
        let x = Var::from_tensor(x).unwrap();
        let gradients = target.loss(&x).unwrap().backward().unwrap();
        let slope = gradients.get(&x).unwrap().abs().unwrap();
        assert!(values(&slope.max_all().unwrap())[0] > 0.0);
    }
    let targets = content.target(&noise((2, 3, 32, 32))).unwrap();
    for other in [noise((3, 3, 32, 32)), noise((2, 3, 33, 32))] {
        assert!(matches!(
            targets.loss(&other).unwrap_err(),
            Error::Explain(ExplainError::Input { .. })
        ));
    }
}

#[test]
fn a_loss_lives_as_long_as_its_closure() {
    let target = PerceptualLoss::new(trunk(), ["relu1_2"]).unwrap();
    let target = target.target(&noise((1, 3, 32, 32))).unwrap();
    // The bounds of Loss::custom.
    let loss: Box<dyn Fn(&Tensor) -> Tensor + Send + Sync> =
        Box::new(move |x| target.loss(x).unwrap());
    assert_eq!(values(&loss(&noise((1, 3, 32, 32)))), [0.0]);
}

#[test]
fn lpips_is_its_packages() {
    let oracle = oracle();
    let layers = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"];
    let weights = (0..5).map(|index| values(&oracle[&format!("lpips.lin{index}")]));
    let lpips = Lpips::new(trunk(), layers.into_iter().zip(weights)).unwrap();
    // Preprocessing::lpips for values from -1 to 1.
    let scaled = |name: &str| {
        let shift = tensor(&[-0.030, -0.088, -0.188], (1, 3, 1, 1));
        let scale = tensor(&[0.458, 0.448, 0.450], (1, 3, 1, 1));
        let shifted = oracle[name].broadcast_sub(&shift).unwrap();
        shifted.broadcast_div(&scale).unwrap()
    };
    let (first, second) = (scaled("lpips.first"), scaled("lpips.second"));
    let distance = lpips.distance(&first, &second).unwrap();
    assert_near(&values(&distance), &oracle["lpips"], CLOSE, "LPIPS");
    let itself = lpips.distance(&first, &first).unwrap();
    assert_eq!(values(&itself), [0.0]);
    let dark = Var::from_tensor(&first.zeros_like().unwrap()).unwrap();
    let loss = lpips.distance(&dark, &second).unwrap().sum_all().unwrap();
    let gradients = loss.backward().unwrap();
    let gradient = values(gradients.get(&dark).unwrap());
    assert!(gradient.iter().all(|value| value.is_finite()));
}

/// In f32 the losses are computed within a chain of layers, in f64 after each layer.
#[test]
fn painting_goes_as_in_pytorch() {
    let oracle = oracle();
    let adam = StyleOptimizer::Adam {
        learning_rate: 0.02,
    };
    let lbfgs = StyleOptimizer::Lbfgs { history: 4 };
    for dtype in [DType::F32, DType::F64] {
        let model = trunk_of(dtype);
        let input = |name: &str| oracle[name].to_dtype(dtype).unwrap();
        for (name, optimizer) in [("adam", adam), ("lbfgs", lbfgs)] {
            let stylize = Stylize::new()
                .steps(6)
                .variation_weight(0.1)
                .optimizer(optimizer);
            let (x, losses) = stylize
                .run_tensors(&model, &input("x"), &input("other"))
                .unwrap();
            let expected = &oracle[&format!("stylize.{name}.losses")];
            assert_near(&losses, expected, 1e-4, name);
            assert!(losses[5] < losses[0], "{losses:?}");
            // Adam moves a value by the sign of its gradient, even if that is close to 0.
            let expected = &oracle[&format!("stylize.{name}")];
            assert_near(&values(&x), expected, 1e-3, name);
        }
    }
}

#[test]
fn a_painted_image_has_the_contents_size() {
    let model = with_images();
    let (content, style) = (checkered(40), checkered(48));
    for stylize in [Stylize::new(), Stylize::new().max_pooling()] {
        let painted = stylize.steps(2).run(&model, &content, &style).unwrap();
        assert_eq!((painted.image.width(), painted.image.height()), (40, 40));
        assert_eq!(painted.losses.len(), 2);
    }
}

#[test]
fn variation_is_by_hand() {
    let x = tensor(&[0.0, 1.0, 3.0, 3.0], (1, 1, 2, 2));
    // Rows: 9 and 4; columns: 1 and 0.
    assert_eq!(values(&total_variation(&x).unwrap()), [7.0]);
}

#[test]
fn a_maximized_channel_responds_more_and_the_seed_decides() {
    let model = with_images();
    let options = Maximization::new().size(32).steps(24);
    let response = |image: &Image, channel: usize| {
        let preprocessing = Preprocessing::torchvision().without_resize();
        let x = preprocessing.apply(image).unwrap();
        let map = model.forward_to("block3_conv2:pre", &x).unwrap();
        let map = map.narrow(1, channel, 1).unwrap().mean_all().unwrap();
        map.to_scalar::<f32>().unwrap()
    };
    let start = options.steps(0).run(&model, "block3_conv2", 5).unwrap();
    let found = options.run(&model, "block3_conv2", 5).unwrap();
    assert!(response(&found, 5) > response(&start, 5));
    let again = options.run(&model, "block3_conv2", 5).unwrap();
    assert_eq!(found.as_rgb8(), again.as_rgb8());
    let other = options.seed(1).run(&model, "block3_conv2", 5).unwrap();
    assert_ne!(found.as_rgb8(), other.as_rgb8());
    let layout = Sheet::new().gap(0);
    let sheet = options
        .steps(1)
        .sheet(&model, "block1_conv1", 0..3, &layout);
    assert_eq!(sheet.unwrap().width(), 64);
}

#[test]
fn a_dream_makes_a_layer_respond_more() {
    let model = with_images();
    let image = checkered(48);
    let response = |image: &Image| {
        let x = Preprocessing::torchvision().without_resize().apply(image);
        let map = model.forward_to("relu3_3", &x.unwrap()).unwrap();
        map.sqr()
            .unwrap()
            .mean_all()
            .unwrap()
            .to_scalar::<f32>()
            .unwrap()
    };
    let dream = Dream::new().octaves(2).steps(5).jitter(4);
    let dreamt = dream.run(&model, "relu3_3", &image).unwrap();
    assert!(response(&dreamt) > response(&image));
    let again = dream.run(&model, "relu3_3", &image).unwrap();
    assert_eq!(dreamt.as_rgb8(), again.as_rgb8());
}

#[test]
fn settings_are_checked() {
    let model = with_images();
    let image = checkered(32);
    let maximize = |options: Maximization| options.run(&model, "block1_conv1", 0).unwrap_err();
    let dream = |options: Dream| options.run(&model, "block1_conv1", &image).unwrap_err();
    let stylize = |options: Stylize| options.run(&model, &image, &image).unwrap_err();
    let none: [&str; 0] = [];
    for error in [
        maximize(Maximization::new().size(0)),
        maximize(Maximization::new().size(usize::MAX)),
        maximize(Maximization::new().size(1 << 20)),
        maximize(Maximization::new().jitter(usize::MAX)),
        maximize(Maximization::new().learning_rate(0.0)),
        maximize(Maximization::new().scale(0.6)),
        maximize(Maximization::new().variation_weight(f64::NAN)),
        dream(Dream::new().octaves(0)),
        dream(Dream::new().octaves(usize::MAX)),
        dream(Dream::new().octave_scale(0.5)),
        dream(Dream::new().step_size(0.0)),
        dream(Dream::new().jitter(usize::MAX)),
        stylize(Stylize::new().style_layers(none)),
        stylize(Stylize::new().style_weight(-1.0)),
        stylize(Stylize::new().optimizer(StyleOptimizer::Lbfgs { history: 0 })),
        stylize(Stylize::new().optimizer(StyleOptimizer::Adam { learning_rate: 0.0 })),
        PerceptualLoss::new(trunk(), none).unwrap_err(),
        Lpips::new(trunk(), [("relu1_2", vec![1.0])]).unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
    let loss = PerceptualLoss::new(trunk(), ["relu1_2"]).unwrap();
    let (a, b) = (noise((1, 3, 32, 32)), noise((1, 3, 48, 32)));
    assert!(matches!(
        loss.between(&a, &b).unwrap_err(),
        Error::Explain(ExplainError::Input { .. })
    ));
    let error = Maximization::new()
        .run(&model, "block1_conv1", 4)
        .unwrap_err();
    assert_eq!(error.layer(), Some("block1_conv1"));
}

#[test]
fn a_loss_that_overflows_is_an_error() {
    let model = trunk();
    let x = Tensor::full(f32::NAN, (1, 3, 32, 32), &Device::Cpu).unwrap();
    for steps in [1, usize::MAX] {
        let stylize = Stylize::new().steps(steps);
        let error = stylize.run_tensors(&model, &x, &x).unwrap_err();
        assert!(matches!(
            error,
            Error::Explain(ExplainError::NonFinite { .. })
        ));
    }
}

#[test]
fn one_image_is_painted_at_a_time() {
    let (one, two) = (noise((1, 3, 32, 32)), noise((2, 3, 32, 32)));
    for dtype in [DType::F32, DType::F64] {
        let model = trunk_of(dtype);
        for (content, style) in [(&two, &one), (&one, &two)] {
            let stylize = Stylize::new().steps(1);
            let error = stylize.run_tensors(&model, content, style).unwrap_err();
            assert!(matches!(error, Error::Explain(ExplainError::Input { .. })));
        }
    }
}

#[test]
fn an_image_that_would_take_too_much_memory_is_refused() {
    let model = with_images();
    // The plan of the layers that are run; with a byte less, they are not.
    let graph = model.graph().clone().truncate("block2_conv1").unwrap();
    let plan = graph.input((3, 40, 48)).unwrap().plan();
    let needed = plan.training_activation_bytes.unwrap();
    let image = Image::from_rgb8(48, 40, vec![100; 48 * 40 * 3]).unwrap();
    let small = Image::from_rgb8(16, 16, vec![100; 16 * 16 * 3]).unwrap();
    let dream = |limit| {
        let dream = Dream::new().octaves(1).steps(1).memory_limit(limit);
        dream.run(&model, "block2_conv1", &image)
    };
    let style = |limit, content, style| {
        let layers = ["block2_conv1"];
        let stylize = Stylize::new().content_layers(layers).style_layers(layers);
        let stylize = stylize.steps(1).memory_limit(limit);
        stylize.run(&model, content, style).map(|done| done.image)
    };
    let largest = |limit| {
        let square = Maximization::new().size(64).steps(1).memory_limit(limit);
        square.run(&model, "block2_conv1", 0)
    };
    for refused in [
        dream(needed - 1),
        style(needed - 1, &image, &small),
        style(needed - 1, &small, &image),
        largest(needed),
    ] {
        match refused {
            Err(Error::Image(ImageError::NetworkMemory { limit, .. })) => {
                assert!(limit == needed || limit == needed - 1);
            }
            other => panic!("{other:?}"),
        }
    }
    dream(needed).unwrap();
    style(needed, &image, &small).unwrap();
}

#[test]
fn a_strip_of_20000_to_20_pixels_does_not_end_the_process() {
    let strip = Image::from_rgb8(20_000, 20, vec![100; 20_000 * 20 * 3]).unwrap();
    let graph = vgg_surgery::Vgg16::untrained(0).truncate("block2_conv1");
    let graph = graph
        .unwrap()
        .with_preprocessing(Preprocessing::torchvision());
    let model = graph.build(&Device::Cpu).unwrap();
    let strip = strip
        .resize(256_000, 256, vgg_surgery::preprocess::ResizeFilter::Nearest)
        .unwrap();
    match Dream::new().run(&model, "block1_conv1", &strip) {
        Err(Error::Image(ImageError::NetworkMemory { input, needed, .. })) => {
            let values = 256_000 * 256 * (3 + 64);
            assert_eq!(input, Shape::map(3, 256, 256_000));
            assert_eq!(needed, 4 * values);
        }
        other => panic!("{other:?}"),
    }
}

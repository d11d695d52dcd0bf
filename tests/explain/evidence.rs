use candle_core::{DType, Device, Tensor};
use vgg_surgery::error::ExplainError;
use vgg_surgery::explain::{Heatmap, Occlusion, ScoreCam, SmoothGrad};
use vgg_surgery::layers::{Add, Init};
use vgg_surgery::{
    Activation, BatchNorm2d, Conv2d, Dense, Error, Explainer, Graph, Head, Model, Vgg11Bn,
};

use super::oracle::{CLASS, LAYER, assert_heat, assert_near, classifier, oracle, values};
use super::{built, noise, tensor, whole};

/// The error that the kernels' tests allow for one layer, as a fraction of its
/// largest value. The rounding errors of thirteen layers mostly cancel.
const CLOSE: f32 = 1e-5;

#[test]
fn scores_are_those_before_a_softmax() {
    let oracle = oracle();
    for dense in [Dense::new(10), Dense::new(10).softmax()] {
        let model = classifier(dense);
        let explainer = Explainer::new(&model).unwrap();
        assert_eq!(explainer.classes(), 10);
        let scores = explainer.scores(&oracle["x"]).unwrap();
        assert_near(&scores, &oracle["scores"], CLOSE, "scores");
    }
    let model = classifier(Dense::new(10));
    let model = model
        .edit(|graph| graph.attach(Activation::Softmax.named("probabilities")))
        .unwrap();
    let explainer = Explainer::new(&model).unwrap();
    let scores = explainer.scores(&oracle["x"]).unwrap();
    assert_near(&scores, &oracle["scores"], CLOSE, "scores");
    let best = explainer.top_class(&oracle["x"]).unwrap();
    let highest = scores.iter().copied().fold(f32::MIN, f32::max);
    assert_eq!(scores[best], highest);
}

#[test]
fn class_activation_maps_are_pytorchs() {
    let oracle = oracle();
    let x = &oracle["x"];
    let model = classifier(Dense::new(10).softmax());
    let explainer = Explainer::new(&model).unwrap();
    let heat = explainer.grad_cam(LAYER, x, CLASS).unwrap();
    // Terms of up to 0.6 cancel to 0.0003, each with a few rounding errors.
    let terms = values(&oracle["grad_cam.terms"]);
    let terms = terms.into_iter().fold(0.0, f32::max);
    let largest = values(&oracle["grad_cam"]).into_iter().fold(0.0, f32::max);
    let roundings = 4.0 * f32::EPSILON * terms / largest;
    assert_heat(&heat, &oracle["grad_cam"], roundings, "Grad-CAM");
    let heat = explainer.grad_cam_plus_plus(LAYER, x, CLASS).unwrap();
    assert_heat(&heat, &oracle["grad_cam_plus_plus"], CLOSE, "Grad-CAM++");
    let options = ScoreCam::new().batch_size(5);
    let heat = explainer.score_cam(LAYER, x, CLASS, &options).unwrap();
    assert_heat(&heat, &oracle["score_cam"], CLOSE, "Score-CAM");
    let heat = explainer.eigen_cam(LAYER, x).unwrap();
    assert_heat(&heat, &oracle["eigen_cam"], CLOSE, "Eigen-CAM");
}

#[test]
fn attributions_are_pytorchs() {
    let oracle = oracle();
    let x = &oracle["x"];
    let model = classifier(Dense::new(10).softmax());
    let explainer = Explainer::new(&model).unwrap();
    let saliency = explainer.saliency(x, CLASS).unwrap();
    assert_near(
        &values(saliency.tensor()),
        &oracle["saliency"],
        CLOSE,
        "saliency",
    );
    let guided = explainer.guided_backpropagation(x, CLASS).unwrap();
    assert_near(&values(guided.tensor()), &oracle["guided"], CLOSE, "guided");
    let baseline = x.zeros_like().unwrap();
    let integrated = explainer
        .integrated_gradients(x, CLASS, &baseline, 8)
        .unwrap();
    assert_near(
        &values(integrated.tensor()),
        &oracle["integrated"],
        CLOSE,
        "integrated gradients",
    );
    let options = Occlusion::new(16, 12).stride(8, 8).fill(0.5).batch_size(3);
    let heat = explainer.occlusion(x, CLASS, &options).unwrap();
    assert_heat(&heat, &oracle["occlusion"], CLOSE, "occlusion");
}

/// A smooth network in f64.
fn smooth() -> Model {
    let graph = Graph::new("smooth", (2, 4, 4)).unwrap();
    let mut conv = Conv2d::new(3, 3);
    conv.activation = Activation::Tanh;
    let head = Head::new()
        .conv2d("conv", conv)
        .global_avg_pool2d("gap")
        .dense("scores", Dense::new(2));
    let graph = graph.attach(head).unwrap();
    let options = vgg_surgery::model::BuildOptions::new().dtype(DType::F64);
    graph.build_with(&Device::Cpu, &options).unwrap()
}

#[test]
fn integrated_gradients_add_up_to_the_difference_of_scores() {
    let model = smooth();
    let explainer = Explainer::new(&model).unwrap();
    let x = noise((1, 2, 4, 4)).to_dtype(DType::F64).unwrap();
    let baseline = x.zeros_like().unwrap();
    let integrated = explainer
        .integrated_gradients(&x, 1, &baseline, 100)
        .unwrap();
    let sum: f32 = integrated.sum().unwrap().values().iter().sum();
    let score = |x: &Tensor| explainer.scores(x).unwrap()[1];
    let difference = score(&x) - score(&baseline);
    // The error of the midpoint rule: the square of its step, divided by 24.
    assert!((sum - difference).abs() < 1e-4 * difference.abs());
}

#[test]
fn saliency_is_the_slope_of_the_score() {
    let model = smooth();
    let explainer = Explainer::new(&model).unwrap();
    let x = noise((1, 2, 4, 4)).to_dtype(DType::F64).unwrap();
    let slopes = explainer.saliency(&x, 1).unwrap();
    let slopes: Vec<f64> = slopes.tensor().flatten_all().unwrap().to_vec1().unwrap();
    let score = |x: &Tensor| -> f64 {
        let scores = model.forward(x).unwrap();
        scores.to_vec2::<f64>().unwrap()[0][1]
    };
    let step = 1e-5;
    for (index, slope) in slopes.iter().enumerate() {
        let mut moved = vec![0f64; slopes.len()];
        moved[index] = step;
        let moved = Tensor::from_vec(moved, x.dims(), &Device::Cpu).unwrap();
        let ahead = score(&(&x + &moved).unwrap());
        let behind = score(&(&x - &moved).unwrap());
        let measured = (ahead - behind) / (2.0 * step);
        assert!(
            (slope - measured).abs() < 1e-8,
            "{index}: {slope} {measured}"
        );
    }
}

#[test]
fn smooth_grad_without_noise_is_saliency() {
    let model = classifier(Dense::new(10));
    let explainer = Explainer::new(&model).unwrap();
    let x = &oracle()["x"];
    let saliency = explainer.saliency(x, CLASS).unwrap();
    let smooth = |options: SmoothGrad| -> Vec<f32> {
        values(explainer.smooth_grad(x, CLASS, &options).unwrap().tensor())
    };
    let quiet = smooth(SmoothGrad::new().samples(2).noise(0.0));
    assert_near(&quiet, saliency.tensor(), 1e-6, "without noise");
    let noisy = SmoothGrad::new().samples(2).noise(0.2);
    assert_eq!(smooth(noisy.seed(1)), smooth(noisy.seed(1)));
    assert_ne!(smooth(noisy.seed(1)), smooth(noisy.seed(2)));
}

#[test]
fn grad_cam_by_hand() {
    // Score = mean of the first channel - mean of the second: weights of 1/4
    // and -1/4 for each of four pixels.
    let graph = Graph::new("hand", (2, 2, 2)).unwrap();
    let head = Head::new()
        .activation("relu", Activation::Relu)
        .global_avg_pool2d("gap")
        .dense("scores", Dense::new(1));
    let model = built(graph.attach(head).unwrap());
    for variable in model.trainable_variables() {
        let weight = tensor(&[1.0, -1.0], (1, 2));
        let bias = tensor(&[0.0], 1);
        let new = if variable.dims().len() == 2 {
            weight
        } else {
            bias
        };
        variable.set(&new).unwrap();
    }
    let explainer = Explainer::new(&model).unwrap();
    let x = tensor(&[4.0, 0.0, 8.0, 2.0, 1.0, 6.0, 0.0, -5.0], (1, 2, 2, 2));
    let heat = explainer.grad_cam("relu", &x, 0).unwrap();
    assert_eq!(heat.values(), [0.75, 0.0, 2.0, 0.5]);
    let window = Occlusion::new(1, 1);
    let heat = explainer.occlusion(&x, 0, &window).unwrap();
    assert_eq!(heat.values(), [0.75, -1.5, 2.0, 0.5]);
}

#[test]
fn a_value_that_a_connection_bypasses_is_explained() {
    // y = conv(a) + a with a = relu(x): the score depends on a in two ways.
    let graph = Graph::new("residual", (1, 2, 2)).unwrap();
    let graph = graph.attach(Activation::Relu.named("a")).unwrap();
    let graph = graph.attach(Conv2d::new(1, 1).named("conv")).unwrap();
    let (a, b) = (graph.node_id("a").unwrap(), graph.node_id("conv").unwrap());
    let mut graph = graph;
    let sum = graph.add("sum", Add, [a, b]).unwrap();
    let graph = graph.with_outputs([sum]).unwrap();
    let head = Head::new().global_avg_pool2d("gap");
    let model = built(graph.attach(head).unwrap());
    for variable in model.trainable_variables() {
        let value = if variable.dims().len() == 4 { 3.0 } else { 0.0 };
        let new = Tensor::full(value, variable.dims(), &Device::Cpu).unwrap();
        variable.set(&new.to_dtype(DType::F32).unwrap()).unwrap();
    }
    let explainer = Explainer::new(&model).unwrap();
    let x = tensor(&[1.0, 2.0, -1.0, 4.0], (1, 1, 2, 2));
    let through_both = explainer.grad_cam("a", &x, 0).unwrap();
    assert_eq!(through_both.values(), [1.0, 2.0, 0.0, 4.0]);
    let through_one = explainer.grad_cam("conv", &x, 0).unwrap();
    assert_eq!(through_one.values(), [0.75, 1.5, 0.0, 3.0]);
}

/// Score = mean of the first channel - mean of the second, each after a norm
/// that changes nothing and a separate ReLU: gradients of 1/4 and -1/4.
fn behind_a_norm(relu: &str) -> Model {
    let graph = Graph::new("hand", (2, 2, 2)).unwrap();
    let head = Head::new()
        .batch_norm2d("norm", BatchNorm2d::new())
        .activation(relu, Activation::Relu)
        .global_avg_pool2d("gap")
        .dense("scores", Dense::new(1).kernel_init(Init::ZEROS));
    let model = built(graph.attach(head).unwrap());
    for variable in model.trainable_variables() {
        if variable.dims() == [1, 2] {
            variable.set(&tensor(&[1.0, -1.0], (1, 2))).unwrap();
        }
    }
    model
}

#[test]
fn guided_backpropagation_includes_separate_activations() {
    let x = tensor(&[4.0, 0.0, 8.0, 2.0, 1.0, 6.0, 0.0, -5.0], (1, 2, 2, 2));
    let longest = "r".repeat(256);
    for relu in ["relu", longest.as_str()] {
        let model = behind_a_norm(relu);
        let explainer = Explainer::new(&model).unwrap();
        // The factor of a norm of variance 1: 1 / sqrt(1 + 1e-5).
        let quarter = 0.25 / 1.00001f32.sqrt();
        let ones = [1.0, 0.0, 1.0, 1.0].map(|on| on * quarter);
        let plain = explainer.saliency(&x, 0).unwrap();
        let against = [1.0, 1.0, 0.0, 0.0].map(|on| -on * quarter);
        let expected = tensor(&[ones, against].concat(), (1, 2, 2, 2));
        assert_near(&values(plain.tensor()), &expected, 1e-6, "plain");
        let guided = explainer.guided_backpropagation(&x, 0).unwrap();
        let expected = tensor(&[ones, [0.0; 4]].concat(), (1, 2, 2, 2));
        assert_near(&values(guided.tensor()), &expected, 1e-6, "guided");
    }
}

#[test]
fn guided_backpropagation_of_a_normed_vgg_is_not_its_saliency() {
    let trunk = Vgg11Bn::options()
        .widths(16)
        .without_top()
        .untrained(1)
        .unwrap();
    let head = Head::new()
        .global_avg_pool2d("gap")
        .dense("scores", Dense::new(3));
    let model = built(trunk.attach(head).unwrap());
    let explainer = Explainer::new(&model).unwrap();
    let x = noise((1, 3, 32, 32));
    let plain = values(explainer.saliency(&x, 1).unwrap().tensor());
    let guided = explainer.guided_backpropagation(&x, 1).unwrap();
    let guided = values(guided.tensor());
    let largest = plain.iter().fold(0f32, |most, value| most.max(value.abs()));
    let apart = plain.iter().zip(&guided).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0f32, f32::max) > 0.1 * largest);
}

#[test]
fn scores_of_which_none_is_a_number_have_no_highest() {
    let broken = Dense::new(3).kernel_init(Init::Constant(f32::NAN));
    let graph = Graph::new("broken", 2).unwrap();
    let model = built(graph.attach(broken.named("scores")).unwrap());
    let explainer = Explainer::new(&model).unwrap();
    let error = explainer.top_class(&noise((1, 2))).unwrap_err();
    assert!(matches!(
        error,
        Error::Explain(ExplainError::NonFinite { .. })
    ));
}

/// If NaN became 0, it would look like a position without evidence.
#[test]
fn a_heat_map_is_not_made_of_nan() {
    let non_finite = |outcome: vgg_surgery::Result<Heatmap>| {
        let error = outcome.unwrap_err();
        let is_it = matches!(error, Error::Explain(ExplainError::NonFinite { .. }));
        assert!(is_it, "{error}");
    };
    let head = |init: Init| {
        Head::new()
            .conv2d("map", Conv2d::new(2, 1).same())
            .flatten("flat")
            .dense("scores", Dense::new(3).kernel_init(init))
    };
    let model = |init: Init| {
        let graph = Graph::new("g", (1, 4, 4)).unwrap();
        built(graph.attach(head(init)).unwrap())
    };
    let broken = model(Init::Constant(f32::NAN));
    let explainer = Explainer::new(&broken).unwrap();
    let x = noise((1, 1, 4, 4));
    non_finite(explainer.grad_cam("map", &x, 0));
    non_finite(explainer.grad_cam_plus_plus("map", &x, 0));
    non_finite(explainer.score_cam("map", &x, 0, &ScoreCam::new()));
    assert!(explainer.eigen_cam("map", &x).is_ok());
    let sound = model(Init::Constant(0.1));
    let explainer = Explainer::new(&sound).unwrap();
    assert!(explainer.grad_cam("map", &x, 0).is_ok());
    let x = (x * f64::NAN).unwrap();
    non_finite(explainer.grad_cam("map", &x, 0));
    non_finite(explainer.eigen_cam("map", &x));
    assert!(explainer.saliency(&x, 0).is_err());
}

#[test]
fn illegal_inputs_are_refused() {
    let model = built(whole());
    let explainer = Explainer::new(&model).unwrap();
    let x = noise((1, 3, 32, 32));
    let two = noise((2, 3, 32, 32));
    let refused = |error: Error| match error {
        Error::Explain(error) => error,
        other => panic!("{other}"),
    };
    assert!(matches!(
        explainer.grad_cam("block5_conv3", &x, 10).unwrap_err(),
        Error::ClassOutOfRange {
            example: None,
            class: 10,
            classes: 10
        }
    ));
    assert!(matches!(
        refused(explainer.grad_cam("fc1", &x, 0).unwrap_err()),
        ExplainError::NoMap { .. }
    ));
    assert!(matches!(
        refused(explainer.saliency(&two, 0).unwrap_err()),
        ExplainError::Input { .. }
    ));
    assert!(matches!(
        refused(explainer.integrated_gradients(&x, 0, &two, 4).unwrap_err()),
        ExplainError::Input { .. }
    ));
    for error in [
        explainer.integrated_gradients(&x, 0, &x, 0).unwrap_err(),
        explainer
            .smooth_grad(&x, 0, &SmoothGrad::new().samples(0))
            .unwrap_err(),
        explainer
            .smooth_grad(&x, 0, &SmoothGrad::new().noise(-1.0))
            .unwrap_err(),
        explainer
            .occlusion(&x, 0, &Occlusion::new(33, 8))
            .unwrap_err(),
        explainer
            .occlusion(&x, 0, &Occlusion::new(8, 8).stride(0, 1))
            .unwrap_err(),
        explainer
            .score_cam("block5_conv3", &x, 0, &ScoreCam::new().channels(0))
            .unwrap_err(),
    ] {
        assert!(matches!(error, Error::InvalidSetting { .. }));
    }
    let maps = built(whole().without_top().unwrap());
    assert!(matches!(
        refused(Explainer::new(&maps).unwrap_err()),
        ExplainError::NoClasses { .. }
    ));
    assert!(matches!(
        explainer.grad_cam("block6_conv1", &x, 0).unwrap_err(),
        Error::UnknownLayer { .. }
    ));
}

use candle_core::{DType, Device, Tensor, Var};
use serde_json::Value;
use vgg_surgery::data::Targets;
use vgg_surgery::error::TrainingError;
use vgg_surgery::{Error, Loss, Metric, Result, Trainer};

use crate::{assert_near, built, golden, graph, numbers, two_kinds, values};

fn table(golden: &Value, name: &str) -> Tensor {
    Tensor::new(numbers(&golden[name]), &Device::Cpu)
        .and_then(|t| t.reshape((6, 5)))
        .unwrap()
}

fn classes(golden: &Value) -> Targets {
    let classes = golden["classes"].as_array().unwrap().iter();
    Targets::Classes(classes.map(|c| c.as_u64().unwrap() as usize).collect())
}

/// Each loss, its targets, and whether the examples are weighted.
fn cases(golden: &Value) -> Vec<(&'static str, Loss, Targets, bool)> {
    let shares = || Targets::Soft(table(golden, "shares"));
    let values = || Targets::Values(table(golden, "values"));
    let binary = || Targets::Values(table(golden, "binary"));
    let ce = Loss::cross_entropy;
    let bce = Loss::binary_cross_entropy;
    vec![
        ("cross_entropy", ce(), classes(golden), false),
        (
            "cross_entropy_smoothed",
            ce().label_smoothing(0.1),
            classes(golden),
            false,
        ),
        ("cross_entropy_shares", ce(), shares(), false),
        (
            "cross_entropy_shares_smoothed",
            ce().label_smoothing(0.2),
            shares(),
            false,
        ),
        ("cross_entropy_weighted", ce(), classes(golden), true),
        (
            "cross_entropy_class_weights",
            ce().class_weights(numbers(&golden["class_weights"])),
            classes(golden),
            false,
        ),
        ("binary_cross_entropy", bce(), binary(), false),
        (
            "binary_cross_entropy_smoothed",
            bce().label_smoothing(0.1),
            binary(),
            false,
        ),
        (
            "mean_squared_error",
            Loss::mean_squared_error(),
            values(),
            false,
        ),
        (
            "mean_squared_error_weighted",
            Loss::mean_squared_error(),
            values(),
            true,
        ),
        (
            "mean_absolute_error",
            Loss::mean_absolute_error(),
            values(),
            false,
        ),
        ("huber", Loss::huber(0.7), values(), false),
    ]
}

#[test]
fn losses_and_gradients_are_pytorchs_and_keras() {
    let golden = golden();
    let weights = Tensor::new(numbers(&golden["weights"]), &Device::Cpu).unwrap();
    let mut compared = 0;
    for (name, loss, targets, weighted) in cases(&golden) {
        let logits = Var::from_tensor(&table(&golden, "logits")).unwrap();
        let weights = weighted.then_some(&weights);
        let value = loss.compute(&logits, &targets, weights).unwrap();
        let torch = &golden["torch"][name];
        if let Some(expected) = torch["value"].as_f64() {
            assert_near(&values(&value), &[expected], 1e-12, name);
            let gradients = value.backward().unwrap();
            let gradient = values(gradients.get(&logits).unwrap());
            // PyTorch's own values were read from f32 logits printed in full.
            assert_near(&gradient, &numbers(&torch["gradient"]), 1e-12, name);
            compared += 1;
        }
        if let Some(expected) = golden["keras"][name].as_f64() {
            // Keras computes in f32.
            assert_near(&values(&value), &[expected], 1e-6, name);
            compared += 1;
        }
    }
    assert_eq!(compared, 18);
}

#[test]
fn no_logit_overflows() {
    let logits = Tensor::new(&[[1e4f32, -1e4], [-1e4, 1e4]], &Device::Cpu).unwrap();
    let of = |loss: Loss, targets: Targets| {
        let logits = Var::from_tensor(&logits).unwrap();
        let value = loss.compute(&logits, &targets, None).unwrap();
        let gradients = value.backward().unwrap();
        (values(&value)[0], values(gradients.get(&logits).unwrap()))
    };
    let right = of(Loss::cross_entropy(), Targets::Classes(vec![0, 1]));
    assert_eq!(right, (0.0, vec![0.0; 4]));
    let wrong = of(Loss::cross_entropy(), Targets::Classes(vec![1, 0]));
    assert_eq!(wrong, (2e4, vec![0.5, -0.5, -0.5, 0.5]));
    let targets = Tensor::new(&[[0f32, 0.0], [1.0, 1.0]], &Device::Cpu).unwrap();
    let binary = of(Loss::binary_cross_entropy(), Targets::Values(targets));
    assert_eq!(binary, (5e3, vec![0.25, 0.0, -0.25, 0.0]));
}

/// The mean over all pixels, each a softmax over the channels.
#[test]
fn feature_maps_are_compared_pixel_by_pixel() {
    let golden = golden();
    let pixels = |name| {
        // (6, 5) becomes one map (1, 5, 2, 3) of six pixels.
        let table = table(&golden, name).t().unwrap().contiguous().unwrap();
        table.reshape((1, 5, 2, 3)).unwrap()
    };
    let targets = Targets::Soft(pixels("shares"));
    let value = Loss::cross_entropy().compute(&pixels("logits"), &targets, None);
    let expected = golden["torch"]["cross_entropy_shares"]["value"].as_f64();
    assert_near(&values(&value.unwrap()), &[expected.unwrap()], 1e-12, "map");
}

#[test]
fn a_single_output_takes_classes_0_and_1() {
    let logits = Tensor::new(&[[0.3f64], [-1.2]], &Device::Cpu).unwrap();
    let loss = Loss::binary_cross_entropy();
    let by_class = loss.compute(&logits, &Targets::Classes(vec![1, 0]), None);
    let table = Tensor::new(&[[1.0f64], [0.0]], &Device::Cpu).unwrap();
    let by_value = loss.compute(&logits, &Targets::Values(table), None);
    assert_eq!(values(&by_class.unwrap()), values(&by_value.unwrap()));
}

#[test]
fn a_loss_of_ones_own_is_taken_as_it_is() {
    let x = Var::new(&[[1f32, 2.0]], &Device::Cpu).unwrap();
    let loss = Loss::custom(|scores, _| Ok(scores.sqr()?.sum_all()?));
    let value = loss.compute(&x, &Targets::Classes(vec![0]), None).unwrap();
    assert_eq!(values(&value), [5.0]);
    let gradients = value.backward().unwrap();
    assert_eq!(values(gradients.get(&x).unwrap()), [2.0, 4.0]);
}

#[test]
fn gradients_have_the_type_of_the_scores() {
    for dtype in [DType::F32, DType::F64, DType::BF16, DType::F16] {
        let x = Tensor::new(&[[1f32, 2.0]], &Device::Cpu).unwrap();
        let x = Var::from_tensor(&x.to_dtype(dtype).unwrap()).unwrap();
        let value = Loss::cross_entropy().compute(&x, &Targets::Classes(vec![1]), None);
        let gradients = value.unwrap().backward().unwrap();
        assert_eq!(gradients.get(&x).unwrap().dtype(), dtype);
    }
}

fn compute(loss: Loss, targets: Targets) -> Result<Tensor> {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    loss.compute(&logits, &targets, None)
}

#[test]
fn targets_that_do_not_fit_are_refused() {
    let classes = |classes: &[usize]| Targets::Classes(classes.to_vec());
    let table = |shape: (usize, usize)| {
        Targets::Values(Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap())
    };
    let found = compute(Loss::cross_entropy(), classes(&[0, 3]));
    assert!(matches!(
        found,
        Err(Error::ClassOutOfRange {
            example: Some(1),
            class: 3,
            classes: 3,
        })
    ));
    for (loss, targets) in [
        (Loss::cross_entropy(), classes(&[0])),
        (Loss::cross_entropy(), table((2, 4))),
        (Loss::mean_squared_error(), classes(&[0, 1])),
        (Loss::mean_squared_error(), table((3, 2))),
        (
            Loss::custom(|scores, _| Ok(scores.clone())),
            classes(&[0, 1]),
        ),
    ] {
        let found = compute(loss, targets);
        assert!(
            matches!(found, Err(Error::Training(TrainingError::Targets { .. }))),
            "{found:?}"
        );
    }
}

/// The result is the same as if each example had the weight of its class.
#[test]
fn a_single_output_weighs_no_and_yes() {
    let logits = Tensor::new(&[[0.3f64], [-1.2], [0.7]], &Device::Cpu).unwrap();
    let classes = || Targets::Classes(vec![1, 0, 0]);
    let plain = Loss::binary_cross_entropy();
    let weights = Tensor::new(&[0.5f64, 2.0, 2.0], &Device::Cpu).unwrap();
    let expected = values(&plain.compute(&logits, &classes(), Some(&weights)).unwrap());
    let weighted = Loss::binary_cross_entropy().class_weights([2.0, 0.5]);
    let by_class = weighted.compute(&logits, &classes(), None).unwrap();
    assert_eq!(values(&by_class), expected);
    let shares = Tensor::new(&[[1f64], [0.0], [0.0]], &Device::Cpu).unwrap();
    let by_value = weighted.compute(&logits, &Targets::Values(shares), None);
    assert_eq!(values(&by_value.unwrap()), expected);
}

#[test]
fn class_weights_of_examples_without_a_single_class_are_refused() {
    let table = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let many = Loss::binary_cross_entropy().class_weights([1.0, 2.0, 3.0]);
    let found = compute(many, Targets::Values(table));
    assert!(matches!(found, Err(Error::InvalidSetting { .. })));
    let logits = Tensor::zeros((2, 1), DType::F32, &Device::Cpu).unwrap();
    let one = Loss::binary_cross_entropy().class_weights([1.0]);
    let found = one.compute(&logits, &Targets::Classes(vec![0, 1]), None);
    assert!(
        matches!(found, Err(Error::InvalidSetting { .. })),
        "{found:?}"
    );
}

#[test]
fn weights_of_other_examples_are_refused() {
    let logits = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    for count in [1, 3] {
        let weights = Tensor::ones(count, DType::F32, &Device::Cpu).unwrap();
        let found =
            Loss::cross_entropy().compute(&logits, &Targets::Classes(vec![0, 1]), Some(&weights));
        assert!(
            matches!(found, Err(Error::Training(TrainingError::Targets { .. }))),
            "{found:?}"
        );
    }
}

#[test]
fn invalid_settings_are_refused() {
    for loss in [
        Loss::cross_entropy().label_smoothing(1.5),
        Loss::cross_entropy().class_weights([1.0, 2.0]),
        Loss::cross_entropy().class_weights([1.0, -2.0, 1.0]),
        Loss::cross_entropy().class_weights([0.0, 0.0, 0.0]),
        Loss::huber(0.0),
        Loss::mean_squared_error().label_smoothing(0.1),
        Loss::mean_squared_error().class_weights([1.0, 2.0, 3.0]),
        Loss::custom(|scores, _| Ok(scores.sum_all()?)).class_weights([1.0, 2.0, 3.0]),
    ] {
        let found = compute(loss, Targets::Classes(vec![0, 1]));
        assert!(matches!(found, Err(Error::InvalidSetting { .. })));
    }
}

#[test]
fn values_are_not_probabilities_of_classes() {
    let scores = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
    let of = |values: [[f32; 3]; 2]| {
        let values = Tensor::new(&values, &Device::Cpu).unwrap();
        Loss::cross_entropy().compute(&scores, &Targets::Values(values), None)
    };
    of([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]]).unwrap();
    for wrong in [1.5, -0.1, f32::NAN] {
        let error = of([[0.2, 0.3, 0.5], [wrong, 0.0, 0.0]]).unwrap_err();
        assert!(
            error.to_string().contains("Loss::mean_squared_error()"),
            "{error}"
        );
    }
}

#[test]
fn one_output_can_not_distinguish_classes() {
    let scores = Tensor::zeros((2, 1), DType::F32, &Device::Cpu).unwrap();
    let targets = Targets::Classes(vec![0, 0]);
    let error = Loss::cross_entropy().compute(&scores, &targets, None);
    let error = error.unwrap_err();
    assert!(
        error.to_string().contains("Loss::binary_cross_entropy()"),
        "{error}"
    );
    Loss::binary_cross_entropy()
        .compute(&scores, &targets, None)
        .unwrap();
    let mut model = built(graph());
    let trainer = Trainer::new(&mut model).metrics([Metric::TopAccuracy(0)]);
    let error = trainer.evaluate(&two_kinds(2, 8, 1)).unwrap_err();
    assert!(error.to_string().contains("take at least 1"), "{error}");
}

/// As many values in another order belong to other positions.
#[test]
fn targets_of_another_layout_are_refused() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F64, &Device::Cpu).unwrap();
    let of = |scores: &[usize], targets: &[usize]| {
        let targets = Targets::Values(zeros(targets));
        let loss = Loss::mean_squared_error();
        loss.compute(&zeros(scores), &targets, None)
            .map(|loss| values(&loss))
    };
    for (scores, targets) in [
        (&[2, 3, 4, 4][..], &[2, 4, 4, 3][..]),
        (&[2, 3, 4, 5], &[2, 3, 20]),
        (&[2, 3], &[3, 2]),
        (&[1, 2], &[2]),
    ] {
        let error = of(scores, targets).unwrap_err();
        let is_targets = matches!(error, Error::Training(TrainingError::Targets { .. }));
        assert!(is_targets, "{error}");
        assert!(
            error.to_string().contains(&format!("{scores:?}")),
            "{error}"
        );
    }
    for (scores, targets) in [
        (&[2, 1][..], &[2][..]),
        (&[2, 1, 3, 4], &[2, 3, 4]),
        (&[2, 3], &[2, 3, 1, 1]),
    ] {
        assert_eq!(of(scores, targets).unwrap(), [0.0]);
    }
}

/// Computed by hand: the mean over the positions of the loss times the weight of the
/// class.
#[test]
fn class_weights_count_position_by_position() {
    let compute = |loss: Loss, scores: Tensor, targets: &[f64]| {
        let scores = Var::from_tensor(&scores).unwrap();
        let targets = Tensor::new(targets, &Device::Cpu).unwrap();
        let targets = targets.reshape(scores.shape()).unwrap();
        let loss = loss.class_weights([1.0, 3.0]);
        let value = loss
            .compute(&scores, &Targets::Values(targets), None)
            .unwrap();
        let gradients = value.backward().unwrap();
        (values(&value), values(gradients.get(&scores).unwrap()))
    };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let (far, near) = (5f64.exp().ln_1p(), 2f64.ln());

    let scores = Tensor::new(&[[[[5f64, 0.0]]]], &Device::Cpu).unwrap();
    let (value, gradient) = compute(Loss::binary_cross_entropy(), scores, &[0.0, 1.0]);
    assert_near(&value, &[(far + 3.0 * near) / 2.0], 1e-15, "binary");
    let expected = [sigmoid(5.0) / 2.0, 3.0 * -0.5 / 2.0];
    assert_near(&gradient, &expected, 1e-15, "binary");

    // Class 1 is wanted at the first position, class 0 at the second.
    let scores = Tensor::new(&[[[[5f64, 0.0]], [[0.0, 0.0]]]], &Device::Cpu).unwrap();
    let (value, gradient) = compute(Loss::cross_entropy(), scores, &[0.0, 1.0, 1.0, 0.0]);
    assert_near(&value, &[(3.0 * far + near) / 2.0], 1e-15, "of classes");
    let slope = 3.0 * sigmoid(5.0) / 2.0;
    assert_near(
        &gradient,
        &[slope, -0.25, -slope, 0.25],
        1e-15,
        "of classes",
    );
}

/// Custom losses read targets by their kind, and others are refused in words.
#[test]
fn targets_of_another_kind_are_refused() {
    let values = Tensor::new(&[1f32, 2.0], &Device::Cpu).unwrap();
    let classes = Targets::Classes(vec![2, 0]);
    assert_eq!(classes.classes().unwrap(), [2, 0]);
    assert_eq!(
        classes.values().unwrap_err().to_string(),
        "the targets are classes, but values are needed; use another data set or loss"
    );
    let found = Targets::Values(values.clone());
    assert_eq!(found.values().unwrap().id(), values.id());
    for (targets, actual) in [
        (found, "values"),
        (Targets::Soft(values), "fractions of classes"),
    ] {
        let error = targets.classes().unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("the targets are {actual}, but classes")),
            "{error}"
        );
    }
}

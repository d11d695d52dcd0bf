use candle_core::{DType, Device, Tensor};
use vgg_surgery::model::BuildOptions;
use vgg_surgery::optim::{Clip, Decay};
use vgg_surgery::train::{ParameterGroup, StopReason};
use vgg_surgery::{
    Adam, Dense, Graph, Head, Labels, Loss, Metric, RmsProp, Sgd, TensorDataset, Trainer, Vgg16,
};

use crate::{assert_near, built, graph, noise, two_kinds, values, weights};

/// A dense layer on four features.
pub fn linear(units: usize) -> Graph {
    let graph = Graph::new("linear", 4).unwrap().seed(3);
    graph.attach(Dense::new(units).named("out")).unwrap()
}

/// Plain gradient descent on a dense layer, computed here in f64.
#[test]
fn a_dense_layer_descends_as_computed_by_hand() {
    let x = noise((12, 4), 1);
    let y = noise((12, 3), 2);
    let mut model = built(linear(3));
    let weight = |model: &vgg_surgery::Model, index: usize| {
        values(model.parameters().nth(index).unwrap().tensor)
    };
    let (mut w, mut b) = (weight(&model, 0), weight(&model, 1));
    let data = TensorDataset::values(x.clone(), y.clone()).unwrap();
    Trainer::new(&mut model)
        .optimizer(Sgd::new(0.1))
        .loss(Loss::mean_squared_error())
        .metrics([])
        .batch_size(4)
        .shuffle(false)
        .epochs(2)
        .fit_without_validation(&data)
        .unwrap();
    let (x, y) = (values(&x), values(&y));
    for batch in [0, 4, 8, 0, 4, 8] {
        let (mut dw, mut db) = ([0.0; 12], [0.0; 3]);
        for example in batch..batch + 4 {
            for unit in 0..3 {
                let row = &x[example * 4..example * 4 + 4];
                let sum: f64 = row.iter().zip(&w[unit * 4..]).map(|(x, w)| x * w).sum();
                let off = 2.0 * (sum + b[unit] - y[example * 3 + unit]) / 12.0;
                db[unit] += off;
                for (slope, x) in dw[unit * 4..unit * 4 + 4].iter_mut().zip(row) {
                    *slope += off * x;
                }
            }
        }
        w.iter_mut().zip(dw).for_each(|(w, dw)| *w -= 0.1 * dw);
        b.iter_mut().zip(db).for_each(|(b, db)| *b -= 0.1 * db);
    }
    assert_near(&weight(&model, 0), &w, 1e-6, "weight");
    assert_near(&weight(&model, 1), &b, 1e-6, "bias");
}

#[test]
fn frozen_parameters_stay_bit_equal_and_others_learn() {
    let mut model = built(graph());
    let before = weights(&model);
    let data = two_kinds(16, 8, 1);
    let history = Trainer::new(&mut model)
        .optimizer(Adam::new(0.01))
        .batch_size(8)
        .epochs(12)
        .fit(&data, &data)
        .unwrap();
    for ((name, old), (_, new)) in before.iter().zip(weights(&model)) {
        assert_eq!(*old == new, !name.starts_with("head"), "{name}");
    }
    let losses = history.curve("val_loss");
    assert!(losses[11] < 0.5 * losses[0], "{losses:?}");
    assert_eq!(
        history
            .last()
            .unwrap()
            .validation
            .as_ref()
            .unwrap()
            .accuracy(),
        Some(1.0)
    );
    assert_eq!(history.ended, StopReason::Completed);
}

#[test]
fn every_type_of_weights_learns() {
    for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
        let options = BuildOptions::new().dtype(dtype);
        let mut model = linear(2).build_with(&Device::Cpu, &options).unwrap();
        let x = noise((16, 4), 1);
        let first: Vec<f32> = x
            .narrow(1, 0, 1)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1()
            .unwrap();
        let classes: Vec<usize> = first.iter().map(|&v| usize::from(v > 0.0)).collect();
        let data = TensorDataset::new(x, classes).unwrap();
        let history = Trainer::new(&mut model)
            .optimizer(Sgd::new(1.0))
            .batch_size(16)
            .epochs(20)
            .fit_without_validation(&data)
            .unwrap();
        let losses = history.curve("loss");
        assert!(losses[19] < 0.6 * losses[0], "{dtype:?}: {losses:?}");
        assert_eq!(model.dtype(), dtype);
    }
}

#[test]
fn a_softmax_at_the_end_changes_nothing() {
    let data = two_kinds(8, 8, 1);
    let of = |end: fn(Dense) -> Dense, loss: Loss| {
        let head = Head::new().global_avg_pool2d("pool");
        let graph = Vgg16::options().widths(16).untrained(1).unwrap();
        let graph = graph.truncate("block1_pool").unwrap().attach(head).unwrap();
        let graph = graph.attach(end(Dense::new(2)).named("out")).unwrap();
        let mut model = built(graph);
        let mut trainer = Trainer::new(&mut model).loss(loss).epochs(3);
        trainer.fit(&data, &data).unwrap().curve("val_loss")
    };
    let expected = of(|dense| dense, Loss::cross_entropy());
    assert_eq!(of(Dense::softmax, Loss::cross_entropy()), expected);
    let logits = of(|dense| dense, Loss::cross_entropy().from_logits());
    assert_eq!(logits, expected);
    let wrong = of(Dense::softmax, Loss::cross_entropy().from_logits());
    assert_ne!(wrong, expected);
}

/// A rate of 0 changes nothing, and a scale of 0.5 halves each step.
#[test]
fn groups_learn_at_different_rates() {
    let data = two_kinds(8, 8, 1);
    let step = |group: Option<ParameterGroup>| {
        let mut model = built(graph());
        let before = weights(&model);
        let mut trainer = Trainer::new(&mut model)
            .optimizer(Sgd::new(0.1))
            .batch_size(8);
        if let Some(group) = group {
            trainer = trainer.group("head_conv"..="head_bn", group).unwrap();
        }
        trainer.fit_without_validation(&data).unwrap();
        let moved = before
            .iter()
            .zip(weights(&model))
            .map(|((name, old), (_, new))| {
                let moved: Vec<f64> = old
                    .iter()
                    .zip(new)
                    .map(|(&old, new)| f64::from_bits(new) - f64::from_bits(old))
                    .collect();
                (name.clone(), moved)
            });
        moved.collect::<Vec<_>>()
    };
    let all = step(None);
    let none = step(Some(ParameterGroup::new().learning_rate(0.0)));
    let half = step(Some(ParameterGroup::new().scale(0.5)));
    for index in 0..all.len() {
        let name = &all[index].0;
        let in_group = name == "head_conv.weight" || name == "head_bn.bias";
        if in_group {
            assert!(none[index].1.iter().all(|&moved| moved == 0.0), "{name}");
            let expected: Vec<f64> = all[index].1.iter().map(|moved| moved / 2.0).collect();
            assert_near(&half[index].1, &expected, 1e-7, name);
        } else if name.starts_with("head_fc") || name.starts_with("head_out") {
            assert_eq!(none[index].1, all[index].1, "{name}");
        }
    }
}

/// Each later layer with parameters halves the rate.
#[test]
fn earlier_layers_learn_more_slowly_by_layer_decay() {
    let data = two_kinds(8, 8, 1);
    let moved = |decay: f64| {
        let mut model = built(graph());
        let before = weights(&model);
        Trainer::new(&mut model)
            .optimizer(Sgd::new(0.1))
            .layer_decay(decay)
            .fit_without_validation(&data)
            .unwrap();
        let of = |key: &str| {
            let at = before.iter().position(|(name, _)| name == key).unwrap();
            let (old, new) = (&before[at].1, &weights(&model)[at].1);
            let moved = old.iter().zip(new);
            moved
                .map(|(&o, &n)| f64::from_bits(n) - f64::from_bits(o))
                .collect::<Vec<_>>()
        };
        ["head_out.weight", "head_fc.weight", "head_conv.weight"].map(of)
    };
    let (plain, decayed) = (moved(1.0), moved(0.5));
    // head_bn, head_fc and head_out come after head_conv.
    for (index, factor) in [1.0, 0.5, 0.125].into_iter().enumerate() {
        let expected: Vec<f64> = plain[index].iter().map(|moved| moved * factor).collect();
        assert_near(&decayed[index], &expected, 1e-7, "moved");
    }
}

#[test]
fn groups_decay_differently() {
    let mut model = built(linear(2));
    let before = values(model.parameters().next().unwrap().tensor);
    // Inputs of 0 leave nothing but the decay.
    let x = Tensor::zeros((4, 4), DType::F32, &Device::Cpu).unwrap();
    let data = TensorDataset::new(x, vec![0, 1, 0, 1]).unwrap();
    Trainer::new(&mut model)
        .optimizer(Sgd::new(0.5))
        .group("out", ParameterGroup::new().decay(Decay::Decoupled(0.5)))
        .unwrap()
        .fit_without_validation(&data)
        .unwrap();
    let expected: Vec<f64> = before.iter().map(|w| w * 0.75).collect();
    let after = values(model.parameters().next().unwrap().tensor);
    assert_near(&after, &expected, 1e-7, "decayed");
}

#[test]
fn stages_keep_the_state_of_the_optimizer() {
    let data = two_kinds(8, 8, 1);
    let train = |pause: bool| {
        let mut model = built(graph());
        let mut trainer = Trainer::new(&mut model)
            .optimizer(RmsProp::new(1e-3))
            .batch_size(8);
        trainer.fit_without_validation(&data).unwrap();
        if pause {
            trainer.freeze("head_out").unwrap();
            trainer.unfreeze("head_out").unwrap();
        }
        let history = trainer.fit_without_validation(&data).unwrap();
        assert_eq!(history.epochs.len(), 2);
        assert_eq!(history.epochs[1].epoch, 2);
        weights(&model)
    };
    assert_eq!(train(true), train(false));
}

#[test]
fn unfreezing_takes_effect_at_the_next_fit() {
    let mut model = built(graph());
    let data = two_kinds(8, 8, 1);
    let before = weights(&model);
    let mut trainer = Trainer::new(&mut model);
    trainer.fit_without_validation(&data).unwrap();
    trainer.unfreeze("block2_conv2").unwrap();
    trainer.fit_without_validation(&data).unwrap();
    for ((name, old), (_, new)) in before.iter().zip(weights(&model)) {
        let learns = name.starts_with("head") || name.starts_with("block2_conv2");
        assert_eq!(*old != new, learns, "{name}");
    }
}

#[test]
fn metrics_are_those_of_the_whole_data_set() {
    // Scores are the inputs.
    let graph = Graph::new("scores", 3).unwrap();
    let graph = graph
        .attach(Dense::new(3).without_bias().named("out"))
        .unwrap();
    let mut model = built(graph);
    let identity = Tensor::eye(3, DType::F32, &Device::Cpu).unwrap();
    model.trainable_variables()[0].set(&identity).unwrap();
    let scores = [
        [3.0f32, 2.0, 1.0],
        [1.0, 2.0, 3.0],
        [2.0, 3.0, 1.0],
        [2.0, 1.0, 3.0],
        [3.0, 1.0, 2.0],
    ];
    let x = Tensor::new(&scores, &Device::Cpu).unwrap();
    let data = TensorDataset::new(x, vec![0, 1, 1, 2, 2]).unwrap();
    let evaluation = Trainer::new(&mut model)
        .metrics([
            Metric::Accuracy,
            Metric::TopAccuracy(2),
            Metric::Precision,
            Metric::Recall,
            Metric::F1,
            Metric::Confusion,
            Metric::custom("highest", |scores, _| {
                Ok(f64::from(scores.max(1)?.mean_all()?.to_scalar::<f32>()?))
            }),
        ])
        .batch_size(2)
        .evaluate(&data)
        .unwrap();
    let get = |name: &str| evaluation.get(name).unwrap();
    assert_eq!(get("accuracy"), 3.0 / 5.0);
    assert_eq!(get("top2_accuracy"), 1.0);
    assert_eq!(get("highest"), 3.0);
    // Told 0, 2, 1, 2, 0: right of them by class 1 of 2, 1 of 1, 1 of 2.
    assert_near(&[get("precision")], &[2.0 / 3.0], 1e-12, "precision");
    // Right of 1, 2, 2 examples.
    assert_near(&[get("recall")], &[2.0 / 3.0], 1e-12, "recall");
    let f1 = (2.0 / 3.0 + 2.0 / 3.0 + 0.5) / 3.0;
    assert_near(&[get("f1")], &[f1], 1e-12, "f1");
    assert!(
        evaluation
            .to_string()
            .contains(", recall 0.6667, f1 0.6111"),
        "{evaluation}"
    );
    let confusion = evaluation.confusion.unwrap();
    assert_eq!(confusion.get(1, 2), 1);
    assert_eq!(
        confusion.to_string(),
        "  | 0 1 2\n0 | 1 0 0\n1 | 0 1 1\n2 | 1 0 1"
    );
}

#[test]
fn a_single_output_says_yes_above_the_middle() {
    let x = Tensor::new(&[[0.4f32], [0.6], [-1.0], [2.0]], &Device::Cpu).unwrap();
    let data = TensorDataset::new(x, vec![1, 1, 0, 1]).unwrap();
    let accuracy = |loss: Loss, expected: f64| {
        let graph = Graph::new("score", 1).unwrap();
        let graph = graph
            .attach(Dense::new(1).without_bias().named("out"))
            .unwrap();
        let mut model = built(graph);
        let one = Tensor::ones((1, 1), DType::F32, &Device::Cpu).unwrap();
        model.trainable_variables()[0].set(&one).unwrap();
        let trainer = Trainer::new(&mut model).loss(loss);
        assert_eq!(trainer.evaluate(&data).unwrap().accuracy(), Some(expected));
    };
    accuracy(Loss::binary_cross_entropy(), 1.0);
    let outputs = Loss::custom(|scores, _| Ok(scores.mean_all()?));
    accuracy(outputs, 0.75);
}

#[test]
fn the_models_labels_are_those_of_the_data() {
    let mut model = built(graph());
    let data = two_kinds(8, 8, 1)
        .with_classes(Labels::new(["dark", "light"]))
        .unwrap();
    Trainer::new(&mut model)
        .fit_without_validation(&data)
        .unwrap();
    assert_eq!(
        model.graph().labels().unwrap().get(1).unwrap().name,
        "light"
    );
}

#[test]
fn examples_count_by_their_weight() {
    // An example of weight 0 is as if it had another class.
    let x = noise((4, 4), 1);
    let train = |last: usize| {
        let mut model = built(linear(2));
        let samples = (0..4).map(|index| {
            let class = if index == 3 { last } else { index % 2 };
            let sample = vgg_surgery::data::Sample::new(x.get(index).unwrap(), class);
            sample.with_weight(if index == 3 { 0.0 } else { 1.0 })
        });
        let samples: Vec<_> = samples.collect();
        let data = vgg_surgery::data::FnDataset::new(4, move |index| Ok(samples[index].clone()));
        let mut trainer = Trainer::new(&mut model).optimizer(Sgd::new(0.1));
        trainer.fit_without_validation(&data).unwrap();
        weights(&model)
    };
    assert_eq!(train(0), train(1));
}

/// With momentum 0 and one step, the whole step's norm is the bound times the
/// rate.
#[test]
fn gradients_are_clipped_to_a_norm() {
    let mut model = built(linear(3));
    let before = weights(&model);
    let data = TensorDataset::values(noise((4, 4), 1), noise((4, 3), 2)).unwrap();
    Trainer::new(&mut model)
        .optimizer(Sgd::new(1.0))
        .loss(Loss::mean_squared_error())
        .metrics([])
        .clip(Clip::Norm(1e-2))
        .fit_without_validation(&data)
        .unwrap();
    let moved = before
        .iter()
        .zip(weights(&model))
        .flat_map(|((_, old), (_, new))| {
            let pairs = old.clone().into_iter().zip(new);
            pairs.map(|(old, new)| (f64::from_bits(new) - f64::from_bits(old)).powi(2))
        });
    assert_near(&[moved.sum::<f64>().sqrt()], &[1e-2], 1e-5, "norm");
}

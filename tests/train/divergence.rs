//! Losses that grow without bound are found, and healthy ones are not.

use std::sync::{Arc, Mutex};

use candle_core::Tensor;
use vgg_surgery::train::{ControlFlow, EpochEvent, Finding};
use vgg_surgery::{
    Dense, Head, History, Loss, PrintLog, RmsProp, Sgd, TensorDataset, Trainer, Vgg16,
};

use crate::callbacks::one_weight;
use crate::fit::linear;
use crate::{built, noise, two_kinds};

const NONE: [u64; 0] = [];

fn diverged(findings: &[Finding]) -> Vec<u64> {
    let epochs = findings.iter().filter_map(|finding| match finding {
        Finding::LossDiverged { epoch, .. } => Some(*epoch),
        _ => None,
    });
    epochs.collect()
}

/// A network without frozen layers, and what its callbacks were given.
fn unfrozen(rate: f64, epochs: u64) -> (History, Vec<(u64, Vec<Finding>)>) {
    let graph = Vgg16::options()
        .widths(16)
        .untrained(7)
        .unwrap()
        .truncate("block5_pool")
        .unwrap()
        .attach(
            Head::new()
                .global_avg_pool2d("pool")
                .dense("out", Dense::new(2).softmax()),
        )
        .unwrap();
    let mut model = built(graph);
    let data = two_kinds(8, 32, 1);
    let told: Arc<Mutex<Vec<_>>> = Arc::default();
    let notes = told.clone();
    let history = Trainer::new(&mut model)
        .optimizer(RmsProp::new(rate))
        .batch_size(4)
        .epochs(epochs)
        .callback(PrintLog::new())
        .callback(move |event: &mut EpochEvent<'_>| {
            let findings = event.findings.to_vec();
            notes.lock().unwrap().push((event.record.epoch, findings));
            Ok(ControlFlow::Continue)
        })
        .fit_without_validation(&data)
        .unwrap();
    let told = told.lock().unwrap().clone();
    (history, told)
}

/// At a hundred times the usual rate.
#[test]
fn a_loss_gone_wild_is_found_while_training_and_afterwards() {
    let (history, told) = unfrozen(0.1, 3);
    assert!(history.curve("loss")[2] > 1e6, "{history}");
    assert_eq!(diverged(&history.findings), [1]);
    assert_eq!(diverged(&told[0].1), [1]);
    assert_eq!(diverged(&told[1].1), NONE);
    let advice = "lower the learning rate from 0.1 to 1e-2 or less";
    assert!(history.to_string().contains(advice), "{history}");
}

#[test]
fn a_healthy_training_has_no_such_finding() {
    let (history, told) = unfrozen(0.001, 3);
    assert_eq!(diverged(&history.findings), NONE);
    assert!(
        told.iter()
            .all(|(_, findings)| diverged(findings).is_empty())
    );
}

/// The weight `w` is the loss. It grows by this rate in each epoch, from 1.
fn grows(rate: f64) -> Vec<u64> {
    let (mut model, data) = one_weight();
    let history = Trainer::new(&mut model)
        .optimizer(Sgd::new(rate))
        .loss(Loss::custom(|scores, _| {
            let scores = scores.mean_all()?;
            Ok(((scores.detach() * 2.0)? - scores)?)
        }))
        .metrics([])
        .epochs(4)
        .fit_without_validation(&data)
        .unwrap();
    assert_eq!(history.curve("loss")[1], 1.0 + rate);
    diverged(&history.findings)
}

/// The losses are 1, 9, 17, 25; 1, 13, 25, 37; and 1, 1025, ..
#[test]
fn ten_times_the_first_loss_twice_or_a_thousand_times_once_is_divergence() {
    assert_eq!(grows(2.0), NONE);
    assert_eq!(grows(8.0), [4]);
    assert_eq!(grows(12.0), [3]);
    assert_eq!(grows(1024.0), [2]);
}

/// The first batch is almost right by chance: its targets tell how large losses
/// may be. Its loss is 0.01, that of the epochs 50.
#[test]
fn a_regression_is_compared_with_its_targets() {
    let x = (noise((4, 4), 1) * 100.0).unwrap();
    let mut model = built(linear(1));
    let off = Tensor::new(&[[0.1f32], [0.1], [10.0], [10.0]], x.device()).unwrap();
    let y = (model.forward(&x).unwrap() + off).unwrap();
    let data = TensorDataset::values(x, y).unwrap();
    let history = Trainer::new(&mut model)
        .optimizer(Sgd::new(0.0))
        .loss(Loss::mean_squared_error())
        .batch_size(2)
        .shuffle(false)
        .epochs(3)
        .fit_without_validation(&data)
        .unwrap();
    assert!((history.curve("loss")[2] - 50.0).abs() < 0.1, "{history}");
    assert_eq!(diverged(&history.findings), NONE);
}

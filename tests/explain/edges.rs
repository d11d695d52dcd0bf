use candle_core::{Device, Tensor, Var};
use vgg_surgery::data::Targets;
use vgg_surgery::{Adam, Model, TensorDataset, Trainer, Vgg16};

use super::hed::{balanced_loss, detector, shapes};
use super::oracle::values;
use super::tensor;

const SIDE: usize = 48;

/// By hand: a quarter of the positions are edges, so edges have weight 3/4 and others
/// 1/4, and at logits of 0 each error is ln 2.
#[test]
fn edges_weigh_as_much_as_the_rest() {
    let edges = tensor(&[1.0, 0.0, 0.0, 0.0], (1, 1, 2, 2));
    let targets = Targets::Values(edges);
    let loss = |maps: &Tensor| balanced_loss().compute(maps, &targets, None).unwrap();
    let even = loss(&tensor(&[0.0; 8], (1, 2, 2, 2)));
    let expected = (0.75 + 3.0 * 0.25) * 2f32.ln() / 4.0;
    assert!((values(&even)[0] - expected).abs() < 1e-6);
    // The error of a logit of 1000 is 1000 without an edge, and 0 with one.
    let sure = loss(&tensor(&[1000.0, 1000.0, -1000.0, -1000.0], (1, 1, 2, 2)));
    assert!((values(&sure)[0] - 0.25 * 1000.0 / 4.0).abs() < 1e-3);
    // The gradient is weight * (sigmoid(x) - y) / positions.
    let maps = Var::from_tensor(&tensor(&[0.0; 4], (1, 1, 2, 2))).unwrap();
    let gradients = loss(&maps).backward().unwrap();
    let gradient = values(gradients.get(&maps).unwrap());
    let expected = [-0.75 * 0.5, 0.25 * 0.5, 0.25 * 0.5, 0.25 * 0.5];
    assert_eq!(gradient.len(), 4);
    for (ours, expected) in gradient.iter().zip(expected) {
        assert!((ours - expected / 4.0).abs() < 1e-6, "{gradient:?}");
    }
}

/// The fraction of pairs of an edge and another position in which the edge has
/// the higher value: 1/2 by chance.
fn told_apart(found: &[f32], edges: &[f32]) -> f64 {
    let of = |is_edge: bool| -> Vec<f32> {
        let places = found.iter().zip(edges);
        let places = places.filter(|&(_, &edge)| (edge == 1.0) == is_edge);
        places.map(|(&value, _)| value).collect()
    };
    let (edge, other) = (of(true), of(false));
    let pairs = edge
        .iter()
        .flat_map(|edge| other.iter().map(move |other| edge > other));
    pairs.clone().filter(|&is_right| is_right).count() as f64 / pairs.count() as f64
}

fn fused(model: &Model, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let preprocessing = model.graph().input_preprocessing().unwrap();
    let (image, edges) = shapes(SIDE, seed).unwrap();
    let x = preprocessing.without_resize().apply(&image).unwrap();
    let maps = model.forward(&x).unwrap();
    assert_eq!(maps.dims(), [1, 6, SIDE, SIDE]);
    (values(&maps.narrow(1, 5, 1).unwrap()), values(&edges))
}

#[test]
fn a_detector_learns_edges_of_computed_images() {
    let graph = detector(Vgg16::nano()).unwrap();
    // Five side outputs and their fusion are trained, the trunk is not.
    assert_eq!(graph.trainable_count(), 8 + 16 + 32 + 64 + 64 + 5 + 5 + 1);
    let mut model = graph.build(&Device::Cpu).unwrap();
    let preprocessing = model
        .graph()
        .input_preprocessing()
        .unwrap()
        .without_resize();
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    for seed in 0..8 {
        let (image, edges) = shapes(SIDE, seed).unwrap();
        inputs.push(preprocessing.apply(&image).unwrap());
        targets.push(edges);
    }
    let joined = |tensors: &[Tensor]| Tensor::cat(tensors, 0).unwrap();
    let data = TensorDataset::values(joined(&inputs), joined(&targets)).unwrap();
    // Images that were not used for training.
    let shares = |model: &Model| -> Vec<f64> {
        let fused = (100..104).map(|seed| fused(model, seed));
        let shares = fused.map(|(found, edges)| told_apart(&found, &edges));
        shares.collect()
    };
    let before = shares(&model);
    let mut trainer = Trainer::new(&mut model)
        .optimizer(Adam::new(0.02))
        .loss(balanced_loss())
        .metrics([])
        .batch_size(4)
        .epochs(30);
    let history = trainer.fit_without_validation(&data).unwrap();
    drop(trainer);
    let losses = history.curve("loss");
    assert!(losses[29] < losses[0], "{losses:?}");
    let after = shares(&model);
    assert!(after.iter().all(|&share| share > 0.65), "{after:?}");
    assert!(
        after.iter().sum::<f64>() > before.iter().sum(),
        "{before:?} {after:?}"
    );
}

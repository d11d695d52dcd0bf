//! Batch norms folded into the layers before them.

use candle_core::Device;
use vgg_surgery::layers::Layer;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{BatchNorm2d, Conv2d, Dense, Graph, Head, Labels, Model, Vgg11Bn};

use crate::exact::ROUNDING;
use crate::networks::{named, trained};
use crate::{distance, last, noise, parameter, values};

#[test]
fn norms_behind_norms_fold_at_once() {
    let graph = Graph::new("two norms", (3, 6, 6))
        .unwrap()
        .attach(
            Head::new()
                .conv2d("conv", Conv2d::new(4, 3))
                .layer("first", BatchNorm2d::new())
                .layer("second", BatchNorm2d::new().relu()),
        )
        .unwrap();
    let model = trained(&graph, 3);
    let folded = model.fold_batch_norm().unwrap();
    assert_eq!(folded.graph().len(), model.graph().len() - 2);
    let x = noise((2, 3, 6, 6), 5);
    let off = distance(&folded.forward(&x).unwrap(), &model.forward(&x).unwrap());
    assert!(off < ROUNDING, "{off}");
}

#[test]
fn every_norm_of_a_vgg_folds_and_labels_stay() {
    let graph = Vgg11Bn::options().widths(16).hidden(8).classes(3);
    let graph = graph.input((3, 32, 32)).untrained(1).unwrap();
    let graph = graph.with_labels(Labels::new(["a", "b", "c"])).unwrap();
    let model = trained(&graph, 1);
    let folded = model.fold_batch_norm().unwrap();
    assert_eq!(
        named(&folded, |layer| matches!(layer, Layer::BatchNorm2d(_))),
        [""; 0]
    );
    assert_eq!(folded.graph().labels(), model.graph().labels());
    let x = noise((2, 3, 32, 32), 5);
    assert!(distance(&folded.forward(&x).unwrap(), &model.forward(&x).unwrap()) < 2e-5);
    let labelled = Graph::new("g", (3, 4, 4)).unwrap();
    let head = Head::new()
        .global_avg_pool2d("mean")
        .dense("dense", Dense::new(2))
        .batch_norm2d("norm", BatchNorm2d::new());
    let labelled = labelled
        .attach(head)
        .unwrap()
        .with_labels(Labels::new(["a", "b"]))
        .unwrap();
    let folded = trained(&labelled, 2).fold_batch_norm().unwrap();
    assert_eq!(folded.graph().labels(), labelled.labels());
}

#[test]
fn norms_that_can_not_be_folded_stay() {
    // Behind a pool, behind an activation, and behind what is read twice.
    let graph = Graph::new("g", (3, 6, 6)).unwrap();
    let chain = Head::new()
        .max_pool2d("pool", 2)
        .batch_norm2d("a", BatchNorm2d::new())
        .conv2d("conv", Conv2d::new(2, 1).relu())
        .batch_norm2d("b", BatchNorm2d::new())
        .conv2d("twice", Conv2d::new(2, 1))
        .batch_norm2d("c", BatchNorm2d::new());
    let graph = graph.attach(chain).unwrap();
    let graph = graph.with_outputs(["c", "twice"]).unwrap();
    let model = trained(&graph, 3);
    let folded = model.fold_batch_norm().unwrap();
    assert_eq!(folded.graph().len(), model.graph().len());
    assert_eq!(last(&folded).derived, 0);
}

/// The difference of a bias and a running mean is far smaller than either.
#[test]
fn folding_keeps_the_difference_of_a_bias_and_a_mean() {
    let graph = Graph::new("close", (1, 4, 4))
        .unwrap()
        .attach(
            Head::new()
                .conv2d("conv", Conv2d::new(2, 3))
                .batch_norm2d("norm", BatchNorm2d::new()),
        )
        .unwrap();
    let mut bytes = graph.build(&Device::Cpu).unwrap().to_bytes().unwrap();
    let (means, variances) = ([1000.01f32, 999.97], [0.25f32, 0.01]);
    for (key, values) in [
        ("conv.bias", [1000.0f32; 2]),
        ("norm.running_mean", means),
        ("norm.running_var", variances),
    ] {
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let data = tensors.tensor(key).unwrap().data().as_ptr();
        let start = data.addr() - bytes.as_ptr().addr();
        let values = values.map(f32::to_le_bytes);
        bytes[start..start + 8].copy_from_slice(values.as_flattened());
    }
    let model = Model::from_bytes(bytes, &Device::Cpu, &LoadOptions::new()).unwrap();
    let folded = model.fold_batch_norm().unwrap();
    let bias = values(&parameter(&folded, "conv", "bias"));
    for (index, bias) in bias.into_iter().enumerate() {
        let scale = 1.0 / (f64::from(variances[index]) + 1e-5).sqrt();
        let expected = -(f64::from(means[index]) - 1000.0) * scale;
        let off = (f64::from(bias) - expected).abs();
        assert!(
            off < 1e-6 * scale,
            "{bias} is off by {off:e} from {expected}"
        );
    }
}

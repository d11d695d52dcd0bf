use candle_core::{DType, Device, Tensor};
use proptest::prelude::*;
use vgg_surgery::graph::{Contract, Fate, Precision};
use vgg_surgery::layers::{Layer, Pooling, Rescale};
use vgg_surgery::surgery::{Criterion, Prune};
use vgg_surgery::{AvgPool2d, Conv2d, Dense, Graph, Head, MaxPool2d, Model, Vgg16};

use crate::networks::{is_mixed_behind, named, networks, trained};
use crate::{assert_sound, distance, last, noise, parameter, values};

/// The layer that reads the channels of another in a chain: the first behind
/// it that is no function of each channel alone.
fn reader(model: &Model, layer: &str) -> Option<String> {
    let nodes = model
        .graph()
        .nodes()
        .skip_while(|node| node.name() != layer);
    let reads = |layer: &Layer| {
        let apart = matches!(
            layer,
            Layer::Conv2d(_) | Layer::Dense(_) | Layer::Flatten(_)
        );
        apart || matches!(layer, Layer::GlobalAvgPool2d(_))
    };
    let mut readers = nodes.skip(1).filter(|node| reads(node.layer()));
    readers.next().map(|node| node.name().to_string())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// A pruned network computes what the old one does whose pruned channels
    /// count as zeros where they are read.
    #[test]
    fn pruning_is_reading_zeros(mut network in networks(), place in any::<prop::sample::Index>(), count in 1usize..4) {
        network.seed = network.seed / 3 * 3;
        let (model, x) = (network.model(), network.images());
        let layers = named(&model, |layer| matches!(layer, Layer::Conv2d(_)));
        prop_assume!(!layers.is_empty());
        let layer = &layers[place.index(layers.len())];
        // A softmax over fewer channels is another function of them.
        prop_assume!(!is_mixed_behind(&model, layer));
        let filters = model.graph().node(layer).unwrap().shape().channels();
        let pruned = model.prune_filters(layer, Prune::count(count).by(Criterion::L2));
        let Some(reader) = reader(&model, layer) else {
            prop_assert!(pruned.is_err());
            return Ok(());
        };
        prop_assert_eq!(pruned.is_ok(), count < filters);
        let Ok(pruned) = pruned else { return Ok(()) };
        assert_sound(&pruned, &model, Contract::Approximate);
        let norms = parameter(&model, layer, "weight").flatten_from(1).unwrap();
        let norms: Vec<f32> = norms.sqr().unwrap().sum(1).unwrap().to_vec1().unwrap();
        let mut sorted = norms.clone();
        sorted.sort_by(f32::total_cmp);
        let lost: f32 = sorted[..count].iter().sum();
        let share = f64::from((lost / norms.iter().sum::<f32>()).sqrt());
        // Roundings of single precision.
        prop_assert!((last(&pruned).error.unwrap() - share).abs() < 1e-6);
        let mask: Vec<f32> = norms.iter().map(|n| f32::from(u8::from(*n >= sorted[count]))).collect();
        let mask = Rescale::per_channel(mask, [0.0]).named("mask");
        let masked = model.edit(|graph| graph.insert_before(&reader, mask)).unwrap();
        let off = distance(&pruned.forward(&x).unwrap(), &masked.forward(&x).unwrap());
        prop_assert!(off < 2e-5, "{off}");
    }

    #[test]
    fn a_factorization_tells_how_far_the_weights_are_off(
        network in networks(),
        place in any::<prop::sample::Index>(),
        rank in 1usize..4,
    ) {
        let model = network.model();
        let layers = named(&model, |layer| matches!(layer, Layer::Conv2d(_) | Layer::Dense(_)));
        let layer = &layers[place.index(layers.len())];
        let weight = parameter(&model, layer, "weight").flatten_from(1).unwrap();
        let least = weight.dims2().map(|(a, b)| a.min(b)).unwrap();
        let split = model.factorize(layer, rank);
        prop_assert_eq!(split.is_ok(), rank <= least);
        let Ok(split) = split else { return Ok(()) };
        assert_sound(&split, &model, Contract::Approximate);
        let left = parameter(&split, layer, "weight").flatten_from(1).unwrap();
        let right = parameter(&split, &format!("{layer}_low"), "weight");
        let product = left.matmul(&right.flatten_from(1).unwrap()).unwrap();
        let norm = |tensor: &Tensor| -> f32 {
            tensor.sqr().unwrap().sum_all().unwrap().sqrt().unwrap().to_scalar().unwrap()
        };
        let off = norm(&(product - &weight).unwrap()) / norm(&weight);
        // The factors are rounded, and so are their products' sums.
        prop_assert!((f64::from(off) - last(&split).error.unwrap()).abs() < 1e-5);
        split.forward(&network.images()).unwrap();
    }

    #[test]
    fn rounded_weights_are_on_their_grid_and_near(network in networks()) {
        let model = network.model();
        for precision in [Precision::F16, Precision::Bf16, Precision::Int8] {
            let rounded = model.quantize_dense(precision).unwrap();
            assert_sound(&rounded, &model, Contract::Approximate);
            for layer in named(&model, |layer| matches!(layer, Layer::Dense(_))) {
                let rows = |model: &Model| -> Vec<Vec<f32>> {
                    parameter(model, &layer, "weight").to_vec2().unwrap()
                };
                for (new, old) in rows(&rounded).iter().zip(rows(&model)) {
                    let most = old.iter().fold(0f32, |most, v| most.max(v.abs()));
                    for (new, old) in new.iter().zip(&old) {
                        let step = match precision {
                            // Half of a step of 11 and 8 bits of mantissa.
                            Precision::F16 => old.abs() / 2048.0 + 3e-8,
                            Precision::Bf16 => old.abs() / 256.0,
                            _ => most / 254.0 * 1.0001,
                        };
                        prop_assert!((new - old).abs() <= step, "{precision:?}: {new} {old}");
                    }
                }
            }
            let twice = rounded.quantize_dense(precision).unwrap();
            prop_assert!(last(&twice).error.unwrap() < 1e-6);
        }
    }
}

#[test]
fn filters_are_ranked_by_what_is_asked_for() {
    // Filters of norms L1 2, 3, 4 and L2 2, 1.73, 2.83, on a positive input.
    let graph = Graph::new("g", (4, 1, 1)).unwrap();
    let head = Head::new()
        .conv2d("conv", Conv2d::new(3, 1).without_bias().relu())
        .conv2d("out", Conv2d::new(1, 1).without_bias());
    let model = graph.attach(head).unwrap().build(&Device::Cpu).unwrap();
    let weight = [[2f32, 0., 0., 0.], [1., 1., 1., 0.], [-2., -2., 0., 0.]];
    let weight = Tensor::new(&weight, &Device::Cpu)
        .unwrap()
        .reshape((3, 4, 1, 1))
        .unwrap();
    model.trainable_variables()[0].set(&weight).unwrap();
    let x = Tensor::ones((1, 4, 1, 1), DType::F32, &Device::Cpu).unwrap();
    let dropped = |criterion| {
        let pruned = model
            .prune_filters("conv", Prune::fraction(0.34).by(criterion))
            .unwrap();
        let kept = parameter(&pruned, "conv", "weight")
            .flatten_from(1)
            .unwrap();
        let kept: Vec<Vec<f32>> = kept.to_vec2().unwrap();
        let all: Vec<Vec<f32>> = weight.flatten_from(1).unwrap().to_vec2().unwrap();
        all.iter()
            .position(|filter| !kept.contains(filter))
            .unwrap()
    };
    assert_eq!(dropped(Criterion::L1), 0);
    assert_eq!(dropped(Criterion::L2), 1);
    assert_eq!(dropped(Criterion::Activation(x)), 2);
}

#[test]
fn pools_swap_their_kind_and_keep_their_windows() {
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .untrained(0)
        .unwrap();
    let pools = ["pool1", "pool2"];
    let average = graph.clone().swap_pool(pools, Pooling::Average).unwrap();
    let operation = average.operations().last().unwrap();
    assert_eq!(operation.what, "swap_pool([\"pool1\", \"pool2\"], average)");
    assert_eq!(operation.contract, Contract::Approximate);
    assert_eq!((operation.new, operation.dropped), (0, 0));
    let pool: &AvgPool2d = average.layer("block2_pool").unwrap();
    assert_eq!((pool.kernel_size, pool.stride), ((2, 2), (2, 2)));
    let back = average.swap_pool(pools, Pooling::Max).unwrap();
    assert!(graph.diff(&back).is_empty());
    let same = back.swap_pool("pool1", Pooling::Max).unwrap();
    assert_eq!(same.operations().last().unwrap().contract, Contract::Exact);
}

#[test]
fn a_stride_is_changed_and_weights_stay() {
    let graph = Vgg16::options().widths(16).without_top().input((3, 64, 64));
    let graph = graph
        .untrained(0)
        .unwrap()
        .change_stride("pool4", 1)
        .unwrap();
    assert_eq!(
        graph.layer::<MaxPool2d>("block4_pool").unwrap().stride,
        (1, 1)
    );
    assert_eq!(graph.output_shapes()[0].size(), Some((3, 3)));
    let operation = graph.operations().last().unwrap();
    assert_eq!(
        (operation.contract, operation.new),
        (Contract::Approximate, 0)
    );
    let error = graph.change_stride("block1_conv1", (0, 1)).unwrap_err();
    assert_eq!(error.layer(), Some("block1_conv1"));
}

#[test]
fn a_transplant_runs_through_the_donors_layers() {
    let graph = Vgg16::options()
        .widths(16)
        .hidden(8)
        .classes(3)
        .input((3, 32, 32));
    let graph = graph.untrained(1).unwrap();
    let (host, donor) = (trained(&graph, 1), trained(&graph, 2));
    let x = noise((2, 3, 32, 32), 1);
    let before = values(&host.forward(&x).unwrap());
    let range = "block2_conv1"..="block3_pool";
    let model = host.transplant(range, &donor).unwrap();
    assert_sound(&model, &host, Contract::Approximate);
    let part = |model: &Model, range: std::ops::RangeInclusive<&'static str>, x: &Tensor| {
        let part = model.edit(|graph| graph.slice(range)).unwrap();
        part.forward(x).unwrap()
    };
    let front = host.forward_to("block1_pool", &x).unwrap();
    let middle = part(&donor, "block2_conv1"..="block3_pool", &front);
    let expected = part(&host, "block4_conv1"..="predictions", &middle);
    assert!(distance(&model.forward(&x).unwrap(), &expected) < 1e-6);
    assert_eq!(
        model.graph().node("relu3_1").unwrap().name(),
        "block3_conv1"
    );
    assert_eq!(values(&host.forward(&x).unwrap()), before);
    let touched = last(&model).layers.clone();
    let expected = [
        "block2_conv1",
        "block2_conv2",
        "block2_pool",
        "block3_conv1",
    ];
    assert_eq!(touched[..4], expected);
    assert_eq!(touched.len(), 7);
}

/// Of the donor's edits, the host lists those that made the values, once, and
/// nothing of what they did to the rest of the donor.
#[test]
fn a_transplant_lists_the_donors_edits_once() {
    let options = Vgg16::options().widths(16).input((3, 32, 32)).without_top();
    let graph = options.untrained(1).unwrap();
    let (host, donor) = (trained(&graph, 1), trained(&graph, 2));
    let donor = donor
        .prune_filters("block2_conv1", Prune::count(1))
        .unwrap();
    let donor = donor.edit(|graph| graph.truncate("block3_pool")).unwrap();
    let range = "block2_conv1"..="block2_pool";
    let once = host.transplant(range.clone(), &donor).unwrap();
    let twice = once.transplant(range, &donor).unwrap();
    let edits = |model: &Model| -> Vec<String> {
        let operations = model.graph().operations().iter();
        operations.map(|operation| operation.what.clone()).collect()
    };
    let pruned = edits(&donor)[0].clone();
    let transplanted = last(&once).what.clone();
    assert_eq!(edits(&once), [pruned.clone(), transplanted.clone()]);
    assert_eq!(
        edits(&twice),
        [pruned.clone(), transplanted.clone(), transplanted.clone()]
    );
    let entry = &twice.graph().operations()[0];
    assert_eq!(
        (entry.kept, entry.derived, entry.new, entry.dropped),
        (0, 0, 0, 0)
    );
    let (mut derived, mut dropped) = (0, 0);
    for provenance in twice.graph().provenance() {
        match provenance.fate {
            Fate::Derived { reason } => {
                assert_eq!(reason, pruned);
                derived += 1;
            }
            Fate::Dropped { reason } => {
                assert_eq!(reason, transplanted);
                dropped += 1;
            }
            _ => {}
        }
    }
    // The filters and biases of one layer, and what the next reads of them; of
    // the host, two layers each time.
    assert_eq!((derived, dropped), (3, 8));
    assert_sound(&twice, &once, Contract::Approximate);
}

#[test]
fn a_transplant_of_other_widths_gets_adapters() {
    let of = |widths| {
        Vgg16::options()
            .widths(widths)
            .without_top()
            .untrained(1)
            .unwrap()
    };
    let host = of(16).build(&Device::Cpu).unwrap();
    let donor = of(8).build(&Device::Cpu).unwrap();
    let model = host
        .transplant("block2_conv1"..="block2_conv2", &donor)
        .unwrap();
    assert_sound(&model, &host, Contract::Reinitializing);
    let names = named(&model, |_| true);
    let at = |name: &str| names.iter().position(|n| n == name).unwrap();
    assert_eq!(at("block2_conv1_adapter") + 1, at("block2_conv1"));
    assert_eq!(at("block2_conv2") + 1, at("block2_conv2_adapter"));
    assert_eq!(last(&model).new, (4 * 8 + 8) + (16 * 8 + 8));
    model.forward(&noise((1, 3, 32, 32), 1)).unwrap();
    let whole = host
        .transplant("input"..="block1_conv1", &donor)
        .unwrap_err();
    assert!(whole.to_string().contains("input stays"), "{whole}");
}

#[test]
fn dense_factors_of_a_large_layer_are_smaller() {
    let graph = Graph::new("g", 600).unwrap();
    let model = graph.attach(Dense::new(500).named("fc")).unwrap();
    let model = model.build(&Device::Cpu).unwrap();
    let smaller = model.factorize("fc", 20).unwrap();
    assert_eq!(smaller.graph().parameter_count(), 20 * (600 + 500) + 500);
    // A random matrix has no direction that counts for more than its share:
    // 20 of 500 keep well below a fifth of the squares.
    let error = last(&smaller).error.unwrap();
    assert!((0.89..0.98).contains(&error), "{error}");
}

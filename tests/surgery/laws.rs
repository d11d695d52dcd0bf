//! Laws of steps, scores, channels and factors.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use vgg_surgery::layers::{Layer, Padding};
use vgg_surgery::surgery::{Criterion, Prune};
use vgg_surgery::{Conv2d, Model, Vgg11Bn};

use crate::networks::{named, networks};
use crate::{distance, last, parameter, values};

/// Sums of up to 8,000 f32 products in another order, and some layers behind.
const ROUNDING: f32 = 2e-5;

/// Every so many pixels of a map, as many as another map has.
fn thinned(map: &Tensor, (vertical, horizontal): (usize, usize), like: &Tensor) -> Tensor {
    let (_, _, height, width) = like.dims4().unwrap();
    let pick = |count: usize, step: usize| {
        let places: Vec<u32> = (0..count).map(|at| (at * step) as u32).collect();
        Tensor::new(places, map.device()).unwrap()
    };
    let map = map.contiguous().unwrap();
    let rows = map.index_select(&pick(height, vertical), 2).unwrap();
    rows.index_select(&pick(width, horizontal), 3).unwrap()
}

/// `(O, I, kH, kW)` of a column `(R, I, kH, 1)` and a row `(O, R, 1, kW)`.
fn composed(column: &Tensor, row: &Tensor) -> Tensor {
    let (rank, inputs, height, _) = column.dims4().unwrap();
    let (outputs, _, _, width) = row.dims4().unwrap();
    let column = column.reshape((rank, inputs * height)).unwrap();
    let row = row.reshape((outputs, rank, width)).unwrap();
    let row = row.transpose(1, 2).unwrap().contiguous().unwrap();
    let all = row
        .reshape((outputs * width, rank))
        .unwrap()
        .matmul(&column);
    let all = all.unwrap().reshape((outputs, width, inputs, height));
    all.unwrap().permute((0, 2, 3, 1)).unwrap()
}

fn convolutions(model: &Model) -> Vec<String> {
    named(model, |layer| matches!(layer, Layer::Conv2d(_)))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn a_larger_stride_leaves_pixels_out(
        network in networks(),
        place in any::<prop::sample::Index>(),
        step in (1usize..4, 1usize..4),
    ) {
        let (model, x) = (network.model(), network.images());
        // Margins in numbers stay where they are.
        let layers = named(&model, |layer| match layer {
            Layer::Conv2d(conv) => conv.padding != Padding::Same,
            Layer::MaxPool2d(_) | Layer::AvgPool2d(_) => true,
            _ => false,
        });
        prop_assume!(!layers.is_empty());
        let layer = &layers[place.index(layers.len())];
        let stepping = |step: (usize, usize)| {
            let cut = |graph: vgg_surgery::Graph| graph.truncate(layer)?.change_stride(layer, step);
            model.edit(cut).unwrap()
        };
        let (dense, sparse) = (stepping((1, 1)), stepping(step));
        prop_assert_eq!(last(&sparse).derived + last(&sparse).new, 0);
        let (dense, sparse) = (dense.forward(&x).unwrap(), sparse.forward(&x).unwrap());
        let off = distance(&thinned(&dense, step, &sparse), &sparse);
        prop_assert!(off < ROUNDING, "{off}");
    }

    #[test]
    fn the_filter_that_gives_least_is_pruned(mut network in networks(), place in any::<prop::sample::Index>()) {
        network.seed = network.seed / 3 * 3;
        let (model, x) = (network.model(), network.images());
        let layers = convolutions(&model);
        prop_assume!(!layers.is_empty());
        let layer = &layers[place.index(layers.len())];
        let prune = Prune::count(1).by(Criterion::Activation(x.clone()));
        let filters = model.graph().node(layer).unwrap().shape().channels();
        let Ok(pruned) = model.prune_filters(layer, prune) else {
            prop_assert!(filters == 1 || layer == "out");
            return Ok(());
        };
        let given = model.edit(|graph| graph.truncate(layer)).unwrap().forward(&x).unwrap();
        let given = given.abs().unwrap().mean((0, 2, 3)).unwrap();
        let scores = values(&given);
        let rows = |model: &Model| -> Vec<Vec<f32>> {
            let weight = parameter(model, layer, "weight").flatten_from(1).unwrap();
            weight.to_vec2().unwrap()
        };
        let (before, after) = (rows(&model), rows(&pruned));
        let left_out = (0..filters).find(|&at| after.get(at) != Some(&before[at])).unwrap();
        let least = scores.iter().copied().fold(f32::INFINITY, f32::min);
        let largest = scores.iter().copied().fold(0.0, f32::max);
        prop_assert!(scores[left_out] - least <= ROUNDING * largest);
    }

    #[test]
    fn two_channels_count_half_as_much_more(network in networks()) {
        let (model, x) = (network.model(), network.images());
        let input = model.graph().node_id("input").unwrap();
        let mut readers = model.graph().nodes().filter(|node| node.inputs().contains(&input));
        let by_convolutions = readers.all(|node| matches!(node.layer(), Layer::Conv2d(_)));
        let adapted = model.adapt_input(2);
        prop_assert_eq!(adapted.is_ok(), by_convolutions);
        let Ok(adapted) = adapted else { return Ok(()) };
        let two = x.narrow(1, 0, 2).unwrap();
        let third = x.narrow(1, 2, 1).unwrap().zeros_like().unwrap();
        let three = Tensor::cat(&[(&two * 1.5).unwrap(), third], 1).unwrap();
        let now = adapted.forward(&two.contiguous().unwrap()).unwrap();
        let off = distance(&now, &model.forward(&three).unwrap());
        prop_assert!(off < ROUNDING, "{off}");
    }

    #[test]
    fn a_column_and_a_row_tell_how_far_they_are_off(
        network in networks(),
        place in any::<prop::sample::Index>(),
        rank in 1usize..5,
    ) {
        let model = network.model();
        let layers = convolutions(&model);
        prop_assume!(!layers.is_empty());
        let layer = &layers[place.index(layers.len())];
        let Ok(split) = model.factorize_spatial(layer, rank) else {
            let conv: &Conv2d = model.graph().layer(layer).unwrap();
            let weight = parameter(&model, layer, "weight");
            let (outputs, inputs) = (weight.dim(0).unwrap(), weight.dim(1).unwrap());
            let (height, width) = conv.kernel_size;
            prop_assert!(rank > (inputs * height).min(outputs * width));
            return Ok(());
        };
        let before = parameter(&model, layer, "weight");
        let low = parameter(&split, &format!("{layer}_low"), "weight");
        let now = composed(&low, &parameter(&split, layer, "weight"));
        let norm = |tensor: &Tensor| -> f32 {
            values(tensor).iter().map(|value| value * value).sum::<f32>().sqrt()
        };
        let share = norm(&(&now - &before).unwrap()) / norm(&before);
        let told = last(&split).error.unwrap() as f32;
        // Roundings of single precision.
        prop_assert!((told - share).abs() < 1e-6, "{told} {share}");
    }
}

#[test]
fn folding_is_told_in_the_graphs_order() {
    let graph = Vgg11Bn::options()
        .widths(16)
        .without_top()
        .untrained(1)
        .unwrap();
    let graph = graph.truncate("block2_bn1").unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let folded = model.fold_batch_norm().unwrap();
    let expected = ["block1_conv1", "block1_bn1", "block2_conv1", "block2_bn1"];
    assert_eq!(last(&folded).layers, expected);
}

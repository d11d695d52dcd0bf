use candle_core::Device;
use proptest::prelude::*;
use vgg_surgery::graph::Contract;
use vgg_surgery::layers::{Layer, Padding, Pooling};
use vgg_surgery::surgery::Prune;
use vgg_surgery::{Flatten, Model, Vgg16};

use crate::networks::{is_mixed_behind, named, networks, trained};
use crate::spread::every;
use crate::{assert_sound, distance, last, noise, parameter, values};

/// Sums of up to 8,000 f32 products in another order: the square root of that
/// times half a unit in the last place is 5e-6, and some layers follow.
pub const ROUNDING: f32 = 2e-5;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn folding_norms_changes_nothing(network in networks()) {
        let (model, x) = (network.model(), network.images());
        let folded = model.fold_batch_norm().unwrap();
        assert_sound(&folded, &model, Contract::Exact);
        let off = distance(&folded.forward(&x).unwrap(), &model.forward(&x).unwrap());
        prop_assert!(off < ROUNDING, "{off}");
        let twice = folded.fold_batch_norm().unwrap();
        prop_assert_eq!(twice.graph().len(), folded.graph().len());
    }

    #[test]
    fn widening_changes_nothing(network in networks(), place in any::<prop::sample::Index>(), more in 0usize..7) {
        let (model, x) = (network.model(), network.images());
        let layers = named(&model, |layer| matches!(layer, Layer::Conv2d(_) | Layer::Dense(_)));
        let layer = &layers[place.index(layers.len())];
        let old = model.graph().node(layer).unwrap().shape().channels();
        if let Ok(wider) = model.widen(layer, old + more) {
            assert_sound(&wider, &model, Contract::Exact);
            let off = distance(&wider.forward(&x).unwrap(), &model.forward(&x).unwrap());
            prop_assert!(off < ROUNDING, "{off}");
            prop_assert_eq!(wider.graph().node(layer).unwrap().shape().channels(), old + more);
        } else {
            let reaches = reaches_output(&model, layer) || is_mixed_behind(&model, layer);
            prop_assert!(reaches, "{layer}");
        }
    }

    #[test]
    fn pruning_nothing_changes_no_bit(network in networks(), place in any::<prop::sample::Index>()) {
        let (model, x) = (network.model(), network.images());
        let layers = named(&model, |layer| matches!(layer, Layer::Conv2d(_) | Layer::Dense(_)));
        let layer = &layers[place.index(layers.len())];
        if let Ok(same) = model.prune_filters(layer, Prune::count(0)) {
            assert_sound(&same, &model, Contract::Approximate);
            prop_assert_eq!(last(&same).error, Some(0.0));
            let (same, before) = (same.forward(&x).unwrap(), model.forward(&x).unwrap());
            prop_assert_eq!(values(&same), values(&before));
        } else {
            let reaches = reaches_output(&model, layer);
            prop_assert!(reaches, "{layer}");
        }
    }

    #[test]
    fn a_factorization_of_full_rank_changes_nothing(
        network in networks(),
        place in any::<prop::sample::Index>(),
        spatial in any::<bool>(),
    ) {
        let (model, x) = (network.model(), network.images());
        let layers = named(&model, |layer| match layer {
            Layer::Conv2d(_) => true,
            Layer::Dense(_) => !spatial,
            _ => false,
        });
        if !layers.is_empty() {
            let layer = &layers[place.index(layers.len())];
            let weight = parameter(&model, layer, "weight");
            let (rows, columns) = match (weight.dims(), spatial) {
                (&[outs, ins, height, width], true) => (ins * height, outs * width),
                (dims, _) => (dims[0], dims[1..].iter().product()),
            };
            let full = rows.min(columns);
            let split = match spatial {
                true => model.factorize_spatial(layer, full),
                false => model.factorize(layer, full),
            };
            let split = split.unwrap();
            assert_sound(&split, &model, Contract::Approximate);
            let off = distance(&split.forward(&x).unwrap(), &model.forward(&x).unwrap());
            prop_assert!(off < ROUNDING, "{off}");
        }
    }

    #[test]
    fn a_transplant_of_ones_own_layers_changes_no_bit(
        network in networks(),
        first in any::<prop::sample::Index>(),
        last in any::<prop::sample::Index>(),
    ) {
        let (model, x) = (network.model(), network.images());
        let names = named(&model, |layer| !matches!(layer, Layer::Input(_)));
        let (first, last) = (first.index(names.len()), last.index(names.len()));
        let range = names[first.min(last)].as_str()..=names[first.max(last)].as_str();
        // Stretches that more than one value enters or leaves are refused.
        if let Ok(same) = model.transplant(range, &model) {
            assert_sound(&same, &model, Contract::Approximate);
            let (same, before) = (same.forward(&x).unwrap(), model.forward(&x).unwrap());
            prop_assert_eq!(values(&same), values(&before));
        } else {
            prop_assert!(branches(&model));
        }
    }

    #[test]
    fn a_transplant_of_all_layers_is_the_donor(network in networks()) {
        let (model, x) = (network.model(), network.images());
        let donor = trained(&network.graph(), network.seed ^ 99);
        let names = named(&model, |layer| !matches!(layer, Layer::Input(_)));
        let range = names[0].as_str()..=names[names.len() - 1].as_str();
        if let Ok(other) = model.transplant(range, &donor) {
            let (other, expected) = (other.forward(&x).unwrap(), donor.forward(&x).unwrap());
            prop_assert_eq!(values(&other), values(&expected));
        } else {
            prop_assert!(branches(&model));
        }
    }

    #[test]
    fn images_of_like_channels_keep_their_value(network in networks(), times in 1usize..4) {
        let model = network.model();
        let input = model.graph().node_id("input").unwrap();
        let mut readers = model.graph().nodes().filter(|node| node.inputs().contains(&input));
        let by_convolutions = readers.all(|node| matches!(node.layer(), Layer::Conv2d(_)));
        let channels = if times == 1 { 1 } else { 3 * times };
        let adapted = model.adapt_input(channels);
        prop_assert_eq!(adapted.is_ok(), by_convolutions);
        if let Ok(adapted) = adapted {
            assert_sound(&adapted, &model, Contract::Approximate);
            let gray = network.images().narrow(1, 0, 1).unwrap();
            let like = |count| gray.repeat((1, count, 1, 1)).unwrap();
            let now = adapted.forward(&like(channels)).unwrap();
            let off = distance(&now, &model.forward(&like(3)).unwrap());
            prop_assert!(off < ROUNDING, "{off}");
        }
    }

    #[test]
    fn pools_swapped_twice_are_the_old_ones(network in networks()) {
        let (model, x) = (network.model(), network.images());
        let pools = named(&model, |layer| matches!(layer, Layer::MaxPool2d(_)));
        if !pools.is_empty() {
            let swap = |model: &Model, kind| model.edit(|g| g.swap_pool(&pools[..], kind)).unwrap();
            let averaged = swap(&model, Pooling::Average);
            assert_sound(&averaged, &model, Contract::Approximate);
            let back = swap(&averaged, Pooling::Max);
            let (back, before) = (back.forward(&x).unwrap(), model.forward(&x).unwrap());
            prop_assert_eq!(values(&back), values(&before));
        }
    }

    #[test]
    fn dilated_networks_keep_the_old_values_on_their_grid(
        network in networks(),
        place in any::<prop::sample::Index>(),
    ) {
        let model = network.model();
        let all = named(&model, |_| true);
        let cut = all[place.index(all.len())].clone();
        let steps = |layer: &Layer| match layer {
            Layer::Conv2d(conv) => conv.stride != (1, 1),
            Layer::MaxPool2d(pool) => pool.stride != (1, 1),
            _ => false,
        };
        let model = model.edit(|graph| graph.truncate(&cut)).unwrap();
        let x = network.images();
        for layer in named(&model, steps) {
            if let Ok(dense) = model.edit(|graph| graph.dilate(&layer)) {
                assert_sound(&dense, &model, Contract::Exact);
                let by = match model.graph().node(&layer).unwrap().layer() {
                    Layer::Conv2d(conv) => conv.stride,
                    _ => (2, 2),
                };
                let before = model.forward(&x).unwrap();
                let grid = every(&dense.forward(&x).unwrap(), by);
                let (_, _, height, width) = before.dims4().unwrap();
                let grid = grid.narrow(2, 0, height).unwrap().narrow(3, 0, width).unwrap();
                let off = distance(&grid.contiguous().unwrap(), &before);
                prop_assert!(off < ROUNDING, "{off}");
            } else {
                prop_assert!(!can_be_spread_behind(&model, &layer), "{layer}");
            }
        }
    }

    #[test]
    fn dense_layers_become_convolutions_of_the_same_values(network in networks()) {
        let (model, x) = (network.model(), network.images());
        let has_flatten = model.graph().layer::<Flatten>("flat").is_ok();
        let converted = model.to_fully_convolutional();
        prop_assert_eq!(converted.is_ok(), has_flatten);
        if let Ok(converted) = converted {
            assert_sound(&converted, &model, Contract::Exact);
            let map = converted.forward(&x).unwrap();
            prop_assert_eq!(&map.dims()[2..], [1, 1]);
            let vector = map.flatten_from(1).unwrap();
            let off = distance(&vector, &model.forward(&x).unwrap());
            prop_assert!(off < ROUNDING, "{off}");
        }
    }
}

/// Whether what follows a layer is what `dilate` says it spreads.
fn can_be_spread_behind(model: &Model, layer: &str) -> bool {
    let start = model.graph().node(layer).unwrap();
    if matches!(start.layer(), Layer::Conv2d(conv) if conv.padding == Padding::Same) {
        return false;
    }
    let mut behind = vec![start.id()];
    for node in model.graph().nodes() {
        let dense = node
            .inputs()
            .iter()
            .filter(|id| behind.contains(id))
            .count();
        if dense == 0 {
            continue;
        }
        behind.push(node.id());
        let can = match node.layer() {
            Layer::Conv2d(conv) => conv.stride == (1, 1),
            Layer::Add(_) | Layer::Concat(_) => dense == node.inputs().len(),
            Layer::Activation(_)
            | Layer::BatchNorm2d(_)
            | Layer::Dropout(_)
            | Layer::Rescale(_) => true,
            _ => false,
        };
        if !can {
            return false;
        }
    }
    true
}

/// Whether a layer's channels reach an output or a sum.
fn reaches_output(model: &Model, layer: &str) -> bool {
    let graph = model.graph();
    let mut carriers = vec![graph.node_id(layer).unwrap()];
    for node in graph.nodes() {
        let carries = node.inputs().iter().any(|input| carriers.contains(input));
        let reads = matches!(node.layer(), Layer::Conv2d(_) | Layer::Dense(_));
        if carries && matches!(node.layer(), Layer::Add(_)) {
            return true;
        }
        if carries && !reads {
            carriers.push(node.id());
        }
    }
    graph
        .outputs()
        .iter()
        .any(|output| carriers.contains(output))
}

fn branches(model: &Model) -> bool {
    model.graph().nodes().any(|node| node.name() == "join")
}

#[test]
fn an_image_of_like_channels_keeps_its_value() {
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .input((3, 32, 32))
        .untrained(1)
        .unwrap();
    let model = graph.build(&Device::Cpu).unwrap();
    let gray = noise((2, 1, 32, 32), 9);
    let repeated = |channels| gray.repeat((1, channels, 1, 1)).unwrap();
    let expected = model.forward(&repeated(3)).unwrap();
    for channels in [1, 6, 9] {
        let adapted = model.adapt_input(channels).unwrap();
        assert_sound(&adapted, &model, Contract::Approximate);
        let off = distance(&adapted.forward(&repeated(channels)).unwrap(), &expected);
        assert!(off < 2e-5, "{channels}: {off}");
        assert_eq!(adapted.graph().preprocessing(), None);
        let verified = adapted.verify(&model, (&repeated(channels), &repeated(3)));
        let verified = verified.unwrap();
        assert_eq!((verified.layers.len(), verified.top1), (18, Some(1.0)));
        let near = |check: &vgg_surgery::surgery::LayerCheck| check.r2 > 1.0 - 1e-8;
        assert!(verified.layers.iter().all(near), "{verified}");
    }
    for same in [model.adapt_input(3), model.widen("block1_conv1", 4)] {
        let told = last(same.as_ref().unwrap()).clone();
        assert_eq!(told.contract, Contract::Exact);
        assert_eq!((told.derived, told.dropped), (0, 0), "{}", told.what);
    }
    // Two of three filters, times 3/2.
    let two = model.adapt_input(2).unwrap();
    let weight = parameter(&model, "block1_conv1", "weight");
    let expected = (weight.narrow(1, 0, 2).unwrap() * 1.5).unwrap();
    assert_eq!(
        values(&parameter(&two, "block1_conv1", "weight")),
        values(&expected)
    );
    let preprocessing = vgg_surgery::Preprocessing::torchvision();
    let images = model.edit(|graph| Ok(graph.with_preprocessing(preprocessing.clone())));
    let same = images.unwrap().adapt_input(3).unwrap();
    assert_eq!(same.graph().preprocessing(), Some(&preprocessing));
}

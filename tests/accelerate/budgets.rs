use vgg_surgery::accelerate::Acceleration;
use vgg_surgery::graph::Contract;
use vgg_surgery::surgery::Prune;
use vgg_surgery::{Error, Model};

use crate::{nano, quick, r2, textures, values};

/// The channels of every layer that has some.
fn widths(model: &Model) -> Vec<(String, usize)> {
    let nodes = model.graph().nodes();
    let rows = nodes.map(|node| (node.name().to_string(), node.shape().channels()));
    rows.collect()
}

#[test]
fn half_of_the_multiplications_keep_what_pruning_by_norm_loses() {
    let (model, held_out) = (nano(), textures(1, 99).remove(0));
    let half = quick(Acceleration::macs(2.0)).measured_on([held_out.clone()]);
    let (faster, report) = model.accelerate(&half, &textures(12, 1)).unwrap();
    let before = model
        .graph()
        .clone()
        .input((3, 64, 64))
        .unwrap()
        .plan()
        .macs;
    let after = faster
        .graph()
        .clone()
        .input((3, 64, 64))
        .unwrap()
        .plan()
        .macs;
    let ratio = before.unwrap() as f64 / after.unwrap() as f64;
    assert!(ratio >= 2.0, "{ratio}");
    assert!(
        (report.macs - ratio).abs() < 1e-6,
        "{} {ratio}",
        report.macs
    );

    let mut by_norm = model.clone();
    for (layer, width) in widths(&faster) {
        let node = model.graph().node(layer.as_str()).unwrap();
        let fewer = node.shape().channels() - width;
        if fewer > 0 && !node.parameters().is_empty() {
            by_norm = by_norm
                .prune_filters(layer.as_str(), Prune::count(fewer))
                .unwrap();
        }
    }
    assert_eq!(widths(&by_norm), widths(&faster));
    let wanted = values(&model, &held_out);
    let own = r2(&values(&faster, &held_out), &wanted);
    let other = r2(&values(&by_norm, &held_out), &wanted);
    assert!(own > other + 0.3, "{own} {other}");
    let last = report.blocks.last().unwrap();
    assert_eq!(last.layer, "block4_conv3");
    assert!(last.r2 > other, "{report}");
    assert_eq!(report.held_out, Some(1));
}

#[test]
fn a_budget_of_1_changes_no_value_by_more_than_rounding() {
    let (model, images) = (nano(), textures(6, 1));
    let (same, report) = model
        .accelerate(&quick(Acceleration::macs(1.0)), &images)
        .unwrap();
    assert_eq!(widths(&same), widths(&model));
    let found = r2(&values(&same, &images[0]), &values(&model, &images[0]));
    assert!(found > 0.999, "{found}: {report}");
}

#[test]
fn fewer_parameters_are_counted() {
    let model = nano();
    let third = quick(Acceleration::parameters(3.0));
    let (smaller, report) = model.accelerate(&third, &textures(4, 1)).unwrap();
    let counts = [&model, &smaller].map(|model| model.graph().parameter_count() as f64);
    assert!(counts[0] / counts[1] >= 3.0, "{counts:?}");
    assert_eq!(report.parameters, counts[0] / counts[1]);
}

#[test]
fn layers_that_are_kept_lose_nothing() {
    let model = nano();
    let kept = quick(Acceleration::macs(1.5)).keeping("block2_conv1"..="block3_conv2");
    let (faster, _) = model.accelerate(&kept, &textures(4, 1)).unwrap();
    for layer in [
        "block2_conv1",
        "block2_conv2",
        "block3_conv1",
        "block3_conv2",
    ] {
        let channels = |model: &Model| model.graph().node(layer).unwrap().shape().channels();
        assert_eq!(channels(&faster), channels(&model), "{layer}");
    }
}

#[test]
fn a_seed_gives_one_network_whatever_the_number_of_threads() {
    let (model, images) = (nano(), textures(4, 1));
    let run = |threads: usize, seed| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let budget = Acceleration::macs(2.0).seconds(10.0).seed(seed);
        let (faster, _) = pool.install(|| model.accelerate(&budget, &images)).unwrap();
        values(&faster, &images[0])
    };
    let one = run(1, 0);
    assert_eq!(one, run(3, 0));
    assert_ne!(one, run(1, 1));
}

#[test]
fn each_change_is_in_the_ledger_and_in_the_file() {
    let (model, images) = (nano(), textures(4, 1));
    let (faster, _) = model
        .accelerate(&quick(Acceleration::macs(2.0)), &images)
        .unwrap();
    let operations = faster.graph().operations();
    let pruned = operations
        .iter()
        .filter(|entry| entry.what.contains("channels of"));
    assert!(pruned.clone().count() > 3);
    assert!(
        pruned
            .clone()
            .all(|entry| entry.contract == Contract::Approximate)
    );
    assert!(operations.last().unwrap().what.contains("filters fitted"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("faster.safetensors");
    faster.save(&path).unwrap();
    let loaded = Model::load(&path, faster.device()).unwrap();
    assert_eq!(values(&loaded, &images[0]), values(&faster, &images[0]));
}

#[test]
fn named_layers_lose_as_many_channels_as_asked_for_and_nothing_else_changes() {
    let (model, images) = (nano(), textures(6, 1));
    let held_out = textures(1, 99).remove(0);
    let channels =
        |model: &Model, layer: &str| model.graph().node(layer).unwrap().shape().channels();
    let wanted = channels(&model, "block3_conv1") / 2;
    let narrower = quick(Acceleration::channels([("block3_conv1", wanted)]));
    let (fitted, _) = model.accelerate(&narrower, &images).unwrap();
    assert_eq!(channels(&fitted, "block3_conv1"), wanted);
    let by_norm = model
        .prune_filters("block3_conv1", Prune::fraction(0.5))
        .unwrap();
    assert_eq!(widths(&fitted), widths(&by_norm));
    let old = values(&model, &held_out);
    let own = r2(&values(&fitted, &held_out), &old);
    let other = r2(&values(&by_norm, &held_out), &old);
    assert!(own > other + 0.1, "{own} {other}");
    for layer in ["block2_conv2", "block4_conv3"] {
        let weight = |model: &Model| {
            let mut parameters = model.parameters();
            let found = parameters.find(|p| p.layer == layer && p.name == "weight");
            let tensor = found.unwrap().tensor.detach();
            tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(weight(&fitted), weight(&model), "{layer}");
    }
}

/// What counts decides where channels are left out.
#[test]
fn a_layer_that_is_to_be_preserved_loses_less() {
    let (model, images) = (nano(), textures(6, 1));
    let half = quick(Acceleration::macs(3.0)).measured_on(textures(2, 99));
    let run = |acceleration: &Acceleration| {
        let (_, report) = model.accelerate(acceleration, &images).unwrap();
        let has_row = report.blocks.iter().any(|row| row.layer == "block2_conv1");
        let mut layers = report.layers.iter();
        let own = layers.find(|row| row.layer == "block2_conv1").unwrap();
        (own.r2, has_row)
    };
    let (before, has_row) = run(&half);
    assert!(!has_row);
    let (after, has_row) = run(&half.clone().preserving("block2_conv1"));
    assert!(has_row && after > before, "{before} {after}");
    let unknown = half.preserving("block9");
    assert!(model.accelerate(&unknown, &images).is_err());
}

#[test]
fn a_frontier_has_a_network_for_each_factor() {
    let (model, images) = (nano(), textures(6, 1));
    let settings = quick(Acceleration::macs(1.0)).measured_on(textures(2, 99));
    let frontier = model.frontier(&[1.5, 3.0], &settings, &images).unwrap();
    let points = &frontier.points;
    assert_eq!([points[0].factor, points[1].factor], [1.5, 3.0]);
    for point in points {
        assert!(point.report.macs >= point.factor, "{}", point.report);
        let alone = Acceleration::macs(point.factor);
        let (network, _) = model.accelerate(&quick(alone), &images).unwrap();
        assert_eq!(widths(&network), widths(&point.model));
    }
    let last = |index: usize| points[index].report.blocks.last().unwrap().r2;
    assert!(last(0) > last(1), "{} {}", last(0), last(1));
    let svg = frontier.to_svg();
    assert_eq!(svg.matches("<circle").count(), 3);
    assert!(svg.contains(">1.5x<") && svg.contains(">3x<"), "{svg}");
}

#[test]
fn the_report_describes_each_layer_on_the_channels_that_are_left() {
    let (model, images) = (nano(), textures(6, 1));
    let (faster, report) = model
        .accelerate(&quick(Acceleration::macs(2.0)), &images)
        .unwrap();
    assert_eq!(report.layers[0].layer, "block1_conv1");
    assert!(report.layers[0].r2 > 0.9999, "its filters stay: {report}");
    assert!(report.layers.iter().all(|row| row.r2 > 0.5), "{report}");
    let bytes = |model: &Model| 4 * model.graph().parameter_count();
    assert_eq!(
        [report.bytes_before, report.bytes],
        [&model, &faster].map(bytes)
    );
    assert!(report.top1.is_some_and(|top1| top1 > 0.5 && top1 <= 1.0));
}

#[test]
fn training_at_the_end_is_in_the_report() {
    let (model, images) = (nano(), textures(6, 1));
    let zeroed = quick(Acceleration::macs(2.0)).fine_tune(|model| {
        model.unfreeze("block4_conv3")?;
        for variable in model.trainable_variables() {
            variable.set(&variable.as_tensor().zeros_like()?)?;
        }
        Ok(())
    });
    let (network, report) = model.accelerate(&zeroed, &images).unwrap();
    assert!(
        values(&network, &images[0])
            .iter()
            .all(|&value| value == 0.0)
    );
    assert!(report.blocks.last().unwrap().r2 < 0.0, "{report}");
    assert!(report.parts.iter().any(|part| part.part == "fine-tuning"));
    let editing = quick(Acceleration::macs(2.0)).fine_tune(|model| {
        *model = model.edit(|graph| graph.truncate("block2_pool"))?;
        Ok(())
    });
    let refused = model.accelerate(&editing, &images);
    assert!(matches!(refused, Err(Error::Unsupported { .. })));
    let failing = quick(Acceleration::macs(2.0)).fine_tune(|_| Err(Error::other("no labels")));
    let refused = model.accelerate(&failing, &images);
    assert_eq!(refused.unwrap_err().to_string(), "no labels");
}

#[test]
fn gradient_descent_never_makes_it_worse() {
    let (model, images) = (nano(), textures(6, 1));
    let held_out = textures(1, 99).remove(0);
    let wanted = values(&model, &held_out);
    let closed = quick(Acceleration::macs(4.0));
    let run = |acceleration: &Acceleration| {
        let (faster, report) = model.accelerate(acceleration, &images).unwrap();
        (r2(&values(&faster, &held_out), &wanted), report.steps)
    };
    let (before, none) = run(&closed);
    let (after, steps) = run(&closed.clone().steps(30));
    assert_eq!(none, 0);
    assert!(steps == 0 || steps == 30, "{steps}");
    assert!(after > before - 0.02, "{before} {after}");
}

#[test]
fn the_fastest_network_of_an_r2_has_that_r2() {
    let (model, images) = (nano(), textures(6, 1));
    match model.accelerate(&quick(Acceleration::r2(0.8)).batch(4), &images) {
        Ok((_, report)) => assert!(report.blocks.last().unwrap().r2 >= 0.8, "{report}"),
        // A loaded machine may not get any network measurably faster.
        Err(error) => assert!(matches!(error, Error::Acceleration(_)), "{error}"),
    }
}

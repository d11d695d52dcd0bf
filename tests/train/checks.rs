use vgg_surgery::data::{FnDataset, Sample};
use vgg_surgery::train::Finding;
use vgg_surgery::{
    BatchNorm2d, Dataset, Dense, Graph, Head, Image, Loss, Metric, Preprocessing, Sgd,
    TensorDataset, Trainer, Vgg16,
};

use crate::{built, graph, noise, two_kinds, weights};

fn findings(graph: vgg_surgery::Graph, loss: Loss, data: &TensorDataset) -> Vec<Finding> {
    let mut model = built(graph);
    Trainer::new(&mut model).loss(loss).check(data).unwrap()
}

#[test]
fn a_correct_setup_has_no_findings() {
    let data = two_kinds(4, 8, 1);
    assert_eq!(findings(graph(), Loss::cross_entropy(), &data), []);
}

#[test]
fn probabilities_under_a_loss_of_logits_are_found() {
    let data = two_kinds(4, 8, 1);
    let found = findings(graph(), Loss::cross_entropy().from_logits(), &data);
    let layer = "head_out".to_string();
    assert_eq!(found, [Finding::ProbabilitiesForLogits { layer }]);

    let relu = graph().attach(Dense::new(2).relu().named("again")).unwrap();
    let found = findings(relu, Loss::cross_entropy(), &data);
    let layer = "again".to_string();
    let reads = Finding::ReadsScores {
        layer: layer.clone(),
        classifier: "head_out".to_string(),
    };
    let activation = "relu".to_string();
    let expected = Finding::ActivationOnLogits { layer, activation };
    assert_eq!(found, [expected, reads]);
    assert!(found[0].to_string().contains("\"again\" applies relu"));
}

#[test]
fn nothing_to_train_is_found() {
    let data = two_kinds(4, 8, 1);
    let found = findings(graph().freeze_all(), Loss::cross_entropy(), &data);
    assert_eq!(found, [Finding::NothingToTrain]);
}

#[test]
fn classes_that_do_not_fit_are_found() {
    let x = || noise((3, 3, 8, 8), 1);
    let beyond = TensorDataset::new(x(), vec![0, 5, 1]).unwrap();
    let expected = Finding::ClassOutOfRange {
        index: 1,
        class: 5,
        classes: 2,
    };
    assert_eq!(
        findings(graph(), Loss::cross_entropy(), &beyond),
        [expected]
    );
    let few = TensorDataset::new(x(), vec![0, 0, 0]).unwrap();
    let expected = Finding::SpareOutputs {
        data: 1,
        network: 2,
    };
    assert_eq!(findings(graph(), Loss::cross_entropy(), &few), [expected]);
}

#[test]
fn a_norm_that_learns_among_frozen_layers_is_found() {
    let data = two_kinds(4, 8, 1);
    let graph = graph().insert_after("block1_conv2", BatchNorm2d::new().named("norm"));
    let found = findings(graph.unwrap(), Loss::cross_entropy(), &data);
    let layer = "norm".to_string();
    assert_eq!(found, [Finding::NormAmongFrozen { layer }]);
}

#[test]
fn inputs_outside_the_range_of_the_preprocessing_are_found() {
    let prepared = |preprocessing| graph().with_preprocessing(preprocessing);
    let unit = TensorDataset::new(noise((2, 3, 8, 8), 1).abs().unwrap(), vec![0, 1]).unwrap();
    let caffe = findings(
        prepared(Preprocessing::caffe()),
        Loss::cross_entropy(),
        &unit,
    );
    let [Finding::InputRange { expected, .. }] = caffe[..] else {
        panic!("{caffe:?}");
    };
    assert_eq!(expected, (-123.68, 255.0 - 103.939));
    let plain = findings(prepared(Preprocessing::new()), Loss::cross_entropy(), &unit);
    assert_eq!(plain, []);
}

#[test]
fn images_prepared_in_another_way_are_found() {
    let data = vgg_surgery::data::FnDataset::new(2, |index| {
        let image = Image::from_rgb8(8, 8, vec![7; 192])?;
        Ok(Sample::new(image, index))
    });
    let mut model = built(graph());
    let found = Trainer::new(&mut model).check(&data).unwrap();
    assert_eq!(found, [Finding::NoPreprocessing]);
    let mut model = built(graph().with_preprocessing(Preprocessing::torchvision()));
    let trainer = Trainer::new(&mut model);
    assert_eq!(trainer.check(&data).unwrap(), []);
    let trainer = trainer.preprocessing(Preprocessing::caffe());
    let found = trainer.check(&data).unwrap();
    assert!(
        matches!(found[..], [Finding::OtherPreprocessing { .. }]),
        "{found:?}"
    );
}

/// As the graph's own preprocessing does.
#[test]
fn the_trainers_preprocessing_goes_by_the_networks_input() {
    let data = vgg_surgery::data::FnDataset::new(2, |index| {
        let value = 100 * index as u8;
        Ok(Sample::new(
            Image::from_rgb8(20, 12, vec![value; 720])?,
            index,
        ))
    });
    let small = graph().input((3, 16, 16)).unwrap();
    let caffe = Preprocessing::caffe;
    let mut own = built(small.clone().with_preprocessing(caffe()));
    Trainer::new(&mut own)
        .fit_without_validation(&data)
        .unwrap();
    let mut model = built(small);
    let mut trainer = Trainer::new(&mut model).preprocessing(caffe());
    trainer.fit_without_validation(&data).unwrap();
    assert_eq!(weights(&model), weights(&own));
}

/// The finding holds the message of `fit`.
#[test]
fn what_fit_refuses_at_once_is_found() {
    let data = two_kinds(4, 8, 1);
    let maps = || graph().truncate("head_conv").unwrap();
    let maps = || maps().input((3, 8, 8)).unwrap();
    let x = || noise((4, 3, 8, 8), 1);
    let map_data = TensorDataset::values(x(), noise((4, 4, 2, 2), 2)).unwrap();
    let finds = |graph: vgg_surgery::Graph, loss: Loss, accuracy: bool, data: &TensorDataset| {
        let mut model = built(graph);
        let mut trainer = Trainer::new(&mut model).loss(loss);
        if accuracy {
            trainer = trainer.metrics([Metric::Accuracy]);
        }
        let found = trainer.check(data).unwrap();
        let refused = trainer.batch_size(1).shuffle(false);
        (found, { refused }.fit_without_validation(data))
    };
    let squares = Loss::mean_squared_error;
    let refused = [
        finds(graph(), squares(), false, &data),
        finds(maps(), squares(), false, &data),
        finds(maps(), Loss::custom(|x, _| Ok(x.mean_all()?)), true, &data),
        finds(maps(), squares(), true, &map_data),
        finds(
            graph(),
            Loss::cross_entropy().label_smoothing(2.0),
            false,
            &data,
        ),
    ];
    for (found, outcome) in refused {
        let reason = outcome.unwrap_err().to_string();
        assert!(found.contains(&Finding::Refused { reason }), "{found:?}");
    }
    let (found, outcome) = finds(maps(), squares(), false, &map_data);
    assert_eq!(found, []);
    outcome.unwrap();
}

/// The finding holds the message of `fit`, which refuses in the same way.
#[track_caller]
fn assert_both_refuse(trainer: Trainer<'_>, data: &dyn Dataset) -> String {
    let mut trainer = trainer.batch_size(1).shuffle(false);
    let found = trainer.check(data).unwrap();
    let reason = trainer
        .fit_without_validation(data)
        .unwrap_err()
        .to_string();
    let expected = Finding::Refused {
        reason: reason.clone(),
    };
    assert_eq!(found.first(), Some(&expected), "{found:?}");
    reason
}

#[test]
fn an_input_that_the_network_can_not_take_is_found() {
    let images = FnDataset::new(2, |index| {
        let value = 100 * index as u8;
        Ok(Sample::new(
            Image::from_rgb8(8, 8, vec![value; 192])?,
            index,
        ))
    });
    let head = || {
        Head::new()
            .global_avg_pool2d("pool")
            .dense("out", Dense::new(2))
    };
    let gray = Graph::new("gray", (1, 8, 8)).unwrap();
    let gray = gray.with_preprocessing(Preprocessing::new());
    let mut model = built(gray.attach(head()).unwrap());
    assert_both_refuse(Trainer::new(&mut model), &images);
    let color = Trainer::new(&mut model).preprocessing(Preprocessing::new());
    assert_both_refuse(color, &images);

    let mut model = built(graph());
    let narrow = TensorDataset::new(noise((2, 2, 8, 8), 1), [0, 1]).unwrap();
    assert_both_refuse(Trainer::new(&mut model), &narrow);
    let small = TensorDataset::new(noise((2, 3, 2, 2), 1), [0, 1]).unwrap();
    assert_both_refuse(Trainer::new(&mut model), &small);
}

#[test]
fn data_and_settings_that_fit_refuses_are_found() {
    let data = two_kinds(4, 8, 1);
    let mut model = built(graph());
    let none = FnDataset::new(0, |_| Ok(Sample::new(noise((3, 8, 8), 1), 0)));
    assert_both_refuse(Trainer::new(&mut model), &none);
    let flipped = vgg_surgery::Augmentation::new().flip(0.5);
    assert_both_refuse(Trainer::new(&mut model).augment(flipped), &data);
    let steep = Trainer::new(&mut model)
        .learning_rate(1e300)
        .layer_decay(1e300);
    assert_both_refuse(steep, &data);
}

#[test]
fn a_checkpoint_of_another_network_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other");
    let mut model = built(graph());
    Trainer::new(&mut model).save_checkpoint(&file).unwrap();
    let mut other = built(graph().rename("head_fc", "dense").unwrap());
    let trainer = Trainer::new(&mut other).resume(&file).unwrap();
    let reason = assert_both_refuse(trainer, &two_kinds(4, 8, 1));
    assert!(reason.contains("another network"), "{reason}");
}

#[test]
fn a_loss_that_stays_at_chance_is_found() {
    let graph = Vgg16::options()
        .widths(16)
        .untrained(1)
        .unwrap()
        .truncate("block1_pool")
        .unwrap()
        .freeze_all()
        .attach(Head::new().global_avg_pool2d("pool").dense(
            "out",
            Dense::new(2).kernel_init(vgg_surgery::layers::Init::ZEROS),
        ))
        .unwrap();
    let mut model = built(graph);
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model).optimizer(Sgd::new(0.0)).epochs(2);
    let history = trainer.fit_without_validation(&data).unwrap();
    let expected = Finding::LossOfChance {
        loss: 2f64.ln(),
        chance: 2f64.ln(),
    };
    assert_eq!(history.findings.first(), Some(&expected));
    assert_eq!(trainer.check(&data).unwrap(), [expected]);
}

#[test]
fn an_output_that_the_loss_does_not_see_is_found() {
    let mut graph = graph();
    let middle = graph.node_id("head_fc").unwrap();
    let first = graph.outputs()[0];
    let second = graph.add("second", Dense::new(3), [middle]).unwrap();
    let graph = graph.with_outputs([first, second]).unwrap();
    let data = two_kinds(4, 8, 1);
    let layer = "second".to_string();
    let first = "head_out".to_string();
    let expected = [Finding::OutputNotSeen { layer, first }];
    assert_eq!(
        findings(graph.clone(), Loss::cross_entropy(), &data),
        expected
    );
    let mut model = built(graph);
    let mut trainer = Trainer::new(&mut model).epochs(1);
    let history = trainer.fit_without_validation(&data).unwrap();
    assert_eq!(history.findings, expected);
}

/// Heads on a trunk that is still an output itself, the first one.
#[test]
fn a_loss_of_the_wrong_output_names_it() {
    let trunk = graph().truncate("block2_pool").unwrap();
    let head = |name: &str| {
        let head = Head::new().global_avg_pool2d(format!("{name}_pool"));
        head.dense(name, Dense::new(2).softmax())
    };
    let graph = trunk.input((3, 8, 8)).unwrap();
    let graph = graph.attach_to("block2_pool", head("color")).unwrap();
    let graph = graph.attach_to("block1_pool", head("texture")).unwrap();
    let mut model = built(graph.clone());
    let data = two_kinds(4, 8, 1);
    let mut trainer = Trainer::new(&mut model);
    let found = trainer.check(&data).unwrap();
    let reason = trainer
        .fit_without_validation(&data)
        .unwrap_err()
        .to_string();
    let hint = "for the first output \"block2_pool\" (with_outputs([\"color\", ..]) makes another \
                the first)";
    assert!(reason.contains(hint), "{reason}");
    let mut refusals = found.iter().map(ToString::to_string);
    assert!(refusals.any(|text| text.contains(hint)), "{found:?}");
    let chosen = graph.with_outputs(["color", "texture"]).unwrap();
    let layer = "texture".to_string();
    let first = "color".to_string();
    let expected = [Finding::OutputNotSeen { layer, first }];
    assert_eq!(findings(chosen, Loss::cross_entropy(), &data), expected);
}

/// The last step of all left weights whose products f32 does not hold.
#[test]
fn a_validation_loss_that_is_not_finite_is_found() {
    let mut model = built(graph());
    let data = two_kinds(4, 8, 1);
    let trainer = Trainer::new(&mut model).optimizer(Sgd::new(1e37)).epochs(1);
    let history = trainer.batch_size(4).fit(&data, &data).unwrap();
    let found = Finding::ValidationNotFinite { epoch: 1 };
    assert_eq!(history.findings, std::slice::from_ref(&found));
    assert!(found.to_string().contains("lower the learning rate"));
}

/// A head on a classifier that was not cut off learns from class scores.
#[test]
fn a_head_behind_a_softmax_is_found() {
    let whole = || {
        Vgg16::options()
            .widths(16)
            .hidden(8)
            .classes(4)
            .untrained(1)
    };
    let head = Head::new()
        .dropout("drop", 0.5)
        .dense("head_out", Dense::new(3));
    let data = two_kinds(4, 32, 1);
    let reads = |classifier: &str| Finding::ReadsScores {
        layer: "head_out".to_string(),
        classifier: classifier.to_string(),
    };
    let forgotten = whole().unwrap().attach(head.clone()).unwrap();
    let found = findings(forgotten, Loss::cross_entropy(), &data);
    assert!(found.contains(&reads("predictions")), "{found:?}");
    let sigmoid = whole().unwrap();
    let sigmoid = sigmoid.replace("predictions", Dense::new(4).sigmoid());
    let found = findings(
        sigmoid.unwrap().attach(head.clone()).unwrap(),
        Loss::cross_entropy(),
        &data,
    );
    assert!(found.contains(&reads("predictions")), "{found:?}");
    let single = whole()
        .unwrap()
        .replace("predictions", Dense::new(1).sigmoid().named("is_cat"));
    let found = findings(
        single.unwrap().attach(head.clone()).unwrap(),
        Loss::cross_entropy(),
        &data,
    );
    assert!(found.contains(&reads("is_cat")), "{found:?}");
    let cut = whole().unwrap().truncate("fc2").unwrap();
    let found = findings(cut.attach(head).unwrap(), Loss::cross_entropy(), &data);
    assert!(!found.contains(&reads("predictions")), "{found:?}");
}

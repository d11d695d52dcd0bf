use candle_core::Tensor;
use vgg_surgery::graph::Fate;
use vgg_surgery::{Conv2d, Dense, Error, Head, Model, Vgg16};

use crate::{assert_same_bits, built, images, parameter, two_blocks, values};

const KEYS: [&str; 8] = [
    "block1_conv1.weight",
    "block1_conv1.bias",
    "block1_conv2.weight",
    "block1_conv2.bias",
    "block2_conv1.weight",
    "block2_conv1.bias",
    "block2_conv2.weight",
    "block2_conv2.bias",
];

#[test]
fn what_survives_is_kept() {
    let model = built(two_blocks());
    let conv = Conv2d::new(4, 5).same().relu().named("new_conv");
    let edited = model
        .edit(|graph| graph.replace("block1_conv1"..="block1_conv2", conv))
        .unwrap();
    for key in &KEYS[4..] {
        assert_same_bits(&parameter(&edited, key), &parameter(&model, key), key);
    }
    let fates: Vec<(String, bool)> = edited
        .graph()
        .provenance()
        .into_iter()
        .filter(|p| p.layer == "block1_conv1" || p.layer == "block2_conv1")
        .map(|p| (p.layer, matches!(p.fate, Fate::Dropped { .. })))
        .collect();
    let expected = [
        ("block2_conv1", false),
        ("block2_conv1", false),
        ("block1_conv1", true),
        ("block1_conv1", true),
    ];
    assert_eq!(
        fates,
        expected.map(|(name, dropped)| (name.to_string(), dropped))
    );
    let x = images((1, 3, 8, 8));
    let pool = edited.forward_to("pool1", &x).unwrap();
    let rest = model
        .edit(|graph| graph.slice("block2_conv1"..))
        .and_then(|rest| rest.forward(&pool))
        .unwrap();
    assert_same_bits(
        &edited.forward(&x).unwrap(),
        &rest,
        "the layers that follow",
    );
}

#[test]
fn the_old_model_stays_as_it_was() {
    let model = built(two_blocks());
    let x = images((1, 3, 8, 8));
    let before = model.forward(&x).unwrap();
    let edited = model
        .edit(|graph| graph.rename("pool1", "p")?.freeze("conv1_1"))
        .unwrap();
    assert_eq!(
        model.graph().node("block1_pool").unwrap().name(),
        "block1_pool"
    );
    assert!(model.parameters().all(|p| p.is_trainable));
    assert_same_bits(&edited.forward(&x).unwrap(), &before, "the new one");
    let error = model.edit(|graph| graph.truncate("zzzz")).unwrap_err();
    assert!(matches!(error, Error::UnknownLayer { .. }));
    assert_same_bits(&model.forward(&x).unwrap(), &before, "the old one");
}

fn shares(a: &Model, b: &Model, key: &str) -> bool {
    parameter(a, key).id() == parameter(b, key).id()
}

#[test]
fn frozen_tensors_are_shared_and_variables_copied() {
    let model = built(
        two_blocks()
            .freeze("block1_conv1"..="block1_conv2")
            .unwrap(),
    );
    let edited = model.edit(Ok).unwrap();
    for (place, key) in KEYS.iter().enumerate() {
        assert_eq!(shares(&model, &edited, key), place < 4, "{key}");
        assert_same_bits(&parameter(&edited, key), &parameter(&model, key), key);
    }
}

fn set_to_zero(model: &Model) {
    for variable in model.trainable_variables() {
        variable.set(&variable.zeros_like().unwrap()).unwrap();
    }
}

fn is_zero(tensor: &Tensor) -> bool {
    values(tensor).iter().all(|&v| v == 0.0)
}

#[test]
fn training_one_model_leaves_the_other_alone() {
    let edits: [fn(&Model) -> Model; 4] = [
        |model| model.edit(Ok).unwrap(),
        |model| model.edit(|graph| Ok(graph.freeze_all())).unwrap(),
        |model| model.edit(|graph| graph.unfreeze(..)).unwrap(),
        |model| {
            let frozen = model.edit(|graph| Ok(graph.freeze_all())).unwrap();
            frozen.edit(|graph| graph.unfreeze(..)).unwrap()
        },
    ];
    for edit in edits {
        for forth in [true, false] {
            let model = built(two_blocks().freeze("conv1_1").unwrap());
            let edited = edit(&model);
            let (trained, other) = if forth {
                (&model, &edited)
            } else {
                (&edited, &model)
            };
            set_to_zero(trained);
            for key in KEYS.iter().filter(|key| key.ends_with("weight")) {
                assert!(!is_zero(&parameter(other, key)), "{key}");
            }
        }
    }
}

#[test]
fn freezing_a_model_keeps_its_values() {
    let mut model = built(two_blocks());
    let x = images((1, 3, 8, 8));
    let before = model.forward(&x).unwrap();
    model.freeze(..).unwrap();
    assert!(model.trainable_variables().is_empty());
    assert_same_bits(&model.forward(&x).unwrap(), &before, "frozen");
    model.unfreeze("block2_conv1"..).unwrap();
    assert_eq!(model.trainable_variables().len(), 4);
    assert_same_bits(&model.forward(&x).unwrap(), &before, "in part");
    let error = model.freeze("zzzz").unwrap_err();
    assert!(matches!(error, Error::UnknownLayer { .. }));
    let error = model.unfreeze("zzzz").unwrap_err();
    assert!(matches!(error, Error::UnknownLayer { .. }));
    assert_eq!(model.trainable_variables().len(), 4);
}

#[test]
fn reinitialized_layers_are_drawn_anew() {
    let model = built(two_blocks());
    set_to_zero(&model);
    let edited = model.edit(|graph| graph.reinitialize("conv1_2")).unwrap();
    for key in KEYS.iter().filter(|key| key.ends_with("weight")) {
        let drawn = key.starts_with("block1_conv2");
        assert_eq!(is_zero(&parameter(&edited, key)), !drawn, "{key}");
    }
}

#[test]
fn a_trained_layer_keeps_its_shape() {
    let model = built(two_blocks());
    let error = model
        .edit(|graph| graph.replace("conv1_1", Conv2d::new(6, 3).same()))
        .unwrap_err();
    assert_eq!(error.layer(), Some("block1_conv2"));
    assert!(matches!(error, Error::ShapeMismatch { .. }));
}

#[test]
fn a_head_is_attached_to_a_model() {
    let model = built(two_blocks().freeze_all());
    let head = Head::new()
        .global_avg_pool2d("pool")
        .dense("out", Dense::new(3));
    let edited = model.edit(|graph| graph.attach(head)).unwrap();
    assert_eq!(edited.trainable_variables().len(), 2);
    for key in KEYS {
        assert!(shares(&model, &edited, key), "{key}");
    }
    let y = edited.forward(&images((2, 3, 8, 8))).unwrap();
    assert_eq!(y.dims(), [2, 3]);
}

#[test]
fn two_models_are_joined_through_a_weight_set() {
    let front = built(two_blocks().truncate("pool1").unwrap());
    let back = built(two_blocks().slice("block2_conv1"..).unwrap().seed(9));
    let back_graph = back.graph().clone();
    let error = front.edit(|graph| graph.append(back_graph)).unwrap_err();
    assert!(matches!(error, Error::DetachedParameter { layer, .. } if layer == "block2_conv1"));
}

#[test]
fn what_was_drawn_stays_new_after_an_edit() {
    let graph = Vgg16::options()
        .widths(16)
        .without_top()
        .untrained(0)
        .unwrap();
    let edited = built(graph).edit(|graph| graph.freeze(..2)).unwrap();
    for provenance in edited.graph().provenance() {
        assert!(matches!(provenance.fate, Fate::New { .. }), "{provenance}");
    }
    assert_eq!(edited.graph().summary().rows[1].source, "new");
}

/// Training one of them leaves the other as it was, both ways; what is frozen is
/// the same tensor.
#[test]
fn a_clone_is_trained_by_itself() {
    let graph = Vgg16::options().widths(16).untrained(5).unwrap();
    let graph = graph.truncate("block2_pool").unwrap();
    let graph = graph.freeze_through("block1_pool").unwrap();
    let head = Head::new()
        .global_avg_pool2d("gap")
        .dropout("drop", 0.5)
        .dense("out", Dense::new(2));
    let first = built(graph.attach(head).unwrap());
    let x = images((2, 3, 32, 32));
    // It continues with the masks that come next.
    first.forward_training(&x).unwrap();
    let mut second = first.clone();
    let masked = |model: &Model| values(&model.forward_training(&x).unwrap());
    assert_eq!(masked(&first), masked(&second));
    for (own, other) in first.parameters().zip(second.parameters()) {
        let shared = own.tensor.id() == other.tensor.id();
        assert_eq!(shared, own.layer.starts_with("block1"), "{}", own.layer);
        assert_same_bits(own.tensor, other.tensor, own.layer);
    }
    let before = first.forward(&x).unwrap();
    assert_same_bits(&second.forward(&x).unwrap(), &before, "clone");
    second.unfreeze(..).unwrap();
    for model in [&second, &first] {
        let others = if std::ptr::eq(model, &first) {
            &second
        } else {
            &first
        };
        let unchanged = others.forward(&x).unwrap();
        for variable in model.trainable_variables() {
            variable
                .set(&(variable.as_tensor() * 1.5).unwrap())
                .unwrap();
        }
        assert_same_bits(&others.forward(&x).unwrap(), &unchanged, "the other");
    }
    assert_ne!(values(&first.forward(&x).unwrap()), values(&before));
    // A resting variable is copied too.
    let mut resting = first.clone();
    resting.freeze(..).unwrap();
    let mut awake = resting.clone();
    let expected = resting.forward(&x).unwrap();
    awake.unfreeze(..).unwrap();
    for variable in awake.trainable_variables() {
        variable.set(&variable.zeros_like().unwrap()).unwrap();
    }
    assert_same_bits(&resting.forward(&x).unwrap(), &expected, "resting");
}

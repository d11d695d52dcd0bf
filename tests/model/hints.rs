use std::collections::HashMap;

use candle_core::Device;
use vgg_surgery::{Graph, Vgg16, VggOptions, WeightSet};

use crate::built;

/// Saves a network's tensors in memory, without those that `leaves` says.
fn stored(graph: Graph, leaves: impl Fn(&str) -> bool) -> WeightSet {
    let model = built(graph);
    let tensors = model
        .parameters()
        .map(|p| (format!("{}.{}", p.layer, p.name), p.tensor.clone()));
    WeightSet::tensors(
        tensors
            .filter(|(key, _)| !leaves(key))
            .collect::<HashMap<_, _>>(),
    )
}

/// A file without a classifier, or with one of other classes, says what to do.
#[test]
fn a_classifier_that_does_not_fit_the_file_is_explained() {
    let options = || Vgg16::options().widths(16).hidden(8);
    let message = |options: VggOptions, weights: WeightSet| {
        let graph = options.pretrained_from(weights).unwrap();
        graph.build(&Device::Cpu).unwrap_err().to_string()
    };
    let is_top = |key: &str| key.starts_with("fc") || key.starts_with("predictions");
    let five = || options().classes(5).untrained(1).unwrap();
    let found = message(options().classes(5), stored(five(), is_top));
    assert!(
        found.ends_with("; the file has no classifier; use without_top()"),
        "{found}"
    );
    let found = message(
        options().classes(5),
        stored(five(), |key| key.starts_with("pred")),
    );
    assert!(
        found.ends_with("; replace(\"predictions\", ..) gives it new weights"),
        "{found}"
    );
    let found = message(options(), stored(five(), |_| false));
    let hint = "; the file's classifier has 5 classes: use .classes(5), or replace(\"predictions\", ..) \
                for new weights";
    assert!(found.ends_with(hint), "{found}");
    let followed = options()
        .classes(5)
        .pretrained_from(stored(five(), |_| false));
    let _ = followed.unwrap().build(&Device::Cpu).unwrap();
    // A trunk that lacks a layer is not the classifier's fault.
    let found = message(
        options().classes(5),
        stored(five(), |key| key.starts_with("block3")),
    );
    assert!(
        !found.contains("classifier") && !found.contains("replace"),
        "{found}"
    );
}

//! Any bytes as a weight file: parameters come of them or an error. The corpus
//! has Keras' layouts.
//!
//! `cargo +nightly fuzz run keras`

#![no_main]

use std::sync::LazyLock;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use vgg_surgery::{Graph, Vgg11Bn, WeightSet};

/// One convolution and its norm.
static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let options = Vgg11Bn::options().widths(64);
    let graph = options.pretrained_from(WeightSet::bytes([]));
    let graph = graph.and_then(|graph| graph.truncate("block1_bn1"));
    graph.expect("the options are legal, and no file is read yet")
});

fuzz_target!(|bytes: &[u8]| {
    let weights = WeightSet::bytes(bytes);
    let graph = GRAPH.clone().also_from(weights, ["block1_conv1", "block1_bn1"]);
    let graph = graph.expect("the layers are there, and no file is read yet");
    if let Ok(model) = graph.build(&Device::Cpu) {
        assert_eq!(model.parameters().count(), 6);
    }
});

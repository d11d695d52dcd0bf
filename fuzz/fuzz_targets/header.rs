//! Any bytes as a safetensors file, after a length that is right: up to the last
//! brace they are its header, then its data.
//!
//! `cargo +nightly fuzz run header`

#![no_main]

use std::sync::LazyLock;

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use vgg_surgery::{Graph, Vgg11, WeightSet};

static GRAPH: LazyLock<Graph> = LazyLock::new(|| {
    let options = Vgg11::options().widths(64);
    let graph = options.pretrained_from(WeightSet::bytes([]));
    let graph = graph.and_then(|graph| graph.truncate("block1_conv1"));
    graph.expect("the options are legal, and no file is read yet")
});

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().rposition(|&byte| byte == b'}');
    let length = end.map_or(0, |end| end + 1) as u64;
    let file = [&length.to_le_bytes(), bytes].concat();
    let graph = GRAPH.clone().also_from(WeightSet::bytes(file), "block1_conv1");
    let graph = graph.expect("the layer is there, and no file is read yet");
    if let Ok(model) = graph.build(&Device::Cpu) {
        assert_eq!(model.parameters().count(), 2);
    }
});

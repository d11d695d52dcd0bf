//! Any bytes as a weight file: parameters come of them or an error. The corpus
//! has PyTorch's layouts.
//!
//! `cargo +nightly fuzz run weights`

#![no_main]

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use vgg_surgery::{Vgg11, WeightSet};

fuzz_target!(|bytes: &[u8]| {
    let options = Vgg11::options().widths(64);
    let graph = options.pretrained_from(WeightSet::bytes(bytes));
    let graph = graph.and_then(|graph| graph.truncate("block1_conv1"));
    let graph = graph.expect("the options are legal, and no file is read yet");
    if let Ok(model) = graph.build(&Device::Cpu) {
        assert_eq!(model.parameters().count(), 2);
    }
});

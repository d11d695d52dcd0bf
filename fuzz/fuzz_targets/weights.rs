//! Any bytes as a weight file: parameters come of them or an error. The corpus
//! has PyTorch's layouts.
//!
//! `cargo +nightly fuzz run weights`

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vgg_surgery::{Graph, Vgg11};
use vgg_surgery_fuzz::{first_layers, read};

static GRAPH: LazyLock<Graph> =
    LazyLock::new(|| first_layers(&Vgg11::options().widths(64), "block1_conv1"));

fuzz_target!(|bytes: &[u8]| {
    read(&GRAPH, &["block1_conv1"], bytes.to_vec());
});

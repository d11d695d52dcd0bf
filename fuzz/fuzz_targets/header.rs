//! Any bytes as a safetensors file, after a length that is right: up to the last
//! brace they are its header, then its data.
//!
//! `cargo +nightly fuzz run header`

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vgg_surgery::{Graph, Vgg11};
use vgg_surgery_fuzz::{first_layers, read};

static GRAPH: LazyLock<Graph> =
    LazyLock::new(|| first_layers(&Vgg11::options().widths(64), "block1_conv1"));

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().rposition(|&byte| byte == b'}');
    let length = end.map_or(0, |end| end + 1) as u64;
    let file = [&length.to_le_bytes(), bytes].concat();
    read(&GRAPH, &["block1_conv1"], file);
});

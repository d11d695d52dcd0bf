//! Any bytes as a file: a model comes of them or an error, and a model can be
//! written again.
//!
//! `cargo +nightly fuzz run load`

#![no_main]

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use vgg_surgery::model::LoadOptions;
use vgg_surgery::{Model, WeightSet};

/// What `corpus/load/delta.safetensors` builds on.
const BASE: &[u8] = include_bytes!("../base.safetensors");

fuzz_target!(|bytes: &[u8]| {
    let options = LoadOptions::new().base(WeightSet::bytes(BASE));
    if let Ok(model) = Model::from_bytes(bytes, &Device::Cpu, &options) {
        let written = model.to_bytes().expect("what was read can be written");
        let again = Model::from_bytes(written, &Device::Cpu, &options);
        let again = again.expect("what was written can be read");
        assert!(model.graph().diff(again.graph()).is_empty());
    }
});

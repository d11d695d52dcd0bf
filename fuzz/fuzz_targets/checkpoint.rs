//! Any bytes as a checkpoint: a training continues from them or refuses them. The
//! network is that of the suites in `tests/attack`, and so is the sample.
//!
//! `cargo +nightly fuzz run checkpoint`

#![no_main]

#[path = "../../tests/support/noise.rs"]
mod noise;
#[allow(dead_code, reason = "the suites use the rest")]
#[path = "../../tests/attack/small.rs"]
mod small;

use libfuzzer_sys::fuzz_target;
use vgg_surgery_fuzz::scratch;

fuzz_target!(|bytes: &[u8]| {
    let path = scratch("checkpoint.safetensors");
    std::fs::write(&path, bytes).expect("the scratch folder can be written");
    let mut model = small::built(&small::graph(None));
    let mut trainer = small::plain(&mut model);
    trainer.set_epochs(1);
    if let Ok(mut trainer) = trainer.resume(path) {
        let _ = trainer.fit_without_validation(&small::data());
    }
});

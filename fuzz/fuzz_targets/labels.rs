//! Any bytes as a file of labels, CSV and JSON: a data set comes of them or an error.
//!
//! `cargo +nightly fuzz run labels`

#![no_main]

use std::sync::LazyLock;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use vgg_surgery::Dataset;
use vgg_surgery::data::ImageLabelFolder;
use vgg_surgery_fuzz::scratch;

const IMAGE: &[u8] = include_bytes!("../../tests/fixtures/preprocess/grey2.png");

/// A folder with the two images that the samples name.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    for name in ["a.png", "b.png"] {
        std::fs::write(scratch(name), IMAGE).expect("the scratch folder can be written");
    }
    scratch("")
});

fuzz_target!(|bytes: &[u8]| {
    for name in ["labels.csv", "labels.json"] {
        let path = FOLDER.join(name);
        std::fs::write(&path, bytes).expect("the scratch folder can be written");
        if let Ok(data) = ImageLabelFolder::open(&*FOLDER, path) {
            for index in 0..data.len() {
                let _ = data.sample(index);
            }
        }
    }
});

//! What the targets share.

use std::path::PathBuf;
use std::sync::LazyLock;

use candle_core::Device;
use vgg_surgery::vgg::VggOptions;
use vgg_surgery::{Graph, WeightSet};

/// A network up to this layer, whose parameters are still to be read.
pub fn first_layers(options: &VggOptions, last: &str) -> Graph {
    let graph = options.pretrained_from(WeightSet::bytes([]));
    let graph = graph.and_then(|graph| graph.truncate(last));
    graph.expect("the options are legal, and no tensor is read yet")
}

/// Reads these layers from a file: all their parameters come of it, or an error.
pub fn read(graph: &Graph, layers: &[&str], file: Vec<u8>) {
    let graph = graph.clone().also_from(WeightSet::bytes(file), layers);
    let graph = graph.expect("the layers are there, and no tensor is read yet");
    let expected: usize = graph.nodes().map(|node| node.parameters().len()).sum();
    if let Ok(model) = graph.build(&Device::Cpu) {
        assert_eq!(model.parameters().count(), expected);
    }
}

/// A path in a folder of this process.
pub fn scratch(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let name = format!("vgg-surgery-fuzz-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("there is a folder for temporary files");
        folder
    });
    FOLDER.join(name)
}

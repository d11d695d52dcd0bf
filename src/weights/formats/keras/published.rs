//! The files with ImageNet weights that Keras downloads, by their contents. Keras 1
//! wrote them in 2016, and later versions name weights differently.

use std::collections::BTreeMap;

use hdf5_pure::Group;

use super::listed;
use super::tensors::Tensors;

/// Convolutions in each block of VGG16 and of VGG19.
const NETWORKS: [[usize; 5]; 2] = [[2, 2, 3, 3, 3], [2, 2, 4, 4, 4]];

const FILTERS: [usize; 5] = [64, 128, 256, 512, 512];

/// Values after the last pool, hidden features, and classes.
const TOP: [usize; 4] = [7 * 7 * 512, 4096, 4096, 1000];

/// Whether a file has the names of Keras 1 and exactly the tensors of VGG16 or
/// VGG19, with or without classifier.
pub(super) fn is_published(root: &Group) -> Result<bool, String> {
    if !listed::is_listed(root)? {
        return Ok(false);
    }
    let first = root.group("block1_conv1").map_err(|e| e.to_string())?;
    if first.dataset("block1_conv1_W_1:0").is_err() {
        return Ok(false);
    }
    let mut tensors = Tensors::default();
    listed::read(root, &mut tensors)?;
    let found = tensors.finish().into_iter();
    let found: BTreeMap<_, _> = found.map(|(name, stored)| (name, stored.shape)).collect();
    let expected = NETWORKS.map(|network| [true, false].map(|top| shapes(network, top)));
    Ok(expected.as_flattened().contains(&found))
}

/// The shapes of all tensors, by name.
fn shapes(network: [usize; 5], has_top: bool) -> BTreeMap<String, Vec<usize>> {
    let mut shapes = BTreeMap::new();
    let mut enter = |layer: String, kernel: Vec<usize>, outputs: usize| {
        shapes.insert(format!("{layer}/kernel"), kernel);
        shapes.insert(format!("{layer}/bias"), vec![outputs]);
    };
    let mut channels = 3;
    for (block, (convolutions, filters)) in network.into_iter().zip(FILTERS).enumerate() {
        for place in 1..=convolutions {
            let layer = format!("block{}_conv{place}", block + 1);
            enter(layer, vec![3, 3, channels, filters], filters);
            channels = filters;
        }
    }
    if has_top {
        for (layer, sides) in ["fc1", "fc2", "predictions"].iter().zip(TOP.windows(2)) {
            enter(layer.to_string(), sides.to_vec(), sides[1]);
        }
    }
    shapes
}

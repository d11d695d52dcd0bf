//! What a metric reads from the file of its authors.

use std::path::Path;

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::graph::{Layout, WeightKey, WeightSet};
use crate::model::Model;
use crate::ops::wide_type;
use crate::weights::{ReadOptions, Wanted, load};

/// The layers of VGG16 that LPIPS and DISTS compare.
pub(super) const LAYERS: [&str; 5] = ["relu1_2", "relu2_2", "relu3_3", "relu4_3", "relu5_3"];

/// A layer that VGG19 has and VGG16 has not. The others have the same names and
/// shapes in both.
const OF_VGG19: &str = "relu3_4";

pub(super) fn check_vgg16(model: &Model) -> Result<()> {
    match model.graph().node(OF_VGG19) {
        Ok(_) => Err(Error::setting(
            format!("a network with a layer \"{OF_VGG19}\""),
            "must be a VGG16, for which the weights were trained",
        )),
        Err(_) => Ok(()),
    }
}

/// A tensor `(1, C, 1, 1)` of a file.
pub(super) struct ChannelWeights {
    pub(super) name: String,
    pub(super) channels: usize,
}

/// The tensors, in order, on the model's device and in the type in which its values
/// are summed.
pub(super) fn read(path: &Path, weights: &[ChannelWeights], model: &Model) -> Result<Vec<Tensor>> {
    let keys = weights.iter().map(|weights| WeightKey {
        name: weights.name.clone(),
        layout: Layout::AsIs,
    });
    let keys: Vec<WeightKey> = keys.collect();
    let shapes = weights.iter().map(|weights| [1, weights.channels, 1, 1]);
    let shapes: Vec<[usize; 4]> = shapes.collect();
    let wanted = keys.iter().zip(&shapes).map(|(key, shape)| Wanted {
        keys: std::slice::from_ref(key),
        shape,
        is_optional: false,
    });
    let wanted: Vec<Wanted<'_>> = wanted.collect();
    let loaded = load(&WeightSet::file(path), &wanted, &ReadOptions::new())?;
    let placed = loaded.into_iter().flatten().map(|loaded| {
        let tensor = loaded.tensor.to_device(model.device())?;
        Ok(tensor.to_dtype(wide_type(model.dtype()))?)
    });
    placed.collect()
}

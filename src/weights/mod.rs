//! Weights on disk, in memory and on a hub. In come the names and shapes of
//! parameters; out go their tensors, and no others are read. This room also
//! writes tensors.

mod convert;
mod find;
mod formats;
mod hash;
mod holdings;
#[cfg(feature = "hub")]
mod hub;
mod known;
mod memory;
mod options;
mod prefix;
mod progress;
mod renamed;
mod stored;
#[cfg(test)]
mod tests;
mod wanted;
mod write;

use crate::error::Result;
use crate::graph::{Location, WeightSet};
use renamed::Renamed;
use stored::{Identity, Open, StoredTensors};

pub(crate) use convert::{dtype_name, weight_dtype};
pub(crate) use find::Loaded;
pub(crate) use formats::Safetensors;
pub(crate) use hash::{hash_tensor, hex};
pub use memory::TensorSource;
pub use options::HubOptions;
pub(crate) use options::ReadOptions;
pub use progress::Progress;
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
pub(crate) use wanted::Wanted;
pub(crate) use write::{write_safetensors, write_values};

/// Reads one tensor for each wanted parameter, in order: on the CPU, in the
/// type of the file, in the shape of the parameter. `None` if a partial weight
/// set lacks it.
///
/// # Errors
/// `Error::MissingTensor`, `Error::AmbiguousTensor`, `Error::TensorShape` and
/// `Error::TensorDtype` if a tensor is missing or does not fit; `Error::InvalidWeights` and
/// `Error::HashMismatch` if the file is damaged; `Error::MissingFeature` if it is
/// of Keras and the feature is missing; `Error::Io`; any error of the hub.
pub(crate) fn load(
    set: &WeightSet,
    wanted: &[Wanted<'_>],
    options: &ReadOptions,
) -> Result<Vec<Option<Loaded>>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let read = |source: &dyn StoredTensors| read_all(source, wanted, set);
    match set.location() {
        Location::Hub(hub) => hub::with_file(hub, options, read),
        Location::AtHand(tensors) => read(Open::of(&**tensors)),
        Location::File(path) => read(&*formats::open(path)?),
        Location::Bytes(bytes) => read(&*formats::open_bytes(bytes.clone())?),
    }
}

/// Reads every wanted tensor, under the names that the weight set gives them.
fn read_all(
    source: &dyn StoredTensors,
    wanted: &[Wanted<'_>],
    set: &WeightSet,
) -> Result<Vec<Option<Loaded>>> {
    if set.renames().is_empty() {
        return find::read_all(source, wanted);
    }
    let renamed = Renamed::new(source, set.renames())?;
    let mut loaded = find::read_all(&renamed, wanted)?;
    for Loaded { found, .. } in loaded.iter_mut().flatten() {
        found.key.name = renamed.stored_name(&found.key.name).to_string();
    }
    Ok(loaded)
}

/// Identifies a file on a hub; the result is empty for other weights.
///
/// # Errors
/// Any error of the hub.
pub(crate) fn identify(set: &WeightSet, options: &ReadOptions) -> Result<Identity> {
    match set.location() {
        Location::Hub(hub) => hub::identify(hub, options),
        _ => Ok(Identity::default()),
    }
}

/// Without the feature, every request to a hub is an error.
#[cfg(not(feature = "hub"))]
mod hub {
    use super::{Identity, ReadOptions, StoredTensors};
    use crate::error::{Error, Result};
    use crate::graph::HubFile;

    pub(super) fn with_file<T>(
        hub: &HubFile,
        _: &ReadOptions,
        _: impl Fn(&dyn StoredTensors) -> Result<T>,
    ) -> Result<T> {
        Err(missing(hub))
    }

    pub(super) fn identify(hub: &HubFile, _: &ReadOptions) -> Result<Identity> {
        Err(missing(hub))
    }

    fn missing(hub: &HubFile) -> Error {
        Error::MissingFeature {
            what: format!("loading weights from the hub ({})", hub.repository),
            feature: "hub",
        }
    }
}

//! Weights on disk, in memory and on a hub. In come the names and shapes of
//! parameters; out go their tensors, and no others are read. This room also
//! writes tensors, and replaces files atomically.

mod atomic;
mod convert;
mod file;
mod find;
mod hash;
mod header;
#[cfg(feature = "hub")]
mod hub;
mod memory;
mod options;
mod pickle;
mod progress;
mod stored;
#[cfg(test)]
mod tests;
mod write;

use candle_core::Tensor;

use crate::error::Result;
use crate::graph::{Location, WeightSet};
use stored::{Identity, Open};

pub(crate) use crate::error::io_error;
pub(crate) use atomic::{Output, check_writable, write_atomically};
pub(crate) use convert::{dtype_name, weight_dtype};
pub(crate) use file::{FileMap, Safetensors};
pub(crate) use find::Wanted;
pub(crate) use hash::{hash_tensor, hex};
pub use memory::TensorSource;
pub use options::HubOptions;
pub(crate) use options::ReadOptions;
pub use progress::Progress;
#[cfg(feature = "progress")]
pub use progress::ProgressBar;
pub(crate) use write::{write_safetensors, write_values};

/// Reads one tensor for each wanted parameter, in order: on the CPU, in the
/// type of the file, in the shape of the parameter.
///
/// # Errors
/// `Error::MissingTensor`, `Error::TensorShape` and `Error::TensorDtype` if a
/// tensor is missing or does not fit; `Error::InvalidWeights` and
/// `Error::HashMismatch` if the file is damaged; `Error::Io`; any error of the
/// hub.
pub(crate) fn load(
    set: &WeightSet,
    wanted: &[Wanted<'_>],
    options: &ReadOptions,
) -> Result<Vec<Tensor>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    match set.location() {
        Location::Hub(hub) => hub::load(hub, wanted, options),
        Location::AtHand(tensors) => find::read_all(Open::of(&**tensors), wanted),
        Location::Safetensors(path) if !pickle::begins_like_one(path) => {
            find::read_all(&file::Safetensors::map(path)?, wanted)
        }
        Location::Safetensors(path) | Location::Pickle(path) => {
            find::read_all(&pickle::Pickle::open(path)?, wanted)
        }
        Location::Bytes(bytes) => {
            find::read_all(&file::Safetensors::from_bytes(bytes.clone())?, wanted)
        }
    }
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
    use super::{Identity, ReadOptions, Tensor, Wanted};
    use crate::error::{Error, Result};
    use crate::graph::HubFile;

    pub(super) fn load(hub: &HubFile, _: &[Wanted<'_>], _: &ReadOptions) -> Result<Vec<Tensor>> {
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

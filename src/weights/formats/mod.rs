//! The formats of weight files. In come the bytes of a file, of any name; out
//! goes what reads its tensors, chosen by the bytes. A file of a format that is
//! not read is named in the error.

mod archive;
mod bytes;
pub(super) mod header;
#[cfg(feature = "keras")]
mod keras;
mod pytorch;
mod recognize;
mod safetensors;

use std::path::Path;
use std::sync::Arc;

use self::bytes::FileBytes;
use self::header::invalid;
use self::pytorch::PyTorch;
use self::recognize::{Format, format_of};
use super::stored::StoredTensors;
use crate::error::Result;

pub(crate) use self::safetensors::Safetensors;

/// Opens a file. Tensors are read on demand.
///
/// # Errors
/// `Error::InvalidWeights` if the file is not valid or of another format,
/// `Error::Io`, `FileError::NotAFile`.
pub(super) fn open(path: &Path) -> Result<Box<dyn StoredTensors>> {
    let (bytes, place) = FileBytes::open(path)?;
    opened(bytes, place)
}

/// # Errors
/// As [`open`].
pub(super) fn open_bytes(bytes: Arc<[u8]>) -> Result<Box<dyn StoredTensors>> {
    let (bytes, place) = FileBytes::in_memory(bytes);
    opened(bytes, place)
}

/// Whether a file that begins so is read by what stands elsewhere in it.
#[cfg(feature = "hub")]
pub(super) fn is_read_whole(start: &[u8]) -> bool {
    match format_of(start) {
        Format::Archive | Format::Pickle => true,
        Format::Hdf5 => cfg!(feature = "keras"),
        Format::Safetensors | Format::Other(_) => false,
    }
}

/// Whether a file has the ImageNet weights that Keras publishes.
pub(super) fn is_published_by_keras(path: &Path) -> bool {
    FileBytes::open(path).is_ok_and(|(bytes, _)| is_published(bytes))
}

/// As [`is_published_by_keras`], of the bytes of a file.
pub(super) fn are_published_by_keras(bytes: Arc<[u8]>) -> bool {
    let (bytes, _) = FileBytes::in_memory(bytes);
    is_published(bytes)
}

fn is_published(bytes: FileBytes) -> bool {
    let ends = bytes.ends();
    ends.is_ok_and(|ends| format_of(&ends) == Format::Hdf5) && keras::is_published(bytes)
}

fn opened(bytes: FileBytes, place: String) -> Result<Box<dyn StoredTensors>> {
    let ends = bytes.ends().map_err(|reason| bytes.fault(&place, reason))?;
    Ok(match format_of(&ends) {
        Format::Archive => return opened_archive(bytes, place),
        Format::Hdf5 => {
            let whole = 0..bytes.length();
            return keras::open(bytes, whole, place);
        }
        Format::Pickle => Box::new(PyTorch::stream(bytes, place)?),
        Format::Safetensors | Format::Other(_) => Box::new(Safetensors::new(bytes, place)?),
    })
}

/// The weights in a `.keras` archive.
const KERAS_WEIGHTS: &str = "model.weights.h5";

fn opened_archive(bytes: FileBytes, place: String) -> Result<Box<dyn StoredTensors>> {
    let members = archive::members(&bytes).map_err(|reason| invalid(&place, reason))?;
    let Some(weights) = members.get(KERAS_WEIGHTS) else {
        return Ok(Box::new(PyTorch::archive(bytes, members, place)?));
    };
    let part = weights.range.clone();
    let part = part.ok_or_else(|| {
        let reason = format!("its {KERAS_WEIGHTS} is compressed or cut off; save it again");
        invalid(&place, reason)
    })?;
    keras::open(bytes, part, place)
}

/// Without the feature, files of Keras are an error.
#[cfg(not(feature = "keras"))]
mod keras {
    use std::ops::Range;

    use super::FileBytes;
    use crate::error::{Error, Result};
    use crate::weights::stored::StoredTensors;

    pub(super) fn is_published(_: FileBytes) -> bool {
        false
    }

    pub(super) fn open(
        _: FileBytes,
        _: Range<u64>,
        place: String,
    ) -> Result<Box<dyn StoredTensors>> {
        Err(Error::MissingFeature {
            what: format!("reading {place}, an HDF5 file as Keras writes,"),
            feature: "keras",
        })
    }
}

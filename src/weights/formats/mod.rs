//! The formats of weight files. In come the bytes of a file, of any name; out
//! goes what reads its tensors, chosen by the bytes. A file of a format that is
//! not read is named in the error.

mod bytes;
pub(super) mod header;
mod pytorch;
mod recognize;
mod safetensors;

use std::path::Path;
use std::sync::Arc;

use self::bytes::FileBytes;
use self::pytorch::PyTorch;
use self::recognize::{Format, format_of};
use super::stored::StoredTensors;
use crate::error::Result;

pub(crate) use self::bytes::FileMap;
pub(crate) use self::safetensors::Safetensors;

/// Maps a file. Tensors are read on demand.
///
/// # Errors
/// `Error::InvalidWeights` if the file is not valid or of another format,
/// `Error::Io`.
pub(super) fn open(path: &Path) -> Result<Box<dyn StoredTensors>> {
    let (bytes, place) = FileBytes::map(path)?;
    opened(bytes, place)
}

/// # Errors
/// As [`open`].
pub(super) fn open_bytes(bytes: Arc<[u8]>) -> Result<Box<dyn StoredTensors>> {
    let (bytes, place) = FileBytes::shared(bytes);
    opened(bytes, place)
}

/// Whether a file that begins so is read by what is said at its end.
#[cfg(feature = "hub")]
pub(super) fn is_of_pytorch(start: &[u8]) -> bool {
    matches!(format_of(start), Format::Archive | Format::Pickle)
}

fn opened(bytes: FileBytes, place: String) -> Result<Box<dyn StoredTensors>> {
    Ok(match format_of(bytes.as_slice()) {
        Format::Archive => Box::new(PyTorch::archive(bytes, place)?),
        Format::Pickle => Box::new(PyTorch::stream(bytes, place)?),
        Format::Safetensors | Format::Other(_) => Box::new(Safetensors::new(bytes, place)?),
    })
}

//! Files of Keras. In come the bytes of an HDF5 file, by itself or in a `.keras`
//! archive, from any version of Keras; out go the tensors asked for, under the
//! names `layer/kernel`. No code of a file is run, and no size that it states is
//! believed.

mod dataset;
mod listed;
mod names;
mod numbered;
mod published;
mod source;
mod tensors;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use hdf5_pure::{File, Group};

use self::dataset::Stored;
use self::source::Metered;
use self::tensors::Tensors;
use super::bytes::FileBytes;
use super::header::{Entry, invalid};
use crate::error::{Error, Result};
use crate::weights::convert::{check_stored_dtype, tensor_from};
use crate::weights::stored::StoredTensors;

/// An open file. Tensors are read on demand.
struct Keras {
    bytes: Arc<FileBytes>,
    /// Where the HDF5 file begins.
    start: u64,
    place: String,
    tensors: BTreeMap<String, Stored>,
}

/// The HDF5 file in a part of the bytes.
///
/// # Errors
/// `Error::InvalidWeights` if it is damaged, or not of Keras.
pub(super) fn open(
    bytes: FileBytes,
    part: Range<u64>,
    place: String,
) -> Result<Box<dyn StoredTensors>> {
    let (bytes, start) = (Arc::new(bytes), part.start);
    let tensors = read(&bytes, part).map_err(|reason| invalid(&place, reason))?;
    Ok(Box::new(Keras {
        bytes,
        start,
        place,
        tensors,
    }))
}

/// Whether a file is one that Keras publishes; a damaged one is not.
pub(super) fn is_published(bytes: FileBytes) -> bool {
    let part = 0..bytes.length();
    let file = File::from_source(Metered::new(Arc::new(bytes), part));
    file.is_ok_and(|file| published::is_published(&file.root()).unwrap_or(false))
}

fn read(bytes: &Arc<FileBytes>, part: Range<u64>) -> Result<BTreeMap<String, Stored>, String> {
    let length = part.end - part.start;
    let file = File::from_source(Metered::new(bytes.clone(), part));
    let file = file.map_err(|error| format!("it is a damaged HDF5 file: {error}"))?;
    let expected = file.superblock().eof_address;
    if expected > length {
        return Err(format!(
            "it is cut off: it has {length} bytes of {expected}; fetch it again"
        ));
    }
    let root = file.root();
    let mut tensors = Tensors::default();
    match listed_in(&root)? {
        Some(listed) => listed::read(&listed, &mut tensors)?,
        None => numbered::read(&root, &mut tensors)?,
    }
    let tensors = tensors.finish();
    for (name, stored) in &tensors {
        if stored.range.as_ref().is_ok_and(|range| range.end > length) {
            return Err(format!("tensor \"{name}\" lies outside of the file"));
        }
    }
    match tensors.is_empty() {
        true => Err("it is an HDF5 file, but has no weights of Keras' layers".to_string()),
        false => Ok(tensors),
    }
}

/// The group with the list of layers, which a whole model has beside others.
fn listed_in(root: &Group) -> Result<Option<Group>, String> {
    if listed::is_listed(root)? {
        return Ok(Some(root.clone()));
    }
    match root.group("model_weights") {
        Ok(group) if listed::is_listed(&group)? => Ok(Some(group)),
        _ => Ok(None),
    }
}

impl Keras {
    fn read_one(&self, key: &str) -> Result<Tensor> {
        let stored = self.tensors.get(key);
        let stored = stored.ok_or_else(|| invalid(&self.place, "it changed"))?;
        check_stored_dtype(key, &self.place, &stored.dtype)?;
        let range = stored
            .range
            .as_ref()
            .map_err(|reason| self.fault(key, reason))?;
        let entry = Entry {
            dtype: stored.dtype.clone(),
            shape: stored.shape.clone(),
            begin: 0,
            end: range.end - range.start,
        };
        let begin = self.start + range.start;
        tensor_from((key, &entry), entry.bytes(), &self.place, |at, piece| {
            let read = self.bytes.read(begin + at, piece);
            read.map_err(|reason| self.bytes.fault(&self.place, reason))
        })
    }

    fn fault(&self, key: &str, reason: &str) -> Error {
        invalid(&self.place, format!("tensor \"{key}\" {reason}"))
    }
}

impl StoredTensors for Keras {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        let stored = self.tensors.get(key)?;
        Some(stored.shape.clone())
    }

    fn keys(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        let tensors = keys.iter().map(|key| self.read_one(key));
        let tensors = tensors.collect::<Result<_>>()?;
        self.bytes.check_unchanged(&self.place)?;
        Ok(tensors)
    }
}

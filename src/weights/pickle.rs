//! PyTorch's pickled weights, read by candle.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::Tensor;
use candle_core::pickle::{PthTensors, TensorInfo};

use super::convert::check_weight_dtype;
use super::header::{ZIP_START, invalid};
use super::stored::StoredTensors;
use crate::error::{Result, io_error};

/// Names under which training scripts save the weights, among other values.
const WRAPPERS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// Whether a file is a zip archive, as PyTorch writes.
pub(super) fn begins_like_one(path: &Path) -> bool {
    let mut start = [0; ZIP_START.len()];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == *ZIP_START
}

pub(super) struct Pickle {
    /// The tensors of the first wrapper, if there is one, then the tensors of
    /// the top level.
    levels: Vec<PthTensors>,
    file_bytes: u64,
    place: String,
}

impl Pickle {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let place = path.display().to_string();
        let metadata = std::fs::metadata(path).map_err(|source| io_error(path, source))?;
        let top = guarded(&place, || PthTensors::new(path, None))?;
        let wrapped = WRAPPERS.into_iter().find_map(|wrapper| {
            let inner = guarded(&place, || PthTensors::new(path, Some(wrapper))).ok()?;
            (!inner.tensor_infos().is_empty()).then_some(inner)
        });
        Ok(Self {
            levels: wrapped.into_iter().chain([top]).collect(),
            file_bytes: metadata.len(),
            place,
        })
    }

    fn find(&self, key: &str) -> Option<(&PthTensors, &TensorInfo)> {
        let mut levels = self.levels.iter();
        levels.find_map(|level| Some((level, level.tensor_infos().get(key)?)))
    }

    fn read_one(&self, key: &str) -> Result<Tensor> {
        let found = self.find(key);
        let (level, info) = found.ok_or_else(|| invalid(&self.place, "it changed"))?;
        check_weight_dtype(key, &self.place, info.dtype)?;
        // candle skips an offset of n elements as n bytes.
        if info.layout.start_offset() != 0 {
            let reason =
                format!("tensor \"{key}\" is a view into another; save a contiguous copy of it");
            return Err(invalid(&self.place, reason));
        }
        let (dims, width) = (info.layout.dims(), info.dtype.size_in_bytes() as u64);
        let bytes = dims.iter().try_fold(width, |bytes, &side| {
            bytes.checked_mul(u64::try_from(side).ok()?)
        });
        if bytes.is_none_or(|bytes| bytes > self.file_bytes) {
            let reason = format!("tensor \"{key}\" of shape {dims:?} is larger than the file");
            return Err(invalid(&self.place, reason));
        }
        let tensor = guarded(&self.place, || level.get(key))?;
        let tensor = tensor.ok_or_else(|| invalid(&self.place, "it changed"))?;
        Ok(tensor.contiguous()?)
    }
}

/// candle's reader indexes and removes without checks, so a pickle of an
/// unexpected structure makes it panic.
fn guarded<T>(place: &str, read: impl FnOnce() -> candle_core::Result<T>) -> Result<T> {
    let reason = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => format!(
            "it can't be read as PyTorch's zipped pickle ({error}); load it in PyTorch 1.6 or \
             later and save it again, as safetensors if you can"
        ),
        Err(_) => "its pickle does not have the structure of a state_dict".to_string(),
    };
    Err(invalid(place, reason))
}

impl StoredTensors for Pickle {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        let (_, info) = self.find(key)?;
        Some(info.layout.dims().to_vec())
    }

    fn keys(&self) -> Vec<String> {
        let levels = self.levels.iter();
        let keys: BTreeSet<String> = levels
            .flat_map(|level| level.tensor_infos().keys().cloned())
            .collect();
        keys.into_iter().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        keys.iter().map(|key| self.read_one(key)).collect()
    }
}

//! Files of PyTorch. In come the bytes of a file that torch.save wrote, in any
//! of its layouts; out go the tensors asked for. No code of a file is run, and
//! no size that it states is believed.

mod pickle;
mod rebuild;
mod stream;
mod tensors;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use candle_core::Tensor;

use self::pickle::Pickle;
use self::rebuild::View;
use self::stream::MOST_BYTES;
use self::tensors::Contents;
use super::archive::Members;
use super::bytes::FileBytes;
use super::header::{Entry, element_bytes, invalid};
use super::recognize;
use crate::error::Result;
use crate::weights::convert::{check_stored_dtype, tensor_from, tensor_from_bytes};
use crate::weights::stored::StoredTensors;

/// An open file. Tensors are read on demand.
pub(super) struct PyTorch {
    bytes: FileBytes,
    place: String,
    contents: Contents,
    storages: Storages,
}

/// Where the storages of a file lie.
enum Storages {
    Stream(BTreeMap<String, Range<u64>>),
    /// And what comes before the name of a member.
    Archive(Members, String),
}

impl PyTorch {
    /// A zip archive with these members.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if it is damaged, or not of PyTorch.
    pub(super) fn archive(bytes: FileBytes, members: Members, place: String) -> Result<Self> {
        let read = read_archive(&bytes, members);
        let (contents, storages) = read.map_err(|reason| invalid(&place, reason))?;
        Self::new(bytes, place, contents, storages)
    }

    /// A file of before PyTorch 1.6.
    ///
    /// # Errors
    /// `Error::InvalidWeights` if it is damaged, or not of PyTorch.
    pub(super) fn stream(bytes: FileBytes, place: String) -> Result<Self> {
        let read = stream::read(&bytes);
        let (contents, storages) = read.map_err(|reason| invalid(&place, reason))?;
        Self::new(bytes, place, contents, Storages::Stream(storages))
    }

    fn new(
        bytes: FileBytes,
        place: String,
        contents: Contents,
        storages: Storages,
    ) -> Result<Self> {
        if contents.tensors.is_empty() {
            let reason = match &contents.network {
                Some(class) => format!(
                    "it is a pickled network of class {class}, which only its Python code can \
                     read; in Python, save its state_dict() instead"
                ),
                None => "it holds no dictionary of tensors".to_string(),
            };
            return Err(invalid(&place, reason));
        }
        Ok(Self {
            bytes,
            place,
            contents,
            storages,
        })
    }

    fn read_one<'a>(&'a self, key: &str, intact: &mut BTreeSet<&'a str>) -> Result<Tensor> {
        let view = self.contents.tensors.get(key);
        let view = view.ok_or_else(|| invalid(&self.place, "it changed"))?;
        check_stored_dtype(key, &self.place, &view.dtype)?;
        let fault = |reason: &str| invalid(&self.place, format!("tensor \"{key}\" {reason}"));
        let range = self
            .storage(view, intact)
            .map_err(|reason| fault(&reason))?;
        let part = bytes_of(view, range.end - range.start);
        let part = part.ok_or_else(|| fault("lies outside of its storage"))?;
        let entry = Entry {
            dtype: view.dtype.clone(),
            shape: view.shape.clone(),
            begin: 0,
            end: part.length,
        };
        let begin = range.start + part.range.start;
        let unread = |reason| self.bytes.fault(&self.place, reason);
        if is_contiguous(view) {
            return tensor_from((key, &entry), part.length, &self.place, |at, piece| {
                self.bytes.read(begin + at, piece).map_err(unread)
            });
        }
        let bytes = self.bytes.part(begin..range.start + part.range.end);
        let gathered = gather(view, &bytes.map_err(unread)?, part.width);
        tensor_from_bytes((key, &entry), &gathered, &self.place)
    }

    /// Where the storage of a tensor lies. If the tensor takes all of it, its
    /// checksum is compared, once for all tensors of one call.
    fn storage<'a>(
        &'a self,
        view: &'a View,
        intact: &mut BTreeSet<&'a str>,
    ) -> Result<Range<u64>, String> {
        let key = view.storage.key.as_str();
        let missing = || format!("is in storage \"{key}\", which is missing");
        match &self.storages {
            Storages::Stream(ranges) => ranges.get(key).cloned().ok_or_else(missing),
            Storages::Archive(members, prefix) => {
                let member = members.get(&format!("{prefix}data/{key}"));
                let member = member.ok_or_else(missing)?;
                let range = member.range.clone().ok_or(
                    "is compressed or cut off; save it again with torch.save, or unpack the \
                     archive and pack it without compression",
                )?;
                let takes_all = elements(&view.shape) == Some(view.storage.elements);
                if takes_all && intact.insert(key) && !member.is_intact(&self.bytes) {
                    return Err("has another checksum than the file states".to_string());
                }
                Ok(range)
            }
        }
    }
}

fn read_archive(bytes: &FileBytes, members: Members) -> Result<(Contents, Storages), String> {
    let data = members.keys().find_map(|name| {
        let prefix = name.strip_suffix("data.pkl")?;
        (prefix.is_empty() || prefix.ends_with('/')).then_some(prefix.to_string())
    });
    let prefix = data.ok_or_else(|| recognize::archive(members.keys().map(String::as_str)))?;
    let member = |name: &str| {
        let range = members.get(&format!("{prefix}{name}"))?.range.clone()?;
        Some(range).filter(|range| range.end - range.start <= MOST_BYTES)
    };
    let read = |range| bytes.part(range).map_err(|reason| reason.to_string());
    let order = member("byteorder").map(read).transpose()?;
    if order.is_some_and(|order| order == b"big") {
        return Err("it was written on a big-endian machine, which is not read".to_string());
    }
    let pickle = member("data.pkl").ok_or("its data.pkl is compressed, cut off or too long")?;
    let pickle = read(pickle)?;
    let contents = Contents::of(&Pickle::read(&pickle)?)?;
    Ok((contents, Storages::Archive(members, prefix)))
}

impl StoredTensors for PyTorch {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        let view = self.contents.tensors.get(key)?;
        Some(view.shape.clone())
    }

    fn keys(&self) -> Vec<String> {
        self.contents.tensors.keys().cloned().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        let mut intact = BTreeSet::new();
        let tensors = keys.iter().map(|key| self.read_one(key, &mut intact));
        let tensors = tensors.collect::<Result<_>>()?;
        self.bytes.check_unchanged(&self.place)?;
        Ok(tensors)
    }
}

/// Which bytes of a storage a tensor needs.
struct Part {
    range: Range<u64>,
    /// Bytes of one element.
    width: usize,
    /// Bytes of all elements; for a tensor that repeats some, more than there
    /// are.
    length: u64,
}

/// `None` if they are not all in the storage, or too many to be of use.
fn bytes_of(view: &View, storage: u64) -> Option<Part> {
    let width = element_bytes(&view.dtype)?;
    let length = elements(&view.shape)?.checked_mul(width)?;
    let begin = view.offset.checked_mul(width)?;
    let mut last = Some(0u64).filter(|_| length > 0);
    for (&side, &stride) in view.shape.iter().zip(&view.strides) {
        let reach = (side as u64).saturating_sub(1).checked_mul(stride)?;
        last = match last {
            Some(last) => Some(last.checked_add(reach)?),
            None => None,
        };
    }
    let end = match last {
        Some(last) => begin.checked_add(last.checked_add(1)?.checked_mul(width)?)?,
        None => begin,
    };
    // Values can be repeated, but no weights need a small storage that often.
    let most = storage.saturating_mul(MOST_REPETITIONS);
    let width = usize::try_from(width).ok()?;
    (end <= storage && length <= most).then_some(Part {
        range: begin..end,
        width,
        length,
    })
}

/// How often a tensor may repeat its storage, as `expand` does.
const MOST_REPETITIONS: u64 = 1 << 12;

fn elements(shape: &[usize]) -> Option<u64> {
    let mut sides = shape.iter();
    sides.try_fold(1, |count: u64, &side| count.checked_mul(side as u64))
}

/// Whether the elements lie in the order of their indices, without gaps.
fn is_contiguous(view: &View) -> bool {
    let mut expected = 1u64;
    for (&side, &stride) in view.shape.iter().zip(&view.strides).rev() {
        if side != 1 && stride != expected {
            return elements(&view.shape) == Some(0);
        }
        expected = expected.saturating_mul(side as u64);
    }
    true
}

/// The elements in the order of their indices.
fn gather(view: &View, bytes: &[u8], width: usize) -> Vec<u8> {
    let axes = view.shape.iter().zip(&view.strides);
    // The stride of an axis with one index means nothing, and may be any number.
    let mut axes: Vec<_> = axes
        .filter(|&(&side, _)| side != 1)
        .map(|(&side, &stride)| (side, stride as usize * width))
        .collect();
    let (columns, step) = axes.pop().unwrap_or((1, 0));
    let mut rows = vec![0usize];
    for (side, stride) in axes {
        let wider = rows
            .iter()
            .flat_map(|row| (0..side).map(move |index| row + index * stride));
        rows = wider.collect();
    }
    let mut gathered = Vec::with_capacity(rows.len() * columns * width);
    for row in rows {
        for column in 0..columns {
            let at = row + column * step;
            gathered.extend_from_slice(&bytes[at..at + width]);
        }
    }
    gathered
}

#[cfg(test)]
mod tests {
    use super::rebuild::Storage;
    use super::*;

    /// The stride was multiplied by the width, which overflowed.
    #[test]
    fn the_stride_of_an_axis_with_one_index_is_not_used() {
        let view = View {
            storage: Storage {
                key: "0".to_string(),
                dtype: "I16".to_string(),
                elements: 6,
            },
            dtype: "I16".to_string(),
            offset: 0,
            shape: vec![1, 2, 3],
            strides: vec![u64::MAX, 1, 2],
        };
        let storage = [0, 10, 1, 11, 2, 12, 3, 13, 4, 14, 5, 15];
        let part = bytes_of(&view, storage.len() as u64).unwrap();
        let expected = [0, 10, 2, 12, 4, 14, 1, 11, 3, 13, 5, 15];
        assert_eq!(gather(&view, &storage, part.width), expected);
    }
}

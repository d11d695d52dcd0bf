//! The header of a safetensors file, checked before it is used.
//!
//! A file is `n` as eight little-endian bytes, `n` bytes of JSON, then the
//! data. All arithmetic is checked, and no size is used for an allocation
//! before it is compared with the length of the file.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};

use super::recognize::{Format, format_of};
use crate::error::{Error, Result, printable};

/// Bytes before the JSON.
pub(in crate::weights) const LENGTH_BYTES: u64 = 8;

/// Largest JSON the format allows.
pub(in crate::weights) const MAX_JSON_BYTES: u64 = 100_000_000;

/// What a safetensors file contains, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::weights) struct Header {
    pub(in crate::weights) metadata: BTreeMap<String, String>,
    /// By their names, without control characters.
    pub(in crate::weights) tensors: BTreeMap<String, Entry>,
}

/// One tensor of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// As the file spells it: `F32`, `BF16`, ...
    pub(crate) dtype: String,
    pub(crate) shape: Vec<usize>,
    /// First byte, counted from the start of the file.
    pub(in crate::weights) begin: u64,
    /// Byte after the last, counted from the start of the file.
    pub(in crate::weights) end: u64,
}

impl Entry {
    pub(in crate::weights) fn bytes(&self) -> u64 {
        self.end - self.begin
    }
}

/// Length of the JSON, from the first bytes of a file of `file_bytes` bytes. They
/// are not repeated in messages: the file can be any, and secret.
///
/// # Errors
/// `Error::InvalidWeights` if it is not the beginning of a safetensors file;
/// the reason says what it is, if that is known.
pub(in crate::weights) fn json_bytes(start: &[u8], file_bytes: u64, file: &str) -> Result<u64> {
    let Some((&length, _)) = start.split_first_chunk::<8>() else {
        return Err(too_short(file, file_bytes));
    };
    let length = u64::from_le_bytes(length);
    let reason = match format_of(start) {
        Format::Other(words) => format!("it is {words}"),
        Format::Archive | Format::Pickle => "it is a zip archive or a pickle, as PyTorch writes; \
             load such weights with pretrained_from"
            .to_string(),
        Format::Hdf5 => "it is an HDF5 file, as Keras writes; load such weights with \
             pretrained_from, which needs the feature \"keras\" of vgg-surgery"
            .to_string(),
        Format::Safetensors if length > MAX_JSON_BYTES => format!(
            "it does not begin like a safetensors file (its header would take more than \
             {MAX_JSON_BYTES} bytes, which is the limit)"
        ),
        Format::Safetensors if LENGTH_BYTES + length > file_bytes => format!(
            "it has {file_bytes} bytes, fewer than its header would take; it may be cut off"
        ),
        Format::Safetensors => return Ok(length),
    };
    Err(invalid(file, reason))
}

fn too_short(file: &str, file_bytes: u64) -> Error {
    let reason = format!("it has {file_bytes} bytes, too few for a safetensors file");
    invalid(file, reason)
}

/// Reads the JSON of a file of `file_bytes` bytes.
pub(in crate::weights) fn parse(json: &[u8], file_bytes: u64, file: &str) -> Result<Header> {
    let raw: RawHeader = serde_json::from_slice(json).map_err(|error| {
        let column = error.column();
        let reason =
            format!("its header can't be read: byte {column} is not that of a list of tensors");
        invalid(file, reason)
    })?;
    if let Some(key) = raw.repeated {
        return Err(invalid(file, format!("tensor \"{key}\" occurs twice")));
    }
    let data_start = LENGTH_BYTES + json.len() as u64;
    let mut tensors = BTreeMap::new();
    for (key, raw) in raw.tensors {
        let key = printable(key);
        let entry = checked_entry(&key, raw, data_start, file_bytes, file)?;
        tensors.insert(key, entry);
    }
    check_cover(&tensors, data_start, file_bytes, file)?;
    Ok(Header {
        metadata: raw.metadata,
        tensors,
    })
}

fn checked_entry(
    key: &str,
    raw: RawEntry,
    data_start: u64,
    file_bytes: u64,
    file: &str,
) -> Result<Entry> {
    let (begin, end) = raw.data_offsets;
    let within = data_start.checked_add(end).filter(|&end| end <= file_bytes);
    let (true, Some(absolute_end)) = (begin <= end, within) else {
        return Err(invalid(
            file,
            format!("tensor \"{key}\" lies at {begin}..{end}, outside of the file's data"),
        ));
    };
    if let Some(width) = element_bytes(&raw.dtype) {
        let expected = raw.shape.iter().try_fold(width, |bytes: u64, &side| {
            bytes.checked_mul(u64::try_from(side).ok()?)
        });
        if expected != Some(end - begin) {
            let (bytes, shape, dtype) = (end - begin, raw.shape, raw.dtype);
            let reason = format!("tensor \"{key}\" takes {bytes} bytes, not {shape:?} of {dtype}");
            return Err(invalid(file, reason));
        }
    }
    Ok(Entry {
        dtype: printable(raw.dtype),
        shape: raw.shape,
        begin: data_start + begin,
        end: absolute_end,
    })
}

/// The tensors must cover the data without overlaps and holes, to the end.
fn check_cover(
    tensors: &BTreeMap<String, Entry>,
    data_start: u64,
    file_bytes: u64,
    file: &str,
) -> Result<()> {
    let mut by_offset: Vec<(&String, &Entry)> = tensors.iter().collect();
    by_offset.sort_by_key(|(_, entry)| (entry.begin, entry.end));
    let mut covered = data_start;
    let mut before = "the header";
    for (key, entry) in by_offset {
        if entry.begin != covered {
            let how = match entry.begin < covered {
                true => "overlaps",
                false => "leaves a hole after",
            };
            return Err(invalid(file, format!("tensor \"{key}\" {how} {before}")));
        }
        covered = entry.end;
        before = key;
    }
    if covered != file_bytes {
        return Err(invalid(
            file,
            format!("it has {file_bytes} bytes, but its header describes {covered}"),
        ));
    }
    Ok(())
}

pub(super) fn element_bytes(dtype: &str) -> Option<u64> {
    match dtype {
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => Some(1),
        "U16" | "I16" | "F16" | "BF16" => Some(2),
        "U32" | "I32" | "F32" => Some(4),
        "U64" | "I64" | "F64" | "C64" => Some(8),
        "C128" => Some(16),
        _ => None,
    }
}

pub(in crate::weights) fn invalid(file: &str, reason: impl Into<String>) -> Error {
    Error::InvalidWeights {
        file: file.to_string(),
        reason: printable(reason),
    }
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

/// The JSON object.
struct RawHeader {
    metadata: BTreeMap<String, String>,
    tensors: BTreeMap<String, RawEntry>,
    /// A name that occurs twice.
    repeated: Option<String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;

        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut tensors = BTreeMap::new();
                let mut metadata = BTreeMap::new();
                let mut repeated = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "__metadata__" {
                        metadata = map.next_value()?;
                        continue;
                    }
                    let entry = map.next_value()?;
                    match tensors.contains_key(&key) {
                        true => repeated = Some(key),
                        false => drop(tensors.insert(key, entry)),
                    }
                }
                Ok(RawHeader {
                    metadata,
                    tensors,
                    repeated,
                })
            }
        }

        deserializer.deserialize_map(HeaderVisitor)
    }
}

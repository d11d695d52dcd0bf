//! The file that torch.save wrote before PyTorch 1.6: a magic number, a version,
//! facts about the system, the object and a list of storages as five pickles,
//! then the storages.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pickle::{Id, Object, Pickle};
use super::rebuild::{Storage, storage_of};
use super::tensors::Contents;
use crate::weights::formats::bytes::FileBytes;
use crate::weights::formats::header::element_bytes;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// The pickles of a network take less than the first number of bytes. Other pickles
/// are read up to the second.
const FIRST_BYTES: u64 = 1 << 20;
pub(super) const MOST_BYTES: u64 = 1 << 28;

/// What the pickles say.
struct Head {
    contents: Contents,
    /// The storages, in the order in which they follow.
    storages: Vec<Storage>,
    /// Bytes up to the first storage.
    length: usize,
}

/// What the object holds, and where each storage lies. The reason of an error
/// is for a message about the file.
pub(super) fn read(bytes: &FileBytes) -> Result<(Contents, BTreeMap<String, Range<u64>>), String> {
    let most = bytes.length().min(MOST_BYTES);
    let mut length = FIRST_BYTES.min(most);
    loop {
        let start = bytes.part(0..length).map_err(|reason| reason.to_string())?;
        match head(&start) {
            Ok(head) => {
                let storages = storages(bytes, &head)?;
                return Ok((head.contents, storages));
            }
            Err(reason) if length == most => return Err(reason),
            Err(_) => length = length.saturating_mul(16).min(most),
        }
    }
}

fn head(start: &[u8]) -> Result<Head, String> {
    let mut length = 0;
    let mut next = || -> Result<Pickle<'_>, String> {
        let pickle = Pickle::read(start.get(length..).unwrap_or_default())?;
        length += pickle.length;
        Ok(pickle)
    };
    let magic = next()?;
    if !matches!(magic.get(magic.root), Object::Integer(MAGIC)) {
        return Err(
            "it is a Python pickle, but not of torch.save; load it in Python and \
                    save its tensors as safetensors"
                .to_string(),
        );
    }
    let (_version, system, object, keys) = (next()?, next()?, next()?, next()?);
    if is_big_endian(&system) {
        return Err("it was written on a big-endian machine, which is not read".to_string());
    }
    Ok(Head {
        contents: Contents::of(&object)?,
        storages: listed(&object, &keys)?,
        length,
    })
}

fn is_big_endian(system: &Pickle<'_>) -> bool {
    let Object::Dict(items) = system.get(system.root) else {
        return false;
    };
    items.iter().any(|&(key, value)| {
        matches!(system.get(key), Object::Text("little_endian"))
            && matches!(system.get(value), Object::Flag(false))
    })
}

fn listed(object: &Pickle<'_>, keys: &Pickle<'_>) -> Result<Vec<Storage>, String> {
    let mut known = BTreeMap::new();
    for id in 0..object.len() {
        if let Some((storage, _)) = storage_of(object, id as Id)? {
            known.insert(storage.key.clone(), storage);
        }
    }
    let Object::Sequence(listed) = keys.get(keys.root) else {
        return Err("its list of storages is missing".to_string());
    };
    let listed = listed.iter().map(|&key| {
        let key = match keys.get(key) {
            Object::Text(key) => (*key).to_string(),
            Object::Integer(key) => key.to_string(),
            _ => return Err("its list of storages is not one of names".to_string()),
        };
        let storage = known.get(&key).cloned();
        storage.ok_or_else(|| unknown_type(&key))
    });
    listed.collect()
}

fn unknown_type(key: &str) -> String {
    format!("its storage \"{key}\" is of a type that is not known here")
}

fn storages(bytes: &FileBytes, head: &Head) -> Result<BTreeMap<String, Range<u64>>, String> {
    let mut storages = BTreeMap::new();
    let mut at = head.length as u64;
    for storage in &head.storages {
        let key = &storage.key;
        let stored = storage.dtype.trim_start_matches("quantized ");
        let width = element_bytes(stored).ok_or_else(|| unknown_type(key))?;
        let mut count = [0; 8];
        let read = bytes.read(at, &mut count).ok();
        let begin = at.saturating_add(8);
        let end = read.and_then(|()| {
            let count = u64::try_from(i64::from_le_bytes(count)).ok()?;
            let end = begin.checked_add(count.checked_mul(width)?)?;
            (count == storage.elements && end <= bytes.length()).then_some(end)
        });
        let end = end.ok_or("it ends before its storages do, or they are damaged")?;
        storages.insert(key.clone(), begin..end);
        at = end;
    }
    Ok(storages)
}

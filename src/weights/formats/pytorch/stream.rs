//! The file that torch.save wrote before PyTorch 1.6: a magic number, a version,
//! facts about the system, the object and a list of storages as five pickles,
//! then the storages.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pickle::{Id, Object, Pickle};
use super::rebuild::storage_of;
use super::tensors::Contents;
use crate::weights::formats::header::element_bytes;

const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;

/// What the object holds, and where each storage lies. The reason of an error
/// is for a message about the file.
pub(super) fn read(bytes: &[u8]) -> Result<(Contents, BTreeMap<String, Range<usize>>), String> {
    let mut at = 0;
    let mut next = || -> Result<Pickle<'_>, String> {
        let pickle = Pickle::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.length;
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
    let contents = Contents::of(&object)?;
    let storages = storages(bytes, at, &object, &keys)?;
    Ok((contents, storages))
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

fn storages(
    bytes: &[u8],
    mut at: usize,
    object: &Pickle<'_>,
    keys: &Pickle<'_>,
) -> Result<BTreeMap<String, Range<usize>>, String> {
    let mut known = BTreeMap::new();
    for id in 0..object.len() {
        if let Some((storage, _)) = storage_of(object, id as Id)? {
            known.insert(storage.key.clone(), storage);
        }
    }
    let Object::Sequence(listed) = keys.get(keys.root) else {
        return Err("its list of storages is missing".to_string());
    };
    let mut storages = BTreeMap::new();
    for &key in listed {
        let key = match keys.get(key) {
            Object::Text(key) => (*key).to_string(),
            Object::Integer(key) => key.to_string(),
            _ => return Err("its list of storages is not one of names".to_string()),
        };
        let storage = known.get(&key);
        let width = storage.and_then(|storage| element_bytes(&storage.dtype));
        let (Some(storage), Some(width)) = (storage, width) else {
            return Err(format!(
                "its storage \"{key}\" is of a type that is not known here"
            ));
        };
        let begin = at.saturating_add(8);
        let count = bytes.get(at..begin).and_then(<[u8]>::first_chunk);
        let end = count.and_then(|&count| {
            let count = u64::try_from(i64::from_le_bytes(count)).ok()?;
            let length = count.checked_mul(width)?;
            let is_right = count == storage.elements;
            let end = begin.checked_add(usize::try_from(length).ok()?)?;
            (is_right && end <= bytes.len()).then_some(end)
        });
        let end = end.ok_or("it ends before its storages do, or they are damaged")?;
        storages.insert(key, begin..end);
        at = end;
    }
    Ok(storages)
}

//! Chosen tensors of a hub file, each fetched once and kept.

use std::collections::HashMap;
use std::ops::Range;

use candle_core::Tensor;

use super::cache::{Cache, Entry};
use super::ranges::coalesce;
use super::session::Session;
use super::transfer::{Outcome, Remote};
use super::whole;
use crate::error::Result;
use crate::weights::convert::{check_stored_dtype, tensor_from_bytes};
use crate::weights::formats::header::{self, Header, invalid};
use crate::weights::formats::is_read_whole;
use crate::weights::progress::Transfer;
use crate::weights::stored::StoredTensors;

/// The first request asks for so much: a VGG's header and its first layer.
const FIRST_BYTES: u64 = 32 * 1024;

/// How the file begins.
enum Start {
    /// The JSON of its header, from the cache.
    Header(Vec<u8>),
    /// Its first bytes, just fetched.
    Bytes(Vec<u8>),
    /// Only the whole file will do: ranges are refused, or PyTorch or Keras
    /// wrote it.
    Whole,
}

pub(super) struct Ranged<'a> {
    session: &'a Session<'a>,
    cache: &'a Cache,
    header: Header,
    file_bytes: u64,
    /// The bytes fetched with the header.
    start: Vec<u8>,
}

impl<'a> Ranged<'a> {
    /// Reads the header, from the cache or the hub; `None` where only the whole
    /// file will do.
    pub(super) fn open(session: &'a Session<'a>, cache: &'a Cache) -> Result<Option<Self>> {
        let info = session.info(cache)?;
        // A hash that the hub does not vouch for can be compared with that of
        // the whole file only.
        if info.sha256.is_none() && session.hub.sha256.is_some() {
            return Ok(None);
        }
        let file_bytes = info.bytes;
        let place = session.place();
        let (json, start) = match header_or_start(session, cache, file_bytes)? {
            Start::Whole => return Ok(None),
            Start::Header(json) => (json, Vec::new()),
            Start::Bytes(start) => (json_of(&start, file_bytes, &place)?.to_vec(), start),
        };
        let header = header::parse(&json, file_bytes, &place)?;
        if !start.is_empty() {
            session.keep(cache, Entry::Header, &json);
        }
        Ok(Some(Self {
            session,
            cache,
            header,
            file_bytes,
            start,
        }))
    }

    fn entry(&self, key: &str) -> Result<&header::Entry> {
        let entry = self.header.tensors.get(key);
        entry.ok_or_else(|| invalid(&self.place(), format!("it has no tensor \"{key}\"")))
    }

    /// The bytes of a tensor that need no request.
    fn at_hand(&self, key: &str, entry: &header::Entry) -> Option<Vec<u8>> {
        if entry.bytes() == 0 {
            return Some(Vec::new());
        }
        let slot = slot(key, entry);
        if let Some(bytes) = self.cache.get(slot) {
            return Some(bytes);
        }
        let bytes = slice(&self.start, 0, &(entry.begin..entry.end))?;
        self.session.keep(self.cache, slot, bytes);
        Some(bytes.to_vec())
    }

    /// Adds the tensors that need no request, and returns the others.
    fn take_at_hand<'k>(
        &self,
        wanted: impl IntoIterator<Item = &'k str>,
        tensors: &mut HashMap<&'k str, Tensor>,
    ) -> Result<Vec<&'k str>> {
        let place = self.place();
        let mut missing = Vec::new();
        for key in wanted {
            let entry = self.entry(key)?;
            check_stored_dtype(key, &place, &entry.dtype)?;
            match self.at_hand(key, entry) {
                Some(bytes) => {
                    tensors.insert(key, tensor_from_bytes((key, entry), &bytes, &place)?);
                }
                None => missing.push(key),
            }
        }
        Ok(missing)
    }

    /// Fetches the tensors of `missing`, and keeps their bytes; `None` if the
    /// hub refuses ranges.
    fn fetch<'k>(
        &self,
        missing: &[(&'k str, &header::Entry)],
    ) -> Result<Option<HashMap<&'k str, Tensor>>> {
        let place = self.place();
        let ranges = missing.iter().map(|(_, entry)| entry.begin..entry.end);
        let requests = coalesce(ranges.collect());
        let total = requests.iter().map(|range| range.end - range.start).sum();
        let remote = self.session.remote(self.file_bytes)?;
        let transfer = Transfer::start(self.session.progress, &place, total);
        let mut tensors = HashMap::new();
        for request in requests {
            let Some(bytes) = fetch_range(&remote, request.clone(), &transfer)? else {
                return Ok(None);
            };
            for &(key, entry) in missing {
                if let Some(bytes) = slice(&bytes, request.start, &(entry.begin..entry.end)) {
                    self.session.keep(self.cache, slot(key, entry), bytes);
                    tensors.insert(key, tensor_from_bytes((key, entry), bytes, &place)?);
                }
            }
        }
        Ok(Some(tensors))
    }

    fn whole(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        whole::open(self.session, self.cache)?.read(keys)
    }
}

impl StoredTensors for Ranged<'_> {
    fn place(&self) -> String {
        self.session.place()
    }

    fn shape(&self, key: &str) -> Option<Vec<usize>> {
        let entry = self.header.tensors.get(key)?;
        Some(entry.shape.clone())
    }

    fn keys(&self) -> Vec<String> {
        self.header.tensors.keys().cloned().collect()
    }

    fn read(&self, keys: &[&str]) -> Result<Vec<Tensor>> {
        let place = self.place();
        let mut tensors: HashMap<&str, Tensor> = HashMap::new();
        let mut missing = self.take_at_hand(keys.iter().copied(), &mut tensors)?;
        if let Some(key) = missing.first() {
            let online = self
                .session
                .online(|| format!("tensor \"{key}\" of {place}"));
            online?;
            self.session.lock(self.cache)?;
            // Another process may have fetched them meanwhile.
            missing = self.take_at_hand(missing, &mut tensors)?;
        }
        let missing = missing.into_iter().map(|key| Ok((key, self.entry(key)?)));
        let missing: Vec<_> = missing.collect::<Result<_>>()?;
        let needed: u64 = missing.iter().map(|(_, entry)| entry.bytes()).sum();
        if needed > self.file_bytes / 2 {
            return self.whole(keys);
        }
        if !missing.is_empty() {
            match self.fetch(&missing)? {
                Some(fetched) => tensors.extend(fetched),
                None => return self.whole(keys),
            }
        }
        keys.iter()
            .map(|key| {
                let tensor = tensors.get(key).cloned();
                tensor.ok_or_else(|| invalid(&place, format!("it has no tensor \"{key}\"")))
            })
            .collect()
    }
}

fn slot<'a>(key: &'a str, entry: &header::Entry) -> Entry<'a> {
    Entry::Tensor {
        key,
        begin: entry.begin,
        end: entry.end,
    }
}

/// The part `range` of a file, of which `bytes` begin at `offset`.
fn slice<'a>(bytes: &'a [u8], offset: u64, range: &Range<u64>) -> Option<&'a [u8]> {
    let begin = usize::try_from(range.start.checked_sub(offset)?).ok()?;
    let end = usize::try_from(range.end.checked_sub(offset)?).ok()?;
    bytes.get(begin..end)
}

fn header_or_start(session: &Session<'_>, cache: &Cache, file_bytes: u64) -> Result<Start> {
    if let Some(json) = cache.get(Entry::Header) {
        return Ok(Start::Header(json));
    }
    session.online(|| format!("the header of {}", session.place()))?;
    session.lock(cache)?;
    match cache.get(Entry::Header) {
        Some(json) => Ok(Start::Header(json)),
        None => fetch_start(session, file_bytes),
    }
}

/// The header and the bytes fetched with it.
fn fetch_start(session: &Session<'_>, file_bytes: u64) -> Result<Start> {
    let place = session.place();
    let remote = session.remote(file_bytes)?;
    let first = FIRST_BYTES.min(file_bytes);
    let transfer = Transfer::start(session.progress, &format!("header of {place}"), first);
    let Some(mut start) = fetch_range(&remote, 0..first, &transfer)? else {
        return Ok(Start::Whole);
    };
    if is_read_whole(&start) {
        return Ok(Start::Whole);
    }
    let end = json_end(&start, file_bytes, &place)?;
    if end > first {
        let Some(rest) = fetch_range(&remote, first..end, &transfer)? else {
            return Ok(Start::Whole);
        };
        start.extend(rest);
    }
    Ok(Start::Bytes(start))
}

fn fetch_range(
    remote: &Remote<'_>,
    range: Range<u64>,
    transfer: &Transfer,
) -> Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let mut sink = |piece: &[u8]| {
        bytes.extend_from_slice(piece);
        Ok(())
    };
    Ok(match remote.fetch(range, &mut sink, transfer)? {
        Outcome::Complete => Some(bytes),
        Outcome::NoRanges => None,
    })
}

fn json_end(start: &[u8], file_bytes: u64, place: &str) -> Result<u64> {
    Ok(header::LENGTH_BYTES + header::json_bytes(start, file_bytes, place)?)
}

fn json_of<'a>(start: &'a [u8], file_bytes: u64, place: &str) -> Result<&'a [u8]> {
    let end = json_end(start, file_bytes, place)?;
    slice(start, 0, &(header::LENGTH_BYTES..end))
        .ok_or_else(|| invalid(place, "its header was cut short"))
}

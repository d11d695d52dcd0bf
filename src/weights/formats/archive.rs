//! A zip archive with stored members: what torch.save writes since PyTorch 1.6,
//! and Keras since 3.

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::ops::Range;

use zip::{CompressionMethod, ZipArchive};

use super::bytes::FileBytes;

/// Members by their names.
pub(super) type Members = BTreeMap<String, Member>;

pub(super) struct Member {
    index: usize,
    /// Where its bytes lie in the file; `None` if they are compressed.
    pub(super) range: Option<Range<u64>>,
    /// The checksum, unless the writer left it out.
    crc32: Option<u32>,
}

/// The reason of an error is for a message about the file.
pub(super) fn members(bytes: &FileBytes) -> Result<Members, String> {
    let damaged = |_| "its list of members can't be read; the file may be cut off".to_string();
    let mut archive = ZipArchive::new(BufReader::new(bytes.reader())).map_err(damaged)?;
    let mut members = Members::new();
    for index in 0..archive.len() {
        let member = archive.by_index_raw(index).map_err(damaged)?;
        let is_stored = member.compression() == CompressionMethod::Stored && !member.encrypted();
        let begin = member.data_start().filter(|_| is_stored);
        let range = begin.and_then(|begin| {
            let end = begin.checked_add(member.size())?;
            (end <= bytes.length()).then_some(begin..end)
        });
        let crc32 = Some(member.crc32()).filter(|&crc32| crc32 != 0);
        let name = member.name().map_err(damaged)?.to_string();
        members.insert(
            name,
            Member {
                index,
                range,
                crc32,
            },
        );
    }
    Ok(members)
}

impl Member {
    /// Whether its bytes have the checksum that the archive states.
    pub(super) fn is_intact(&self, bytes: &FileBytes) -> bool {
        if self.crc32.is_none() {
            return true;
        }
        let reader = BufReader::new(bytes.reader());
        let read = ZipArchive::new(reader).and_then(|mut archive| {
            let mut member = archive.by_index(self.index)?;
            Ok(io::copy(&mut member, &mut io::sink())?)
        });
        read.is_ok()
    }
}
